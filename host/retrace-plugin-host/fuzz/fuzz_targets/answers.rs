//! Random answers of plugins, in the shapes of the contract: what the host accepts keeps every rule of it.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| retrace_plugin_host::fuzz_answers(bytes));

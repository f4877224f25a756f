//! Any text is a list of mirrors, a location, credentials, or a clear error.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| retrace_mirror::fuzzing::texts(bytes));

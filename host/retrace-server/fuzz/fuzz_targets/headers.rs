//! Any headers are read, or a clear error; a stranger is never taken for somebody else.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| retrace_server::fuzzing::headers(bytes));

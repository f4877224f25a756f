//! Any bytes are the indexes of a Debian suite or a clear error.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| retrace_mirror::fuzzing::deb(bytes));

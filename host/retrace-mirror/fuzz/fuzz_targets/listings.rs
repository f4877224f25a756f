//! Any text is a listing of package files below their base, or of none.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| retrace_mirror::fuzzing::listings(bytes));

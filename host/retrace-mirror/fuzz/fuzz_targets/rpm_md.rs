//! Any bytes are the metadata of an rpm-md repository or a clear error.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| retrace_mirror::fuzzing::rpm_md(bytes));

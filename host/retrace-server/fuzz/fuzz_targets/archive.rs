//! Any bytes are an archive, unpacked within its folder and its limits, or a clear error.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let dir = tempfile::tempdir().expect("a temporary folder");
    retrace_server::fuzzing::archive(bytes, dir.path());
});

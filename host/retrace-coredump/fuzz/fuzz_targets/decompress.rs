//! Any bytes are decompressed up to the limit or give a clear error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use retrace_coredump::{DecompressLimits, decompress};

fuzz_target!(|input: &[u8]| {
    let limits = DecompressLimits { max_output_bytes: 1 << 20, max_window_bytes: 8 << 20 };
    let Ok(mut output) = tempfile::tempfile() else { return };
    if let Ok(result) = decompress(input, &mut output, &limits) {
        assert!(result.stored_bytes <= result.size_bytes && result.size_bytes <= limits.max_output_bytes);
        assert_eq!(output.metadata().map(|metadata| metadata.len()).ok(), Some(result.size_bytes));
    }
});

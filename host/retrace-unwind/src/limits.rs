/// What a native backtrace may cost, whatever core and files claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most threads that are walked; the one that took the signal comes first. Default 10,000.
    pub max_threads: usize,
    /// Most physical frames of one stack that are walked. Default 2^20: a stack of 8 MiB of the smallest frames.
    pub max_frames_per_thread: usize,
    /// Most frames of one stack that are told: of a longer one, the innermost and the outermost. Default 2,000.
    pub max_shown_frames: usize,
    /// Most bytes of one section after decompression. Default 4 GiB.
    pub max_section_bytes: u64,
    /// Most bytes of all decompressed sections together. Default 8 GiB.
    pub max_inflated_bytes: u64,
    /// Most words of a stack that are looked through for a return address where nothing tells where the caller is.
    /// Default 512.
    pub max_scanned_words: usize,
    /// Most operations of one DWARF expression. Default 10,000.
    pub max_expression_steps: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_threads: 10_000,
            max_frames_per_thread: 1 << 20,
            max_shown_frames: 2000,
            max_section_bytes: 4 << 30,
            max_inflated_bytes: 8 << 30,
            max_scanned_words: 512,
            max_expression_steps: 10_000,
        }
    }
}

/// Bounds of [`read_facts`](crate::read_facts). What goes beyond one is left out with a remark.
///
/// With the defaults a usual core takes some MiB of memory, and the most hostile one below 200 MiB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most program headers of the core. Default 2^20: `vm.max_map_count` as distributions raise it.
    pub max_segments: usize,
    /// Most notes looked at. Default 2^19: the kernel writes 3 to 16 for each thread.
    pub max_notes: usize,
    /// Most bytes of one note's descriptor. Default 16 MiB: the most that the kernel lets `NT_FILE` grow to
    /// (`kernel.core_file_note_size_limit`).
    pub max_note_bytes: usize,
    /// Most threads. Default 32,768.
    pub max_threads: usize,
    /// Most mappings of files. Default 262,144.
    pub max_mappings: usize,
    /// Most modules, and most entries of the link map. Default 4,096.
    pub max_modules: usize,
    /// Most bytes read from the dumped memory, for all modules, the link map and the stacks together. Default 64 MiB.
    pub max_memory_bytes: u64,
    /// Most bytes of each stack that are searched for addresses of modules. Default 8 MiB: the usual
    /// limit of a stack.
    pub max_stack_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_segments: 1 << 20,
            max_notes: 1 << 19,
            max_note_bytes: 16 << 20,
            max_threads: 1 << 15,
            max_mappings: 1 << 18,
            max_modules: 4096,
            max_memory_bytes: 64 << 20,
            max_stack_bytes: 8 << 20,
        }
    }
}

use std::time::Duration;

/// What a plugin may cost. The defaults are the contract's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Size of a component's file. A Python component, the largest known kind, has 18 MiB.
    pub file_bytes: u64,
    /// Plugins in the folder.
    pub plugins: usize,
    /// Functions in one component.
    pub functions: u32,
    /// Code bytes of one function. Compile time grows faster than this: a function of 1.3 MB took 8 s, one of 2.7 MB
    /// 114 s, while functions of Rust plugins have at most some 10 KiB.
    pub function_bytes: u64,
    /// Local variables of one function, without its parameters; a lever of the same attack.
    pub locals: u32,
    /// Core modules and components inside one component. A Python component has 38.
    pub modules: u32,
    /// Memory of one call, over all memories.
    pub memory_bytes: usize,
    /// Memories of one call.
    pub memories: usize,
    /// Elements of one table.
    pub table_elements: usize,
    /// Core instances and tables of one call, each.
    pub instances: usize,
    /// Processor time for one call, to within 10 ms; twenty times as much on the clock on the wall.
    pub deadline: Duration,
    /// The same for `describe` and for `releases`.
    pub long_deadline: Duration,
    /// Data that one answer, or one log message, may bring into the host.
    pub answer_bytes: usize,
    /// File names in one call; a longer list is asked in parts.
    pub batch: usize,
    /// Log messages of one call; the rest is counted.
    pub log_messages: u32,
    /// Bytes of one log message; the rest is cut.
    pub log_message_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            file_bytes: 32 << 20,
            plugins: 256,
            functions: 100_000,
            function_bytes: 256 << 10,
            locals: 1_000,
            modules: 64,
            memory_bytes: 64 << 20,
            memories: 4,
            table_elements: 20_000,
            instances: 64,
            deadline: Duration::from_millis(100),
            long_deadline: Duration::from_millis(500),
            answer_bytes: 1 << 20,
            batch: 1_000,
            log_messages: 64,
            log_message_bytes: 1 << 10,
        }
    }
}

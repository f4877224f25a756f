use rustix::process::{Resource, getrlimit};

/// Resource limits of a program and, each for itself, of its children. None leaves ours in force.
///
/// They are set by `prlimit` of util-linux, which then becomes the program: there is no moment in which the program
/// runs without them, as there would be if we called prlimit(2) after the start, and no `unsafe` as a hook between fork
/// and exec would need. A limit above the hard limit that we run under is lowered to it. Where any limit is asked for,
/// the program leaves no core.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Address space in bytes, `RLIMIT_AS`; allocations beyond it fail.
    pub memory_bytes: Option<u64>,
    /// Processor time in seconds, `RLIMIT_CPU`; `SIGXCPU` then, and `SIGKILL` one second later.
    pub cpu_seconds: Option<u64>,
    /// Size of each file written, `RLIMIT_FSIZE`; `SIGXFSZ` beyond it.
    pub file_size_bytes: Option<u64>,
    /// Processes and threads of the user in the user namespace, `RLIMIT_NPROC`; the kernel never holds it against
    /// user 0.
    pub processes: Option<u64>,
    /// Open files, `RLIMIT_NOFILE`.
    pub open_files: Option<u64>,
}

impl Limits {
    /// True if there is nothing to set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The options of prlimit(1) that set these limits; empty if there are none. For running `prlimit` somewhere else
    /// than around the whole program: inside a sandbox.
    #[must_use]
    pub fn prlimit_options(&self) -> Vec<String> {
        self.options_below(|resource| getrlimit(resource).maximum)
    }

    fn options_below(&self, hard: impl Fn(Resource) -> Option<u64>) -> Vec<String> {
        if self.is_empty() {
            return Vec::new();
        }
        let wanted = [
            ("as", Resource::As, self.memory_bytes, 0),
            ("cpu", Resource::Cpu, self.cpu_seconds, 1),
            ("fsize", Resource::Fsize, self.file_size_bytes, 0),
            ("nproc", Resource::Nproc, self.processes, 0),
            ("nofile", Resource::Nofile, self.open_files, 0),
            ("core", Resource::Core, Some(0), 0),
        ];
        let option = |(name, resource, soft, grace): (&str, Resource, Option<u64>, u64)| {
            let most = hard(resource).unwrap_or(u64::MAX);
            let soft = soft?.min(most);
            Some(format!("--{name}={soft}:{}", soft.saturating_add(grace).min(most)))
        };
        wanted.into_iter().filter_map(option).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_become_options_and_never_exceed_the_hard_limit() {
        let limits =
            Limits { memory_bytes: Some(1 << 30), cpu_seconds: Some(60), open_files: Some(9999), ..Limits::default() };
        let hard = |resource| (resource == Resource::Nofile).then_some(1024);
        let want = ["--as=1073741824:1073741824", "--cpu=60:61", "--nofile=1024:1024", "--core=0:0"];
        assert_eq!(limits.options_below(hard), want);
    }

    #[test]
    fn nothing_wanted_is_nothing_to_do() {
        assert!(Limits::default().prlimit_options().is_empty());
    }
}

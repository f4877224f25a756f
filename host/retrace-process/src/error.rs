use std::{io, path::PathBuf, process::ExitStatus, time::Duration};

/// Why a program gave no result.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// There is no such program.
    #[error("cannot find the program {program}: install it, or give its full path")]
    NotFound {
        /// Name or path that was looked for.
        program: PathBuf,
    },
    /// The program cannot be started.
    #[error("cannot start {program}")]
    Start {
        /// The program.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The state of the running program cannot be read.
    #[error("cannot follow the running program {program}")]
    Follow {
        /// The program.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The program did not end in time; it was killed with all its children.
    #[error("{program} did not end within {limit:?} and was killed")]
    TimedOut {
        /// The program.
        program: PathBuf,
        /// Its time limit.
        limit: Duration,
    },
    /// The program ended with another status than 0, or by a signal.
    #[error("{program} failed ({status}): {stderr_tail}")]
    Failed {
        /// The program.
        program: PathBuf,
        /// How it ended.
        status: ExitStatus,
        /// Last lines of its error output, at most 2 KiB.
        stderr_tail: String,
    },
}

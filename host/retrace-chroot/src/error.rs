use std::{io, path::PathBuf, time::Duration};

use retrace_process::ProcessError;

/// Why there is no sysroot or no backtrace.
#[derive(Debug, thiserror::Error)]
pub enum ChrootError {
    /// A file or folder of ours cannot be made, linked or read.
    #[error("cannot {action} {path}: check its rights and the free space")]
    Io {
        /// What was tried: `create`, `link`, `read`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The folder for a sysroot holds something already.
    #[error("{path} is in use: give an empty folder for each sysroot")]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// A program cannot be started.
    #[error("cannot run the debugger")]
    Process(#[from] ProcessError),
    /// There is no debugger.
    #[error("cannot find the debugger {gdb}: install gdb (not gdb-minimal), or set its path in the configuration")]
    NoGdb {
        /// Name or path that was looked for.
        gdb: PathBuf,
    },
    /// There is no sandbox to run the debugger in.
    #[error("cannot find bwrap: install bubblewrap; the debugger never runs outside its sandbox")]
    NoSandbox,
    /// The sandbox cannot be set up.
    #[error(
        "bubblewrap cannot set up the sandbox: {message}; allow user namespaces (sysctl user.max_user_namespaces, \
         kernel.unprivileged_userns_clone), or run as root"
    )]
    Sandbox {
        /// What bubblewrap said.
        message: String,
    },
    /// The debugger cannot run our script.
    #[error("{gdb} has no Python: install the full gdb package (not gdb-minimal) and Python's standard library")]
    NoPython {
        /// The debugger.
        gdb: PathBuf,
    },
    /// The debugger takes the file for no core of its kind.
    #[error("gdb cannot read the core {core}: {reason}")]
    Unreadable {
        /// The core.
        core: PathBuf,
        /// What gdb said.
        reason: String,
    },
    /// The debugger gave not one thread in time.
    #[error("gdb gave no stack within {limit:?}: raise its time limit, or its memory limit if it was swapping")]
    TimedOut {
        /// The limit.
        limit: Duration,
    },
    /// The debugger failed before the first thread.
    #[error("gdb failed ({ending}): {message}; if a limit ended it, raise its memory or time limit")]
    GdbFailed {
        /// Exit status or signal.
        ending: String,
        /// The end of its error output.
        message: String,
    },
}

impl ChrootError {
    /// For `map_err`: names what was tried on which path.
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}

use std::path::PathBuf;

use retrace_chroot::ChrootError;
use retrace_coredump::CoreError;
use retrace_mirror::MirrorError;
use retrace_store::StoreError;

/// Why there is no backtrace at all. Anything less is a gap in the result.
#[derive(Debug, thiserror::Error)]
pub enum AnalyzeError {
    /// The core cannot be opened or read.
    #[error("cannot read the core {path}")]
    Open {
        /// The core.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is no core that can be retraced.
    #[error("cannot retrace {path}")]
    Core {
        /// The core.
        path: PathBuf,
        /// Why.
        source: CoreError,
    },
    /// The folder for the job cannot be made.
    #[error("cannot make a work folder in {path}: check its rights and the free space")]
    WorkDir {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The index cannot be read.
    #[error("cannot read the index")]
    Store(#[from] StoreError),
    /// The packages cannot be looked up.
    #[error("cannot look up the packages")]
    Mirror(#[from] MirrorError),
    /// The environment or the debugger failed.
    #[error("cannot make the backtrace")]
    Chroot(#[from] ChrootError),
    /// The operator wants a hook to succeed that did not.
    #[error("{0}")]
    Hook(String),
    /// A step stopped before its end.
    #[error("the step `{step}` stopped before its end; this is a defect, please report it")]
    StepLost {
        /// The step.
        step: &'static str,
        /// Why.
        source: tokio::task::JoinError,
    },
}

use std::{error::Error, fmt, path::PathBuf};

use retrace_types::{DistroId, ReleaseId, Sha256};

use crate::{
    CompileError,
    check::NotAPlugin,
    library::{LibraryError, Refusal},
};

/// Why there is no answer. One variant per thing that somebody can react to.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// The folder of plugins cannot be read.
    #[error("cannot read the plugin folder {}: build the plugins with `make plugins`, or correct the setting", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The folder holds too many plugins.
    #[error("{} holds more than {limit} plugins: remove those that are not needed", path.display())]
    TooManyPlugins {
        /// The folder.
        path: PathBuf,
        /// Most that are loaded.
        limit: usize,
    },
    /// The folder for compiled plugins cannot be made.
    #[error("cannot use the cache folder {}", path.display())]
    Cache {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Others could put code into the folder for compiled plugins.
    #[error("the cache folder {} can be written by others ({why}): remove it, it is made again", path.display())]
    UnsafeCache {
        /// The folder.
        path: PathBuf,
        /// Owner or mode.
        why: String,
    },
    /// The WebAssembly engine cannot be started.
    #[error("cannot start the WebAssembly engine")]
    Engine(#[source] Box<dyn Error + Send + Sync>),
    /// A plugin's file cannot be read.
    #[error("cannot read the plugin {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A file is no plugin, or one that this host does not load.
    #[error("{} is no plugin that can be loaded", path.display())]
    NotAPlugin {
        /// The file.
        path: PathBuf,
        /// Which rule it breaks, and what to do.
        #[source]
        source: NotAPlugin,
    },
    /// A component cannot be compiled within its limits.
    #[error("{} cannot be compiled", path.display())]
    Compile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: CompileError,
    },
    /// The folder of installed plugins cannot be read.
    #[error("cannot read the installed plugins")]
    Library {
        /// Why.
        #[source]
        source: Box<LibraryError>,
    },
    /// An installed plugin must not be loaded.
    #[error("the installed plugin {id} is not loaded: install it again or roll it back")]
    Installed {
        /// Its id.
        id: DistroId,
        /// Why.
        #[source]
        source: Refusal,
    },
    /// A plugin describes itself otherwise than when it was installed.
    #[error("{} was installed as {installed} and says now that it is {found}: install it again", path.display())]
    OtherId {
        /// Id that it was installed under.
        installed: DistroId,
        /// Id that it gives.
        found: DistroId,
        /// Its file.
        path: PathBuf,
    },
    /// Two plugins serve one distribution; the one that was read first is kept.
    #[error("{} serves {id} as {} does: remove one of them", second.display(), first.display())]
    Duplicate {
        /// Id or alias that both have.
        id: DistroId,
        /// The plugin that is kept.
        first: PathBuf,
        /// The plugin that is not loaded.
        second: PathBuf,
    },
    /// No plugin serves the distribution.
    #[error("no plugin serves {id} (installed: {installed}): install one for it")]
    NoPlugin {
        /// The distribution.
        id: DistroId,
        /// Those that are served.
        installed: String,
    },
    /// The plugin serves the distribution, but no such release.
    #[error(
        "the plugin for {distro} knows no release {version:?} (it knows {known}): update the plugin if it is a new one"
    )]
    NoRelease {
        /// The distribution.
        distro: DistroId,
        /// What was asked for, cut to 64 characters.
        version: String,
        /// Versions that are served.
        known: String,
    },
    /// The plugin cannot answer because of what it was asked.
    #[error("the plugin for {plugin} cannot answer {function}: {error}")]
    Call {
        /// The plugin.
        plugin: DistroId,
        /// Function of the contract.
        function: &'static str,
        /// Its reason.
        error: CallError,
    },
    /// The plugin failed too often and is not asked for a while.
    #[error(
        "the plugin for {plugin} failed {failures} times in short order and is not asked for {seconds} s: update it or roll \
         it back"
    )]
    Degraded {
        /// The plugin.
        plugin: DistroId,
        /// So many failures.
        failures: u32,
        /// Seconds until it is asked again.
        seconds: u64,
    },
    /// The plugin broke.
    #[error(transparent)]
    Failure(#[from] Box<PluginFailure>),
}

/// A plugin's answer that it cannot answer: a reason about the input. The texts are the plugin's, checked and escaped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// A release of this distribution that the plugin does not serve.
    #[error("unsupported release: {0}")]
    UnsupportedRelease(String),
    /// The release exists, but not for this architecture.
    #[error("unsupported architecture: {0}")]
    UnsupportedArchitecture(String),
    /// Input that is meant for this plugin and cannot be read.
    #[error("malformed input: {0}")]
    MalformedInput(String),
    /// The plugin says that it has a defect.
    #[error("internal error of the plugin: {0}")]
    Internal(String),
}

/// A defect of a plugin. Tell its author; the same input gives the same failure.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("plugin {plugin} ({sha256}) failed in {function}: {kind}")]
pub struct PluginFailure {
    /// Id of the plugin, or name of its file while that is not known.
    pub plugin: String,
    /// Digest of its file.
    pub sha256: Sha256,
    /// Its file.
    pub path: PathBuf,
    /// Function of the contract; `load` before there was a call.
    pub function: &'static str,
    /// What happened.
    pub kind: FailureKind,
    /// The input of the call, as JSON, where it could be kept.
    pub input: Option<PathBuf>,
}

impl PluginFailure {
    /// The command that repeats the call.
    #[must_use]
    pub fn reproduce(&self) -> String {
        let path = self.path.display();
        match (&self.input, self.function) {
            (_, "load") => format!("to repeat: retrace plugin inspect {path}"),
            (Some(input), function) => {
                format!("to repeat: retrace plugin call {path} {function} --json @{}", input.display())
            }
            (None, function) => format!("to repeat: retrace plugin call {path} {function}"),
        }
    }
}

/// How a plugin failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The guest stopped itself: a panic, an access out of bounds, endless recursion.
    Trap {
        /// WebAssembly's word for it.
        reason: String,
        /// The guest's last error message, where it logged one: the text of a panic.
        message: Option<String>,
    },
    /// The call ran longer than its deadline.
    Deadline,
    /// The call asked for more memory, tables or instances than it may have.
    OutOfMemory,
    /// The answer, or one log message, is larger than one call may return.
    TooMuchData,
    /// A value breaks a rule of the contract.
    InvalidValue {
        /// Where: `repositories[0].mirrors[2]`.
        path: String,
        /// Which rule.
        rule: String,
    },
    /// The types of the component are not those of the contract.
    Incompatible(String),
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trap { reason, message: None } => write!(f, "trap: {reason}"),
            Self::Trap { reason, message: Some(message) } => write!(f, "trap: {reason}: {message}"),
            Self::Deadline => f.write_str("stopped at the deadline"),
            Self::OutOfMemory => f.write_str("stopped at the memory limit"),
            Self::TooMuchData => f.write_str("the answer is too large"),
            Self::InvalidValue { path, rule } => write!(f, "invalid answer: {path}: {rule}"),
            Self::Incompatible(why) => write!(f, "not built for this contract: {why}"),
        }
    }
}

/// Why no release could be picked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReleaseError {
    /// No plugin recognises it.
    #[error("no plugin recognises the release")]
    None,
    /// More than one release is claimed with the same confidence.
    #[error("more than one release is possible ({}): name one", list(candidates))]
    Ambiguous {
        /// The releases, in the order of the plugins.
        candidates: Vec<ReleaseId>,
    },
    /// One plugin recognises its distribution, but not the release.
    #[error("{plugin}: {error}")]
    Refused {
        /// The plugin.
        plugin: DistroId,
        /// Its reason.
        error: CallError,
    },
    /// No plugin claims it, and one that might have, broke.
    #[error("no plugin recognises the release, and {0}")]
    Failed(Box<PluginFailure>),
    /// No plugin claims it, and one that might have, was not asked.
    #[error("no plugin recognises the release, and {0}")]
    Degraded(String),
}

fn list(releases: &[ReleaseId]) -> String {
    releases.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

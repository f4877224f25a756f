use std::{error::Error, io, path::PathBuf};

use retrace_process::ProcessError;

/// Why there is no new plugin, or no component. The message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum KitError {
    /// A file or folder cannot be read or written.
    #[error("cannot {action} {}", path.display())]
    File {
        /// "read", "write", "make".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A new plugin would be put where something is.
    #[error("{} exists: nothing is overwritten; name another folder with --dir", path.display())]
    Exists {
        /// The folder.
        path: PathBuf,
    },
    /// A name would not be understood where the template puts it.
    #[error(
        "the name {name:?} cannot be used: want 1 to 128 of letters, digits, spaces and `. _ / ( ) + -`, as in \"Acme Linux\""
    )]
    InvalidName {
        /// The name, cut to 64 characters.
        name: String,
    },
    /// The folder that was named as the SDK holds none.
    #[error("{} holds no retrace-plugin-sdk: name the folder plugin-sdk of a checkout of Retrace", path.display())]
    NotTheSdk {
        /// The folder.
        path: PathBuf,
    },
    /// The folder holds no plugin that can be built.
    #[error(
        "{} holds no plugin: want Cargo.toml (Rust), distribution.c, distribution.js or distribution.py; \
         `retrace plugin new` makes one",
        path.display()
    )]
    NoProject {
        /// The folder.
        path: PathBuf,
    },
    /// The language's build tool is not there.
    #[error("{tool} is missing: {install}")]
    ToolMissing {
        /// The program.
        tool: &'static str,
        /// How to get it.
        install: &'static str,
    },
    /// A tool could not be run.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// A tool refused the plugin's source.
    #[error("{tool} failed; it said:\n{output}")]
    ToolFailed {
        /// The program.
        tool: String,
        /// The end of its output.
        output: String,
    },
    /// A tool was content and left nothing.
    #[error("{tool} made no WebAssembly file: {hint}")]
    NoResult {
        /// The program.
        tool: &'static str,
        /// What to look at.
        hint: &'static str,
    },
    /// A file is neither a component nor a core module.
    #[error("{} is no WebAssembly file", path.display())]
    NotWasm {
        /// The file.
        path: PathBuf,
    },
    /// A core module cannot become a component.
    #[error("the core module cannot become a component: {hint}")]
    Component {
        /// Likely cause and remedy.
        hint: &'static str,
        /// What the encoder said.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The file that says what the plugin is does not say it.
    #[error(
        "{} does not say what the plugin is ({why}): write id and version, as `describe` answers them",
        path.display()
    )]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The contract that this build carries cannot be read: a defect of the build.
    #[error("the contract cannot be read: this build of Retrace is damaged")]
    Contract(#[source] Box<dyn Error + Send + Sync>),
}

impl KitError {
    /// For `map_err`: what was done to which file.
    pub(crate) fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }

    /// Whether the source of the plugin is at fault, and not the machine.
    #[must_use]
    pub fn is_about_the_source(&self) -> bool {
        matches!(self, Self::ToolFailed { .. } | Self::NoResult { .. } | Self::Component { .. } | Self::Manifest { .. })
    }
}

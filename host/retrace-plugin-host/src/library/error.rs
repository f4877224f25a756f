use std::{io, path::PathBuf};

use retrace_types::{DistroId, Sha256};

/// Why nothing could be read from the library, or changed in it.
#[derive(Debug, thiserror::Error)]
pub enum LibraryError {
    /// A file or folder cannot be read or written.
    #[error("cannot use {}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Others could put code into the library.
    #[error("the plugin library {} is not safe ({why}): give it to the user of Retrace and take the others' right to write", path.display())]
    Unsafe {
        /// The folder.
        path: PathBuf,
        /// Owner or mode.
        why: String,
    },
}

/// Why an installed plugin is not loaded. The others are.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// `current` names no version, or one that is not there.
    #[error(
        "no version of it is in force ({0}): choose one with `retrace plugin rollback ID --to VERSION`, or install it again"
    )]
    NoCurrent(String),
    /// The record is missing or damaged: the install was not finished, or the file was changed.
    #[error("its install.toml cannot be used ({0}): install it again")]
    Record(String),
    /// The file cannot be read.
    #[error("its plugin.wasm cannot be read ({0}): install it again")]
    Unreadable(String),
    /// The file is not the one that was installed.
    #[error(
        "its plugin.wasm was changed after it was installed (SHA-256 {found}, installed was {installed}): find out who did it, then install it again"
    )]
    Changed {
        /// Digest of what lies there.
        found: Sha256,
        /// Digest of what was installed.
        installed: Sha256,
    },
    /// Another plugin has one of its names.
    #[error("it serves {name} as the plugin {other} does: remove or disable one of them")]
    Duplicate {
        /// Id or alias that both have.
        name: DistroId,
        /// The plugin that is loaded instead.
        other: DistroId,
    },
}

impl LibraryError {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}

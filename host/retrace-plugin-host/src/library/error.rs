use std::{error::Error, io, path::PathBuf, time::Duration};

use retrace_package::PackageError;
use retrace_types::{DistroId, Sha256};

use crate::conformance::{ConformanceError, Report};

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
    /// Others could put code or keys there.
    #[error("{} is not safe ({why}): give it to the user of Retrace or to root, and take the right to write from all others", path.display())]
    Unsafe {
        /// The file or folder.
        path: PathBuf,
        /// Owner or mode.
        why: String,
    },
    /// Another change takes too long.
    #[error("another command has changed the plugins for more than {} seconds: wait for it, or end it; it holds {}", waited.as_secs(), path.display())]
    Busy {
        /// The lock.
        path: PathBuf,
        /// How long it was waited for.
        waited: Duration,
    },
    /// Too large to be a plugin.
    #[error("{} has more than {limit} bytes: a plugin is smaller (`retrace plugin limits`)", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Most that is read.
        limit: u64,
    },
    /// A tar that `retrace plugin pack` did not make.
    #[error("{} is no plugin pack: {why}; make one with `retrace plugin pack`", path.display())]
    BadPack {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The author's metadata cannot be read.
    #[error("{}: {why}", path.display())]
    BadMetadata {
        /// The plugin's file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// There is no signature.
    #[error("{} is not signed: put its author's signature beside it, with .asc at the end of its name, or take it as it is with --allow-unsigned", path.display())]
    Unsigned {
        /// The file.
        path: PathBuf,
    },
    /// No trusted key made the signature.
    #[error("it is signed by {issuers}, which is not trusted: if you trust its author, put that public key into {} (as NAME.asc) after comparing the fingerprint with the author's", dir.display())]
    UnknownSigner {
        /// Fingerprints or key ids that the signature names.
        issuers: String,
        /// The trust folder.
        dir: PathBuf,
    },
    /// The signature is wrong, or made by a key that is not in use.
    #[error("the signature is refused")]
    Signature(#[source] Box<PackageError>),
    /// A key file that was named holds no usable key.
    #[error("{} cannot be used: {why}", path.display())]
    BadKey {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The host would not load it.
    #[error("{} is no plugin that can be loaded: {why}", path.display())]
    NotLoadable {
        /// The file.
        path: PathBuf,
        /// Which rule it breaks, and what to do.
        why: String,
    },
    /// It breaks the contract.
    #[error("{} does not keep the contract ({} of the checks that must hold do not): `retrace plugin test` shows which", path.display(), report.summary.must.fail)]
    NotConformant {
        /// The file.
        path: PathBuf,
        /// What the suite found.
        report: Box<Report>,
    },
    /// The suite could not be run.
    #[error("the conformance suite cannot be run")]
    Conformance(#[source] ConformanceError),
    /// The engine cannot be started.
    #[error("plugins cannot be compiled")]
    Engine(#[source] Box<dyn Error + Send + Sync>),
    /// Another plugin has one of its names.
    #[error("{id} serves {name} as the plugin {other} does: remove or disable {other} first")]
    Duplicate {
        /// The plugin.
        id: DistroId,
        /// Id or alias that both have.
        name: DistroId,
        /// The plugin that has it.
        other: DistroId,
    },
    /// The number of a version belongs to other bytes.
    #[error(
        "version {version} of {id} is installed with other bytes (SHA-256 {taken}, this is {new}): raise the version of the plugin, or install it beside the other with --replace"
    )]
    VersionTaken {
        /// The plugin.
        id: DistroId,
        /// Its version.
        version: String,
        /// Digest of what is installed.
        taken: Sha256,
        /// Digest of what was to be installed.
        new: Sha256,
    },
    /// One version was installed too often.
    #[error("version {version} of {id} has too many folders: remove {id} and install it again")]
    NoFolder {
        /// The plugin.
        id: DistroId,
        /// Its version.
        version: String,
    },
    /// It is not what the lock file names.
    #[error("the lock file does not allow {id} {version}: {why}")]
    NotLocked {
        /// The plugin.
        id: DistroId,
        /// Its version.
        version: String,
        /// What differs.
        why: String,
    },
    /// The lock file cannot be read.
    #[error("plugins.lock cannot be used: {0}")]
    BadLock(String),
    /// A value cannot be written as TOML; never in practice.
    #[error("cannot write TOML: {0}")]
    Toml(String),
    /// No such plugin.
    #[error("{id} is not installed: `retrace plugin list` shows what is")]
    NotInstalled {
        /// The plugin.
        id: DistroId,
    },
    /// No such version.
    #[error("{id} has no version {version} (it has {have})")]
    NoVersion {
        /// The plugin.
        id: DistroId,
        /// What was asked for.
        version: String,
        /// What is installed.
        have: String,
    },
    /// No version was in force before.
    #[error("no version of {id} was in force before this one (installed: {have}): name one with --to VERSION")]
    NothingBefore {
        /// The plugin.
        id: DistroId,
        /// What is installed.
        have: String,
    },
    /// The version is in use.
    #[error(
        "{id} {version} is in force: go back to another version first (`retrace plugin rollback {id}`), or remove {id} as a whole"
    )]
    InForce {
        /// The plugin.
        id: DistroId,
        /// Its version.
        version: String,
    },
    /// The version that was asked for is damaged.
    #[error("{id} {version} cannot be used")]
    Damaged {
        /// The plugin.
        id: DistroId,
        /// Its version.
        version: String,
        /// What is wrong.
        #[source]
        reason: Refusal,
    },
}

/// What an error means for whoever asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The answer is no: not signed, not conformant, not compatible with what is there.
    Refused,
    /// It is no plugin that this host loads.
    NotLoadable,
    /// Files, usage, the machine.
    Failed,
}

impl LibraryError {
    /// What the error means.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::TooLarge { .. } | Self::BadPack { .. } | Self::NotLoadable { .. } => Verdict::NotLoadable,
            Self::Unsigned { .. }
            | Self::UnknownSigner { .. }
            | Self::Signature(_)
            | Self::NotConformant { .. }
            | Self::Duplicate { .. }
            | Self::VersionTaken { .. }
            | Self::NotLocked { .. }
            | Self::NothingBefore { .. }
            | Self::InForce { .. }
            | Self::Damaged { .. } => Verdict::Refused,
            Self::Io { .. }
            | Self::Unsafe { .. }
            | Self::Busy { .. }
            | Self::BadMetadata { .. }
            | Self::BadKey { .. }
            | Self::Conformance(_)
            | Self::Engine(_)
            | Self::NoFolder { .. }
            | Self::BadLock(_)
            | Self::Toml(_)
            | Self::NotInstalled { .. }
            | Self::NoVersion { .. } => Verdict::Failed,
        }
    }

    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
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

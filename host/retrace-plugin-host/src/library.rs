//! The plugins that an operator installed: what lies on disk, and how it gets there.
//!
//! ```text
//! STATE/plugins/
//!   <id>/<version>/plugin.wasm        the component
//!   <id>/<version>/plugin.wasm.asc    its detached OpenPGP signature, where there is one
//!   <id>/<version>/plugin.toml        what the author wrote about it, where there is one
//!   <id>/<version>/install.toml       our record: digest, signer, date, report (InstallRecord)
//!   <id>/current                      names the version in force, and behind it those that were before
//!   <id>/disabled                     this marker: no plugin of this id is loaded, not even a bundled one
//!   plugins.lock                      id, version, digest and signer of what is in force, for people and for `--lock`
//!   reload                            a number that `retrace plugin reload` counts up
//!   .lock                             held by whoever changes something
//!   .staging-*                        a half-finished install; never loaded, removed by the next change
//! ```
//!
//! A second file with the same version number gets a folder of its own, `<version>@<first digits of the digest>`: a
//! folder that exists is never written to, so a worker that read it stays right. What is in force changes by one atomic
//! rename of `current`; a process that is killed at any instant leaves the old state or the new one.
//!
//! [`Library::install`] takes a [`Submission`] through signature, static checks, compiling and the conformance suite; the
//! keys that count are those of a [`Trust`]. [`Library::inventory`] is what the registry loads, [`Installed::read`] gives the bytes after it compared their
//! digest, and [`Library::mark`] tells whether anything changed since.
//!
//! The folder is trusted as far as it belongs to this user or root and nobody else can write to it; this is checked.
//! Not here: compiling and calling plugins, the plugins that come with Retrace.

mod change;
mod error;
mod install;
mod inventory;
mod layout;
mod lock_file;
mod metadata;
mod record;
mod signing;
mod submission;
mod trust;
mod verify;

pub use change::Bundled;
pub use error::{LibraryError, Refusal, Verdict};
pub use install::{InstallOptions, Installation};
pub use inventory::{Installed, Inventory, Mark, Refused};
pub use layout::VersionFolder;
pub use lock_file::{LockedPlugin, PluginsLock};
pub use record::{InstallRecord, ReportSummary, Signer};
pub use signing::{MAX_SECRET_KEY_BYTES, NewKey, NewSignature, SigningError, generate_key, sign};
pub use submission::{Companions, Submission};
pub use trust::Trust;
pub use verify::Verification;

use std::path::{Path, PathBuf};

/// The plugins that an operator installed. Cheap to make; every function reads the disk anew.
#[derive(Clone, Debug)]
pub struct Library {
    dir: PathBuf,
}

impl Library {
    /// The library in this folder, usually `STATE/plugins`. A folder that does not exist is an empty library; installing
    /// makes it.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// Its folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

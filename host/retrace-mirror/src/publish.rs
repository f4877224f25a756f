//! The tree of what is kept: hard links to packages under names that people know, and metadata that makes each folder a
//! repository for dnf, apt and mock.
//!
//! [`publish()`] brings the folder of one repository, `<dir>/<distribution>/<version>/<architecture>/<repository>`, up to
//! date: packages first, then new metadata in a folder of its own, then one rename that exchanges it with the old, then what
//! is no longer wanted goes. Whoever is killed in between leaves the old repository or the new one, and never a package that
//! metadata lists but that is not there. Metadata of the generation before stays, for readers who began with it.
//!
//! What is published: packages with a verified copy in the store, in every version. What metadata says of a package is read
//! from the package itself; `rpm_md`, `deb`, `names` and `xml` make text of it and touch no file.
//!
//! Not here: which packages are kept, and serving the folder by HTTP.

mod build;
mod deb;
mod error;
mod names;
mod plan;
mod rpm_md;
mod spool;
mod state;
#[cfg(test)]
mod tests;
mod tree;
mod xml;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use retrace_package::Signer;
use retrace_store::{Repository, Scope, Store};
use tokio::sync::mpsc;

pub use self::error::PublishError;
use self::{plan::Plan, tree::Tree};
use crate::Progress;

/// Name of the file beside the distributions with the public key of the tree.
pub const KEY_FILE: &str = "retrace-tree-key.asc";

/// Where a tree lies and who signs it.
#[derive(Debug)]
pub struct PublishOptions {
    /// Folder of all repositories. On the file system of the store, packages take no space.
    pub dir: PathBuf,
    /// Signs the metadata; without it apt and dnf have to be told to trust the tree.
    pub signer: Option<Signer>,
}

/// What was done to the folder of a repository.
#[derive(Debug, Default)]
pub struct Publication {
    /// The folder.
    pub folder: PathBuf,
    /// Packages in it.
    pub packages: u64,
    /// Of these, newly linked.
    pub linked: u64,
    /// Newly copied, because the store lies on another file system or links are not possible.
    pub copied: u64,
    /// Files that were removed.
    pub removed: u64,
    /// Bytes of metadata written; 0 if the metadata was of these packages already.
    pub metadata_bytes: u64,
    /// Packages of the store that are not in it.
    pub left_out: Vec<LeftOut>,
    /// Wall-clock time.
    pub duration: Duration,
}

/// A package that is not published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The package.
    pub package: String,
    /// Why, and what would help.
    pub reason: String,
}

impl Publication {
    /// True if nothing was written or removed.
    #[must_use]
    pub fn is_unchanged(&self) -> bool {
        self.linked + self.copied + self.removed + self.metadata_bytes == 0
    }
}

/// The folder of a repository in the tree.
#[must_use]
pub fn folder_of(dir: &Path, repository: &Repository) -> PathBuf {
    let release = &repository.release;
    let parts = [release.distro.as_str(), release.version.as_str(), repository.architecture.as_str()];
    let mut folder: PathBuf = parts.into_iter().fold(dir.to_owned(), |folder, part| folder.join(names::folder(part)));
    folder.push(names::folder(&repository.spec.id));
    folder
}

/// Brings the folder of a repository up to date; nothing is written if it is. Waits while another process does the same.
///
/// # Errors
/// [`PublishError`]; the repository stays as it was, but new packages may lie in its folder already.
pub async fn publish(
    store: &Store,
    repository: &Repository,
    options: &Arc<PublishOptions>,
    progress: &dyn Progress,
) -> Result<Publication, PublishError> {
    let start = Instant::now();
    let scope = Scope { release: repository.release.clone(), architecture: repository.architecture };
    let mut packages = store.local_packages(&scope).await?;
    packages.retain(|package| package.repository == repository.key);
    let plan = Plan::new(store, repository, packages, options)?;
    let (tell, mut told) = mpsc::unbounded_channel();
    let options = Arc::clone(options);
    let work = tokio::task::spawn_blocking(move || {
        // Nobody listens only if nobody waits for the result either.
        let tell = |message: String| drop(tell.send(message));
        tell(format!("Publishing {}", plan.label));
        tree::export_key(&options)?;
        let tree = Tree::open(&plan.folder)?;
        build::run(&plan, &tree, options.signer.as_ref(), &tell)
    });
    while let Some(message) = told.recv().await {
        progress.step(&message);
    }
    let done = work.await.map_err(|source| PublishError::StepLost { source })?;
    done.map(|publication| Publication { duration: start.elapsed(), ..publication })
}

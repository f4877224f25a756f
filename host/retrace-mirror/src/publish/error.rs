use std::{io, path::PathBuf};

use retrace_package::SignError;
use retrace_store::StoreError;

/// Why a repository was not published. Each names the file and what mends it.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The index failed.
    #[error("the index of packages failed")]
    Store(#[from] StoreError),
    /// The packages are objects in a bucket.
    #[error(
        "the tree is made of links to packages in the store's folder, but artifacts.url keeps them in a bucket: publish where \
         they are kept in a folder"
    )]
    NoFolder,
    /// A file of the tree cannot be made, read or removed.
    #[error("cannot {action} {path}: check space and permissions of the tree")]
    File {
        /// `read`, `write`, `link`, `remove` or `lock`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The folder of the repository is somebody else's.
    #[error(
        "{folder} holds files that Retrace did not put there: empty it, or choose another folder for the tree (publish.dir)"
    )]
    Occupied {
        /// The folder.
        folder: PathBuf,
    },
    /// The copy of a package is not what it was when it was verified.
    #[error("{path} was damaged since it was verified: remove it, the package is fetched again when it is needed")]
    Damaged {
        /// The file in the store.
        path: PathBuf,
    },
    /// The metadata cannot be signed.
    #[error("the metadata cannot be signed")]
    Sign(#[from] SignError),
    /// The work was lost: the program ends, or there is a fault in it.
    #[error("publishing did not end; report this if the program was not being ended")]
    StepLost {
        /// Why.
        source: tokio::task::JoinError,
    },
}

impl PublishError {
    pub(super) fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }
}

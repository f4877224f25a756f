use std::{io, path::PathBuf, sync::Arc};

use retrace_types::BuildId;

use crate::PackageError;

/// Why a file is not in the cache.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// A file or folder of the cache cannot be made, linked, read or removed.
    #[error("cannot {action} {path}: check its rights and the free space")]
    Io {
        /// What was tried: `create`, `link`, `lock`, `read`, `remove`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The package cannot be unpacked.
    #[error("cannot unpack {package}")]
    Unpack {
        /// The package file.
        package: PathBuf,
        /// Why.
        source: Arc<PackageError>,
    },
    /// The package does not hold the file that was asked for.
    #[error("{package} holds no file with build-id {build_id}: the index is wrong about it, scan the package again")]
    NotInPackage {
        /// The package file.
        package: PathBuf,
        /// The build-id that was asked for.
        build_id: BuildId,
    },
    /// The package does not hold the source file that was asked for.
    #[error("{package} holds no {member}")]
    NoMember {
        /// The package file.
        package: PathBuf,
        /// Path of the file.
        member: String,
    },
    /// The file that came out of the package is another one.
    #[error(
        "{member} of {package} has {found}, not build-id {wanted}: the index is wrong about it, scan the package again"
    )]
    WrongBuildId {
        /// The package file, or where else the file came from.
        package: PathBuf,
        /// Path of the file in the package.
        member: String,
        /// The build-id that was asked for.
        wanted: BuildId,
        /// What it has: `build-id ..` or `no build-id`.
        found: String,
    },
    /// A background step was lost.
    #[error("unpacking {package} stopped before its end; this is a defect, please report it")]
    Lost {
        /// The package file.
        package: PathBuf,
    },
}

impl CacheError {
    /// For `map_err`: names what was tried on which path.
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}

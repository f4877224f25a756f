//! An archive that lies on the server already: the header `X-CoreFileDirectory`.

use std::{
    fs::{self, File},
    io::Read as _,
    path::{Path, PathBuf},
};

use super::Format;
use crate::ApiError;

/// As many bytes as it takes to tell the formats.
const BEGINNING_BYTES: u64 = 512;

/// The one file of a folder, which must lie below one of `allowed`. Blocking.
///
/// # Errors
/// In the predecessor's order: [`ApiError::NoSuchDirectory`], [`ApiError::NotOneFile`], [`ApiError::OtherFormat`]; before
/// them [`ApiError::ExternalDirectory`] if the folder is not below one that the operator allows, links resolved;
/// [`ApiError::ArchiveTooLarge`].
pub(crate) fn only_file(dir: &Path, format: Format, allowed: &[PathBuf], max_bytes: u64) -> Result<PathBuf, ApiError> {
    let resolved = dir.canonicalize().map_err(|_| ApiError::NoSuchDirectory)?;
    let is_below = |root: &PathBuf| root.canonicalize().is_ok_and(|root| resolved.starts_with(root));
    // A stranger must not learn what lies elsewhere on this machine.
    if !dir.is_absolute() || !allowed.iter().any(is_below) {
        return Err(ApiError::ExternalDirectory);
    }
    let mut entries = fs::read_dir(&resolved).map_err(|_| ApiError::NoSuchDirectory)?;
    let (Some(entry), None) = (entries.next(), entries.next()) else { return Err(ApiError::NotOneFile) };
    let path = entry?.path();
    let metadata = fs::symlink_metadata(&path)?;
    if !metadata.is_file() {
        return Err(ApiError::NotOneFile);
    }
    if metadata.len() > max_bytes {
        return Err(ApiError::ArchiveTooLarge { limit_mib: max_bytes / super::MIB });
    }
    let mut beginning = Vec::new();
    File::open(&path)?.take(BEGINNING_BYTES).read_to_end(&mut beginning)?;
    if format.begins(&beginning) { Ok(path) } else { Err(ApiError::OtherFormat) }
}

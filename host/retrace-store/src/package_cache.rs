//! Copies of packages that lie in a bucket, for who reads them on this machine.
//!
//! A file gets its name, which is its digest, after its digest was checked. The folder may be shared by processes, and be
//! emptied at any time nobody reads. When it grows over its limit the files that were used least recently go; one that was
//! used within [`CACHE_GRACE`] stays, since somebody may be about to open it: the limit gives way for so long.

use std::{
    collections::HashMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use futures_util::StreamExt as _;
use object_store::{ObjectStore, ObjectStoreExt as _};
use retrace_types::Sha256;
use sha2::{Digest as _, Sha256 as Hasher};
use tempfile::NamedTempFile;
use tokio::io::AsyncWriteExt as _;

use crate::{
    StoreError,
    artifacts::{failed, package_name},
};

/// How long a file stays after its last use, whatever the limit.
pub const CACHE_GRACE: Duration = Duration::from_secs(1800);

/// The folder is looked through again after this part of its limit was written.
const LOOK_AFTER: u64 = 16;

/// Packages by digest, in a folder of their own.
#[derive(Debug)]
pub(crate) struct PackageCache {
    dir: PathBuf,
    limit_bytes: u64,
    /// Bytes that were written since the folder was last looked through.
    written: AtomicU64,
    /// Of many who want a package, one fetches it.
    fetching: Mutex<HashMap<Sha256, Weak<tokio::sync::Mutex<()>>>>,
}

impl PackageCache {
    /// A cache in this folder, which is made where it is missing.
    pub(crate) fn new(dir: &Path, limit_bytes: u64) -> Result<Self, StoreError> {
        let folder = |source| StoreError::Folder { path: dir.to_owned(), source };
        let dir = std::path::absolute(dir).map_err(folder)?;
        fs::create_dir_all(&dir).map_err(folder)?;
        // What an earlier process left counts: the first file that comes looks.
        let written = AtomicU64::new(limit_bytes);
        Ok(Self { dir, limit_bytes, written, fetching: Mutex::default() })
    }

    /// The name that a package has here, or would have.
    pub(crate) fn path(&self, sha256: &Sha256) -> PathBuf {
        self.dir.join(sha256.to_string())
    }

    /// The copy of a package, fetched if it is not here; none if there is no such object.
    pub(crate) async fn get(&self, objects: &dyn ObjectStore, sha256: &Sha256) -> Result<Option<PathBuf>, StoreError> {
        let path = self.path(sha256);
        if use_now(&path) {
            return Ok(Some(path));
        }
        let turn = self.turn(sha256);
        let _turn = turn.lock().await;
        if use_now(&path) {
            return Ok(Some(path));
        }
        let name = package_name(sha256);
        let Some((file, digest, size_bytes)) = self.download(objects, sha256).await? else { return Ok(None) };
        if digest != *sha256 {
            return Err(StoreError::DamagedArtifact { name: name.to_string(), expected: *sha256 });
        }
        file.persist(&path).map_err(|error| StoreError::File { path: path.clone(), source: error.error })?;
        self.make_room(size_bytes).await;
        Ok(Some(path))
    }

    /// What is stored of a package, unchecked; none if there is no such object.
    pub(crate) async fn fetch(
        &self,
        objects: &dyn ObjectStore,
        sha256: &Sha256,
    ) -> Result<Option<NamedTempFile>, StoreError> {
        Ok(self.download(objects, sha256).await?.map(|(file, ..)| file))
    }

    /// Removes the copy of a package: it is not stored any more, or another file is.
    pub(crate) fn forget(&self, sha256: &Sha256) {
        let path = self.path(sha256);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, path = %path.display(), "cannot remove a file of the cache");
            }
            _ => {}
        }
    }

    fn turn(&self, sha256: &Sha256) -> Arc<tokio::sync::Mutex<()>> {
        let mut fetching = self.fetching.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = fetching.get(sha256).and_then(Weak::upgrade) {
            return turn;
        }
        fetching.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::default();
        fetching.insert(*sha256, Arc::downgrade(&turn));
        turn
    }

    /// An object as a file without a name of its own, with its digest and size.
    async fn download(
        &self,
        objects: &dyn ObjectStore,
        sha256: &Sha256,
    ) -> Result<Option<(NamedTempFile, Sha256, u64)>, StoreError> {
        let name = package_name(sha256);
        let found = match objects.get(&name).await {
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            found => found.map_err(failed("read", &name))?,
        };
        let unwritable = |source| StoreError::File { path: self.dir.clone(), source };
        let file = tempfile::Builder::new().prefix(".part-").tempfile_in(&self.dir).map_err(unwritable)?;
        let mut out = tokio::fs::File::from_std(file.as_file().try_clone().map_err(unwritable)?);
        let (mut hasher, mut size_bytes) = (Hasher::new(), 0_u64);
        let mut content = found.into_stream();
        while let Some(chunk) = content.next().await {
            let chunk = chunk.map_err(failed("read", &name))?;
            hasher.update(&chunk);
            size_bytes = size_bytes.saturating_add(chunk.len() as u64);
            out.write_all(&chunk).await.map_err(unwritable)?;
        }
        out.flush().await.map_err(unwritable)?;
        Ok(Some((file, Sha256::from_bytes(hasher.finalize().into()), size_bytes)))
    }

    /// Notes that a file came, and removes old ones where that makes the folder too large.
    pub(crate) async fn make_room(&self, bytes: u64) {
        let written = self.written.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        if written < self.limit_bytes / LOOK_AFTER {
            return;
        }
        self.written.store(0, Ordering::Relaxed);
        let (dir, limit) = (self.dir.clone(), self.limit_bytes);
        let trimmed = tokio::task::spawn_blocking(move || trim(&dir, limit, SystemTime::now())).await;
        match trimmed.map_err(io::Error::other).flatten() {
            Ok(0) => {}
            Ok(bytes) => tracing::info!(bytes, "Removed {bytes} bytes of packages from the cache"),
            Err(error) => tracing::warn!(%error, dir = %self.dir.display(), "cannot trim the cache of packages"),
        }
    }
}

/// Notes the use of a file; false if there is none.
fn use_now(path: &Path) -> bool {
    // Who may not change the time may still read.
    File::open(path).map(|file| file.set_modified(SystemTime::now())).is_ok()
}

/// Removes what was used least recently until the rest is within the limit; returns the bytes that went.
fn trim(dir: &Path, limit_bytes: u64, now: SystemTime) -> io::Result<u64> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        match entry.metadata() {
            Ok(metadata) if metadata.is_file() => files.push((metadata.modified()?, metadata.len(), entry.path())),
            // Another process trims as well.
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    let mut total = files.iter().map(|(_, bytes, _)| bytes).fold(0_u64, |sum, bytes| sum.saturating_add(*bytes));
    files.sort();
    let mut removed = 0_u64;
    for (used, bytes, path) in files {
        // A time in the future is a use just now.
        let is_old = now.duration_since(used).is_ok_and(|age| age >= CACHE_GRACE);
        if total <= limit_bytes || !is_old {
            break;
        }
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {
                total = total.saturating_sub(bytes);
                removed = removed.saturating_add(bytes);
            }
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_least_recently_goes_and_what_may_be_in_use_stays() {
        let dir = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        for (name, minutes) in [("old", 300), ("older", 600), ("new", 1), ("recent", 40)] {
            let file = File::create(dir.path().join(name)).unwrap();
            file.set_len(100).unwrap();
            file.set_modified(now - Duration::from_secs(60 * minutes)).unwrap();
        }
        let left = || {
            let mut names: Vec<_> = fs::read_dir(dir.path())
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        };
        assert_eq!(trim(dir.path(), 400, now).unwrap(), 0);
        assert_eq!(trim(dir.path(), 250, now).unwrap(), 200);
        assert_eq!(left(), ["new", "recent"]);
        assert_eq!(trim(dir.path(), 0, now).unwrap(), 100);
        assert_eq!(left(), ["new"]);
        // Its next use is now.
        assert!(use_now(&dir.path().join("new")) && !use_now(&dir.path().join("old")));
    }
}

//! Packages as files: taking them in, reading them, removing them.
//!
//! In a folder each package is one file, linked in and read where it lies. In a bucket it is an object, and who reads it gets
//! a copy in the local cache, whose digest was checked on the way.

use std::{
    fs::{self, Permissions},
    io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use retrace_types::Sha256;
use tempfile::TempPath;

use crate::{
    Store, StoreError,
    artifacts::{Place, package_name},
};

/// Bytes read at once.
pub(crate) const CHUNK_BYTES: usize = 1 << 20;
/// Bytes of one part of an upload. Services take no smaller ones than 5 MiB, and no more than 10,000 parts.
pub(crate) const PART_BYTES: usize = 8 << 20;
/// Parts under way at once.
pub(crate) const PARTS_UNDER_WAY: usize = 2;

/// A package to be read, as it is stored at this moment.
#[derive(Debug)]
pub struct PackageFile {
    path: PathBuf,
    /// Goes with this value.
    _fetched: Option<TempPath>,
}

impl PackageFile {
    /// Where it lies, as long as this value lives; there is no file if there is no such package.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Store {
    /// The file of a package to read from; none if the package is not stored. Of a bucket it is a copy in the cache, whose
    /// content was checked, and which stays for at least [`CACHE_GRACE`](crate::CACHE_GRACE).
    ///
    /// # Errors
    /// [`StoreError::Artifact`]; [`StoreError::DamagedArtifact`] if the bucket's object has another content;
    /// [`StoreError::File`] if the cache cannot be written.
    pub async fn package_path(&self, sha256: &Sha256) -> Result<Option<PathBuf>, StoreError> {
        match &self.artifacts.place {
            Place::Folder(_) => Ok(self.local_package_path(sha256).filter(|path| path.exists())),
            Place::Bucket(bucket) => bucket.cache.get(&*self.artifacts.objects, sha256).await,
        }
    }

    /// Where the file of a package lies, or would lie, in the store's folder; none where packages are objects in a bucket.
    #[must_use]
    pub fn local_package_path(&self, sha256: &Sha256) -> Option<PathBuf> {
        match &self.artifacts.place {
            Place::Folder(_) => Some(self.package_location(sha256)),
            Place::Bucket(_) => None,
        }
    }

    /// Where a package is, or would be, for people: a path, or the address of an object.
    #[must_use]
    pub fn package_location(&self, sha256: &Sha256) -> PathBuf {
        self.artifacts.location(&package_name(sha256))
    }

    /// True if a package is stored, whatever its content; a copy in the cache does not count.
    ///
    /// # Errors
    /// [`StoreError::Artifact`].
    pub async fn has_package_file(&self, sha256: &Sha256) -> Result<bool, StoreError> {
        match self.local_package_path(sha256) {
            Some(path) => Ok(path.exists()),
            None => Ok(self.artifacts.size(&package_name(sha256)).await?.is_some()),
        }
    }

    /// The package as it is stored, unchecked and around the cache: for who checks what is stored.
    ///
    /// # Errors
    /// [`StoreError::Artifact`], [`StoreError::File`].
    pub async fn stored_package_file(&self, sha256: &Sha256) -> Result<PackageFile, StoreError> {
        match &self.artifacts.place {
            Place::Folder(_) => Ok(PackageFile { path: self.package_location(sha256), _fetched: None }),
            Place::Bucket(bucket) => {
                let fetched = bucket.cache.fetch(&*self.artifacts.objects, sha256).await?;
                let path =
                    fetched.as_ref().map_or_else(|| self.package_location(sha256), |file| file.path().to_owned());
                Ok(PackageFile { path, _fetched: fetched.map(|file| file.into_temp_path()) })
            }
        }
    }

    /// Takes in a package file whose digest the caller has computed and that nobody writes to any more, and returns where it
    /// is read from. What is there is replaced whole: who has it open, or a link to it, keeps the old one.
    ///
    /// The file gets a second name where it lies on the store's file system; else it is copied, and digested on the way.
    ///
    /// # Errors
    /// [`StoreError::DigestMismatch`] if a copied file has another digest; what is there stays then.
    pub async fn take_package_file(&self, path: &Path, sha256: &Sha256) -> Result<PathBuf, StoreError> {
        let stored = match &self.artifacts.place {
            Place::Folder(_) => self.package_location(sha256),
            Place::Bucket(bucket) => {
                self.write_package_file(path, sha256).await?;
                bucket.cache.path(sha256)
            }
        };
        if link(path, &stored).is_err() {
            match &self.artifacts.place {
                Place::Folder(_) => self.write_package_file(path, sha256).await?,
                Place::Bucket(bucket) => {
                    // On another file system: it comes back.
                    bucket.cache.forget(sha256);
                    let name = || package_name(sha256).to_string();
                    return self.package_path(sha256).await?.ok_or_else(|| StoreError::LostArtifact { name: name() });
                }
            }
        }
        Ok(stored)
    }

    /// Copies a package file into the store, in the place of what is there.
    async fn write_package_file(&self, path: &Path, sha256: &Sha256) -> Result<(), StoreError> {
        let is_it = |digest: &Sha256| digest == sha256;
        if self.artifacts.write_file(&package_name(sha256), path, is_it).await? {
            return Ok(());
        }
        Err(StoreError::DigestMismatch { path: path.to_owned(), expected: *sha256 })
    }

    /// The bytes of the package that was there; 0 if there was none.
    pub(crate) async fn remove_package_file(&self, sha256: &Sha256) -> Result<u64, StoreError> {
        let name = package_name(sha256);
        match &self.artifacts.place {
            Place::Folder(dir) => remove(&dir.join(name.as_ref())),
            Place::Bucket(bucket) => {
                bucket.cache.forget(sha256);
                let size_bytes = self.artifacts.size(&name).await?;
                self.artifacts.remove(&name).await?;
                Ok(size_bytes.unwrap_or(0))
            }
        }
    }
}

/// Gives a file a second name, in the place of what has it.
pub(crate) fn link(path: &Path, stored: &Path) -> io::Result<()> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    /// The published tree has links to it, which a web server reads.
    const MODE: u32 = 0o644;
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    // As the object store names what it has not finished.
    let mut part = stored.to_owned().into_os_string();
    part.push(format!("#{}-{number}", std::process::id()));
    if let Some(folder) = stored.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::hard_link(path, &part)?;
    let renamed = fs::set_permissions(&part, Permissions::from_mode(MODE)).and_then(|()| fs::rename(&part, stored));
    // A rename over another name of the same file does nothing; see rename(2).
    let _ = fs::remove_file(&part);
    renamed
}

/// The bytes of the file that was there; 0 if there was none.
pub(crate) fn remove(path: &Path) -> Result<u64, StoreError> {
    let failed = |source| StoreError::Remove { path: path.to_owned(), source };
    let removed = fs::metadata(path).and_then(|metadata| fs::remove_file(path).map(|()| metadata.len()));
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        removed => removed.map_err(failed),
    }
}

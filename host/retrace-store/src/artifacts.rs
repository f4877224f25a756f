//! Where artifacts lie: in the store's folder, or in a bucket of an S3-compatible service.
//!
//! Names are the same in both: `packages/ab/abcd…` by SHA-256, `tasks/<id>/input/…` for what was uploaded (buckets only: else
//! the task's folder holds it), `tasks/<id>/results/<try>/…` for what a try came to.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use futures_util::TryStreamExt as _;
use object_store::{
    ObjectStore, ObjectStoreExt as _, WriteMultipart, local::LocalFileSystem, path::Path as ObjectPath,
};
use retrace_types::{Sha256, TaskId};
use sha2::{Digest as _, Sha256 as Hasher};
use tokio::io::AsyncReadExt as _;

use crate::{
    StoreError,
    package_cache::PackageCache,
    package_files::{CHUNK_BYTES, PART_BYTES, PARTS_UNDER_WAY},
    s3::{self, S3Options},
    store::TASKS,
};

/// Folder of the packages among the artifacts.
pub(crate) const PACKAGES: &str = "packages";

/// The artifacts of a store. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Artifacts {
    pub(crate) objects: Arc<dyn ObjectStore>,
    pub(crate) place: Place,
}

/// What a store can do beside putting and getting.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// Every object is a file: it can be linked, and read where it is.
    Folder(Arc<Path>),
    /// Objects are fetched to be read.
    Bucket(Arc<Bucket>),
}

/// What a bucket needs on this machine.
#[derive(Debug)]
pub(crate) struct Bucket {
    /// `s3://bucket/prefix`, for people.
    pub(crate) url: String,
    /// Copies of the packages that are being read.
    pub(crate) cache: PackageCache,
    /// Held by an upload of a task's input: each takes some dozen MiB of memory.
    pub(crate) uploads: Arc<tokio::sync::Semaphore>,
    /// When the bucket was last searched for what no task has.
    pub(crate) swept: tokio::sync::Mutex<Option<tokio::time::Instant>>,
}

/// Inputs of tasks that one process uploads at once.
const PARALLEL_UPLOADS: usize = 4;

impl Artifacts {
    /// In a folder that exists.
    pub(crate) fn local(dir: &Path) -> Result<Self, StoreError> {
        let objects = LocalFileSystem::new_with_prefix(dir).map_err(failed("open the folder of", ""))?;
        Ok(Self { objects: Arc::new(objects.with_fsync(true)), place: Place::Folder(dir.into()) })
    }

    /// In a bucket. Nothing is asked of it yet.
    pub(crate) fn s3(options: &S3Options) -> Result<Self, StoreError> {
        let objects = s3::open(options)?;
        let cache = PackageCache::new(&options.cache_dir, options.cache_bytes)?;
        let bucket = Bucket {
            url: options.url.trim_end_matches('/').to_owned(),
            cache,
            uploads: Arc::new(tokio::sync::Semaphore::new(PARALLEL_UPLOADS)),
            swept: tokio::sync::Mutex::default(),
        };
        Ok(Self { objects, place: Place::Bucket(Arc::new(bucket)) })
    }

    /// The bucket; none for a folder.
    pub(crate) fn bucket(&self) -> Option<&Bucket> {
        match &self.place {
            Place::Folder(_) => None,
            Place::Bucket(bucket) => Some(bucket),
        }
    }

    /// Where an object is, for people: a file, or an address.
    pub(crate) fn location(&self, name: &ObjectPath) -> PathBuf {
        match &self.place {
            Place::Folder(dir) => dir.join(name.as_ref()),
            Place::Bucket(bucket) => PathBuf::from(format!("{}/{name}", bucket.url)),
        }
    }

    /// The size of an object; none if there is no such object.
    pub(crate) async fn size(&self, name: &ObjectPath) -> Result<Option<u64>, StoreError> {
        match self.objects.head(name).await {
            Ok(found) => Ok(Some(found.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed("look for", name)(error)),
        }
    }

    /// Copies a file into the store, in the place of what is there, whole or not at all; not if the digest of what was read
    /// is no good one. Says whether it was.
    pub(crate) async fn write_file(
        &self,
        name: &ObjectPath,
        path: &Path,
        is_good: impl FnOnce(&Sha256) -> bool,
    ) -> Result<bool, StoreError> {
        let unreadable = |source| StoreError::File { path: path.to_owned(), source };
        let failed = || failed("write", name);
        let mut file = tokio::fs::File::open(path).await.map_err(unreadable)?;
        let upload = self.objects.put_multipart(name).await.map_err(failed())?;
        let mut upload = WriteMultipart::new_with_chunk_size(upload, PART_BYTES);
        let mut hasher = Hasher::new();
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            let length = file.read(&mut buffer).await.map_err(unreadable)?;
            let Some(chunk) = buffer.get(..length).filter(|chunk| !chunk.is_empty()) else { break };
            hasher.update(chunk);
            upload.wait_for_capacity(PARTS_UNDER_WAY).await.map_err(failed())?;
            upload.write(chunk);
        }
        if !is_good(&Sha256::from_bytes(hasher.finalize().into())) {
            upload.abort().await.map_err(failed())?;
            return Ok(false);
        }
        upload.finish().await.map_err(failed())?;
        Ok(true)
    }

    /// Removes an object; one that is gone is no error.
    pub(crate) async fn remove(&self, name: &ObjectPath) -> Result<(), StoreError> {
        match self.objects.delete(name).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed("remove", name)(error)),
        }
    }

    /// Removes all objects whose names begin with these parts.
    pub(crate) async fn remove_all(&self, prefix: &ObjectPath) -> Result<(), StoreError> {
        let found: Vec<_> = self.objects.list(Some(prefix)).try_collect().await.map_err(failed("list", prefix))?;
        for object in found {
            self.remove(&object.location).await?;
        }
        Ok(())
    }
}

/// An error about one object, or about all below a name.
pub(crate) fn failed(action: &'static str, name: impl ToString) -> impl FnOnce(object_store::Error) -> StoreError {
    let name = name.to_string();
    move |source| StoreError::Artifact { action, name, source }
}

pub(crate) fn package_name(sha256: &Sha256) -> ObjectPath {
    let digest = sha256.to_string();
    let first = digest.get(..2).unwrap_or_default();
    ObjectPath::from_iter([PACKAGES, first, &digest])
}

/// What the names of all objects of a task begin with.
pub(crate) fn task_objects(task: TaskId) -> ObjectPath {
    ObjectPath::from_iter([TASKS, &task.to_string()])
}

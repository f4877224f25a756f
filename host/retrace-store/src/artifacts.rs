//! Artifacts: packages by their content, results by task.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream::BoxStream};
use object_store::{ObjectStoreExt as _, PutPayload, WriteMultipart, path::Path as ObjectPath};
use retrace_types::{Sha256, TaskId};
use sha2::{Digest as _, Sha256 as Hasher};
use tokio::io::AsyncReadExt as _;

use crate::{Store, StoreError, store::TASKS};

/// Folder of the packages among the artifacts.
pub(crate) const PACKAGES: &str = "packages";
/// Bytes written at once.
const CHUNK_BYTES: usize = 1 << 20;

impl Store {
    /// Copies a package file into the store, in the place of what is there.
    pub(crate) async fn write_package_file(&self, path: &Path, sha256: &Sha256) -> Result<(), StoreError> {
        let unreadable = |source| StoreError::File { path: path.to_owned(), source };
        let name = package_name(sha256);
        let failed = |source| StoreError::Artifact { action: "write", name: name.to_string(), source };
        let mut file = tokio::fs::File::open(path).await.map_err(unreadable)?;
        let upload = self.artifacts.put_multipart(&name).await.map_err(failed)?;
        let mut upload = WriteMultipart::new_with_chunk_size(upload, CHUNK_BYTES * 8);
        let mut hasher = Hasher::new();
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            let length = file.read(&mut buffer).await.map_err(unreadable)?;
            let Some(chunk) = buffer.get(..length).filter(|chunk| !chunk.is_empty()) else { break };
            hasher.update(chunk);
            upload.wait_for_capacity(2).await.map_err(failed)?;
            upload.write(chunk);
        }
        if Sha256::from_bytes(hasher.finalize().into()) != *sha256 {
            upload.abort().await.map_err(failed)?;
            return Err(StoreError::DigestMismatch { path: path.to_owned(), expected: *sha256 });
        }
        upload.finish().await.map_err(failed)?;
        Ok(())
    }

    /// Where a package with this digest lies, if it is stored.
    ///
    /// # Errors
    /// [`StoreError::Artifact`] if the store has no local folder.
    pub fn package_path(&self, sha256: &Sha256) -> Result<PathBuf, StoreError> {
        let name = package_name(sha256);
        let failed = |source| StoreError::Artifact { action: "locate", name: name.to_string(), source };
        self.artifacts.path_to_filesystem(&name).map_err(failed)
    }

    /// Stores one result of a task: `backtrace`, `backtrace.json`, `log`. An older one of this name is replaced.
    ///
    /// # Errors
    /// [`StoreError::Artifact`].
    pub async fn put_task_result(&self, task: TaskId, name: &str, content: &[u8]) -> Result<(), StoreError> {
        let name = task_result_name(task, name);
        let payload = PutPayload::from_bytes(Bytes::copy_from_slice(content));
        let put = self.artifacts.put(&name, payload).await;
        put.map(|_| ()).map_err(|source| StoreError::Artifact { action: "write", name: name.to_string(), source })
    }

    /// One result of a task, to be read as it is sent; none if the task has no such result.
    ///
    /// # Errors
    /// [`StoreError::Artifact`].
    pub async fn task_result(&self, task: TaskId, name: &str) -> Result<Option<TaskResult>, StoreError> {
        let name = task_result_name(task, name);
        let shown = name.to_string();
        let failed = move |source| StoreError::Artifact { action: "read", name: shown.clone(), source };
        match self.artifacts.get(&name).await {
            Ok(found) => {
                let size_bytes = found.meta.size;
                Ok(Some(TaskResult { size_bytes, content: found.into_stream().map_err(failed).boxed() }))
            }
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(failed(source)),
        }
    }
}

/// One result of a task.
pub struct TaskResult {
    /// Its size.
    pub size_bytes: u64,
    /// Its bytes. A result that is replaced meanwhile is read as it was.
    pub content: BoxStream<'static, Result<Bytes, StoreError>>,
}

impl TaskResult {
    /// All bytes at once.
    ///
    /// # Errors
    /// [`StoreError::Artifact`].
    pub async fn bytes(self) -> Result<Vec<u8>, StoreError> {
        let append = |mut all: Vec<u8>, chunk: Bytes| {
            all.extend_from_slice(&chunk);
            std::future::ready(Ok(all))
        };
        self.content.try_fold(Vec::new(), append).await
    }
}

pub(crate) fn package_name(sha256: &Sha256) -> ObjectPath {
    let digest = sha256.to_string();
    let first = digest.get(..2).unwrap_or_default();
    ObjectPath::from_iter([PACKAGES, first, &digest])
}

/// What all results of a task begin with.
pub(crate) fn task_results(task: TaskId) -> ObjectPath {
    ObjectPath::from_iter([TASKS, &task.to_string()])
}

/// Parts are escaped by the object store: a name never leaves the task's folder.
fn task_result_name(task: TaskId, name: &str) -> ObjectPath {
    task_results(task).join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn results_are_replaced_whole_and_stay_in_their_folder() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).await.unwrap();
        let task = TaskId::try_from(123_456_789).unwrap();
        assert!(store.task_result(task, "log").await.unwrap().is_none());
        for text in ["first", "second"] {
            store.put_task_result(task, "log", text.as_bytes()).await.unwrap();
            let found = store.task_result(task, "log").await.unwrap().unwrap();
            assert_eq!(found.size_bytes, text.len() as u64);
            assert_eq!(found.bytes().await.unwrap(), text.as_bytes());
        }
        store.put_task_result(task, "../../escape", b"x").await.unwrap();
        assert!(!dir.path().join("artifacts/escape").exists());
        assert_eq!(store.task_result(task, "../../escape").await.unwrap().unwrap().bytes().await.unwrap(), b"x");
    }
}

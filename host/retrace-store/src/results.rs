//! Results of tasks. Each try writes into a folder of its own; the update that finishes the task names the one that counts.
//!
//! A worker that was thought dead may write for as long as it lives: nobody reads its folder.

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream::BoxStream};
use object_store::{ObjectStoreExt as _, PutPayload, path::Path as ObjectPath};
use retrace_types::TaskId;

use crate::{
    Lease, Store, StoreError,
    artifacts::{failed, task_objects},
    tasks::id_to_row,
};

/// Folder of the results among a task's objects.
const RESULTS: &str = "results";

impl Store {
    /// Stores one result of a task: `backtrace`, `backtrace.json`, `log`. Nobody sees it before
    /// [`finish`](Self::finish) with this very lease.
    ///
    /// # Errors
    /// [`StoreError::Artifact`].
    pub async fn put_task_result(&self, lease: &Lease, name: &str, content: &[u8]) -> Result<(), StoreError> {
        let name = folder(lease.task, Some(&lease.results)).join(name);
        let payload = PutPayload::from_bytes(Bytes::copy_from_slice(content));
        let put = self.artifacts.objects.put(&name, payload).await;
        put.map(drop).map_err(failed("write", &name))
    }

    /// One result of a finished task, to be read as it is sent; none if the task has no such result.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Artifact`].
    pub async fn task_result(&self, task: TaskId, name: &str) -> Result<Option<TaskResult>, StoreError> {
        let Some(results) = self.current_results(task).await? else { return Ok(None) };
        // Parts are escaped by the object store: a name never leaves the task's folder.
        let name = folder(task, results.as_deref()).join(name);
        match self.artifacts.objects.get(&name).await {
            Ok(found) => {
                let size_bytes = found.meta.size;
                let content = found.into_stream().map_err(move |error| failed("read", &name)(error)).boxed();
                Ok(Some(TaskResult { size_bytes, content }))
            }
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed("read", &name)(error)),
        }
    }

    /// The folder that the task's row names; the outer none: there is no such task.
    pub(crate) async fn current_results(&self, task: TaskId) -> Result<Option<Option<String>>, StoreError> {
        sqlx::query_scalar("SELECT results FROM tasks WHERE id = $1")
            .bind(id_to_row(task))
            .fetch_optional(&self.database.pool)
            .await
            .map_err(StoreError::database("look for a task's results"))
    }

    /// Removes what tries before this one left. To be called after [`finish`](Self::finish).
    pub(crate) async fn remove_other_results(&self, lease: &Lease) -> Result<(), StoreError> {
        let all = task_objects(lease.task).join(RESULTS);
        let found = self.artifacts.objects.list_with_delimiter(Some(&all)).await.map_err(failed("list", &all))?;
        let current = folder(lease.task, Some(&lease.results));
        for other in found.common_prefixes.iter().filter(|folder| **folder != current) {
            self.artifacts.remove_all(other).await?;
        }
        Ok(())
    }
}

/// Without a try: where earlier versions put all results.
pub(crate) fn folder(task: TaskId, results: Option<&str>) -> ObjectPath {
    let objects = task_objects(task);
    match results {
        Some(results) => objects.join(RESULTS).join(results),
        None => objects,
    }
}

/// One result of a task.
pub struct TaskResult {
    /// Its size.
    pub size_bytes: u64,
    /// Its bytes.
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

#[cfg(test)]
mod tests;

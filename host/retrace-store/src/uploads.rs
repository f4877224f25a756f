//! Tasks before and after the queue: an upload is kept alive until it is submitted, a task is deleted with its files.
//!
//! The row comes first and goes first. A folder without a row is therefore rubbish, whatever was killed when, and
//! [`Store::remove_abandoned`] may remove it.

use std::{collections::HashSet, io, path::Path, time::Duration};

use futures_util::TryStreamExt as _;
use object_store::ObjectStore as _;
use retrace_types::{TaskId, TaskStatus};

use crate::{
    NewTask, Store, StoreError,
    artifacts::task_results,
    rows,
    store::{ARTIFACTS, TASKS},
    tasks::{expiry, id_to_row, read_id},
};

/// How long an upload lives without [`Store::keep_upload`].
pub const UPLOAD_LEASE: Duration = Duration::from_secs(120);

/// Tries to find a free random id.
const ID_TRIES: u32 = 50;

impl Store {
    /// Makes a task with a free random id. No worker sees it before [`submit_task`](Self::submit_task); until then it lives
    /// for [`UPLOAD_LEASE`].
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Random`], [`StoreError::NoFreeTaskId`].
    pub async fn create_task(&self, new: &NewTask) -> Result<TaskId, StoreError> {
        for _ in 0..ID_TRIES {
            let (id, now) = (random_task_id()?, rows::now_ms());
            let done = sqlx::query(
                "INSERT INTO tasks (id, kind, status, password_sha256, created_at, attempts, lease_expires_at)
                 VALUES (?, ?, ?, ?, ?, 0, ?) ON CONFLICT DO NOTHING",
            )
            .bind(id_to_row(id))
            .bind(i64::from(new.kind.number()))
            .bind(i64::from(TaskStatus::Analyze.number()))
            .bind(new.password_sha256.as_bytes().as_slice())
            .bind(now)
            .bind(expiry(now, UPLOAD_LEASE))
            .execute(&self.pool)
            .await
            .map_err(StoreError::database("create a task"))?;
            if done.rows_affected() == 1 {
                return Ok(id);
            }
        }
        Err(StoreError::NoFreeTaskId)
    }

    /// Keeps an upload alive for [`UPLOAD_LEASE`] from now.
    ///
    /// # Errors
    /// [`StoreError::NoSuchTask`] if it is not there or no upload any more, [`StoreError::Database`].
    pub async fn keep_upload(&self, task: TaskId) -> Result<(), StoreError> {
        let done = sqlx::query("UPDATE tasks SET lease_expires_at = ? WHERE id = ? AND submitted_at IS NULL")
            .bind(expiry(rows::now_ms(), UPLOAD_LEASE))
            .bind(id_to_row(task))
            .execute(&self.pool)
            .await
            .map_err(StoreError::database("keep an upload"))?;
        if done.rows_affected() == 1 { Ok(()) } else { Err(StoreError::NoSuchTask(task)) }
    }

    /// Puts a task into the queue: everything that it needs is on disk. Doing it twice is harmless.
    ///
    /// # Errors
    /// [`StoreError::NoSuchTask`], [`StoreError::Database`].
    pub async fn submit_task(&self, task: TaskId) -> Result<(), StoreError> {
        let done = sqlx::query(
            "UPDATE tasks SET submitted_at = coalesce(submitted_at, ?),
                 lease_expires_at = CASE WHEN submitted_at IS NULL THEN NULL ELSE lease_expires_at END
             WHERE id = ?",
        )
        .bind(rows::now_ms())
        .bind(id_to_row(task))
        .execute(&self.pool)
        .await
        .map_err(StoreError::database("submit a task"))?;
        if done.rows_affected() == 1 { Ok(()) } else { Err(StoreError::NoSuchTask(task)) }
    }

    /// Deletes a task, its folder and its results. A worker that holds it learns so from its next
    /// [`heartbeat`](Self::heartbeat).
    ///
    /// # Errors
    /// [`StoreError::Database`]; [`StoreError::File`], [`StoreError::Artifact`] if files stay, which
    /// [`remove_abandoned`](Self::remove_abandoned) removes later.
    pub async fn delete_task(&self, task: TaskId) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM tasks WHERE id = ?")
            .bind(id_to_row(task))
            .execute(&self.pool)
            .await
            .map_err(StoreError::database("delete a task"))?;
        self.remove_task_files(task).await
    }

    /// Removes uploads that nobody keeps alive, and the files of tasks that do not exist; returns how many tasks that were.
    /// Whoever ends at any instant leaves nothing that this does not find.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::File`], [`StoreError::Artifact`].
    pub async fn remove_abandoned(&self) -> Result<usize, StoreError> {
        const ACTION: &str = "forget abandoned uploads";
        sqlx::query("DELETE FROM tasks WHERE submitted_at IS NULL AND coalesce(lease_expires_at, 0) <= ?")
            .bind(rows::now_ms())
            .execute(&self.pool)
            .await
            .map_err(StoreError::database(ACTION))?;
        // First the folders, then the rows: a task made in between has its row before its folder.
        let mut with_files = task_folders(&self.dir().join(TASKS)).await?;
        with_files.extend(task_folders(&self.dir().join(ARTIFACTS).join(TASKS)).await?);
        let ids = sqlx::query_scalar("SELECT id FROM tasks").fetch_all(&self.pool).await;
        let ids = ids.map_err(StoreError::database(ACTION))?;
        let known = ids.into_iter().map(read_id).collect::<Result<HashSet<_>, _>>()?;
        let mut removed = 0;
        for task in with_files.difference(&known) {
            self.remove_task_files(*task).await?;
            removed += 1;
        }
        Ok(removed)
    }

    async fn remove_task_files(&self, task: TaskId) -> Result<(), StoreError> {
        let path = self.task_dir(task);
        match tokio::fs::remove_dir_all(&path).await {
            Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(StoreError::Folder { path, source }),
            _ => {}
        }
        let prefix = task_results(task);
        let failed = |source| StoreError::Artifact { action: "remove", name: prefix.to_string(), source };
        let found: Vec<_> = self.artifacts.list(Some(&prefix)).try_collect().await.map_err(failed)?;
        for result in found {
            object_store::ObjectStoreExt::delete(&*self.artifacts, &result.location).await.map_err(failed)?;
        }
        // A folder is an accident of the local store.
        let path = self.dir().join(ARTIFACTS).join(prefix.as_ref());
        match tokio::fs::remove_dir_all(&path).await {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(StoreError::Folder { path, source }),
            _ => Ok(()),
        }
    }
}

/// The tasks that have a folder below `dir`; whatever else lies there is not ours.
async fn task_folders(dir: &Path) -> Result<HashSet<TaskId>, StoreError> {
    let failed = |source| StoreError::Folder { path: dir.to_owned(), source };
    let mut tasks = HashSet::new();
    let mut entries = match tokio::fs::read_dir(dir).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(tasks),
        entries => entries.map_err(failed)?,
    };
    while let Some(entry) = entries.next_entry().await.map_err(failed)? {
        tasks.extend(entry.file_name().to_str().and_then(|name| name.parse::<TaskId>().ok()));
    }
    Ok(tasks)
}

fn random_task_id() -> Result<TaskId, StoreError> {
    let number = getrandom::u64().map_err(|error| StoreError::Random(error.to_string()))?;
    // The bias of the remainder is below 2^-33.
    let id = TaskId::MIN + number % (TaskId::MAX - TaskId::MIN + 1);
    TaskId::try_from(id).map_err(|_| StoreError::invalid("task id", id))
}

#[cfg(test)]
mod tests {
    use retrace_types::{Sha256, TaskKind};

    use super::*;

    async fn store_with_upload() -> (tempfile::TempDir, Store, TaskId) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).await.unwrap();
        let new = NewTask { kind: TaskKind::Coredump, password_sha256: Sha256::from_bytes([1; 32]) };
        let id = store.create_task(&new).await.unwrap();
        std::fs::create_dir(store.task_dir(id)).unwrap();
        (dir, store, id)
    }

    async fn expire(store: &Store) {
        sqlx::query("UPDATE tasks SET lease_expires_at = 0").execute(&store.pool).await.unwrap();
    }

    #[tokio::test]
    async fn an_upload_lives_as_long_as_it_is_kept_alive() {
        let (_dir, store, id) = store_with_upload().await;
        assert_eq!((store.remove_abandoned().await.unwrap(), store.active_tasks().await.unwrap()), (0, 1));
        expire(&store).await;
        assert_eq!(store.active_tasks().await.unwrap(), 0, "a dead upload takes no place");
        store.keep_upload(id).await.unwrap();
        assert_eq!((store.remove_abandoned().await.unwrap(), store.active_tasks().await.unwrap()), (0, 1));
        expire(&store).await;
        assert_eq!(store.remove_abandoned().await.unwrap(), 1);
        assert!(!store.task_dir(id).exists());
        for gone in [store.keep_upload(id).await, store.submit_task(id).await] {
            assert!(matches!(gone, Err(StoreError::NoSuchTask(task)) if task == id));
        }
    }

    #[tokio::test]
    async fn a_submitted_task_is_never_abandoned_and_submitting_again_takes_no_lease_away() {
        let (_dir, store, id) = store_with_upload().await;
        store.submit_task(id).await.unwrap();
        assert!(store.keep_upload(id).await.is_err());
        assert_eq!(store.remove_abandoned().await.unwrap(), 0);
        let long = Duration::from_secs(60);
        let lease = store.lease_next("a", long).await.unwrap().unwrap();
        store.submit_task(id).await.unwrap();
        assert_eq!(store.lease_next("b", long).await.unwrap(), None);
        store.heartbeat(&lease, long).await.unwrap();
    }

    #[tokio::test]
    async fn a_task_is_deleted_with_its_files_and_leftovers_are_found() {
        let (dir, store, id) = store_with_upload().await;
        store.put_task_result(id, "log", b"story").await.unwrap();
        store.delete_task(id).await.unwrap();
        assert_eq!(store.task(id).await.unwrap(), None);
        assert!(store.task_result(id, "log").await.unwrap().is_none());
        assert!(!store.task_dir(id).exists());
        store.delete_task(id).await.unwrap();

        // Killed between row and files.
        store.put_task_result(id, "log", b"story").await.unwrap();
        std::fs::create_dir_all(store.task_dir(id).join("crash")).unwrap();
        std::fs::write(dir.path().join("tasks/notes"), b"of somebody else").unwrap();
        assert_eq!(store.remove_abandoned().await.unwrap(), 1);
        assert!(!store.task_dir(id).exists() && !dir.path().join("artifacts/tasks").join(id.to_string()).exists());
        assert!(dir.path().join("tasks/notes").exists());
    }
}

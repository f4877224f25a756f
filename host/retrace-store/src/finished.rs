//! What becomes of tasks in the end: found by age, read whole, removed; and those that are worked on for too long, ended.
//!
//! Every change names the state that was seen and takes place only if it still is: a task that was restarted, leased or finished
//! meanwhile is left alone, whatever was planned for it.

use std::{collections::HashSet, fs, io, os::unix::fs::MetadataExt as _, path::Path};

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream::BoxStream};
use jiff::Timestamp;
use object_store::{ObjectStoreExt as _, path::Path as ObjectPath};
use retrace_types::{FailureReason, TaskId, TaskStatus};
use sqlx::Row as _;

use crate::{
    Finding, Lease, Outcome, Store, StoreError, Task,
    artifacts::{Place, failed, task_objects},
    findings,
    results::folder as results_folder,
    rows,
    store::TASKS,
    tasks::{id_to_row, read_id, read_task},
    uploads::task_folders,
};

/// Bytes of a block as the file system counts them. Source: stat(2), `st_blocks`.
const BLOCK_BYTES: u64 = 512;

/// A place in the order of finished tasks: what comes next begins behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FinishedPlace {
    finished_at: i64,
    id: i64,
}

impl FinishedPlace {
    /// Behind all tasks that were finished at this time or before.
    #[must_use]
    pub fn at(time: Timestamp) -> Self {
        Self { finished_at: time.as_millisecond(), id: i64::MAX }
    }
}

/// A result of a task, in the artifact store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskFile {
    /// Its name: `backtrace.json`.
    pub name: String,
    /// Its size.
    pub size_bytes: u64,
    location: ObjectPath,
}

/// A task that is worked on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// The task.
    pub task: TaskId,
    /// The worker that has it.
    pub owner: String,
    /// Since when.
    pub since: Timestamp,
}

/// Files of an upload that nobody keeps alive, or of a task that does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abandoned {
    /// The task.
    pub task: TaskId,
    /// What its files take on this machine.
    pub bytes: u64,
}

impl Store {
    /// At most `most` tasks that were finished at `until` or before, the oldest first, behind a place; and the place behind
    /// the last one.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::InvalidRow`].
    pub async fn finished_tasks(
        &self,
        until: Timestamp,
        behind: Option<FinishedPlace>,
        most: u32,
    ) -> Result<(Vec<Task>, Option<FinishedPlace>), StoreError> {
        let behind = behind.unwrap_or(FinishedPlace { finished_at: i64::MIN, id: 0 });
        let found = sqlx::query(
            "SELECT * FROM tasks WHERE finished_at <= $1 AND (finished_at > $2 OR (finished_at = $2 AND id > $3))
             ORDER BY finished_at, id LIMIT $4",
        )
        .bind(until.as_millisecond())
        .bind(behind.finished_at)
        .bind(behind.id)
        .bind(i64::from(most))
        .fetch_all(&self.database.pool)
        .await
        .map_err(StoreError::database("list finished tasks"))?;
        let last = found.last().map(|row| FinishedPlace { finished_at: row.get("finished_at"), id: row.get("id") });
        Ok((found.iter().map(read_task).collect::<Result<_, _>>()?, last))
    }

    /// The results of a finished task, by name.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Artifact`].
    pub async fn result_files(&self, task: TaskId) -> Result<Vec<TaskFile>, StoreError> {
        match self.current_results(task).await? {
            Some(results) => self.files_in(&results_folder(task, results.as_deref())).await,
            None => Ok(Vec::new()),
        }
    }

    /// What was stored with a lease so far, by name: the results, if the task is finished with it.
    ///
    /// # Errors
    /// [`StoreError::Artifact`].
    pub async fn files_so_far(&self, lease: &Lease) -> Result<Vec<TaskFile>, StoreError> {
        self.files_in(&results_folder(lease.task, Some(&lease.results))).await
    }

    async fn files_in(&self, folder: &ObjectPath) -> Result<Vec<TaskFile>, StoreError> {
        // Not what lies in folders below: other tries, and the input.
        let found = self.artifacts.objects.list_with_delimiter(Some(folder)).await.map_err(failed("list", folder))?;
        let file = |meta: object_store::ObjectMeta| {
            let name = meta.location.filename()?.to_owned();
            Some(TaskFile { name, size_bytes: meta.size, location: meta.location })
        };
        let mut files: Vec<_> = found.objects.into_iter().filter_map(file).collect();
        files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(files)
    }

    /// The content of a file of a task, to be read as it comes.
    ///
    /// # Errors
    /// [`StoreError::Artifact`], also if it is gone.
    pub async fn read_task_file(
        &self,
        file: &TaskFile,
    ) -> Result<BoxStream<'static, Result<Bytes, StoreError>>, StoreError> {
        let location = file.location.clone();
        let found = self.artifacts.objects.get(&location).await.map_err(failed("read", &location))?;
        Ok(found.into_stream().map_err(move |error| failed("read", &location)(error)).boxed())
    }

    /// What a task takes in the artifact store, and in its folder on this machine.
    ///
    /// # Errors
    /// [`StoreError::Folder`], [`StoreError::Artifact`].
    pub async fn task_bytes(&self, task: TaskId) -> Result<u64, StoreError> {
        let prefix = task_objects(task);
        let found: Vec<_> =
            self.artifacts.objects.list(Some(&prefix)).try_collect().await.map_err(failed("list", &prefix))?;
        let objects: u64 = found.iter().map(|object| object.size).sum();
        Ok(objects.saturating_add(self.task_dir_bytes(task).await?))
    }

    /// What a task's own folder on this machine takes on the disk.
    pub(crate) async fn task_dir_bytes(&self, task: TaskId) -> Result<u64, StoreError> {
        let dir = self.task_dir(task);
        let counted = {
            let dir = dir.clone();
            tokio::task::spawn_blocking(move || bytes_below(&dir)).await.map_err(io::Error::other).flatten()
        };
        counted.map_err(|source| StoreError::Folder { path: dir, source })
    }

    /// Removes a finished task with its files, if it is still as it was seen; says whether it did.
    ///
    /// # Errors
    /// As [`delete_task`](Self::delete_task).
    pub async fn remove_finished(&self, seen: &Task) -> Result<bool, StoreError> {
        let Some(finished_at) = seen.finished_at else { return Ok(false) };
        let done = sqlx::query(
            "DELETE FROM tasks WHERE id = $1 AND finished_at = $2 AND attempts = $3
                AND (lease_owner IS NULL OR lease_expires_at IS NULL OR lease_expires_at <= $4)",
        )
        .bind(id_to_row(seen.id))
        .bind(finished_at.as_millisecond())
        .bind(i64::from(seen.attempts))
        .bind(rows::now_ms())
        .execute(&self.database.pool)
        .await
        .map_err(StoreError::database("remove a finished task"))?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        self.remove_task_files(seen.id).await?;
        Ok(true)
    }

    /// Tasks that the same worker has had since `since` or before, the longest first.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::InvalidRow`].
    pub async fn running_since(&self, since: Timestamp, most: u32) -> Result<Vec<Running>, StoreError> {
        let found = sqlx::query(
            "SELECT id, lease_owner, leased_at FROM tasks WHERE finished_at IS NULL AND submitted_at IS NOT NULL
                AND lease_owner IS NOT NULL AND lease_expires_at > $1 AND leased_at <= $2
             ORDER BY leased_at, id LIMIT $3",
        )
        .bind(rows::now_ms())
        .bind(since.as_millisecond())
        .bind(i64::from(most))
        .fetch_all(&self.database.pool)
        .await
        .map_err(StoreError::database("list running tasks"))?;
        let running = |row: &sqlx::any::AnyRow| {
            Ok(Running { task: read_id(row.get(0))?, owner: row.get(1), since: rows::timestamp(row.get(2))? })
        };
        found.iter().map(running).collect()
    }

    /// Ends a task that is still worked on as it was seen, as failed for this reason; says whether it did. The worker learns so
    /// from its next [`heartbeat`](Self::heartbeat), and stops.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn end_running(&self, seen: &Running, reason: &str) -> Result<bool, StoreError> {
        const ACTION: &str = "end a running task";
        let mut transaction = self.database.begin(ACTION).await?;
        let done = sqlx::query(
            "UPDATE tasks SET status = $1, message = $2, finished_at = $3, lease_expires_at = NULL
             WHERE id = $4 AND lease_owner = $5 AND leased_at = $6 AND finished_at IS NULL",
        )
        .bind(i64::from(TaskStatus::Fail.number()))
        .bind(reason)
        .bind(rows::now_ms())
        .bind(id_to_row(seen.task))
        .bind(&seen.owner)
        .bind(seen.since.as_millisecond())
        .execute(&mut *transaction)
        .await
        .map_err(StoreError::database(ACTION))?;
        if done.rows_affected() != 1 {
            return Ok(false);
        }
        let outcome = Outcome::Failure { message: reason.to_owned() };
        let finding = Finding::failure(FailureReason::Limit);
        findings::record(&mut transaction, self.database.dialect, seen.task, &outcome, &finding).await?;
        transaction.commit().await.map_err(StoreError::database(ACTION))?;
        Ok(true)
    }

    /// What [`remove_abandoned`](Self::remove_abandoned) would remove now of this machine's disk.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Folder`].
    pub async fn abandoned(&self) -> Result<Vec<Abandoned>, StoreError> {
        // First the folders, then the rows, as remove_abandoned does.
        let mut with_files = task_folders(&self.dir().join(TASKS)).await?;
        if let Place::Folder(dir) = &self.artifacts.place {
            with_files.extend(task_folders(&dir.join(TASKS)).await?);
        }
        let alive = sqlx::query_scalar("SELECT id FROM tasks WHERE submitted_at IS NOT NULL OR lease_expires_at > $1")
            .bind(rows::now_ms())
            .fetch_all(&self.database.pool)
            .await
            .map_err(StoreError::database("list abandoned uploads"))?;
        let alive = alive.into_iter().map(read_id).collect::<Result<HashSet<_>, _>>()?;
        let mut abandoned = Vec::new();
        for task in with_files.difference(&alive) {
            abandoned.push(Abandoned { task: *task, bytes: self.task_dir_bytes(*task).await? });
        }
        abandoned.sort_by_key(|abandoned| abandoned.task);
        Ok(abandoned)
    }

    /// Puts a file into the artifact store as `archive/<name>`, whole or not at all.
    ///
    /// # Errors
    /// [`StoreError::File`], [`StoreError::Artifact`].
    pub async fn put_archive(&self, name: &str, path: &Path) -> Result<(), StoreError> {
        self.artifacts.write_file(&archive_name(name), path, |_| true).await.map(drop)
    }

    /// Removes an archive again, for a task that came back to life.
    ///
    /// # Errors
    /// [`StoreError::Artifact`].
    pub async fn remove_archive(&self, name: &str) -> Result<(), StoreError> {
        self.artifacts.remove(&archive_name(name)).await
    }
}

fn archive_name(name: &str) -> ObjectPath {
    ObjectPath::from_iter(["archive", name])
}

/// What the files below a folder take on the disk; 0 if there is no such folder.
fn bytes_below(dir: &Path) -> io::Result<u64> {
    let mut bytes = 0_u64;
    let mut todo = vec![dir.to_owned()];
    while let Some(dir) = todo.pop() {
        let entries = match fs::read_dir(&dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => todo.push(entry.path()),
                Ok(metadata) => bytes = bytes.saturating_add(metadata.blocks().saturating_mul(BLOCK_BYTES)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;

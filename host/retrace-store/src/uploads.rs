//! Tasks before and after the queue: an upload is kept alive until it is submitted, a task is deleted with its files.
//!
//! The row comes first and goes first. A folder without a row is therefore rubbish, whatever was killed when, and
//! [`Store::remove_abandoned`] may remove it.

use std::{
    collections::HashSet,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use object_store::path::Path as ObjectPath;
use retrace_types::{TaskId, TaskStatus};
use sqlx::Row as _;

use crate::{
    NewTask, Store, StoreError,
    artifacts::{Place, failed, task_objects},
    rows,
    store::TASKS,
    tasks::{expiry, id_to_row, read_id},
};

/// How long an upload lives without [`Store::keep_upload`].
pub const UPLOAD_LEASE: Duration = Duration::from_secs(120);

/// How often a bucket is searched for objects of tasks that do not exist; listing it costs money.
const SWEEP_INTERVAL: Duration = Duration::from_secs(3600);

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
                 VALUES ($1, $2, $3, $4, $5, 0, $6) ON CONFLICT DO NOTHING",
            )
            .bind(id_to_row(id))
            .bind(i64::from(new.kind.number()))
            .bind(i64::from(TaskStatus::Analyze.number()))
            .bind(new.password_sha256.as_bytes().as_slice())
            .bind(now)
            .bind(expiry(now, UPLOAD_LEASE))
            .execute(&self.database.pool)
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
        let done = sqlx::query("UPDATE tasks SET lease_expires_at = $1 WHERE id = $2 AND submitted_at IS NULL")
            .bind(expiry(rows::now_ms(), UPLOAD_LEASE))
            .bind(id_to_row(task))
            .execute(&self.database.pool)
            .await
            .map_err(StoreError::database("keep an upload"))?;
        if done.rows_affected() == 1 { Ok(()) } else { Err(StoreError::NoSuchTask(task)) }
    }

    /// Puts a task into the queue: its input is [sealed](Self::seal_input). Doing it twice is harmless.
    ///
    /// # Errors
    /// [`StoreError::NoSuchTask`], [`StoreError::Database`].
    pub async fn submit_task(&self, task: TaskId) -> Result<(), StoreError> {
        let done = sqlx::query(
            "UPDATE tasks SET submitted_at = coalesce(submitted_at, $1),
                 lease_expires_at = CASE WHEN submitted_at IS NULL THEN NULL ELSE lease_expires_at END
             WHERE id = $2",
        )
        .bind(rows::now_ms())
        .bind(id_to_row(task))
        .execute(&self.database.pool)
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
        sqlx::query("DELETE FROM tasks WHERE id = $1")
            .bind(id_to_row(task))
            .execute(&self.database.pool)
            .await
            .map_err(StoreError::database("delete a task"))?;
        self.remove_task_files(task).await
    }

    /// Removes uploads that nobody keeps alive, and the files of tasks that do not exist; returns how many tasks that were.
    /// Whoever ends at any instant leaves nothing that this does not find, though it looks through a bucket only once in
    /// an hour.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::File`], [`StoreError::Artifact`].
    pub async fn remove_abandoned(&self) -> Result<usize, StoreError> {
        const ACTION: &str = "forget abandoned uploads";
        let forgotten: Vec<i64> = sqlx::query_scalar(
            "DELETE FROM tasks WHERE submitted_at IS NULL AND coalesce(lease_expires_at, 0) <= $1 RETURNING id",
        )
        .bind(rows::now_ms())
        .fetch_all(&self.database.pool)
        .await
        .map_err(StoreError::database(ACTION))?;
        let mut gone = forgotten.into_iter().map(read_id).collect::<Result<HashSet<_>, _>>()?;
        // First the files, then the rows: a task made in between has its row before its files.
        let mut with_files = task_folders(&self.dir().join(TASKS)).await?;
        let with_folder = with_files.clone();
        with_files.extend(self.tasks_with_objects().await?);
        let rows = sqlx::query("SELECT id, submitted_at FROM tasks").fetch_all(&self.database.pool).await;
        let mut known = HashSet::new();
        for row in rows.map_err(StoreError::database(ACTION))? {
            let id = read_id(row.get(0))?;
            known.insert(id);
            // Its input is in the bucket: whoever sealed it was killed before the folder was gone.
            if self.artifacts.bucket().is_some() && row.get::<Option<i64>, _>(1).is_some() && with_folder.contains(&id)
            {
                remove_folder(self.task_dir(id)).await?;
            }
        }
        gone.extend(with_files.difference(&known));
        for task in &gone {
            self.remove_task_files(*task).await?;
        }
        Ok(gone.len())
    }

    /// The tasks that have objects; of a bucket none, unless it is time to look.
    async fn tasks_with_objects(&self) -> Result<HashSet<TaskId>, StoreError> {
        let bucket = match &self.artifacts.place {
            Place::Folder(dir) => return task_folders(&dir.join(TASKS)).await,
            Place::Bucket(bucket) => bucket,
        };
        let mut swept = bucket.swept.lock().await;
        if swept.is_some_and(|last| last.elapsed() < SWEEP_INTERVAL) {
            return Ok(HashSet::new());
        }
        let all = ObjectPath::from(TASKS);
        let found = self.artifacts.objects.list_with_delimiter(Some(&all)).await.map_err(failed("list", TASKS))?;
        *swept = Some(tokio::time::Instant::now());
        Ok(found.common_prefixes.iter().filter_map(|prefix| prefix.filename()?.parse().ok()).collect())
    }

    pub(crate) async fn remove_task_files(&self, task: TaskId) -> Result<(), StoreError> {
        remove_folder(self.task_dir(task)).await?;
        let objects = task_objects(task);
        match &self.artifacts.place {
            Place::Folder(dir) => remove_folder(dir.join(objects.as_ref())).await,
            Place::Bucket(_) => self.artifacts.remove_all(&objects).await,
        }
    }
}

async fn remove_folder(path: PathBuf) -> Result<(), StoreError> {
    match tokio::fs::remove_dir_all(&path).await {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(StoreError::Folder { path, source }),
        _ => Ok(()),
    }
}

/// The tasks that have a folder below `dir`; whatever else lies there is not ours.
pub(crate) async fn task_folders(dir: &Path) -> Result<HashSet<TaskId>, StoreError> {
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
mod tests;

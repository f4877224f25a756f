//! Tasks. The row is the queue entry: submitted, leased, finished.

use std::time::Duration;

use jiff::Timestamp;
use retrace_types::{Sha256, TaskId, TaskKind, TaskStatus};
use sqlx::{Row as _, sqlite::SqliteRow};

use crate::{Store, StoreError, rows};

/// How often a task is tried. A task that takes its worker down every time must not do so for ever.
pub const MAX_ATTEMPTS: u32 = 3;

/// Tries to find a free random id.
const ID_TRIES: u32 = 50;

/// A task to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTask {
    /// What it is asked to do.
    pub kind: TaskKind,
    /// SHA-256 of the password. The password itself is never stored.
    pub password_sha256: Sha256,
}

/// A task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Its id.
    pub id: TaskId,
    /// What it is asked to do.
    pub kind: TaskKind,
    /// Where it is.
    pub status: TaskStatus,
    /// SHA-256 of the password.
    pub password_sha256: Sha256,
    /// When the upload began.
    pub created_at: Timestamp,
    /// When it entered the queue; none while it is uploaded.
    pub submitted_at: Option<Timestamp>,
    /// When a worker first took it.
    pub started_at: Option<Timestamp>,
    /// When it was finished.
    pub finished_at: Option<Timestamp>,
    /// How often a worker took it.
    pub attempts: u32,
    /// Why it failed.
    pub message: Option<String>,
}

/// The right to work on a task until it expires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The task.
    pub task: TaskId,
    /// Who holds it.
    pub owner: String,
    /// Which try this is, from 1. Owner and try together name the lease.
    pub attempt: u32,
}

/// How a task ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There is a backtrace.
    Success,
    /// There is none.
    Failure {
        /// Why, and what to do about it.
        message: String,
    },
}

impl Store {
    /// Makes a task with a free random id. No worker sees it before [`submit_task`](Self::submit_task).
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Random`], [`StoreError::NoFreeTaskId`].
    pub async fn create_task(&self, new: &NewTask) -> Result<TaskId, StoreError> {
        for _ in 0..ID_TRIES {
            let id = random_task_id()?;
            let done = sqlx::query(
                "INSERT OR IGNORE INTO tasks (id, kind, status, password_sha256, created_at, attempts)
                 VALUES (?, ?, ?, ?, ?, 0)",
            )
            .bind(id_to_row(id))
            .bind(i64::from(new.kind.number()))
            .bind(i64::from(TaskStatus::Analyze.number()))
            .bind(new.password_sha256.as_bytes().as_slice())
            .bind(rows::now_ms())
            .execute(&self.pool)
            .await
            .map_err(StoreError::database("create a task"))?;
            if done.rows_affected() == 1 {
                return Ok(id);
            }
        }
        Err(StoreError::NoFreeTaskId)
    }

    /// Puts a task into the queue: everything that it needs is on disk. Doing it twice is harmless.
    ///
    /// # Errors
    /// [`StoreError::NoSuchTask`], [`StoreError::Database`].
    pub async fn submit_task(&self, task: TaskId) -> Result<(), StoreError> {
        let done = sqlx::query("UPDATE tasks SET submitted_at = coalesce(submitted_at, ?) WHERE id = ?")
            .bind(rows::now_ms())
            .bind(id_to_row(task))
            .execute(&self.pool)
            .await
            .map_err(StoreError::database("submit a task"))?;
        if done.rows_affected() == 1 { Ok(()) } else { Err(StoreError::NoSuchTask(task)) }
    }

    /// A task; none if there is no such task.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::InvalidRow`].
    pub async fn task(&self, task: TaskId) -> Result<Option<Task>, StoreError> {
        let row = sqlx::query("SELECT * FROM tasks WHERE id = ?")
            .bind(id_to_row(task))
            .fetch_optional(&self.pool)
            .await
            .map_err(StoreError::database("read a task"))?;
        row.as_ref().map(read_task).transpose()
    }

    /// How many tasks are uploaded, waiting or worked on.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn active_tasks(&self) -> Result<u64, StoreError> {
        let count = sqlx::query_scalar("SELECT count(*) FROM tasks WHERE finished_at IS NULL")
            .fetch_one(&self.pool)
            .await
            .map_err(StoreError::database("count the tasks"))?;
        rows::size_from_row(count)
    }

    /// Takes the task that has waited longest, if there is one. A task whose lease expired waits again; one that was tried
    /// [`MAX_ATTEMPTS`] times is finished as failed instead.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::InvalidRow`].
    pub async fn lease_next(&self, owner: &str, duration: Duration) -> Result<Option<Lease>, StoreError> {
        let now = rows::now_ms();
        sqlx::query(
            "UPDATE tasks SET status = ?1, finished_at = ?2, lease_owner = NULL, message = ?3
             WHERE finished_at IS NULL AND submitted_at IS NOT NULL AND lease_expires_at <= ?2 AND attempts >= ?4",
        )
        .bind(i64::from(TaskStatus::Fail.number()))
        .bind(now)
        .bind(format!("gave up after {MAX_ATTEMPTS} tries: each time the worker ended without a result"))
        .bind(i64::from(MAX_ATTEMPTS))
        .execute(&self.pool)
        .await
        .map_err(StoreError::database("give up a task"))?;
        // One statement: two workers cannot take the same row.
        let row = sqlx::query(
            "UPDATE tasks SET lease_owner = ?1, lease_expires_at = ?2, attempts = attempts + 1,
                 started_at = coalesce(started_at, ?3)
             WHERE id = (SELECT id FROM tasks WHERE finished_at IS NULL AND submitted_at IS NOT NULL
                         AND (lease_expires_at IS NULL OR lease_expires_at <= ?3)
                         ORDER BY submitted_at, id LIMIT 1)
             RETURNING id, attempts",
        )
        .bind(owner)
        .bind(expiry(now, duration))
        .bind(now)
        .fetch_optional(&self.pool)
        .await
        .map_err(StoreError::database("lease a task"))?;
        row.map(|row| {
            Ok(Lease { task: read_id(row.get(0))?, owner: owner.to_owned(), attempt: read_attempts(row.get(1))? })
        })
        .transpose()
    }

    /// Keeps a lease for `duration` from now.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`], [`StoreError::Database`].
    pub async fn heartbeat(&self, lease: &Lease, duration: Duration) -> Result<(), StoreError> {
        let query = sqlx::query(
            "UPDATE tasks SET lease_expires_at = ?
             WHERE id = ? AND lease_owner = ? AND attempts = ? AND finished_at IS NULL",
        );
        self.with_lease(query.bind(expiry(rows::now_ms(), duration)), lease, "renew a lease").await
    }

    /// Says where a task is.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`], [`StoreError::Database`].
    pub async fn set_status(&self, lease: &Lease, status: TaskStatus) -> Result<(), StoreError> {
        let query = sqlx::query(
            "UPDATE tasks SET status = ? WHERE id = ? AND lease_owner = ? AND attempts = ? AND finished_at IS NULL",
        );
        self.with_lease(query.bind(i64::from(status.number())), lease, "set a task's status").await
    }

    /// Finishes a task, once: the results are stored before.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`] if another worker took the task over or it is finished; [`StoreError::Database`].
    pub async fn finish(&self, lease: &Lease, outcome: &Outcome) -> Result<(), StoreError> {
        let (status, message) = match outcome {
            Outcome::Success => (TaskStatus::Success, None),
            Outcome::Failure { message } => (TaskStatus::Fail, Some(message)),
        };
        let query = sqlx::query(
            "UPDATE tasks SET status = ?, message = ?, finished_at = ?, lease_expires_at = NULL
             WHERE id = ? AND lease_owner = ? AND attempts = ? AND finished_at IS NULL",
        );
        let query = query.bind(i64::from(status.number())).bind(message).bind(rows::now_ms());
        self.with_lease(query, lease, "finish a task").await
    }

    /// Forgets a task. Its files are the caller's to remove, before.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn delete_task(&self, task: TaskId) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM tasks WHERE id = ?")
            .bind(id_to_row(task))
            .execute(&self.pool)
            .await
            .map_err(StoreError::database("delete a task"))?;
        Ok(())
    }

    /// Tasks whose upload began longer than `age` ago and never ended.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::InvalidRow`].
    pub async fn abandoned_uploads(&self, age: Duration) -> Result<Vec<TaskId>, StoreError> {
        let age_ms = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
        let ids = sqlx::query_scalar("SELECT id FROM tasks WHERE submitted_at IS NULL AND created_at <= ?")
            .bind(rows::now_ms().saturating_sub(age_ms))
            .fetch_all(&self.pool)
            .await
            .map_err(StoreError::database("list abandoned uploads"))?;
        ids.into_iter().map(read_id).collect()
    }

    /// Runs an update that ends in the condition `id, lease_owner, attempts`.
    async fn with_lease<'q>(
        &self,
        query: sqlx::query::Query<'q, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>,
        lease: &'q Lease,
        action: &'static str,
    ) -> Result<(), StoreError> {
        let done = query
            .bind(id_to_row(lease.task))
            .bind(&lease.owner)
            .bind(i64::from(lease.attempt))
            .execute(&self.pool)
            .await
            .map_err(StoreError::database(action))?;
        if done.rows_affected() == 1 { Ok(()) } else { Err(StoreError::LeaseLost(lease.task)) }
    }
}

fn random_task_id() -> Result<TaskId, StoreError> {
    let number = getrandom::u64().map_err(|error| StoreError::Random(error.to_string()))?;
    // The bias of the remainder is below 2^-33.
    let id = TaskId::MIN + number % (TaskId::MAX - TaskId::MIN + 1);
    TaskId::try_from(id).map_err(|_| StoreError::invalid("task id", id))
}

fn id_to_row(id: TaskId) -> i64 {
    rows::size_to_row(id.get())
}

fn read_id(id: i64) -> Result<TaskId, StoreError> {
    rows::size_from_row(id).and_then(|id| TaskId::try_from(id).map_err(|_| StoreError::invalid("task id", id)))
}

fn read_attempts(attempts: i64) -> Result<u32, StoreError> {
    u32::try_from(attempts).map_err(|_| StoreError::invalid("attempts", attempts))
}

fn expiry(now: i64, duration: Duration) -> i64 {
    now.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX))
}

fn read_task(row: &SqliteRow) -> Result<Task, StoreError> {
    let number = |column: &'static str| {
        let value: i64 = row.get(column);
        u8::try_from(value).map_err(|_| StoreError::invalid(column, value))
    };
    let time = |column: &str| row.get::<Option<i64>, _>(column).map(rows::timestamp).transpose();
    let (kind, status) = (number("kind")?, number("status")?);
    Ok(Task {
        id: read_id(row.get("id"))?,
        kind: TaskKind::from_number(kind).ok_or_else(|| StoreError::invalid("kind", kind))?,
        status: TaskStatus::from_number(status).ok_or_else(|| StoreError::invalid("status", status))?,
        password_sha256: rows::digest(row.get("password_sha256"))?,
        created_at: rows::timestamp(row.get("created_at"))?,
        submitted_at: time("submitted_at")?,
        started_at: time("started_at")?,
        finished_at: time("finished_at")?,
        attempts: read_attempts(row.get("attempts"))?,
        message: row.get("message"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);
    const NONE: Duration = Duration::ZERO;

    async fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).await.unwrap();
        (dir, store)
    }

    async fn new_task(store: &Store) -> TaskId {
        let new = NewTask { kind: TaskKind::Coredump, password_sha256: Sha256::from_bytes([1; 32]) };
        store.create_task(&new).await.unwrap()
    }

    #[tokio::test]
    async fn a_task_is_leased_only_after_it_was_submitted_and_then_once() {
        let (_dir, store) = store().await;
        let id = new_task(&store).await;
        assert_eq!(store.lease_next("a", LONG).await.unwrap(), None);
        store.submit_task(id).await.unwrap();
        let lease = store.lease_next("a", LONG).await.unwrap().unwrap();
        assert_eq!((lease.task, lease.attempt), (id, 1));
        assert_eq!(store.lease_next("b", LONG).await.unwrap(), None);
    }

    #[tokio::test]
    async fn workers_in_parallel_never_share_a_task() {
        let (_dir, store) = store().await;
        for _ in 0..40 {
            store.submit_task(new_task(&store).await).await.unwrap();
        }
        let workers: Vec<_> = (0..8)
            .map(|n| {
                let store = store.clone();
                tokio::spawn(async move {
                    let mut got = Vec::new();
                    while let Some(lease) = store.lease_next(&format!("worker {n}"), LONG).await.unwrap() {
                        got.push(lease.task);
                    }
                    got
                })
            })
            .collect();
        let mut all = Vec::new();
        for worker in workers {
            all.extend(worker.await.unwrap());
        }
        all.sort();
        let count = all.len();
        all.dedup();
        assert_eq!((count, all.len()), (40, 40));
    }

    #[tokio::test]
    async fn a_lost_lease_can_neither_renew_nor_finish() {
        let (_dir, store) = store().await;
        let id = new_task(&store).await;
        store.submit_task(id).await.unwrap();
        let first = store.lease_next("a", NONE).await.unwrap().unwrap();
        let second = store.lease_next("a", LONG).await.unwrap().unwrap();
        assert_eq!(second.attempt, 2);
        for lost in [
            store.heartbeat(&first, LONG).await,
            store.set_status(&first, TaskStatus::Backtrace).await,
            store.finish(&first, &Outcome::Success).await,
        ] {
            assert!(matches!(lost, Err(StoreError::LeaseLost(task)) if task == id));
        }
        store.finish(&second, &Outcome::Success).await.unwrap();
        assert!(store.finish(&second, &Outcome::Failure { message: "late".into() }).await.is_err());
        let task = store.task(id).await.unwrap().unwrap();
        assert_eq!((task.status, task.message), (TaskStatus::Success, None));
    }

    #[tokio::test]
    async fn a_task_that_kills_its_workers_fails_with_the_reason() {
        let (_dir, store) = store().await;
        let id = new_task(&store).await;
        store.submit_task(id).await.unwrap();
        for attempt in 1..=MAX_ATTEMPTS {
            assert_eq!(store.lease_next("a", NONE).await.unwrap().unwrap().attempt, attempt);
        }
        assert_eq!(store.lease_next("a", NONE).await.unwrap(), None);
        let task = store.task(id).await.unwrap().unwrap();
        assert_eq!(task.status, TaskStatus::Fail);
        assert!(task.message.unwrap().contains("3 tries"));
        assert_eq!(store.active_tasks().await.unwrap(), 0);
    }

    #[tokio::test]
    async fn the_queue_is_first_come_first_served_and_survives_a_restart() {
        let (dir, store) = store().await;
        let mut ids = Vec::new();
        for _ in 0..5 {
            let id = new_task(&store).await;
            store.submit_task(id).await.unwrap();
            ids.push(id);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        store.close().await;
        let store = Store::open(dir.path()).await.unwrap();
        for id in ids {
            assert_eq!(store.lease_next("a", LONG).await.unwrap().unwrap().task, id);
        }
    }

    #[tokio::test]
    async fn abandoned_uploads_are_found_and_deleted() {
        let (_dir, store) = store().await;
        let id = new_task(&store).await;
        assert!(store.abandoned_uploads(LONG).await.unwrap().is_empty());
        assert_eq!(store.abandoned_uploads(NONE).await.unwrap(), [id]);
        store.delete_task(id).await.unwrap();
        assert_eq!(store.task(id).await.unwrap(), None);
        assert!(matches!(store.submit_task(id).await, Err(StoreError::NoSuchTask(_))));
    }
}

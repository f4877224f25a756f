//! The queue: a task is leased, its lease renewed, the task finished. How it gets there: [`crate::uploads`].

use std::time::Duration;

use jiff::Timestamp;
use retrace_types::{FailureReason, Sha256, TaskId, TaskKind, TaskState, TaskStatus};
use sqlx::{
    AssertSqlSafe, Row as _,
    any::{AnyArguments, AnyRow},
};

use crate::{Finding, Store, StoreError, database::Dialect, findings, rows};

/// How often a task is tried. A task that takes its worker down every time must not do so for ever.
pub const MAX_ATTEMPTS: u32 = 3;

/// Key of the lock under which tasks are leased; any number that nothing else locks.
const LEASES: i64 = 0x0072_6574_7261_6365;

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

/// Tasks that are not finished.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TaskCounts {
    /// Their upload is under way.
    pub uploading: u64,
    /// They are in the queue.
    pub waiting: u64,
    /// A worker has them.
    pub running: u64,
}

impl TaskCounts {
    /// All of them.
    #[must_use]
    pub fn unfinished(&self) -> u64 {
        self.uploading.saturating_add(self.waiting).saturating_add(self.running)
    }
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
    /// Folder of this try's results, which nobody else has: a try that was given back does not count, and its number comes
    /// again.
    pub(crate) results: String,
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
    /// A task; none if there is no such task.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::InvalidRow`].
    pub async fn task(&self, task: TaskId) -> Result<Option<Task>, StoreError> {
        let row = sqlx::query("SELECT * FROM tasks WHERE id = $1")
            .bind(id_to_row(task))
            .fetch_optional(&self.database.pool)
            .await
            .map_err(StoreError::database("read a task"))?;
        row.as_ref().map(read_task).transpose()
    }

    /// How many tasks are not finished, and where they are. An upload that nobody keeps alive does not count.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn task_counts(&self) -> Result<TaskCounts, StoreError> {
        let count =
            |condition: &str| format!("CAST(coalesce(sum(CASE WHEN {condition} THEN 1 ELSE 0 END), 0) AS BIGINT)");
        let statement = format!(
            "SELECT {}, {}, {} FROM tasks WHERE finished_at IS NULL",
            count("submitted_at IS NULL AND lease_expires_at > $1"),
            count("submitted_at IS NOT NULL AND (lease_expires_at IS NULL OR lease_expires_at <= $1)"),
            count("submitted_at IS NOT NULL AND lease_expires_at > $1"),
        );
        let counted = sqlx::query(AssertSqlSafe(statement)).bind(rows::now_ms()).fetch_one(&self.database.pool).await;
        let row = counted.map_err(StoreError::database("count the tasks"))?;
        let number = |column: usize| rows::size_from_row(row.get(column));
        Ok(TaskCounts { uploading: number(0)?, waiting: number(1)?, running: number(2)? })
    }

    /// Takes the most urgent task, of these the one that has waited longest, if there is one and fewer than `most` are worked on, by all workers together.
    /// A task whose lease expired waits again; one that was tried [`MAX_ATTEMPTS`] times is finished as failed instead.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::InvalidRow`].
    pub async fn lease_next(&self, owner: &str, duration: Duration, most: u64) -> Result<Option<Lease>, StoreError> {
        const ACTION: &str = "lease a task";
        let failed = StoreError::database;
        let now = rows::now_ms();
        // A worker with nothing to do asks all the time: it must not wait for whoever writes.
        if !self.may_lease(now, most).await? {
            return Ok(None);
        }
        let mut transaction = self.database.begin(ACTION).await?;
        if self.database.dialect == Dialect::Postgres {
            // Else two workers that count at once would both take the last place. SQLite has one writer anyway.
            let locked = sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LEASES).execute(&mut *transaction).await;
            locked.map_err(failed(ACTION))?;
        }
        let message = format!("gave up after {MAX_ATTEMPTS} tries: each time the worker ended without a result");
        let given_up = sqlx::query_scalar(
            "UPDATE tasks SET status = $1, finished_at = $2, lease_owner = NULL, message = $3
             WHERE finished_at IS NULL AND submitted_at IS NOT NULL AND lease_expires_at <= $2 AND attempts >= $4
             RETURNING id",
        )
        .bind(i64::from(TaskStatus::Fail.number()))
        .bind(now)
        .bind(&message)
        .bind(i64::from(MAX_ATTEMPTS))
        .fetch_all(&mut *transaction)
        .await
        .map_err(failed("give up a task"))?;
        let (outcome, finding) = (Outcome::Failure { message }, Finding::failure(FailureReason::GaveUp));
        for id in given_up {
            findings::record(&mut transaction, self.database.dialect, read_id(id)?, &outcome, &finding).await?;
        }
        let statement = format!(
            "UPDATE tasks SET lease_owner = $1, lease_expires_at = $2, leased_at = $3, attempts = attempts + 1,
                 started_at = coalesce(started_at, $3)
             WHERE id = (SELECT id FROM tasks WHERE finished_at IS NULL AND submitted_at IS NOT NULL
                         AND (lease_expires_at IS NULL OR lease_expires_at <= $3)
                         ORDER BY priority DESC, submitted_at, id LIMIT 1 {})
                AND $4 > (SELECT count(*) FROM tasks WHERE finished_at IS NULL AND submitted_at IS NOT NULL
                          AND lease_expires_at > $3)
             RETURNING id, attempts",
            self.database.dialect.skip_locked()
        );
        let row = sqlx::query(AssertSqlSafe(statement))
            .bind(owner)
            .bind(expiry(now, duration))
            .bind(now)
            .bind(rows::size_to_row(most))
            .fetch_optional(&mut *transaction)
            .await
            .map_err(failed(ACTION))?;
        transaction.commit().await.map_err(failed(ACTION))?;
        row.map(|row| {
            let attempt = read_attempts(row.get(1))?;
            let random = getrandom::u64().map_err(|error| StoreError::Random(error.to_string()))?;
            let results = format!("{attempt}-{random:016x}");
            Ok(Lease { task: read_id(row.get(0))?, owner: owner.to_owned(), attempt, results })
        })
        .transpose()
    }

    /// Whether a task waits and there is a place for it, as far as reading alone tells.
    async fn may_lease(&self, now: i64, most: u64) -> Result<bool, StoreError> {
        let found: Result<Option<i64>, _> = sqlx::query_scalar(
            "SELECT id FROM tasks WHERE finished_at IS NULL AND submitted_at IS NOT NULL
                AND (lease_expires_at IS NULL OR lease_expires_at <= $1)
                AND $2 > (SELECT count(*) FROM tasks WHERE finished_at IS NULL AND submitted_at IS NOT NULL
                          AND lease_expires_at > $1)
             LIMIT 1",
        )
        .bind(now)
        .bind(rows::size_to_row(most))
        .fetch_optional(&self.database.pool)
        .await;
        Ok(found.map_err(StoreError::database("look for a waiting task"))?.is_some())
    }

    /// Keeps a lease for `duration` from now.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`], [`StoreError::Database`].
    pub async fn heartbeat(&self, lease: &Lease, duration: Duration) -> Result<(), StoreError> {
        let query = sqlx::query(
            "UPDATE tasks SET lease_expires_at = $1
             WHERE id = $2 AND lease_owner = $3 AND attempts = $4 AND finished_at IS NULL",
        );
        self.with_lease(query.bind(expiry(rows::now_ms(), duration)), lease, "renew a lease").await
    }

    /// Gives a task back that was not finished for the worker's sake: it waits again, at its old place, and the try does not
    /// count.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`], [`StoreError::Database`].
    pub async fn give_back(&self, lease: &Lease) -> Result<(), StoreError> {
        let query = sqlx::query(
            "UPDATE tasks SET lease_owner = NULL, lease_expires_at = NULL, attempts = attempts - 1
             WHERE id = $1 AND lease_owner = $2 AND attempts = $3 AND finished_at IS NULL",
        );
        self.with_lease(query, lease, "give a task back").await
    }

    /// Says where a task is.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`]; [`StoreError::FinalStatus`] for success and failure, which [`finish`](Self::finish) sets;
    /// [`StoreError::Database`].
    pub async fn set_status(&self, lease: &Lease, status: TaskStatus) -> Result<(), StoreError> {
        if status.state() != TaskState::Pending {
            return Err(StoreError::FinalStatus(lease.task));
        }
        let query = sqlx::query(
            "UPDATE tasks SET status = $1 WHERE id = $2 AND lease_owner = $3 AND attempts = $4 AND finished_at IS NULL",
        );
        self.with_lease(query.bind(i64::from(status.number())), lease, "set a task's status").await
    }

    /// Finishes a task, once: what was stored with this lease are its results from now on, and nothing else. Doing the
    /// same again after an answer was lost is harmless.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`] if another worker took the task over or it is finished; [`StoreError::Database`].
    pub async fn finish(&self, lease: &Lease, outcome: &Outcome) -> Result<(), StoreError> {
        self.finish_with(lease, outcome, &Finding::default()).await
    }

    /// As [`finish`](Self::finish), with what is known about the task.
    ///
    /// # Errors
    /// As [`finish`](Self::finish).
    pub async fn finish_with(&self, lease: &Lease, outcome: &Outcome, finding: &Finding) -> Result<(), StoreError> {
        let (status, message) = match outcome {
            Outcome::Success => (TaskStatus::Success, None),
            Outcome::Failure { message } => (TaskStatus::Fail, Some(message)),
        };
        if !self.finish_once(lease, outcome, finding, status, message.map(String::as_str)).await? {
            let is_ours = self.current_results(lease.task).await?.flatten().is_some_and(|own| own == lease.results);
            let is_same = self.task(lease.task).await?.is_some_and(|task| task.status == status);
            return if is_ours && is_same { Ok(()) } else { Err(StoreError::LeaseLost(lease.task)) };
        }
        if lease.attempt > 1
            && let Err(error) = self.remove_other_results(lease).await
        {
            // They go with the task.
            tracing::warn!(task.id = %lease.task, %error, "cannot remove the results of an earlier try");
        }
        Ok(())
    }

    /// False if the lease is not there any more.
    async fn finish_once(
        &self,
        lease: &Lease,
        outcome: &Outcome,
        finding: &Finding,
        status: TaskStatus,
        message: Option<&str>,
    ) -> Result<bool, StoreError> {
        const ACTION: &str = "finish a task";
        let mut transaction = self.database.begin(ACTION).await?;
        let done = sqlx::query(
            "UPDATE tasks SET status = $1, message = $2, finished_at = $3, results = $4, lease_expires_at = NULL
             WHERE id = $5 AND lease_owner = $6 AND attempts = $7 AND finished_at IS NULL",
        )
        .bind(i64::from(status.number()))
        .bind(message)
        .bind(rows::now_ms())
        .bind(&lease.results)
        .bind(id_to_row(lease.task))
        .bind(&lease.owner)
        .bind(i64::from(lease.attempt))
        .execute(&mut *transaction)
        .await
        .map_err(StoreError::database(ACTION))?;
        if done.rows_affected() != 1 {
            return Ok(false);
        }
        findings::record(&mut transaction, self.database.dialect, lease.task, outcome, finding).await?;
        transaction.commit().await.map_err(StoreError::database(ACTION))?;
        Ok(true)
    }

    /// Runs an update that ends in the condition `id, lease_owner, attempts`.
    async fn with_lease<'q>(
        &self,
        query: sqlx::query::Query<'q, sqlx::Any, AnyArguments>,
        lease: &'q Lease,
        action: &'static str,
    ) -> Result<(), StoreError> {
        let done = query
            .bind(id_to_row(lease.task))
            .bind(&lease.owner)
            .bind(i64::from(lease.attempt))
            .execute(&self.database.pool)
            .await
            .map_err(StoreError::database(action))?;
        if done.rows_affected() == 1 { Ok(()) } else { Err(StoreError::LeaseLost(lease.task)) }
    }
}

pub(crate) fn id_to_row(id: TaskId) -> i64 {
    rows::size_to_row(id.get())
}

pub(crate) fn read_id(id: i64) -> Result<TaskId, StoreError> {
    rows::size_from_row(id).and_then(|id| TaskId::try_from(id).map_err(|_| StoreError::invalid("task id", id)))
}

fn read_attempts(attempts: i64) -> Result<u32, StoreError> {
    u32::try_from(attempts).map_err(|_| StoreError::invalid("attempts", attempts))
}

pub(crate) fn expiry(now: i64, duration: Duration) -> i64 {
    now.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX))
}

pub(crate) fn read_task(row: &AnyRow) -> Result<Task, StoreError> {
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
mod tests;

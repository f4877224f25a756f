//! What people do with tasks: cancel, restart, put forward; and where a task stands in the queue.

use std::time::Duration;

use retrace_types::{FailureReason, TaskId, TaskStatus};
use sqlx::Row as _;

use crate::{Finding, Outcome, Store, StoreError, findings, rows, tasks::id_to_row};

/// Recent tasks that an estimate is made of.
const RECENT: i64 = 50;

/// Fewer recent tasks than this are no basis for an estimate.
const ENOUGH: usize = 3;

/// How urgent a task may be; 0 is usual, a higher number comes first.
pub const PRIORITIES: std::ops::RangeInclusive<i32> = -100..=100;

/// What only the API needs to know of a task.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskControl {
    /// A higher number is leased first.
    pub priority: i64,
    /// The token that it was sent with.
    pub token_id: Option<String>,
    /// Who cancelled it; none: nobody did.
    pub cancelled_by: Option<String>,
    /// True while a worker has it.
    pub leased: bool,
}

/// Where a waiting task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueuePlace {
    /// 1: it is the next.
    pub position: u64,
    /// Tasks that workers have.
    pub running: u64,
}

impl Store {
    /// What only the API needs to know of a task; none if there is no such task.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn task_control(&self, task: TaskId) -> Result<Option<TaskControl>, StoreError> {
        let row = sqlx::query(
            "SELECT priority, token_id, cancelled_by,
                CASE WHEN finished_at IS NULL AND submitted_at IS NOT NULL AND lease_expires_at > $1
                     THEN 1 ELSE 0 END AS leased
             FROM tasks WHERE id = $2",
        )
        .bind(rows::now_ms())
        .bind(id_to_row(task))
        .fetch_optional(&self.database.pool)
        .await
        .map_err(StoreError::database("read a task"))?;
        Ok(row.map(|row| TaskControl {
            priority: row.get("priority"),
            token_id: row.get("token_id"),
            cancelled_by: row.get("cancelled_by"),
            leased: row.get::<i32, _>("leased") == 1,
        }))
    }

    /// Says whose token a task came with, and how urgent it is. Before it is submitted.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn describe_task(&self, task: TaskId, token: Option<&str>, priority: i32) -> Result<(), StoreError> {
        sqlx::query("UPDATE tasks SET token_id = $1, priority = $2 WHERE id = $3")
            .bind(token)
            .bind(i64::from(priority))
            .bind(id_to_row(task))
            .execute(&self.database.pool)
            .await
            .map_err(StoreError::database("describe a task"))?;
        Ok(())
    }

    /// Puts an unfinished task forward or back; false if it is finished or not there.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn set_priority(&self, task: TaskId, priority: i32) -> Result<bool, StoreError> {
        let done = sqlx::query("UPDATE tasks SET priority = $1 WHERE id = $2 AND finished_at IS NULL")
            .bind(i64::from(priority))
            .bind(id_to_row(task))
            .execute(&self.database.pool)
            .await
            .map_err(StoreError::database("set a task's priority"))?;
        Ok(done.rows_affected() == 1)
    }

    /// Finishes a waiting or running task as failed; false if it is neither. A worker that has it loses its lease, and stops
    /// when it next renews it or tells its progress. The input stays: the task can be restarted.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn cancel_task(&self, task: TaskId, by: &str) -> Result<bool, StoreError> {
        const ACTION: &str = "cancel a task";
        let failed = StoreError::database;
        let message = format!("cancelled by {by}");
        let mut transaction = self.database.begin(ACTION).await?;
        let done = sqlx::query(
            "UPDATE tasks SET status = $1, message = $2, cancelled_by = $3, finished_at = $4, lease_owner = NULL,
                 lease_expires_at = NULL
             WHERE id = $5 AND finished_at IS NULL AND submitted_at IS NOT NULL",
        )
        .bind(i64::from(TaskStatus::Fail.number()))
        .bind(&message)
        .bind(by)
        .bind(rows::now_ms())
        .bind(id_to_row(task))
        .execute(&mut *transaction)
        .await
        .map_err(failed(ACTION))?;
        if done.rows_affected() != 1 {
            return Ok(false);
        }
        let (outcome, finding) = (Outcome::Failure { message }, Finding::failure(FailureReason::Cancelled));
        findings::record(&mut transaction, self.database.dialect, task, &outcome, &finding).await?;
        transaction.commit().await.map_err(failed(ACTION))?;
        Ok(true)
    }

    /// Puts a finished task into the queue again, at its end; false if it is not finished. Its input must be there
    /// ([`has_input`](Self::has_input)). Tries are counted on, so that a lease of an earlier one stays lost; it is tried at
    /// least once more.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn restart_task(&self, task: TaskId) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "UPDATE tasks SET status = $1, message = NULL, cancelled_by = NULL, started_at = NULL, finished_at = NULL,
                 lease_owner = NULL, lease_expires_at = NULL, submitted_at = $2
             WHERE id = $3 AND finished_at IS NOT NULL AND submitted_at IS NOT NULL",
        )
        .bind(i64::from(TaskStatus::Analyze.number()))
        .bind(rows::now_ms())
        .bind(id_to_row(task))
        .execute(&self.database.pool)
        .await
        .map_err(StoreError::database("restart a task"))?;
        Ok(done.rows_affected() == 1)
    }

    /// Where a task stands in the queue; none if it does not wait.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::InvalidRow`].
    pub async fn queue_place(&self, task: TaskId) -> Result<Option<QueuePlace>, StoreError> {
        let row = sqlx::query(
            "SELECT (SELECT count(*) FROM tasks other
                     WHERE other.finished_at IS NULL AND other.submitted_at IS NOT NULL
                        AND (other.lease_expires_at IS NULL OR other.lease_expires_at <= $1)
                        AND (other.priority > own.priority
                             OR (other.priority = own.priority AND (other.submitted_at < own.submitted_at
                                 OR (other.submitted_at = own.submitted_at AND other.id <= own.id))))),
                    (SELECT count(*) FROM tasks WHERE finished_at IS NULL AND submitted_at IS NOT NULL
                        AND lease_expires_at > $1)
             FROM tasks own
             WHERE own.id = $2 AND own.finished_at IS NULL AND own.submitted_at IS NOT NULL
                AND (own.lease_expires_at IS NULL OR own.lease_expires_at <= $1)",
        )
        .bind(rows::now_ms())
        .bind(id_to_row(task))
        .fetch_optional(&self.database.pool)
        .await
        .map_err(StoreError::database("look where a task stands"))?;
        row.map(|row| {
            Ok(QueuePlace { position: rows::size_from_row(row.get(0))?, running: rows::size_from_row(row.get(1))? })
        })
        .transpose()
    }

    /// The median of how long the last successful retraces took; none if there were too few to tell.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn usual_duration(&self) -> Result<Option<Duration>, StoreError> {
        let found: Result<Vec<i64>, _> = sqlx::query_scalar(
            "SELECT finished_at - started_at FROM tasks
             WHERE finished_at IS NOT NULL AND started_at IS NOT NULL AND status = $1
             ORDER BY finished_at DESC LIMIT $2",
        )
        .bind(i64::from(TaskStatus::Success.number()))
        .bind(RECENT)
        .fetch_all(&self.database.pool)
        .await;
        let mut durations = found.map_err(StoreError::database("look how long tasks take"))?;
        if durations.len() < ENOUGH {
            return Ok(None);
        }
        durations.sort_unstable();
        let median = durations.get(durations.len() / 2).copied().and_then(|ms| u64::try_from(ms).ok());
        Ok(median.map(Duration::from_millis))
    }
}

#[cfg(test)]
mod tests;

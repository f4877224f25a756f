//! What a monitoring system asks of the queue.

use std::time::Duration;

use retrace_types::TaskStatus;
use sqlx::Row as _;

use crate::{Store, StoreError, rows};

/// The queue's age, and how its tasks ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueAge {
    /// How long the task that waits longest has waited; none if no task waits.
    pub oldest_waiting: Option<Duration>,
    /// Tasks in the store with a backtrace.
    pub succeeded: u64,
    /// Tasks in the store that ended without one.
    pub failed: u64,
}

impl Store {
    /// How long tasks wait, and how those that are still in the store ended.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::InvalidRow`].
    pub async fn queue_age(&self) -> Result<QueueAge, StoreError> {
        const ACTION: &str = "look at the queue";
        let now = rows::now_ms();
        let oldest: Option<i64> = sqlx::query_scalar(
            "SELECT min(submitted_at) FROM tasks WHERE finished_at IS NULL AND submitted_at IS NOT NULL
                AND (lease_expires_at IS NULL OR lease_expires_at <= $1)",
        )
        .bind(now)
        .fetch_one(&self.database.pool)
        .await
        .map_err(StoreError::database(ACTION))?;
        let waited = |since: i64| Duration::from_millis(u64::try_from(now.saturating_sub(since)).unwrap_or_default());
        let mut age = QueueAge { oldest_waiting: oldest.map(waited), ..QueueAge::default() };
        let ended = sqlx::query("SELECT status, count(*) FROM tasks WHERE finished_at IS NOT NULL GROUP BY status");
        for row in ended.fetch_all(&self.database.pool).await.map_err(StoreError::database(ACTION))? {
            let count = rows::size_from_row(row.get(1))?;
            if row.get::<i64, _>(0) == i64::from(TaskStatus::Success.number()) {
                age.succeeded = count;
            } else {
                age.failed += count;
            }
        }
        Ok(age)
    }
}

#[cfg(test)]
mod tests {
    use retrace_types::{Sha256, TaskKind};

    use super::*;
    use crate::{NewTask, Outcome};

    #[tokio::test]
    async fn the_age_is_that_of_the_task_that_waits_longest() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).await.unwrap();
        assert_eq!(store.queue_age().await.unwrap(), QueueAge::default());
        let new = NewTask { kind: TaskKind::Coredump, password_sha256: Sha256::from_bytes([0; 32]) };
        for _ in 0..3 {
            let task = store.create_task(&new).await.unwrap();
            store.submit_task(task).await.unwrap();
        }
        let minute = Duration::from_secs(60);
        for outcome in [Outcome::Success, Outcome::Failure { message: "no core".to_owned() }] {
            let lease = store.lease_next("w", minute, 9).await.unwrap().unwrap();
            store.finish(&lease, &outcome).await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        let age = store.queue_age().await.unwrap();
        assert!(
            age.oldest_waiting.is_some_and(|waited| waited >= Duration::from_millis(20) && waited < minute),
            "{age:?}"
        );
        assert_eq!((age.succeeded, age.failed), (1, 1));
    }
}

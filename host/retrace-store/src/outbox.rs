//! Notifications: made in the transaction that notes that a task's end was told, and kept until their receiver took them.
//!
//! A process that is killed loses none: what was not told is found by the next, and a message that was sent but not noted as
//! sent is sent again under the same id.

use std::time::Duration;

use jiff::Timestamp;
use retrace_types::TaskId;
use sqlx::{AssertSqlSafe, Row as _, any::AnyRow};

use crate::{
    Store, StoreError, Task, rows,
    tasks::{expiry, id_to_row, read_id, read_task},
};

/// Longest text of an error that is kept with a message.
const MAX_ERROR_CHARS: usize = 500;

/// A notification to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMessage {
    /// Who gets it, as the configuration names it.
    pub target: String,
    /// What happened.
    pub event: String,
    /// JSON.
    pub body: String,
}

/// A notification on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The same for each try: a receiver tells a repetition by it.
    pub id: String,
    /// Who gets it.
    pub target: String,
    /// What happened.
    pub event: String,
    /// To which task.
    pub task: Option<TaskId>,
    /// JSON.
    pub body: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Which try this is, from 1.
    pub attempt: u32,
}

/// Notifications that were not taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutboxCounts {
    /// They are tried again.
    pub waiting: u64,
    /// They were tried to the end.
    pub given_up: u64,
}

impl Store {
    /// Finished tasks whose end was not told yet, the oldest first.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::InvalidRow`].
    pub async fn untold_tasks(&self, most: u32) -> Result<Vec<Task>, StoreError> {
        let found = sqlx::query(
            "SELECT * FROM tasks WHERE finished_at IS NOT NULL AND (told_finish IS NULL OR told_finish <> finished_at)
             ORDER BY finished_at LIMIT $1",
        )
        .bind(i64::from(most))
        .fetch_all(&self.database.pool)
        .await
        .map_err(StoreError::database("look for tasks to tell of"))?;
        found.iter().map(read_task).collect()
    }

    /// Notes that the end of a task is told, by these messages or none. Of several that try, one does it; says whether it did.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Random`].
    pub async fn tell(&self, task: &Task, messages: &[NewMessage]) -> Result<bool, StoreError> {
        const ACTION: &str = "note notifications";
        let failed = StoreError::database;
        let Some(finished_at) = task.finished_at.map(Timestamp::as_millisecond) else { return Ok(false) };
        let mut transaction = self.database.begin(ACTION).await?;
        let told = sqlx::query(
            "UPDATE tasks SET told_finish = finished_at
             WHERE id = $1 AND finished_at = $2 AND (told_finish IS NULL OR told_finish <> finished_at)",
        );
        let told = told.bind(id_to_row(task.id)).bind(finished_at).execute(&mut *transaction).await;
        if told.map_err(failed(ACTION))?.rows_affected() == 0 {
            return Ok(false);
        }
        let now = rows::now_ms();
        for message in messages {
            let id = message_id()?;
            sqlx::query(
                "INSERT INTO outbox (id, target, event, task_id, body, created_at, attempts, next_try_at)
                 VALUES ($1, $2, $3, $4, $5, $6, 0, $6)",
            )
            .bind(id)
            .bind(&message.target)
            .bind(&message.event)
            .bind(id_to_row(task.id))
            .bind(&message.body)
            .bind(now)
            .execute(&mut *transaction)
            .await
            .map_err(failed(ACTION))?;
        }
        transaction.commit().await.map_err(failed(ACTION))?;
        Ok(true)
    }

    /// Takes the message that is due for longest, for `hold`: what is not [delivered](Self::delivered) or [put
    /// off](Self::put_off) by then is given to another sender.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::InvalidRow`].
    pub async fn next_message(&self, hold: Duration) -> Result<Option<Message>, StoreError> {
        let now = rows::now_ms();
        let due: Option<String> =
            sqlx::query_scalar("SELECT id FROM outbox WHERE given_up_at IS NULL AND next_try_at <= $1 LIMIT 1")
                .bind(now)
                .fetch_optional(&self.database.pool)
                .await
                .map_err(StoreError::database("look for messages"))?;
        // A sender with nothing to do asks all the time: it must not wait for whoever writes.
        if due.is_none() {
            return Ok(None);
        }
        let statement = format!(
            "UPDATE outbox SET attempts = attempts + 1, next_try_at = $1
             WHERE id = (SELECT id FROM outbox WHERE given_up_at IS NULL AND next_try_at <= $2
                         ORDER BY next_try_at, id LIMIT 1 {}) AND next_try_at <= $2
             RETURNING id, target, event, task_id, body, created_at, attempts",
            self.database.dialect.skip_locked()
        );
        let row = sqlx::query(AssertSqlSafe(statement))
            .bind(expiry(now, hold))
            .bind(now)
            .fetch_optional(&self.database.pool)
            .await
            .map_err(StoreError::database("take a message"))?;
        row.as_ref().map(read_message).transpose()
    }

    /// The receiver took a message.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn delivered(&self, message: &Message) -> Result<(), StoreError> {
        let done = sqlx::query("DELETE FROM outbox WHERE id = $1").bind(&message.id).execute(&self.database.pool).await;
        done.map(drop).map_err(StoreError::database("note a delivery"))
    }

    /// The receiver did not take a message: it is tried again after a pause, or never.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn put_off(&self, message: &Message, error: &str, pause: Option<Duration>) -> Result<(), StoreError> {
        let now = rows::now_ms();
        sqlx::query(
            "UPDATE outbox SET next_try_at = $1, given_up_at = $2, last_error = $3 WHERE id = $4 AND attempts = $5",
        )
        .bind(expiry(now, pause.unwrap_or_default()))
        .bind(pause.is_none().then_some(now))
        .bind(error.chars().take(MAX_ERROR_CHARS).collect::<String>())
        .bind(&message.id)
        .bind(i64::from(message.attempt))
        .execute(&self.database.pool)
        .await
        .map_err(StoreError::database("put a message off"))?;
        Ok(())
    }

    /// How many messages were not taken.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::InvalidRow`].
    pub async fn outbox_counts(&self) -> Result<OutboxCounts, StoreError> {
        let row = sqlx::query("SELECT count(*), count(given_up_at) FROM outbox")
            .fetch_one(&self.database.pool)
            .await
            .map_err(StoreError::database("count the messages"))?;
        let (all, given_up) = (rows::size_from_row(row.get(0))?, rows::size_from_row(row.get(1))?);
        Ok(OutboxCounts { waiting: all.saturating_sub(given_up), given_up })
    }

    /// How many messages were given up at `until` or before.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::InvalidRow`].
    pub async fn old_messages(&self, until: Timestamp) -> Result<u64, StoreError> {
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM outbox WHERE given_up_at <= $1")
            .bind(until.as_millisecond())
            .fetch_one(&self.database.pool)
            .await
            .map_err(StoreError::database("count old messages"))?;
        rows::size_from_row(count)
    }

    /// Forgets messages that were given up at `until` or before; says how many.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn forget_messages(&self, until: Timestamp) -> Result<u64, StoreError> {
        let done = sqlx::query("DELETE FROM outbox WHERE given_up_at <= $1")
            .bind(until.as_millisecond())
            .execute(&self.database.pool)
            .await;
        done.map(|done| done.rows_affected()).map_err(StoreError::database("forget old messages"))
    }
}

/// 128 random bits: no two messages of any store share one.
fn message_id() -> Result<String, StoreError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| StoreError::Random(error.to_string()))?;
    Ok(format!("msg_{}", hex::encode(bytes)))
}

fn read_message(row: &AnyRow) -> Result<Message, StoreError> {
    let attempts: i64 = row.get("attempts");
    Ok(Message {
        id: row.get("id"),
        target: row.get("target"),
        event: row.get("event"),
        task: row.get::<Option<i64>, _>("task_id").map(read_id).transpose()?,
        body: row.get("body"),
        created_at: rows::timestamp(row.get("created_at"))?,
        attempt: u32::try_from(attempts).map_err(|_| StoreError::invalid("attempts", attempts))?,
    })
}

#[cfg(test)]
mod tests;

//! Requests that a client may repeat without making a second task.
//!
//! A key belongs to a task from before its upload begins. Whether the request is done follows from the task's row alone: a
//! server that is killed at any instant leaves a key that is either free again, since its task is abandoned, or done.

use std::time::Duration;

use retrace_types::{Sha256, TaskId};
use sqlx::{Row as _, any::AnyRow};

use crate::{
    Store, StoreError, rows,
    tasks::{expiry, id_to_row, read_id},
};

/// How long a key is remembered.
pub const KEY_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// Random bytes from which, with the key, the task's password is made.
const SALT_BYTES: usize = 16;

/// What is known of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// It belongs to this request now. The salt is for the password.
    Ours,
    /// Another request with it is under way.
    InProgress,
    /// A request with it made this task.
    Done {
        /// The task.
        task: TaskId,
        /// With the key it gives the task's password.
        salt: Vec<u8>,
        /// Digest of the request.
        request_sha256: Sha256,
    },
}

impl Store {
    /// A new salt for a key.
    ///
    /// # Errors
    /// [`StoreError::Random`].
    pub fn new_salt() -> Result<Vec<u8>, StoreError> {
        let mut salt = vec![0; SALT_BYTES];
        getrandom::fill(&mut salt).map_err(|error| StoreError::Random(error.to_string()))?;
        Ok(salt)
    }

    /// What is known of a key now; none: nothing, or it is free again.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::InvalidRow`].
    pub async fn key_state(&self, key: &Sha256) -> Result<Option<KeyState>, StoreError> {
        let now = rows::now_ms();
        let row = sqlx::query(
            "SELECT k.task_id, k.salt, k.request_sha256, t.submitted_at, t.lease_expires_at
             FROM idempotency_keys k JOIN tasks t ON t.id = k.task_id
             WHERE k.key_sha256 = $1 AND k.expires_at > $2",
        )
        .bind(key.as_bytes().as_slice())
        .bind(now)
        .fetch_optional(&self.database.pool)
        .await
        .map_err(StoreError::database("look up an idempotency key"))?;
        row.as_ref().map_or(Ok(None), |row| read_state(row, now))
    }

    /// Gives a key to the upload of a task, if it is free.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::InvalidRow`].
    pub async fn claim_key(&self, key: &Sha256, task: TaskId, salt: &[u8]) -> Result<KeyState, StoreError> {
        let now = rows::now_ms();
        let done = sqlx::query(
            "INSERT INTO idempotency_keys (key_sha256, task_id, salt, expires_at) VALUES ($1, $2, $3, $4)
             ON CONFLICT (key_sha256) DO UPDATE
             SET task_id = excluded.task_id, salt = excluded.salt, request_sha256 = NULL, expires_at = excluded.expires_at
             WHERE idempotency_keys.expires_at <= $5 OR NOT EXISTS
                (SELECT 1 FROM tasks WHERE id = idempotency_keys.task_id
                    AND (submitted_at IS NOT NULL OR lease_expires_at > $5))",
        )
        .bind(key.as_bytes().as_slice())
        .bind(id_to_row(task))
        .bind(salt)
        .bind(expiry(now, KEY_LIFETIME))
        .bind(now)
        .execute(&self.database.pool)
        .await
        .map_err(StoreError::database("claim an idempotency key"))?;
        if done.rows_affected() == 1 {
            return Ok(KeyState::Ours);
        }
        Ok(self.key_state(key).await?.unwrap_or(KeyState::InProgress))
    }

    /// Notes the digest of the whole request. Before the task is submitted.
    ///
    /// # Errors
    /// [`StoreError::Database`]; [`StoreError::NoSuchTask`] if the key was taken over, since this upload was thought dead.
    pub async fn complete_key(&self, key: &Sha256, task: TaskId, request: &Sha256) -> Result<(), StoreError> {
        let done =
            sqlx::query("UPDATE idempotency_keys SET request_sha256 = $1 WHERE key_sha256 = $2 AND task_id = $3")
                .bind(request.as_bytes().as_slice())
                .bind(key.as_bytes().as_slice())
                .bind(id_to_row(task))
                .execute(&self.database.pool)
                .await
                .map_err(StoreError::database("complete an idempotency key"))?;
        if done.rows_affected() == 1 { Ok(()) } else { Err(StoreError::NoSuchTask(task)) }
    }

    /// Forgets keys whose time is over; returns how many.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn forget_keys(&self) -> Result<u64, StoreError> {
        let done = sqlx::query("DELETE FROM idempotency_keys WHERE expires_at <= $1")
            .bind(rows::now_ms())
            .execute(&self.database.pool)
            .await;
        Ok(done.map_err(StoreError::database("forget idempotency keys"))?.rows_affected())
    }
}

fn read_state(row: &AnyRow, now: i64) -> Result<Option<KeyState>, StoreError> {
    let submitted = row.get::<Option<i64>, _>("submitted_at").is_some();
    let alive = row.get::<Option<i64>, _>("lease_expires_at").is_some_and(|expires| expires > now);
    let request: Option<&[u8]> = row.get("request_sha256");
    Ok(match request {
        Some(request) if submitted => Some(KeyState::Done {
            task: read_id(row.get("task_id"))?,
            salt: row.get("salt"),
            request_sha256: rows::digest(request)?,
        }),
        _ if submitted || alive => Some(KeyState::InProgress),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use retrace_types::TaskKind;

    use super::*;
    use crate::{
        NewTask,
        testing::{Test, on_both_databases},
    };

    on_both_databases!(a_key_makes_one_task, a_key_of_an_upload_that_died_is_free);

    fn key() -> Sha256 {
        Sha256::from_bytes([7; 32])
    }
    fn request() -> Sha256 {
        Sha256::from_bytes([8; 32])
    }

    async fn upload(store: &Store) -> TaskId {
        let new = NewTask { kind: TaskKind::Coredump, password_sha256: Sha256::from_bytes([1; 32]) };
        store.create_task(&new).await.unwrap()
    }

    async fn a_key_makes_one_task(test: Test) {
        let (first, second) = (&test.store, test.open_again().await);
        let (task, other) = (upload(first).await, upload(first).await);
        assert_eq!(first.key_state(&key()).await.unwrap(), None);
        assert_eq!(first.claim_key(&key(), task, b"salt").await.unwrap(), KeyState::Ours);
        assert_eq!(second.claim_key(&key(), other, b"other").await.unwrap(), KeyState::InProgress);
        first.complete_key(&key(), task, &request()).await.unwrap();
        assert_eq!(
            second.key_state(&key()).await.unwrap(),
            Some(KeyState::InProgress),
            "not before it is in the queue"
        );
        first.submit_task(task).await.unwrap();
        let done = KeyState::Done { task, salt: b"salt".to_vec(), request_sha256: request() };
        assert_eq!(second.claim_key(&key(), other, b"other").await.unwrap(), done);
        assert_eq!(first.forget_keys().await.unwrap(), 0);
        sqlx::query("UPDATE idempotency_keys SET expires_at = 1").execute(&first.database.pool).await.unwrap();
        assert_eq!(second.key_state(&key()).await.unwrap(), None);
        assert_eq!(first.forget_keys().await.unwrap(), 1);
    }

    async fn a_key_of_an_upload_that_died_is_free(test: Test) {
        let store = &test.store;
        let (task, other) = (upload(store).await, upload(store).await);
        store.claim_key(&key(), task, b"salt").await.unwrap();
        store.complete_key(&key(), task, &request()).await.unwrap();
        sqlx::query("UPDATE tasks SET lease_expires_at = 0 WHERE id = $1")
            .bind(id_to_row(task))
            .execute(&store.database.pool)
            .await
            .unwrap();
        assert_eq!(store.key_state(&key()).await.unwrap(), None);
        assert_eq!(store.claim_key(&key(), other, b"new").await.unwrap(), KeyState::Ours);
        let late = store.complete_key(&key(), task, &request()).await;
        assert!(matches!(late, Err(StoreError::NoSuchTask(_))), "{late:?}");
    }
}

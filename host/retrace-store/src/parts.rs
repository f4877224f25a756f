//! Uploads in parts: how much of each is on disk, and how long it is waited for. The bytes lie with the server that took them.

use std::time::Duration;

use retrace_types::TaskId;
use sqlx::Row as _;

use crate::{
    Store, StoreError, rows,
    tasks::{expiry, id_to_row},
};

/// An upload in parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartialUpload {
    /// What the request that began it said, as JSON.
    pub request: String,
    /// This much is on disk.
    pub offset_bytes: u64,
    /// How much it will be; none: not known yet.
    pub length_bytes: Option<u64>,
    /// The task is in the queue: nothing can be added.
    pub complete: bool,
}

impl Store {
    /// Notes that a task is uploaded in parts. The task is [an upload](Self::create_task) already.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn begin_parts(
        &self,
        task: TaskId,
        sender: &str,
        request: &str,
        length_bytes: Option<u64>,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO uploads (task_id, sender, request, offset_bytes, length_bytes) VALUES ($1, $2, $3, 0, $4)",
        )
        .bind(id_to_row(task))
        .bind(sender)
        .bind(request)
        .bind(length_bytes.map(rows::size_to_row))
        .execute(&self.database.pool)
        .await
        .map_err(StoreError::database("begin an upload in parts"))?;
        Ok(())
    }

    /// How many uploads in parts of a sender are alive and not complete.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn open_uploads(&self, sender: &str) -> Result<u64, StoreError> {
        let counted: Result<i64, _> = sqlx::query_scalar(
            "SELECT count(*) FROM uploads u JOIN tasks t ON t.id = u.task_id
             WHERE u.sender = $1 AND t.submitted_at IS NULL AND t.lease_expires_at > $2",
        )
        .bind(sender)
        .bind(rows::now_ms())
        .fetch_one(&self.database.pool)
        .await;
        rows::size_from_row(counted.map_err(StoreError::database("count uploads in parts"))?)
    }

    /// An upload in parts; none if there is no such one, or its time is over.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::InvalidRow`].
    pub async fn partial_upload(&self, task: TaskId) -> Result<Option<PartialUpload>, StoreError> {
        let row = sqlx::query(
            "SELECT u.request, u.offset_bytes, u.length_bytes, t.submitted_at FROM uploads u JOIN tasks t ON t.id = u.task_id
             WHERE u.task_id = $1 AND (t.submitted_at IS NOT NULL OR t.lease_expires_at > $2)",
        )
        .bind(id_to_row(task))
        .bind(rows::now_ms())
        .fetch_optional(&self.database.pool)
        .await
        .map_err(StoreError::database("look up an upload in parts"))?;
        row.map(|row| {
            let length: Option<i64> = row.get("length_bytes");
            Ok(PartialUpload {
                request: row.get("request"),
                offset_bytes: rows::size_from_row(row.get("offset_bytes"))?,
                length_bytes: length.map(rows::size_from_row).transpose()?,
                complete: row.get::<Option<i64>, _>("submitted_at").is_some(),
            })
        })
        .transpose()
    }

    /// Notes that the bytes up to `to_bytes` are on disk, and keeps the upload for `lifetime` from now.
    ///
    /// # Errors
    /// [`StoreError::NoSuchTask`] if it is gone or another request moved it; [`StoreError::Database`].
    pub async fn advance_upload(
        &self,
        task: TaskId,
        from_bytes: u64,
        to_bytes: u64,
        length_bytes: Option<u64>,
        lifetime: Duration,
    ) -> Result<(), StoreError> {
        const ACTION: &str = "advance an upload in parts";
        let failed = || StoreError::database(ACTION);
        let mut transaction = self.database.begin(ACTION).await?;
        let kept = sqlx::query("UPDATE tasks SET lease_expires_at = $1 WHERE id = $2 AND submitted_at IS NULL")
            .bind(expiry(rows::now_ms(), lifetime))
            .bind(id_to_row(task))
            .execute(&mut *transaction)
            .await
            .map_err(failed())?;
        let moved = sqlx::query(
            "UPDATE uploads SET offset_bytes = $1, length_bytes = coalesce($2, length_bytes)
             WHERE task_id = $3 AND offset_bytes = $4",
        )
        .bind(rows::size_to_row(to_bytes))
        .bind(length_bytes.map(rows::size_to_row))
        .bind(id_to_row(task))
        .bind(rows::size_to_row(from_bytes))
        .execute(&mut *transaction)
        .await
        .map_err(failed())?;
        if kept.rows_affected() != 1 || moved.rows_affected() != 1 {
            return Err(StoreError::NoSuchTask(task));
        }
        transaction.commit().await.map_err(failed())
    }
}

#[cfg(test)]
mod tests {
    use retrace_types::{Sha256, TaskKind};

    use super::*;
    use crate::{
        NewTask,
        testing::{Test, on_both_databases},
    };

    on_both_databases!(an_upload_moves_from_offset_to_offset, an_upload_ends_with_its_task);

    const LONG: Duration = Duration::from_secs(600);

    async fn begun(store: &Store) -> TaskId {
        let new = NewTask { kind: TaskKind::Coredump, password_sha256: Sha256::from_bytes([1; 32]) };
        let id = store.create_task(&new).await.unwrap();
        store.begin_parts(id, "address 192.0.2.1", "{}", None).await.unwrap();
        id
    }

    async fn an_upload_moves_from_offset_to_offset(test: Test) {
        let store = &test.store;
        let id = begun(store).await;
        store.advance_upload(id, 0, 5, None, LONG).await.unwrap();
        assert!(store.advance_upload(id, 0, 9, None, LONG).await.is_err(), "another request was first");
        store.advance_upload(id, 5, 7, Some(7), LONG).await.unwrap();
        let want = PartialUpload { request: "{}".into(), offset_bytes: 7, length_bytes: Some(7), complete: false };
        assert_eq!(test.open_again().await.partial_upload(id).await.unwrap(), Some(want));
        assert_eq!(store.open_uploads("address 192.0.2.1").await.unwrap(), 1);
        assert_eq!(store.open_uploads("address 192.0.2.2").await.unwrap(), 0);
    }

    async fn an_upload_ends_with_its_task(test: Test) {
        let store = &test.store;
        let (complete, gone, old) = (begun(store).await, begun(store).await, begun(store).await);
        store.submit_task(complete).await.unwrap();
        assert!(store.partial_upload(complete).await.unwrap().unwrap().complete);
        store.delete_task(gone).await.unwrap();
        store.advance_upload(old, 0, 0, None, Duration::ZERO).await.unwrap();
        for id in [gone, old] {
            assert_eq!(store.partial_upload(id).await.unwrap(), None);
        }
        assert_eq!(store.open_uploads("address 192.0.2.1").await.unwrap(), 0);
    }
}

//! Locks of jobs that are done by one process at a time, whatever its machine.
//!
//! As with [the locks of repositories](crate::locks), a lock has an owner and expires, and that of a process that ended on this
//! machine is free at once.

use std::time::Duration;

use sqlx::Row as _;

use crate::{LockHolder, Store, StoreError, locks::Owner, rows, tasks::expiry};

/// The right to do a job until it expires.
#[derive(Debug, PartialEq, Eq)]
pub struct JobLock {
    job: &'static str,
}

impl Store {
    /// Takes the lock of a job, or says who holds it.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::InvalidRow`].
    pub async fn lock_job(
        &self,
        job: &'static str,
        duration: Duration,
    ) -> Result<Result<JobLock, LockHolder>, StoreError> {
        // Two tries: the holder may end, or be found gone, in between.
        for _ in 0..2 {
            let now = rows::now_ms();
            let taken = sqlx::query(
                "INSERT INTO jobs (name, lock_owner, lock_expires_at) VALUES ($1, $2, $3)
                 ON CONFLICT (name) DO UPDATE SET lock_owner = excluded.lock_owner, lock_expires_at = excluded.lock_expires_at
                 WHERE jobs.lock_owner IS NULL OR jobs.lock_expires_at <= $4",
            )
            .bind(job)
            .bind(self.owner.to_row())
            .bind(expiry(now, duration))
            .bind(now)
            .execute(&self.database.pool)
            .await
            .map_err(StoreError::database("lock a job"))?;
            if taken.rows_affected() == 1 {
                return Ok(Ok(JobLock { job }));
            }
            let row = sqlx::query("SELECT lock_owner, lock_expires_at FROM jobs WHERE name = $1")
                .bind(job)
                .fetch_one(&self.database.pool)
                .await
                .map_err(StoreError::database("read a lock"))?;
            let (owner, expires_at): (Option<&str>, Option<i64>) = (row.get(0), row.get(1));
            let (Some(owner), Some(expires_at)) = (owner, expires_at) else { continue };
            let owner = Owner::from_row(owner)?;
            if !owner.is_gone(&self.owner) {
                return Ok(Err(owner.holder(rows::timestamp(expires_at)?)));
            }
            self.release_job(job, &owner.to_row()).await?;
        }
        Err(StoreError::JobLockLost)
    }

    /// Keeps a lock for `duration` from now.
    ///
    /// # Errors
    /// [`StoreError::JobLockLost`] if it expired and another took it, [`StoreError::Database`].
    pub async fn keep_job_lock(&self, lock: &JobLock, duration: Duration) -> Result<(), StoreError> {
        let kept = sqlx::query("UPDATE jobs SET lock_expires_at = $1 WHERE name = $2 AND lock_owner = $3")
            .bind(expiry(rows::now_ms(), duration))
            .bind(lock.job)
            .bind(self.owner.to_row())
            .execute(&self.database.pool)
            .await
            .map_err(StoreError::database("keep a lock"))?;
        if kept.rows_affected() == 1 { Ok(()) } else { Err(StoreError::JobLockLost) }
    }

    /// Gives a lock back; one that was lost is left to its new owner.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn unlock_job(&self, lock: JobLock) -> Result<(), StoreError> {
        self.release_job(lock.job, &self.owner.to_row()).await
    }

    async fn release_job(&self, job: &str, owner: &str) -> Result<(), StoreError> {
        sqlx::query("UPDATE jobs SET lock_owner = NULL, lock_expires_at = NULL WHERE name = $1 AND lock_owner = $2")
            .bind(job)
            .bind(owner)
            .execute(&self.database.pool)
            .await
            .map_err(StoreError::database("give a lock back"))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Test, on_both_databases};

    const LONG: Duration = Duration::from_secs(60);

    on_both_databases!(
        of_many_one_does_a_job_until_it_is_given_back,
        a_job_lock_that_expired_is_free_and_its_old_owner_learns_it,
        the_job_of_a_process_that_is_gone_is_free_at_once,
    );

    async fn of_many_one_does_a_job_until_it_is_given_back(test: Test) {
        let mut contenders = Vec::new();
        for _ in 0..6 {
            let store = test.open_again().await;
            contenders.push(tokio::spawn(async move { (store.lock_job("gc", LONG).await.unwrap(), store) }));
        }
        let mut won = Vec::new();
        for contender in contenders {
            match contender.await.unwrap() {
                (Ok(lock), store) => won.push((lock, store)),
                (Err(holder), _) => assert_eq!(holder.process, std::process::id()),
            }
        }
        assert_eq!(won.len(), 1);
        test.store.lock_job("another", LONG).await.unwrap().unwrap();
        let (lock, store) = won.remove(0);
        store.keep_job_lock(&lock, LONG).await.unwrap();
        store.unlock_job(lock).await.unwrap();
        test.store.lock_job("gc", LONG).await.unwrap().unwrap();
    }

    async fn a_job_lock_that_expired_is_free_and_its_old_owner_learns_it(test: Test) {
        let (first, second) = (&test.store, test.open_again().await);
        let lost = first.lock_job("gc", Duration::ZERO).await.unwrap().unwrap();
        let lock = second.lock_job("gc", LONG).await.unwrap().unwrap();
        assert!(matches!(first.keep_job_lock(&lost, LONG).await, Err(StoreError::JobLockLost)));
        first.unlock_job(lost).await.unwrap();
        second.keep_job_lock(&lock, LONG).await.unwrap();
    }

    async fn the_job_of_a_process_that_is_gone_is_free_at_once(test: Test) {
        let mut gone = test.open_again().await;
        // No process has this number: the kernel's largest is 2^22.
        gone.owner.set_process((1 << 22) + 1);
        gone.lock_job("gc", LONG).await.unwrap().unwrap();
        test.store.lock_job("gc", LONG).await.unwrap().unwrap();
    }
}

//! Locks of repositories: of many processes on many machines, one syncs a repository.
//!
//! A lock has an owner and expires, so that nothing has to be cleared up after a machine that is gone. The lock of a process
//! that ended on this machine is free at once.

use std::{fs, path::Path, process, time::Duration};

use jiff::Timestamp;
use sqlx::Row as _;

use crate::{RepositoryKey, Store, StoreError, rows, tasks::expiry};

/// The right to sync a repository until it expires.
#[derive(Debug, PartialEq, Eq)]
pub struct RepositoryLock {
    repository: RepositoryKey,
}

/// Who syncs a repository, or does a [job](crate::JobLock).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockHolder {
    /// Its machine.
    pub host: String,
    /// Its process there.
    pub process: u32,
    /// When the lock expires if it is not renewed.
    pub expires_at: Timestamp,
}

/// A process that may hold locks, different from every other on every machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    host: String,
    process: u32,
    /// Boot of the machine and namespace of its processes: only there `process` means what it says.
    scope: String,
    /// Tells two opened stores of one process apart.
    number: u64,
}

impl Owner {
    pub(crate) fn this() -> Result<Self, StoreError> {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().replace('/', "_");
        let namespace = fs::read_link("/proc/self/ns/pid").unwrap_or_default().display().to_string();
        Ok(Self {
            host: read("/proc/sys/kernel/hostname"),
            process: process::id(),
            scope: format!("{}+{namespace}", read("/proc/sys/kernel/random/boot_id")),
            number: getrandom::u64().map_err(|error| StoreError::Random(error.to_string()))?,
        })
    }

    pub(crate) fn to_row(&self) -> String {
        format!("{}/{}/{}/{:016x}", self.host, self.process, self.scope, self.number)
    }

    pub(crate) fn from_row(text: &str) -> Result<Self, StoreError> {
        let parts: Vec<_> = text.split('/').collect();
        let invalid = || StoreError::invalid("owner of a lock", text);
        let [host, process, scope, number] = parts.as_slice() else { return Err(invalid()) };
        Ok(Self {
            host: (*host).to_owned(),
            process: process.parse().map_err(|_| invalid())?,
            scope: (*scope).to_owned(),
            number: u64::from_str_radix(number, 16).map_err(|_| invalid())?,
        })
    }

    /// As others are told of it.
    pub(crate) fn holder(self, expires_at: Timestamp) -> LockHolder {
        LockHolder { host: self.host, process: self.process, expires_at }
    }

    #[cfg(test)]
    pub(crate) fn set_process(&mut self, process: u32) {
        self.process = process;
    }

    /// True if it was a process of this machine and is no more.
    pub(crate) fn is_gone(&self, here: &Self) -> bool {
        self.scope == here.scope && !Path::new("/proc").join(self.process.to_string()).exists()
    }
}

impl Store {
    /// Takes the lock of a repository, or says who holds it.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::InvalidRow`].
    pub async fn lock_repository(
        &self,
        repository: RepositoryKey,
        duration: Duration,
    ) -> Result<Result<RepositoryLock, LockHolder>, StoreError> {
        let here = self.owner.to_row();
        // Two tries: the holder may end, or be found gone, in between.
        for _ in 0..2 {
            let now = rows::now_ms();
            let taken = sqlx::query(
                "UPDATE repositories SET lock_owner = $1, lock_expires_at = $2
                 WHERE id = $3 AND (lock_owner IS NULL OR lock_expires_at <= $4)",
            )
            .bind(&here)
            .bind(expiry(now, duration))
            .bind(repository.0)
            .bind(now)
            .execute(&self.database.pool)
            .await
            .map_err(StoreError::database("lock a repository"))?;
            if taken.rows_affected() == 1 {
                return Ok(Ok(RepositoryLock { repository }));
            }
            let Some((owner, expires_at)) = self.lock_owner(repository).await? else { continue };
            if !owner.is_gone(&self.owner) {
                return Ok(Err(owner.holder(expires_at)));
            }
            self.release(repository, &owner.to_row()).await?;
        }
        Err(StoreError::LockLost)
    }

    /// Keeps a lock for `duration` from now.
    ///
    /// # Errors
    /// [`StoreError::LockLost`] if it expired and another took it, [`StoreError::Database`].
    pub async fn keep_lock(&self, lock: &RepositoryLock, duration: Duration) -> Result<(), StoreError> {
        let kept = sqlx::query("UPDATE repositories SET lock_expires_at = $1 WHERE id = $2 AND lock_owner = $3")
            .bind(expiry(rows::now_ms(), duration))
            .bind(lock.repository.0)
            .bind(self.owner.to_row())
            .execute(&self.database.pool)
            .await
            .map_err(StoreError::database("keep a lock"))?;
        if kept.rows_affected() == 1 { Ok(()) } else { Err(StoreError::LockLost) }
    }

    /// Gives a lock back; one that was lost is left to its new owner.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn unlock_repository(&self, lock: RepositoryLock) -> Result<(), StoreError> {
        self.release(lock.repository, &self.owner.to_row()).await
    }

    async fn release(&self, repository: RepositoryKey, owner: &str) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE repositories SET lock_owner = NULL, lock_expires_at = NULL WHERE id = $1 AND lock_owner = $2",
        )
        .bind(repository.0)
        .bind(owner)
        .execute(&self.database.pool)
        .await
        .map_err(StoreError::database("give a lock back"))?;
        Ok(())
    }

    async fn lock_owner(&self, repository: RepositoryKey) -> Result<Option<(Owner, Timestamp)>, StoreError> {
        let row = sqlx::query("SELECT lock_owner, lock_expires_at FROM repositories WHERE id = $1")
            .bind(repository.0)
            .fetch_one(&self.database.pool)
            .await
            .map_err(StoreError::database("read a lock"))?;
        let (owner, expires_at): (Option<&str>, Option<i64>) = (row.get(0), row.get(1));
        let (Some(owner), Some(expires_at)) = (owner, expires_at) else { return Ok(None) };
        Ok(Some((Owner::from_row(owner)?, rows::timestamp(expires_at)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Test, on_both_databases};

    const LONG: Duration = Duration::from_secs(60);

    on_both_databases!(
        one_of_two_gets_a_lock_and_the_other_learns_who_has_it,
        a_lock_that_expired_is_free_and_its_old_owner_learns_it,
        the_lock_of_a_process_that_is_gone_is_free_at_once,
        an_index_is_not_filled_by_who_lost_the_lock,
    );

    async fn repository(store: &Store) -> RepositoryKey {
        store.register_repository(&crate::testing::repository()).await.unwrap()
    }

    async fn one_of_two_gets_a_lock_and_the_other_learns_who_has_it(test: Test) {
        let (first, second) = (&test.store, test.open_again().await);
        let key = repository(first).await;
        let lock = first.lock_repository(key, LONG).await.unwrap().unwrap();
        let holder = second.lock_repository(key, LONG).await.unwrap().unwrap_err();
        assert_eq!(holder.process, process::id());
        assert!(holder.expires_at > Timestamp::now());
        first.keep_lock(&lock, LONG).await.unwrap();
        first.unlock_repository(lock).await.unwrap();
        second.lock_repository(key, LONG).await.unwrap().unwrap();
    }

    async fn a_lock_that_expired_is_free_and_its_old_owner_learns_it(test: Test) {
        let (first, second) = (&test.store, test.open_again().await);
        let key = repository(first).await;
        let lost = first.lock_repository(key, Duration::ZERO).await.unwrap().unwrap();
        let lock = second.lock_repository(key, LONG).await.unwrap().unwrap();
        assert!(matches!(first.keep_lock(&lost, LONG).await, Err(StoreError::LockLost)));
        first.unlock_repository(lost).await.unwrap();
        second.keep_lock(&lock, LONG).await.unwrap();
    }

    async fn the_lock_of_a_process_that_is_gone_is_free_at_once(test: Test) {
        let mut gone = test.open_again().await;
        let key = repository(&gone).await;
        // No process has this number: the kernel's largest is 2^22.
        gone.owner.process = (1 << 22) + 1;
        gone.lock_repository(key, LONG).await.unwrap().unwrap();
        test.store.lock_repository(key, LONG).await.unwrap().unwrap();

        // On another machine nobody knows.
        let mut elsewhere = test.open_again().await;
        elsewhere.owner.scope = "another boot".to_owned();
        elsewhere.owner.process = (1 << 22) + 1;
        assert!(elsewhere.lock_repository(key, LONG).await.unwrap().is_err());
    }

    async fn an_index_is_not_filled_by_who_lost_the_lock(test: Test) {
        let (first, second) = (&test.store, test.open_again().await);
        let key = repository(first).await;
        first.lock_repository(key, Duration::ZERO).await.unwrap().unwrap();
        let _lock = second.lock_repository(key, LONG).await.unwrap().unwrap();
        let error = first.replace_metadata(key, "r1", &[], &[]).await.unwrap_err();
        assert!(matches!(error, StoreError::LockLost), "{error}");
        assert_eq!(first.repository(key).await.unwrap().revision, None);
        second.replace_metadata(key, "r1", &[], &[]).await.unwrap();
    }
}

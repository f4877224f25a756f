//! Wishes for packages: the server, which fetches nothing, notes what it wants; a worker gets it.
//!
//! There is one wish for a package, however many wait for it, and the number of open ones is bounded. A wish that failed is
//! an answer for a while: nobody asks mirrors anew for each client. One that a killed worker left is taken by the next.

use std::time::Duration;

use retrace_types::BuildId;
use sqlx::{AssertSqlSafe, Executor as _, Row as _};

use crate::{IndexedPackage, PackageKey, Store, StoreError, database::Dialect, rows, tasks::expiry};

/// An open wish that nobody took is forgotten after this time: whoever had it is long gone.
const ABANDONED: Duration = Duration::from_secs(3600);
/// What became of a wish is forgotten after this time.
const FORGOTTEN: Duration = Duration::from_secs(24 * 3600);
/// Longest reason that is kept.
const MAX_FAILURE_CHARS: usize = 2000;

/// What is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Wish {
    /// This package.
    Package(PackageKey),
    /// The package that ships the program or library with this build-id, which the index does not name.
    Executable {
        /// Its build-id.
        build_id: BuildId,
        /// A package with its debug information.
        debug_package: PackageKey,
    },
}

/// What became of a wish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WishState {
    /// Nobody wished it, or it is long ago.
    Unknown,
    /// It waits, or is being fetched.
    Open,
    /// The package was fetched.
    Fulfilled,
    /// It cannot be had.
    Failed(String),
}

/// A wish that this worker is to fulfil until the lease expires.
#[derive(Clone, Debug)]
pub struct WishLease {
    /// What is wanted.
    pub wish: Wish,
    /// The package that the wish names.
    pub package: IndexedPackage,
    owner: String,
}

impl Wish {
    fn key(&self) -> (i64, &str) {
        match self {
            Self::Package(package) => (package.0, ""),
            Self::Executable { build_id, debug_package } => (debug_package.0, build_id.as_str()),
        }
    }
}

impl Store {
    /// Wishes for a package, and tells how it stands: open, or failed within `remember`. At most `max_open` wishes are open at
    /// once; none is returned if this would be one more.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn wish(&self, wish: &Wish, remember: Duration, max_open: u64) -> Result<Option<WishState>, StoreError> {
        const ACTION: &str = "wish for a package";
        let failed = StoreError::database;
        let now = rows::now_ms();
        let before = |age: Duration| now.saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
        let (package, build_id) = wish.key();
        let mut transaction = self.database.begin(ACTION).await?;
        if self.database.dialect == Dialect::Postgres {
            // Else many that count at once would all take the last place. SQLite has one writer anyway.
            let locked = transaction.execute("LOCK TABLE package_wishes IN SHARE ROW EXCLUSIVE MODE").await;
            locked.map_err(failed(ACTION))?;
        }
        sqlx::query(
            "DELETE FROM package_wishes WHERE finished_at < $1
             OR finished_at IS NULL AND wished_at < $2 AND (lease_expires IS NULL OR lease_expires < $3)",
        )
        .bind(before(FORGOTTEN))
        .bind(before(ABANDONED))
        .bind(now)
        .execute(&mut *transaction)
        .await
        .map_err(failed(ACTION))?;
        let known =
            sqlx::query("SELECT finished_at, failure FROM package_wishes WHERE package_id = $1 AND build_id = $2")
                .bind(package)
                .bind(build_id)
                .fetch_optional(&mut *transaction)
                .await
                .map_err(failed(ACTION))?;
        let known = known.map(|row| (row.get::<Option<i64>, _>(0), row.get::<Option<String>, _>(1)));
        match known {
            Some((Some(finished_at), Some(failure))) if finished_at > before(remember) => {
                return Ok(Some(WishState::Failed(failure)));
            }
            Some((None, _)) => {}
            // New, or to be fetched once more.
            _ => {
                let open: i64 = sqlx::query_scalar("SELECT count(*) FROM package_wishes WHERE finished_at IS NULL")
                    .fetch_one(&mut *transaction)
                    .await
                    .map_err(failed(ACTION))?;
                if rows::size_from_row(open)? >= max_open {
                    return Ok(None);
                }
            }
        }
        sqlx::query(
            "INSERT INTO package_wishes (package_id, build_id, wished_at) VALUES ($1, $2, $3)
             ON CONFLICT (package_id, build_id) DO UPDATE SET wished_at = excluded.wished_at, finished_at = NULL,
                 failure = NULL",
        )
        .bind(package)
        .bind(build_id)
        .bind(now)
        .execute(&mut *transaction)
        .await
        .map_err(failed(ACTION))?;
        transaction.commit().await.map_err(failed(ACTION))?;
        Ok(Some(WishState::Open))
    }

    /// How a wish stands.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn wish_state(&self, wish: &Wish) -> Result<WishState, StoreError> {
        let (package, build_id) = wish.key();
        let row =
            sqlx::query("SELECT finished_at, failure FROM package_wishes WHERE package_id = $1 AND build_id = $2")
                .bind(package)
                .bind(build_id)
                .fetch_optional(&self.database.pool)
                .await
                .map_err(StoreError::database("look how a wish stands"))?;
        let Some(row) = row else { return Ok(WishState::Unknown) };
        let (finished_at, failure): (Option<i64>, Option<String>) = (row.get(0), row.get(1));
        Ok(match (finished_at, failure) {
            (None, _) => WishState::Open,
            (Some(_), None) => WishState::Fulfilled,
            (Some(_), Some(failure)) => WishState::Failed(failure),
        })
    }

    /// The open wish that waits longest and that no other worker works on, for `duration`.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::InvalidRow`].
    pub async fn lease_wish(&self, owner: &str, duration: Duration) -> Result<Option<WishLease>, StoreError> {
        const ACTION: &str = "take a wish";
        let failed = StoreError::database;
        let now = rows::now_ms();
        // A worker with nothing to do asks all the time: it must not wait for whoever writes.
        let waiting: Option<i64> = sqlx::query_scalar(
            "SELECT package_id FROM package_wishes
             WHERE finished_at IS NULL AND (lease_expires IS NULL OR lease_expires <= $1) LIMIT 1",
        )
        .bind(now)
        .fetch_optional(&self.database.pool)
        .await
        .map_err(failed(ACTION))?;
        if waiting.is_none() {
            return Ok(None);
        }
        let skip_locked = self.database.dialect.skip_locked();
        let statement = format!(
            "UPDATE package_wishes SET lease_owner = $1, lease_expires = $2 WHERE (package_id, build_id) IN
                 (SELECT package_id, build_id FROM package_wishes
                  WHERE finished_at IS NULL AND (lease_expires IS NULL OR lease_expires <= $3)
                  ORDER BY wished_at LIMIT 1 {skip_locked})
             RETURNING package_id, build_id"
        );
        let taken = sqlx::query(AssertSqlSafe(statement))
            .bind(owner)
            .bind(expiry(now, duration))
            .bind(now)
            .fetch_optional(&self.database.pool)
            .await
            .map_err(failed(ACTION))?;
        let Some(taken) = taken else { return Ok(None) };
        let (package, build_id): (i64, String) = (taken.get(0), taken.get(1));
        let key = PackageKey(package);
        let wish = match build_id.as_str() {
            "" => Wish::Package(key),
            text => {
                let build_id = text.parse().map_err(|_| StoreError::invalid("build-id", text))?;
                Wish::Executable { build_id, debug_package: key }
            }
        };
        Ok(Some(WishLease { wish, package: self.package(key).await?, owner: owner.to_owned() }))
    }

    /// Keeps a wish for `duration` from now; false if another worker took it over.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn keep_wish(&self, lease: &WishLease, duration: Duration) -> Result<bool, StoreError> {
        let (package, build_id) = lease.wish.key();
        let kept = sqlx::query(
            "UPDATE package_wishes SET lease_expires = $1
             WHERE package_id = $2 AND build_id = $3 AND lease_owner = $4 AND finished_at IS NULL",
        )
        .bind(expiry(rows::now_ms(), duration))
        .bind(package)
        .bind(build_id)
        .bind(&lease.owner)
        .execute(&self.database.pool)
        .await
        .map_err(StoreError::database("keep a wish"))?;
        Ok(kept.rows_affected() == 1)
    }

    /// Says what became of a wish; nothing happens if another worker took it over.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn finish_wish(&self, lease: &WishLease, outcome: Result<(), &str>) -> Result<(), StoreError> {
        let (package, build_id) = lease.wish.key();
        let failure: Option<String> = outcome.err().map(|reason| reason.chars().take(MAX_FAILURE_CHARS).collect());
        sqlx::query(
            "UPDATE package_wishes SET finished_at = $1, failure = $2, lease_owner = NULL, lease_expires = NULL
             WHERE package_id = $3 AND build_id = $4 AND lease_owner = $5 AND finished_at IS NULL",
        )
        .bind(rows::now_ms())
        .bind(failure)
        .bind(package)
        .bind(build_id)
        .bind(&lease.owner)
        .execute(&self.database.pool)
        .await
        .map_err(StoreError::database("finish a wish"))?;
        Ok(())
    }

    /// Gives a wish back that was not worked on to its end: the next worker may take it at once.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn give_wish_back(&self, lease: &WishLease) -> Result<(), StoreError> {
        self.keep_wish(lease, Duration::ZERO).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        status::tests::package,
        testing::{Test, on_both_databases, repository, scope},
    };

    const LONG: Duration = Duration::from_secs(60);

    on_both_databases!(
        there_is_one_wish_for_a_package_and_one_worker_for_a_wish,
        a_failed_wish_is_an_answer_for_a_while,
        open_wishes_are_bounded,
        a_wish_of_a_worker_that_is_gone_is_taken_again,
    );

    /// Packages of a new store.
    async fn packages(store: &Store) -> Vec<PackageKey> {
        let repository = store.register_repository(&repository()).await.unwrap();
        let new: Vec<_> = ["a", "b", "c"].into_iter().map(|name| package(name, &[])).collect();
        store.replace_metadata(repository, "r1", &new, &[]).await.unwrap();
        store.packages(&scope()).await.unwrap().iter().map(|package| package.key).collect()
    }

    async fn there_is_one_wish_for_a_package_and_one_worker_for_a_wish(test: Test) {
        let (store, other) = (&test.store, test.open_again().await);
        let keys = packages(store).await;
        let wish = Wish::Package(keys[0]);
        let search = Wish::Executable { build_id: "aabbccdd".parse().unwrap(), debug_package: keys[0] };
        assert_eq!(store.wish_state(&wish).await.unwrap(), WishState::Unknown);
        for _ in 0..3 {
            assert_eq!(store.wish(&wish, LONG, 10).await.unwrap(), Some(WishState::Open));
        }
        assert_eq!(other.wish(&search, LONG, 10).await.unwrap(), Some(WishState::Open));
        let first = store.lease_wish("one", LONG).await.unwrap().unwrap();
        assert_eq!((&first.wish, first.package.key), (&wish, keys[0]));
        let second = other.lease_wish("two", LONG).await.unwrap().unwrap();
        assert_eq!(second.wish, search);
        assert!(other.lease_wish("two", LONG).await.unwrap().is_none());
        assert_eq!(store.wish(&wish, LONG, 10).await.unwrap(), Some(WishState::Open), "it is being worked on");
        assert!(store.keep_wish(&first, LONG).await.unwrap());
        store.finish_wish(&first, Ok(())).await.unwrap();
        assert_eq!(other.wish_state(&wish).await.unwrap(), WishState::Fulfilled);
        assert!(!store.keep_wish(&first, LONG).await.unwrap());
        // The package was pruned since.
        assert_eq!(store.wish(&wish, LONG, 10).await.unwrap(), Some(WishState::Open));
        assert_eq!(store.lease_wish("one", LONG).await.unwrap().unwrap().wish, wish);
    }

    async fn a_failed_wish_is_an_answer_for_a_while(test: Test) {
        let store = &test.store;
        let wish = Wish::Package(packages(store).await[1]);
        store.wish(&wish, LONG, 10).await.unwrap();
        let lease = store.lease_wish("one", LONG).await.unwrap().unwrap();
        store.finish_wish(&lease, Err("no mirror has it")).await.unwrap();
        let failed = WishState::Failed("no mirror has it".to_owned());
        assert_eq!(store.wish_state(&wish).await.unwrap(), failed);
        assert_eq!(store.wish(&wish, LONG, 10).await.unwrap(), Some(failed));
        assert!(store.lease_wish("one", LONG).await.unwrap().is_none());
        assert_eq!(store.wish(&wish, Duration::ZERO, 10).await.unwrap(), Some(WishState::Open));
    }

    async fn open_wishes_are_bounded(test: Test) {
        let store = &test.store;
        let keys = packages(store).await;
        for key in &keys[..2] {
            assert_eq!(store.wish(&Wish::Package(*key), LONG, 2).await.unwrap(), Some(WishState::Open));
        }
        assert_eq!(store.wish(&Wish::Package(keys[2]), LONG, 2).await.unwrap(), None);
        assert_eq!(store.wish(&Wish::Package(keys[0]), LONG, 2).await.unwrap(), Some(WishState::Open));
        let lease = store.lease_wish("one", LONG).await.unwrap().unwrap();
        store.finish_wish(&lease, Ok(())).await.unwrap();
        assert_eq!(store.wish(&Wish::Package(keys[2]), LONG, 2).await.unwrap(), Some(WishState::Open));
    }

    async fn a_wish_of_a_worker_that_is_gone_is_taken_again(test: Test) {
        let store = &test.store;
        let wish = Wish::Package(packages(store).await[0]);
        store.wish(&wish, LONG, 10).await.unwrap();
        let lost = store.lease_wish("one", Duration::ZERO).await.unwrap().unwrap();
        let taken = store.lease_wish("two", LONG).await.unwrap().unwrap();
        store.finish_wish(&lost, Err("late")).await.unwrap();
        assert_eq!(store.wish_state(&wish).await.unwrap(), WishState::Open, "it is no longer theirs");
        store.give_wish_back(&taken).await.unwrap();
        assert_eq!(store.lease_wish("three", LONG).await.unwrap().unwrap().wish, wish);
    }
}

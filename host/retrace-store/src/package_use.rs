//! Which packages retraces use.

use std::{
    collections::{BTreeSet, HashSet},
    time::Duration,
};

use jiff::Timestamp;
use sqlx::{AssertSqlSafe, Row as _};

use crate::{PackageKey, Scope, Store, StoreError, rows};

/// A use is not written again within this time: most retraces then only read.
pub(crate) const PRECISION: Duration = Duration::from_secs(600);

impl Store {
    /// Notes that a core maps files of these packages, or that these are their debug packages. Accurate to ten minutes.
    ///
    /// To be called before the packages' copies are looked for: then [`remove_copy`](Self::remove_copy) takes none of them
    /// away.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn note_referenced(&self, packages: &[PackageKey], at: Timestamp) -> Result<(), StoreError> {
        self.note_use(packages, at, true).await
    }

    /// Notes that a retrace looks into these packages; see [`note_referenced`](Self::note_referenced).
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn note_read(&self, packages: &[PackageKey], at: Timestamp) -> Result<(), StoreError> {
        self.note_use(packages, at, false).await
    }

    pub(crate) async fn note_use(
        &self,
        packages: &[PackageKey],
        at: Timestamp,
        referenced: bool,
    ) -> Result<(), StoreError> {
        const ACTION: &str = "note the use of packages";
        const COLUMNS: usize = 3;
        let (failed, dialect) = (StoreError::database, self.database.dialect);
        let at = at.as_millisecond();
        let fresh_from = at.saturating_sub(i64::try_from(PRECISION.as_millis()).unwrap_or(i64::MAX));
        for chunk in packages.chunks(rows::MAX_PARAMETERS / COLUMNS - 1) {
            let column = if referenced { "referenced_at" } else { "used_at" };
            let mut statement = format!("SELECT package_id FROM package_use WHERE {column} > $1 AND package_id IN (");
            dialect.push_parameters(&mut statement, 2, chunk.len());
            statement.push(')');
            let mut query = sqlx::query(AssertSqlSafe(statement)).bind(fresh_from);
            for package in chunk {
                query = query.bind(package.0);
            }
            let fresh = query.fetch_all(&self.database.pool).await.map_err(failed(ACTION))?;
            let fresh: BTreeSet<i64> = fresh.iter().map(|row| row.get(0)).collect();
            // In order: two that note the same packages must not wait for each other.
            let stale: BTreeSet<i64> = chunk.iter().map(|key| key.0).filter(|id| !fresh.contains(id)).collect();
            if stale.is_empty() {
                continue;
            }
            let statement = format!(
                "INSERT INTO package_use (package_id, used_at, referenced_at) VALUES {}
                 ON CONFLICT (package_id) DO UPDATE SET used_at = excluded.used_at,
                     referenced_at = coalesce(excluded.referenced_at, package_use.referenced_at)",
                dialect.values(stale.len(), COLUMNS)
            );
            let mut query = sqlx::query(AssertSqlSafe(statement));
            for id in stale {
                query = query.bind(id).bind(at).bind(referenced.then_some(at));
            }
            query.execute(&self.database.pool).await.map_err(failed(ACTION))?;
        }
        Ok(())
    }

    /// The packages of a release and architecture that a core ever mapped a file of, and their debug packages that were
    /// used with it.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn referenced_packages(&self, scope: &Scope) -> Result<HashSet<PackageKey>, StoreError> {
        let rows = sqlx::query(
            "SELECT p.id FROM package_use u JOIN packages p ON p.id = u.package_id
             JOIN repositories r ON r.id = p.repository_id
             WHERE r.release = $1 AND r.architecture = $2 AND u.referenced_at IS NOT NULL",
        )
        .bind(scope.release.to_string())
        .bind(scope.architecture.as_str())
        .fetch_all(&self.database.pool)
        .await
        .map_err(StoreError::database("list what crashes referenced"))?;
        Ok(rows.iter().map(|row| PackageKey(row.get(0))).collect())
    }

    /// When the task that is worked on longest was started; none if there is no such task.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::InvalidRow`].
    pub async fn oldest_task_started(&self) -> Result<Option<Timestamp>, StoreError> {
        let started: Option<i64> = sqlx::query_scalar("SELECT min(started_at) FROM tasks WHERE finished_at IS NULL")
            .fetch_one(&self.database.pool)
            .await
            .map_err(StoreError::database("look for running tasks"))?;
        started.map(rows::timestamp).transpose()
    }
}

use std::collections::HashSet;

use sqlx::Row as _;

use super::{IndexedPackage, PackageKey, Scope};
use crate::{Store, StoreError};

const ALL: &str = "FROM repositories r CROSS JOIN packages o
    WHERE r.release = $1 AND r.architecture = $2 AND o.repository_id = r.id";

impl Store {
    /// All packages of a release and architecture, in every version that is known.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::InvalidRow`].
    pub async fn packages(&self, scope: &Scope) -> Result<Vec<IndexedPackage>, StoreError> {
        self.packages_where(scope, ALL, |query| query).await
    }

    /// The packages of a release and architecture that the newest metadata no longer lists.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn dropped_packages(&self, scope: &Scope) -> Result<HashSet<PackageKey>, StoreError> {
        let rows = sqlx::query(
            "SELECT p.id FROM packages p JOIN repositories r ON r.id = p.repository_id
             WHERE r.release = $1 AND r.architecture = $2 AND p.upstream = 0",
        )
        .bind(scope.release.to_string())
        .bind(scope.architecture.as_str())
        .fetch_all(&self.database.pool)
        .await
        .map_err(StoreError::database("list what upstream dropped"))?;
        Ok(rows.iter().map(|row| PackageKey(row.get(0))).collect())
    }
}

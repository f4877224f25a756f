//! Filling the index: metadata of a repository in one transaction, packages as they are fetched and scanned.

mod members;
mod names;
mod packages;
mod paths;

use std::sync::Arc;

use retrace_types::{MemberBuildId, PackageFormat, PackageId, PackageKind, Sha256, SignatureState};

use crate::{
    Incident, PackageKey, RepositoryKey, Store, StoreError, database::Dialect, incidents, index::packages::Changes,
    rows, status,
};

pub use members::Members;
pub(crate) use members::read_owner;
pub(crate) use names::{read_source, split_source_rpm};
pub(crate) use packages::{read_kind, usual_file};
pub use paths::PathKey;
pub(crate) use paths::convert_old;

/// A package as repository metadata describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPackage {
    /// The package.
    pub id: PackageId,
    /// What it carries.
    pub kind: PackageKind,
    /// Format of its file.
    pub format: PackageFormat,
    /// Path of its file below the mirror's base; unique within the repository.
    pub location: String,
    /// Size of its file.
    pub size_bytes: Option<u64>,
    /// Digest of its file.
    pub sha256: Option<Sha256>,
    /// Source package.
    pub source: Option<String>,
    /// Dependencies on exact versions: name and version.
    pub exact_depends: Vec<(String, String)>,
    /// Build-ids that the metadata names.
    pub build_ids: Members,
    /// True if the metadata names every build-id of the package.
    pub complete: bool,
}

impl Store {
    /// Replaces what is known of a repository by new metadata, in one transaction.
    ///
    /// A package that the metadata no longer lists stays. One that it lists with other bytes than are known, at the same
    /// location or elsewhere under the same name and version, stays as it is known; the incident is kept and returned. Of two packages with one location the later one counts. `paths` are paths with the names of the packages
    /// that own them. Only what differs is written.
    ///
    /// # Errors
    /// [`StoreError::LockLost`] if another process has the lock of the repository, [`StoreError::Database`]; the old index
    /// is untouched then.
    pub async fn replace_metadata(
        &self,
        repository: RepositoryKey,
        revision: &str,
        packages: &[NewPackage],
        paths: &[(PathKey, Arc<str>)],
    ) -> Result<Vec<Incident>, StoreError> {
        const ACTION: &str = "replace the metadata of a repository";
        let failed = StoreError::database;
        let _filling = self.filling.lock().await;
        let mut transaction = self.database.begin_numbering(ACTION).await?;
        let dialect = self.database.dialect;
        let mut changes = Changes::read(&mut transaction, repository, packages).await?;
        changes.write(&mut transaction, dialect, repository).await?;
        let members = changes.keyed.iter().flat_map(|(id, package)| members::rows_of(*id, &package.build_ids));
        let written = members::insert(&mut transaction, dialect, members.collect()).await?;
        status::count_build_ids(&mut transaction, repository, written).await?;
        paths::replace(&mut transaction, dialect, repository, paths).await?;
        let mut incidents = std::mem::take(&mut changes.incidents);
        incidents::record(&mut transaction, repository, &mut incidents).await?;
        let done = sqlx::query(
            "UPDATE repositories SET revision = $1, synced_at = $2
             WHERE id = $3 AND (lock_owner IS NULL OR lock_owner = $4 OR lock_expires_at <= $2)",
        )
        .bind(revision)
        .bind(rows::now_ms())
        .bind(repository.0)
        .bind(self.owner.to_row())
        .execute(&mut *transaction)
        .await
        .map_err(failed(ACTION))?;
        if done.rows_affected() == 0 {
            return Err(StoreError::LockLost);
        }
        if dialect == Dialect::Postgres {
            // Else the first look-ups read whole tables, until the server looks after its statistics by itself.
            let analyze = sqlx::query("ANALYZE names, builds, packages, build_ids, paths");
            analyze.execute(&mut *transaction).await.map_err(failed(ACTION))?;
        }
        transaction.commit().await.map_err(failed(ACTION))?;
        Ok(incidents)
    }

    /// Notes that a verified copy of a package lies in the artifact store. A copy of another file than the
    /// metadata names, or than was noted before, is not noted.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn record_local_copy(
        &self,
        package: PackageKey,
        sha256: &Sha256,
        size_bytes: u64,
        signature: &SignatureState,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE packages SET local_sha256 = $1, local_bytes = $2, local_signature = $3
             WHERE id = $4 AND (sha256 IS NULL OR sha256 = $1) AND (local_sha256 IS NULL OR local_sha256 = $1)",
        )
        .bind(sha256.as_bytes().as_slice())
        .bind(rows::size_to_row(size_bytes))
        .bind(rows::to_json(signature))
        .bind(package.0)
        .execute(&self.database.pool)
        .await
        .map_err(StoreError::database("note a fetched package"))?;
        Ok(())
    }

    /// Adds the build-ids that a scan of the package's files found; the package counts as complete from now on.
    ///
    /// # Errors
    /// [`StoreError::Database`]; nothing is added then.
    pub async fn add_build_ids(&self, package: PackageKey, found: &[MemberBuildId]) -> Result<(), StoreError> {
        const ACTION: &str = "add build-ids";
        let failed = StoreError::database;
        let mut transaction = self.database.begin(ACTION).await?;
        let found = found.iter().collect();
        let rows = members::rows_of(package.0, &found).collect();
        let written = members::insert(&mut transaction, self.database.dialect, rows).await?;
        sqlx::query("UPDATE packages SET complete = 1 WHERE id = $1")
            .bind(package.0)
            .execute(&mut *transaction)
            .await
            .map_err(failed(ACTION))?;
        status::count_scanned(&mut transaction, package, written).await?;
        transaction.commit().await.map_err(failed(ACTION))
    }
}

use jiff::Timestamp;
use retrace_types::{Architecture, ReleaseId, RepositorySpec};
use sqlx::{Row as _, any::AnyRow};

use crate::{Store, StoreError, rows};

/// A repository's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepositoryKey(pub(crate) i64);

/// A repository to be registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRepository {
    /// Release whose packages it has.
    pub release: ReleaseId,
    /// Architecture of its packages.
    pub architecture: Architecture,
    /// How to reach and verify it.
    pub spec: RepositorySpec,
    /// The keys that may sign it, armoured: later fetches verify with the same.
    pub keys_armored: String,
}

/// A registered repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository {
    /// Its row.
    pub key: RepositoryKey,
    /// Release whose packages it has.
    pub release: ReleaseId,
    /// Architecture of its packages.
    pub architecture: Architecture,
    /// How to reach and verify it.
    pub spec: RepositorySpec,
    /// The keys that may sign it, armoured.
    pub keys_armored: String,
    /// What the metadata that the index was filled from said it was; none before the first sync.
    pub revision: Option<String>,
    /// When the index was last filled or found up to date.
    pub synced_at: Option<Timestamp>,
}

impl Store {
    /// Registers a repository, or updates how it is reached and verified; its index stays.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn register_repository(&self, new: &NewRepository) -> Result<RepositoryKey, StoreError> {
        let row = sqlx::query(
            "INSERT INTO repositories (release, architecture, name, spec, keys) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (release, architecture, name) DO UPDATE SET spec = excluded.spec, keys = excluded.keys
             RETURNING id",
        )
        .bind(new.release.to_string())
        .bind(new.architecture.as_str())
        .bind(&new.spec.id)
        .bind(rows::to_json(&new.spec))
        .bind(&new.keys_armored)
        .fetch_one(&self.database.pool)
        .await
        .map_err(StoreError::database("register a repository"))?;
        Ok(RepositoryKey(row.get(0)))
    }

    /// A registered repository.
    ///
    /// # Errors
    /// [`StoreError::Database`], also if there is none; [`StoreError::InvalidRow`].
    pub async fn repository(&self, key: RepositoryKey) -> Result<Repository, StoreError> {
        let row = sqlx::query("SELECT * FROM repositories WHERE id = $1")
            .bind(key.0)
            .fetch_one(&self.database.pool)
            .await
            .map_err(StoreError::database("read a repository"))?;
        read_repository(&row)
    }

    /// The registered repositories of a release and architecture, or of all.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::InvalidRow`].
    pub async fn repositories(
        &self,
        release: Option<&ReleaseId>,
        architecture: Option<Architecture>,
    ) -> Result<Vec<Repository>, StoreError> {
        let rows = sqlx::query(
            "SELECT * FROM repositories WHERE ($1 IS NULL OR release = $1) AND ($2 IS NULL OR architecture = $2)
             ORDER BY release, architecture, name",
        )
        .bind(release.map(ToString::to_string))
        .bind(architecture.map(Architecture::as_str))
        .fetch_all(&self.database.pool)
        .await
        .map_err(StoreError::database("list the repositories"))?;
        rows.iter().map(read_repository).collect()
    }

    /// Notes that a repository was looked at and has no news.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn mark_unchanged(&self, key: RepositoryKey) -> Result<(), StoreError> {
        sqlx::query("UPDATE repositories SET synced_at = $1 WHERE id = $2")
            .bind(rows::now_ms())
            .bind(key.0)
            .execute(&self.database.pool)
            .await
            .map_err(StoreError::database("note a sync"))?;
        Ok(())
    }

    /// Every release and architecture that has an index, in order.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::InvalidRow`].
    pub async fn releases_mirrored(&self) -> Result<Vec<(ReleaseId, Architecture)>, StoreError> {
        let rows = sqlx::query(
            "SELECT DISTINCT release, architecture FROM repositories WHERE revision IS NOT NULL
             ORDER BY release, architecture",
        )
        .fetch_all(&self.database.pool)
        .await
        .map_err(StoreError::database("list the releases"))?;
        rows.iter().map(|row| Ok((read_release(row.get(0))?, read_architecture(row.get(1))?))).collect()
    }
}

pub(crate) fn read_release(text: &str) -> Result<ReleaseId, StoreError> {
    text.parse().map_err(|_| StoreError::invalid("release", text))
}

pub(crate) fn read_architecture(text: &str) -> Result<Architecture, StoreError> {
    text.parse().map_err(|_| StoreError::invalid("architecture", text))
}

fn read_repository(row: &AnyRow) -> Result<Repository, StoreError> {
    let synced_at: Option<i64> = row.get("synced_at");
    Ok(Repository {
        key: RepositoryKey(row.get("id")),
        release: read_release(row.get("release"))?,
        architecture: read_architecture(row.get("architecture"))?,
        spec: rows::from_json("repository", row.get("spec"))?,
        keys_armored: row.get("keys"),
        revision: row.get("revision"),
        synced_at: synced_at.map(rows::timestamp).transpose()?,
    })
}

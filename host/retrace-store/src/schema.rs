//! What an operator looks at before new versions are rolled out: which migrations a database lacks, whether artifacts can be
//! written. Nothing here changes the database; opening a [`Store`] brings it up to date.

use std::path::Path;

use object_store::{ObjectStoreExt as _, PutPayload, path::Path as ObjectPath};
use sqlx::{AssertSqlSafe, Connection as _, Row as _};

use crate::{
    Store, StoreError, StoreOptions,
    artifacts::{Artifacts, failed},
    database::{self, Dialect},
    store::{ARTIFACTS, DATABASE},
};

/// How a database stands to this version of Retrace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaStatus {
    /// The database, for people: its file, or its name and server.
    pub database: String,
    /// Number of the newest migration that was applied; none if the database is new.
    pub schema: Option<i64>,
    /// Migrations that are missing, in order: number and name.
    pub pending: Vec<(i64, String)>,
    /// The newest one that a newer Retrace applied: this version cannot use the database.
    pub newer: Option<i64>,
}

impl Store {
    /// Compares a database with this version; it is only read. A SQLite file that is missing is a new database.
    ///
    /// # Errors
    /// [`StoreError::InvalidUrl`], [`StoreError::Unreachable`], [`StoreError::Damaged`], [`StoreError::Database`].
    pub async fn schema_status(dir: &Path, options: &StoreOptions) -> Result<SchemaStatus, StoreError> {
        const ACTION: &str = "look which migrations were applied";
        let failed = StoreError::database;
        let file = dir.join(DATABASE);
        let (dialect, database, target) = match &options.postgres_url {
            Some(url) => (Dialect::Postgres, database::postgres_name(url)?, Some(database::postgres_options(url)?)),
            None => {
                let is_there = file.metadata().is_ok_and(|metadata| metadata.len() > 0);
                let target = if is_there { Some(database::sqlite_options(&file, true)?) } else { None };
                (Dialect::Sqlite, file.display().to_string(), target)
            }
        };
        let mut applied: Vec<i64> = Vec::new();
        if let Some(target) = target {
            let mut connection = database::connect(&target).await?;
            let tables = match dialect {
                Dialect::Sqlite => "SELECT CAST(count(*) AS BIGINT) FROM sqlite_master WHERE name = '_sqlx_migrations'",
                Dialect::Postgres => {
                    "SELECT count(*) FROM pg_tables WHERE schemaname = current_schema() AND tablename = '_sqlx_migrations'"
                }
            };
            let tables: i64 =
                sqlx::query_scalar(AssertSqlSafe(tables)).fetch_one(&mut connection).await.map_err(failed(ACTION))?;
            if tables > 0 {
                let rows = sqlx::query("SELECT version FROM _sqlx_migrations ORDER BY version")
                    .fetch_all(&mut connection)
                    .await;
                applied = rows.map_err(failed(ACTION))?.iter().map(|row| row.get(0)).collect();
            }
            connection.close().await.map_err(failed(ACTION))?;
        }
        let known = || dialect.migrations().iter().filter(|migration| migration.migration_type.is_up_migration());
        let pending = known().filter(|migration| !applied.contains(&migration.version));
        Ok(SchemaStatus {
            database,
            pending: pending.map(|migration| (migration.version, migration.description.to_string())).collect(),
            newer: applied
                .iter()
                .copied()
                .filter(|version| known().all(|migration| migration.version != *version))
                .max(),
            schema: applied.into_iter().max(),
        })
    }

    /// Writes, reads and removes a small object where artifacts are kept; returns where that is, for people.
    ///
    /// # Errors
    /// [`StoreError::InvalidArtifacts`], [`StoreError::Artifact`], [`StoreError::Folder`], [`StoreError::Random`].
    pub async fn try_artifacts(dir: &Path, options: &StoreOptions) -> Result<String, StoreError> {
        let artifacts = match &options.artifacts {
            Some(bucket) => Artifacts::s3(bucket)?,
            None => {
                let path = dir.join(ARTIFACTS);
                std::fs::create_dir_all(&path).map_err(|source| StoreError::Folder { path: path.clone(), source })?;
                Artifacts::local(&path)?
            }
        };
        let random = getrandom::u64().map_err(|error| StoreError::Random(error.to_string()))?;
        let name = ObjectPath::from(format!("probe/{random:016x}"));
        let content = random.to_be_bytes().to_vec();
        artifacts.objects.put(&name, PutPayload::from(content.clone())).await.map_err(failed("write", &name))?;
        let found = artifacts.objects.get(&name).await.map_err(failed("read", &name))?;
        let is_same = found.bytes().await.map_err(failed("read", &name))? == content;
        artifacts.remove(&name).await?;
        if !is_same {
            return Err(StoreError::LostArtifact { name: name.to_string() });
        }
        Ok(artifacts.location(&ObjectPath::default()).display().to_string().trim_end_matches('/').to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Test, on_both_databases};

    on_both_databases!(a_database_tells_what_it_lacks);

    async fn a_database_tells_what_it_lacks(test: Test) {
        let (dir, options) = (test.dir.path(), test.options());
        let now = Store::schema_status(dir, options).await.unwrap();
        assert!(now.pending.is_empty() && now.newer.is_none() && now.schema.is_some(), "{now:?}");
        sqlx::query("DELETE FROM _sqlx_migrations WHERE version = 10")
            .execute(&test.store.database.pool)
            .await
            .unwrap();
        let statement = "UPDATE _sqlx_migrations SET version = 9999 WHERE version = 6";
        sqlx::query(statement).execute(&test.store.database.pool).await.unwrap();
        let old = Store::schema_status(dir, options).await.unwrap();
        let pending: Vec<_> = old.pending.iter().map(|(number, _)| *number).collect();
        assert!(pending == [6, 10] && old.newer == Some(9999), "{old:?}");
    }

    #[tokio::test]
    async fn a_new_database_lacks_everything_and_is_not_made_by_looking() {
        let dir = tempfile::tempdir().unwrap();
        let options = StoreOptions::default();
        let new = Store::schema_status(dir.path(), &options).await.unwrap();
        assert!(new.schema.is_none() && !new.pending.is_empty() && !dir.path().join(DATABASE).exists());
        Store::try_artifacts(dir.path(), &options).await.unwrap();
        Store::open(dir.path()).await.unwrap().close().await;
        assert!(Store::schema_status(dir.path(), &options).await.unwrap().pending.is_empty());
    }
}

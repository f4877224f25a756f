//! Which package owns a path.

use std::{collections::BTreeSet, sync::Arc};

use sha2::{Digest as _, Sha256};
use sqlx::{Any, Row as _, Transaction};

use crate::{
    RepositoryKey, StoreError,
    database::{Database, Dialect},
    index::names::Names,
    rows,
};

/// An absolute path as the index keeps it: the first eight bytes of its SHA-256.
///
/// `/lib/x` and `/usr/lib/x` are one path, likewise below `bin`, `sbin`, `lib32`, `lib64`: a system with merged `/usr`
/// shows files under the other name than the package that ships them. Two paths with one digest make a wrong hint where
/// to look, and a hint is all that a path is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathKey(i64);

impl PathKey {
    /// The key of a path.
    #[must_use]
    pub fn of(path: &str) -> Self {
        const MERGED: [&str; 5] = ["bin", "sbin", "lib", "lib32", "lib64"];
        let is_merged = |rest: &str| rest.split('/').next().is_some_and(|first| MERGED.contains(&first));
        let digest = match path.strip_prefix("/usr/").filter(|rest| is_merged(rest)) {
            Some(rest) => Sha256::new().chain_update("/").chain_update(rest).finalize(),
            None => Sha256::digest(path),
        };
        Self(digest.first_chunk().map_or(0, |first| i64::from_be_bytes(*first)))
    }

    pub(crate) fn to_row(self) -> i64 {
        self.0
    }
}

/// Replaces the paths of a repository; only what differs is written.
pub(super) async fn replace(
    transaction: &mut Transaction<'_, Any>,
    dialect: Dialect,
    repository: RepositoryKey,
    paths: &[(PathKey, Arc<str>)],
) -> Result<(), StoreError> {
    const ACTION: &str = "replace the paths of a repository";
    let failed = StoreError::database;
    let names = Names::intern(transaction, dialect, &paths.iter().map(|(_, name)| &**name).collect()).await?;
    let mut new = Vec::with_capacity(paths.len());
    for (path, name) in paths {
        new.push((path.0, names.get(name)?));
    }
    new.sort_unstable();
    new.dedup();
    let statements = Statements::of(dialect);
    let old: Option<i64> = sqlx::query_scalar("SELECT path FROM paths WHERE repository_id = $1 LIMIT 1")
        .bind(repository.0)
        .fetch_optional(&mut **transaction)
        .await
        .map_err(failed(ACTION))?;
    if old.is_none() {
        return insert(transaction, statements.insert, Some(repository), &new).await;
    }
    let failed = || StoreError::database(ACTION);
    sqlx::query(statements.create_new).execute(&mut **transaction).await.map_err(failed())?;
    insert(transaction, statements.insert_new, None, &new).await?;
    for statement in [DELETE_OLD, ADD_NEW] {
        let query = sqlx::query(statement).bind(repository.0);
        query.execute(&mut **transaction).await.map_err(failed())?;
    }
    sqlx::query("DROP TABLE new_paths").execute(&mut **transaction).await.map(drop).map_err(failed())
}

const DELETE_OLD: &str = "DELETE FROM paths WHERE repository_id = $1
    AND NOT EXISTS (SELECT 1 FROM new_paths n WHERE n.path = paths.path AND n.name_id = paths.name_id)";
const ADD_NEW: &str = "INSERT INTO paths (repository_id, path, name_id) SELECT $1, path, name_id FROM new_paths
    WHERE true ON CONFLICT DO NOTHING";

/// As for the build-ids, one parameter has many records, of 20 and 12 digits here.
struct Statements {
    /// Into the table; `$2` is the repository.
    insert: &'static str,
    create_new: &'static str,
    insert_new: &'static str,
}

impl Statements {
    fn of(dialect: Dialect) -> Self {
        match dialect {
            Dialect::Sqlite => Self {
                insert: "INSERT INTO paths (path, name_id, repository_id)
                    WITH RECURSIVE record(at) AS
                        (SELECT 1 UNION ALL SELECT at + 32 FROM record WHERE at + 32 <= length($1))
                    SELECT CAST(CAST(substr($1, at, 20) AS TEXT) AS INTEGER),
                        CAST(CAST(substr($1, at + 20, 12) AS TEXT) AS INTEGER), $2
                    FROM record WHERE true ON CONFLICT DO NOTHING",
                create_new:
                    "CREATE TEMPORARY TABLE new_paths (path INTEGER, name_id INTEGER, PRIMARY KEY (path, name_id))
                    WITHOUT ROWID",
                insert_new: "INSERT INTO new_paths (path, name_id)
                    WITH RECURSIVE record(at) AS
                        (SELECT 1 UNION ALL SELECT at + 32 FROM record WHERE at + 32 <= length($1))
                    SELECT CAST(CAST(substr($1, at, 20) AS TEXT) AS INTEGER),
                        CAST(CAST(substr($1, at + 20, 12) AS TEXT) AS INTEGER)
                    FROM record",
            },
            Dialect::Postgres => Self {
                insert: "INSERT INTO paths (path, name_id, repository_id)
                    SELECT convert_from(substr($1, at, 20), 'UTF8')::bigint,
                        convert_from(substr($1, at + 20, 12), 'UTF8')::bigint, $2
                    FROM generate_series(1, length($1), 32) at ON CONFLICT DO NOTHING",
                create_new: "CREATE TEMPORARY TABLE new_paths (path BIGINT, name_id BIGINT, PRIMARY KEY (path, name_id))",
                insert_new: "INSERT INTO new_paths (path, name_id)
                    SELECT convert_from(substr($1, at, 20), 'UTF8')::bigint,
                        convert_from(substr($1, at + 20, 12), 'UTF8')::bigint
                    FROM generate_series(1, length($1), 32) at",
            },
        }
    }
}

async fn insert(
    transaction: &mut Transaction<'_, Any>,
    statement: &'static str,
    repository: Option<RepositoryKey>,
    sorted: &[(i64, i64)],
) -> Result<(), StoreError> {
    const CHUNK: usize = 32_768;
    for chunk in sorted.chunks(CHUNK) {
        let mut records = Vec::with_capacity(chunk.len() * 32);
        for (path, name) in chunk {
            rows::push_decimal(&mut records, *path, 20);
            rows::push_decimal(&mut records, *name, 12);
        }
        let mut query = sqlx::query(statement).bind(records);
        if let Some(repository) = repository {
            query = query.bind(repository.0);
        }
        query.execute(&mut **transaction).await.map_err(StoreError::database("insert paths"))?;
    }
    Ok(())
}

/// Converts the rows that a SQLite store of an older version left (migration 2), in one transaction.
pub(crate) async fn convert_old(database: &Database) -> Result<(), StoreError> {
    const ACTION: &str = "convert the paths of an older version";
    let failed = StoreError::database;
    let is_old = "SELECT name FROM sqlite_master WHERE type = 'table' AND name = 'old_paths'";
    let old: Option<String> =
        sqlx::query_scalar(is_old).fetch_optional(&database.pool).await.map_err(failed(ACTION))?;
    if old.is_none() {
        return Ok(());
    }
    let mut transaction = database.begin_numbering(ACTION).await?;
    let found = sqlx::query("SELECT repository_id, path, package FROM old_paths ORDER BY repository_id")
        .fetch_all(&mut *transaction)
        .await
        .map_err(failed(ACTION))?;
    let old: Vec<_> = found
        .iter()
        .map(|row| (row.get::<i64, _>(0), (PathKey::of(row.get(1)), Arc::from(row.get::<&str, _>(2)))))
        .collect();
    let repositories: BTreeSet<_> = old.iter().map(|(repository, _)| *repository).collect();
    for repository in repositories {
        let paths: Vec<_> = old.iter().filter(|(id, _)| *id == repository).map(|(_, path)| path.clone()).collect();
        replace(&mut transaction, database.dialect, RepositoryKey(repository), &paths).await?;
    }
    sqlx::query("DROP TABLE old_paths").execute(&mut *transaction).await.map_err(failed(ACTION))?;
    transaction.commit().await.map_err(failed(ACTION))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_merged_folders_have_two_names() {
        for (path, alias) in [("/usr/bin/x", "/bin/x"), ("/usr/lib64/x", "/lib64/x"), ("/usr/lib/a/b", "/lib/a/b")] {
            assert_eq!(PathKey::of(path), PathKey::of(alias), "{path}");
        }
        for (path, other) in [("/usr/share/x", "/share/x"), ("/opt/x", "/usr/opt/x"), ("/bin/x", "bin/x")] {
            assert_ne!(PathKey::of(path), PathKey::of(other), "{path}");
        }
    }
}

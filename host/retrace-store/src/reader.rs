//! Look-ups of build-ids in SQLite without a pool.
//!
//! `sqlx` hands each statement to another thread and waits for it, which costs several times what the look-up itself does.
//! A look-up is a few reads of pages that are in memory as a rule, so it runs where it is asked for.

use std::{
    collections::HashMap,
    fmt,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use retrace_types::BuildId;
use rusqlite::{CachedStatement, Connection, OpenFlags, params};

use crate::{Provider, Scope, StoreError, database::PATIENCE, index::read_owner, lookup::PackageRow};

/// Build-ids that are looked up on the caller's thread; more of them get a thread of their own.
const INLINE: usize = 256;

/// How much of the file is read through a mapping, and not by a call for each page.
const MAPPED_BYTES: i64 = 1 << 30;

const ACTION: &str = "look up build-ids";

/// In the order of the table: nothing is sorted.
const FIND: &str = "SELECT p.*, b.owner, b.path FROM build_ids b JOIN indexed_packages p ON p.id = b.owner >> 2
    WHERE b.build_id = ?1 ORDER BY b.owner";
const SCOPE: &str = "SELECT id FROM repositories WHERE release = ?1 AND architecture = ?2";

/// Connections that read a SQLite database. Clones share them.
#[derive(Clone)]
pub(crate) struct Reader {
    path: Arc<Path>,
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl Reader {
    /// The database must be there when something is looked up.
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.into(), idle: Arc::default() }
    }

    /// What ships files with these build-ids; all of them are looked up in one state of the index.
    pub(crate) async fn find(
        &self,
        scope: Option<&Scope>,
        build_ids: &[BuildId],
    ) -> Result<HashMap<BuildId, Vec<Provider>>, StoreError> {
        if build_ids.len() <= INLINE {
            return self.find_here(scope, build_ids);
        }
        let (reader, scope, build_ids) = (self.clone(), scope.cloned(), build_ids.to_vec());
        let finding = tokio::task::spawn_blocking(move || reader.find_here(scope.as_ref(), &build_ids)).await;
        finding.map_err(|error| StoreError::database(ACTION)(sqlx::Error::AnyDriverError(error.into())))?
    }

    fn find_here(
        &self,
        scope: Option<&Scope>,
        build_ids: &[BuildId],
    ) -> Result<HashMap<BuildId, Vec<Provider>>, StoreError> {
        let failed = || StoreError::sqlite(ACTION);
        let connection = self.take()?;
        let mut found = HashMap::with_capacity(build_ids.len());
        {
            let transaction = connection.unchecked_transaction().map_err(failed())?;
            let repositories = scope.map(|scope| repositories(&transaction, scope)).transpose().map_err(failed())?;
            let mut statement = transaction.prepare_cached(FIND).map_err(failed())?;
            for build_id in build_ids {
                let providers = find_one(&mut statement, repositories.as_deref(), build_id)?;
                if !providers.is_empty() {
                    found.insert(build_id.clone(), providers);
                }
            }
        }
        // One that failed is not used again.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        Ok(found)
    }

    fn take(&self) -> Result<Connection, StoreError> {
        if let Some(connection) = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop() {
            return Ok(connection);
        }
        let failed = || StoreError::sqlite("open the database for reading");
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags).map_err(failed())?;
        connection.busy_timeout(PATIENCE).map_err(failed())?;
        // The system's cache of the file is cache enough.
        connection.pragma_update(None, "mmap_size", MAPPED_BYTES).map_err(failed())?;
        Ok(connection)
    }

    /// Closes the connections.
    pub(crate) fn close(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

fn repositories(connection: &Connection, scope: &Scope) -> rusqlite::Result<Vec<i64>> {
    let mut statement = connection.prepare_cached(SCOPE)?;
    let found =
        statement.query_map(params![scope.release.to_string(), scope.architecture.as_str()], |row| row.get(0))?;
    found.collect()
}

fn find_one(
    statement: &mut CachedStatement<'_>,
    repositories: Option<&[i64]>,
    build_id: &BuildId,
) -> Result<Vec<Provider>, StoreError> {
    let failed = || StoreError::sqlite(ACTION);
    let mut rows = statement.query(params![build_id.to_bytes()]).map_err(failed())?;
    let mut providers = Vec::new();
    while let Some(row) = rows.next().map_err(failed())? {
        let repository: i64 = row.get("repository_id").map_err(failed())?;
        if repositories.is_some_and(|wanted| !wanted.contains(&repository)) {
            continue;
        }
        let owner: i64 = row.get("owner").map_err(failed())?;
        let path: String = row.get("path").map_err(failed())?;
        let (role, path) = read_owner(owner, &path, build_id);
        let package = PackageRow::of_sqlite(row).map_err(failed())?.into_package()?;
        providers.push(Provider { package, role, path });
    }
    Ok(providers)
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("path", &self.path).finish_non_exhaustive()
    }
}

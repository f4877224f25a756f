use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use object_store::local::LocalFileSystem;
use retrace_types::TaskId;
use sqlx::{
    SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use crate::StoreError;

/// Longest wait for another process that writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// Readers at once; SQLite has one writer.
const MAX_CONNECTIONS: u32 = 8;

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!();

/// An open store. Clones share it.
#[derive(Clone, Debug)]
pub struct Store {
    pub(crate) pool: SqlitePool,
    pub(crate) artifacts: Arc<LocalFileSystem>,
    dir: Arc<Path>,
}

impl Store {
    /// Opens the store in a folder and brings the database up to date; makes both where they are missing.
    ///
    /// Several processes may have one store open. Everything committed survives a crash of the machine.
    ///
    /// # Errors
    /// [`StoreError::Folder`] if the folder cannot be used, [`StoreError::Migration`] if the database is of a newer version.
    pub async fn open(dir: &Path) -> Result<Self, StoreError> {
        let folder = |source| StoreError::Folder { path: dir.to_owned(), source };
        let dir = std::path::absolute(dir).map_err(folder)?;
        let artifacts_dir = dir.join("artifacts");
        for path in [&artifacts_dir, &dir.join("tasks")] {
            tokio::fs::create_dir_all(path)
                .await
                .map_err(|source| StoreError::Folder { path: path.clone(), source })?;
        }
        let artifacts = LocalFileSystem::new_with_prefix(&artifacts_dir)
            .map_err(|source| StoreError::Artifact { action: "open the folder of", name: String::new(), source })?
            .with_fsync(true);

        let path = dir.join("retrace.db");
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            .pragma("cache_size", "-65536");
        let pool = SqlitePoolOptions::new()
            .max_connections(MAX_CONNECTIONS)
            .connect_with(options)
            .await
            .map_err(StoreError::database("open the database"))?;
        MIGRATIONS.run(&pool).await.map_err(|source| StoreError::Migration { path, source })?;
        Ok(Self { pool, artifacts: Arc::new(artifacts), dir: dir.into() })
    }

    /// Folder of the store.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Folder of a task's own files: `crash/` holds what was uploaded. It is made by whoever writes there.
    #[must_use]
    pub fn task_dir(&self, task: TaskId) -> PathBuf {
        self.dir.join("tasks").join(task.to_string())
    }

    /// Waits until the database's files are closed.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

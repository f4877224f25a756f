use std::{
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use retrace_types::TaskId;

use crate::{S3Options, StoreError, artifacts::Artifacts, changes::Hub, database::Database, locks::Owner};

/// Names in the store's folder.
pub(crate) const DATABASE: &str = "retrace.db";
pub(crate) const ARTIFACTS: &str = "artifacts";
pub(crate) const TASKS: &str = "tasks";

/// An open store. Clones share it.
#[derive(Clone, Debug)]
pub struct Store {
    pub(crate) database: Database,
    pub(crate) artifacts: Artifacts,
    /// Held by who fills the index: the next waits here, however long that takes, and not for the database's patience.
    pub(crate) filling: Arc<tokio::sync::Mutex<()>>,
    /// Whose locks of repositories this store takes.
    pub(crate) owner: Owner,
    /// Who waits for changes of tasks.
    pub(crate) hub: Arc<Hub>,
    dir: Arc<Path>,
}

/// Where a store lies, beside its folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreOptions {
    /// A PostgreSQL database, version 12 or newer: `postgres://user:password@host:port/database?sslmode=verify-full`. It
    /// must be there; tables are made. None: a SQLite database in the folder.
    pub postgres_url: Option<String>,
    /// A bucket for packages, results, and what was uploaded. None: the folder.
    pub artifacts: Option<S3Options>,
}

impl Store {
    /// Opens the store in a folder, with a SQLite database in it, and brings the database up to date; makes both where they
    /// are missing. What it makes is for the owner alone: cores hold secrets.
    ///
    /// Several processes may have one store open. Everything committed survives a crash of the machine.
    ///
    /// # Errors
    /// [`StoreError::Folder`] if the folder cannot be used, [`StoreError::NewerDatabase`], [`StoreError::Migration`],
    /// [`StoreError::Damaged`] if the database cannot.
    pub async fn open(dir: &Path) -> Result<Self, StoreError> {
        Self::open_with(dir, &StoreOptions::default()).await
    }

    /// As [`open`](Self::open), with a database and artifacts elsewhere where the options say so. Uploads begin in the
    /// folder.
    ///
    /// # Errors
    /// As [`open`](Self::open), and [`StoreError::InvalidUrl`], [`StoreError::Unreachable`],
    /// [`StoreError::InvalidArtifacts`]. A bucket is not asked for anything yet.
    pub async fn open_with(dir: &Path, options: &StoreOptions) -> Result<Self, StoreError> {
        let folder = |source| StoreError::Folder { path: dir.to_owned(), source };
        let dir = std::path::absolute(dir).map_err(folder)?;
        let (opening, with_database) = (dir.clone(), options.postgres_url.is_none());
        // Held until the schema is there: of two processes that start together, one makes it.
        let lock = tokio::task::spawn_blocking(move || make_folder(&opening, with_database)).await;
        let _lock = lock.map_err(io::Error::other).flatten().map_err(folder)?;
        let artifacts = match &options.artifacts {
            Some(bucket) => Artifacts::s3(bucket)?,
            None => Artifacts::local(&dir.join(ARTIFACTS))?,
        };
        let (database, hub) = match &options.postgres_url {
            Some(url) => (Database::postgres(url).await?, Hub::postgres(url)),
            None => (Database::sqlite(&dir.join(DATABASE)).await?, Hub::sqlite(&dir.join(DATABASE))),
        };
        Ok(Self {
            database,
            artifacts,
            filling: Arc::default(),
            owner: Owner::this()?,
            hub: Arc::new(hub),
            dir: dir.into(),
        })
    }

    /// Folder of the store.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Folder of a task's own files on this machine, for uploads. It is made by whoever writes there.
    #[must_use]
    pub fn task_dir(&self, task: TaskId) -> PathBuf {
        self.dir.join(TASKS).join(task.to_string())
    }

    /// Waits until the database's files are closed.
    pub async fn close(&self) {
        if let Some(reader) = &self.database.reader {
            reader.close();
        }
        self.database.pool.close().await;
    }
}

/// Makes what is missing of the folder, and waits for the lock that opening takes.
fn make_folder(dir: &Path, with_database: bool) -> io::Result<File> {
    fs::create_dir_all(dir)?;
    let private = |name: &str| match DirBuilder::new().mode(0o700).create(dir.join(name)) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    };
    private(ARTIFACTS)?;
    private(TASKS)?;
    // Not truncated: it may be there.
    let private = |name: &str| File::options().create(true).append(true).mode(0o600).open(dir.join(name));
    if with_database {
        private(DATABASE)?;
    }
    let lock = private("open.lock")?;
    lock.lock()?;
    Ok(lock)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn many_may_open_a_new_store_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let opening: Vec<_> = (0..6)
            .map(|_| {
                let dir = dir.path().join("state/retrace");
                tokio::spawn(async move { Store::open(&dir).await.unwrap().task_counts().await.unwrap() })
            })
            .collect();
        for opened in opening {
            assert_eq!(opened.await.unwrap(), crate::TaskCounts::default());
        }
    }

    #[tokio::test]
    async fn others_cannot_read_what_is_stored() {
        let dir = tempfile::tempdir().unwrap();
        let _store = Store::open(dir.path()).await.unwrap();
        for (name, mode) in [(DATABASE, 0o600), ("retrace.db-wal", 0o600), (ARTIFACTS, 0o700), (TASKS, 0o700)] {
            let found = fs::metadata(dir.path().join(name)).unwrap().permissions().mode() & 0o777;
            assert_eq!(found, mode, "{name}: {found:o}");
        }
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_used_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = Store::open(&file.path().join("below")).await.unwrap_err();
        assert!(error.to_string().contains(file.path().to_str().unwrap()), "{error}");
    }
}

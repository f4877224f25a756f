use std::path::PathBuf;

use retrace_types::TaskId;
use rusqlite::ErrorCode;
use sqlx::{migrate::MigrateError, postgres::PgDatabaseError};

/// Why the store cannot do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The folder cannot be made or used.
    #[error("cannot use {path}: check that it is writable and has free space")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A newer Retrace wrote the database.
    #[error(
        "the database {database} has schema {schema}, which is newer than this version of Retrace: use a newer one"
    )]
    NewerDatabase {
        /// The database: its file, or its name and server.
        database: String,
        /// Number of the newest migration that was applied to it.
        schema: i64,
    },
    /// The database cannot be brought up to date.
    #[error("the database {database} cannot be brought up to date: restore it from a backup, or use a new folder")]
    Migration {
        /// The database: its file, or its name and server.
        database: String,
        /// Why.
        source: MigrateError,
    },
    /// The address of the database cannot be used.
    #[error("the address of the database is invalid: want postgres://user:password@host:port/database")]
    InvalidUrl {
        /// Why.
        source: sqlx::Error,
    },
    /// The database's server does not answer, or refuses us.
    #[error(
        "the server of the database does not let us in at: {action}; check that it runs, its address, user and password"
    )]
    Unreachable {
        /// What was tried.
        action: &'static str,
        /// Why.
        source: sqlx::Error,
    },
    /// Another process held the database for too long.
    #[error("the database stayed locked at: {action}; is another process writing for long, or stopped while it wrote?")]
    Locked {
        /// What was tried.
        action: &'static str,
        /// What the database said.
        source: sqlx::Error,
    },
    /// The disk, or the user's share of it, is full.
    #[error("the disk of the database is full at: {action}; free some space and try again")]
    DiskFull {
        /// What was tried.
        action: &'static str,
        /// What the database said.
        source: sqlx::Error,
    },
    /// The file is no database, or is damaged.
    #[error("the database is damaged, found at: {action}; restore it from a backup, or mirror into a new folder")]
    Damaged {
        /// What was tried.
        action: &'static str,
        /// What the database said.
        source: sqlx::Error,
    },
    /// The database refused a statement.
    #[error("the database failed at: {action}")]
    Database {
        /// What was tried.
        action: &'static str,
        /// Why.
        source: sqlx::Error,
    },
    /// A row holds what this version cannot read.
    #[error("the database holds an invalid {what}: {value:?}; restore it from a backup or mirror the release again")]
    InvalidRow {
        /// The column.
        what: &'static str,
        /// What it holds.
        value: String,
    },
    /// An artifact cannot be written or read.
    #[error(
        "cannot {action} the artifact {name}: check free space and rights of the store's folder, or the bucket's server"
    )]
    Artifact {
        /// What was tried.
        action: &'static str,
        /// Its name in the artifact store.
        name: String,
        /// Why.
        source: object_store::Error,
    },
    /// A file cannot be brought into the bucket, or from there to here.
    #[error("cannot {action} the artifact {name}: check the bucket's server, and the free space here")]
    Transfer {
        /// What was tried.
        action: &'static str,
        /// Its name in the artifact store.
        name: String,
        /// Why.
        source: std::io::Error,
    },
    /// The address of the bucket, or what goes with it, cannot be used.
    #[error("the artifacts cannot be kept in {url:?}: {problem}")]
    InvalidArtifacts {
        /// Its address.
        url: String,
        /// What is wrong with it.
        problem: String,
    },
    /// An artifact does not have the content that its name says.
    #[error(
        "the artifact {name} is damaged: its SHA-256 is not {expected}; `retrace mirror verify --repair` replaces it"
    )]
    DamagedArtifact {
        /// Its name in the artifact store.
        name: String,
        /// What it should be.
        expected: retrace_types::Sha256,
    },
    /// An artifact that was just written is gone.
    #[error("the artifact {name} vanished: is somebody else removing objects from the bucket?")]
    LostArtifact {
        /// Its name in the artifact store.
        name: String,
    },
    /// The files of a task are gone.
    #[error("the uploaded files of task {0} are gone: the crash has to be sent again")]
    NoInput(TaskId),
    /// A file that is to become an artifact cannot be read, or an artifact's local copy is gone.
    #[error("cannot read {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file of the artifact store cannot be removed.
    #[error("cannot remove {path}: check the rights of the store's folder")]
    Remove {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file does not have the content that it was said to have.
    #[error("{path} changed while it was stored: its SHA-256 is not {expected}")]
    DigestMismatch {
        /// The file.
        path: PathBuf,
        /// What it should be.
        expected: retrace_types::Sha256,
    },
    /// No such task.
    #[error("task {0} does not exist")]
    NoSuchTask(TaskId),
    /// A task is finished by its outcome, not by a status.
    #[error("task {0} cannot be given a final status: finish it")]
    FinalStatus(TaskId),
    /// Another worker holds the task, or it is finished.
    #[error("the lease on task {0} is lost: another worker took the task over, or it is finished")]
    LeaseLost(TaskId),
    /// Another process took over the sync of a repository.
    #[error("another process syncs the repository since the lock on it expired; nothing was changed, try again later")]
    LockLost,
    /// Another process took over a job.
    #[error("another process does the job since the lock on it expired; what was done stays done, try again later")]
    JobLockLost,
    /// The system gives no random numbers.
    #[error("the operating system gives no random numbers: {0}")]
    Random(String),
    /// No task id was free.
    #[error("no free task id was found: remove old tasks")]
    NoFreeTaskId,
}

impl StoreError {
    /// True if the same may work after a while: the database or the bucket's server is away, or busy.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Locked { .. } | Self::Transfer { .. } => true,
            // What is left of a server that did not answer, after many tries.
            Self::Artifact { source, .. } => matches!(source, object_store::Error::Generic { store: "S3", .. }),
            _ => false,
        }
    }

    pub(crate) fn database(action: &'static str) -> impl FnOnce(sqlx::Error) -> Self {
        move |source| match Trouble::of(&source) {
            Trouble::Locked => Self::Locked { action, source },
            Trouble::Full => Self::DiskFull { action, source },
            Trouble::Damaged => Self::Damaged { action, source },
            Trouble::Unreachable => Self::Unreachable { action, source },
            Trouble::Other => Self::Database { action, source },
        }
    }

    /// Of look-ups that go around the pool.
    pub(crate) fn sqlite(action: &'static str) -> impl FnOnce(rusqlite::Error) -> Self {
        move |error| {
            let trouble = match error.sqlite_error_code() {
                Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Trouble::Locked,
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Trouble::Damaged,
                _ => Trouble::Other,
            };
            let source = sqlx::Error::AnyDriverError(error.into());
            match trouble {
                Trouble::Locked => Self::Locked { action, source },
                Trouble::Damaged => Self::Damaged { action, source },
                _ => Self::Database { action, source },
            }
        }
    }

    pub(crate) fn migration(database: String, source: MigrateError) -> Self {
        match source {
            MigrateError::VersionMissing(schema) => Self::NewerDatabase { database, schema },
            MigrateError::Execute(source) => Self::database("bring the database up to date")(source),
            source => Self::Migration { database, source },
        }
    }

    pub(crate) fn invalid(what: &'static str, value: impl ToString) -> Self {
        Self::InvalidRow { what, value: value.to_string().chars().take(200).collect() }
    }
}

/// What a database's error means for the user.
#[derive(Clone, Copy)]
enum Trouble {
    Locked,
    Full,
    Damaged,
    Unreachable,
    Other,
}

impl Trouble {
    /// Sources: <https://www.sqlite.org/rescode.html>; appendix "PostgreSQL Error Codes" of PostgreSQL's manual.
    fn of(error: &sqlx::Error) -> Self {
        let error = match error {
            sqlx::Error::PoolTimedOut => return Self::Locked,
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) => return Self::Unreachable,
            sqlx::Error::Database(error) => error,
            _ => return Self::Other,
        };
        let Some(code) = error.code() else { return Self::Other };
        if error.try_downcast_ref::<PgDatabaseError>().is_some() {
            return match &*code {
                "55P03" | "40P01" | "40001" => Self::Locked,
                "53100" => Self::Full,
                "XX001" | "XX002" => Self::Damaged,
                "3D000" | "57P01" | "57P02" | "57P03" => Self::Unreachable,
                code if code.starts_with("08") || code.starts_with("28") => Self::Unreachable,
                _ => Self::Other,
            };
        }
        // The lowest byte of an extended result code is the primary one.
        match code.parse::<u32>().map(|code| code & 0xff) {
            Ok(5 | 6) => Self::Locked,
            Ok(11 | 26) => Self::Damaged,
            Ok(13) => Self::Full,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use sqlx::{
        Executor as _, SqlitePool,
        sqlite::{SqliteConnectOptions, SqlitePoolOptions},
    };

    use std::path::Path;

    use super::*;
    use crate::Store;

    async fn pool(file: &Path) -> SqlitePool {
        let options =
            SqliteConnectOptions::new().filename(file).create_if_missing(true).busy_timeout(std::time::Duration::ZERO);
        SqlitePoolOptions::new().max_connections(1).connect_with(options).await.unwrap()
    }

    #[tokio::test]
    async fn a_full_disk_and_a_locked_database_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("db");
        let first = pool(&file).await;
        first.execute("CREATE TABLE t (x BLOB)").await.unwrap();
        first.execute("PRAGMA max_page_count = 4").await.unwrap();
        let full = first.execute("INSERT INTO t VALUES (zeroblob(100000))").await.unwrap_err();
        assert!(matches!(StoreError::database("insert")(full), StoreError::DiskFull { action: "insert", .. }));

        let _writing = first.begin_with("BEGIN IMMEDIATE").await.unwrap();
        let locked = pool(&file).await.execute("INSERT INTO t VALUES (1)").await.unwrap_err();
        assert!(matches!(StoreError::database("insert")(locked), StoreError::Locked { .. }));
    }

    #[tokio::test]
    async fn a_database_of_a_newer_version_and_a_file_that_is_none_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).await.unwrap();
        let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                     VALUES (9999, 'later', 1, x'00', 0)";
        store.database.pool.execute(newer).await.unwrap();
        store.close().await;
        let error = Store::open(dir.path()).await.unwrap_err();
        assert!(matches!(error, StoreError::NewerDatabase { schema: 9999, .. }), "{error}");

        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("retrace.db"), "this is no database, however long it is".repeat(200)).unwrap();
        let error = Store::open(dir.path()).await.unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    }
}

use std::path::PathBuf;

use retrace_types::TaskId;

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
    /// The database is of a newer Retrace, or was changed by hand.
    #[error("the database {path} does not fit this version of Retrace: use the version that wrote it, or a new folder")]
    Migration {
        /// The database file.
        path: PathBuf,
        /// Why.
        source: sqlx::migrate::MigrateError,
    },
    /// The database refused a statement.
    #[error("the database failed at: {action}")]
    Database {
        /// What was tried.
        action: &'static str,
        /// Why; a full disk and a locked database show here.
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
    #[error("cannot {action} the artifact {name}")]
    Artifact {
        /// What was tried.
        action: &'static str,
        /// Its name in the artifact store.
        name: String,
        /// Why.
        source: object_store::Error,
    },
    /// A file that is to become an artifact cannot be read, or an artifact's local copy is gone.
    #[error("cannot read {path}")]
    File {
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
    /// Another worker holds the task, or it is finished.
    #[error("the lease on task {0} is lost: another worker took the task over, or it is finished")]
    LeaseLost(TaskId),
    /// The system gives no random numbers.
    #[error("the operating system gives no random numbers: {0}")]
    Random(String),
    /// No task id was free.
    #[error("no free task id was found: remove old tasks")]
    NoFreeTaskId,
}

impl StoreError {
    pub(crate) fn database(action: &'static str) -> impl FnOnce(sqlx::Error) -> Self {
        move |source| Self::Database { action, source }
    }

    pub(crate) fn invalid(what: &'static str, value: impl ToString) -> Self {
        Self::InvalidRow { what, value: value.to_string().chars().take(200).collect() }
    }
}

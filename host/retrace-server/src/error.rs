use std::{io, time::Duration};

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use retrace_store::StoreError;

use crate::archive::ArchiveError;

/// What a client can be told. One variant for each thing that a client can react to.
///
/// The texts hold no `%`: an old client prints the body of a 500 or 507 as a format string.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The scheme is not https.
    #[error("You must use HTTPS")]
    HttpsRequired,
    /// Too many tasks are unfinished.
    #[error("Retrace server is fully loaded at the moment")]
    QueueFull,
    /// `/create` takes POST alone.
    #[error("You must use POST method")]
    NotPost,
    /// The type of the archive is not one that is offered.
    #[error("Specified archive format is not supported; /settings lists those that are")]
    UnsupportedFormat,
    /// There is no usable `Content-Length`.
    #[error("You need to set Content-Length header properly")]
    LengthRequired,
    /// The upload is too large.
    #[error("Specified archive is too large: the limit is {limit_mib} MiB")]
    ArchiveTooLarge {
        /// The limit.
        limit_mib: u64,
    },
    /// `X-CoreFileDirectory` is not offered.
    #[error("X-CoreFileDirectory has been disabled")]
    ExternalDirectory,
    /// `X-CoreFileDirectory` names no folder.
    #[error("X-CoreFileDirectory is not a directory")]
    NoSuchDirectory,
    /// The folder of `X-CoreFileDirectory` does not hold one file.
    #[error("There has to be exactly one file in X-CoreFileDirectory")]
    NotOneFile,
    /// The file in `X-CoreFileDirectory` is of another type than the request says.
    #[error("The file in X-CoreFileDirectory is not of the type that Content-Type names")]
    OtherFormat,
    /// `X-Task-Type` is no number.
    #[error("X-Task-Type is not a number")]
    InvalidTaskType,
    /// Types 3 and 4 need a person on the server.
    #[error("Interactive tasks are disabled")]
    Interactive,
    /// The upload would fill the disk.
    #[error("There is not enough free space on the server")]
    NoSpace,
    /// The client stopped sending.
    #[error("The upload stopped before its end")]
    UploadStopped,
    /// The archive breaks a rule.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// A file that the type of task needs is not in the archive.
    #[error("Required file \"{0}\" is missing from the archive")]
    MissingFile(&'static str),
    /// `/checkpackage` lacks a header, or it is not well-formed.
    #[error("{0} is missing or not well-formed")]
    InvalidHeader(&'static str),
    /// No such task.
    #[error("There is no such task")]
    NoSuchTask,
    /// The password is missing or wrong.
    #[error("Invalid password")]
    WrongPassword,
    /// Too many wrong passwords came from this address; further ones are not looked at for a while.
    #[error("Too many wrong passwords came from this address")]
    TooManyGuesses {
        /// Until the next one is looked at.
        wait: Duration,
    },
    /// The task has no backtrace, or not yet. Clients compare the text.
    #[error("There is no backtrace for the specified task")]
    NoBacktrace,
    /// The task has no log yet.
    #[error("There is no log for the specified task")]
    NoLog,
    /// The task has no exploitability rating.
    #[error("There is no exploitability data for the specified task")]
    NoExploitable,
    /// Tasks cannot be deleted by HTTP.
    #[error("Deleting tasks has been disabled")]
    DeleteDisabled,
    /// `/metrics` is not offered.
    #[error("Metrics have been disabled")]
    MetricsDisabled,
    /// No such page.
    #[error("There is no such page")]
    NoSuchPage,
    /// The database, or where artifacts are kept, is away for a while. The cause goes to the log, never to the client.
    #[error("The service is not available at the moment")]
    StoreAway(#[source] StoreError),
    /// The store failed. The cause goes to the log, never to the client.
    #[error("Internal server error")]
    Store(#[source] StoreError),
    /// The disk or the system failed. The cause goes to the log, never to the client.
    #[error("Internal server error")]
    Io(#[source] io::Error),
}

/// Seconds until a client may try again that found the queue full: some tasks will be done.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("60");

impl ApiError {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::InvalidTaskType => StatusCode::BAD_REQUEST,
            Self::HttpsRequired
            | Self::ExternalDirectory
            | Self::MissingFile(_)
            | Self::InvalidHeader(_)
            | Self::WrongPassword
            | Self::DeleteDisabled
            | Self::MetricsDisabled => StatusCode::FORBIDDEN,
            Self::NoSuchTask
            | Self::NoBacktrace
            | Self::NoLog
            | Self::NoExploitable
            | Self::NoSuchDirectory
            | Self::NoSuchPage => StatusCode::NOT_FOUND,
            Self::TooManyGuesses { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::NotPost => StatusCode::METHOD_NOT_ALLOWED,
            Self::UploadStopped => StatusCode::REQUEST_TIMEOUT,
            Self::Interactive | Self::OtherFormat => StatusCode::CONFLICT,
            Self::NotOneFile => StatusCode::NOT_IMPLEMENTED,
            Self::LengthRequired => StatusCode::LENGTH_REQUIRED,
            Self::ArchiveTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedFormat => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::QueueFull | Self::StoreAway(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::NoSpace => StatusCode::INSUFFICIENT_STORAGE,
            Self::Archive(error) => error.status(),
            Self::Store(_) | Self::Io(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::DiskFull { .. } => Self::NoSpace,
            error if error.is_passing() => Self::StoreAway(error),
            error => Self::Store(error),
        }
    }
}

impl ApiError {
    /// Whether an operator has to look. A damaged archive is answered with 500 too, as the predecessor does.
    fn is_ours(&self) -> bool {
        match self {
            Self::Store(_) | Self::Io(_) | Self::NoSpace => true,
            Self::Archive(error) => matches!(error, ArchiveError::Write(_) | ArchiveError::NoSpace),
            _ => false,
        }
    }
}

impl From<io::Error> for ApiError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace,
            _ => Self::Io(error),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.status();
        let retry_after = match &self {
            Self::TooManyGuesses { wait } => Some(HeaderValue::from(wait.as_secs().saturating_add(1))),
            Self::QueueFull | Self::StoreAway(_) => Some(RETRY_AFTER),
            _ => None,
        };
        if let Self::StoreAway(cause) = &self {
            tracing::warn!(error = %chain(cause), "cannot serve a request now");
        } else if self.is_ours() {
            tracing::error!(error = %chain(&self), "request failed");
        } else {
            tracing::debug!(error = %chain(&self), "request refused");
        }
        // One plain-text sentence without a newline, as old clients expect.
        let mut response = (status, [(header::CONTENT_TYPE, "text/plain")], self.to_string()).into_response();
        if let Some(retry_after) = retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, retry_after);
        }
        response
    }
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |line, cause| format!("{line}: {cause}"))
}

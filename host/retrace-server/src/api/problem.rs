//! Errors as problem documents (RFC 9457).

use axum::{
    Extension,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use retrace_store::StoreError;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{ApiError, error::chain};

/// What a handler returns.
pub(crate) type ApiResult<T> = Result<T, Problem>;

/// Where the kinds of problems are described: `type` is this and the name of the kind.
pub(crate) const PROBLEMS: &str = "/api/v1/problems/";

/// What a client can react to. Names are stable: clients compare them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProblemKind {
    InvalidRequest,
    Unauthenticated,
    Forbidden,
    HttpsRequired,
    NotFound,
    MethodNotAllowed,
    NotAcceptable,
    Timeout,
    Conflict,
    OffsetMismatch,
    RequestInProgress,
    InputGone,
    Gone,
    LengthRequired,
    TooLarge,
    UnsupportedMediaType,
    Misdirected,
    Unprocessable,
    IdempotencyKeyReused,
    DigestMismatch,
    TooManyRequests,
    Internal,
    Unavailable,
    QueueFull,
    NoSpace,
}

impl ProblemKind {
    pub(crate) const ALL: [Self; 25] = [
        Self::InvalidRequest,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::HttpsRequired,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::NotAcceptable,
        Self::Timeout,
        Self::Conflict,
        Self::OffsetMismatch,
        Self::RequestInProgress,
        Self::InputGone,
        Self::Gone,
        Self::LengthRequired,
        Self::TooLarge,
        Self::UnsupportedMediaType,
        Self::Misdirected,
        Self::Unprocessable,
        Self::IdempotencyKeyReused,
        Self::DigestMismatch,
        Self::TooManyRequests,
        Self::Internal,
        Self::Unavailable,
        Self::QueueFull,
        Self::NoSpace,
    ];

    /// Status, last part of the URI, title.
    pub(crate) fn facts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::InvalidRequest => (StatusCode::BAD_REQUEST, "invalid-request", "The request is not well-formed"),
            Self::Unauthenticated => (StatusCode::UNAUTHORIZED, "unauthenticated", "A token or password is needed"),
            Self::Forbidden => (StatusCode::FORBIDDEN, "forbidden", "The token or password does not allow this"),
            Self::HttpsRequired => (StatusCode::FORBIDDEN, "https-required", "HTTPS is required"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not-found", "There is no such thing"),
            Self::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "The method is not possible here")
            }
            Self::NotAcceptable => {
                (StatusCode::NOT_ACCEPTABLE, "not-acceptable", "There is none of the types that Accept names")
            }
            Self::Timeout => (StatusCode::REQUEST_TIMEOUT, "timeout", "The request did not come to its end"),
            Self::Conflict => (StatusCode::CONFLICT, "conflict", "The state of the resource does not allow this"),
            Self::OffsetMismatch => {
                (StatusCode::CONFLICT, "offset-mismatch", "The part does not continue what is there")
            }
            Self::RequestInProgress => {
                (StatusCode::CONFLICT, "request-in-progress", "A request with this idempotency key is under way")
            }
            Self::InputGone => (StatusCode::CONFLICT, "input-gone", "The input of the task is not kept any more"),
            Self::Gone => (StatusCode::GONE, "gone", "The resource is not there any more"),
            Self::LengthRequired => (StatusCode::LENGTH_REQUIRED, "length-required", "The length is needed"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The request is too large"),
            Self::UnsupportedMediaType => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported-media-type",
                "The content is of a type that is not taken",
            ),
            Self::Misdirected => {
                (StatusCode::MISDIRECTED_REQUEST, "misdirected", "Another server holds what this is about")
            }
            Self::Unprocessable => (StatusCode::UNPROCESSABLE_ENTITY, "unprocessable", "The content cannot be used"),
            Self::IdempotencyKeyReused => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency-key-reused",
                "The idempotency key belongs to another request",
            ),
            Self::DigestMismatch => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "digest-mismatch",
                "The content does not have the digest that was said",
            ),
            Self::TooManyRequests => {
                (StatusCode::TOO_MANY_REQUESTS, "too-many-requests", "There were too many requests")
            }
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal", "The server failed"),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "The server cannot take this now"),
            Self::QueueFull => (StatusCode::SERVICE_UNAVAILABLE, "queue-full", "The queue is full"),
            Self::NoSpace => (StatusCode::INSUFFICIENT_STORAGE, "no-space", "There is not enough free space"),
        }
    }
}

/// Why a request failed.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    kind: ProblemKind,
    detail: String,
    /// Seconds until it makes sense to try again.
    retry_after: Option<u64>,
    upload_offset: Option<u64>,
}

/// A problem document (RFC 9457).
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemDocument {
    /// Kind of the problem; this page describes it. Compare this, not the texts.
    #[schema(example = "/api/v1/problems/not-found")]
    r#type: String,
    /// The kind in words.
    title: &'static str,
    /// HTTP status.
    status: u16,
    /// What went wrong this time, and what to do about it.
    detail: String,
    /// The path of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
    /// For `offset-mismatch`: how much of the upload is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    upload_offset_bytes: Option<u64>,
}

impl Problem {
    pub(crate) fn new(kind: ProblemKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), retry_after: None, upload_offset: None }
    }

    pub(crate) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(ProblemKind::InvalidRequest, detail)
    }

    pub(crate) fn not_found(what: &str) -> Self {
        Self::new(ProblemKind::NotFound, format!("there is no such {what}"))
    }

    pub(crate) fn retry_after(self, seconds: u64) -> Self {
        Self { retry_after: Some(seconds.max(1)), ..self }
    }

    pub(crate) fn at_offset(self, offset_bytes: u64) -> Self {
        Self { upload_offset: Some(offset_bytes), ..self }
    }

    /// The answer, with the path of the request in it.
    pub(crate) fn answer(self, instance: Option<String>) -> Response {
        let (status, name, title) = self.kind.facts();
        tracing::debug!(%status, detail = %self.detail, "request refused");
        let document = ProblemDocument {
            r#type: format!("{PROBLEMS}{name}"),
            title,
            status: status.as_u16(),
            detail: self.detail,
            instance,
            upload_offset_bytes: self.upload_offset,
        };
        let body = serde_json::to_vec(&document).unwrap_or_default();
        let mut response = (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if let Some(offset) = self.upload_offset {
            headers.insert("Upload-Offset", offset.into());
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"retrace\""));
        }
        response
    }
}

/// Without a body: the layer that sees every answer ([`super::limits`]) writes it, since it knows the path.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.kind.facts().0, Extension(self)).into_response()
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        ApiError::from(error).into()
    }
}

impl From<std::io::Error> for Problem {
    fn from(error: std::io::Error) -> Self {
        ApiError::from(error).into()
    }
}

/// The old protocol has its own statuses for some of these.
impl From<ApiError> for Problem {
    fn from(error: ApiError) -> Self {
        let kind = match &error {
            ApiError::HttpsRequired => ProblemKind::HttpsRequired,
            ApiError::QueueFull => ProblemKind::QueueFull,
            ApiError::TooManyGuesses { .. } => ProblemKind::TooManyRequests,
            ApiError::NoSpace => ProblemKind::NoSpace,
            ApiError::UploadStopped => ProblemKind::Timeout,
            ApiError::ArchiveTooLarge { .. } | ApiError::LengthRequired => ProblemKind::TooLarge,
            ApiError::NoSuchTask | ApiError::NoSuchPage => ProblemKind::NotFound,
            ApiError::Archive(error) => match error.status() {
                StatusCode::INTERNAL_SERVER_ERROR if error.is_ours() => ProblemKind::Internal,
                StatusCode::INSUFFICIENT_STORAGE => ProblemKind::NoSpace,
                StatusCode::PAYLOAD_TOO_LARGE => ProblemKind::TooLarge,
                StatusCode::UNSUPPORTED_MEDIA_TYPE => ProblemKind::UnsupportedMediaType,
                _ => ProblemKind::Unprocessable,
            },
            ApiError::MissingFile(_) => ProblemKind::Unprocessable,
            ApiError::Store(_) | ApiError::Io(_) => ProblemKind::Internal,
            _ => ProblemKind::InvalidRequest,
        };
        if kind == ProblemKind::Internal {
            tracing::error!(error = %chain(&error), "request failed");
            return Self::new(kind, "the cause is in the log of the server");
        }
        let problem = Self::new(kind, error.to_string());
        if kind == ProblemKind::QueueFull { problem.retry_after(60) } else { problem }
    }
}

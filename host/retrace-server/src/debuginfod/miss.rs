use std::sync::Arc;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use retrace_store::StoreError;

use super::question::Invalid;
use crate::error::chain;

/// Why a file is not served. One text serves all who wait for it.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Miss {
    /// The path is no question.
    #[error("{}", .0.text())]
    Invalid(Invalid),
    /// No package is known to ship it.
    #[error("{0}")]
    Unknown(&'static str),
    /// A package ships it, and cannot be had or unpacked.
    #[error("it is in {package}, which cannot be used: {reason}")]
    Unavailable { package: String, reason: String },
    /// The file has no such section.
    #[error("the file has no such section")]
    NoSection,
    /// The package did not come in time.
    #[error("{package} is being fetched; ask again in a minute")]
    NotYet { package: String },
    /// Too many wait.
    #[error("too many requests wait for files that have to be fetched or unpacked; ask again later")]
    Busy,
    /// The store failed.
    #[error("Internal server error")]
    Store(#[source] Arc<StoreError>),
    /// A file vanished, or a step was lost.
    #[error("Internal server error: the file vanished while it was opened; ask again")]
    Lost,
}

/// How long caches may keep an answer that there is no such file: a sync may bring it.
const NEGATIVE: HeaderValue = HeaderValue::from_static("public, max-age=60");
const NOT_KEPT: HeaderValue = HeaderValue::from_static("no-store");
/// Seconds until it makes sense to ask again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("30");

impl Miss {
    /// Clients of debuginfod take 404 for an answer and keep it; everything else is an error of the moment.
    fn status(&self) -> StatusCode {
        match self {
            Self::Invalid(_) => StatusCode::BAD_REQUEST,
            Self::Unknown(_) | Self::Unavailable { .. } | Self::NoSection => StatusCode::NOT_FOUND,
            Self::NotYet { .. } => StatusCode::GATEWAY_TIMEOUT,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Store(_) | Self::Lost => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Of the metrics.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "invalid",
            Self::Unknown(_) => "unknown",
            Self::Unavailable { .. } => "unavailable",
            Self::NoSection => "no-section",
            Self::NotYet { .. } => "not-yet",
            Self::Busy => "busy",
            Self::Store(_) | Self::Lost => "error",
        }
    }
}

impl From<StoreError> for Miss {
    fn from(error: StoreError) -> Self {
        Self::Store(Arc::new(error))
    }
}

impl IntoResponse for Miss {
    fn into_response(self) -> Response {
        let status = self.status();
        if status == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::error!(error = %chain(&self), "a debuginfod request failed");
        }
        let mut response =
            (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], format!("{self}\n")).into_response();
        let kept = if status == StatusCode::NOT_FOUND { NEGATIVE } else { NOT_KEPT };
        response.headers_mut().insert(header::CACHE_CONTROL, kept);
        if matches!(self, Self::Busy | Self::NotYet { .. }) {
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_will_stay_so_for_a_while_may_be_kept() {
        let cases = [
            (Miss::Invalid(Invalid::BuildId), 400, "no-store"),
            (Miss::Unknown("x"), 404, "public, max-age=60"),
            (Miss::Unavailable { package: "p".into(), reason: "gone".into() }, 404, "public, max-age=60"),
            (Miss::NoSection, 404, "public, max-age=60"),
            (Miss::NotYet { package: "p".into() }, 504, "no-store"),
            (Miss::Busy, 503, "no-store"),
            (Miss::Lost, 500, "no-store"),
        ];
        for (miss, status, kept) in cases {
            let response = miss.clone().into_response();
            assert_eq!(response.status().as_u16(), status, "{miss:?}");
            assert_eq!(response.headers()["cache-control"], kept, "{miss:?}");
            assert_eq!(response.headers().contains_key("retry-after"), matches!(status, 503 | 504), "{miss:?}");
        }
    }
}

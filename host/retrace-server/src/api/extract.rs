//! Extractors whose refusals are problem documents.

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    http::{header, request::Parts},
};
use serde::de::DeserializeOwned;

use super::{Problem, ProblemKind};

/// Parameters behind the `?`.
pub(crate) struct ApiQuery<T>(pub(crate) T);

/// Parameters in the path.
pub(crate) struct ApiPath<T>(pub(crate) T);

/// A JSON body. Its size was bounded before ([`super::limits`]).
pub(crate) struct ApiJson<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for ApiQuery<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = Query::from_request_parts(parts, state).await;
        query.map(|Query(query)| Self(query)).map_err(|rejection| Problem::invalid(rejection.body_text()))
    }
}

/// A value in the path that is none names nothing.
impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for ApiPath<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::from_request_parts(parts, state).await;
        path.map(|Path(path)| Self(path))
            .map_err(|rejection| Problem::new(ProblemKind::NotFound, rejection.body_text()))
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for ApiJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let content_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let essence = content_type.and_then(|value| value.split(';').next()).map(str::trim);
        if !essence.is_some_and(|essence| essence.eq_ignore_ascii_case("application/json")) {
            return Err(Problem::new(
                ProblemKind::UnsupportedMediaType,
                "send JSON, with Content-Type: application/json",
            ));
        }
        let body = Bytes::from_request(request, state).await;
        let body = body.map_err(|_| Problem::new(ProblemKind::TooLarge, "the JSON document is too large"))?;
        let mut reader = serde_json::Deserializer::from_slice(&body);
        let value = serde_path_to_error::deserialize(&mut reader);
        let value = value.map_err(|error| Problem::invalid(format!("the JSON document cannot be used: {error}")))?;
        reader.end().map_err(|error| Problem::invalid(format!("behind the JSON document: {error}")))?;
        Ok(Self(value))
    }
}

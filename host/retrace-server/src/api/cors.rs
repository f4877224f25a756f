//! Web pages of other origins may use the API only where the operator named their origin (Fetch Standard, "CORS protocol").

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};

use crate::AppState;

/// Headers of answers that pages may read.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "Location, Retry-After, RateLimit, RateLimit-Policy, Upload-Offset, Upload-Complete, Upload-Length, Upload-Limit, ETag",
);
const ALLOWED_METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PATCH, DELETE");
const ALLOWED_HEADERS: HeaderValue = HeaderValue::from_static(
    "Authorization, Content-Type, Content-Digest, Idempotency-Key, Last-Event-ID, Repr-Digest, Upload-Complete, \
     Upload-Length, Upload-Offset, X-Task-Password",
);
/// Seconds that a browser may remember the answer.
const MAX_AGE: HeaderValue = HeaderValue::from_static("3600");

/// Answers a browser's question before a request, and names the origin in the answers to its requests.
pub(crate) async fn answer(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let allowed = &state.options.api.cors_origins;
    if allowed.is_empty() {
        return next.run(request).await;
    }
    let origin = request.headers().get(header::ORIGIN).cloned();
    let origin = origin.filter(|origin| allowed.iter().any(|allowed| allowed == "*" || origin == allowed.as_str()));
    let is_question =
        request.method() == Method::OPTIONS && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = if is_question && origin.is_some() {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, ALLOWED_METHODS);
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS);
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        (StatusCode::NO_CONTENT, headers).into_response()
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = origin {
        // Never with credentials: tokens are sent by the page itself, cookies mean nothing here.
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    }
    response
}

//! The layer that sees every request of the API: who asks, how often, and how a problem is told.

use axum::{
    Extension,
    body::Body,
    extract::{OriginalUri, Request, State},
    http::{HeaderMap, HeaderValue, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};

use super::{
    ApiResult, Caller, Problem, ProblemKind,
    guard::{Left, Quota},
};
use crate::{AppState, client::Client, spool::Incoming};

/// Largest body of a request that is no upload.
const MAX_SMALL_BODY_BYTES: u64 = 256 * 1024;

/// Most that is read of a body that nobody wants, so that the client gets its answer. One that sends more and does not wait
/// for `100 Continue` may lose it.
const MAX_DRAINED_BYTES: u64 = 64 * 1024 * 1024;

/// Identifies the caller, counts the request, and writes the problem that came out of it.
pub(crate) async fn enforce(
    State(state): State<AppState>,
    Extension(client): Extension<Client>,
    uri: OriginalUri,
    mut request: Request,
    next: Next,
) -> Response {
    let path = uri.path().to_owned();
    let counted = admit(&state, client, request.headers()).await;
    let (response, left) = match counted {
        Ok((caller, quota, left)) => {
            request.extensions_mut().insert(caller);
            (next.run(request).await, Some((quota, left)))
        }
        Err(problem) => {
            drain(&state, request).await;
            (problem.into_response(), None)
        }
    };
    let mut response = match response.extensions().get::<Problem>().cloned() {
        // Headers that a handler or the router set stay: `Allow`, for instance.
        Some(problem) => {
            let mut answer = problem.answer(Some(path));
            for (name, value) in response.headers() {
                if !answer.headers().contains_key(name) && name != header::CONTENT_LENGTH {
                    answer.headers_mut().insert(name, value.clone());
                }
            }
            answer
        }
        None => response,
    };
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Some((quota, left)) = left {
        tell_limits(headers, quota, left);
    }
    response
}

async fn admit(state: &AppState, client: Client, headers: &HeaderMap) -> ApiResult<(Caller, Quota, Left)> {
    state.check_https(client)?;
    let caller = Caller::identify(state, client, headers).await?;
    let quota = caller.request_quota(&state.options.api);
    let taken = state.api.requests.take(&caller.sender(), quota);
    let left = taken.map_err(|wait| {
        metrics::counter!("retrace_api_limited_requests_total").increment(1);
        Problem::new(ProblemKind::TooManyRequests, format!("at most {} requests in a minute", quota.amount))
            .retry_after(wait.as_secs().saturating_add(1))
    })?;
    Ok((caller, quota, left))
}

/// Source of the headers: draft-ietf-httpapi-ratelimit-headers-10.
fn tell_limits(headers: &mut HeaderMap, quota: Quota, left: Left) {
    let policy = format!("\"requests\";q={};w={}", quota.amount, quota.window.as_secs());
    let now = format!("\"requests\";r={};t={}", left.amount, left.full_in.as_secs().saturating_add(1));
    for (name, value) in [("RateLimit-Policy", policy), ("RateLimit", now)] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
}

/// Reads the body of a request that is no upload, whole, before its handler runs: a server that answers and closes while the
/// client still sends makes the client lose the answer.
pub(crate) async fn take_body(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let mut body = Incoming::new(body, state.options.idle_timeout);
    match body.collect(MAX_SMALL_BODY_BYTES).await {
        Ok(Some(bytes)) => next.run(Request::from_parts(parts, Body::from(bytes))).await,
        Ok(None) => {
            body.drain(MAX_DRAINED_BYTES).await;
            let limit = MAX_SMALL_BODY_BYTES / 1024;
            Problem::new(ProblemKind::TooLarge, format!("the body may have at most {limit} KiB here")).into_response()
        }
        Err(error) => Problem::from(error).into_response(),
    }
}

/// Reads what comes of a body that nobody wants. A client that waits for `100 Continue` sends none.
pub(crate) async fn drain(state: &AppState, request: Request) {
    if !request.headers().contains_key(header::EXPECT) {
        Incoming::new(request.into_body(), state.options.idle_timeout).drain(MAX_DRAINED_BYTES).await;
    }
}

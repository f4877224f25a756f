//! What came out of a task.

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use retrace_store::Task;

use crate::{
    AppState,
    api::{ApiPath, ApiResult, Caller, Problem, ProblemKind, caller::Right, problem::ProblemDocument},
};

const JSON: &str = "application/json";
const TEXT: &str = "text/plain";

/// The backtrace: as JSON, or as text for people.
#[utoipa::path(get, path = "/tasks/{id}/backtrace", tag = "tasks", params(("id" = String, Path)), responses(
    (status = 200, description = "As `Accept` has it; JSON where both would do. The schema is `retrace-backtrace/1`", content(
        (serde_json::Value = "application/json"), (String = "text/plain"))),
    (status = 404, body = ProblemDocument, content_type = "application/problem+json",
     description = "There is no such task, or it has no backtrace, or not yet"),
    (status = "4XX", body = ProblemDocument, content_type = "application/problem+json"),
))]
pub(crate) async fn backtrace(
    State(state): State<AppState>,
    caller: Caller,
    ApiPath(id): ApiPath<String>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let task = caller.task(&state, &id, Right::Read).await?;
    let accept: Vec<_> = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let (name, media_type) = match wanted(&accept.join(",")) {
        Some(Wanted::Json) => ("backtrace.json", JSON),
        Some(Wanted::Text) => ("backtrace", "text/plain; charset=utf-8"),
        None => return Err(Problem::new(ProblemKind::NotAcceptable, format!("want Accept: {JSON} or {TEXT}"))),
    };
    let mut response = result(&state, &task, name, media_type).await?;
    response.headers_mut().append(header::VARY, HeaderValue::from_static("Accept"));
    Ok(response)
}

/// The log of the task: its story in plain words.
#[utoipa::path(get, path = "/tasks/{id}/log", tag = "tasks", params(("id" = String, Path)), responses(
    (status = 200, body = String, content_type = "text/plain"),
    (status = 404, body = ProblemDocument, content_type = "application/problem+json",
     description = "There is no such task, or it is not finished"),
    (status = "4XX", body = ProblemDocument, content_type = "application/problem+json"),
))]
pub(crate) async fn log(
    State(state): State<AppState>,
    caller: Caller,
    ApiPath(id): ApiPath<String>,
) -> ApiResult<Response> {
    let task = caller.task(&state, &id, Right::Read).await?;
    result(&state, &task, "log", "text/plain; charset=utf-8").await
}

async fn result(state: &AppState, task: &Task, name: &str, media_type: &'static str) -> ApiResult<Response> {
    let found = if task.finished_at.is_some() { state.store.task_result(task.id, name).await? } else { None };
    let Some(found) = found else {
        let detail = match (&task.message, task.finished_at) {
            (Some(message), _) => format!("the task failed: {message}"),
            (None, Some(_)) => "the task has no such result".to_owned(),
            (None, None) => "the task is not finished".to_owned(),
        };
        return Err(Problem::new(ProblemKind::NotFound, detail));
    };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(media_type)),
        (header::CONTENT_LENGTH, found.size_bytes.into()),
        (header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache")),
    ];
    Ok((headers, Body::from_stream(found.content)).into_response())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Json,
    Text,
}

/// What `Accept` prefers (RFC 9110, 12.5.1); none: neither will do. A more specific range counts before a general one.
fn wanted(accept: &str) -> Option<Wanted> {
    if accept.trim().is_empty() {
        return Some(Wanted::Json);
    }
    let quality = |names: [&str; 3]| {
        let ranges = accept.split(',').take(32).filter_map(|range| {
            let mut parts = range.split(';').map(str::trim);
            let name = parts.next()?.to_ascii_lowercase();
            let rank = names.iter().position(|known| *known == name)?;
            let q = parts.find_map(|part| part.strip_prefix("q=")).and_then(|q| q.parse::<f32>().ok());
            Some((rank, q.unwrap_or(1.0).clamp(0.0, 1.0)))
        });
        ranges.min_by_key(|(rank, _)| *rank).map_or(0.0, |(_, q)| q)
    };
    let (json, text) = (quality([JSON, "application/*", "*/*"]), quality([TEXT, "text/*", "*/*"]));
    match (json > 0.0, text > 0.0) {
        (false, false) => None,
        _ if json >= text => Some(Wanted::Json),
        _ => Some(Wanted::Text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_decides() {
        use Wanted::{Json, Text};
        for (accept, want) in [
            ("", Some(Json)),
            ("*/*", Some(Json)),
            ("text/plain", Some(Text)),
            ("text/*;q=0.5, application/json;q=0.4", Some(Text)),
            ("text/html, application/xml;q=0.9, */*;q=0.8", Some(Json)),
            ("application/json;q=0, */*", Some(Text)),
            ("text/html", None),
            ("*/*;q=0", None),
        ] {
            assert_eq!(wanted(accept), want, "{accept}");
        }
    }
}

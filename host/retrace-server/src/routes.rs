//! The routes, except `/create` and `/checkpackage`.

use std::fmt::Write as _;

use axum::{
    Router,
    body::Bytes,
    extract::{Path, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::any,
};
use retrace_store::Task;
use retrace_types::{Architecture, TaskId};

use crate::{ApiError, AppState, archive::Format, checkpackage, create, password, spool};

/// Most releases and formats that an old client can store; the rest of the line would stick to its last element.
const MAX_RELEASES: usize = 32;

/// No route but `/create` has a use for a body.
const MAX_IGNORED_BODY_BYTES: u64 = 1024 * 1024;

const MIB: u64 = 1024 * 1024;

/// The service. Routes answer any method, as the predecessor's do, but for `/create`.
pub fn router(state: AppState) -> Router {
    let reading = Router::new()
        .route("/", any(index))
        .route("/settings", any(settings))
        .route("/checkpackage", any(check_package))
        .route("/{id}", any(status))
        .route("/{id}/", any(status))
        .route("/{id}/backtrace", any(backtrace))
        .route("/{id}/log", any(log))
        .route("/{id}/exploitable", any(exploitable))
        .fallback(|| async { ApiError::NoSuchPage })
        .layer(axum::middleware::from_fn_with_state(state.clone(), drain_body));
    reading.route("/create", any(create::create)).with_state(state)
}

/// Reads a body that nobody asked for, so that the client gets its answer.
async fn drain_body(State(state): State<AppState>, request: Request, next: axum::middleware::Next) -> Response {
    let (parts, body) = request.into_parts();
    spool::drain(body, MAX_IGNORED_BODY_BYTES, state.options.idle_timeout).await;
    next.run(Request::from_parts(parts, axum::body::Body::empty())).await
}

fn plain_text(body: impl Into<Bytes>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain")], body.into()).into_response()
}

async fn index(State(state): State<AppState>) -> Result<Response, ApiError> {
    let active = state.store.active_tasks().await?;
    let mut text = format!(
        "Retrace server\n\nRunning {active} out of {} tasks.\nSupported releases:",
        state.options.max_parallel_tasks
    );
    for release in supported_releases(&state).await? {
        // Writing to a String cannot fail.
        let _ = write!(text, " {release}");
    }
    text.push_str("\nClients start at /settings.\n");
    Ok(plain_text(text))
}

/// Six lines without a newline at the end: what clients check before they send anything.
async fn settings(State(state): State<AppState>) -> Result<Response, ApiError> {
    let options = &state.options;
    let text = format!(
        "running_tasks {}\nmax_running_tasks {}\nmax_packed_size {}\nmax_unpacked_size {}\nsupported_formats {}\n\
         supported_releases {}",
        state.store.active_tasks().await?,
        options.max_parallel_tasks,
        options.max_packed_bytes / MIB,
        options.max_unpacked_bytes / MIB,
        Format::ALL.map(Format::content_type).join(" "),
        supported_releases(&state).await?.join(" "),
    );
    Ok(plain_text(text))
}

/// Release ids as clients make them: `fedora-40-x86_64`, with `i386` for all 32-bit Intel processors.
async fn supported_releases(state: &AppState) -> Result<Vec<String>, ApiError> {
    let name = |architecture: Architecture| match architecture {
        Architecture::I686 => "i386",
        other => other.as_str(),
    };
    let mirrored = state.store.releases_mirrored().await?;
    let ids = mirrored.into_iter().map(|(release, architecture)| format!("{release}-{}", name(architecture)));
    Ok(ids.take(MAX_RELEASES).collect())
}

async fn check_package(State(state): State<AppState>, headers: HeaderMap) -> Result<StatusCode, ApiError> {
    checkpackage::check(&state.store, &headers).await
}

async fn status(
    State(state): State<AppState>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let task = authorize(&state, &id, &headers).await?;
    let mut response = plain_text(task.status.sentence());
    response.headers_mut().insert("X-Task-Status", HeaderValue::from_static(task.status.state().as_str()));
    Ok(response)
}

async fn backtrace(state: State<AppState>, id: Path<String>, headers: HeaderMap) -> Result<Response, ApiError> {
    result(state, id, headers, "backtrace", ApiError::NoBacktrace).await
}

async fn log(state: State<AppState>, id: Path<String>, headers: HeaderMap) -> Result<Response, ApiError> {
    result(state, id, headers, "log", ApiError::NoLog).await
}

async fn exploitable(state: State<AppState>, id: Path<String>, headers: HeaderMap) -> Result<Response, ApiError> {
    result(state, id, headers, "exploitable", ApiError::NoExploitable).await
}

/// One result of a task. An empty one counts as missing: it crashes a client.
async fn result(
    State(state): State<AppState>,
    Path(id): Path<String>,
    headers: HeaderMap,
    name: &str,
    missing: ApiError,
) -> Result<Response, ApiError> {
    let task = authorize(&state, &id, &headers).await?;
    let stored = state.store.task_result(task.id, name).await?.filter(|content| !content.is_empty());
    stored.map(plain_text).ok_or(missing)
}

/// https, then the task, then its password: the predecessor's order.
async fn authorize(state: &AppState, id: &str, headers: &HeaderMap) -> Result<Task, ApiError> {
    state.check_https(headers)?;
    if id.is_empty() || !id.bytes().all(|b| b.is_ascii_digit()) {
        return Err(ApiError::NoSuchPage);
    }
    let id: TaskId = id.parse().map_err(|_| ApiError::NoSuchTask)?;
    let task = state.store.task(id).await?.ok_or(ApiError::NoSuchTask)?;
    let password = headers.get("X-Task-Password").ok_or(ApiError::WrongPassword)?;
    if password::matches(password.as_bytes(), &task.password_sha256) { Ok(task) } else { Err(ApiError::WrongPassword) }
}

//! The routes, except `/create` and `/checkpackage`.

use std::fmt::Write as _;

use axum::{
    Extension, Router,
    body::{Body, Bytes},
    extract::{FromRequestParts, Path, Request, State, rejection::PathRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse as _, Response},
    routing::any,
};
use retrace_store::{Task, TaskCounts};
use retrace_types::{Architecture, TaskId};

use crate::{
    ApiError, AppState, api,
    archive::Format,
    checkpackage,
    client::{self, Client},
    create, debuginfod, metrics, password,
    spool::Incoming,
    stats,
};

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
        .route("/stats", any(stats::stats))
        .route("/{id}", any(status))
        .route("/{id}/", any(status))
        .route("/{id}/backtrace", any(backtrace))
        .route("/{id}/log", any(log))
        .route("/{id}/exploitable", any(exploitable))
        .route("/{id}/delete", any(delete))
        .merge(debuginfod::router())
        .fallback(|| async { ApiError::NoSuchPage })
        .layer(from_fn_with_state(state.clone(), drain_body));
    let routes =
        reading.route("/create", any(create::create)).merge(metrics::router()).nest("/api", api::router(&state));
    // The last layer is the first that sees a request.
    let routes = routes.layer(from_fn(metrics::observe)).layer(from_fn_with_state(state.clone(), client::identify));
    routes.with_state(state)
}

/// Reads a body that nobody asked for, so that the client gets its answer.
async fn drain_body(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    Incoming::new(body, state.options.idle_timeout).drain(MAX_IGNORED_BODY_BYTES).await;
    next.run(Request::from_parts(parts, Body::empty())).await
}

fn plain_text(body: impl Into<Bytes>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain")], body.into()).into_response()
}

async fn index(State(state): State<AppState>) -> Result<Response, ApiError> {
    let TaskCounts { uploading, waiting, running } = state.store.task_counts().await?;
    let mut text = format!(
        "Retrace server\n\nTasks: {running} worked on, {waiting} waiting, {uploading} being uploaded.\nSupported releases:"
    );
    for release in supported_releases(&state).await? {
        // Writing to a String cannot fail.
        let _ = write!(text, " {release}");
    }
    text.push_str("\nClients start at /settings.\n");
    Ok(plain_text(text))
}

/// Six lines without a newline at the end: what clients check before they send anything. They send nothing if the first
/// number reaches the second: what counts is the queue.
async fn settings(State(state): State<AppState>) -> Result<Response, ApiError> {
    let options = &state.options;
    let text = format!(
        "running_tasks {}\nmax_running_tasks {}\nmax_packed_size {}\nmax_unpacked_size {}\nsupported_formats {}\n\
         supported_releases {}",
        state.store.task_counts().await?.unfinished(),
        options.max_queued_tasks,
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

/// What names a task and shows the right to it. The number is as it came: a path that is not even text is no page.
#[derive(FromRequestParts)]
#[from_request(state(AppState))]
struct AskedTask {
    id: Result<Path<String>, PathRejection>,
    client: Extension<Client>,
    headers: HeaderMap,
}

async fn status(State(state): State<AppState>, asked: AskedTask) -> Result<Response, ApiError> {
    let task = authorize(&state, asked).await?;
    let mut response = plain_text(task.status.sentence());
    response.headers_mut().insert("X-Task-Status", HeaderValue::from_static(task.status.state().as_str()));
    Ok(response)
}

async fn backtrace(State(state): State<AppState>, asked: AskedTask) -> Result<Response, ApiError> {
    let task = authorize(&state, asked).await?;
    result(&state, &task, "backtrace").await?.ok_or(ApiError::NoBacktrace)
}

/// A failed task always has a log, since a client that fetches it ends in an error without.
async fn log(State(state): State<AppState>, asked: AskedTask) -> Result<Response, ApiError> {
    let task = authorize(&state, asked).await?;
    let reason = |task: Task| task.message.map(|message| plain_text(format!("Task failed: {message}\n")));
    match result(&state, &task, "log").await? {
        Some(log) => Ok(log),
        None => reason(task).ok_or(ApiError::NoLog),
    }
}

async fn exploitable(State(state): State<AppState>, asked: AskedTask) -> Result<Response, ApiError> {
    let task = authorize(&state, asked).await?;
    result(&state, &task, "exploitable").await?.ok_or(ApiError::NoExploitable)
}

/// One result of a task, sent as it is read. An empty one counts as missing: it crashes a client.
async fn result(state: &AppState, task: &Task, name: &str) -> Result<Option<Response>, ApiError> {
    let Some(found) = state.store.task_result(task.id, name).await?.filter(|found| found.size_bytes > 0) else {
        return Ok(None);
    };
    // Without a length it would be sent in chunks, which the oldest client takes for content.
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/plain")),
        (header::CONTENT_LENGTH, found.size_bytes.into()),
    ];
    Ok(Some((headers, Body::from_stream(found.content)).into_response()))
}

/// Any method, as the predecessor has it: old scripts use GET.
async fn delete(State(state): State<AppState>, asked: AskedTask) -> Result<Response, ApiError> {
    state.check_https(asked.client.0)?;
    asked.number()?;
    if !state.options.allow_delete {
        return Err(ApiError::DeleteDisabled);
    }
    let task = authorize(&state, asked).await?;
    state.store.delete_task(task.id).await?;
    tracing::info!(task.id = %task.id, "Deleted task {}", task.id);
    Ok(plain_text(format!("Task {} has been deleted", task.id)))
}

impl AskedTask {
    /// The number in the path, if it is one.
    fn number(&self) -> Result<&str, ApiError> {
        let number = self.id.as_ref().map_err(|_| ApiError::NoSuchPage)?.as_str();
        if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
            Err(ApiError::NoSuchPage)
        } else {
            Ok(number)
        }
    }
}

/// https, then the task, then its password: the predecessor's order. Guessing is bounded for each address, together with
/// that of the API.
async fn authorize(state: &AppState, asked: AskedTask) -> Result<Task, ApiError> {
    state.check_https(asked.client.0)?;
    let id: TaskId = asked.number()?.parse().map_err(|_| ApiError::NoSuchTask)?;
    tracing::Span::current().record("task.id", id.get());
    let task = state.store.task(id).await?.ok_or(ApiError::NoSuchTask)?;
    let password = asked.headers.get("X-Task-Password").ok_or(ApiError::WrongPassword)?;
    let (guard, limits, network) = (&state.api, &state.options.api, asked.client.network());
    guard.check_failures(&network, limits).map_err(|wait| ApiError::TooManyGuesses { wait })?;
    if password::matches(password.as_bytes(), &task.password_sha256) {
        return Ok(task);
    }
    guard.count_failure(&network, limits);
    Err(ApiError::WrongPassword)
}

//! `POST /tasks`: a crash in one request, or the beginning of one that comes in parts.

use axum::{
    Json,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use retrace_store::{KeyState, Store};
use retrace_types::TaskId;
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    digest,
    document::{TaskDocument, TaskState},
    idempotency::{self, Key},
    metadata::{Content, Metadata, check_core},
    receive::{self, check_space, too_large},
    uploads,
};
use crate::{
    ApiError, AppState,
    api::{ApiQuery, ApiResult, Caller, Problem, ProblemKind, problem::ProblemDocument},
    archive::ArchiveLimits,
    create::free_bytes,
    password,
    spool::Incoming,
    upload::Upload,
};

/// A task that was made.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CreatedTask {
    /// Nine digits.
    #[schema(example = "123456789")]
    id: String,
    /// What the task is read with: the header `X-Task-Password`. Null at the end of an upload in parts: it was told at the
    /// beginning.
    password: Option<String>,
    state: TaskState,
    /// 1: it is the next; null: it does not wait any more, or not yet.
    queue_position: Option<u64>,
    /// Until it is finished; null: that cannot be told.
    estimated_seconds: Option<u64>,
    /// Where the parts go; null for a task that is complete.
    upload: Option<String>,
}

impl CreatedTask {
    pub(crate) async fn answer(state: &AppState, id: TaskId, password: Option<String>) -> ApiResult<Response> {
        let task = TaskDocument::now(state, id).await?;
        tracing::Span::current().record("task.id", id.get());
        let created = Self {
            id: task.id,
            password,
            state: task.state,
            queue_position: task.queue_position,
            estimated_seconds: task.estimated_seconds,
            upload: None,
        };
        Ok(created.into_answer(format!("/api/v1/tasks/{id}")))
    }

    pub(crate) fn of_upload(id: TaskId, password: String) -> Response {
        let upload = format!("/api/v1/uploads/{id}");
        let created = Self {
            id: id.to_string(),
            password: Some(password),
            state: TaskState::Uploading,
            queue_position: None,
            estimated_seconds: None,
            upload: Some(upload.clone()),
        };
        created.into_answer(upload)
    }

    fn into_answer(self, location: String) -> Response {
        let headers = [(header::LOCATION, location), (header::CACHE_CONTROL, "no-store".to_owned())];
        (StatusCode::CREATED, headers, Json(self)).into_response()
    }
}

/// Sends a crash: an archive, or a bare core.
///
/// The body is an archive of one of the types that `/api/v1` lists, with the files of the old protocol (only `coredump` is
/// needed), or a core as it is, plain or compressed, of any other type. With `Upload-Complete: ?0` the body is only the first
/// part of it (it may be empty): the answer names the resource that takes the other parts by PATCH.
#[utoipa::path(post, path = "/tasks", tag = "tasks",
    params(
        Metadata,
        ("Idempotency-Key" = Option<String>, Header,
         description = "The same request with the same key, within a day, from the same token or address, gives the same answer"),
        ("Content-Digest" = Option<String>, Header, description = "`sha-256=:…:` (RFC 9530) of the body"),
        ("Upload-Complete" = Option<String>, Header, description = "`?0`: further parts follow"),
        ("Upload-Length" = Option<u64>, Header, description = "With `Upload-Complete: ?0`: size of the whole"),
    ),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses(
        (status = 201, body = CreatedTask, headers(("Location" = String, description = "The task, or the upload"))),
        (status = "4XX", body = ProblemDocument, content_type = "application/problem+json"),
        (status = "5XX", body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub(crate) async fn create(State(state): State<AppState>, caller: Caller, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let mut body = Incoming::new(body, state.options.idle_timeout);
    let query =
        <ApiQuery<Metadata> as axum::extract::FromRequestParts<_>>::from_request_parts(&mut parts, &state).await;
    let waits = parts.headers.contains_key(header::EXPECT);
    let answer = match query {
        Ok(ApiQuery(metadata)) => take(&state, &caller, &parts.headers, metadata, &mut body).await,
        Err(problem) => Err(problem),
    };
    match answer {
        Ok(response) => response,
        Err(problem) => {
            // A client that waits for `100 Continue` sends nothing that would have to be read.
            if !waits || body.has_begun() {
                body.drain(state.options.max_packed_bytes).await;
            }
            problem.into_response()
        }
    }
}

/// What was asked for is in order.
pub(crate) struct Order {
    pub(crate) metadata: Metadata,
    pub(crate) content: Content,
    pub(crate) max_bytes: u64,
}

async fn take(
    state: &AppState,
    caller: &Caller,
    headers: &HeaderMap,
    metadata: Metadata,
    body: &mut Incoming,
) -> ApiResult<Response> {
    metadata.check()?;
    if metadata.priority.unwrap_or_default() != 0 {
        caller.require(retrace_store::Role::Operate)?;
    }
    let content = Content::of(headers)?;
    caller.admit_submit(state)?;
    let max_bytes = caller.max_upload_bytes(state);
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > max_bytes) {
        return Err(too_large(max_bytes));
    }
    check_space(state, length.unwrap_or_default())?;
    let key = Key::of(headers, caller)?;
    let order = Order { metadata, content, max_bytes };
    if uploads::more_follows(headers)? {
        if key.is_some() {
            return Err(Problem::invalid("an upload in parts takes no Idempotency-Key: it is continued, not repeated"));
        }
        return uploads::begin(state, caller, headers, order, body).await;
    }
    match key {
        None => create_once(state, caller, headers, &order, body, None).await,
        Some(key) => match state.store.key_state(&key.sha256).await? {
            None => create_once(state, caller, headers, &order, body, Some(&key)).await,
            Some(known) => repeat(state, &key, known, headers, &order, body).await,
        },
    }
}

async fn create_once(
    state: &AppState,
    caller: &Caller,
    headers: &HeaderMap,
    order: &Order,
    body: &mut Incoming,
    key: Option<&Key>,
) -> ApiResult<Response> {
    let salt = Store::new_salt()?;
    let password = match key {
        Some(key) => key.password(&salt),
        None => password::generate()?,
    };
    let upload = begin_task(state, caller, order, &password).await?;
    if let Some(key) = key {
        match state.store.claim_key(&key.sha256, upload.id(), &salt).await? {
            KeyState::Ours => {}
            other => {
                drop(upload);
                return repeat(state, key, other, headers, order, body).await;
            }
        }
    }
    let path = match order.content {
        Content::Archive(_) => upload.archive(),
        Content::Core => upload.crash().join(order.metadata.core_name()),
    };
    let received = receive::whole(state, body, Some(&path), order.max_bytes).await?;
    check_digests(headers, &received)?;
    if order.content == Content::Core {
        check_core(&received.first_bytes)?;
    }
    let id = upload.id();
    let request = key.map(|key| (key.sha256, idempotency::request(&fingerprint(order), &received.sha256)));
    finish(state, upload, order, request).await?;
    CreatedTask::answer(state, id, Some(password)).await
}

fn check_digests(headers: &HeaderMap, received: &receive::Received) -> ApiResult<()> {
    for name in ["Content-Digest", "Repr-Digest"] {
        digest::check(name, digest::expected(headers, name)?, &received.sha256)?;
    }
    Ok(())
}

/// What makes two requests the same, besides their bodies.
fn fingerprint(order: &Order) -> String {
    serde_json::to_string(&(&order.metadata, order.content)).unwrap_or_default()
}

/// A request whose key is known: its body is looked at, and the first answer given again.
async fn repeat(
    state: &AppState,
    key: &Key,
    known: KeyState,
    headers: &HeaderMap,
    order: &Order,
    body: &mut Incoming,
) -> ApiResult<Response> {
    let KeyState::Done { task, salt, request_sha256 } = known else {
        return Err(Problem::new(ProblemKind::RequestInProgress, "the first request with this key is not finished")
            .retry_after(5));
    };
    let received = receive::whole(state, body, None, order.max_bytes).await?;
    check_digests(headers, &received)?;
    if idempotency::request(&fingerprint(order), &received.sha256) != request_sha256 {
        return Err(Problem::new(
            ProblemKind::IdempotencyKeyReused,
            "this Idempotency-Key was used for another request: use a new key for each crash",
        ));
    }
    let mut response = CreatedTask::answer(state, task, Some(key.password(&salt))).await?;
    response.headers_mut().insert("Idempotency-Replayed", HeaderValue::from_static("true"));
    Ok(response)
}

/// A new task on its way, with all that is known of it.
pub(crate) async fn begin_task(state: &AppState, caller: &Caller, order: &Order, password: &str) -> ApiResult<Upload> {
    let kind = order.metadata.kind.unwrap_or_default().into();
    let upload = Upload::begin(state, kind, password::digest(password.as_bytes())).await?;
    let priority = order.metadata.priority.unwrap_or_default();
    if caller.token_id().is_some() || priority != 0 {
        state.store.describe_task(upload.id(), caller.token_id(), priority).await?;
    }
    Ok(upload)
}

/// Unpacks an archive, writes what the client said, and submits the task.
pub(crate) async fn finish(
    state: &AppState,
    upload: Upload,
    order: &Order,
    key: Option<(retrace_types::Sha256, retrace_types::Sha256)>,
) -> ApiResult<()> {
    let limits = ArchiveLimits {
        max_unpacked_bytes: state.options.max_unpacked_bytes,
        free_bytes: free_bytes(state.store.dir())?.saturating_sub(state.options.min_storage_left_bytes),
    };
    let (store, metadata, content) = (state.store.clone(), order.metadata.clone(), order.content);
    // On a task of its own: if the client goes away now, nothing is torn down while a thread writes there.
    let finishing = tokio::spawn(async move {
        if let Content::Archive(archive) = content {
            upload.unpack(upload.archive(), archive.0, limits).await?;
        }
        let (crash, core) = (upload.crash(), metadata.core_name());
        let writing = tokio::task::spawn_blocking(move || {
            metadata.write(&crash)?;
            if !crash.join(core).is_file() {
                return Err(ApiError::MissingFile(core));
            }
            upload_synced(&crash)
        });
        writing.await.map_err(std::io::Error::other)??;
        if let Some((key, request)) = key {
            store.complete_key(&key, upload.id(), &request).await?;
        }
        upload.submit().await
    });
    Ok(finishing.await.map_err(std::io::Error::other)??)
}

fn upload_synced(crash: &std::path::Path) -> Result<(), ApiError> {
    for folder in [Some(crash), crash.parent(), crash.parent().and_then(std::path::Path::parent)].into_iter().flatten()
    {
        crate::archive::sync_folder(folder)?;
    }
    Ok(())
}

//! Uploads in parts, that go on after a connection broke or the server was restarted.
//!
//! The headers and their meaning are those of draft-ietf-httpbis-resumable-upload-11, without its interim responses: an
//! upload is begun by `POST /tasks` with `Upload-Complete: ?0`, continued by PATCH at the offset that HEAD tells, and complete
//! with the part that says `Upload-Complete: ?1`. A part with `Content-Digest` counts as a whole or not at all; of one
//! without, everything that came counts.
//!
//! The bytes lie in the folder of the server that took the first ones: with several servers that share no folder, a balancer
//! must send all requests of an upload to the same one.

use std::{
    collections::HashMap,
    io::SeekFrom,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use retrace_store::{PartialUpload, Task};
use retrace_types::{Sha256, TaskId};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256 as Hasher};
use tokio::{
    fs::File,
    io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _},
};
use tokio_util::sync::CancellationToken;

use super::{
    create::{self, CreatedTask, Order},
    digest,
    metadata::{Content, MAGIC_BYTES, Metadata, check_core},
    receive::{check_space, too_large},
};
use crate::{
    AppState,
    api::{ApiPath, ApiResult, Caller, Problem, ProblemKind, caller::Right, problem::ProblemDocument},
    error::chain,
    password,
    spool::Incoming,
    upload::Upload,
};

const OFFSET: HeaderName = HeaderName::from_static("upload-offset");
const COMPLETE: HeaderName = HeaderName::from_static("upload-complete");
const LENGTH: HeaderName = HeaderName::from_static("upload-length");
const LIMIT: HeaderName = HeaderName::from_static("upload-limit");

/// How much is written between two notes of how far it is: that much is sent again after a crash of the server.
const NOTE_BYTES: u64 = 16 * 1024 * 1024;

/// What the store keeps of the request that began an upload.
#[derive(Serialize, Deserialize)]
struct Begun {
    metadata: Metadata,
    content: Content,
    max_bytes: u64,
}

/// The uploads that a request of this process writes to: a later request takes over, since its client has given up the
/// earlier one.
#[derive(Debug, Default)]
pub(crate) struct ActiveUploads(Mutex<HashMap<TaskId, Arc<Turn>>>);

#[derive(Debug, Default)]
struct Turn {
    lock: Arc<tokio::sync::Mutex<()>>,
    stop: Mutex<CancellationToken>,
}

/// The right to write to an upload, until it is stopped or dropped.
pub(super) struct Mine<'a> {
    uploads: &'a ActiveUploads,
    task: TaskId,
    stopped: CancellationToken,
    guard: Option<tokio::sync::OwnedMutexGuard<()>>,
}

impl ActiveUploads {
    /// Stops who writes to an upload, and waits until that is done.
    pub(super) async fn take_over(&self, task: TaskId) -> Mine<'_> {
        let stopped = CancellationToken::new();
        let turn = {
            let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let turn = Arc::clone(turns.entry(task).or_default());
            let mut stop = turn.stop.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *stop, stopped.clone()).cancel();
            drop(stop);
            turn
        };
        let guard = Some(Arc::clone(&turn.lock).lock_owned().await);
        Mine { uploads: self, task, stopped, guard }
    }
}

impl Drop for Mine<'_> {
    fn drop(&mut self) {
        self.guard.take();
        let mut turns = self.uploads.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody else holds or waits for it.
        if turns.get(&self.task).is_some_and(|turn| Arc::strong_count(turn) == 1 && turn.lock.try_lock().is_ok()) {
            turns.remove(&self.task);
        }
    }
}

/// Whether the body is only a part.
pub(crate) fn more_follows(headers: &HeaderMap) -> ApiResult<bool> {
    match headers.get(COMPLETE).map(HeaderValue::as_bytes) {
        None | Some(b"?1") => Ok(false),
        Some(b"?0") => Ok(true),
        Some(_) => Err(Problem::invalid("Upload-Complete: want ?0 or ?1")),
    }
}

fn number(headers: &HeaderMap, name: &HeaderName) -> ApiResult<Option<u64>> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let number = value.to_str().ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
    let number = number.and_then(|text| text.parse().ok());
    number.map(Some).ok_or_else(|| Problem::invalid(format!("{name}: want a number of bytes")))
}

/// Begins an upload in parts; the body is the first one, and may be empty.
pub(crate) async fn begin(
    state: &AppState,
    caller: &Caller,
    headers: &HeaderMap,
    order: Order,
    body: &mut Incoming,
) -> ApiResult<Response> {
    let length = number(headers, &LENGTH)?;
    if length.is_some_and(|length| length > order.max_bytes) {
        return Err(too_large(order.max_bytes));
    }
    check_space(state, length.unwrap_or_default())?;
    let (sender, most) = (caller.sender(), state.options.api.max_open_uploads);
    if state.store.open_uploads(&sender).await? >= u64::from(most) {
        let detail = format!("at most {most} uploads in parts may be open: finish or abandon one");
        return Err(Problem::new(ProblemKind::TooManyRequests, detail).retry_after(60));
    }
    let password = password::generate()?;
    let upload = create::begin_task(state, caller, &order, &password).await?;
    let id = upload.id();
    let Order { metadata, content, max_bytes } = order;
    let begun = serde_json::to_string(&Begun { metadata, content, max_bytes }).map_err(std::io::Error::other)?;
    state.store.begin_parts(id, &sender, &begun, length).await?;
    File::options().write(true).create_new(true).open(upload.archive()).await?.sync_all().await?;
    state.store.advance_upload(id, 0, 0, length, state.options.api.upload_lifetime).await?;
    let path = upload.archive();
    upload.leave();
    let mine = state.api.uploads.take_over(id).await;
    let part = Part { offset: 0, length, max_bytes, digest: digest::expected(headers, "Content-Digest")? };
    let offset = match write_part(state, &mine, id, &path, &part, body).await {
        Ok(offset) => offset,
        Err(problem) => {
            // Nobody knows its password.
            drop(mine);
            if let Err(error) = state.store.delete_task(id).await {
                tracing::warn!(task.id = %id, error = %chain(&error), "cannot remove a refused upload now");
            }
            return Err(problem);
        }
    };
    let mut response = CreatedTask::of_upload(id, password);
    describe(&mut response, state, offset, false, length, max_bytes);
    Ok(response)
}

/// Tells how much of an upload is here.
#[utoipa::path(head, path = "/uploads/{id}", tag = "uploads", params(("id" = String, Path)), responses(
    (status = 204, description = "See the headers", headers(
        ("Upload-Offset" = u64, description = "This much is here"),
        ("Upload-Complete" = String, description = "`?1`: the task is in the queue"),
        ("Upload-Length" = u64, description = "The size of the whole, if it is known"),
        ("Upload-Limit" = String, description = "`max-size`: what may be sent in all"),
    )),
    (status = "4XX", body = ProblemDocument, content_type = "application/problem+json"),
))]
pub(crate) async fn look(
    State(state): State<AppState>,
    caller: Caller,
    ApiPath(id): ApiPath<String>,
) -> ApiResult<Response> {
    let task = caller.task(&state, &id, Right::Change).await?;
    // Else the offset might grow behind the answer.
    let mine = state.api.uploads.take_over(task.id).await;
    let (upload, begun) = find(&state, &task).await?;
    drop(mine);
    let mut response = (StatusCode::NO_CONTENT, [(header::CACHE_CONTROL, "no-store")]).into_response();
    describe(&mut response, &state, upload.offset_bytes, upload.complete, upload.length_bytes, begun.max_bytes);
    Ok(response)
}

/// Gives an upload up.
#[utoipa::path(delete, path = "/uploads/{id}", tag = "uploads", params(("id" = String, Path)), responses(
    (status = 204, description = "It is gone"),
    (status = "4XX", body = ProblemDocument, content_type = "application/problem+json"),
))]
pub(crate) async fn abandon(
    State(state): State<AppState>,
    caller: Caller,
    ApiPath(id): ApiPath<String>,
) -> ApiResult<StatusCode> {
    let task = caller.task(&state, &id, Right::Change).await?;
    let _mine = state.api.uploads.take_over(task.id).await;
    let (upload, _) = find(&state, &task).await?;
    if upload.complete {
        return Err(Problem::new(ProblemKind::Conflict, "the upload is complete: delete the task instead"));
    }
    state.store.delete_task(task.id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Adds a part.
#[utoipa::path(patch, path = "/uploads/{id}", tag = "uploads",
    params(
        ("id" = String, Path),
        ("Upload-Offset" = u64, Header, description = "Where the part begins: what is here already"),
        ("Upload-Complete" = String, Header, description = "`?1`: it is the last part; `?0`: others follow"),
        ("Upload-Length" = Option<u64>, Header, description = "Size of the whole"),
        ("Content-Digest" = Option<String>, Header,
         description = "`sha-256=:…:` (RFC 9530) of the part, which then counts as a whole or not at all"),
        ("Repr-Digest" = Option<String>, Header, description = "With the last part: `sha-256=:…:` of the whole"),
    ),
    request_body(content = Vec<u8>, content_type = "application/partial-upload"),
    responses(
        (status = 201, body = CreatedTask, description = "That was the last part: the task is in the queue"),
        (status = 204, description = "The part is here", headers(("Upload-Offset" = u64, description = "This much is here"))),
        (status = 409, body = ProblemDocument, content_type = "application/problem+json",
         description = "The part does not begin at the end of what is here, which the header Upload-Offset tells"),
        (status = "4XX", body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub(crate) async fn append(
    State(state): State<AppState>,
    caller: Caller,
    ApiPath(id): ApiPath<String>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let mut body = Incoming::new(body, state.options.idle_timeout);
    match take_part(&state, &caller, &id, &parts.headers, &mut body).await {
        Ok(response) => response,
        Err(problem) => {
            if !parts.headers.contains_key(header::EXPECT) || body.has_begun() {
                body.drain(state.options.max_packed_bytes).await;
            }
            problem.into_response()
        }
    }
}

async fn take_part(
    state: &AppState,
    caller: &Caller,
    id: &str,
    headers: &HeaderMap,
    body: &mut Incoming,
) -> ApiResult<Response> {
    let task = caller.task(state, id, Right::Change).await?;
    let is_partial = |value: &HeaderValue| value == "application/partial-upload" || value == "application/octet-stream";
    if !headers.get(header::CONTENT_TYPE).is_none_or(is_partial) {
        let detail = "Content-Type: want application/partial-upload";
        return Err(Problem::new(ProblemKind::UnsupportedMediaType, detail));
    }
    let offset = number(headers, &OFFSET)?.ok_or_else(|| Problem::invalid("Upload-Offset is missing"))?;
    let is_last = headers.contains_key(COMPLETE) && !more_follows(headers)?;
    let (digest, whole) = (digest::expected(headers, "Content-Digest")?, digest::expected(headers, "Repr-Digest")?);
    let mine = state.api.uploads.take_over(task.id).await;
    let (known, begun) = find(state, &task).await?;
    if known.complete {
        return Err(Problem::new(ProblemKind::Conflict, "the upload is complete").at_offset(known.offset_bytes));
    }
    if offset != known.offset_bytes {
        let detail = format!("the part begins at {offset}, but {} bytes are here", known.offset_bytes);
        return Err(Problem::new(ProblemKind::OffsetMismatch, detail).at_offset(known.offset_bytes));
    }
    let length = number(headers, &LENGTH)?;
    if let (Some(length), Some(before)) = (length, known.length_bytes)
        && length != before
    {
        return Err(Problem::invalid(format!("Upload-Length: it was {before} before")));
    }
    let length = length.or(known.length_bytes);
    if length.is_some_and(|length| length > begun.max_bytes) {
        return Err(too_large(begun.max_bytes));
    }
    let upload = Upload::adopt(state, task.id);
    let path = upload.archive();
    let part = Part { offset, length, max_bytes: begun.max_bytes, digest };
    let written = write_part(state, &mine, task.id, &path, &part, body).await;
    // Whatever happens to this part, the upload goes on, until it is complete.
    upload.leave();
    let offset = written?;
    if !is_last {
        let mut response = StatusCode::NO_CONTENT.into_response();
        describe(&mut response, state, offset, false, length, begun.max_bytes);
        return Ok(response);
    }
    if length.is_some_and(|length| length != offset) {
        let detail = format!("the upload is not complete: {offset} bytes are here");
        return Err(Problem::new(ProblemKind::OffsetMismatch, detail).at_offset(offset));
    }
    complete(state, task.id, begun, &path, whole).await?;
    let mut response = CreatedTask::answer(state, task.id, None).await?;
    response.headers_mut().insert(OFFSET, offset.into());
    response.headers_mut().insert(COMPLETE, HeaderValue::from_static("?1"));
    Ok(response)
}

/// Everything is here: checks it and puts the task into the queue. What cannot be used is removed.
async fn complete(state: &AppState, id: TaskId, begun: Begun, path: &Path, whole: Option<Sha256>) -> ApiResult<()> {
    let (sha256, first_bytes) = look_through(path, whole.is_some()).await?;
    if let Some(found) = sha256 {
        digest::check("Repr-Digest", whole, &found)?;
    }
    let Begun { metadata, content, max_bytes } = begun;
    let upload = Upload::adopt(state, id);
    upload.clear_crash().await?;
    if content == Content::Core {
        check_core(&first_bytes)?;
        // The file keeps its name until the task is submitted: a server that is killed here finds the whole upload again.
        tokio::fs::hard_link(path, upload.crash().join(metadata.core_name())).await?;
    }
    let order = Order { metadata, content, max_bytes };
    create::finish(state, upload, &order, None).await?;
    // Unpacking removes an archive itself; with a bucket the folder is gone.
    match tokio::fs::remove_file(path).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(task.id = %id, %error, "cannot remove the file of a complete upload");
        }
        _ => {}
    }
    Ok(())
}

/// The first bytes of a file, and its digest if that is wanted.
async fn look_through(path: &Path, with_digest: bool) -> ApiResult<(Option<Sha256>, Vec<u8>)> {
    let mut file = File::open(path).await?;
    let mut first_bytes = Vec::new();
    (&mut file).take(MAGIC_BYTES as u64).read_to_end(&mut first_bytes).await?;
    if !with_digest {
        return Ok((None, first_bytes));
    }
    file.rewind().await?;
    let mut file = file.into_std().await;
    let hashing = tokio::task::spawn_blocking(move || {
        let mut hasher = Hasher::new();
        std::io::copy(&mut file, &mut hasher).map(|_| Sha256::from_bytes(hasher.finalize().into()))
    });
    Ok((Some(hashing.await.map_err(std::io::Error::other)??), first_bytes))
}

/// The row of an upload, and its file.
async fn find(state: &AppState, task: &Task) -> ApiResult<(PartialUpload, Begun)> {
    let upload = state.store.partial_upload(task.id).await?.ok_or_else(|| Problem::not_found("upload"))?;
    let begun = serde_json::from_str(&upload.request).map_err(std::io::Error::other)?;
    if upload.complete {
        return Ok((upload, begun));
    }
    let path = state.store.task_dir(task.id).join(crate::upload::ARCHIVE);
    match tokio::fs::metadata(path).await {
        Ok(file) if file.len() >= upload.offset_bytes => Ok((upload, begun)),
        Ok(_) => Err(Problem::new(ProblemKind::Gone, "what was sent was lost on the server: begin the upload anew")),
        Err(_) => Err(Problem::new(
            ProblemKind::Misdirected,
            "another server took the first part of this upload: send the others there",
        )),
    }
}

/// What a part is to be.
struct Part {
    offset: u64,
    length: Option<u64>,
    max_bytes: u64,
    digest: Option<Sha256>,
}

/// Writes a part behind what is there; returns how much is there then.
async fn write_part(
    state: &AppState,
    mine: &Mine<'_>,
    id: TaskId,
    path: &Path,
    part: &Part,
    body: &mut Incoming,
) -> ApiResult<u64> {
    let lifetime = state.options.api.upload_lifetime;
    let most = part.length.unwrap_or(part.max_bytes).min(part.max_bytes);
    let mut file = File::options().write(true).open(path).await?;
    // Of a part that did not count, or of one that a killed server did not note.
    file.set_len(part.offset).await?;
    file.seek(SeekFrom::Start(part.offset)).await?;
    let (mut hasher, mut noted, mut end) = (Hasher::new(), part.offset, part.offset);
    let stopped = loop {
        let chunk = tokio::select! {
            biased;
            () = mine.stopped.cancelled() => break Some(taken_over()),
            chunk = body.next_chunk() => match chunk {
                Ok(Some(chunk)) => chunk,
                Ok(None) => break None,
                Err(error) => break Some(error.into()),
            }
        };
        let next = end.saturating_add(chunk.len() as u64);
        if next > most {
            break Some(too_large(most).at_offset(noted));
        }
        file.write_all(&chunk).await?;
        if part.digest.is_some() {
            hasher.update(&chunk);
        }
        end = next;
        if end.saturating_sub(noted) >= NOTE_BYTES {
            check_space(state, 0)?;
            if part.digest.is_none() {
                file.sync_data().await?;
                state.store.advance_upload(id, noted, end, part.length, lifetime).await?;
                noted = end;
            } else {
                // It counts only as a whole, but it goes on.
                state.store.advance_upload(id, noted, noted, part.length, lifetime).await?;
            }
        }
    };
    if let Some(problem) = stopped {
        if part.digest.is_none() && end > noted {
            file.sync_data().await?;
            state.store.advance_upload(id, noted, end, part.length, lifetime).await?;
        }
        return Err(problem);
    }
    let found = Sha256::from_bytes(hasher.finalize().into());
    digest::check("Content-Digest", part.digest, &found).map_err(|problem| problem.at_offset(part.offset))?;
    file.sync_data().await?;
    state.store.advance_upload(id, noted, end, part.length, lifetime).await?;
    Ok(end)
}

fn taken_over() -> Problem {
    Problem::new(ProblemKind::Conflict, "a later request continues this upload")
}

fn describe(response: &mut Response, state: &AppState, offset: u64, complete: bool, length: Option<u64>, max: u64) {
    let headers = response.headers_mut();
    headers.insert(OFFSET, offset.into());
    headers.insert(COMPLETE, HeaderValue::from_static(if complete { "?1" } else { "?0" }));
    if let Some(length) = length {
        headers.insert(LENGTH, length.into());
    }
    let limit = format!("max-size={max}, max-age={}", state.options.api.upload_lifetime.as_secs());
    if let Ok(limit) = HeaderValue::from_str(&limit) {
        headers.insert(LIMIT, limit);
    }
}

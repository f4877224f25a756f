//! `POST /create`: checks in the predecessor's order, upload, unpacking, into the queue.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use axum::{
    Extension,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use retrace_types::{TaskId, TaskKind};

use crate::{
    ApiError, AppState,
    archive::{self, ArchiveLimits, Format},
    client::Client,
    password,
    spool::Incoming,
    upload::Upload,
};

const MIB: u64 = 1024 * 1024;

const TASK_ID: HeaderName = HeaderName::from_static("x-task-id");
const TASK_PASSWORD: HeaderName = HeaderName::from_static("x-task-password");
const TASK_TYPE: HeaderName = HeaderName::from_static("x-task-type");
const EXTERNAL_DIRECTORY: HeaderName = HeaderName::from_static("x-corefiledirectory");

/// Type 0 to 2, or an interactive one, which is refused after the archive was looked at, as the predecessor does.
enum Requested {
    Kind(TaskKind),
    Interactive,
}

pub(crate) async fn create(
    State(state): State<AppState>,
    Extension(client): Extension<Client>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let mut body = Incoming::new(body, state.options.idle_timeout);
    let answer = match check_request(&state, client, &parts.method, &parts.headers).await {
        Ok(checked) => take_upload(&state, checked, &mut body).await,
        Err(error) => Err(error),
    };
    match answer {
        Ok((id, password)) => {
            tracing::Span::current().record("task.id", id.get());
            let headers = [(TASK_ID, HeaderValue::from(id.get())), (TASK_PASSWORD, password)];
            (StatusCode::CREATED, headers).into_response()
        }
        Err(error) => {
            if !matches!(error, ApiError::UploadStopped) {
                body.drain(state.options.max_packed_bytes).await;
            }
            error.into_response()
        }
    }
}

/// A request whose headers are in order.
struct Checked {
    requested: Requested,
    format: Format,
    length: u64,
    /// Folder on this machine that holds the archive instead of the body.
    external: Option<PathBuf>,
    free_bytes: u64,
}

async fn check_request(
    state: &AppState,
    client: Client,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Checked, ApiError> {
    state.check_https(client)?;
    let options = &state.options;
    if state.store.task_counts().await?.unfinished() >= options.max_queued_tasks {
        metrics::counter!("retrace_tasks_overload").increment(1);
        return Err(state.deny_full_queue());
    }
    if method != Method::POST {
        return Err(ApiError::NotPost);
    }
    let format = archive_format(headers).ok_or(ApiError::UnsupportedFormat)?;
    let length = content_length(headers).ok_or(ApiError::LengthRequired)?;
    if length > options.max_packed_bytes {
        return Err(ApiError::ArchiveTooLarge { limit_mib: options.max_packed_bytes / MIB });
    }
    let external = headers.get(EXTERNAL_DIRECTORY).map(|dir| PathBuf::from(OsStr::from_bytes(dir.as_bytes())));
    if external.is_some() && options.external_dirs.is_empty() {
        return Err(ApiError::ExternalDirectory);
    }
    let free_bytes = free_bytes(state.store.dir())?;
    let Some(free_bytes) = free_bytes.checked_sub(length.saturating_add(options.min_storage_left_bytes)) else {
        return Err(ApiError::NoSpace);
    };
    Ok(Checked { requested: requested_type(headers)?, format, length, external, free_bytes })
}

fn archive_format(headers: &HeaderMap) -> Option<Format> {
    let content_type = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let essence = content_type.split(';').next()?.trim();
    Format::ALL.into_iter().find(|format| format.content_type().eq_ignore_ascii_case(essence))
}

/// One well-formed `Content-Length`; a chunked body has none.
fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// A number out of range means type 0, as the predecessor has it; a text that is no number is refused.
fn requested_type(headers: &HeaderMap) -> Result<Requested, ApiError> {
    let Some(value) = headers.get(TASK_TYPE) else { return Ok(Requested::Kind(TaskKind::Coredump)) };
    let number: i64 = value.to_str().ok().and_then(|text| text.trim().parse().ok()).ok_or(ApiError::InvalidTaskType)?;
    Ok(match u8::try_from(number) {
        Ok(3 | 4) => Requested::Interactive,
        Ok(number) => Requested::Kind(TaskKind::from_number(number).unwrap_or(TaskKind::Coredump)),
        Err(_) => Requested::Kind(TaskKind::Coredump),
    })
}

pub(crate) fn free_bytes(dir: &Path) -> Result<u64, ApiError> {
    let stat = rustix::fs::statvfs(dir).map_err(std::io::Error::from)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// For the fuzz target.
#[cfg(any(test, fuzzing))]
pub(crate) fn read_headers(headers: &HeaderMap) {
    let _ = (archive_format(headers), content_length(headers), requested_type(headers).is_ok());
}

async fn take_upload(
    state: &AppState,
    checked: Checked,
    body: &mut Incoming,
) -> Result<(TaskId, HeaderValue), ApiError> {
    let password = password::generate()?;
    let header = HeaderValue::from_str(&password).map_err(std::io::Error::other)?;
    let kind = match checked.requested {
        Requested::Kind(kind) => kind,
        Requested::Interactive => TaskKind::Coredump,
    };
    let upload = Upload::begin(state, kind, password::digest(password.as_bytes())).await?;
    let id = upload.id();
    let archive = match checked.external {
        None => {
            body.write_to(&upload.archive(), checked.length).await?;
            upload.archive()
        }
        Some(dir) => {
            body.drain(state.options.max_packed_bytes).await;
            let (allowed, max_bytes) = (state.options.external_dirs.clone(), state.options.max_packed_bytes);
            let looking =
                tokio::task::spawn_blocking(move || archive::only_file(&dir, checked.format, &allowed, max_bytes));
            looking.await.map_err(std::io::Error::other)??
        }
    };
    // On a task of its own: if the client goes away now, nothing is torn down while a thread writes there.
    let limits = ArchiveLimits { max_unpacked_bytes: state.options.max_unpacked_bytes, free_bytes: checked.free_bytes };
    let finishing = tokio::spawn(async move {
        upload.unpack(archive, checked.format, limits).await?;
        let Requested::Kind(kind) = checked.requested else { return Err(ApiError::Interactive) };
        if let Some(missing) = missing_file(kind, &upload.crash()) {
            return Err(ApiError::MissingFile(missing));
        }
        upload.submit().await
    });
    finishing.await.map_err(std::io::Error::other)??;
    Ok((id, header))
}

/// Source: the predecessor's table of required files.
fn missing_file(kind: TaskKind, crash: &Path) -> Option<&'static str> {
    let required: &[&str] = match kind {
        TaskKind::Coredump | TaskKind::Debug => &["coredump", "executable", "package"],
        TaskKind::Vmcore => &["vmcore"],
    };
    let is_there = |name: &str| {
        crash.join(name).is_file()
            || (name == "vmcore"
                && ["vmss", "vmsn", "vmem"].iter().any(|s| crash.join(format!("vmcore.{s}")).is_file()))
    };
    required.iter().find(|name| !is_there(name)).copied()
}

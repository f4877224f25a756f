//! `POST /create`: checks in the predecessor's order, upload, unpacking, into the queue.

use std::path::{Path, PathBuf};

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use retrace_store::{NewTask, Store};
use retrace_types::{TaskId, TaskKind};

use crate::{
    ApiError, AppState,
    archive::{self, ArchiveLimits, Format},
    error::chain,
    password, spool,
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

pub(crate) async fn create(State(state): State<AppState>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let answer = match check_request(&state, &parts.method, &parts.headers).await {
        Ok(checked) => take_upload(&state, checked, body).await,
        Err(error) => {
            spool::drain(body, state.options.max_packed_bytes, state.options.idle_timeout).await;
            Err(error)
        }
    };
    match answer {
        Ok((id, password)) => {
            let headers = [(TASK_ID, HeaderValue::from(id.get())), (TASK_PASSWORD, password)];
            (StatusCode::CREATED, headers).into_response()
        }
        Err(error) => error.into_response(),
    }
}

/// A request whose headers are in order.
struct Checked {
    requested: Requested,
    format: Format,
    length: u64,
    free_bytes: u64,
}

async fn check_request(state: &AppState, method: &Method, headers: &HeaderMap) -> Result<Checked, ApiError> {
    state.check_https(headers)?;
    let options = &state.options;
    if state.store.active_tasks().await? >= options.max_parallel_tasks {
        return Err(ApiError::Busy);
    }
    if method != Method::POST {
        return Err(ApiError::NotPost);
    }
    let format = archive_format(headers).ok_or(ApiError::UnsupportedFormat)?;
    let length = content_length(headers).ok_or(ApiError::LengthRequired)?;
    if length > options.max_packed_bytes {
        return Err(ApiError::ArchiveTooLarge { limit_mib: options.max_packed_bytes / MIB });
    }
    if headers.contains_key(EXTERNAL_DIRECTORY) {
        return Err(ApiError::ExternalDirectory);
    }
    let free_bytes = free_bytes(state.store.dir())?;
    let Some(free_bytes) = free_bytes.checked_sub(length.saturating_add(options.min_storage_left_bytes)) else {
        return Err(ApiError::NoSpace);
    };
    Ok(Checked { requested: requested_type(headers)?, format, length, free_bytes })
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

fn free_bytes(dir: &Path) -> Result<u64, ApiError> {
    let stat = rustix::fs::statvfs(dir).map_err(std::io::Error::from)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

async fn take_upload(state: &AppState, checked: Checked, body: Body) -> Result<(TaskId, HeaderValue), ApiError> {
    let password = password::generate()?;
    let kind = match checked.requested {
        Requested::Kind(kind) => kind,
        Requested::Interactive => TaskKind::Coredump,
    };
    let new = NewTask { kind, password_sha256: password::digest(password.as_bytes()) };
    let id = state.store.create_task(&new).await?;
    let upload = Upload { store: state.store.clone(), id, dir: state.store.task_dir(id), submitted: false };
    upload.take(state, &checked, body).await?;
    let password = HeaderValue::from_str(&password).map_err(std::io::Error::other)?;
    Ok((id, password))
}

/// A task under way into the queue. Dropped before it is there, by an error or because the client went away, it removes
/// what it made.
struct Upload {
    store: Store,
    id: TaskId,
    dir: PathBuf,
    submitted: bool,
}

impl Upload {
    async fn take(mut self, state: &AppState, checked: &Checked, body: Body) -> Result<(), ApiError> {
        let crash = self.dir.join("crash");
        tokio::fs::create_dir_all(&crash).await?;
        let spooled = self.dir.join("archive");
        spool::to_file(body, &spooled, checked.length, state.options.idle_timeout).await?;

        let limits =
            ArchiveLimits { max_unpacked_bytes: state.options.max_unpacked_bytes, free_bytes: checked.free_bytes };
        let (format, archive_path, crash_dir) = (checked.format, spooled.clone(), crash.clone());
        let unpacking = tokio::task::spawn_blocking(move || archive::unpack(&archive_path, format, &crash_dir, limits));
        unpacking.await.map_err(std::io::Error::other)??;
        tokio::fs::remove_file(&spooled).await?;

        let kind = match checked.requested {
            Requested::Interactive => return Err(ApiError::Interactive),
            Requested::Kind(kind) => kind,
        };
        if let Some(missing) = missing_file(kind, &crash) {
            return Err(ApiError::MissingFile(missing));
        }
        self.store.submit_task(self.id).await?;
        self.submitted = true;
        tracing::info!(task.id = %self.id, "Accepted task {}", self.id);
        Ok(())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if self.submitted {
            return;
        }
        let (store, id) = (self.store.clone(), self.id);
        tokio::spawn(async move {
            if let Err(error) = store.delete_task(id).await {
                tracing::warn!(task.id = %id, error = %chain(&error), "cannot remove an unfinished upload; it is tried again");
            }
        });
    }
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

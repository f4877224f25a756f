//! Tasks: sent, watched, cancelled, restarted, deleted.

mod change;
mod create;
mod digest;
mod document;
mod events;
mod idempotency;
mod metadata;
mod receive;
mod results;
mod uploads;

use axum::{Json, extract::State};
use utoipa_axum::{router::OpenApiRouter, routes};

use self::document::TaskDocument;
pub(crate) use self::document::TaskState;
pub(crate) use self::uploads::ActiveUploads;
use super::{ApiPath, ApiResult, Caller, caller::Right, problem::ProblemDocument};
use crate::AppState;

/// Routes whose body is small.
pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(task, change::delete, change::prioritize))
        .routes(routes!(events::events))
        .routes(routes!(results::backtrace))
        .routes(routes!(results::log))
        .routes(routes!(change::cancel))
        .routes(routes!(change::restart))
}

/// Routes that take a core: they read their body themselves.
pub(crate) fn uploading() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(create::create)).routes(routes!(
        uploads::look,
        uploads::append,
        uploads::abandon
    ))
}

/// Tells where a task is.
#[utoipa::path(get, path = "/tasks/{id}", tag = "tasks", params(("id" = String, Path)), responses(
    (status = 200, body = TaskDocument),
    (status = "4XX", body = ProblemDocument, content_type = "application/problem+json"),
))]
async fn task(
    State(state): State<AppState>,
    caller: Caller,
    ApiPath(id): ApiPath<String>,
) -> ApiResult<Json<TaskDocument>> {
    let task = caller.task(&state, &id, Right::Read).await?;
    Ok(Json(TaskDocument::read(&state, &task).await?))
}

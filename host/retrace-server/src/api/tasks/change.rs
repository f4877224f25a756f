//! What people do with tasks.

use axum::{Json, extract::State, http::StatusCode};
use retrace_store::{PRIORITIES, Role};
use serde::Deserialize;
use utoipa::ToSchema;

use super::document::TaskDocument;
use crate::{
    AppState,
    api::{ApiJson, ApiPath, ApiResult, Caller, Problem, ProblemKind, caller::Right, problem::ProblemDocument},
};

/// What may be changed of a task.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TaskChange {
    /// A higher number comes first.
    #[schema(minimum = -100, maximum = 100)]
    priority: i32,
}

/// Stops a task that waits or is worked on. What was sent is kept: it can be restarted.
#[utoipa::path(post, path = "/tasks/{id}/cancel", tag = "tasks", params(("id" = String, Path)), responses(
    (status = 200, body = TaskDocument),
    (status = 409, body = ProblemDocument, content_type = "application/problem+json",
     description = "It is finished, or still being uploaded"),
    (status = "4XX", body = ProblemDocument, content_type = "application/problem+json"),
))]
pub(crate) async fn cancel(
    State(state): State<AppState>,
    caller: Caller,
    ApiPath(id): ApiPath<String>,
) -> ApiResult<Json<TaskDocument>> {
    let task = caller.task(&state, &id, Right::Change).await?;
    if !state.store.cancel_task(task.id, &caller.shown()).await? {
        let detail = match task.submitted_at {
            None => "the task is still being uploaded: abandon the upload, or delete the task",
            Some(_) => "the task is finished",
        };
        return Err(Problem::new(ProblemKind::Conflict, detail));
    }
    tracing::info!(task.id = %task.id, by = caller.shown(), "Cancelled task {}", task.id);
    Ok(Json(TaskDocument::now(&state, task.id).await?))
}

/// Puts a finished task into the queue again. What was sent must still be there, which it is for tasks that were cancelled or
/// given up, and for those of the kind `debug`.
#[utoipa::path(post, path = "/tasks/{id}/restart", tag = "tasks", params(("id" = String, Path)), responses(
    (status = 202, body = TaskDocument),
    (status = 409, body = ProblemDocument, content_type = "application/problem+json",
     description = "It is not finished, or what was sent is not kept any more"),
    (status = "4XX", body = ProblemDocument, content_type = "application/problem+json"),
))]
pub(crate) async fn restart(
    State(state): State<AppState>,
    caller: Caller,
    ApiPath(id): ApiPath<String>,
) -> ApiResult<(StatusCode, Json<TaskDocument>)> {
    let task = caller.task(&state, &id, Right::Change).await?;
    if task.finished_at.is_none() {
        return Err(Problem::new(ProblemKind::Conflict, "the task is not finished: cancel it first"));
    }
    if !state.store.has_input(task.id).await? {
        let detail = "what was sent was removed when the task was finished: send it again, with kind=debug to keep it";
        return Err(Problem::new(ProblemKind::InputGone, detail));
    }
    let restarted = {
        // As for new tasks: only as many as there are places.
        let _admission = state.admission.lock().await;
        if state.store.task_counts().await?.unfinished() >= state.options.max_queued_tasks {
            return Err(Problem::new(ProblemKind::QueueFull, "the queue is full").retry_after(60));
        }
        state.store.restart_task(task.id).await?
    };
    if !restarted {
        return Err(Problem::new(ProblemKind::Conflict, "somebody else restarted the task just now"));
    }
    tracing::info!(task.id = %task.id, by = caller.shown(), "Restarted task {}", task.id);
    Ok((StatusCode::ACCEPTED, Json(TaskDocument::now(&state, task.id).await?)))
}

/// Puts an unfinished task forward or back. Needs the role `operate`.
#[utoipa::path(patch, path = "/tasks/{id}", tag = "tasks", params(("id" = String, Path)), request_body = TaskChange, responses(
    (status = 200, body = TaskDocument),
    (status = "4XX", body = ProblemDocument, content_type = "application/problem+json"),
))]
pub(crate) async fn prioritize(
    State(state): State<AppState>,
    caller: Caller,
    ApiPath(id): ApiPath<String>,
    ApiJson(change): ApiJson<TaskChange>,
) -> ApiResult<Json<TaskDocument>> {
    caller.require(Role::Operate)?;
    if !PRIORITIES.contains(&change.priority) {
        return Err(Problem::invalid("priority: want a number from -100 to 100"));
    }
    let task = caller.task(&state, &id, Right::Change).await?;
    if !state.store.set_priority(task.id, change.priority).await? {
        return Err(Problem::new(ProblemKind::Conflict, "the task is finished"));
    }
    Ok(Json(TaskDocument::now(&state, task.id).await?))
}

/// Deletes a task with everything that belongs to it. A worker that has it stops.
#[utoipa::path(delete, path = "/tasks/{id}", tag = "tasks", params(("id" = String, Path)), responses(
    (status = 204, description = "It is gone"),
    (status = "4XX", body = ProblemDocument, content_type = "application/problem+json"),
))]
pub(crate) async fn delete(
    State(state): State<AppState>,
    caller: Caller,
    ApiPath(id): ApiPath<String>,
) -> ApiResult<StatusCode> {
    let task = caller.task(&state, &id, Right::Change).await?;
    // Nobody may write there while it goes.
    let _mine = state.api.uploads.take_over(task.id).await;
    state.store.delete_task(task.id).await?;
    tracing::info!(task.id = %task.id, by = caller.shown(), "Deleted task {}", task.id);
    Ok(StatusCode::NO_CONTENT)
}

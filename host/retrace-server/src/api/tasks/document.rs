//! A task as the API shows it.

use std::time::Duration;

use jiff::Timestamp;
use retrace_store::{Step, Task, TaskControl};
use retrace_types::{TaskId, TaskKind, TaskStatus};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    AppState,
    api::{ApiResult, Problem},
};

/// Where a task is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TaskState {
    /// Not all of it is here.
    Uploading,
    /// In the queue.
    Waiting,
    /// A worker has it.
    Running,
    /// There is a backtrace.
    Succeeded,
    /// There is none; `message` says why.
    Failed,
    /// Somebody stopped it.
    Cancelled,
}

impl TaskState {
    pub(crate) fn of(task: &Task, control: &TaskControl) -> Self {
        match (task.finished_at, task.status) {
            (Some(_), TaskStatus::Success) => Self::Succeeded,
            (Some(_), _) if control.cancelled_by.is_some() => Self::Cancelled,
            (Some(_), _) => Self::Failed,
            (None, _) if task.submitted_at.is_none() => Self::Uploading,
            (None, _) if control.leased => Self::Running,
            (None, _) => Self::Waiting,
        }
    }

    pub(crate) fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
}

/// What a task is asked to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// The core of a process.
    #[default]
    Coredump,
    /// The same; what was sent is kept, so that the task can be restarted.
    Debug,
    /// A kernel dump.
    Vmcore,
}

impl From<TaskKind> for Kind {
    fn from(kind: TaskKind) -> Self {
        match kind {
            TaskKind::Coredump => Self::Coredump,
            TaskKind::Debug => Self::Debug,
            TaskKind::Vmcore => Self::Vmcore,
        }
    }
}

impl From<Kind> for TaskKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Coredump => Self::Coredump,
            Kind::Debug => Self::Debug,
            Kind::Vmcore => Self::Vmcore,
        }
    }
}

/// A task.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct TaskDocument {
    /// Nine digits.
    #[schema(example = "123456789")]
    pub(crate) id: String,
    pub(crate) kind: Kind,
    pub(crate) state: TaskState,
    /// The step in words; the texts are those of the old protocol.
    #[schema(example = "Generating backtrace")]
    step: &'static str,
    /// What the worker said last.
    progress: Option<StepDocument>,
    /// A higher number comes first.
    priority: i64,
    /// How often a worker took it.
    attempts: u32,
    created_at: Timestamp,
    /// When it entered the queue.
    submitted_at: Option<Timestamp>,
    /// When a worker first took it.
    started_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
    /// Why there is no backtrace.
    message: Option<String>,
    /// Who cancelled it.
    cancelled_by: Option<String>,
    /// While it waits: 1 is the next.
    pub(crate) queue_position: Option<u64>,
    /// Until it is finished, as recent tasks and those that are worked on let expect; null: that cannot be told.
    pub(crate) estimated_seconds: Option<u64>,
}

/// Something that a worker began to do.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct StepDocument {
    /// Counts the steps of a task.
    pub(crate) number: u64,
    at: Timestamp,
    #[schema(example = "Unpacking the needed files")]
    text: String,
    /// How much of it is done; null where that is not known.
    percent: Option<u8>,
}

impl From<&Step> for StepDocument {
    fn from(step: &Step) -> Self {
        Self { number: step.number, at: step.at, text: step.text.clone(), percent: step.percent }
    }
}

impl TaskDocument {
    pub(crate) async fn read(state: &AppState, task: &Task) -> ApiResult<Self> {
        Self::with_steps(state, task, &state.store.progress(task.id).await?).await
    }

    /// As the row is now.
    pub(crate) async fn now(state: &AppState, id: TaskId) -> ApiResult<Self> {
        let task = state.store.task(id).await?.ok_or_else(|| Problem::not_found("task"))?;
        Self::read(state, &task).await
    }

    /// As far as an event is worth it: an estimate runs down by itself, and steps are told on their own.
    pub(crate) fn tells_the_same(&self, other: &Self) -> bool {
        let known = |document: &Self| Self { estimated_seconds: None, progress: None, ..document.clone() };
        known(self) == known(other)
    }

    pub(crate) async fn with_steps(state: &AppState, task: &Task, steps: &[Step]) -> ApiResult<Self> {
        let control = state.store.task_control(task.id).await?.ok_or_else(|| Problem::not_found("task"))?;
        let task_state = TaskState::of(task, &control);
        let place = match task_state {
            TaskState::Waiting => state.store.queue_place(task.id).await?,
            _ => None,
        };
        let usual = match task_state {
            TaskState::Waiting | TaskState::Running => state.store.usual_duration().await?,
            _ => None,
        };
        let estimate = match (task_state, usual) {
            (TaskState::Running, Some(usual)) => Some(left(usual, task.started_at, Timestamp::now())),
            (TaskState::Waiting, Some(usual)) => place.and_then(|place| wait(usual, place.position, place.running)),
            _ => None,
        };
        Ok(Self {
            id: task.id.to_string(),
            kind: task.kind.into(),
            state: task_state,
            step: task.status.sentence(),
            progress: steps.last().map(Into::into),
            priority: control.priority,
            attempts: task.attempts,
            created_at: task.created_at,
            submitted_at: task.submitted_at,
            started_at: task.started_at,
            finished_at: task.finished_at,
            message: task.message.clone(),
            cancelled_by: control.cancelled_by,
            queue_position: place.map(|place| place.position),
            estimated_seconds: estimate.map(|estimate| estimate.as_secs().saturating_add(1)),
        })
    }
}

/// For a running task: it takes as long as others did.
fn left(usual: Duration, started: Option<Timestamp>, now: Timestamp) -> Duration {
    let spent = started.and_then(|started| Duration::try_from(now.duration_since(started)).ok());
    usual.saturating_sub(spent.unwrap_or_default())
}

/// For a waiting task: those before it are done by as many at once as are now, then it is. Nothing runs: nobody can tell.
fn wait(usual: Duration, position: u64, running: u64) -> Option<Duration> {
    let rounds = position.checked_div(running)?.saturating_add(1);
    Some(usual.saturating_mul(u32::try_from(rounds).unwrap_or(u32::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates_follow_from_place_and_places() {
        let usual = Duration::from_secs(10);
        assert_eq!(wait(usual, 1, 0), None, "no worker is seen");
        assert_eq!(wait(usual, 1, 2), Some(Duration::from_secs(10)));
        assert_eq!(wait(usual, 5, 2), Some(Duration::from_secs(30)));
        assert_eq!(wait(usual, u64::MAX, 1).unwrap().as_secs() / 10, u64::from(u32::MAX));
        let started: Timestamp = "2024-01-01T00:00:00Z".parse().unwrap();
        for (now, want) in [("2024-01-01T00:00:04Z", 6), ("2024-01-01T00:01:00Z", 0), ("2023-12-31T00:00:00Z", 10)] {
            assert_eq!(left(usual, Some(started), now.parse().unwrap()).as_secs(), want, "{now}");
        }
    }
}

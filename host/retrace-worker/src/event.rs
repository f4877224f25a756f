//! What hooks, webhooks, mails and archives are told of a task: one document, versioned.

use retrace_store::Task;
use retrace_types::TaskStatus;
use serde::{Deserialize, Serialize};

/// Version of [`EventDocument`]. Fields may be added under one version; what is there keeps its meaning.
pub const EVENT_SCHEMA: &str = "retrace-event/1";

/// What happened to which task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventDocument {
    /// [`EVENT_SCHEMA`].
    pub schema: String,
    /// Name of the hook's event, `finished` or `failed`, or `archived`.
    pub event: String,
    /// The task.
    pub task: TaskDocument,
    /// Address of the task, where the service's is configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// For hooks: where the task's files are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<FilesDocument>,
}

/// A task. Times as RFC 3339 has them, in UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskDocument {
    /// Nine digits.
    pub id: String,
    /// `coredump`, `debug`, `vmcore`.
    pub kind: String,
    /// `pending`, `success`, `failure`.
    pub state: String,
    /// When the upload began.
    pub created_at: String,
    /// When it entered the queue.
    pub submitted_at: Option<String>,
    /// When a worker first took it.
    pub started_at: Option<String>,
    /// When it was finished.
    pub finished_at: Option<String>,
    /// How often a worker took it.
    pub attempts: u32,
    /// Why it failed.
    pub message: Option<String>,
}

/// Folders in a hook's sandbox, read-only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilesDocument {
    /// What was uploaded; none once it is removed.
    pub crash: Option<String>,
    /// Results so far: `backtrace`, `backtrace.json`, `log`.
    pub results: Option<String>,
}

impl EventDocument {
    pub(crate) fn new(event: &str, task: &Task) -> Self {
        let task = TaskDocument::new(task);
        Self { schema: EVENT_SCHEMA.to_owned(), event: event.to_owned(), task, url: None, files: None }
    }
}

impl TaskDocument {
    pub(crate) fn new(task: &Task) -> Self {
        let state = match task.status {
            TaskStatus::Success => "success",
            TaskStatus::Fail => "failure",
            _ => "pending",
        };
        let kind = match task.kind {
            retrace_types::TaskKind::Coredump => "coredump",
            retrace_types::TaskKind::Debug => "debug",
            retrace_types::TaskKind::Vmcore => "vmcore",
        };
        let time = |time: Option<jiff::Timestamp>| time.map(|time| time.to_string());
        Self {
            id: task.id.to_string(),
            kind: kind.to_owned(),
            state: state.to_owned(),
            created_at: task.created_at.to_string(),
            submitted_at: time(task.submitted_at),
            started_at: time(task.started_at),
            finished_at: time(task.finished_at),
            attempts: task.attempts,
            message: task.message.clone(),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use jiff::Timestamp;
    use retrace_types::{Sha256, TaskId, TaskKind};

    use super::*;

    /// A task that failed at this second.
    pub(crate) fn failed_task(second: i64) -> Task {
        let at = |second| Some(Timestamp::from_second(second).unwrap());
        Task {
            id: TaskId::try_from(123_456_789).unwrap(),
            kind: TaskKind::Coredump,
            status: TaskStatus::Fail,
            password_sha256: Sha256::from_bytes([0; 32]),
            created_at: Timestamp::from_second(second - 30).unwrap(),
            submitted_at: at(second - 20),
            started_at: at(second - 10),
            finished_at: at(second),
            attempts: 1,
            message: Some("no core".to_owned()),
        }
    }

    #[test]
    fn the_document_is_what_the_page_says() {
        let document = EventDocument::new("failed", &failed_task(1_700_000_000));
        let text = serde_json::to_string_pretty(&document).unwrap();
        assert_eq!(
            text,
            r#"{
  "schema": "retrace-event/1",
  "event": "failed",
  "task": {
    "id": "123456789",
    "kind": "coredump",
    "state": "failure",
    "created_at": "2023-11-14T22:12:50Z",
    "submitted_at": "2023-11-14T22:13:00Z",
    "started_at": "2023-11-14T22:13:10Z",
    "finished_at": "2023-11-14T22:13:20Z",
    "attempts": 1,
    "message": "no core"
  }
}"#
        );
        assert_eq!(serde_json::from_str::<EventDocument>(&text).unwrap(), document);
        let page = include_str!("../../retrace-server/docs/upkeep.md");
        assert!(page.contains(&text), "docs/upkeep.md shows another document");
    }
}

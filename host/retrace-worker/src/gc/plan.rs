//! Which finished tasks go, by their age alone.

use std::time::Duration;

use jiff::Timestamp;
use retrace_store::Task;
use retrace_types::TaskStatus;

use super::GcOptions;

/// What becomes of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskFate {
    /// It is archived, then deleted.
    Archive,
    /// It is deleted.
    Delete,
}

/// What becomes of a task now, and why. An unfinished one always stays. Of two that are due the archive comes first, as with the
/// predecessor: an operator who wants archives does not lose a task because nobody looked for a while.
#[must_use]
pub fn fate(task: &Task, options: &GcOptions, now: Timestamp) -> Option<(TaskFate, String)> {
    let age = Duration::try_from(now.duration_since(task.finished_at?)).ok()?;
    let due = |after: Option<Duration>| after.filter(|after| age >= *after);
    let failed = task.status == TaskStatus::Fail;
    let reason = |what: &str, option: &str, after: Duration| {
        format!("{what} {} h ago, {option} is {} h", age.as_secs() / 3600, after.as_secs() / 3600)
    };
    if let Some(after) = due(options.archive_after) {
        return Some((TaskFate::Archive, reason("finished", "archive_task_after", after)));
    }
    if let Some(after) = due(options.delete_after) {
        return Some((TaskFate::Delete, reason("finished", "delete_task_after", after)));
    }
    let after = due(options.delete_failed_after).filter(|_| failed)?;
    Some((TaskFate::Delete, reason("failed", "delete_failed_task_after", after)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::tests::failed_task;

    const HOUR: u64 = 3600;

    fn options(delete: u64, failed: u64, archive: u64) -> GcOptions {
        let hours = |hours: u64| (hours > 0).then(|| Duration::from_secs(hours * HOUR));
        GcOptions {
            delete_after: hours(delete),
            delete_failed_after: hours(failed),
            archive_after: hours(archive),
            archive_dir: None,
            task_timeout: None,
            work_dir: std::path::PathBuf::new(),
            file_cache_bytes: None,
        }
    }

    #[test]
    fn age_and_outcome_decide() {
        let (archive, delete) = (Some(TaskFate::Archive), Some(TaskFate::Delete));
        // delete, failed, archive in hours; age in hours; fate of a failed task and of one that succeeded
        let cases = [
            ((0, 0, 0), 100_000, None, None),
            ((24, 0, 0), 23, None, None),
            ((24, 0, 0), 24, delete, delete),
            ((0, 24, 0), 24, delete, None),
            ((48, 24, 0), 30, delete, None),
            ((48, 24, 0), 48, delete, delete),
            ((0, 0, 24), 24, archive, archive),
            ((24, 0, 24), 24, archive, archive),
            ((24, 0, 48), 30, delete, delete),
            ((24, 0, 48), 50, archive, archive),
            ((0, 24, 48), 30, delete, None),
            ((0, 24, 48), 50, archive, archive),
        ];
        let end = 1_700_000_000;
        for ((deleted, failed, archived), age, want_failed, want_success) in cases {
            let options = options(deleted, failed, archived);
            let now = Timestamp::from_second(end + age * 3600).unwrap();
            let task = failed_task(end);
            let shown = format!("{deleted} {failed} {archived} at {age} h");
            assert_eq!(fate(&task, &options, now).map(|(fate, _)| fate), want_failed, "{shown}, failed");
            let task = Task { status: TaskStatus::Success, ..task };
            assert_eq!(fate(&task, &options, now).map(|(fate, _)| fate), want_success, "{shown}, succeeded");
            let task = Task { finished_at: None, status: TaskStatus::Backtrace, ..task };
            assert_eq!(fate(&task, &options, now), None, "{shown}, running");
        }
    }

    #[test]
    fn a_task_from_the_future_stays() {
        let task = failed_task(2_000_000_000);
        assert_eq!(fate(&task, &options(1, 1, 1), Timestamp::from_second(1_700_000_000).unwrap()), None);
    }

    #[test]
    fn the_reason_names_the_option() {
        let now = Timestamp::from_second(1_700_000_000 + 50 * 3600).unwrap();
        let (_, reason) = fate(&failed_task(1_700_000_000), &options(0, 24, 0), now).unwrap();
        assert_eq!(reason, "failed 50 h ago, delete_failed_task_after is 24 h");
    }
}

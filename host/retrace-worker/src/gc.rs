//! What the service has no use for any more: found, told, removed.
//!
//! [`plan`] decides by age alone and is pure; [`Gc::run`] carries it out in bounded batches, or only tells. One process at a time
//! does it, on all machines together. It may be killed at any instant: an archive is written whole before its task goes, and
//! each task goes in one statement, which looks again whether it is still finished and nobody works on it.

mod archive;
mod plan;

use std::{io, path::PathBuf, time::Duration};

use jiff::{SignedDuration, Timestamp};
use metrics::counter;
use retrace_mirror::Progress;
use retrace_package::FileCache;
use retrace_store::{FinishedPlace, JobLock, LockHolder, Store, StoreError, Task};
use retrace_types::TaskStatus;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

pub use self::plan::{TaskFate, fate};
use crate::{EventDocument, HookEvent, Hooks, hooks::HookFiles, task, task_hooks::results_folder, work_folder};

/// Name of the lock in the store.
const JOB: &str = "gc";
/// How long the lock stays with a process that gives no sign of life.
const LOCK_TIME: Duration = Duration::from_secs(120);
/// Tasks that are looked at in one go.
const BATCH: u32 = 200;
/// Things that are named one by one; all others are counted.
const MAX_ITEMS: usize = 10_000;
/// How much longer than its limit a task may run before it is ended from here: its worker does it first, and says more.
const GRACE: Duration = Duration::from_secs(60);
/// Messages that were given up are kept for this time, for whoever asks why nobody was told.
const KEEP_MESSAGES: Duration = Duration::from_secs(7 * 24 * 3600);
/// Unpacked files that were used within this time stay, however large the cache is: a retrace may be about to link to them.
const IDLE: Duration = Duration::from_secs(3600);
/// Groups of crashes, and missing build-ids, that were not seen for this time are forgotten. They are rows, not files.
const KEEP_GROUPS: Duration = Duration::from_secs(400 * 24 * 3600);
/// Least time between two runs of a worker that found the lock taken.
const BUSY_PAUSE: Duration = Duration::from_secs(60);

/// What is removed, and when.
#[derive(Clone, Debug)]
pub struct GcOptions {
    /// Age since the end of a task at which it is deleted. None: never.
    pub delete_after: Option<Duration>,
    /// The same for tasks that failed.
    pub delete_failed_after: Option<Duration>,
    /// Age at which a task is archived and deleted. None: never.
    pub archive_after: Option<Duration>,
    /// Folder of the archives; the artifact store without it.
    pub archive_dir: Option<PathBuf>,
    /// How long a worker may work on a task. None: for ever.
    pub task_timeout: Option<Duration>,
    /// Where jobs have their folders.
    pub work_dir: PathBuf,
    /// Size that the cache of unpacked files is cut down to. None: it grows.
    pub file_cache_bytes: Option<u64>,
}

/// What is done with a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GcAction {
    /// A task that is worked on for too long is finished as failed.
    EndTask,
    /// An upload that nobody continues, or files of no task.
    RemoveUpload,
    /// A finished task is archived, then deleted.
    ArchiveTask,
    /// A finished task is deleted.
    DeleteTask,
    /// The folder of a job whose process is gone.
    RemoveWorkFolder,
    /// Unpacked files that were not used for longest.
    RemoveCachedFiles,
    /// Notifications that nobody took.
    ForgetMessages,
}

impl GcAction {
    /// Its name in reports and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EndTask => "end_task",
            Self::RemoveUpload => "remove_upload",
            Self::ArchiveTask => "archive_task",
            Self::DeleteTask => "delete_task",
            Self::RemoveWorkFolder => "remove_work_folder",
            Self::RemoveCachedFiles => "remove_cached_files",
            Self::ForgetMessages => "forget_messages",
        }
    }

    /// All of them, in the order in which they are done.
    pub const ALL: [Self; 7] = [
        Self::EndTask,
        Self::RemoveUpload,
        Self::ArchiveTask,
        Self::DeleteTask,
        Self::RemoveWorkFolder,
        Self::RemoveCachedFiles,
        Self::ForgetMessages,
    ];
}

/// One thing that goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GcItem {
    /// What is done with it.
    pub action: GcAction,
    /// A task's id, a path, a number of messages.
    pub subject: String,
    /// Why it goes.
    pub reason: String,
    /// What it takes on the disk or in the artifact store.
    pub bytes: u64,
}

/// Things of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct GcTotal {
    /// How many.
    pub count: u64,
    /// What they take.
    pub bytes: u64,
}

/// What was found and done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct GcReport {
    /// True if nothing was done.
    pub dry_run: bool,
    /// What went, or would go; at most 10,000 of them.
    pub items: Vec<GcItem>,
    /// All that went, or would go.
    pub total: GcTotal,
    /// Tasks that came back to life, or that a worker took, meanwhile.
    pub spared: u64,
    /// What could not be removed, and why; at most 10,000 of them.
    pub failed: Vec<GcFailure>,
}

/// A thing that stays although it should go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GcFailure {
    /// As [`GcItem::subject`].
    pub subject: String,
    /// Why.
    pub error: String,
}

/// Why there was no run.
#[derive(Debug, thiserror::Error)]
pub enum GcError {
    /// Another process does it.
    #[error(
        "process {} on {} removes old things already; it holds the lock until {} at least", holder.process, holder.host, holder.expires_at
    )]
    Busy {
        /// Who.
        holder: LockHolder,
    },
    /// The store failed, or the lock was lost.
    #[error("cannot remove old things")]
    Store(#[from] StoreError),
    /// A folder cannot be read.
    #[error("cannot read {path}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Removes what has no use any more.
#[derive(Clone, Debug)]
pub struct Gc {
    store: Store,
    cache: FileCache,
    hooks: Hooks,
    options: GcOptions,
}

impl Gc {
    /// For this store, and the cache and work folder of this machine.
    #[must_use]
    pub fn new(store: Store, cache: FileCache, hooks: Hooks, options: GcOptions) -> Self {
        Self { store, cache, hooks, options }
    }

    /// Does it every `interval` until `stop` is cancelled. What cannot be done is told in the log and tried again.
    pub async fn run_every(&self, interval: Duration, stop: &CancellationToken) {
        let mut pause = interval.min(BUSY_PAUSE);
        loop {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => return,
            }
            let done = tokio::select! {
                done = self.run(false, &()) => done,
                () = stop.cancelled() => return,
            };
            pause = interval;
            match done {
                Ok(report) => tell(&report),
                Err(GcError::Busy { .. }) => pause = interval.min(BUSY_PAUSE),
                Err(error) => tracing::error!(error = %format_args!("{:#}", anyhow::Error::new(error)), "gc failed"),
            }
        }
    }

    /// Removes what is to go, or only tells with `dry_run`.
    ///
    /// # Errors
    /// [`GcError::Busy`] if another process does it; nothing was done then. [`GcError::Store`] if the store fails: what was done
    /// before stays done. What fails for one thing alone is in the report.
    pub async fn run(&self, dry_run: bool, progress: &(dyn Progress + Sync)) -> Result<GcReport, GcError> {
        let mut run =
            Run { gc: self, progress, now: Timestamp::now(), report: GcReport { dry_run, ..GcReport::default() } };
        if dry_run {
            run.all().await?;
            return Ok(run.report);
        }
        let lock = self.store.lock_job(JOB, LOCK_TIME).await?.map_err(|holder| GcError::Busy { holder })?;
        let done = tokio::select! {
            done = run.all() => done,
            lost = self.keep(&lock) => Err(lost.into()),
        };
        self.store.unlock_job(lock).await?;
        done?;
        Ok(run.report)
    }

    /// Renews the lock for ever; returns why that ended.
    async fn keep(&self, lock: &JobLock) -> StoreError {
        loop {
            tokio::time::sleep(LOCK_TIME / 4).await;
            match self.store.keep_job_lock(lock, LOCK_TIME).await {
                Err(error @ StoreError::JobLockLost) => return error,
                Err(error) => tracing::warn!(%error, "cannot renew the lock of gc"),
                Ok(()) => {}
            }
        }
    }
}

/// One run under way.
struct Run<'a> {
    gc: &'a Gc,
    progress: &'a (dyn Progress + Sync),
    now: Timestamp,
    report: GcReport,
}

impl Run<'_> {
    async fn all(&mut self) -> Result<(), GcError> {
        self.end_long_running().await?;
        self.remove_uploads().await?;
        self.remove_tasks().await?;
        self.remove_work_folders().await?;
        self.shrink_file_cache().await?;
        self.forget_groups().await?;
        self.forget_messages().await
    }

    async fn forget_groups(&self) -> Result<(), GcError> {
        if !self.report.dry_run {
            let since = self.now - KEEP_GROUPS;
            self.gc.store.trim_groups(since).await?;
            self.gc.store.trim_statistics(since).await?;
        }
        Ok(())
    }

    async fn end_long_running(&mut self) -> Result<(), GcError> {
        let Some(limit) = self.gc.options.task_timeout else { return Ok(()) };
        self.progress.step("Looking for tasks that run too long");
        let since = before(self.now, limit.saturating_add(GRACE));
        // Each one that is ended makes place for the next; those that cannot be ended must not keep us here.
        for running in self.gc.store.running_since(since, BATCH).await? {
            let reason = format!("{} has worked on it since {}", running.owner, running.since);
            let item = self.item(GcAction::EndTask, running.task.to_string(), reason, 0);
            if self.report.dry_run {
                self.note(item);
                continue;
            }
            let step = self.gc.store.task(running.task).await?.map_or(TaskStatus::Analyze, |task| task.status);
            match self.gc.store.end_running(&running, &task::too_long(limit, step)).await? {
                true => self.note(item),
                false => self.report.spared += 1,
            }
        }
        Ok(())
    }

    async fn remove_uploads(&mut self) -> Result<(), GcError> {
        self.progress.step("Looking for uploads that nobody continues");
        let abandoned = self.gc.store.abandoned().await?;
        if !self.report.dry_run && !abandoned.is_empty() {
            self.gc.store.remove_abandoned().await?;
        }
        for upload in abandoned {
            let reason = "an upload that nobody continues, or files of a task that does not exist".to_owned();
            let item = self.item(GcAction::RemoveUpload, upload.task.to_string(), reason, upload.bytes);
            self.note(item);
        }
        Ok(())
    }

    async fn remove_tasks(&mut self) -> Result<(), GcError> {
        let GcOptions { delete_after, delete_failed_after, archive_after, .. } = self.gc.options;
        let any = delete_after.into_iter().chain(archive_after).min();
        if let Some(age) = any {
            self.remove_tasks_of(before(self.now, age), None).await?;
        }
        if let Some(age) = delete_failed_after {
            // Those behind: the others were looked at above.
            let behind = any.map(|age| FinishedPlace::at(before(self.now, age)));
            self.remove_tasks_of(before(self.now, age), behind).await?;
        }
        Ok(())
    }

    async fn remove_tasks_of(&mut self, until: Timestamp, mut behind: Option<FinishedPlace>) -> Result<(), GcError> {
        loop {
            let (tasks, last) = self.gc.store.finished_tasks(until, behind, BATCH).await?;
            let Some(last) = last else { return Ok(()) };
            behind = Some(last);
            for task in &tasks {
                if let Some((fate, reason)) = fate(task, &self.gc.options, self.now) {
                    self.progress.step(&format!("{} old tasks", self.report.total.count));
                    self.remove_task(task, fate, reason).await?;
                }
            }
        }
    }

    async fn remove_task(&mut self, task: &Task, fate: TaskFate, reason: String) -> Result<(), GcError> {
        let action = match fate {
            TaskFate::Archive => GcAction::ArchiveTask,
            TaskFate::Delete => GcAction::DeleteTask,
        };
        let bytes = match self.gc.store.task_bytes(task.id).await {
            Ok(bytes) => bytes,
            Err(error) => {
                self.failed(task.id.to_string(), &error);
                return Ok(());
            }
        };
        let item = self.item(action, task.id.to_string(), reason, bytes);
        if self.report.dry_run {
            self.note(item);
            return Ok(());
        }
        match self.carry_out(task, fate).await {
            Ok(true) => self.note(item),
            Ok(false) => self.report.spared += 1,
            Err(error) => {
                let error: &(dyn std::error::Error + Send + Sync) = error.as_ref();
                self.failed(task.id.to_string(), error);
            }
        }
        Ok(())
    }

    /// Says whether the task is gone.
    async fn carry_out(&self, task: &Task, fate: TaskFate) -> anyhow::Result<bool> {
        let Gc { store, hooks, options, .. } = self.gc;
        let archived = match fate {
            TaskFate::Archive => Some(archive::write(store, task, options).await?),
            TaskFate::Delete => None,
        };
        self.run_hooks(hooks, HookEvent::PreRemoveTask, task).await?;
        let gone = store.remove_finished(task).await?;
        match (gone, archived) {
            (true, _) => self.run_hooks(hooks, HookEvent::PostRemoveTask, task).await?,
            (false, Some(archived)) => archived.remove(store).await?,
            (false, None) => {}
        }
        Ok(gone)
    }

    async fn run_hooks(&self, hooks: &Hooks, event: HookEvent, task: &Task) -> anyhow::Result<()> {
        if hooks.is_idle(event) {
            return Ok(());
        }
        let store = &self.gc.store;
        let results = results_folder(store, &store.result_files(task.id).await?, hooks.work_dir()).await?;
        let crash = store.input_dir(task.id);
        let files = HookFiles {
            crash: crash.is_dir().then_some(crash),
            results: results.as_ref().map(|folder| folder.path().to_owned()),
        };
        let report = hooks.run(event, EventDocument::new(event.as_str(), task), &files).await;
        report.failure.map_or(Ok(()), |failure| Err(anyhow::Error::msg(failure)))
    }

    async fn remove_work_folders(&mut self) -> Result<(), GcError> {
        self.progress.step("Looking for folders of jobs that are gone");
        let parent = self.gc.options.work_dir.clone();
        let found = tokio::task::spawn_blocking({
            let parent = parent.clone();
            move || work_folder::orphans(&parent)
        });
        let orphans = found.await.map_err(io::Error::other).flatten();
        for orphan in orphans.map_err(|source| GcError::Folder { path: parent, source })? {
            let subject = orphan.path.display().to_string();
            let reason = "the process of its job is gone".to_owned();
            let item = self.item(GcAction::RemoveWorkFolder, subject.clone(), reason, orphan.bytes);
            match if self.report.dry_run { Ok(()) } else { orphan.remove().await } {
                Ok(()) => self.note(item),
                Err(error) => self.failed(subject, &error),
            }
        }
        Ok(())
    }

    async fn shrink_file_cache(&mut self) -> Result<(), GcError> {
        let Some(limit) = self.gc.options.file_cache_bytes else { return Ok(()) };
        self.progress.step("Measuring the cache of unpacked files");
        let (cache, dry_run) = (self.gc.cache.clone(), self.report.dry_run);
        let shrinking = tokio::task::spawn_blocking(move || cache.shrink(limit, IDLE, dry_run));
        match shrinking.await {
            Ok(Ok(shrunk)) if shrunk.files > 0 => {
                let reason = format!("the cache is larger than {limit} bytes; they were not used for longest");
                let subject = format!("{} unpacked files", shrunk.files);
                let item = self.item(GcAction::RemoveCachedFiles, subject, reason, shrunk.freed_bytes);
                self.note(item);
            }
            Ok(Ok(_)) => {}
            Ok(Err(error)) => self.failed("unpacked files".to_owned(), &error),
            Err(error) => self.failed("unpacked files".to_owned(), &error),
        }
        Ok(())
    }

    async fn forget_messages(&mut self) -> Result<(), GcError> {
        let until = before(self.now, KEEP_MESSAGES);
        let store = &self.gc.store;
        let count = match self.report.dry_run {
            true => store.old_messages(until).await?,
            false => store.forget_messages(until).await?,
        };
        if count > 0 {
            let reason = format!("notifications that nobody took and that were given up before {until}");
            let item = self.item(GcAction::ForgetMessages, format!("{count} messages"), reason, 0);
            self.note(item);
        }
        Ok(())
    }

    fn item(&self, action: GcAction, subject: String, reason: String, bytes: u64) -> GcItem {
        GcItem { action, subject, reason, bytes }
    }

    fn note(&mut self, item: GcItem) {
        let total = &mut self.report.total;
        total.count += 1;
        total.bytes = total.bytes.saturating_add(item.bytes);
        if !self.report.dry_run {
            counter!("retrace_gc_removed_total", "action" => item.action.as_str()).increment(1);
            counter!("retrace_gc_freed_bytes_total", "action" => item.action.as_str()).increment(item.bytes);
        }
        if self.report.items.len() < MAX_ITEMS {
            self.report.items.push(item);
        }
    }

    fn failed(&mut self, subject: String, error: &dyn std::error::Error) {
        if self.report.failed.len() < MAX_ITEMS {
            self.report.failed.push(GcFailure { subject, error: chain(error) });
        }
    }
}

/// A time as far back as this; the beginning of time if that is further.
fn before(now: Timestamp, age: Duration) -> Timestamp {
    let age = SignedDuration::try_from(age).unwrap_or(SignedDuration::MAX);
    now.checked_sub(age).unwrap_or(Timestamp::MIN)
}

/// An error and its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn tell(report: &GcReport) {
    for GcFailure { subject, error } in &report.failed {
        tracing::warn!(error, "{subject} could not be removed");
    }
    let GcTotal { count, bytes } = report.total;
    if count > 0 {
        tracing::info!(count, bytes, "Removed {count} old things with {bytes} bytes");
    }
}

#[cfg(test)]
mod tests;

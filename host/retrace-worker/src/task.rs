//! The loop of a worker: lease a task, retrace it, store the result, finish it.
//!
//! The result is stored before the status changes, and finishing needs the lease: a worker that was thought dead cannot
//! overwrite what its successor did. A database or bucket that is away for a while ends neither the loop nor a retrace.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use futures_util::future::join_all;
use metrics::histogram;
use retrace_mirror::Progress;
use retrace_store::{Lease, Outcome, Store, StoreError, Task};
use retrace_types::{TaskKind, TaskStatus};
use tokio::{sync::watch, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::{Analysis, AnalyzeRequest, Analyzer, Observer, story::Story};

/// Most bytes read of the small text files of an upload; the server allows fewer.
const MAX_TEXT_BYTES: u64 = 4096;

/// Longest wait between two tries after the store failed.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// First wait before something is tried again that the store could not do.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// How a worker takes tasks.
#[derive(Clone, Debug)]
pub struct TaskLoopOptions {
    /// Name of this worker in the store: host and process id.
    pub owner: String,
    /// How long a task stays with a worker that gives no sign of life.
    pub lease: Duration,
    /// How often an idle worker asks for a task.
    pub poll: Duration,
    /// Tasks that this worker works on at once.
    pub parallel: usize,
    /// Tasks that all workers together may work on at once.
    pub most_running: u64,
}

/// Takes tasks until `stop` is cancelled; those at hand are then given back.
///
/// # Errors
/// None ends the loop: a failed task is finished as failed, a failing store is asked again after a pause.
pub async fn run_tasks(analyzer: &Analyzer, options: &TaskLoopOptions, stop: &CancellationToken) {
    join_all((0..options.parallel.max(1)).map(|_| run_one_by_one(analyzer, options, stop))).await;
}

async fn run_one_by_one(analyzer: &Analyzer, options: &TaskLoopOptions, stop: &CancellationToken) {
    let mut pause = options.poll;
    let mut work = analyzer.store().work();
    while !stop.is_cancelled() {
        work.mark_seen();
        let worked = match analyzer.store().lease_next(&options.owner, options.lease, options.most_running).await {
            Ok(None) => Ok(false),
            Ok(Some(lease)) => tokio::select! {
                done = run_task(analyzer, options, &lease).instrument(span(&lease)) => done.map(|()| true),
                () = stop.cancelled() => return give_back(analyzer.store(), &lease).await,
            },
            Err(error) => Err(error).context("cannot lease a task"),
        };
        match worked {
            Ok(had_work) => {
                pause = options.poll;
                if had_work {
                    continue;
                }
                tokio::select! {
                    () = work.wait(pause) => {}
                    () = stop.cancelled() => {}
                }
            }
            Err(error) => {
                tracing::error!(error = %format_args!("{error:#}"), "the queue cannot be served");
                pause = (pause * 2).min(MAX_PAUSE);
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = stop.cancelled() => {}
                }
            }
        }
    }
}

/// Does it again while the store is away. Whoever loses the lease meanwhile stops this from outside.
async fn patiently<T>(mut act: impl AsyncFnMut() -> Result<T, StoreError>) -> Result<T, StoreError> {
    let mut pause = FIRST_PAUSE;
    loop {
        match act().await {
            Err(error) if error.is_passing() => {
                tracing::warn!(error = %format_args!("{:#}", anyhow::Error::new(error)), "trying again");
            }
            done => return done,
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(MAX_PAUSE);
    }
}

/// Names the task in every line of the log that it causes.
fn span(lease: &Lease) -> tracing::Span {
    tracing::info_span!("task", task.id = lease.task.get(), attempt = lease.attempt)
}

async fn give_back(store: &Store, lease: &Lease) {
    match store.give_back(lease).await {
        Ok(()) => tracing::info!(task.id = %lease.task, "Gave task {} back", lease.task),
        // It waits again when the lease expires.
        Err(error) => tracing::warn!(task.id = %lease.task, %error, "cannot give a task back"),
    }
}

async fn run_task(analyzer: &Analyzer, options: &TaskLoopOptions, lease: &Lease) -> Result<()> {
    let store = analyzer.store();
    let id = lease.task;
    let started = Instant::now();
    let (status, statuses) = watch::channel(TaskStatus::Analyze);
    let work = async {
        let task = patiently(async || store.task(id).await).await?.with_context(|| format!("task {id} vanished"))?;
        tracing::info!("Retracing task {id}");
        let outcome = retrace(analyzer, lease, &task, status).await;
        let finished = patiently(async || store.finish(lease, &outcome).await).await;
        finished.with_context(|| format!("cannot finish task {id}"))?;
        Ok::<_, anyhow::Error>((task, outcome))
    };
    let (task, outcome) = tokio::select! {
        done = work => done?,
        lost = keep_lease(store, lease, options.lease, statuses) => {
            tracing::warn!(reason = %lost, "Gave up task {id}: its lease is lost");
            return Ok(());
        }
    };
    // Only now: a worker that is killed before needs the input again. The debugging kind keeps it for a person.
    if task.kind != TaskKind::Debug
        && let Err(error) = store.remove_input(id).await
    {
        tracing::warn!(error = %format_args!("{:#}", anyhow::Error::new(error)), "cannot remove the input of a finished task");
    }
    let message = match &outcome {
        Outcome::Success => "finished".to_owned(),
        Outcome::Failure { message } => format!("failed: {message}"),
    };
    let result = if outcome == Outcome::Success { "success" } else { "fail" };
    histogram!("retrace_task_seconds", "result" => result).record(started.elapsed());
    tracing::info!("Task {id} {message}");
    Ok(())
}

/// Renews the lease and writes each new status into the task row, for ever; returns why that ended.
async fn keep_lease(
    store: &Store,
    lease: &Lease,
    duration: Duration,
    mut statuses: watch::Receiver<TaskStatus>,
) -> String {
    let mut ticks = tokio::time::interval(duration / 3);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        let renewed = tokio::select! {
            _ = ticks.tick() => store.heartbeat(lease, duration).await,
            Ok(()) = statuses.changed() => {
                let status = *statuses.borrow_and_update();
                store.set_status(lease, status).await
            }
        };
        match renewed {
            Ok(()) => {}
            Err(error @ StoreError::LeaseLost(_)) => return error.to_string(),
            // The store may be busy; the lease has two more chances before it expires.
            Err(error) => tracing::warn!(%error, "cannot renew a lease"),
        }
    }
}

/// Retraces and stores the result; every failure becomes the task's outcome, with its story.
async fn retrace(analyzer: &Analyzer, lease: &Lease, task: &Task, status: watch::Sender<TaskStatus>) -> Outcome {
    let store = analyzer.store();
    let failed = |error: anyhow::Error| format!("{error:#}");
    let result = match task.kind {
        TaskKind::Vmcore => Err("kernel dumps are not supported yet: send the core of a process".to_owned()),
        TaskKind::Coredump | TaskKind::Debug => analyze(analyzer, lease, status).await.map_err(failed),
    };
    for timing in result.iter().flat_map(|analysis| &analysis.backtrace.timings) {
        histogram!("retrace_step_seconds", "step" => timing.step.clone()).record(timing.milliseconds / 1000.0);
    }
    let mut results = Vec::new();
    match &result {
        Ok(analysis) => match serde_json::to_vec(&analysis.backtrace) {
            Ok(document) => {
                results.push(("backtrace.json", document));
                results.push(("log", analysis.story.clone().into_bytes()));
                results.push(("backtrace", analysis.text.clone().into_bytes()));
            }
            Err(error) => return Outcome::Failure { message: format!("cannot write the result: {error}") },
        },
        Err(message) => {
            let mut story = Story::default();
            story.fail(&format!("Task failed: {message}"));
            results.push(("log", story.into_text().into_bytes()));
        }
    }
    for (name, content) in results {
        if let Err(error) = patiently(async || store.put_task_result(lease, name, &content).await).await {
            let message = format!("cannot store the result: {:#}", anyhow::Error::new(error));
            return Outcome::Failure { message: result.err().unwrap_or(message) };
        }
    }
    match result {
        Ok(_) => Outcome::Success,
        Err(message) => Outcome::Failure { message },
    }
}

async fn analyze(analyzer: &Analyzer, lease: &Lease, status: watch::Sender<TaskStatus>) -> Result<Analysis> {
    // Fetched from the bucket, if there is one; removed with this value.
    let folder = analyzer.work_folder()?;
    let into = folder.path().join("input");
    let store = analyzer.store();
    let crash = patiently(async || {
        // Of a try that broke off.
        let _ = tokio::fs::remove_dir_all(&into).await;
        store.task_input(lease.task, &into).await
    })
    .await?;
    let request = AnalyzeRequest {
        core: crash.join("coredump"),
        os_release: read_text(&crash, &["os_release_in_rootdir", "os_release", "release"]).await?,
        package: read_text(&crash, &["package"]).await?,
        executable: read_text(&crash, &["executable"]).await?,
        keep_sysroot: None,
    };
    Ok(analyzer.analyze(&request, &StatusObserver { status }).await?)
}

/// The first of these files that is there.
async fn read_text(dir: &Path, names: &[&str]) -> Result<Option<String>> {
    for name in names {
        let path = dir.join(name);
        match tokio::fs::metadata(&path).await {
            Ok(metadata) if metadata.len() <= MAX_TEXT_BYTES => {
                let bytes =
                    tokio::fs::read(&path).await.with_context(|| format!("cannot read {name} of the upload"))?;
                return Ok(Some(String::from_utf8_lossy(&bytes).trim().to_owned()));
            }
            Ok(_) => anyhow::bail!("{name} of the upload has more than {MAX_TEXT_BYTES} bytes"),
            Err(_) => {}
        }
    }
    Ok(None)
}

/// Hands each new status to the future that keeps the lease.
struct StatusObserver {
    status: watch::Sender<TaskStatus>,
}

impl Progress for StatusObserver {
    fn step(&self, message: &str) {
        tracing::debug!("{message}");
    }

    fn bytes(&self, _done: u64, _total: Option<u64>) {}
}

impl Observer for StatusObserver {
    fn status(&self, status: TaskStatus) {
        self.status.send_if_modified(|last| std::mem::replace(last, status) != status);
    }
}

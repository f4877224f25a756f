//! The loop of a worker: lease a task, retrace it, store the result, finish it.
//!
//! The result is stored before the status changes, and finishing needs the lease: a worker that was thought dead cannot
//! overwrite what its successor did. A database or bucket that is away for a while ends neither the loop nor a retrace.

use std::{
    path::Path,
    sync::OnceLock,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use futures_util::{
    FutureExt as _,
    future::{BoxFuture, join_all},
};
use metrics::histogram;
use retrace_mirror::Progress;
use retrace_store::{Finding, Lease, Outcome, Store, StoreError};
use retrace_types::{FailureReason, Sha256, TaskId, TaskKind, TaskStatus};
use tokio::{sync::watch, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::{
    Analysis, AnalyzeError, AnalyzeRequest, Analyzer, Engine, HookEvent, Hooks, Observer, answer, inventory, knowledge,
    steps::{News, Steps},
    story::Story,
    task_hooks::TaskHooks,
    work_folder::WorkFolder,
};

/// Most bytes read of the small text files of an upload; the server allows fewer.
const MAX_TEXT_BYTES: u64 = 4096;

/// Longest wait between two tries after the store failed.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// First wait before something is tried again that the store could not do.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// How long a retrace that came upon a store that is away is begun again. What lasts longer is no restart.
const MAX_AWAY: Duration = Duration::from_secs(600);

/// How often what a retrace says is written down.
const STEPS_INTERVAL: Duration = Duration::from_secs(1);

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
    /// Longest time for one try of a task, by the clock on the wall: it is then finished as failed. None: no limit.
    pub task_timeout: Option<Duration>,
    /// Programs that are run at points of a task's life.
    pub hooks: Hooks,
    /// Answer crashes that were seen before with the frames of then.
    pub answer_from_group: bool,
    /// What makes the frames.
    pub engine: Engine,
}

/// Takes tasks until `stop` is cancelled; those at hand are then given back.
///
/// # Errors
/// None ends the loop: a failed task is finished as failed, a failing store is asked again after a pause.
pub async fn run_tasks(analyzer: &Analyzer, options: &TaskLoopOptions, stop: &CancellationToken) {
    let tasks = join_all((0..options.parallel.max(1)).map(|_| run_one_by_one(analyzer, options, stop)));
    let inventory = inventory::report(analyzer.store(), analyzer.plugins(), &options.owner, stop);
    tokio::join!(tasks, inventory);
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
    // Without them the numbers begin anew, which only confuses who watches.
    let (steps, news) = Steps::new(lease.attempt, store.progress(id).await.unwrap_or_default());
    let work = async {
        let task = patiently(async || store.task(id).await).await?.with_context(|| format!("task {id} vanished"))?;
        tracing::info!("Retracing task {id}");
        let hooks = TaskHooks::new(&options.hooks, store, lease, &task);
        let (outcome, finding) = retrace(analyzer, options, &hooks, &steps).await;
        // For who watches: a quick retrace is over before its steps were written down. Nothing hangs on it.
        let _ = store.set_progress(lease, &steps.now()).await;
        let finished = patiently(async || store.finish_with(lease, &outcome, &finding).await).await;
        finished.with_context(|| format!("cannot finish task {id}"))?;
        Ok::<_, anyhow::Error>((task, outcome))
    };
    let (task, outcome) = tokio::select! {
        done = work => done?,
        lost = keep_lease(store, lease, options.lease, &steps, news) => {
            tracing::warn!(reason = %lost, "Gave up task {id}: its lease is lost");
            return Ok(());
        }
    };
    // Only now: a worker that is killed before needs the input again. The debugging kind keeps it for a person.
    if task.kind != TaskKind::Debug {
        clean(store, &TaskHooks::new(&options.hooks, store, lease, &task), id, &outcome).await;
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

/// Renews the lease and writes each new status into the task row, and from time to time the steps, for ever; returns why that
/// ended.
async fn keep_lease(store: &Store, lease: &Lease, duration: Duration, steps: &Steps, mut news: News) -> String {
    let mut ticks = tokio::time::interval(duration / 3);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    // The first steps are told at once.
    let mut next_steps = tokio::time::Instant::now();
    loop {
        let renewed = tokio::select! {
            _ = ticks.tick() => store.heartbeat(lease, duration).await,
            Ok(()) = news.statuses.changed() => {
                let status = *news.statuses.borrow_and_update();
                store.set_status(lease, status).await
            }
            Ok(()) = said(&mut news.said, next_steps) => {
                next_steps = tokio::time::Instant::now() + STEPS_INTERVAL;
                store.set_progress(lease, &steps.now()).await
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

/// Waits for something to write, but not before `earliest`.
async fn said(said: &mut watch::Receiver<()>, earliest: tokio::time::Instant) -> Result<(), watch::error::RecvError> {
    tokio::time::sleep_until(earliest).await;
    said.changed().await
}

/// Retraces within the time limit and stores the result; every failure becomes the task's outcome, with its story. Dropped,
/// it ends whatever was started with all its children.
async fn retrace(
    analyzer: &Analyzer,
    options: &TaskLoopOptions,
    hooks: &TaskHooks<'_>,
    steps: &Steps,
) -> (Outcome, Finding) {
    let limit = options.task_timeout;
    let request = OnceLock::new();
    let working = within(limit, analyze(analyzer, options, hooks, steps, &request));
    let mut reason = FailureReason::Internal;
    let result = match working.await {
        Some(result) => result.map_err(|error| {
            reason = knowledge::reason_of(&error);
            format!("{error:#}")
        }),
        None => {
            reason = FailureReason::Limit;
            Err(too_long(limit.unwrap_or_default(), steps.status_now()))
        }
    };
    for timing in result.iter().flat_map(|(analysis, _)| &analysis.backtrace.timings) {
        histogram!("retrace_step_seconds", "step" => timing.step.clone()).record(timing.milliseconds / 1000.0);
    }
    // The input is there for the hooks, until they are through.
    let (result, _input) = match result {
        Ok((analysis, input)) => (Ok(analysis), Some(input)),
        Err(message) => (Err(message), None),
    };
    let log = match &result {
        Ok(analysis) => analysis.story.clone(),
        Err(message) => {
            let mut story = Story::default();
            story.fail(&format!("Task failed: {message}"));
            story.into_text()
        }
    };
    let (mut outcome, analysis) = match (store_results(hooks, result.as_ref().ok(), &log).await, result) {
        (_, Err(message)) => (Outcome::Failure { message }, None),
        (Err(error), Ok(analysis)) => {
            reason = FailureReason::Storage;
            (Outcome::Failure { message: format!("cannot store the result: {error:#}") }, Some(analysis))
        }
        (Ok(()), Ok(analysis)) => (Outcome::Success, Some(analysis)),
    };
    if outcome == Outcome::Success {
        let done = match hooks.run(HookEvent::PostRetrace, None).await {
            Ok(()) => hooks.run(HookEvent::Success, Some(&outcome)).await,
            failed => failed,
        };
        if let Err(message) = done {
            reason = FailureReason::Hook;
            outcome = Outcome::Failure { message };
        }
    }
    if let Outcome::Failure { .. } = outcome {
        // Nothing can fail any more: what it says stands in the log.
        let _ = hooks.run(HookEvent::Fail, Some(&outcome)).await;
    }
    let said = hooks.log();
    if !said.is_empty()
        && let Err(error) = store_result(hooks, "log", (log + &said).as_bytes()).await
    {
        tracing::warn!(%error, "cannot add to the log of a task");
    }
    let finding = match (&outcome, &analysis, request.get()) {
        (Outcome::Success, Some(analysis), Some(request)) => {
            knowledge::of_result(analysis, request, keep_answer(hooks.store(), analysis).await)
        }
        (_, _, Some(request)) => knowledge::of_failure(reason, request),
        _ => Finding::failure(reason),
    };
    (outcome, finding)
}

/// Keeps what answers the next crash that looks the same; the name of that, if there is any. Without it the next one is
/// retraced.
async fn keep_answer(store: &Store, analysis: &Analysis) -> Option<Sha256> {
    let (kept, document) = answer::keep(&analysis.backtrace)?;
    let document = serde_json::to_vec(&document).ok()?;
    match patiently(async || store.keep_result(kept, document.clone()).await).await {
        Ok(()) => Some(kept.stack),
        Err(error) => {
            let error = format!("{:#}", anyhow::Error::new(error));
            tracing::warn!(error, "cannot keep a result for its group");
            None
        }
    }
}

/// The answer of a future, or none if it takes longer.
async fn within<T>(limit: Option<Duration>, future: impl Future<Output = T>) -> Option<T> {
    match limit {
        Some(limit) => tokio::time::timeout(limit, future).await.ok(),
        None => Some(future.await),
    }
}

/// Why a task ended that ran for too long.
pub(crate) fn too_long(limit: Duration, step: TaskStatus) -> String {
    format!(
        "it was ended after {} s, the limit of a task, while at the step `{}`; send it again when the machine has less to do, \
         or ask the operator to raise worker.task_timeout_s",
        limit.as_secs(),
        step.sentence()
    )
}

/// The analysis, and the folder that holds the input. What was asked for is left in `asked` as soon as it is known.
async fn analyze(
    analyzer: &Analyzer,
    options: &TaskLoopOptions,
    hooks: &TaskHooks<'_>,
    steps: &Steps,
    asked: &OnceLock<AnalyzeRequest>,
) -> Result<(Analysis, WorkFolder)> {
    let task = hooks.task();
    if task.kind == TaskKind::Vmcore {
        return Err(knowledge::Unsupported.into());
    }
    // Fetched from the bucket, if there is one; removed with this value.
    let folder = analyzer.work_folder()?;
    let into = folder.path().join("input");
    let store = analyzer.store();
    let crash = patiently(async || {
        // Of a try that broke off.
        let _ = tokio::fs::remove_dir_all(&into).await;
        store.task_input(task.id, &into).await
    })
    .await?;
    hooks.has_input(&crash);
    hooks.run(HookEvent::Start, None).await.map_err(anyhow::Error::msg)?;
    let request = AnalyzeRequest {
        core: crash.join("coredump"),
        os_release: read_text(&crash, &["os_release_in_rootdir", "os_release", "release"]).await?,
        package: read_text(&crash, &["package"]).await?,
        executable: read_text(&crash, &["executable"]).await?,
        keep_sysroot: None,
        // A person looks at tasks for debugging: the frames of another process would not help.
        answer_from_group: options.answer_from_group && task.kind != TaskKind::Debug,
        engine: options.engine,
    };
    let request = asked.get_or_init(|| request);
    let observer = TaskObserver { steps, hooks };
    let (started, mut pause) = (Instant::now(), FIRST_PAUSE);
    loop {
        match analyzer.analyze(request, &observer).await {
            // A retrace is no failure because the database was restarted under it.
            Err(error) if is_passing(&error) && started.elapsed() < MAX_AWAY => {
                tracing::warn!(error = %format_args!("{:#}", anyhow::Error::new(error)), "retracing again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(MAX_PAUSE);
            }
            analysis => return Ok((analysis?, folder)),
        }
    }
}

/// True if the store was away, wherever that was noticed.
fn is_passing(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut causes = std::iter::successors(Some(error), |error| error.source());
    causes.any(|cause| cause.downcast_ref::<StoreError>().is_some_and(StoreError::is_passing))
}

/// The backtrace comes last: who sees it, sees the others.
async fn store_results(hooks: &TaskHooks<'_>, analysis: Option<&Analysis>, log: &str) -> Result<()> {
    if let Some(analysis) = analysis {
        store_result(hooks, "backtrace.json", &serde_json::to_vec(&analysis.backtrace)?).await?;
    }
    store_result(hooks, "log", log.as_bytes()).await?;
    if let Some(analysis) = analysis {
        store_result(hooks, "backtrace", analysis.text.as_bytes()).await?;
    }
    Ok(())
}

async fn store_result(hooks: &TaskHooks<'_>, name: &str, content: &[u8]) -> Result<(), StoreError> {
    patiently(async || hooks.store().put_task_result(hooks.lease(), name, content).await).await
}

/// Removes what was uploaded, unless a hook that is required says no.
async fn clean(store: &Store, hooks: &TaskHooks<'_>, id: TaskId, outcome: &Outcome) {
    if let Err(reason) = hooks.run(HookEvent::PreCleanTask, Some(outcome)).await {
        tracing::warn!(reason, "The input of task {id} stays");
        return;
    }
    if let Err(error) = store.remove_input(id).await {
        tracing::warn!(error = %format_args!("{:#}", anyhow::Error::new(error)), "cannot remove the input of a finished task");
    }
    // It is gone, whatever they say.
    let _ = hooks.run(HookEvent::PostCleanTask, Some(outcome)).await;
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

/// Hands what is said to the future that keeps the lease, and each point to the hooks.
struct TaskObserver<'a> {
    steps: &'a Steps,
    hooks: &'a TaskHooks<'a>,
}

impl Progress for TaskObserver<'_> {
    fn step(&self, message: &str) {
        self.steps.step(message);
    }

    fn bytes(&self, done: u64, total: Option<u64>) {
        self.steps.bytes(done, total);
    }
}

impl Observer for TaskObserver<'_> {
    fn status(&self, status: TaskStatus) {
        self.steps.status(status);
    }

    fn reached(&self, point: HookEvent) -> BoxFuture<'_, Result<(), AnalyzeError>> {
        self.hooks.run(point, None).map(|done| done.map_err(AnalyzeError::Hook)).boxed()
    }
}

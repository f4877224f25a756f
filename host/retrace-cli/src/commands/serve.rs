//! `retrace serve` and `retrace worker`.
//!
//! The server runs no plugin and spawns nothing for a request; the worker is a second process of this binary, which meets it
//! only in the store. A worker that dies is started again; one whose server died ends.

use std::{env, num::NonZero, path::Path, process::ExitCode, time::Duration};

use anyhow::{Context as _, Result};
use retrace_process::{Child, Invocation};
use retrace_server::{AppState, Metrics, ServerOptions, Tls};
use retrace_store::{Store, StoreError};
use retrace_worker::{Notifier, TaskLoopOptions, fulfil_wishes, run_tasks};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::{args::LogFormat, config::Config, wiring};

const MIB: u64 = 1024 * 1024;

/// How long a worker may take to give its task back.
const WORKER_GRACE: Duration = Duration::from_secs(10);

/// Pause before a worker that died is started again.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// Pause before a database that does not answer at the start is tried again.
const STORE_PAUSE: Duration = Duration::from_secs(2);

/// How often a worker looks whether its server is still there.
const PARENT_CHECK: Duration = Duration::from_millis(500);

/// Variables that the worker gets; everything of ours starts with `RETRACE_`, and what reaches a bucket with `AWS_`.
const PASSED_VARIABLES: [&str; 9] =
    ["HOME", "PATH", "LANG", "TMPDIR", "NO_COLOR", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "TZ"];

/// Serves until a signal; with a worker as a second process, if one is given.
pub(crate) async fn serve(config: &Config, worker: Option<Invocation>) -> Result<ExitCode> {
    let stop = stop_on_signal()?;
    let Some(store) = patient_store(config, &stop).await? else { return Ok(ExitCode::SUCCESS) };
    let mut state = state(config, store)?;
    let address = config.server.listen;
    let listener = TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address}: choose another address with server.listen or RETRACE_SERVER_LISTEN")
    })?;
    let tls = tls(config)?;
    // Port 0 lets the system choose: whoever started us reads the address here.
    let scheme = if tls.is_some() { "https" } else { "http" };
    super::print(&format!("Listening on {scheme}://{}\n", listener.local_addr()?))?;
    let worker = worker.map(|call| tokio::spawn(keep_worker(call, stop.clone())));
    if config.server.allow_metrics {
        state = state.with_metrics(Metrics::install()?);
    }
    retrace_server::serve(listener, state, tls, stop.clone().cancelled_owned()).await?;
    stop.cancel();
    if let Some(worker) = worker {
        worker.await??;
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn worker(config: &Config, exit_with_parent: bool) -> Result<ExitCode> {
    let stop = stop_on_signal()?;
    if exit_with_parent {
        tokio::spawn(stop_without_parent(stop.clone()));
    }
    let metrics = serve_metrics(&config.worker.metrics_listen).await?;
    let Some(store) = patient_store(config, &stop).await? else { return Ok(ExitCode::SUCCESS) };
    let (analyzer, watcher) = wiring::serving_analyzer(config, store).await?;
    let options = TaskLoopOptions {
        owner: owner(),
        lease: Duration::from_secs(config.worker.lease_seconds.max(1)),
        poll: Duration::from_millis(config.worker.poll_milliseconds.max(10)),
        parallel: parallel_tasks(config.worker.parallel_tasks),
        most_running: config.server.max_parallel_tasks.max(1).into(),
        task_timeout: config.worker.task_timeout(),
        hooks: config.hooks(),
        answer_from_group: config.worker.answer_from_group,
        engine: config.worker.engine,
    };
    warn_of_root();
    let store = analyzer.store();
    let gc = wiring::gc(config, store.clone())?;
    let notifier = Notifier::new(store.clone(), config.notify.options());
    let interval = Duration::from_secs(config.gc.interval_s);
    tokio::join!(
        run_tasks(&analyzer, &options, &stop),
        fulfil_wishes(&analyzer, &options, &stop),
        async {
            if !interval.is_zero() {
                gc.run_every(interval, &stop).await;
            }
        },
        notifier.run(&stop),
    );
    drop((watcher, metrics));
    Ok(ExitCode::SUCCESS)
}

/// The store, as soon as its database answers; none if `stop` comes first. Machines that start together start in any order.
async fn patient_store(config: &Config, stop: &CancellationToken) -> Result<Option<Store>> {
    loop {
        match wiring::store(config).await {
            Err(error) if error.downcast_ref::<StoreError>().is_some_and(StoreError::is_passing) => {
                tracing::warn!(error = %format_args!("{error:#}"), "the database is not there yet; trying again");
            }
            store => return store.map(Some),
        }
        tokio::select! {
            () = tokio::time::sleep(STORE_PAUSE) => {}
            () = stop.cancelled() => return Ok(None),
        }
    }
}

fn tls(config: &Config) -> Result<Option<Tls>> {
    let (certificate, key) = (&config.server.tls_certificate, &config.server.tls_key);
    if certificate.as_os_str().is_empty() {
        return Ok(None);
    }
    Ok(Some(Tls::load(certificate, key)?))
}

/// Answers what this process counts at an address, until dropped; nothing if it is empty.
async fn serve_metrics(address: &str) -> Result<Option<AbortOnDropHandle<std::io::Result<()>>>> {
    if address.is_empty() {
        return Ok(None);
    }
    let metrics = Metrics::install()?;
    let listener = TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on worker.metrics_listen = \"{address}\": give a free address and port of this machine")
    })?;
    tracing::info!(address = %listener.local_addr()?, "Metrics at http://{}/metrics", listener.local_addr()?);
    Ok(Some(AbortOnDropHandle::new(tokio::spawn(metrics.serve(listener)))))
}

fn state(config: &Config, store: Store) -> Result<AppState> {
    let debuginfod = wiring::debuginfod(config, &store)?;
    let state = AppState::new(store, server_options(config));
    Ok(match debuginfod {
        Some(debuginfod) => state.with_debuginfod(debuginfod),
        None => state,
    })
}

fn server_options(config: &Config) -> ServerOptions {
    let server = &config.server;
    ServerOptions {
        require_https: server.require_https,
        trusted_proxies: server.trusted_proxies.clone(),
        external_dirs: server.external_dirs.clone(),
        allow_delete: server.allow_delete,
        max_queued_tasks: server.max_queued_tasks.into(),
        max_packed_bytes: server.max_packed_size_mib.saturating_mul(MIB),
        max_unpacked_bytes: server.max_unpacked_size_mib.saturating_mul(MIB),
        min_storage_left_bytes: server.min_storage_left_mib.saturating_mul(MIB),
        api: config.api.options(),
        ..ServerOptions::default()
    }
}

/// As many as there are processors where the configuration says 0.
fn parallel_tasks(configured: u32) -> usize {
    match usize::try_from(configured) {
        Ok(0) | Err(_) => std::thread::available_parallelism().map_or(1, NonZero::get),
        Ok(number) => number,
    }
}

/// A limit that does not hold is told.
fn warn_of_root() {
    if rustix::process::geteuid().is_root() {
        tracing::warn!(
            "The worker runs as root, against whom the kernel holds no limit on the number of processes: a debugger or hook may \
             start as many as it likes until its time is up. Run it as a user of its own (`User=` of the unit), or bound it from \
             outside (`TasksMax=`)"
        );
    }
}

/// Cancelled by SIGINT or SIGTERM.
fn stop_on_signal() -> Result<CancellationToken> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let stop = CancellationToken::new();
    let token = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        token.cancel();
    });
    Ok(stop)
}

async fn stop_without_parent(stop: CancellationToken) {
    let parent = rustix::process::getppid();
    while rustix::process::getppid() == parent {
        tokio::time::sleep(PARENT_CHECK).await;
    }
    tracing::info!("The server is gone; the worker ends");
    stop.cancel();
}

/// This binary as a worker, with the same configuration.
pub(crate) fn worker_invocation(file: Option<&Path>, verbose: u8, log_format: LogFormat) -> Result<Invocation> {
    let mut call = Invocation::new(env::current_exe().context("cannot find the running program")?);
    if let Some(file) = file {
        call = call.arg("--config").arg(std::path::absolute(file)?);
    }
    if verbose > 0 {
        call = call.arg(format!("-{}", "v".repeat(usize::from(verbose))));
    }
    if log_format == LogFormat::Json {
        call = call.arg("--log-format=json");
    }
    let passed =
        |name: &str| name.starts_with("RETRACE_") || name.starts_with("AWS_") || PASSED_VARIABLES.contains(&name);
    for (name, value) in env::vars().filter(|(name, _)| passed(name)) {
        call = call.env(name, value);
    }
    Ok(call.arg("worker").arg("--exit-with-parent"))
}

/// Runs a worker until `stop`, starting it again when it dies.
async fn keep_worker(call: Invocation, stop: CancellationToken) -> Result<()> {
    loop {
        let mut child: Child = retrace_process::spawn(&call).context("cannot start the worker")?;
        let ended = tokio::select! {
            ended = child.wait() => ended,
            () = stop.cancelled() => {
                child.terminate(WORKER_GRACE).await?;
                return Ok(());
            }
        };
        tracing::warn!(status = ?ended, "The worker ended; it is started again");
        tokio::select! {
            () = tokio::time::sleep(RESTART_PAUSE) => {}
            () = stop.cancelled() => return Ok(()),
        }
    }
}

/// Host and process: names the worker in the store.
fn owner() -> String {
    let host = rustix::system::uname();
    format!("{}:{}", host.nodename().to_string_lossy(), std::process::id())
}

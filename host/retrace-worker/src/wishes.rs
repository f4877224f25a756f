//! Packages that the server wished for: a worker fetches and verifies them, or says why they cannot be had.

use std::time::Duration;

use anyhow::{Result, bail};
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use retrace_mirror::WantedModule;
use retrace_store::{Scope, Wish, WishLease};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::{Analyzer, TaskLoopOptions};

/// Wishes that a worker fulfils at once, beside its tasks: they wait for mirrors more than they work.
const PARALLEL: usize = 4;

/// Longest pause after the store failed.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// Fulfils wishes until `stop` is cancelled; those at hand are then given back.
///
/// # Errors
/// None ends the loop: a wish that cannot be fulfilled is finished with the reason, a failing store is asked again later.
pub async fn fulfil_wishes(analyzer: &Analyzer, options: &TaskLoopOptions, stop: &CancellationToken) {
    let mut running = FuturesUnordered::new();
    let mut next = Box::pin(next_wish(analyzer, options));
    loop {
        tokio::select! {
            Some(()) = running.next() => {}
            // Not dropped before it is done: it may hold a lease.
            lease = &mut next, if running.len() < PARALLEL => {
                running.push(run(analyzer, lease, options, stop));
                next = Box::pin(next_wish(analyzer, options));
            }
            () = stop.cancelled() => break,
        }
    }
    while running.next().await.is_some() {}
}

async fn next_wish(analyzer: &Analyzer, options: &TaskLoopOptions) -> WishLease {
    let mut pause = options.poll;
    loop {
        match analyzer.store().lease_wish(&options.owner, options.lease).await {
            Ok(Some(lease)) => return lease,
            Ok(None) => pause = options.poll,
            Err(error) => {
                tracing::error!(error = %format_args!("{:#}", anyhow::Error::new(error)), "wishes cannot be read");
                pause = (pause * 2).min(MAX_PAUSE);
            }
        }
        tokio::time::sleep(pause).await;
    }
}

async fn run(analyzer: &Analyzer, lease: WishLease, options: &TaskLoopOptions, stop: &CancellationToken) {
    tokio::select! {
        () = fulfil(analyzer, &lease) => {}
        () = keep(analyzer, &lease, options.lease) => {}
        () = stop.cancelled() => {
            if let Err(error) = analyzer.store().give_wish_back(&lease).await {
                // It is taken again when the lease expires.
                tracing::warn!(%error, "cannot give a wish back");
            }
        }
    }
}

/// Keeps the lease; ends when it is lost.
async fn keep(analyzer: &Analyzer, lease: &WishLease, duration: Duration) {
    let mut ticks = tokio::time::interval(duration / 3);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        match analyzer.store().keep_wish(lease, duration).await {
            Ok(true) => {}
            Ok(false) => return,
            // The lease has two more chances before it expires.
            Err(error) => tracing::warn!(%error, "cannot keep a wish"),
        }
    }
}

async fn fulfil(analyzer: &Analyzer, lease: &WishLease) {
    let package = &lease.package.id;
    let failure = fetch(analyzer, lease).await.err().map(|error| format!("{error:#}"));
    match &failure {
        None => tracing::info!("Fetched what debuginfod wished for: {package}"),
        Some(reason) => tracing::warn!(%reason, "what debuginfod wished for cannot be had: {package}"),
    }
    let outcome = failure.as_deref().map_or(Ok(()), Err);
    if let Err(error) = analyzer.store().finish_wish(lease, outcome).await {
        // It is taken again when the lease expires; then the package is here.
        tracing::warn!(%error, "cannot finish a wish");
    }
}

async fn fetch(analyzer: &Analyzer, lease: &WishLease) -> Result<()> {
    match &lease.wish {
        Wish::Package(_) => {
            analyzer.mirror().fetch(&lease.package, &()).await?;
        }
        Wish::Executable { build_id, .. } => {
            let repository = analyzer.store().repository(lease.package.repository).await?;
            let scope = Scope { release: repository.release, architecture: repository.architecture };
            let module = WantedModule { build_id: build_id.clone(), path: None };
            let found = analyzer.mirror().find_file(&scope, module, &()).await?;
            let Some(found) = found.filter(|found| found.executable.is_none()) else { return Ok(()) };
            let why = found.gaps.first().map_or("no package ships it", |gap| gap.message.as_str());
            bail!("{why}");
        }
    }
    Ok(())
}

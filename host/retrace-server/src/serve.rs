//! Connections: accepted within a limit, served with time-outs, let finish at the end.

use std::{io, sync::Arc, time::Duration};

use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use retrace_store::Store;
use tokio::{net::TcpListener, sync::Semaphore};

use crate::{AppState, error::chain, router, stalled::StalledWrites};

/// Largest request head; more is answered with 431.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// How long connections may take to finish once the server is told to stop.
const SHUTDOWN_TIME: Duration = Duration::from_secs(30);

/// How often to look for abandoned uploads.
const CLEANUP_INTERVAL: Duration = Duration::from_secs(60);

/// Pause after accepting failed, as it does when file descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves on a listener until `shutdown` is ready; requests under way are finished, for at most 30 s.
///
/// # Errors
/// None once it runs: a connection that fails is its own loss. Errors of the listener are retried.
pub async fn serve(listener: TcpListener, state: AppState, shutdown: impl Future<Output = ()>) -> io::Result<()> {
    let mut connections = http1::Builder::new();
    let idle = state.options.idle_timeout;
    connections.timer(TokioTimer::new()).header_read_timeout(idle).max_buf_size(MAX_HEAD_BYTES);
    // Names as they are usually written: scripts look for `X-Task-Id`, whatever the standard says about case.
    connections.title_case_headers(true);
    let places = Arc::new(Semaphore::new(state.options.max_connections));
    let cleanup = tokio::spawn(remove_abandoned(state.store.clone()));
    let service = TowerToHyperService::new(router(state));
    let graceful = GracefulShutdown::new();

    tokio::pin!(shutdown);
    loop {
        let (stream, place) = tokio::select! {
            () = &mut shutdown => break,
            accepted = accept(&listener, &places) => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
        };
        let stream = TokioIo::new(StalledWrites::new(stream, idle));
        let connection = graceful.watch(connections.serve_connection(stream, service.clone()));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended early");
            }
            drop(place);
        });
    }
    cleanup.abort();
    if tokio::time::timeout(SHUTDOWN_TIME, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests did not end in time");
    }
    Ok(())
}

/// A connection and its place among those served at once.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(tokio::net::TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, place))
}

/// Removes what a killed server or client left behind, at the start and from time to time.
async fn remove_abandoned(store: Store) {
    let mut ticks = tokio::time::interval(CLEANUP_INTERVAL);
    loop {
        ticks.tick().await;
        match store.remove_abandoned().await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "Removed {count} unfinished uploads"),
            Err(error) => tracing::warn!(error = %chain(&error), "cannot remove unfinished uploads"),
        }
    }
}

//! Connections: accepted within a limit, served with time-outs, let finish at the end.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use hyper::{
    server::conn::http1,
    service::{Service as _, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::{GracefulShutdown, Watcher},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};

use crate::{AppState, Tls, client::Connection, error::chain, router, stalled::StalledWrites};

/// Largest request head; more is answered with 431.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// How long connections may take to finish once the server is told to stop.
const SHUTDOWN_TIME: Duration = Duration::from_secs(30);

/// How often to look for abandoned uploads.
const CLEANUP_INTERVAL: Duration = Duration::from_secs(60);

/// Pause after accepting failed, as it does when file descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Longest time that a client may take to agree on TLS.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);

/// Serves on a listener until `shutdown` is ready, by TLS if there is a certificate; requests under way are finished, for at
/// most 30 s.
///
/// # Errors
/// None once it runs: a connection that fails is its own loss. Errors of the listener are retried.
pub async fn serve(
    listener: TcpListener,
    state: AppState,
    tls: Option<Tls>,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let places = Arc::new(Semaphore::new(state.options.max_connections));
    let cleanup = tokio::spawn(upkeep(state.clone()));
    let renewal = tls.clone().map(|tls| tokio::spawn(tls.keep_fresh()));
    let (idle, stopping) = (state.options.idle_timeout, state.stopping.clone());
    let connections = Connections { http: http(idle), idle, router: router(state), tls };
    let graceful = GracefulShutdown::new();

    tokio::pin!(shutdown);
    loop {
        let (stream, peer, place) = tokio::select! {
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
        let (connections, watcher) = (connections.clone(), graceful.watcher());
        tokio::spawn(async move {
            connections.serve(stream, peer, watcher).await;
            drop(place);
        });
    }
    stopping.cancel();
    cleanup.abort();
    renewal.inspect(tokio::task::JoinHandle::abort);
    if tokio::time::timeout(SHUTDOWN_TIME, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests did not end in time");
    }
    Ok(())
}

fn http(idle: Duration) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(idle).max_buf_size(MAX_HEAD_BYTES);
    // Names as they are usually written: scripts look for `X-Task-Id`, whatever the standard says about case.
    http.title_case_headers(true);
    http
}

/// How each connection is served.
#[derive(Clone)]
struct Connections {
    http: http1::Builder,
    idle: Duration,
    router: Router,
    tls: Option<Tls>,
}

impl Connections {
    async fn serve(self, stream: TcpStream, peer: SocketAddr, watcher: Watcher) {
        let stream = StalledWrites::new(stream, self.idle);
        let Some(tls) = &self.tls else { return self.answer(stream, Connection { peer, tls: false }, watcher).await };
        match tokio::time::timeout(HANDSHAKE_TIME, tls.acceptor.accept(stream)).await {
            Ok(Ok(stream)) => self.answer(stream, Connection { peer, tls: true }, watcher).await,
            Ok(Err(error)) => tracing::debug!(%peer, %error, "no TLS with a client"),
            Err(_) => tracing::debug!(%peer, "a client took too long to agree on TLS"),
        }
    }

    async fn answer<S>(&self, stream: S, connection: Connection, watcher: Watcher)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let router = TowerToHyperService::new(self.router.clone());
        let service = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
            request.extensions_mut().insert(connection);
            router.call(request)
        });
        let served = self.http.serve_connection(TokioIo::new(stream), service);
        if let Err(error) = watcher.watch(served).await {
            tracing::debug!(peer = %connection.peer, %error, "a connection ended early");
        }
    }
}

/// A connection and its place among those served at once.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, peer, place))
}

/// Removes what a killed server or client left behind, and counts what was refused, at the start and from time to time.
async fn upkeep(state: AppState) {
    let mut ticks = tokio::time::interval(CLEANUP_INTERVAL);
    loop {
        ticks.tick().await;
        state.count_denials().await;
        match state.store.remove_abandoned().await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "Removed {count} unfinished uploads"),
            Err(error) => tracing::warn!(error = %chain(&error), "cannot remove unfinished uploads"),
        }
        if let Err(error) = state.store.forget_keys().await {
            tracing::warn!(error = %chain(&error), "cannot forget old idempotency keys");
        }
    }
}

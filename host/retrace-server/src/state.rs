use std::{
    num::NonZero,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use retrace_store::Store;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::{ApiError, ApiOptions, Debuginfod, Metrics, Network, api::Guard, client::Client, error::chain};

const MIB: u64 = 1024 * 1024;

/// What the server allows. Defaults as in retrace-server, where it has the option; but https is not required by default,
/// since there is no certificate by default.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Refuse task requests whose scheme is not https (`RequireHTTPS`).
    pub require_https: bool,
    /// Proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed; they must always set them.
    pub trusted_proxies: Vec<Network>,
    /// Tasks that may be unfinished at once: being uploaded, waiting, or worked on. How many are worked on at once is up to
    /// the workers.
    pub max_queued_tasks: u64,
    /// Largest upload, in bytes (`MaxPackedSize`).
    pub max_packed_bytes: u64,
    /// Largest sum of the sizes of an archive's members, in bytes (`MaxUnpackedSize`).
    pub max_unpacked_bytes: u64,
    /// Free space that an upload must leave, in bytes (`MinStorageLeft`).
    pub min_storage_left_bytes: u64,
    /// Folders below which `X-CoreFileDirectory` may name one whose archive is taken in the place of a body
    /// (`AllowExternalDir`). None by default.
    pub external_dirs: Vec<PathBuf>,
    /// Let who knows a task's password delete it by `/<id>/delete` (`AllowAPIDelete`).
    pub allow_delete: bool,
    /// Longest silence of a client while it sends a request or takes an answer.
    pub idle_timeout: Duration,
    /// Connections served at once; further ones wait to be accepted.
    pub max_connections: usize,
    /// What `/api` allows.
    pub api: ApiOptions,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            require_https: false,
            trusted_proxies: Vec::new(),
            external_dirs: Vec::new(),
            allow_delete: false,
            max_queued_tasks: 1000,
            max_packed_bytes: 1024 * MIB,
            max_unpacked_bytes: 2047 * MIB,
            min_storage_left_bytes: 1024 * MIB,
            idle_timeout: Duration::from_secs(60),
            max_connections: 512,
            api: ApiOptions::DEFAULT,
        }
    }
}

/// What every handler needs.
#[derive(Clone, Debug)]
pub struct AppState {
    pub(crate) store: Store,
    pub(crate) options: ServerOptions,
    /// Held while a new task is counted and made.
    pub(crate) admission: Arc<tokio::sync::Mutex<()>>,
    /// Places for archives that are unpacked at once: one for each processor, as each may ask for the memory of a
    /// decoder. Further uploads wait with their archive on disk.
    pub(crate) unpacking: Arc<Semaphore>,
    /// Requests that were refused because the queue was full, and are not counted in the store yet: a full server must not
    /// write for each of them.
    denied: Arc<AtomicU64>,
    /// None: `/metrics` is not offered.
    pub(crate) metrics: Option<Metrics>,
    /// None: there is no such endpoint.
    pub(crate) debuginfod: Option<Debuginfod>,
    /// What `/api` remembers of those who ask.
    pub(crate) api: Arc<Guard>,
    /// Cancelled when the server is told to stop: answers that never end then do.
    pub(crate) stopping: CancellationToken,
}

impl AppState {
    /// A state on this store.
    #[must_use]
    pub fn new(store: Store, options: ServerOptions) -> Self {
        Self {
            store,
            api: Arc::new(Guard::new(&options.api)),
            options,
            admission: Arc::default(),
            unpacking: Arc::new(Semaphore::new(std::thread::available_parallelism().map_or(1, NonZero::get))),
            denied: Arc::default(),
            metrics: None,
            debuginfod: None,
            stopping: CancellationToken::new(),
        }
    }

    /// The same with the debuginfod endpoint.
    #[must_use]
    pub fn with_debuginfod(self, debuginfod: Debuginfod) -> Self {
        Self { debuginfod: Some(debuginfod), ..self }
    }

    /// Offers what this process counts at `/metrics`.
    #[must_use]
    pub fn with_metrics(self, metrics: Metrics) -> Self {
        Self { metrics: Some(metrics), ..self }
    }

    /// Refuses a request because the queue is full, and counts it.
    pub(crate) fn deny_full_queue(&self) -> ApiError {
        self.denied.fetch_add(1, Ordering::Relaxed);
        ApiError::QueueFull
    }

    /// Counts in the store what was refused since the last time. What is refused in the seconds before a server is killed is
    /// not counted.
    pub(crate) async fn count_denials(&self) {
        let denied = self.denied.swap(0, Ordering::Relaxed);
        if denied == 0 {
            return;
        }
        if let Err(error) = self.store.count_denials(denied).await {
            self.denied.fetch_add(denied, Ordering::Relaxed);
            tracing::warn!(error = %chain(&error), "cannot count refused requests");
        }
    }

    /// Task requests need https where the operator asked for it.
    pub(crate) fn check_https(&self, client: Client) -> Result<(), ApiError> {
        if self.options.require_https && !client.https { Err(ApiError::HttpsRequired) } else { Ok(()) }
    }
}

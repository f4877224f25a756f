use std::{sync::Arc, time::Duration};

use retrace_store::Store;

use crate::{ApiError, Metrics, Network, client::Client};

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
    /// Let who knows a task's password delete it by `/<id>/delete` (`AllowAPIDelete`).
    pub allow_delete: bool,
    /// Longest silence of a client while it sends a request or takes an answer.
    pub idle_timeout: Duration,
    /// Connections served at once; further ones wait to be accepted.
    pub max_connections: usize,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            require_https: false,
            trusted_proxies: Vec::new(),
            allow_delete: false,
            max_queued_tasks: 1000,
            max_packed_bytes: 1024 * MIB,
            max_unpacked_bytes: 2047 * MIB,
            min_storage_left_bytes: 1024 * MIB,
            idle_timeout: Duration::from_secs(60),
            max_connections: 512,
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
    /// None: `/metrics` is not offered.
    pub(crate) metrics: Option<Metrics>,
}

impl AppState {
    /// A state on this store.
    #[must_use]
    pub fn new(store: Store, options: ServerOptions) -> Self {
        Self { store, options, admission: Arc::default(), metrics: None }
    }

    /// Offers what this process counts at `/metrics`.
    #[must_use]
    pub fn with_metrics(self, metrics: Metrics) -> Self {
        Self { metrics: Some(metrics), ..self }
    }

    /// Task requests need https where the operator asked for it.
    pub(crate) fn check_https(&self, client: Client) -> Result<(), ApiError> {
        if self.options.require_https && !client.https { Err(ApiError::HttpsRequired) } else { Ok(()) }
    }
}

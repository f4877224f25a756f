use std::{sync::Arc, time::Duration};

use axum::http::HeaderMap;
use retrace_store::Store;

use crate::ApiError;

const MIB: u64 = 1024 * 1024;

/// What the server allows. Defaults as in retrace-server, where it has the option; but https is not required by default,
/// since the server itself speaks plain HTTP, to a proxy or on the loopback interface.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Refuse task requests whose scheme is not https (`RequireHTTPS`).
    pub require_https: bool,
    /// Believe the header `X-Forwarded-Proto`; only behind a proxy that always sets it.
    pub trust_forwarded_proto: bool,
    /// Tasks that may be unfinished at once: being uploaded, waiting, or worked on. How many are worked on at once is up to
    /// the workers.
    pub max_queued_tasks: u64,
    /// Largest upload, in bytes (`MaxPackedSize`).
    pub max_packed_bytes: u64,
    /// Largest sum of the sizes of an archive's members, in bytes (`MaxUnpackedSize`).
    pub max_unpacked_bytes: u64,
    /// Free space that an upload must leave, in bytes (`MinStorageLeft`).
    pub min_storage_left_bytes: u64,
    /// Longest silence of a client while it sends a request or takes an answer.
    pub idle_timeout: Duration,
    /// Connections served at once; further ones wait to be accepted.
    pub max_connections: usize,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            require_https: false,
            trust_forwarded_proto: false,
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
}

impl AppState {
    /// A state on this store.
    #[must_use]
    pub fn new(store: Store, options: ServerOptions) -> Self {
        Self { store, options, admission: Arc::default() }
    }

    /// Task requests need https where the operator asked for it. The server itself speaks plain HTTP: only a trusted proxy
    /// can say that the client used https.
    pub(crate) fn check_https(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let forwarded = headers.get("x-forwarded-proto").filter(|_| self.options.trust_forwarded_proto);
        if self.options.require_https && forwarded.is_none_or(|scheme| scheme != "https") {
            return Err(ApiError::HttpsRequired);
        }
        Ok(())
    }
}

//! Takes crashes by HTTP, byte for byte as the clients of retrace-server speak it.
//!
//! [`router`] is the service, [`serve()`] puts it on a listener. `POST /create` spools an archive, unpacks it within limits and
//! puts the task into the queue; the other routes read the store. Order of checks, status codes and header names are the
//! predecessor's, because its clients are still in use. New clients have an API of their own, `/api/v1`: `api`.
//! [`Debuginfod`] serves files of mirrored packages by build-id to debuggers.
//!
//! Promises: the server runs no plugin and spawns no program; a task is acknowledged only when everything that it needs is on
//! disk; an upload is drained before an error is answered, since clients lose the answer otherwise; every size, count and
//! wait is bounded.
//!
//! Not here: what happens to a task (`retrace-worker`), where packages come from (`retrace-mirror`).

mod api;
mod archive;
mod checkpackage;
mod client;
mod create;
mod debuginfod;
mod error;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod metrics;
mod password;
mod routes;
mod serve;
mod spool;
mod stalled;
mod state;
mod stats;
mod tls;
mod upload;

pub use api::ApiOptions;
pub use client::{InvalidNetwork, Network};
pub use debuginfod::{Debuginfod, DebuginfodError, DebuginfodOptions};
pub use error::ApiError;
pub use metrics::Metrics;
pub use routes::router;
pub use serve::serve;
pub use state::{AppState, ServerOptions};
pub use tls::{Tls, TlsError};

#[cfg(test)]
mod tests;

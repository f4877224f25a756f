//! The section `[server]`.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use retrace_server::Network;
use serde::{Deserialize, Serialize};

/// `[server]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ServerConfig {
    pub(crate) listen: SocketAddr,
    /// Certificate chain, leaf first, as PEM: HTTPS instead of HTTP. It is read again when it changes.
    pub(crate) tls_certificate: PathBuf,
    /// Private key of the certificate, as PEM.
    pub(crate) tls_key: PathBuf,
    /// Refuse task requests that did not come by HTTPS, to this server or to a trusted proxy.
    pub(crate) require_https: bool,
    /// Proxies that always set `X-Forwarded-For` and `X-Forwarded-Proto`, which are then believed: addresses or networks.
    pub(crate) trusted_proxies: Vec<Network>,
    /// Folders below which a client may name one, by `X-CoreFileDirectory`, whose archive is taken in the place of an upload.
    pub(crate) external_dirs: Vec<PathBuf>,
    /// Let who knows the password of a task delete it by `/<id>/delete`.
    pub(crate) allow_delete: bool,
    /// Answer `/metrics`.
    pub(crate) allow_metrics: bool,
    /// Tasks that are worked on at once, by all workers together.
    pub(crate) max_parallel_tasks: u32,
    /// Tasks that may be uploaded, wait or be worked on at once; clients are told to come back beyond that.
    pub(crate) max_queued_tasks: u32,
    /// Largest upload.
    pub(crate) max_packed_size_mib: u64,
    /// Largest sum of an archive's members.
    pub(crate) max_unpacked_size_mib: u64,
    /// Free space that an upload must leave.
    pub(crate) min_storage_left_mib: u64,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8180)),
            require_https: false,
            tls_certificate: PathBuf::new(),
            tls_key: PathBuf::new(),
            trusted_proxies: Vec::new(),
            external_dirs: Vec::new(),
            allow_delete: false,
            allow_metrics: true,
            max_parallel_tasks: 5,
            max_queued_tasks: 1000,
            max_packed_size_mib: 1024,
            max_unpacked_size_mib: 2047, // a client of EL7 overflows at 2048
            min_storage_left_mib: 1024,
        }
    }
}

impl ServerConfig {
    /// What is wrong with it, as far as can be told without serving.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.max_unpacked_size_mib < self.max_packed_size_mib {
            problems.push("server.max_unpacked_size_mib is smaller than server.max_packed_size_mib".to_owned());
        }
        let files = [("tls_certificate", &self.tls_certificate), ("tls_key", &self.tls_key)];
        for (name, file) in files.iter().filter(|(_, file)| !file.as_os_str().is_empty()) {
            if !file.is_file() {
                problems.push(format!("server.{name}: {} is no file", file.display()));
            }
        }
        if self.tls_certificate.as_os_str().is_empty() != self.tls_key.as_os_str().is_empty() {
            problems.push("server.tls_certificate and server.tls_key belong together: give both or none".to_owned());
        }
        if self.require_https && self.tls_key.as_os_str().is_empty() && self.trusted_proxies.is_empty() {
            problems.push(
                "server.require_https refuses every task: give a certificate, or the address of the proxy that has one in \
                 server.trusted_proxies"
                    .to_owned(),
            );
        }
        problems
    }
}

//! `[debuginfod]`: files by build-id for debuggers.

use std::time::Duration;

use retrace_server::DebuginfodOptions;
use serde::{Deserialize, Serialize};

const MIB: u64 = 1024 * 1024;

/// What the endpoint `/buildid` does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct DebuginfodConfig {
    /// Whether there is one.
    pub(crate) enabled: bool,
    /// Other debuginfod servers, asked in this order for what is not mirrored here: `https://debuginfod.example.org/`.
    pub(crate) upstreams: Vec<String>,
    /// How long a client waits for a package that a worker has to fetch; clients give up after 90 s.
    pub(crate) fetch_wait_seconds: u64,
    /// How long nobody tries again to get what could not be had.
    pub(crate) remember_failure_seconds: u64,
    /// Packages that may be waited for at once.
    pub(crate) max_wishes: u32,
    /// Files that may be unpacked, waited for or had from another server at once.
    pub(crate) max_searches: u32,
    /// How long another server that lied or failed is not asked.
    pub(crate) upstream_deny_seconds: u64,
    /// Servers that a request may have come through before others are asked no more.
    pub(crate) max_hops: u32,
    /// Largest file taken from another server.
    pub(crate) max_upstream_file_mib: u64,
    /// What the answers of other servers may take below `cache_dir`.
    pub(crate) max_upstream_cache_mib: u64,
}

impl Default for DebuginfodConfig {
    fn default() -> Self {
        let options = DebuginfodOptions::default();
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Self {
            enabled: true,
            upstreams: options.upstreams,
            fetch_wait_seconds: options.fetch_wait.as_secs(),
            remember_failure_seconds: options.remember_failure.as_secs(),
            max_wishes: u32::try_from(options.max_wishes).unwrap_or(u32::MAX),
            max_searches: count(options.max_searches),
            upstream_deny_seconds: options.upstream_deny.as_secs(),
            max_hops: count(options.max_hops),
            max_upstream_file_mib: options.max_upstream_file_bytes / MIB,
            max_upstream_cache_mib: options.max_upstream_cache_bytes / MIB,
        }
    }
}

impl DebuginfodConfig {
    pub(crate) fn options(&self) -> DebuginfodOptions {
        let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        DebuginfodOptions {
            upstreams: self.upstreams.clone(),
            fetch_wait: Duration::from_secs(self.fetch_wait_seconds),
            remember_failure: Duration::from_secs(self.remember_failure_seconds),
            max_wishes: self.max_wishes.into(),
            max_searches: count(self.max_searches),
            upstream_deny: Duration::from_secs(self.upstream_deny_seconds),
            max_hops: count(self.max_hops),
            max_upstream_file_bytes: self.max_upstream_file_mib.saturating_mul(MIB),
            max_upstream_cache_bytes: self.max_upstream_cache_mib.saturating_mul(MIB),
            ..DebuginfodOptions::default()
        }
    }

    /// What is wrong with it, one sentence for each thing.
    pub(crate) fn problems(&self) -> Vec<String> {
        let is_address = |url: &&String| ["http://", "https://"].iter().any(|scheme| url.starts_with(scheme));
        let addresses = self.upstreams.iter().filter(|url| !is_address(url));
        let mut problems: Vec<_> = addresses
            .map(|url| format!("debuginfod.upstreams: {url} is no address: want http://host/ or https://host/"))
            .collect();
        if self.max_upstream_cache_mib < self.max_upstream_file_mib && !self.upstreams.is_empty() {
            problems
                .push("debuginfod.max_upstream_cache_mib is smaller than debuginfod.max_upstream_file_mib".to_owned());
        }
        problems
    }
}

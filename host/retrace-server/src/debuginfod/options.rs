use std::time::Duration;

/// What the endpoint does and how far it goes.
#[derive(Clone, Debug)]
pub struct DebuginfodOptions {
    /// Addresses of other debuginfod servers, `http://` or `https://`, in the order in which they are asked for what is not
    /// here. None: nobody is asked.
    pub upstreams: Vec<String>,
    /// How long a client waits for a package that has to be fetched.
    pub fetch_wait: Duration,
    /// How long nobody tries again what could not be had, from mirrors or other servers.
    pub remember_failure: Duration,
    /// How long the place of a file that was served is remembered in memory before the index is asked again.
    pub remember: Duration,
    /// Packages that may be wished for at once, by all servers.
    pub max_wishes: u64,
    /// Files that may be searched for at once: unpacked, fetched, or had from another server. Who asks for one more is told
    /// to come back; any number may wait for the same file.
    pub max_searches: usize,
    /// Longest wait for the first byte of another server.
    pub upstream_first_byte: Duration,
    /// Longest silence of another server after its first byte.
    pub upstream_idle: Duration,
    /// How long a server that misbehaved is not asked.
    pub upstream_deny: Duration,
    /// Servers that a request may have come through before others are asked no more: `--forwarded-ttl-limit` of debuginfod.
    pub max_hops: usize,
    /// Largest file taken from another server.
    pub max_upstream_file_bytes: u64,
    /// What the answers of other servers may take on disk.
    pub max_upstream_cache_bytes: u64,
}

impl Default for DebuginfodOptions {
    fn default() -> Self {
        Self {
            upstreams: Vec::new(),
            fetch_wait: Duration::from_secs(30),
            remember_failure: Duration::from_secs(600),
            remember: Duration::from_secs(60),
            max_wishes: 100,
            max_searches: 256,
            upstream_first_byte: Duration::from_secs(2),
            upstream_idle: Duration::from_secs(10),
            upstream_deny: Duration::from_secs(600),
            max_hops: 8,
            max_upstream_file_bytes: 4 << 30,
            max_upstream_cache_bytes: 10 << 30,
        }
    }
}

/// Why the endpoint cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum DebuginfodError {
    /// An upstream's address is none.
    #[error("the debuginfod server {url:?} cannot be used: want http://host/ or https://host/")]
    InvalidUpstream {
        /// The address.
        url: String,
    },
    /// TLS cannot be set up.
    #[error(
        "cannot set up TLS for other debuginfod servers; check the system's certificates (package ca-certificates)"
    )]
    Tls(#[source] rustls::Error),
    /// The client cannot be made.
    #[error("cannot set up the client of other debuginfod servers")]
    Client(#[source] reqwest::Error),
}

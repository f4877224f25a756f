use std::time::Duration;

/// What the API allows, on top of [`crate::ServerOptions`].
#[derive(Clone, Debug)]
pub struct ApiOptions {
    /// Take crashes from clients without a token, as `/create` does.
    pub anonymous_submit: bool,
    /// Requests a minute from one address; from one network of 64 bits in IPv6.
    pub requests_per_minute: u32,
    /// Requests a minute with one token.
    pub token_requests_per_minute: u32,
    /// Tasks and uploads that one address may begin in an hour.
    pub submits_per_hour: u32,
    /// Tasks and uploads that one token may begin in an hour.
    pub token_submits_per_hour: u32,
    /// Largest upload without a token, in bytes; `max_packed_bytes` of the server holds as well.
    pub max_upload_bytes: u64,
    /// Largest upload with a token, in bytes; `max_packed_bytes` of the server holds as well.
    pub token_max_upload_bytes: u64,
    /// Wrong tokens and passwords from one address in a minute; further ones are not even looked at.
    pub failures_per_minute: u32,
    /// Streams of events that are served at once; 0: none.
    pub max_event_streams: usize,
    /// How long an upload in parts is kept after its last part.
    pub upload_lifetime: Duration,
    /// Unfinished uploads in parts of one token or address.
    pub max_open_uploads: u32,
    /// Origins of web pages that may use the API, as browsers name them: `https://crashes.example`. `*`: every origin.
    pub cors_origins: Vec<String>,
}

impl ApiOptions {
    /// The defaults.
    pub const DEFAULT: Self = Self {
        anonymous_submit: true,
        requests_per_minute: 600,
        token_requests_per_minute: 6000,
        submits_per_hour: 600,
        token_submits_per_hour: 36_000,
        max_upload_bytes: u64::MAX,
        token_max_upload_bytes: u64::MAX,
        failures_per_minute: 10,
        max_event_streams: 64,
        upload_lifetime: Duration::from_secs(3600),
        max_open_uploads: 8,
        cors_origins: Vec::new(),
    };
}

impl Default for ApiOptions {
    fn default() -> Self {
        Self::DEFAULT
    }
}

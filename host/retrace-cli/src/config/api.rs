//! The section `[api]`.

use std::time::Duration;

use retrace_server::ApiOptions;
use serde::{Deserialize, Serialize};

const MIB: u64 = 1024 * 1024;

/// `[api]`: what `/api/v1` allows, on top of `[server]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ApiConfig {
    /// Take crashes from clients without a token, as `/create` does.
    pub(crate) anonymous_submit: bool,
    /// Requests a minute from one address; in IPv6, from one network of 64 bits.
    pub(crate) requests_per_minute: u32,
    /// Requests a minute with one token.
    pub(crate) token_requests_per_minute: u32,
    /// Tasks that one address may send in an hour.
    pub(crate) submits_per_hour: u32,
    /// Tasks that may be sent with one token in an hour.
    pub(crate) token_submits_per_hour: u32,
    /// Largest upload without a token; 0: as large as `server.max_packed_size_mib` allows.
    pub(crate) max_upload_size_mib: u64,
    /// Largest upload with a token; 0: as large as `server.max_packed_size_mib` allows.
    pub(crate) token_max_upload_size_mib: u64,
    /// Wrong tokens and passwords from one address in a minute, after which none is looked at.
    pub(crate) failures_per_minute: u32,
    /// Streams of events that one server keeps open.
    pub(crate) max_event_streams: u32,
    /// How long an upload in parts is kept after its last part.
    pub(crate) upload_lifetime_seconds: u64,
    /// Unfinished uploads in parts of one token or address.
    pub(crate) max_open_uploads: u32,
    /// Origins of web pages that may use the API: `https://crashes.example`, or `*` for every one.
    pub(crate) cors_origins: Vec<String>,
}

impl Default for ApiConfig {
    fn default() -> Self {
        let options = ApiOptions::DEFAULT;
        Self {
            anonymous_submit: options.anonymous_submit,
            requests_per_minute: options.requests_per_minute,
            token_requests_per_minute: options.token_requests_per_minute,
            submits_per_hour: options.submits_per_hour,
            token_submits_per_hour: options.token_submits_per_hour,
            max_upload_size_mib: 0,
            token_max_upload_size_mib: 0,
            failures_per_minute: options.failures_per_minute,
            max_event_streams: u32::try_from(options.max_event_streams).unwrap_or(u32::MAX),
            upload_lifetime_seconds: options.upload_lifetime.as_secs(),
            max_open_uploads: options.max_open_uploads,
            cors_origins: Vec::new(),
        }
    }
}

impl ApiConfig {
    pub(crate) fn options(&self) -> ApiOptions {
        let bytes = |mib: u64| if mib == 0 { u64::MAX } else { mib.saturating_mul(MIB) };
        ApiOptions {
            anonymous_submit: self.anonymous_submit,
            requests_per_minute: self.requests_per_minute,
            token_requests_per_minute: self.token_requests_per_minute,
            submits_per_hour: self.submits_per_hour,
            token_submits_per_hour: self.token_submits_per_hour,
            max_upload_bytes: bytes(self.max_upload_size_mib),
            token_max_upload_bytes: bytes(self.token_max_upload_size_mib),
            failures_per_minute: self.failures_per_minute,
            max_event_streams: usize::try_from(self.max_event_streams).unwrap_or(usize::MAX),
            upload_lifetime: Duration::from_secs(self.upload_lifetime_seconds),
            max_open_uploads: self.max_open_uploads,
            cors_origins: self.cors_origins.clone(),
        }
    }

    /// What is wrong with the section, one sentence for each thing.
    pub(crate) fn problems(&self) -> Vec<String> {
        let is_origin = |origin: &String| {
            let host = ["https://", "http://"].iter().find_map(|scheme| origin.strip_prefix(scheme));
            origin == "*" || host.is_some_and(|host| !host.is_empty() && !host.contains(['/', '*', ' ']))
        };
        let wrong = self.cors_origins.iter().filter(|origin| !is_origin(origin));
        let mut problems: Vec<_> = wrong
            .map(|origin| {
                format!("api.cors_origins: {origin:?} is no origin: want https://crashes.example, without a path")
            })
            .collect();
        if self.upload_lifetime_seconds < 60 {
            problems.push("api.upload_lifetime_seconds: less than 60 ends uploads between their parts".to_owned());
        }
        for (name, value) in [
            ("requests_per_minute", self.requests_per_minute),
            ("token_requests_per_minute", self.token_requests_per_minute),
            ("failures_per_minute", self.failures_per_minute),
        ] {
            if value == 0 {
                problems.push(format!("api.{name}: 0 shuts everybody out"));
            }
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_server() {
        assert_eq!(format!("{:?}", ApiConfig::default().options()), format!("{:?}", ApiOptions::default()));
        assert_eq!(ApiConfig::default().problems(), Vec::<String>::new());
    }

    #[test]
    fn mistakes_are_named() {
        let cors_origins = ["https://a.example/", "a.example", "https://*.example", "*", "http://localhost:8000"];
        let config = ApiConfig {
            cors_origins: cors_origins.map(str::to_owned).into(),
            upload_lifetime_seconds: 1,
            requests_per_minute: 0,
            ..ApiConfig::default()
        };
        assert_eq!(config.problems().len(), 5, "{:?}", config.problems());
    }
}

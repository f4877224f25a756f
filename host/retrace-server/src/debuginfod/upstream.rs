//! Other debuginfod servers: asked one after the other for what is not here, and what they give is kept.
//!
//! An ELF file is kept if its own note states the build-id; nothing can tell whether a source file or a section is what it is
//! said to be, so those are marked. A server that lies, stalls or fails is left alone for a while ([`health`]). Addresses of
//! clients are not passed on: the header that counts servers says `unknown` for each.

mod health;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use reqwest::{Client, Response, Url, redirect::Policy};
use retrace_package::{CacheError, FileCache};
use retrace_types::Role;
use rustls::{ClientConfig, crypto::ring};
use rustls_platform_verifier::BuilderVerifierExt as _;
use tempfile::NamedTempFile;
use tokio::{io::AsyncWriteExt as _, time::timeout};

use self::health::{Fault, Health};
use super::{
    DebuginfodError, DebuginfodOptions, Outcome,
    memo::{MAX_ENTRIES, Memo},
    place::{Entry, Found, Place, Verification},
    question::{Question, Wanted},
};
use crate::error::chain;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// Redirects that are followed.
const MAX_REDIRECTS: usize = 3;
/// What was used within this time stays, whatever the limit of the cache.
const IDLE: Duration = Duration::from_secs(600);

#[derive(Debug)]
pub(super) struct Upstreams {
    pub(super) cache: FileCache,
    servers: Vec<Upstream>,
    client: Client,
    /// Names this server to itself in `Via`.
    name: String,
    /// What no server has.
    nowhere: Memo<Question, ()>,
    /// True while somebody makes the cache smaller.
    shrinking: Arc<AtomicBool>,
    options: DebuginfodOptions,
}

#[derive(Debug)]
struct Upstream {
    url: Url,
    health: Mutex<Health>,
}

/// Where a request came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Origin {
    /// Servers that passed it on, as debuginfod counts them: the commas of `X-Forwarded-For`.
    hops: usize,
    /// Whether there is such a header.
    forwarded: bool,
    /// `Via`, which names the servers that say who they are.
    via: Vec<String>,
}

/// Why a server gave nothing.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("it does not have the file")]
    NotThere,
    #[error("it gave no answer within {0:?}")]
    Silent(Duration),
    #[error("it answered with status {0}")]
    Status(StatusCode),
    #[error("it failed")]
    Failed(#[source] reqwest::Error),
    #[error("the file has more than {0} bytes")]
    TooLarge(u64),
    #[error("it gave another file")]
    Wrong(#[source] CacheError),
    #[error("the file cannot be kept")]
    Ours(#[source] std::io::Error),
}

impl Origin {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let texts = |name| headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        let forwarded: Vec<&str> = texts(FORWARDED_FOR).collect();
        // Several headers are one with commas between.
        let commas = forwarded.iter().map(|text| text.matches(',').count() + 1).sum::<usize>().saturating_sub(1);
        let via = texts(header::VIA).flat_map(|text| text.split(',')).filter_map(|hop| hop.split_whitespace().nth(1));
        Self { hops: commas, forwarded: !forwarded.is_empty(), via: via.map(str::to_owned).collect() }
    }

    /// The header for the next server.
    fn forwarded_for(&self) -> String {
        let passed = if self.forwarded { self.hops.saturating_add(1) } else { 0 };
        vec!["unknown"; passed.saturating_add(1)].join(", ")
    }
}

impl Upstreams {
    pub(super) fn new(cache: FileCache, options: &DebuginfodOptions) -> Result<Self, DebuginfodError> {
        let server = |text: &String| {
            let invalid = || DebuginfodError::InvalidUpstream { url: text.clone() };
            let slash = if text.ends_with('/') { "" } else { "/" };
            let url: Url = format!("{text}{slash}").parse().map_err(|_| invalid())?;
            let usable = matches!(url.scheme(), "http" | "https") && url.query().is_none() && url.fragment().is_none();
            usable.then(|| Upstream { url, health: Mutex::default() }).ok_or_else(invalid)
        };
        let tls = ClientConfig::builder_with_provider(ring::default_provider().into());
        let tls = tls.with_safe_default_protocol_versions().and_then(|tls| tls.with_platform_verifier());
        let client = Client::builder()
            .user_agent(concat!("retrace/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(options.upstream_first_byte)
            .read_timeout(options.upstream_idle)
            .redirect(Policy::limited(MAX_REDIRECTS))
            .tls_backend_preconfigured(tls.map_err(DebuginfodError::Tls)?.with_no_client_auth());
        let number = getrandom::u64().unwrap_or_else(|_| u64::from(std::process::id()));
        Ok(Self {
            cache,
            servers: options.upstreams.iter().map(server).collect::<Result<_, _>>()?,
            client: client.build().map_err(DebuginfodError::Client)?,
            name: format!("retrace-{number:016x}"),
            nowhere: Memo::new(options.remember_failure, MAX_ENTRIES),
            shrinking: Arc::default(),
            options: options.clone(),
        })
    }

    /// Whether this server asked itself by way of others.
    pub(super) fn is_own(&self, origin: &Origin) -> bool {
        origin.via.contains(&self.name)
    }

    /// What another server has; what it gave before is not asked for again.
    pub(super) async fn find(&self, question: &Question, origin: &Origin) -> Option<Place> {
        if self.servers.is_empty() {
            return None;
        }
        let place = self.place(question, "upstream-cached");
        if self.is_there(&place).await {
            return Some(place);
        }
        if origin.hops >= self.options.max_hops {
            tracing::debug!(
                hops = origin.hops,
                "other debuginfod servers are not asked: the request came through too many"
            );
            return None;
        }
        if self.nowhere.get(question).is_some() {
            return None;
        }
        let mut nowhere = true;
        for server in &self.servers {
            if !server.health().may_ask(Instant::now()) {
                nowhere = false;
                continue;
            }
            let fetched = self.fetch(server, question, origin).await;
            let host = server.url.host_str().unwrap_or_default();
            let result = match &fetched {
                Ok(()) => "found",
                Err(Refusal::NotThere) => "unknown",
                Err(_) => "failed",
            };
            metrics::counter!("retrace_debuginfod_upstream_requests_total", "host" => host.to_owned(), "result" => result)
                .increment(1);
            let fault = match &fetched {
                Ok(()) | Err(Refusal::NotThere | Refusal::Ours(_)) => None,
                Err(Refusal::TooLarge(_) | Refusal::Wrong(_)) => Some(Fault::Lie),
                Err(_) => Some(Fault::Failure),
            };
            server.health().note(fault, Instant::now(), self.options.upstream_deny);
            match fetched {
                Ok(()) => {
                    self.shrink();
                    return Some(self.place(question, "upstream"));
                }
                Err(Refusal::NotThere) => {}
                Err(error) => {
                    nowhere = false;
                    tracing::warn!(error = %chain(&error), "the debuginfod server {} gave nothing usable", server.url);
                }
            }
        }
        if nowhere {
            self.nowhere.put(question.clone(), ());
        }
        None
    }

    fn place(&self, question: &Question, how: &'static str) -> Place {
        let build_id = question.build_id.clone();
        let (entry, name, verification) = match &question.wanted {
            Wanted::File(role) => {
                let trust = retrace_package::Trust::Unverified;
                let name = build_id.to_string();
                (Entry::Elf { build_id, role: *role, trust }, name, Verification::Upstream)
            }
            Wanted::Source(name) | Wanted::Section(name) => {
                let file = name.rsplit('/').next().unwrap_or(name).to_owned();
                let name = beside(question);
                (Entry::Beside { build_id, name }, file, Verification::UpstreamUnchecked)
            }
        };
        Place { found: Found::Upstream(entry), name, archive: None, verification, how: Outcome::Found(how) }
    }

    async fn is_there(&self, place: &Place) -> bool {
        let (found, cache) = (place.found.clone(), self.cache.clone());
        tokio::task::spawn_blocking(move || found.open(&cache).is_some()).await.unwrap_or(false)
    }

    async fn fetch(&self, server: &Upstream, question: &Question, origin: &Origin) -> Result<(), Refusal> {
        let (tail, name) = question.tail();
        let mut url = server.url.join(&tail).map_err(|_| Refusal::NotThere)?;
        if let (Some(name), Ok(mut segments)) = (name, url.path_segments_mut()) {
            segments.extend(name.split('/'));
        }
        let request = self.client.get(url).header(FORWARDED_FOR, origin.forwarded_for());
        let request = request.header(header::VIA, self.via(origin)).send();
        let wait = self.options.upstream_first_byte;
        let response = timeout(wait, request).await.map_err(|_| Refusal::Silent(wait))?.map_err(Refusal::Failed)?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Err(Refusal::NotThere),
            other => return Err(Refusal::Status(other)),
        }
        let file = self.receive(response).await?;
        let (cache, question, origin) = (self.cache.clone(), question.clone(), server.url.to_string());
        let keeping = tokio::task::spawn_blocking(move || match &question.wanted {
            Wanted::File(role) => cache.adopt(file, &question.build_id, *role, &origin),
            Wanted::Source(_) | Wanted::Section(_) => cache.adopt_beside(file, &question.build_id, &beside(&question)),
        });
        match keeping.await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error @ CacheError::WrongBuildId { .. })) => Err(Refusal::Wrong(error)),
            Ok(Err(error)) => Err(Refusal::Ours(std::io::Error::other(error))),
            Err(error) => Err(Refusal::Ours(std::io::Error::other(error))),
        }
    }

    fn via(&self, origin: &Origin) -> String {
        let hops = origin.via.iter().chain([&self.name]);
        hops.map(|name| format!("1.1 {name}")).collect::<Vec<_>>().join(", ")
    }

    /// The body in a file without a name, within the limit. The first byte has to come in time too.
    async fn receive(&self, mut response: Response) -> Result<NamedTempFile, Refusal> {
        let limit = self.options.max_upstream_file_bytes;
        if response.content_length().is_some_and(|length| length > limit) {
            return Err(Refusal::TooLarge(limit));
        }
        let named = self.cache.unnamed().map_err(Refusal::Ours)?;
        let mut file = tokio::fs::File::from_std(named.reopen().map_err(Refusal::Ours)?);
        let mut left = limit;
        let mut wait = self.options.upstream_first_byte;
        loop {
            let chunk = timeout(wait, response.chunk()).await.map_err(|_| Refusal::Silent(wait))?;
            let Some(chunk) = chunk.map_err(Refusal::Failed)? else { break };
            left = left.checked_sub(chunk.len() as u64).ok_or(Refusal::TooLarge(limit))?;
            file.write_all(&chunk).await.map_err(Refusal::Ours)?;
            wait = self.options.upstream_idle;
        }
        file.flush().await.map_err(Refusal::Ours)?;
        Ok(named)
    }

    /// Makes the cache smaller, in the background, unless somebody does.
    fn shrink(&self) {
        if self.shrinking.swap(true, Ordering::AcqRel) {
            return;
        }
        let (cache, limit) = (self.cache.clone(), self.options.max_upstream_cache_bytes);
        let shrinking = Arc::clone(&self.shrinking);
        tokio::task::spawn_blocking(move || {
            if let Err(error) = cache.shrink(limit, IDLE, false) {
                tracing::warn!(error = %chain(&error), "the cache of other debuginfod servers cannot be made smaller");
            }
            shrinking.store(false, Ordering::Release);
        });
    }
}

impl Upstream {
    fn health(&self) -> std::sync::MutexGuard<'_, Health> {
        // Every change leaves it whole.
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Name of what has no build-id of its own.
fn beside(question: &Question) -> String {
    match &question.wanted {
        Wanted::File(Role::Debuginfo | Role::Executable) => question.kind().to_owned(),
        Wanted::Source(name) | Wanted::Section(name) => format!("{}:{name}", question.kind()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hops_are_counted_as_debuginfod_counts_them() {
        let headers = |pairs: &[(HeaderName, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append(name.clone(), value.parse().unwrap());
            }
            Origin::of(&headers)
        };
        let none = headers(&[]);
        assert_eq!((none.hops, none.forwarded_for().as_str()), (0, "unknown"));
        let one = headers(&[(FORWARDED_FOR, "10.0.0.1")]);
        assert_eq!((one.hops, one.forwarded_for().as_str()), (0, "unknown, unknown"));
        let three = headers(&[(FORWARDED_FOR, "10.0.0.1, ::1"), (FORWARDED_FOR, "x")]);
        assert_eq!((three.hops, three.forwarded_for().matches("unknown").count()), (2, 4));
        let via = headers(&[(header::VIA, "1.1 retrace-01, HTTP/2 proxy (comment)"), (header::VIA, "1.0 fred")]);
        assert_eq!(via.via, ["retrace-01", "proxy", "fred"]);
    }

    #[tokio::test]
    async fn only_addresses_of_http_servers_are_taken() {
        let dir = tempfile::tempdir().unwrap();
        let with = |url: &str| {
            let options = DebuginfodOptions { upstreams: vec![url.to_owned()], ..DebuginfodOptions::default() };
            Upstreams::new(FileCache::new(dir.path()).unwrap(), &options)
        };
        for good in ["http://127.0.0.1:8002", "https://debuginfod.example.org/", "http://h/below/"] {
            assert!(with(good).is_ok(), "{good}");
        }
        for bad in ["", "debuginfod.example.org", "ftp://h/", "file:///x", "http://h/?q", "http://"] {
            assert!(matches!(with(bad), Err(DebuginfodError::InvalidUpstream { .. })), "{bad:?}");
        }
    }
}

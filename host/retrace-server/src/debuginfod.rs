//! The debuginfod endpoint: files of mirrored packages by build-id, for debuggers. User's page: `docs/debuginfod.md`.
//!
//! A question is answered by the first of these that can:
//!
//! 1. the cache of unpacked files, which workers fill too ([`local`]);
//! 2. a package that is here: one request unpacks the file, the others wait for it;
//! 3. a package that only the index knows: the server wishes for it in the store, a worker fetches and verifies it, the client
//!    waits for a bounded time;
//! 4. other debuginfod servers, where the operator named some ([`upstream`]).
//!
//! Promises: a file is served under a build-id only if its own ELF note states it; what nobody vouches for says so in
//! `X-RETRACE-VERIFICATION`; requests that have to wait are bounded in number and time, and so are wishes, the answers kept
//! from other servers and what is remembered in memory.
//!
//! Protocol: debuginfod(8), section WEBAPI; ranges and conditions: RFC 9110, 13 and 14.

mod answer;
mod local;
mod memo;
mod miss;
mod once;
mod options;
mod place;
mod question;
mod range;
mod upstream;
mod wish;

use std::{sync::Arc, time::Instant};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
    routing::any,
};
use retrace_package::FileCache;
use retrace_store::Store;
use tokio::sync::Semaphore;

use crate::AppState;

pub use options::{DebuginfodError, DebuginfodOptions};

use self::{
    answer::Served,
    local::Local,
    memo::Memo,
    miss::Miss,
    once::Once,
    place::{Found, Place},
    question::Question,
    upstream::{Origin, Upstreams},
};

/// The endpoint's state. Clones share it.
#[derive(Clone, Debug)]
pub struct Debuginfod {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    local: Local,
    upstreams: Upstreams,
    /// Where what was served lately lies.
    memo: Memo<Question, Place>,
    /// How many searches may be under way.
    searching: Semaphore,
    /// Searches under way: whoever asks the same waits for the first.
    searches: Once<Question, Result<Place, Miss>>,
}

/// How a request ended, for the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Hit,
    Found(&'static str),
    Missed(&'static str),
}

impl Outcome {
    fn label(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Found(label) | Self::Missed(label) => label,
        }
    }
}

pub(crate) fn router() -> Router<AppState> {
    Router::new().route("/buildid/{*question}", any(serve))
}

impl Debuginfod {
    /// An endpoint on a store and the folder of unpacked files that the workers of this machine use; `upstream_cache` is a
    /// folder of its own for what other servers gave.
    ///
    /// # Errors
    /// [`DebuginfodError`] if an upstream's address cannot be used.
    pub fn new(
        store: Store,
        cache: FileCache,
        upstream_cache: FileCache,
        options: DebuginfodOptions,
    ) -> Result<Self, DebuginfodError> {
        let inner = Inner {
            upstreams: Upstreams::new(upstream_cache, &options)?,
            local: Local::new(store, cache, &options),
            memo: Memo::new(options.remember, memo::MAX_ENTRIES),
            searching: Semaphore::new(options.max_searches),
            searches: Once::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// What is asked for, open, and how it was found.
    async fn find(&self, question: &Question, origin: &Origin) -> Result<(Served, Outcome), Miss> {
        let inner = &self.inner;
        if let Some(place) = inner.memo.get(question)
            && let Some(served) = self.open(question, place).await?
        {
            return Ok((served, Outcome::Hit));
        }
        if inner.upstreams.is_own(origin) {
            // It is waited for already: another server was asked for what is not here, and asked back.
            return Err(Miss::Unknown("this server is asking others for the file, and was asked back"));
        }
        // A search goes on when its client is gone: another may wait for it, and the next will ask again.
        let searching = inner.searches.join(question.clone(), || {
            let (this, question, origin) = (self.clone(), question.clone(), origin.clone());
            async move {
                let _turn = this.inner.searching.try_acquire().map_err(|_| Miss::Busy)?;
                this.search(&question, &origin).await
            }
        });
        let place = searching.await.unwrap_or(Err(Miss::Lost))?;
        let how = place.how;
        let served = self.open(question, place.clone()).await?.ok_or(Miss::Lost)?;
        inner.memo.put(question.clone(), place);
        Ok((served, how))
    }

    async fn search(&self, question: &Question, origin: &Origin) -> Result<Place, Miss> {
        let started = Instant::now();
        let found = self.look_everywhere(question, origin).await;
        let result = found.as_ref().map_or_else(Miss::label, |place| place.how.label());
        metrics::histogram!("retrace_debuginfod_search_seconds", "result" => result).record(started.elapsed());
        tracing::debug!(build_id = %question.build_id, kind = question.kind(), result, "debuginfod searched");
        found
    }

    /// Looks here, then elsewhere. The reason why it is not here is told rather than what others say.
    async fn look_everywhere(&self, question: &Question, origin: &Origin) -> Result<Place, Miss> {
        let missed = match self.inner.local.find(question).await {
            Ok(place) => return Ok(place),
            Err(missed) => missed,
        };
        // The file is here, and says what it does not have; or nothing can be said.
        if matches!(missed, Miss::NoSection | Miss::Store(_)) {
            return Err(missed);
        }
        self.inner.upstreams.find(question, origin).await.ok_or(missed)
    }

    /// The file at this place; none if it is gone.
    async fn open(&self, question: &Question, place: Place) -> Result<Option<Served>, Miss> {
        // Another server took the section out already.
        let section = question.section().filter(|_| matches!(place.found, Found::Here(_)));
        let (this, section) = (self.clone(), section.map(str::to_owned));
        // Files are mostly in memory, but nobody may wait for a disk on a thread that serves others.
        let opened = tokio::task::spawn_blocking(move || {
            let cached = match place.found {
                Found::Here(_) => place.found.open(&this.inner.local.cache),
                Found::Upstream(_) => place.found.open(&this.inner.upstreams.cache),
            };
            cached.map(|cached| Served::read(cached, &place, section.as_deref())).transpose()
        });
        opened.await.map_err(|_| Miss::Lost)?
    }
}

async fn serve(State(state): State<AppState>, method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let Some(debuginfod) = &state.debuginfod else { return crate::ApiError::NoSuchPage.into_response() };
    if method != Method::GET && method != Method::HEAD {
        return (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET, HEAD")]).into_response();
    }
    let question = Question::parse(uri.path());
    let kind = question.as_ref().map_or("none", Question::kind);
    let found = match &question {
        Ok(question) => debuginfod.find(question, &Origin::of(&headers)).await,
        Err(invalid) => Err(Miss::Invalid(*invalid)),
    };
    let (outcome, response) = match found {
        Ok((served, outcome)) => (outcome, served.into_response(&method, &headers)),
        Err(miss) => (Outcome::Missed(miss.label()), miss.into_response()),
    };
    let result = outcome.label();
    metrics::counter!("retrace_debuginfod_requests_total", "kind" => kind, "result" => result).increment(1);
    response
}

//! What a monitoring system reads: metrics in Prometheus' text format, and whether the process lives and is ready.
//!
//! Server and worker are two processes, and each counts for itself: the server answers at `/metrics`, a worker at the address
//! that its configuration names. What the store knows, the queue and the mirrors, is read when it is asked for, by the server.
//! The four names that the predecessor had are kept.

use std::time::{Duration, Instant};

use axum::{
    Extension, Router,
    extract::{MatchedPath, Request, State},
    http::{Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
    routing::{any, get},
};
use jiff::Timestamp;
use metrics::{counter, gauge, histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use retrace_store::Store;
use tokio::net::TcpListener;
use tracing::Instrument as _;

use crate::{ApiError, AppState, client::Client, create::free_bytes, error::chain};

/// Upper bounds of the buckets of every duration, in seconds: from a look-up to a retrace that takes its whole time.
const SECONDS: [f64; 14] = [0.001, 0.005, 0.02, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 1200.0, 3600.0];

/// How often what was measured is sorted into the buckets.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Longest part of a path that a log line shows.
const MAX_SHOWN_PATH: usize = 200;

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Everything that this process counts.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    /// Counts from now on, for the whole process: once in its life.
    ///
    /// # Errors
    /// Somebody counts already.
    pub fn install() -> Result<Self, BuildError> {
        let builder =
            PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?;
        let metrics = Self(builder.install_recorder()?);
        describe();
        Ok(metrics)
    }

    /// Keeps memory bounded while nobody asks, for ever.
    pub(crate) async fn keep(self) {
        let mut ticks = tokio::time::interval(UPKEEP_INTERVAL);
        loop {
            ticks.tick().await;
            self.0.run_upkeep();
        }
    }

    fn answer(&self) -> Response {
        ([(header::CONTENT_TYPE, TEXT)], self.0.render()).into_response()
    }

    /// Answers `/metrics` alone, on a listener of its own, for ever: what a worker does.
    ///
    /// # Errors
    /// The listener fails.
    pub async fn serve(self, listener: TcpListener) -> std::io::Result<()> {
        let router =
            Router::new().route("/metrics", get(|Extension(metrics): Extension<Self>| async move { metrics.answer() }));
        let upkeep = tokio::spawn(self.clone().keep());
        let served = axum::serve(listener, router.layer(Extension(self))).await;
        upkeep.abort();
        served
    }
}

fn describe() {
    use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
    describe_counter!("retrace_http_requests_total", "Requests answered, by route, method and status");
    describe_histogram!("retrace_http_request_seconds", Unit::Seconds, "Time until the head of the answer, by route");
    describe_gauge!("retrace_savedir_free_bytes", Unit::Bytes, "Space left for the store");
    describe_gauge!("retrace_tasks_running", "Tasks that workers have");
    describe_counter!("retrace_tasks_overload", "Uploads refused since the queue was full");
    describe_gauge!("retrace_tasks_finished", "Tasks in the store that ended, by result");
    describe_gauge!("retrace_queue_tasks", "Tasks that are not finished, by state");
    describe_gauge!("retrace_queue_oldest_seconds", Unit::Seconds, "How long the oldest waiting task has waited");
    describe_gauge!("retrace_repository_age_seconds", Unit::Seconds, "Time since the last sync that succeeded");
    describe_gauge!("retrace_repository_failing", "1 while the last sync failed");
    describe_histogram!("retrace_step_seconds", Unit::Seconds, "Duration of each step of a retrace");
    describe_histogram!("retrace_task_seconds", Unit::Seconds, "Duration of each retrace, by result");
    describe_counter!("retrace_hooks_total", "Hooks that were run, by event and result");
    describe_counter!("retrace_notifications_total", "Tries to send a notification, by result");
    describe_counter!("retrace_gc_removed_total", "Things that were removed for their age or size, by action");
    describe_counter!("retrace_gc_freed_bytes_total", Unit::Bytes, "What they took, by action");
    describe_counter!("retrace_tasks_failed_total", "Tasks that failed, by reason");
    describe_counter!("retrace_wrong_credentials_total", "Wrong tokens and passwords");
    describe_counter!(
        "retrace_api_limited_requests_total",
        "Requests of the API refused since their sender sent too many"
    );
}

/// Liveness, readiness, metrics.
pub(crate) fn router() -> Router<AppState> {
    Router::new().route("/healthz", any(|| async { "ok" })).route("/readyz", any(ready)).route("/metrics", any(metrics))
}

/// Whether a client that comes now could be served: the database answers, and the disk has room.
async fn ready(State(state): State<AppState>) -> (StatusCode, String) {
    let mut problems = Vec::new();
    if let Err(error) = state.store.task_counts().await {
        tracing::warn!(error = %chain(&error), "not ready");
        problems.push("the database does not answer");
    }
    match free_bytes(state.store.dir()) {
        Ok(free) if free < state.options.min_storage_left_bytes => problems.push("the disk is nearly full"),
        Ok(_) => {}
        Err(error) => {
            tracing::warn!(error = %chain(&error), "not ready");
            problems.push("the store's folder cannot be used");
        }
    }
    if problems.is_empty() {
        (StatusCode::OK, "ready".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {}", problems.join("; ")))
    }
}

async fn metrics(State(state): State<AppState>, Extension(client): Extension<Client>) -> Result<Response, ApiError> {
    state.check_https(client)?;
    let metrics = state.metrics.as_ref().ok_or(ApiError::MetricsDisabled)?;
    ask_store(&state).await?;
    Ok(metrics.answer())
}

/// What the store alone knows.
async fn ask_store(state: &AppState) -> Result<(), ApiError> {
    let store = &state.store;
    gauge!("retrace_savedir_free_bytes").set(number(free_bytes(store.dir())?));
    let counts = store.task_counts().await?;
    gauge!("retrace_tasks_running").set(number(counts.running));
    for (name, count) in [("uploading", counts.uploading), ("waiting", counts.waiting), ("running", counts.running)] {
        gauge!("retrace_queue_tasks", "state" => name).set(number(count));
    }
    let age = store.queue_age().await?;
    gauge!("retrace_queue_oldest_seconds").set(age.oldest_waiting.unwrap_or_default().as_secs_f64());
    gauge!("retrace_tasks_finished", "result" => "success").set(number(age.succeeded));
    gauge!("retrace_tasks_finished", "result" => "fail").set(number(age.failed));
    ask_mirrors(store).await
}

async fn ask_mirrors(store: &Store) -> Result<(), ApiError> {
    let failures = store.sync_failures().await?;
    for repository in store.repositories(None, None).await? {
        let name = &repository.spec.id;
        let labels = [
            ("release", repository.release.to_string()),
            ("architecture", repository.architecture.to_string()),
            ("repository", name.clone()),
        ];
        if let Some(synced) = repository.synced_at {
            let age = Timestamp::now().duration_since(synced);
            gauge!("retrace_repository_age_seconds", &labels).set(age.as_secs_f64());
        }
        let fails = failures.iter().any(|failure| {
            (&failure.release, failure.architecture, &failure.repository)
                == (&repository.release, repository.architecture, name)
        });
        gauge!("retrace_repository_failing", &labels).set(f64::from(u8::from(fails)));
    }
    Ok(())
}

/// Metrics are floating-point numbers: beyond 2^53 they lose the last digits.
#[allow(clippy::cast_precision_loss, reason = "the format of Prometheus has no other numbers")]
fn number(value: u64) -> f64 {
    value as f64
}

/// Counts and times each request, and puts what concerns it into every line of the log that it causes.
pub(crate) async fn observe(Extension(client): Extension<Client>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let method = known_method(request.method());
    let path: String = request.uri().path().chars().take(MAX_SHOWN_PATH).collect();
    let span = tracing::info_span!("request", method, path, client = %client.address, task.id = tracing::field::Empty);
    let started = Instant::now();
    let response = next.run(request).instrument(span).await;
    histogram!("retrace_http_request_seconds", "route" => route.clone()).record(started.elapsed());
    let status = response.status().as_str().to_owned();
    counter!("retrace_http_requests_total", "route" => route, "method" => method, "status" => status).increment(1);
    response
}

/// A client may invent methods; a metric has a bounded number of them.
fn known_method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

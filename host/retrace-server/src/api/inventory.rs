//! What the service has: releases, repositories, plugins.

use std::collections::{BTreeMap, HashMap};

use axum::{Json, extract::State};
use jiff::Timestamp;
use retrace_store::{Repository, RepositoryCounts, Role, SyncFailure, WorkerPlugin};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{ApiResult, Caller};
use crate::AppState;

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(releases)).routes(routes!(mirrors)).routes(routes!(plugins))
}

/// A release whose packages are mirrored.
#[derive(Serialize, ToSchema)]
struct MirroredRelease {
    /// `fedora-40`.
    id: String,
    /// As `uname -m` prints them.
    architectures: Vec<String>,
}

/// A repository that is mirrored.
#[derive(Serialize, ToSchema)]
struct MirroredRepository {
    release: String,
    architecture: String,
    id: String,
    title: String,
    /// When the index was last filled or found up to date; null: never.
    #[schema(value_type = Option<String>, format = DateTime)]
    synced_at: Option<Timestamp>,
    /// Seconds since then.
    age_seconds: Option<i64>,
    /// Packages of the index, in every version.
    packages: u64,
    /// Of these, listed by the newest metadata.
    upstream_packages: u64,
    /// Of these, with a verified copy here.
    local_packages: u64,
    /// Size of the copies.
    local_bytes: u64,
    /// Files with build-ids.
    build_ids: u64,
    /// Why the last sync failed; null if it did not.
    failure: Option<Failure>,
}

/// A sync that failed.
#[derive(Serialize, ToSchema)]
struct Failure {
    /// The first failure that no success followed.
    #[schema(value_type = String, format = DateTime)]
    since: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    failed_at: Timestamp,
    message: String,
}

/// A plugin, as a worker told it.
#[derive(Serialize, ToSchema)]
struct PluginOfWorker {
    /// Its id; of one that does not serve, the name of its file.
    plugin: String,
    version: String,
    sha256: Option<String>,
    /// `serving`, `warming` or `broken`.
    state: String,
    /// Distributions that it answers for.
    distributions: Vec<String>,
    /// Why it does not serve.
    message: Option<String>,
    /// Who said so: host and process.
    worker: String,
    /// When it said so last; a worker that lives does so every five minutes.
    #[schema(value_type = String, format = DateTime)]
    reported_at: Timestamp,
}

/// Lists the releases whose packages are mirrored. Needs no token.
#[utoipa::path(get, path = "/releases", tag = "inventory", responses((status = 200, body = Vec<MirroredRelease>)))]
async fn releases(State(state): State<AppState>) -> ApiResult<Json<Vec<MirroredRelease>>> {
    let mut by_release = BTreeMap::<_, Vec<String>>::new();
    for (release, architecture) in state.store.releases_mirrored().await? {
        by_release.entry(release).or_default().push(architecture.to_string());
    }
    let release =
        |(id, architectures): (retrace_types::ReleaseId, _)| MirroredRelease { id: id.to_string(), architectures };
    Ok(Json(by_release.into_iter().map(release).collect()))
}

/// Lists the repositories that are mirrored, with what failed last. Needs the role `read`.
#[utoipa::path(get, path = "/mirrors", tag = "inventory", responses((status = 200, body = Vec<MirroredRepository>)))]
async fn mirrors(State(state): State<AppState>, caller: Caller) -> ApiResult<Json<Vec<MirroredRepository>>> {
    caller.require(Role::Read)?;
    let counts = state.store.repository_counts().await?;
    let failures = state.store.sync_failures().await?.into_iter();
    let mut failures: HashMap<_, _> = failures
        .map(|failure| ((failure.release.clone(), failure.architecture, failure.repository.clone()), failure))
        .collect();
    let repositories = state.store.repositories(None, None).await?;
    let mut all: Vec<_> = repositories
        .into_iter()
        .map(|repository| {
            let counts = counts.get(&repository.key).copied().unwrap_or_default();
            let key = (repository.release.clone(), repository.architecture, repository.spec.id.clone());
            of_repository(repository, counts, failures.remove(&key))
        })
        .collect();
    // Their first sync failed.
    all.extend(failures.into_values().map(of_failure));
    all.sort_by(|a, b| (&a.release, &a.architecture, &a.id).cmp(&(&b.release, &b.architecture, &b.id)));
    Ok(Json(all))
}

/// Lists the plugins of the workers, as each said last. Needs the role `read`.
#[utoipa::path(get, path = "/plugins", tag = "inventory", responses((status = 200, body = Vec<PluginOfWorker>)))]
async fn plugins(State(state): State<AppState>, caller: Caller) -> ApiResult<Json<Vec<PluginOfWorker>>> {
    caller.require(Role::Read)?;
    let plugin = |WorkerPlugin { worker, reported_at, report }: WorkerPlugin| PluginOfWorker {
        plugin: report.plugin,
        version: report.version,
        sha256: report.sha256.map(|digest| digest.to_string()),
        state: report.state,
        distributions: report.distributions,
        message: report.message,
        worker,
        reported_at,
    };
    Ok(Json(state.store.worker_plugins().await?.into_iter().map(plugin).collect()))
}

fn of_repository(repository: Repository, counts: RepositoryCounts, failure: Option<SyncFailure>) -> MirroredRepository {
    let now = Timestamp::now();
    MirroredRepository {
        release: repository.release.to_string(),
        architecture: repository.architecture.to_string(),
        id: repository.spec.id,
        title: repository.spec.title,
        synced_at: repository.synced_at,
        age_seconds: repository.synced_at.map(|at| now.duration_since(at).as_secs()),
        packages: counts.packages,
        upstream_packages: counts.upstream,
        local_packages: counts.local,
        local_bytes: counts.local_bytes,
        build_ids: counts.build_ids,
        failure: failure.map(told),
    }
}

fn of_failure(failure: SyncFailure) -> MirroredRepository {
    MirroredRepository {
        release: failure.release.to_string(),
        architecture: failure.architecture.to_string(),
        id: failure.repository.clone(),
        title: String::new(),
        synced_at: None,
        age_seconds: None,
        packages: 0,
        upstream_packages: 0,
        local_packages: 0,
        local_bytes: 0,
        build_ids: 0,
        failure: Some(told(failure)),
    }
}

fn told(failure: SyncFailure) -> Failure {
    Failure { since: failure.since, failed_at: failure.failed_at, message: failure.message }
}

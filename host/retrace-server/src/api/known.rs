//! The cheap first question: is this crash known, and what would a retrace of it lack? Asked before any core is sent.
//!
//! Whoever may send crashes may ask. The answer tells that a stack was seen here, how often and when; it tells nothing about
//! who sent it, which program it was in, or what its functions are called: that needs the role `read`. What it tells about
//! packages is what their public repositories say.

use std::collections::{BTreeSet, HashMap};

use axum::{Json, extract::State};
use jiff::Timestamp;
use retrace_store::{Provider, Role, Scope};
use retrace_types::{Architecture, BuildId, ReleaseId, Role as FileRole, signature::address_signature};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{ApiJson, ApiResult, Caller, Problem, problem::ProblemDocument};
use crate::AppState;

/// Most frames and modules of one question.
const MAX_FRAMES: usize = 256;
const MAX_MODULES: usize = 4096;

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(known))
}

/// A crash as a client sees it on its own machine.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Question {
    /// Release of the machine, such as `fedora-40`.
    #[serde(default)]
    release: Option<String>,
    /// Its architecture, as `uname -m` prints it.
    #[serde(default)]
    architecture: Option<String>,
    /// The crashed thread's frames, the innermost first; inlined functions have none of their own. At most 256, of which the
    /// first 8 count.
    #[serde(default)]
    frames: Vec<QuestionFrame>,
    /// Build-ids of the files that the process had mapped. At most 4096.
    #[serde(default)]
    build_ids: Vec<String>,
}

/// Where a frame is. Without build-id: in no file, or in one that has none.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct QuestionFrame {
    #[serde(default)]
    build_id: Option<String>,
    /// Program counter less the load address of its file, as `addr2line` counts it; of callers the return address.
    #[serde(default)]
    offset: Option<u64>,
}

/// What is known.
#[derive(Serialize, ToSchema)]
struct Answer {
    /// Whether such a crash was seen.
    known: bool,
    /// The group of such crashes; null if none was seen.
    group: Option<KnownGroup>,
    /// Whether packages of the release are mirrored; null if the question names no release.
    release_supported: Option<bool>,
    /// The files that the question names.
    modules: Modules,
}

/// Crashes with the same stack.
#[derive(Serialize, ToSchema)]
struct KnownGroup {
    id: String,
    crashes: u64,
    #[schema(value_type = String, format = DateTime)]
    first_seen: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    last_seen: Timestamp,
    /// Whether a backtrace is kept for the group.
    backtrace_available: bool,
}

/// How well the index knows the files of the process.
#[derive(Serialize, ToSchema)]
struct Modules {
    /// Different build-ids in the question.
    asked: usize,
    /// Of these, with a package that ships the file.
    indexed: usize,
    /// Of these, with a package that ships the debug information.
    with_debuginfo: usize,
    /// Packages that ship the files, each once.
    packages: Vec<String>,
    /// Build-ids that no package is known for.
    missing: Vec<String>,
}

/// Asks whether a crash is known, before its core is sent.
///
/// Needs the role `submit`, or none where crashes are taken from anyone.
#[utoipa::path(post, path = "/known", tag = "crashes", request_body = Question, responses((status = 200, body = Answer), (status = "4XX", body = ProblemDocument, content_type = "application/problem+json")))]
async fn known(
    State(state): State<AppState>,
    caller: Caller,
    ApiJson(question): ApiJson<Question>,
) -> ApiResult<Json<Answer>> {
    if !state.options.api.anonymous_submit {
        caller.require(Role::Submit)?;
    }
    let Parsed { scope, frames, build_ids } = parse(&question)?;
    let group = match address_signature(frames.iter().map(|frame| frame.as_ref().map(|(id, offset)| (id, *offset)))) {
        Some(signature) => state.store.group_of_signature(&signature).await?,
        None => None,
    };
    let release_supported = match &scope {
        Some(scope) => {
            let mirrored = state.store.releases_mirrored().await?;
            Some(mirrored.iter().any(|(release, arch)| *release == scope.release && *arch == scope.architecture))
        }
        None => None,
    };
    let found = state.store.find_build_ids(scope.as_ref(), &build_ids).await?;
    Ok(Json(Answer {
        known: group.is_some(),
        group: group.map(|group| KnownGroup {
            id: group.id.to_string(),
            crashes: group.crashes,
            first_seen: group.first_seen,
            last_seen: group.last_seen,
            backtrace_available: group.result.is_some(),
        }),
        release_supported,
        modules: modules(&build_ids, &found),
    }))
}

struct Parsed {
    scope: Option<Scope>,
    frames: Vec<Option<(BuildId, u64)>>,
    build_ids: Vec<BuildId>,
}

fn parse(question: &Question) -> ApiResult<Parsed> {
    if question.frames.len() > MAX_FRAMES || question.build_ids.len() > MAX_MODULES {
        return Err(Problem::invalid(format!("at most {MAX_FRAMES} frames and {MAX_MODULES} build-ids may be asked")));
    }
    let build_id = |text: &String| text.parse::<BuildId>().map_err(|error| Problem::invalid(error.to_string()));
    let frame = |frame: &QuestionFrame| match (&frame.build_id, frame.offset) {
        (Some(id), Some(offset)) => Ok(Some((build_id(id)?, offset))),
        (None, None) => Ok(None),
        _ => Err(Problem::invalid("a frame has a build_id and an offset, or neither")),
    };
    let frames = question.frames.iter().map(frame).collect::<ApiResult<Vec<_>>>()?;
    let mut build_ids = question.build_ids.iter().map(build_id).collect::<ApiResult<BTreeSet<_>>>()?;
    build_ids.extend(frames.iter().flatten().map(|(id, _)| id.clone()));
    let scope = match (&question.release, &question.architecture) {
        (Some(release), Some(architecture)) => Some(Scope {
            release: release.parse::<ReleaseId>().map_err(|error| Problem::invalid(error.to_string()))?,
            architecture: architecture.parse::<Architecture>().map_err(|error| Problem::invalid(error.to_string()))?,
        }),
        (None, None) => None,
        _ => return Err(Problem::invalid("release and architecture belong together")),
    };
    Ok(Parsed { scope, frames, build_ids: build_ids.into_iter().collect() })
}

fn modules(asked: &[BuildId], found: &HashMap<BuildId, Vec<Provider>>) -> Modules {
    let of = |id: &BuildId, role: FileRole| {
        found.get(id).into_iter().flatten().filter(move |provider| provider.role == role)
    };
    let shipped = |id: &&BuildId| of(id, FileRole::Executable).next().is_some();
    let packages = asked.iter().filter_map(|id| of(id, FileRole::Executable).next());
    let packages: BTreeSet<_> = packages.map(|provider| provider.package.id.to_string()).collect();
    Modules {
        asked: asked.len(),
        indexed: asked.iter().filter(shipped).count(),
        with_debuginfo: asked.iter().filter(|id| of(id, FileRole::Debuginfo).next().is_some()).count(),
        packages: packages.into_iter().collect(),
        missing: asked.iter().filter(|id| !shipped(id)).map(ToString::to_string).collect(),
    }
}

//! What this server is and allows, and what its problems mean.

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{ApiPath, ApiResult, Caller, Problem, ProblemKind, problem::PROBLEMS};
use crate::{AppState, archive::Format};

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(service)).routes(routes!(problems)).routes(routes!(problem))
}

/// The server, as the caller may use it.
#[derive(Serialize, ToSchema)]
struct Service {
    /// Version of Retrace.
    version: &'static str,
    /// Whether crashes are taken without a token.
    anonymous_submit: bool,
    /// Role of the caller's token; null without a token.
    role: Option<&'static str>,
    /// Largest upload of this caller.
    max_upload_bytes: u64,
    /// Largest sum of an archive's members.
    max_unpacked_bytes: u64,
    /// Media types of archives.
    archive_types: Vec<&'static str>,
}

/// What a problem means.
#[derive(Serialize, ToSchema)]
struct ProblemType {
    /// As it stands in problem documents.
    r#type: String,
    title: &'static str,
    status: u16,
}

/// Tells what this server is and what it allows the caller.
#[utoipa::path(get, path = "/", tag = "service", responses((status = 200, body = Service)))]
async fn service(State(state): State<AppState>, caller: Caller) -> Json<Service> {
    Json(Service {
        version: env!("CARGO_PKG_VERSION"),
        anonymous_submit: state.options.api.anonymous_submit,
        role: caller.role().map(retrace_store::Role::as_str),
        max_upload_bytes: caller.max_upload_bytes(&state),
        max_unpacked_bytes: state.options.max_unpacked_bytes,
        archive_types: Format::ALL.map(Format::content_type).to_vec(),
    })
}

/// Lists the kinds of problems.
#[utoipa::path(get, path = "/problems", tag = "service", responses((status = 200, body = Vec<ProblemType>)))]
async fn problems() -> Json<Vec<ProblemType>> {
    Json(ProblemKind::ALL.into_iter().map(describe).collect())
}

/// Describes one kind of problem: what the `type` of a problem document points to.
#[utoipa::path(get, path = "/problems/{name}", tag = "service", params(("name" = String, Path)),
               responses((status = 200, body = ProblemType), (status = 404, body = inline(super::problem::ProblemDocument))))]
async fn problem(ApiPath(name): ApiPath<String>) -> ApiResult<Json<ProblemType>> {
    let found = ProblemKind::ALL.into_iter().find(|kind| kind.facts().1 == name);
    found.map(|kind| Json(describe(kind))).ok_or_else(|| Problem::not_found("kind of problem"))
}

fn describe(kind: ProblemKind) -> ProblemType {
    let (status, name, title) = kind.facts();
    ProblemType { r#type: format!("{PROBLEMS}{name}"), title, status: status.as_u16() }
}

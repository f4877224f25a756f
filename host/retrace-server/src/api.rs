//! The API for new clients, `/api/v1`: JSON in and out, described by an OpenAPI document that is made from this code.
//!
//! One module for each area, each with `fn router() -> OpenApiRouter<AppState>`; [`router`] puts them together. What all share:
//! [`Problem`] for errors (RFC 9457), [`ApiJson`], [`ApiQuery`] and [`ApiPath`] to read requests, [`Caller`] for who asks and
//! what that allows, [`Page`] and [`Cursor`] for lists.
//!
//! Promises: everything below `/api` that goes wrong is answered by a problem document, unknown paths and methods too; a request
//! body is bounded; names are snake_case, times RFC 3339 in UTC, ids texts, sizes in bytes.
//!
//! Not here: the protocol of the predecessor's clients (`crate::routes`).

mod caller;
mod cors;
mod docs;
mod extract;
mod groups;
mod guard;
mod inventory;
mod known;
mod limits;
mod list;
mod options;
mod page;
mod problem;
mod service;
mod statistics;
mod tasks;
mod tokens;

use axum::{
    Router,
    extract::{Request, State},
    http::{Method, StatusCode},
    middleware::from_fn_with_state,
    response::{IntoResponse as _, Response},
};
use utoipa_axum::router::OpenApiRouter;

use crate::AppState;

pub(crate) use self::guard::Guard;
pub(crate) use self::{
    caller::Caller,
    extract::{ApiJson, ApiPath, ApiQuery},
    page::{Cursor, Page, PageQuery},
    problem::{ApiResult, Problem, ProblemKind},
};
pub use options::ApiOptions;

/// Everything below `/api`.
pub(crate) fn router(state: &AppState) -> Router<AppState> {
    let (areas, document) = areas(state).split_for_parts();
    areas
        .merge(docs::router(document))
        .fallback(nothing)
        .method_not_allowed_fallback(other_method)
        .layer(from_fn_with_state(state.clone(), limits::enforce))
        .layer(from_fn_with_state(state.clone(), cors::answer))
}

/// The routes, with their description. Areas whose requests have small bodies stand before the layer that reads them.
fn areas(state: &AppState) -> OpenApiRouter<AppState> {
    let small = service::router()
        .merge(tasks::router())
        .merge(list::router())
        .merge(known::router())
        .merge(groups::router())
        .merge(statistics::router())
        .merge(inventory::router())
        .merge(tokens::router());
    let small = small.layer(from_fn_with_state(state.clone(), limits::take_body));
    OpenApiRouter::with_openapi(docs::document()).nest("/v1", small.merge(tasks::uploading()))
}

async fn nothing(State(state): State<AppState>, request: Request) -> Problem {
    limits::drain(&state, request).await;
    Problem::new(ProblemKind::NotFound, "there is no such resource; see /api/v1/docs")
}

/// A path that is there, asked in another way: `Allow` is added by the router.
async fn other_method(State(state): State<AppState>, method: Method, request: Request) -> Response {
    limits::drain(&state, request).await;
    if method == Method::OPTIONS {
        return StatusCode::NO_CONTENT.into_response();
    }
    Problem::new(ProblemKind::MethodNotAllowed, format!("{method} is not possible here; see the header Allow"))
        .into_response()
}

#[cfg(test)]
mod tests;

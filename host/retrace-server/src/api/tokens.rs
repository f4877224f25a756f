//! Tokens: listed, made and revoked by those with the role `admin`.

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
};
use jiff::Timestamp;
use retrace_store::{MAX_TOKEN_NAME_BYTES, Role, Token};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    ApiJson, ApiPath, ApiQuery, ApiResult, Caller, Cursor, Page, PageQuery, Problem, problem::ProblemDocument,
};
use crate::AppState;

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(revoke))
}

/// What a token allows; each role may do what those before it may: submit, read, operate, admin.
#[derive(Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum RoleName {
    /// Send crashes.
    Submit,
    /// Read all tasks.
    Read,
    /// Cancel, restart and delete all tasks, and set priorities.
    Operate,
    /// Manage tokens.
    Admin,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Submit => Self::Submit,
            RoleName::Read => Self::Read,
            RoleName::Operate => Self::Operate,
            RoleName::Admin => Self::Admin,
        }
    }
}

impl From<Role> for RoleName {
    fn from(role: Role) -> Self {
        match role {
            Role::Submit => Self::Submit,
            Role::Read => Self::Read,
            Role::Operate => Self::Operate,
            Role::Admin => Self::Admin,
        }
    }
}

/// A token, without its secret.
#[derive(Serialize, ToSchema)]
struct TokenDocument {
    id: String,
    name: String,
    role: RoleName,
    created_at: Timestamp,
    /// Null: never.
    expires_at: Option<Timestamp>,
    /// To the minute; null: never.
    last_used_at: Option<Timestamp>,
    revoked_at: Option<Timestamp>,
}

impl From<Token> for TokenDocument {
    fn from(token: Token) -> Self {
        Self {
            id: token.id,
            name: token.name,
            role: token.role.into(),
            created_at: token.created_at,
            expires_at: token.expires_at,
            last_used_at: token.last_used_at,
            revoked_at: token.revoked_at,
        }
    }
}

/// A token to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewToken {
    /// What it is for.
    name: String,
    role: RoleName,
    /// Null: it never ends.
    expires_at: Option<Timestamp>,
}

/// A token that was made.
#[derive(Serialize, ToSchema)]
struct CreatedToken {
    #[serde(flatten)]
    token: TokenDocument,
    /// What requests name: `Authorization: Bearer rtr_…`. It cannot be had again.
    secret: String,
}

/// Lists all tokens, also those that are not valid any more.
#[utoipa::path(get, path = "/tokens", operation_id = "list_tokens", tag = "tokens", params(PageQuery), responses(
    (status = 200, body = Page<TokenDocument>),
    (status = "4XX", body = ProblemDocument, content_type = "application/problem+json"),
))]
async fn list(
    State(state): State<AppState>,
    caller: Caller,
    ApiQuery(query): ApiQuery<PageQuery>,
) -> ApiResult<Json<Page<TokenDocument>>> {
    caller.require(Role::Admin)?;
    let limit = usize::try_from(query.limit()?).unwrap_or(usize::MAX);
    let place: Option<(i64, String)> = query.place()?;
    let key = |token: &Token| (token.created_at.as_millisecond(), token.id.clone());
    // There are few of them, and none goes: a page is a part of the whole list.
    let mut left =
        state.store.tokens().await?.into_iter().filter(|token| place.as_ref().is_none_or(|place| key(token) > *place));
    let page: Vec<_> = left.by_ref().take(limit).collect();
    let next_cursor = left.next().and(page.last()).map(|last| Cursor::new(&key(last)));
    Ok(Json(Page { items: page.into_iter().map(Into::into).collect(), next_cursor }))
}

/// Makes a token.
#[utoipa::path(post, path = "/tokens", operation_id = "create_token", tag = "tokens", request_body = NewToken, responses(
    (status = 201, body = CreatedToken),
    (status = "4XX", body = ProblemDocument, content_type = "application/problem+json"),
))]
async fn create(
    State(state): State<AppState>,
    caller: Caller,
    ApiJson(new): ApiJson<NewToken>,
) -> ApiResult<impl IntoResponse> {
    caller.require(Role::Admin)?;
    let is_name = !new.name.trim().is_empty() && new.name.len() <= MAX_TOKEN_NAME_BYTES;
    if !is_name || new.name.chars().any(char::is_control) {
        return Err(Problem::invalid(format!("name: want 1 to {MAX_TOKEN_NAME_BYTES} bytes of printable text")));
    }
    if new.expires_at.is_some_and(|expires| expires <= Timestamp::now()) {
        return Err(Problem::invalid("expires_at: it is over already"));
    }
    let (token, secret) = state.store.create_token(&new.name, new.role.into(), new.expires_at).await?;
    tracing::info!(token.id = token.id, by = caller.shown(), "Made token {} ({})", token.id, token.name);
    let created = CreatedToken { token: token.into(), secret };
    Ok((StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], Json(created)))
}

/// Revokes a token, at once and for ever.
#[utoipa::path(delete, path = "/tokens/{id}", tag = "tokens", params(("id" = String, Path)), responses(
    (status = 204, description = "It is not valid any more"),
    (status = "4XX", body = ProblemDocument, content_type = "application/problem+json"),
))]
async fn revoke(State(state): State<AppState>, caller: Caller, ApiPath(id): ApiPath<String>) -> ApiResult<StatusCode> {
    caller.require(Role::Admin)?;
    if !state.store.revoke_token(&id).await? {
        return Err(Problem::not_found("token"));
    }
    tracing::info!(token.id = id, by = caller.shown(), "Revoked token {id}");
    Ok(StatusCode::NO_CONTENT)
}

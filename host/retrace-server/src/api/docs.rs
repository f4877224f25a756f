//! The OpenAPI document, and the page that shows it and tries it out: Swagger UI, whose files are part of this program.

use std::{error::Error, sync::Arc};

use axum::{
    Router,
    body::Bytes,
    extract::Path,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Redirect, Response},
    routing::get,
};
use utoipa::{
    Modify, OpenApi,
    openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
};
use utoipa_swagger_ui::Config;

use super::{Problem, ProblemKind, problem::ProblemDocument};
use crate::{AppState, error::chain};

const DOCUMENT: &str = "/api/v1/openapi.json";

/// Nothing comes from elsewhere, and no text of ours is run. The page sets styles while it runs.
const CONTENT_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; \
     font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Retrace",
        description = "Takes coredumps and answers with backtraces.\n\nErrors are problem documents (RFC 9457, \
                       `application/problem+json`); their `type` says which. A task is read and changed with its password \
                       (`X-Task-Password`), by the token that sent it, or with a token whose role allows it: `submit` < \
                       `read` < `operate` < `admin`.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    servers((url = "/api")),
    components(schemas(ProblemDocument)),
    modifiers(&Credentials),
    security((), ("token" = []), ("task_password" = []))
)]
struct Description;

struct Credentials;

impl Modify for Credentials {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let token = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("rtr_…");
        let token = token.description(Some("A token of `retrace token create`, or the password of the task")).build();
        let password = ApiKey::Header(ApiKeyValue::with_description("X-Task-Password", "The password of the task"));
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(token));
        components.add_security_scheme("task_password", SecurityScheme::ApiKey(password));
    }
}

/// What stands in the document besides the routes.
pub(crate) fn document() -> utoipa::openapi::OpenApi {
    Description::openapi()
}

/// The document and its page.
pub(crate) fn router(document: utoipa::openapi::OpenApi) -> Router<AppState> {
    let json = Bytes::from(document.to_pretty_json().unwrap_or_default());
    let config = Arc::new(Config::from(DOCUMENT).try_it_out_enabled(true));
    let file = move |Path(name): Path<String>| {
        let config = Arc::clone(&config);
        async move { page_file(&name, config) }
    };
    let index = file.clone();
    Router::new()
        .route("/v1/openapi.json", get(move || async { ([(header::CONTENT_TYPE, "application/json")], json) }))
        .route("/v1/docs", get(|| async { Redirect::permanent("/api/v1/docs/") }))
        .route("/v1/docs/", get(move || index(Path(String::new()))))
        .route("/v1/docs/{file}", get(file))
}

fn page_file(name: &str, config: Arc<Config<'static>>) -> Response {
    let file = match utoipa_swagger_ui::serve(name, config) {
        Ok(Some(file)) => file,
        Ok(None) => return Problem::not_found("page").into_response(),
        Err(error) => return broken(&*error),
    };
    let mut response = (StatusCode::OK, file.bytes.into_owned()).into_response();
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&file.content_type) {
        headers.insert(header::CONTENT_TYPE, value);
    }
    if file.gzpipped {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    headers.insert(header::CONTENT_SECURITY_POLICY, CONTENT_POLICY);
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

fn broken(error: &dyn Error) -> Response {
    tracing::error!(error = %chain(error), "the page of the API cannot be made");
    Problem::new(ProblemKind::Internal, "the cause is in the log of the server").into_response()
}

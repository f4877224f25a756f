//! Who asks, and what that allows.

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header, request::Parts},
};
use retrace_store::{Role, TOKEN_PREFIX, Task, Token};
use retrace_types::TaskId;

use super::{
    ApiOptions, ApiResult, Problem, ProblemKind,
    guard::{HOUR, MINUTE, Quota},
};
use crate::{AppState, client::Client, password};

/// Longest token or password that is looked at, in bytes.
const MAX_CREDENTIAL_BYTES: usize = 200;

/// Who sends a request: a handler takes it as an argument.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// The address, or in IPv6 its network.
    network: String,
    token: Option<Token>,
    /// Of the task that the request is about.
    password: Option<String>,
}

/// What is to be done with a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Right {
    Read,
    Change,
}

impl Caller {
    /// Looks at the credentials of a request. A wrong token is an error, also where none would be needed.
    pub(crate) async fn identify(state: &AppState, client: Client, headers: &HeaderMap) -> ApiResult<Self> {
        let network = client.network();
        let bearer = bearer(headers)?;
        let password = headers.get("x-task-password").and_then(|value| value.to_str().ok());
        let mut caller = Self { network, token: None, password: password.map(str::to_owned) };
        if bearer.is_none() && password.is_none() {
            return Ok(caller);
        }
        caller.check_failures(state)?;
        match bearer {
            Some(secret) if secret.starts_with(TOKEN_PREFIX) => {
                let found = state.store.use_token(secret).await?;
                if found.is_none() {
                    caller.failed(state);
                    return Err(Problem::new(
                        ProblemKind::Unauthenticated,
                        "the token is not valid: it may have expired or been revoked",
                    ));
                }
                caller.token = found;
            }
            Some(password) => caller.password = Some(password.to_owned()),
            None => {}
        }
        Ok(caller)
    }

    /// Names the sender where requests are counted.
    pub(crate) fn sender(&self) -> String {
        self.token.as_ref().map_or_else(|| format!("address {}", self.network), |token| format!("token {}", token.id))
    }

    /// For messages that others read.
    pub(crate) fn shown(&self) -> String {
        match &self.token {
            Some(token) => format!("token {} ({})", token.id, token.name),
            None => "its sender".to_owned(),
        }
    }

    pub(crate) fn token_id(&self) -> Option<&str> {
        self.token.as_ref().map(|token| token.id.as_str())
    }

    pub(crate) fn role(&self) -> Option<Role> {
        self.token.as_ref().map(|token| token.role)
    }

    /// # Errors
    /// There is no token, or its role is a lesser one.
    pub(crate) fn require(&self, role: Role) -> ApiResult<()> {
        match self.role() {
            Some(own) if own >= role => Ok(()),
            Some(own) => Err(Problem::new(
                ProblemKind::Forbidden,
                format!("this needs a token with the role {}; yours has {}", role.as_str(), own.as_str()),
            )),
            None => Err(Problem::new(
                ProblemKind::Unauthenticated,
                format!(
                    "this needs a token with the role {}: send Authorization: Bearer {TOKEN_PREFIX}…",
                    role.as_str()
                ),
            )),
        }
    }

    /// May it send crashes? Counts it.
    ///
    /// # Errors
    /// It needs a token, or sent too many.
    pub(crate) fn admit_submit(&self, state: &AppState) -> ApiResult<()> {
        let options = &state.options.api;
        if self.token.is_none() && !options.anonymous_submit {
            self.require(Role::Submit)?;
        }
        let amount = if self.token.is_some() { options.token_submits_per_hour } else { options.submits_per_hour };
        let taken = state.api.submits.take(&self.sender(), Quota { amount, window: HOUR });
        taken.map(|_| ()).map_err(|wait| {
            Problem::new(ProblemKind::TooManyRequests, format!("at most {amount} tasks in an hour may be sent"))
                .retry_after(wait.as_secs().saturating_add(1))
        })
    }

    pub(crate) fn max_upload_bytes(&self, state: &AppState) -> u64 {
        let ApiOptions { max_upload_bytes, token_max_upload_bytes, .. } = state.options.api;
        let own = if self.token.is_some() { token_max_upload_bytes } else { max_upload_bytes };
        own.min(state.options.max_packed_bytes)
    }

    pub(crate) fn request_quota(&self, options: &ApiOptions) -> Quota {
        let amount = if self.token.is_some() { options.token_requests_per_minute } else { options.requests_per_minute };
        Quota { amount, window: MINUTE }
    }

    /// A task, if the caller may do this with it: by its password, because its token sent it, or by its role.
    ///
    /// # Errors
    /// There is no such task, or the caller may not.
    pub(crate) async fn task(&self, state: &AppState, id: &str, right: Right) -> ApiResult<Task> {
        let role = if right == Right::Read { Role::Read } else { Role::Operate };
        if self.token.is_none() && self.password.is_none() {
            return Err(Problem::new(
                ProblemKind::Unauthenticated,
                format!("this needs the task's password (X-Task-Password) or a token with the role {}", role.as_str()),
            ));
        }
        let id: TaskId = id.parse().map_err(|_| Problem::not_found("task"))?;
        let task = state.store.task(id).await?.ok_or_else(|| Problem::not_found("task"));
        let task = task.inspect_err(|_| {
            // Else ids could be looked for as fast as one likes.
            if self.role() < Some(role) {
                self.failed(state);
            }
        })?;
        if self.role() >= Some(role) {
            return Ok(task);
        }
        if let Some(password) = &self.password {
            if password::matches(password.as_bytes(), &task.password_sha256) {
                return Ok(task);
            }
            self.failed(state);
        }
        if let Some(own) = self.token_id()
            && state.store.token_of_task(id).await?.as_deref() == Some(own)
        {
            return Ok(task);
        }
        Err(Problem::new(ProblemKind::Forbidden, "the password or token is not one that allows this with this task"))
    }

    /// # Errors
    /// This address tried too many wrong ones.
    fn check_failures(&self, state: &AppState) -> ApiResult<()> {
        let checked = state.api.check_failures(&self.network, &state.options.api);
        checked.map_err(|wait| {
            Problem::new(ProblemKind::TooManyRequests, "too many wrong tokens and passwords came from this address")
                .retry_after(wait.as_secs().saturating_add(1))
        })
    }

    fn failed(&self, state: &AppState) {
        state.api.count_failure(&self.network, &state.options.api);
    }
}

fn bearer(headers: &HeaderMap) -> ApiResult<Option<&str>> {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let parsed = value.to_str().ok().filter(|value| value.len() <= MAX_CREDENTIAL_BYTES);
    let parsed = parsed.and_then(|value| value.split_once(' '));
    match parsed {
        Some((scheme, secret)) if scheme.eq_ignore_ascii_case("bearer") => Ok(Some(secret.trim())),
        _ => Err(Problem::new(ProblemKind::Unauthenticated, "Authorization: want Bearer and a token or password")),
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> ApiResult<Self> {
        let known = parts.extensions.get::<Self>().cloned();
        known.ok_or_else(|| Problem::new(ProblemKind::Internal, "nobody looked who sends this request"))
    }
}

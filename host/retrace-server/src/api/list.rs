//! The list of tasks, searched by what is known about them.

use axum::{Json, extract::State};
use jiff::Timestamp;
use retrace_store::{FoundTask, Pending, Role, TaskPosition, TaskSearch, Term};
use retrace_types::{FailureReason, ReleaseId, Sha256, TaskStatus};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    ApiQuery, ApiResult, Caller, Cursor, Page, PageQuery, Problem, problem::ProblemDocument, tasks::TaskState,
};
use crate::AppState;

/// Longest text of a search, in bytes, and most words in it.
const MAX_TEXT_BYTES: usize = 512;
const MAX_WORDS: usize = 8;

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Which tasks are wanted; all that is given has to be so.
#[derive(Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct ListQuery {
    /// `uploading`, `waiting`, `running`, `pending` (any of these), `succeeded`, `failed`, `cancelled`. With anything but this
    /// and the times, only finished tasks are found.
    state: Option<String>,
    /// Release: `fedora-40`.
    release: Option<String>,
    /// Package: its name, or `name-[epoch:]version[-release].arch`.
    package: Option<String>,
    /// Path of the crashed program.
    executable: Option<String>,
    /// Crash signature of functions or addresses, 64 hex digits.
    signature: Option<String>,
    /// Id of a group.
    group: Option<String>,
    /// Why the task failed: `not-a-core`, `unsupported`, `debugger`, `limit`, `hook`, `gave-up`, `cancelled`, `storage`, `internal`.
    reason: Option<String>,
    /// Made at this time or later (RFC 3339).
    #[param(value_type = Option<String>, format = DateTime)]
    since: Option<Timestamp>,
    /// Made before this time (RFC 3339).
    #[param(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
    /// Words of the functions' names, the package, the program or the message; at most 8, all of which have to be there as
    /// whole words. Case makes no difference.
    text: Option<String>,
}

/// A task of the list.
#[derive(Serialize, ToSchema)]
struct ListedTask {
    id: String,
    state: TaskState,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    submitted_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    started_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    finished_at: Option<Timestamp>,
    /// Why it failed, for people.
    message: Option<String>,
    /// What is known about it; null before it is finished.
    known: Option<KnownTask>,
}

/// What is known about a finished task.
#[derive(Serialize, ToSchema)]
struct KnownTask {
    release: Option<String>,
    architecture: Option<String>,
    /// Package of the program: with version where the build-id told it, else as the client said.
    package: Option<String>,
    executable: Option<String>,
    signal: Option<String>,
    /// Why it failed.
    reason: Option<String>,
    /// Crash signature of addresses.
    address_signature: Option<String>,
    /// Crash signature of functions.
    function_signature: Option<String>,
    /// `file!function` of the signature, the innermost first.
    frames: Vec<String>,
    group: Option<String>,
    /// The result was taken from the group, not made from the core.
    answered_from_group: bool,
    /// From the first lease to the end.
    duration_ms: Option<u64>,
    /// How long each step of the last try took.
    steps: Vec<Step>,
}

/// A step of a retrace.
#[derive(Serialize, ToSchema)]
struct Step {
    name: String,
    milliseconds: f64,
}

/// Lists tasks, the newest first.
///
/// Needs the role `read`. Pages are stable: tasks that come in meanwhile stand before the first one.
#[utoipa::path(get, path = "/tasks", operation_id = "list_tasks", tag = "tasks", params(ListQuery, PageQuery),
               responses((status = 200, body = Page<ListedTask>),
                         (status = "4XX", body = ProblemDocument, content_type = "application/problem+json")))]
async fn list(
    State(state): State<AppState>,
    caller: Caller,
    ApiQuery(query): ApiQuery<ListQuery>,
    ApiQuery(page): ApiQuery<PageQuery>,
) -> ApiResult<Json<Page<ListedTask>>> {
    caller.require(Role::Read)?;
    let mut search = search(&query)?;
    search.after = match page.place::<(i64, u64)>()? {
        Some((created_ms, task)) => {
            let task = task.try_into().map_err(|_| Problem::invalid("cursor: it names no task"))?;
            Some(TaskPosition { created_ms, task })
        }
        None => None,
    };
    let limit = page.limit()?;
    let found = state.store.find_tasks(&search, limit).await?;
    let is_full = u32::try_from(found.len()).is_ok_and(|length| length >= limit);
    let last = found.last().filter(|_| is_full).map(FoundTask::position);
    let next_cursor = last.map(|position| Cursor::new(&(position.created_ms, position.task.get())));
    Ok(Json(Page { items: found.into_iter().map(listed).collect(), next_cursor }))
}

fn search(query: &ListQuery) -> ApiResult<TaskSearch> {
    let mut search = TaskSearch { since: query.since, until: query.until, ..TaskSearch::default() };
    match query.state.as_deref() {
        None => {}
        Some("pending") => search.pending = Some(Pending::Any),
        Some("uploading") => search.pending = Some(Pending::Uploading),
        Some("waiting") => search.pending = Some(Pending::Waiting),
        Some("running") => search.pending = Some(Pending::Running),
        Some("succeeded") => search.terms.push(Term::State("success")),
        Some("failed") => search.terms.push(Term::State("failure")),
        Some("cancelled") => search.terms.push(Term::State("cancelled")),
        Some(_) => {
            return Err(Problem::invalid(
                "state: want uploading, waiting, running, pending, succeeded, failed or cancelled",
            ));
        }
    }
    let digest = |name: &str, text: &String| {
        text.parse::<Sha256>()
            .map(|digest| digest.to_string())
            .map_err(|error| Problem::invalid(format!("{name}: {error}")))
    };
    if let Some(release) = &query.release {
        let release: ReleaseId = release.parse().map_err(|error| Problem::invalid(format!("release: {error}")))?;
        search.terms.push(Term::Release(release.to_string()));
    }
    search.terms.extend(query.package.clone().map(Term::Package));
    search.terms.extend(query.executable.clone().map(Term::Executable));
    if let Some(signature) = &query.signature {
        search.terms.push(Term::Signature(digest("signature", signature)?));
    }
    if let Some(group) = &query.group {
        search.terms.push(Term::Group(digest("group", group)?));
    }
    if let Some(reason) = &query.reason {
        let reason =
            FailureReason::from_name(reason).ok_or_else(|| Problem::invalid("reason: there is no such reason"))?;
        search.terms.push(Term::Reason(reason.to_string()));
    }
    if let Some(text) = &query.text {
        let words = if text.len() <= MAX_TEXT_BYTES { Term::words(text) } else { Vec::new() };
        if words.is_empty() || words.len() > MAX_WORDS {
            return Err(Problem::invalid(format!("text: want 1 to {MAX_WORDS} words of letters, digits and _")));
        }
        search.terms.extend(words);
    }
    Ok(search)
}

fn listed(found: FoundTask) -> ListedTask {
    let FoundTask { task, running, known } = found;
    let is_cancelled = known.as_ref().is_some_and(|known| known.reason == Some(FailureReason::Cancelled));
    let state = match (task.finished_at, task.status) {
        (Some(_), TaskStatus::Success) => TaskState::Succeeded,
        (Some(_), _) if is_cancelled => TaskState::Cancelled,
        (Some(_), _) => TaskState::Failed,
        (None, _) if task.submitted_at.is_none() => TaskState::Uploading,
        (None, _) if running => TaskState::Running,
        (None, _) => TaskState::Waiting,
    };
    let known = known.map(|known| KnownTask {
        release: known.release.map(|release| release.to_string()),
        architecture: known.architecture.map(|architecture| architecture.to_string()),
        package: known.package,
        executable: known.executable,
        signal: known.signal,
        reason: known.reason.map(|reason| reason.to_string()),
        address_signature: known.signature.addresses.map(|digest| digest.to_string()),
        function_signature: known.signature.functions.as_ref().map(|functions| functions.digest.to_string()),
        frames: known.signature.functions.map(|functions| functions.frames).unwrap_or_default(),
        group: known.group.map(|group| group.to_string()),
        answered_from_group: known.from_group,
        duration_ms: known.duration_ms,
        steps: known.steps.into_iter().map(|step| Step { name: step.step, milliseconds: step.milliseconds }).collect(),
    });
    ListedTask {
        id: task.id.to_string(),
        state,
        created_at: task.created_at,
        submitted_at: task.submitted_at,
        started_at: task.started_at,
        finished_at: task.finished_at,
        message: task.message,
        known,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_that_cannot_be_meant_is_refused_with_the_name_of_its_part() {
        let text = |text: &str| Some(text.to_owned());
        for (name, query) in [
            ("state", ListQuery { state: text("done"), ..ListQuery::default() }),
            ("release", ListQuery { release: text(""), ..ListQuery::default() }),
            ("signature", ListQuery { signature: text("12"), ..ListQuery::default() }),
            ("group", ListQuery { group: text(&"g".repeat(64)), ..ListQuery::default() }),
            ("reason", ListQuery { reason: text("bad luck"), ..ListQuery::default() }),
            ("text", ListQuery { text: text(" - "), ..ListQuery::default() }),
            ("text", ListQuery { text: text("a b c d e f g h i"), ..ListQuery::default() }),
            ("text", ListQuery { text: text(&"a".repeat(513)), ..ListQuery::default() }),
        ] {
            let problem = search(&query).unwrap_err();
            assert!(format!("{problem:?}").contains(&format!("{name}: ")), "{problem:?}");
        }
    }

    #[test]
    fn each_part_of_a_query_becomes_a_term() {
        let query = ListQuery { state: Some("failed".into()), text: Some("Foo::bar".into()), ..ListQuery::default() };
        let words = [Term::State("failure"), Term::Word("bar".into()), Term::Word("foo".into())];
        assert_eq!(search(&query).unwrap().terms, words);
        let pending = ListQuery { state: Some("waiting".into()), ..ListQuery::default() };
        assert_eq!(search(&pending).unwrap().pending, Some(Pending::Waiting));
    }
}

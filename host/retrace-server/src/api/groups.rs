//! Groups of crashes.

use axum::{Json, extract::State};
use jiff::Timestamp;
use retrace_store::{Group, GroupOrder, GroupPackage, KeptResult, Role};
use retrace_types::{Backtrace, Sha256};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{ApiPath, ApiQuery, ApiResult, Caller, Cursor, Page, PageQuery, Problem};
use crate::AppState;

/// Releases and packages of one group that are told, those seen last.
const MAX_PACKAGES: u32 = 200;

/// Largest kept result that is read.
const MAX_RESULT_BYTES: u64 = 16 << 20;

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(groups)).routes(routes!(group))
}

/// How groups are listed.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct GroupsQuery {
    /// `newest` (where it is absent) or `frequent`. The frequent ones may change places while crashes come in.
    order: Option<String>,
}

/// Crashes with one signature.
#[derive(Serialize, ToSchema)]
struct GroupEntry {
    id: String,
    /// `file!function`, the innermost first; empty: known by addresses alone.
    frames: Vec<String>,
    /// Signal of the last crash.
    signal: Option<String>,
    /// Program of the last crash.
    executable: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    first_seen: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    last_seen: Timestamp,
    /// Crashes that were seen, those of deleted tasks too.
    crashes: u64,
    /// Of these, answered from the group.
    answered: u64,
}

/// A group with all that is known of it.
#[derive(Serialize, ToSchema)]
struct GroupDetails {
    #[serde(flatten)]
    entry: GroupEntry,
    /// Where it was seen, the last 200.
    packages: Vec<SeenPackage>,
    /// `kept`, `gone` (it was removed), `none` (there never was a complete one).
    backtrace_state: &'static str,
    /// The crashed thread of one crash, as in `backtrace.json`, without what belongs to one process alone: values, addresses,
    /// other threads.
    #[schema(value_type = Option<Object>)]
    backtrace: Option<Backtrace>,
}

/// A release and package.
#[derive(Serialize, ToSchema)]
struct SeenPackage {
    release: Option<String>,
    package: Option<String>,
    crashes: u64,
    #[schema(value_type = String, format = DateTime)]
    first_seen: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    last_seen: Timestamp,
}

/// Lists groups. Needs the role `read`.
#[utoipa::path(get, path = "/groups", tag = "groups", params(GroupsQuery, PageQuery),
               responses((status = 200, body = Page<GroupEntry>)))]
async fn groups(
    State(state): State<AppState>,
    caller: Caller,
    ApiQuery(query): ApiQuery<GroupsQuery>,
    ApiQuery(page): ApiQuery<PageQuery>,
) -> ApiResult<Json<Page<GroupEntry>>> {
    caller.require(Role::Read)?;
    let (limit, after) = (page.limit()?, page.place::<(i64, Sha256)>()?);
    let frequent = match query.order.as_deref() {
        None | Some("newest") => false,
        Some("frequent") => true,
        Some(_) => return Err(Problem::invalid("order: want newest or frequent")),
    };
    let order = if frequent { GroupOrder::Frequent(after) } else { GroupOrder::Newest(after) };
    let found = state.store.groups(order, limit).await?;
    let is_full = u32::try_from(found.len()).is_ok_and(|length| length >= limit);
    let place = |group: &Group| {
        let crashes = i64::try_from(group.crashes).unwrap_or(i64::MAX);
        let value = if frequent { crashes } else { group.first_seen.as_millisecond() };
        Cursor::new(&(value, group.id))
    };
    let next_cursor = found.last().filter(|_| is_full).map(place);
    Ok(Json(Page { items: found.into_iter().map(entry).collect(), next_cursor }))
}

/// Tells of a group. Needs the role `read`.
#[utoipa::path(get, path = "/groups/{id}", tag = "groups", params(("id" = String, Path)),
               responses((status = 200, body = GroupDetails),
                         (status = 404, body = inline(super::problem::ProblemDocument))))]
async fn group(
    State(state): State<AppState>,
    caller: Caller,
    ApiPath(id): ApiPath<String>,
) -> ApiResult<Json<GroupDetails>> {
    caller.require(Role::Read)?;
    let id: Sha256 = id.parse().map_err(|_| Problem::not_found("group"))?;
    let group = state.store.group(&id).await?.ok_or_else(|| Problem::not_found("group"))?;
    let packages = state.store.group_packages(&id, MAX_PACKAGES).await?;
    let kept = match group.result {
        Some(stack) => state.store.read_kept_result(KeptResult { group: id, stack }, MAX_RESULT_BYTES).await?,
        None => None,
    };
    let backtrace = kept.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let backtrace_state = match (&backtrace, group.result) {
        (Some(_), _) => "kept",
        (None, Some(_)) => "gone",
        (None, None) => "none",
    };
    let packages = packages.into_iter().map(seen).collect();
    Ok(Json(GroupDetails { entry: entry(group), packages, backtrace_state, backtrace }))
}

fn entry(group: Group) -> GroupEntry {
    GroupEntry {
        id: group.id.to_string(),
        frames: group.frames,
        signal: group.signal,
        executable: group.executable,
        first_seen: group.first_seen,
        last_seen: group.last_seen,
        crashes: group.crashes,
        answered: group.answered,
    }
}

fn seen(package: GroupPackage) -> SeenPackage {
    SeenPackage {
        release: package.release,
        package: package.package,
        crashes: package.crashes,
        first_seen: package.first_seen,
        last_seen: package.last_seen,
    }
}

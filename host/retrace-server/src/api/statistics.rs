//! Sums over the finished tasks.

use std::collections::BTreeMap;

use axum::{Json, extract::State};
use jiff::{Timestamp, ToSpan as _, civil::Date, tz::TimeZone};
use retrace_store::{CountBy, MissingCount, Role, TaskStatistics};
use retrace_types::Role as FileRole;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{ApiQuery, ApiResult, Caller, Problem};
use crate::{AppState, stats::date};

/// Days of the answer where the request does not say, and the most.
const DEFAULT_DAYS: i32 = 30;
const MAX_DAYS: i32 = 400;

/// Missing build-ids and packages of the answer.
const MAX_FREQUENT: u32 = 100;

const EPOCH: Date = Date::constant(1970, 1, 1);

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(statistics))
}

/// Which days.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct StatisticsQuery {
    /// First day (UTC); absent: 30 days up to the last one.
    #[param(value_type = Option<String>, format = Date)]
    from: Option<Date>,
    /// Last day (UTC); absent: today. At most 400 days behind the first one.
    #[param(value_type = Option<String>, format = Date)]
    to: Option<Date>,
}

/// What happened. Deleted tasks count.
#[derive(Serialize, ToSchema)]
struct Statistics {
    #[schema(value_type = String, format = Date)]
    from: Date,
    #[schema(value_type = String, format = Date)]
    to: Date,
    total: Counted,
    /// The last day first.
    by_day: Vec<Counted>,
    /// The last week first; a week is named by its Monday.
    by_week: Vec<Counted>,
    /// The most frequent first, like the following ones; unknown ones have the empty name.
    by_release: Vec<Counted>,
    by_architecture: Vec<Counted>,
    by_package: Vec<Counted>,
    /// Requests that were refused because the queue was full.
    queue_full: u64,
    /// Files that no package was found for, the most frequent first, of all time.
    missing_build_ids: Vec<Missing>,
    /// Packages that retraces took files from, the most frequent first, of all time.
    required_packages: Vec<Required>,
}

/// Tasks of one day, week, release, architecture or package.
#[derive(Serialize, ToSchema)]
struct Counted {
    name: String,
    tasks: u64,
    failed: u64,
    /// Failed tasks by reason.
    failures: BTreeMap<String, u64>,
    /// Half of the tasks took less time, to within 7 %; null if none was worked on.
    median_ms: Option<u64>,
    /// 95 % of them took less time, to within 7 %.
    p95_ms: Option<u64>,
}

/// A file that no package was found for.
#[derive(Serialize, ToSchema)]
struct Missing {
    build_id: String,
    /// `executable` or `debuginfo`.
    role: &'static str,
    /// Where it was seen last.
    path: String,
    release: String,
    tasks: u64,
    #[schema(value_type = String, format = DateTime)]
    last_seen: Timestamp,
}

/// A package that retraces took files from.
#[derive(Serialize, ToSchema)]
struct Required {
    name: String,
    versions: u64,
    tasks: u64,
}

/// Counts finished tasks. Needs the role `read`.
#[utoipa::path(get, path = "/statistics", tag = "statistics", params(StatisticsQuery),
               responses((status = 200, body = Statistics)))]
async fn statistics(
    State(state): State<AppState>,
    caller: Caller,
    ApiQuery(query): ApiQuery<StatisticsQuery>,
) -> ApiResult<Json<Statistics>> {
    caller.require(Role::Read)?;
    let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
    let to = query.to.unwrap_or(today);
    let from = query.from.map_or_else(|| to.checked_sub((DEFAULT_DAYS - 1).days()), Ok);
    let from = from.map_err(|_| Problem::invalid("from: the day is out of range"))?;
    let (first, last) = (day(from), day(to));
    if !(0..i64::from(MAX_DAYS)).contains(&(last - first)) {
        return Err(Problem::invalid(format!("from and to: want at most {MAX_DAYS} days, the first one first")));
    }
    let store = &state.store;
    state.count_denials().await;
    let by = async |by| store.task_statistics(by, first, last).await;
    let named = |of: Vec<TaskStatistics>| of.into_iter().map(counted).collect();
    let dated = |of: Vec<TaskStatistics>| of.into_iter().map(counted).map(with_date).collect();
    let total = by(CountBy::Nothing).await?.pop().unwrap_or_default();
    Ok(Json(Statistics {
        from,
        to,
        total: counted(total),
        by_day: dated(by(CountBy::Day).await?),
        by_week: dated(by(CountBy::Week).await?),
        by_release: named(by(CountBy::Release).await?),
        by_architecture: named(by(CountBy::Architecture).await?),
        by_package: named(by(CountBy::Package).await?),
        queue_full: store.denials(first, last).await?,
        missing_build_ids: store.missing_build_ids(MAX_FREQUENT).await?.into_iter().map(missing).collect(),
        required_packages: store.required_packages(MAX_FREQUENT).await?.into_iter().map(required).collect(),
    }))
}

/// Days since the Unix epoch.
fn day(date: Date) -> i64 {
    i64::from((date - EPOCH).get_days())
}

fn counted(of: TaskStatistics) -> Counted {
    Counted {
        failed: of.failed(),
        name: of.key,
        tasks: of.tasks,
        failures: of.failures,
        median_ms: of.median_ms,
        p95_ms: of.p95_ms,
    }
}

fn with_date(of: Counted) -> Counted {
    let name = of.name.parse().ok().and_then(date).map(|date| date.to_string()).unwrap_or_default();
    Counted { name, ..of }
}

fn missing(missing: MissingCount) -> Missing {
    Missing {
        build_id: missing.build_id.to_string(),
        role: if missing.role == FileRole::Executable { "executable" } else { "debuginfo" },
        path: missing.path,
        release: missing.release,
        tasks: missing.tasks,
        last_seen: missing.last_seen,
    }
}

fn required(package: retrace_store::RequiredPackage) -> Required {
    Required { name: package.name, versions: package.versions, tasks: package.tasks }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_dates_belong_together() {
        for (text, number) in [("1970-01-01", 0), ("1970-01-05", 4), ("2026-11-23", 20_780)] {
            let written: Date = text.parse().unwrap();
            assert_eq!((day(written), date(number)), (number, Some(written)));
        }
    }
}

//! `/stats` of the predecessor, as data: what its page showed, in JSON.
//!
//! Counts alone, as its page was open to everyone. No address of a client is kept or told.

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse as _, Response},
};
use jiff::{ToSpan as _, civil::Date};
use retrace_store::{CountBy, TaskStatistics};
use serde::Serialize;

use crate::{ApiError, AppState};

/// Lengths of the lists on the predecessor's page.
const MOST_RETRACED: usize = 37;
const MOST_REQUIRED: usize = 32;
const MOST_MISSING: usize = 20;

/// More are read, because some of them do not count.
const READ: u32 = 200;

#[derive(Serialize)]
struct Stats {
    total: u64,
    successful: u64,
    failed: u64,
    /// Requests that were refused because the queue was full.
    denied: u64,
    /// The day of the first retrace, `YYYY-MM-DD`; null: none yet.
    first_retrace: Option<String>,
    architectures: Vec<Count>,
    releases: Vec<Count>,
    most_retraced_packages: Vec<Count>,
    most_required_packages: Vec<Required>,
    missing_build_ids: Vec<Missing>,
}

#[derive(Serialize)]
struct Count {
    name: String,
    tasks: u64,
}

#[derive(Serialize)]
struct Required {
    name: String,
    versions: u64,
    uses: u64,
}

#[derive(Serialize)]
struct Missing {
    build_id: String,
    shared_object: String,
    count: u64,
}

pub(crate) async fn stats(State(state): State<AppState>) -> Result<Response, ApiError> {
    let store = &state.store;
    state.count_denials().await;
    let days = store.statistics_days().await?;
    let (first, last) = days.unwrap_or((0, 0));
    let by = async |by| store.task_statistics(by, first, last).await;
    let total = by(CountBy::Nothing).await?.pop().unwrap_or_default();
    let named = |all: Vec<TaskStatistics>, most: usize| {
        let known = all.into_iter().filter(|of| !of.key.is_empty()).take(most);
        known.map(|of| Count { name: of.key, tasks: of.tasks }).collect()
    };
    let is_debug = |name: &str| ["-debuginfo", "-debugsource", "-dbg", "-dbgsym"].iter().any(|end| name.ends_with(end));
    let required = store.required_packages(READ).await?.into_iter().filter(|package| !is_debug(&package.name));
    let required = required.map(|of| Required { name: of.name, versions: of.versions, uses: of.tasks });
    let missing = store.missing_build_ids(READ).await?.into_iter();
    let missing = missing.map(|of| Missing {
        build_id: of.build_id.to_string(),
        shared_object: of.path.rsplit('/').next().unwrap_or_default().to_owned(),
        count: of.tasks,
    });
    let stats = Stats {
        total: total.tasks,
        successful: total.tasks.saturating_sub(total.failed()),
        failed: total.failed(),
        denied: store.denials(0, i64::MAX).await?,
        first_retrace: days.and_then(|(first, _)| date(first)).map(|date| date.to_string()),
        architectures: named(by(CountBy::Architecture).await?, usize::MAX),
        releases: named(by(CountBy::Release).await?, usize::MAX),
        most_retraced_packages: named(by(CountBy::Package).await?, MOST_RETRACED),
        most_required_packages: required.take(MOST_REQUIRED).collect(),
        missing_build_ids: missing.take(MOST_MISSING).collect(),
    };
    let body = serde_json::to_vec(&stats).map_err(std::io::Error::other)?;
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

/// The date of a day since the Unix epoch.
pub(crate) fn date(day: i64) -> Option<Date> {
    let days = i32::try_from(day).ok()?;
    Date::constant(1970, 1, 1).checked_add(days.days()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_have_dates() {
        let text = |day| date(day).map(|date| date.to_string());
        assert_eq!(text(0).as_deref(), Some("1970-01-01"));
        assert_eq!(text(20_780).as_deref(), Some("2026-11-23"));
        assert_eq!(text(i64::MAX), None);
    }
}

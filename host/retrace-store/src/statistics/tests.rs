//! Sums, and how exact they are.

use proptest::prelude::*;
use retrace_types::FailureReason;

use super::*;
use crate::{
    MissingBuildId,
    findings::tests::{finding, finished},
    testing::{Test, on_both_databases},
};

on_both_databases!(
    tasks_are_counted_by_day_release_package_and_reason,
    what_was_missed_and_what_was_needed_is_counted,
    refused_requests_are_counted,
);

async fn tasks_are_counted_by_day_release_package_and_reason(test: Test) {
    let store = &test.store;
    assert_eq!(store.statistics_days().await.unwrap(), None);
    assert_eq!(store.task_statistics(CountBy::Nothing, 0, 99_999).await.unwrap(), []);
    let first = finished(store, &finding("x-1.0-1.fc40.x86_64", &["f"], 1)).await;
    finished(store, &finding("x-1.1-1.fc40.x86_64", &["f"], 1)).await;
    finished(store, &Finding::failure(FailureReason::NotACore)).await;
    store.delete_task(first).await.unwrap();

    let today = day(rows::now_ms());
    assert_eq!(store.statistics_days().await.unwrap(), Some((today, today)));
    let counted = async |by| store.task_statistics(by, today - 1, today).await.unwrap();
    let all = counted(CountBy::Nothing).await.remove(0);
    assert_eq!((all.tasks, all.failed(), all.failures["not-a-core"]), (3, 1, 1));
    assert!(all.median_ms.is_some() && all.p95_ms >= all.median_ms);
    let keys = async |by| counted(by).await.into_iter().map(|of| (of.key, of.tasks)).collect::<Vec<_>>();
    assert_eq!(keys(CountBy::Day).await, [(today.to_string(), 3)]);
    assert_eq!(keys(CountBy::Week).await, [(((today + 3) / 7 * 7 - 3).to_string(), 3)]);
    assert_eq!(keys(CountBy::Release).await, [("fedora-40".to_owned(), 2), (String::new(), 1)]);
    assert_eq!(keys(CountBy::Architecture).await, [("x86_64".to_owned(), 2), (String::new(), 1)]);
    assert_eq!(keys(CountBy::Package).await, [("x".to_owned(), 2), (String::new(), 1)]);
    assert_eq!(store.task_statistics(CountBy::Day, 0, today - 1).await.unwrap(), []);
}

async fn what_was_missed_and_what_was_needed_is_counted(test: Test) {
    let store = &test.store;
    let missing = |n: u8| MissingBuildId {
        build_id: BuildId::from_bytes(&[n; 20]).unwrap(),
        role: Role::Executable,
        path: format!("/usr/lib/{n}"),
    };
    let required = |version: &str| ("glibc".to_owned(), version.to_owned());
    let with = |missing, required| Finding { missing, required, ..finding("x-1-1", &["f"], 1) };
    finished(store, &with(vec![missing(1), missing(2), missing(1)], vec![required("1"), ("x".into(), "1".into())]))
        .await;
    finished(store, &with(vec![missing(2)], vec![required("2")])).await;
    finished(store, &with((0..200).map(missing).collect(), Vec::new())).await;
    let found = store.missing_build_ids(2).await.unwrap();
    let found: Vec<_> = found.iter().map(|missing| (missing.path.as_str(), missing.tasks)).collect();
    assert_eq!(found, [("/usr/lib/2", 3), ("/usr/lib/1", 2)]);
    assert_eq!(store.missing_build_ids(1000).await.unwrap().len(), MAX_PER_TASK, "of one task");
    let found = store.required_packages(10).await.unwrap();
    let found: Vec<_> = found.iter().map(|package| (package.name.as_str(), package.versions, package.tasks)).collect();
    assert_eq!(found, [("glibc", 2, 2), ("x", 1, 1)]);
    store.trim_statistics(Timestamp::now()).await.unwrap();
    assert_eq!(store.missing_build_ids(10).await.unwrap(), []);
}

async fn refused_requests_are_counted(test: Test) {
    for _ in 0..2 {
        test.store.count_denials(3).await.unwrap();
    }
    let today = day(rows::now_ms());
    assert_eq!(test.store.denials(today, today).await.unwrap(), 6);
    assert_eq!(test.store.denials(0, today - 1).await.unwrap(), 0);
}

proptest! {
    #[test]
    fn a_class_tells_a_duration_within_seven_percent(ms in 0..i64::MAX / 2) {
        let middle = i64::try_from(middle(bucket(ms))).unwrap();
        prop_assert!((middle - ms).abs() <= ms / 14 + 1, "{} became {}", ms, middle);
        prop_assert!(bucket(ms) <= bucket(ms.saturating_add(1)));
    }
}

#[test]
fn percentiles_are_those_of_the_tasks_that_were_worked_on() {
    let of = |buckets: &[(i64, u64)]| {
        let with = with_durations(TaskStatistics::default(), buckets);
        (with.median_ms, with.p95_ms)
    };
    assert_eq!(of(&[(-1, 5)]), (None, None));
    assert_eq!(of(&[(-1, 50), (1, 94), (7, 6)]), (Some(1), Some(7)));
    assert_eq!(of(&[(3, 1)]), (Some(3), Some(3)));
}

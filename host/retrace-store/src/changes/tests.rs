//! Waiting, on both databases.

use retrace_types::{Sha256, TaskKind, TaskStatus};

use super::*;
use crate::{
    NewTask, Outcome,
    testing::{Test, on_both_databases},
};

const LONG: Duration = Duration::from_secs(60);

on_both_databases!(
    who_waits_for_a_task_is_told_by_another_process,
    an_idle_worker_wakes_up_for_what_is_submitted_or_given_back,
);

async fn new_task(store: &Store) -> TaskId {
    let new = NewTask { kind: TaskKind::Coredump, password_sha256: Sha256::from_bytes([1; 32]) };
    store.create_task(&new).await.unwrap()
}

async fn next(changes: &mut Changes) -> Change {
    tokio::time::timeout(LONG, changes.next()).await.unwrap()
}

async fn who_waits_for_a_task_is_told_by_another_process(test: Test) {
    let other = test.open_again().await;
    let task = new_task(&test.store).await;
    let mut changes = other.changes();
    // The first one says that it begins.
    assert_eq!(next(&mut changes).await, Change::Any);
    let told = |change| matches!(change, Change::Any) || change == Change::Task(task);
    test.store.submit_task(task).await.unwrap();
    assert!(told(next(&mut changes).await));
    let lease = test.store.lease_next("worker", LONG, u64::MAX).await.unwrap().unwrap();
    assert!(told(next(&mut changes).await));
    test.store.set_status(&lease, TaskStatus::Backtrace).await.unwrap();
    assert!(told(next(&mut changes).await));
    test.store.finish(&lease, &Outcome::Success).await.unwrap();
    assert!(told(next(&mut changes).await));
    test.store.delete_task(task).await.unwrap();
    assert!(told(next(&mut changes).await));
}

async fn an_idle_worker_wakes_up_for_what_is_submitted_or_given_back(test: Test) {
    let other = test.open_again().await;
    let mut work = other.work();
    let task = new_task(&test.store).await;
    // The first one says that it begins.
    work.wait(LONG).await;
    work.mark_seen();
    test.store.submit_task(task).await.unwrap();
    // Longer than any test may take: the database has to tell.
    work.wait(LONG * 60).await;
    let lease = loop {
        work.mark_seen();
        match other.lease_next("worker", LONG, u64::MAX).await.unwrap() {
            Some(lease) => break lease,
            None => work.wait(LONG * 60).await,
        }
    };
    work.mark_seen();
    test.store.give_back(&lease).await.unwrap();
    loop {
        work.wait(LONG * 60).await;
        work.mark_seen();
        if other.lease_next("worker", LONG, u64::MAX).await.unwrap().is_some() {
            break;
        }
    }
}

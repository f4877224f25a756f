//! Results of tries, of which one counts.

use std::time::Duration;

use retrace_types::{Sha256, TaskKind};

use super::*;
use crate::{
    NewTask, Outcome,
    testing::{Test, on_both_databases},
};

const LONG: Duration = Duration::from_secs(60);

on_both_databases!(
    results_are_seen_once_the_task_is_finished_and_stay_in_their_folder,
    a_worker_that_lost_its_lease_never_replaces_what_its_successor_stored,
    finishing_again_after_a_lost_answer_is_harmless,
);

async fn submitted(store: &Store) -> TaskId {
    let new = NewTask { kind: TaskKind::Coredump, password_sha256: Sha256::from_bytes([1; 32]) };
    let id = store.create_task(&new).await.unwrap();
    store.submit_task(id).await.unwrap();
    id
}

async fn lease(store: &Store, duration: Duration) -> Lease {
    store.lease_next("worker", duration, u64::MAX).await.unwrap().unwrap()
}

async fn read(store: &Store, task: TaskId, name: &str) -> Option<Vec<u8>> {
    let found = store.task_result(task, name).await.unwrap()?;
    let size_bytes = found.size_bytes;
    let bytes = found.bytes().await.unwrap();
    assert_eq!(bytes.len() as u64, size_bytes);
    Some(bytes)
}

async fn results_are_seen_once_the_task_is_finished_and_stay_in_their_folder(test: Test) {
    let Test { dir, store, .. } = test;
    let task = submitted(&store).await;
    let lease = lease(&store, LONG).await;
    for text in ["first", "second"] {
        store.put_task_result(&lease, "log", text.as_bytes()).await.unwrap();
    }
    store.put_task_result(&lease, "../../../escape", b"x").await.unwrap();
    assert_eq!(read(&store, task, "log").await, None);
    store.finish(&lease, &Outcome::Success).await.unwrap();
    assert_eq!(read(&store, task, "log").await.unwrap(), b"second");
    assert_eq!(read(&store, task, "backtrace").await, None);
    assert!(!dir.path().join("artifacts/tasks/escape").exists() && !dir.path().join("artifacts/escape").exists());
    assert_eq!(read(&store, task, "../../../escape").await.unwrap(), b"x");
}

async fn a_worker_that_lost_its_lease_never_replaces_what_its_successor_stored(test: Test) {
    let Test { dir, store, .. } = test;
    let task = submitted(&store).await;
    let lost = lease(&store, Duration::ZERO).await;
    store.put_task_result(&lost, "log", b"of the first").await.unwrap();
    let last = lease(&store, LONG).await;
    store.put_task_result(&last, "log", b"of the second").await.unwrap();
    store.put_task_result(&lost, "log", b"late").await.unwrap();
    assert!(matches!(store.finish(&lost, &Outcome::Success).await, Err(StoreError::LeaseLost(_))));
    store.finish(&last, &Outcome::Success).await.unwrap();
    assert_eq!(read(&store, task, "log").await.unwrap(), b"of the second");
    let tries = || std::fs::read_dir(dir.path().join(format!("artifacts/tasks/{task}/results"))).unwrap().flatten();
    let with_files = tries().filter(|folder| std::fs::read_dir(folder.path()).unwrap().next().is_some()).count();
    assert_eq!(with_files, 1, "what earlier tries left is removed");
    store.put_task_result(&lost, "log", b"later still").await.unwrap();
    assert_eq!(read(&store, task, "log").await.unwrap(), b"of the second");

    // A try that was given back has the number of the next one, and yet another folder.
    let task = submitted(&store).await;
    let given_back = lease(&store, LONG).await;
    store.give_back(&given_back).await.unwrap();
    let again = lease(&store, LONG).await;
    assert_eq!(given_back.attempt, again.attempt);
    store.put_task_result(&again, "log", b"counts").await.unwrap();
    store.put_task_result(&given_back, "log", b"on its way when the worker stopped").await.unwrap();
    store.finish(&again, &Outcome::Success).await.unwrap();
    assert_eq!(read(&store, task, "log").await.unwrap(), b"counts");
}

async fn finishing_again_after_a_lost_answer_is_harmless(test: Test) {
    let Test { dir: _dir, store, .. } = test;
    let task = submitted(&store).await;
    let first = lease(&store, LONG).await;
    store.finish(&first, &Outcome::Success).await.unwrap();
    store.finish(&first, &Outcome::Success).await.unwrap();
    let other = store.finish(&first, &Outcome::Failure { message: "later".into() }).await;
    assert!(matches!(other, Err(StoreError::LeaseLost(_))));
    let found = store.task(task).await.unwrap().unwrap();
    assert_eq!((found.status, found.message), (retrace_types::TaskStatus::Success, None), "the first one counts");
}

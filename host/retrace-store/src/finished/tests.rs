use std::time::Duration;

use retrace_types::{Sha256, TaskKind};

use super::*;
use crate::{
    Lease, NewTask, Outcome,
    testing::{Test, on_both_databases},
};

const LONG: Duration = Duration::from_secs(60);

on_both_databases!(
    finished_tasks_are_listed_by_age_in_batches,
    a_finished_task_goes_with_its_files_unless_it_changed,
    a_task_is_never_removed_while_a_worker_has_it,
    a_task_that_runs_too_long_is_ended_and_its_worker_learns_it,
    abandoned_uploads_are_known_before_they_go,
    archives_are_kept_whole,
);

async fn submitted(store: &Store) -> TaskId {
    let new = NewTask { kind: TaskKind::Coredump, password_sha256: Sha256::from_bytes([1; 32]) };
    let id = store.create_task(&new).await.unwrap();
    store.submit_task(id).await.unwrap();
    id
}

async fn lease(store: &Store) -> Lease {
    store.lease_next("worker", LONG, u64::MAX).await.unwrap().unwrap()
}

/// A task that was finished at this time.
async fn finished(store: &Store, at: i64) -> Task {
    let id = submitted(store).await;
    let lease = lease(store).await;
    store.put_task_result(&lease, "log", b"words").await.unwrap();
    store.put_task_result(&lease, "backtrace", b"frames").await.unwrap();
    assert_eq!(store.files_so_far(&lease).await.unwrap().len(), 2);
    store.finish(&lease, &Outcome::Success).await.unwrap();
    set(store, "finished_at", at, id).await;
    store.task(id).await.unwrap().unwrap()
}

async fn set(store: &Store, column: &str, value: i64, id: TaskId) {
    let statement = sqlx::AssertSqlSafe(format!("UPDATE tasks SET {column} = $1 WHERE id = $2"));
    sqlx::query(statement).bind(value).bind(id_to_row(id)).execute(&store.database.pool).await.unwrap();
}

fn at(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap()
}

async fn finished_tasks_are_listed_by_age_in_batches(test: Test) {
    let Test { dir: _dir, store, .. } = test;
    let mut want = Vec::new();
    for n in [5, 3, 4, 1, 3, 3, 9] {
        want.push((n, finished(&store, n).await.id.get()));
    }
    submitted(&store).await;
    want.sort_unstable();
    want.pop();
    let (mut got, mut behind) = (Vec::new(), None);
    loop {
        let (tasks, last) = store.finished_tasks(at(8), behind, 2).await.unwrap();
        if tasks.is_empty() {
            break;
        }
        assert!(tasks.len() <= 2);
        got.extend(tasks.iter().map(|task| (task.finished_at.unwrap().as_millisecond(), task.id.get())));
        behind = last;
    }
    assert_eq!(got, want);
}

async fn a_finished_task_goes_with_its_files_unless_it_changed(test: Test) {
    let Test { dir: _dir, store, .. } = test;
    let seen = finished(&store, 1000).await;
    let crash = store.task_dir(seen.id).join("crash");
    fs::create_dir_all(&crash).unwrap();
    fs::write(crash.join("coredump"), vec![1; 10_000]).unwrap();
    assert!(store.task_bytes(seen.id).await.unwrap() >= 10_000 + 11);
    let files = store.result_files(seen.id).await.unwrap();
    let names: Vec<_> = files.iter().map(|file| (file.name.as_str(), file.size_bytes)).collect();
    assert_eq!(names, [("backtrace", 6), ("log", 5)]);
    let read: Vec<Bytes> = store.read_task_file(&files[1]).await.unwrap().try_collect().await.unwrap();
    assert_eq!(read.concat(), b"words");

    // Restarted and finished again since it was seen.
    set(&store, "finished_at", 2000, seen.id).await;
    assert!(!store.remove_finished(&seen).await.unwrap());
    let seen = store.task(seen.id).await.unwrap().unwrap();
    assert!(store.remove_finished(&seen).await.unwrap());
    assert!(!store.remove_finished(&seen).await.unwrap());
    assert!(store.task(seen.id).await.unwrap().is_none() && store.result_files(seen.id).await.unwrap().is_empty());
    assert!(!store.task_dir(seen.id).exists());
    assert_eq!(store.task_bytes(seen.id).await.unwrap(), 0);
}

/// Whatever was planned, the state in the moment of the removal decides.
async fn a_task_is_never_removed_while_a_worker_has_it(test: Test) {
    let Test { dir: _dir, store, .. } = test;
    for _ in 0..20 {
        let seen = finished(&store, 1000).await;
        // It is restarted, and a worker takes it while it is removed.
        sqlx::query("UPDATE tasks SET finished_at = NULL, lease_owner = NULL WHERE id = $1")
            .bind(id_to_row(seen.id))
            .execute(&store.database.pool)
            .await
            .unwrap();
        let other = store.clone();
        let leasing = tokio::spawn(async move { other.lease_next("worker", LONG, u64::MAX).await.unwrap() });
        let removed = store.remove_finished(&seen).await.unwrap();
        let lease = leasing.await.unwrap();
        assert!(!removed);
        store.finish(&lease.unwrap(), &Outcome::Success).await.unwrap();
        let seen = store.task(seen.id).await.unwrap().unwrap();
        assert!(store.remove_finished(&seen).await.unwrap());
    }
}

async fn a_task_that_runs_too_long_is_ended_and_its_worker_learns_it(test: Test) {
    let Test { dir: _dir, store, .. } = test;
    let id = submitted(&store).await;
    let lease = lease(&store).await;
    let now = Timestamp::now();
    assert_eq!(store.running_since(at(now.as_millisecond() - 10_000), 10).await.unwrap(), []);
    set(&store, "leased_at", now.as_millisecond() - 20_000, id).await;
    let running = store.running_since(at(now.as_millisecond() - 10_000), 10).await.unwrap();
    assert_eq!((running.len(), running[0].task, running[0].owner.as_str()), (1, id, "worker"));

    // A later lease of the same task is another thing.
    set(&store, "leased_at", now.as_millisecond(), id).await;
    assert!(!store.end_running(&running[0], "too long").await.unwrap());
    set(&store, "leased_at", now.as_millisecond() - 20_000, id).await;
    assert!(store.end_running(&running[0], "too long").await.unwrap());
    assert!(matches!(store.heartbeat(&lease, LONG).await, Err(StoreError::LeaseLost(_))));
    assert!(matches!(store.finish(&lease, &Outcome::Success).await, Err(StoreError::LeaseLost(_))));
    let task = store.task(id).await.unwrap().unwrap();
    assert_eq!((task.status, task.message.as_deref()), (TaskStatus::Fail, Some("too long")));
    assert_eq!(store.running_since(now, 10).await.unwrap(), []);
}

async fn abandoned_uploads_are_known_before_they_go(test: Test) {
    let Test { dir: _dir, store, .. } = test;
    let new = NewTask { kind: TaskKind::Coredump, password_sha256: Sha256::from_bytes([1; 32]) };
    let (dead, alive) = (store.create_task(&new).await.unwrap(), store.create_task(&new).await.unwrap());
    let none = TaskId::try_from(if dead.get() == 123_456_789 { 987_654_321 } else { 123_456_789 }).unwrap();
    let queued = submitted(&store).await;
    for id in [dead, alive, none, queued] {
        fs::create_dir_all(store.task_dir(id)).unwrap();
        fs::write(store.task_dir(id).join("archive"), vec![1; 5000]).unwrap();
    }
    set(&store, "lease_expires_at", 0, dead).await;
    let abandoned = store.abandoned().await.unwrap();
    let mut want = [dead, none];
    want.sort();
    assert_eq!(abandoned.iter().map(|abandoned| abandoned.task).collect::<Vec<_>>(), want);
    assert!(abandoned.iter().all(|abandoned| abandoned.bytes >= 5000));
    assert_eq!(store.remove_abandoned().await.unwrap(), 2);
    assert_eq!(store.abandoned().await.unwrap(), []);
    assert!(store.task_dir(alive).exists() && store.task_dir(queued).exists());
}

async fn archives_are_kept_whole(test: Test) {
    let Test { dir, store, .. } = test;
    let file = dir.path().join("file");
    fs::write(&file, vec![7; 3_000_000]).unwrap();
    store.put_archive("123456789-1.tar.zst", &file).await.unwrap();
    let kept = dir.path().join("artifacts/archive/123456789-1.tar.zst");
    assert_eq!(fs::read(&kept).unwrap().len(), 3_000_000);
    store.remove_archive("123456789-1.tar.zst").await.unwrap();
    assert!(!kept.exists());
    assert!(store.put_archive("x", &dir.path().join("absent")).await.is_err());
}

//! A task before and after the queue.

use retrace_types::{Sha256, TaskKind};

use super::*;
use crate::testing::{Test, on_both_databases};

on_both_databases!(
    an_upload_lives_as_long_as_it_is_kept_alive,
    a_submitted_task_is_never_abandoned_and_submitting_again_takes_no_lease_away,
    a_task_is_deleted_with_its_files_and_leftovers_are_found,
);

async fn store_with_upload(test: Test) -> (tempfile::TempDir, Store, TaskId) {
    let Test { dir, store, .. } = test;
    let new = NewTask { kind: TaskKind::Coredump, password_sha256: Sha256::from_bytes([1; 32]) };
    let id = store.create_task(&new).await.unwrap();
    std::fs::create_dir(store.task_dir(id)).unwrap();
    (dir, store, id)
}

async fn expire(store: &Store) {
    sqlx::query("UPDATE tasks SET lease_expires_at = 0").execute(&store.database.pool).await.unwrap();
}

async fn an_upload_lives_as_long_as_it_is_kept_alive(test: Test) {
    let (_dir, store, id) = store_with_upload(test).await;
    assert_eq!((store.remove_abandoned().await.unwrap(), store.task_counts().await.unwrap().unfinished()), (0, 1));
    expire(&store).await;
    assert_eq!(store.task_counts().await.unwrap().unfinished(), 0, "a dead upload takes no place");
    store.keep_upload(id).await.unwrap();
    assert_eq!((store.remove_abandoned().await.unwrap(), store.task_counts().await.unwrap().unfinished()), (0, 1));
    expire(&store).await;
    assert_eq!(store.remove_abandoned().await.unwrap(), 1);
    assert!(!store.task_dir(id).exists());
    for gone in [store.keep_upload(id).await, store.submit_task(id).await] {
        assert!(matches!(gone, Err(StoreError::NoSuchTask(task)) if task == id));
    }
}

async fn a_submitted_task_is_never_abandoned_and_submitting_again_takes_no_lease_away(test: Test) {
    let (_dir, store, id) = store_with_upload(test).await;
    store.submit_task(id).await.unwrap();
    assert!(store.keep_upload(id).await.is_err());
    assert_eq!(store.remove_abandoned().await.unwrap(), 0);
    let long = Duration::from_secs(60);
    let lease = store.lease_next("a", long, u64::MAX).await.unwrap().unwrap();
    store.submit_task(id).await.unwrap();
    assert_eq!(store.lease_next("b", long, u64::MAX).await.unwrap(), None);
    store.heartbeat(&lease, long).await.unwrap();
}

async fn a_task_is_deleted_with_its_files_and_leftovers_are_found(test: Test) {
    let (dir, store, id) = store_with_upload(test).await;
    store.submit_task(id).await.unwrap();
    let lease = store.lease_next("a", Duration::from_secs(60), u64::MAX).await.unwrap().unwrap();
    store.put_task_result(&lease, "log", b"story").await.unwrap();
    store.finish(&lease, &crate::Outcome::Success).await.unwrap();
    store.delete_task(id).await.unwrap();
    assert_eq!(store.task(id).await.unwrap(), None);
    assert!(store.task_result(id, "log").await.unwrap().is_none());
    assert!(!store.task_dir(id).exists());
    store.delete_task(id).await.unwrap();

    // Killed between row and files.
    store.put_task_result(&lease, "log", b"story").await.unwrap();
    std::fs::create_dir_all(store.task_dir(id).join("crash")).unwrap();
    std::fs::write(dir.path().join("tasks/notes"), b"of somebody else").unwrap();
    assert_eq!(store.remove_abandoned().await.unwrap(), 1);
    assert!(!store.task_dir(id).exists() && !dir.path().join("artifacts/tasks").join(id.to_string()).exists());
    assert!(dir.path().join("tasks/notes").exists());
}

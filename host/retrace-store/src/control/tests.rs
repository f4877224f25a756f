use std::time::Duration;

use retrace_types::{Sha256, TaskKind};

use super::*;
use crate::{
    Lease, NewTask, Step,
    testing::{Test, on_both_databases},
};

on_both_databases!(
    the_urgent_task_is_leased_first_and_places_say_so,
    a_cancelled_task_is_lost_to_its_worker_and_can_be_restarted,
    the_usual_duration_is_not_invented,
    progress_needs_the_lease_and_is_bounded,
);

const LONG: Duration = Duration::from_secs(60);

async fn submitted(store: &Store, priority: i32) -> TaskId {
    let new = NewTask { kind: TaskKind::Coredump, password_sha256: Sha256::from_bytes([1; 32]) };
    let id = store.create_task(&new).await.unwrap();
    store.describe_task(id, Some("t1"), priority).await.unwrap();
    store.submit_task(id).await.unwrap();
    // The queue is ordered by milliseconds.
    tokio::time::sleep(Duration::from_millis(3)).await;
    id
}

async fn lease(store: &Store, owner: &str) -> Lease {
    store.lease_next(owner, LONG, 10).await.unwrap().unwrap()
}

async fn the_urgent_task_is_leased_first_and_places_say_so(test: Test) {
    let store = &test.store;
    let (first, second, urgent) = (submitted(store, 0).await, submitted(store, 0).await, submitted(store, 5).await);
    let mut places = Vec::new();
    for task in [first, second, urgent] {
        places.push(store.queue_place(task).await.unwrap().unwrap().position);
    }
    assert_eq!(places, [2, 3, 1]);
    assert!(store.set_priority(second, 9).await.unwrap());
    assert_eq!(store.queue_place(second).await.unwrap(), Some(QueuePlace { position: 1, running: 0 }));
    for want in [second, urgent, first] {
        assert_eq!(lease(store, "w").await.task, want);
        assert_eq!(store.queue_place(want).await.unwrap(), None, "it does not wait any more");
    }
    let control = store.task_control(first).await.unwrap().unwrap();
    assert_eq!((control.token_id.as_deref(), control.leased), (Some("t1"), true));
}

async fn a_cancelled_task_is_lost_to_its_worker_and_can_be_restarted(test: Test) {
    let store = &test.store;
    let id = submitted(store, 0).await;
    assert!(!store.restart_task(id).await.unwrap(), "it is not finished");
    let lost = lease(store, "w").await;
    assert!(store.cancel_task(id, "somebody").await.unwrap());
    assert!(!store.cancel_task(id, "somebody else").await.unwrap() && !store.set_priority(id, 1).await.unwrap());
    assert!(matches!(store.heartbeat(&lost, LONG).await, Err(StoreError::LeaseLost(_))));
    assert!(matches!(store.finish(&lost, &Outcome::Success).await, Err(StoreError::LeaseLost(_))));
    let task = store.task(id).await.unwrap().unwrap();
    assert_eq!((task.status, task.message.as_deref()), (TaskStatus::Fail, Some("cancelled by somebody")));
    assert_eq!(store.task_control(id).await.unwrap().unwrap().cancelled_by.as_deref(), Some("somebody"));

    assert!(store.restart_task(id).await.unwrap());
    let again = lease(store, "w").await;
    assert!(again.attempt > lost.attempt, "the same worker's earlier lease stays lost");
    assert!(store.heartbeat(&lost, LONG).await.is_err());
    store.finish(&again, &Outcome::Success).await.unwrap();
    let task = store.task(id).await.unwrap().unwrap();
    assert_eq!((task.status, task.message), (TaskStatus::Success, None));
}

async fn the_usual_duration_is_not_invented(test: Test) {
    let store = &test.store;
    for (count, ms) in [10, 30, 20].into_iter().enumerate() {
        assert_eq!(store.usual_duration().await.unwrap(), None, "{count} are too few");
        let id = submitted(store, 0).await;
        store.finish(&lease(store, "w").await, &Outcome::Success).await.unwrap();
        sqlx::query("UPDATE tasks SET started_at = 1000, finished_at = $1 WHERE id = $2")
            .bind(1000_i64 + ms)
            .bind(id_to_row(id))
            .execute(&store.database.pool)
            .await
            .unwrap();
    }
    assert_eq!(store.usual_duration().await.unwrap(), Some(Duration::from_millis(20)));
}

async fn progress_needs_the_lease_and_is_bounded(test: Test) {
    let store = &test.store;
    let id = submitted(store, 0).await;
    assert!(store.progress(id).await.unwrap().is_empty());
    let lease = lease(store, "w").await;
    let steps: Vec<_> = (0..100).map(|number| Step::new(number, 1, "Reading the core")).collect();
    store.set_progress(&lease, &steps[..1]).await.unwrap();
    store.set_progress(&lease, &steps).await.unwrap();
    let kept = store.progress(id).await.unwrap();
    assert_eq!((kept.len(), kept.last().unwrap().number), (crate::MAX_STEPS, 99));
    store.cancel_task(id, "x").await.unwrap();
    assert!(matches!(store.set_progress(&lease, &steps).await, Err(StoreError::LeaseLost(_))));
    store.delete_task(id).await.unwrap();
    assert!(store.progress(id).await.unwrap().is_empty());
}

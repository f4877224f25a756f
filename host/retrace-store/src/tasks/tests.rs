//! The queue as workers use it.

use proptest::prelude::*;

use super::*;
use crate::testing::{Test, on_both_databases};

const LONG: Duration = Duration::from_secs(60);
const NONE: Duration = Duration::ZERO;

on_both_databases!(
    a_task_is_leased_only_after_it_was_submitted_and_then_once,
    workers_in_parallel_never_share_a_task,
    no_more_tasks_are_leased_than_may_run,
    a_lost_lease_can_neither_renew_nor_finish,
    a_task_that_kills_its_workers_fails_with_the_reason,
    the_queue_is_first_come_first_served_and_survives_a_restart,
    a_final_status_comes_from_the_outcome_alone,
    a_worker_that_lived_on_after_its_lease_expired_keeps_the_task_if_nobody_took_it
);

async fn new_task(store: &Store) -> TaskId {
    let new = NewTask { kind: TaskKind::Coredump, password_sha256: Sha256::from_bytes([1; 32]) };
    store.create_task(&new).await.unwrap()
}

async fn a_task_is_leased_only_after_it_was_submitted_and_then_once(test: Test) {
    let Test { dir: _dir, store, .. } = test;
    let id = new_task(&store).await;
    assert_eq!(store.lease_next("a", LONG, u64::MAX).await.unwrap(), None);
    store.submit_task(id).await.unwrap();
    let lease = store.lease_next("a", LONG, u64::MAX).await.unwrap().unwrap();
    assert_eq!((lease.task, lease.attempt), (id, 1));
    assert_eq!(store.lease_next("b", LONG, u64::MAX).await.unwrap(), None);
}

async fn no_more_tasks_are_leased_than_may_run(test: Test) {
    let Test { dir: _dir, store, .. } = test;
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(new_task(&store).await);
        store.submit_task(ids[ids.len() - 1]).await.unwrap();
    }
    // Ties of the clock are broken by the random id.
    for (n, id) in ids.iter().enumerate() {
        let query = sqlx::query("UPDATE tasks SET submitted_at = $1 WHERE id = $2");
        query.bind(i64::try_from(n).unwrap()).bind(id_to_row(*id)).execute(&store.database.pool).await.unwrap();
    }
    let workers = (0..8).map(|n| {
        let store = store.clone();
        tokio::spawn(async move { store.lease_next(&format!("worker {n}"), LONG, 3).await.unwrap() })
    });
    let mut leases = Vec::new();
    for worker in workers.collect::<Vec<_>>() {
        leases.extend(worker.await.unwrap());
    }
    leases.sort_by_key(|lease| ids.iter().position(|id| *id == lease.task));
    assert_eq!(leases.iter().map(|lease| lease.task).collect::<Vec<_>>(), ids[..3]);
    new_task(&store).await;
    assert_eq!(store.task_counts().await.unwrap(), TaskCounts { uploading: 1, waiting: 17, running: 3 });

    // One that is given back is the next, and its try does not count; whoever lost it cannot give it back.
    store.give_back(&leases[1]).await.unwrap();
    assert!(matches!(store.give_back(&leases[1]).await, Err(StoreError::LeaseLost(_))));
    let again = store.lease_next("another", LONG, 3).await.unwrap().unwrap();
    assert_eq!((again.task, again.attempt), (ids[1], 1));
    assert!(matches!(store.finish(&leases[1], &Outcome::Success).await, Err(StoreError::LeaseLost(_))));
    store.finish(&again, &Outcome::Success).await.unwrap();
    assert_eq!(store.lease_next("another", LONG, 3).await.unwrap().unwrap().task, ids[3]);
}

async fn workers_in_parallel_never_share_a_task(test: Test) {
    let Test { dir: _dir, store, .. } = test;
    for _ in 0..40 {
        store.submit_task(new_task(&store).await).await.unwrap();
    }
    let workers: Vec<_> = (0..8)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut got = Vec::new();
                while let Some(lease) = store.lease_next(&format!("worker {n}"), LONG, u64::MAX).await.unwrap() {
                    got.push(lease.task);
                }
                got
            })
        })
        .collect();
    let mut all = Vec::new();
    for worker in workers {
        all.extend(worker.await.unwrap());
    }
    all.sort();
    let count = all.len();
    all.dedup();
    assert_eq!((count, all.len()), (40, 40));
}

async fn a_lost_lease_can_neither_renew_nor_finish(test: Test) {
    let Test { dir: _dir, store, .. } = test;
    let id = new_task(&store).await;
    store.submit_task(id).await.unwrap();
    let first = store.lease_next("a", NONE, u64::MAX).await.unwrap().unwrap();
    let second = store.lease_next("a", LONG, u64::MAX).await.unwrap().unwrap();
    assert_eq!(second.attempt, 2);
    for lost in [
        store.heartbeat(&first, LONG).await,
        store.set_status(&first, TaskStatus::Backtrace).await,
        store.finish(&first, &Outcome::Success).await,
    ] {
        assert!(matches!(lost, Err(StoreError::LeaseLost(task)) if task == id));
    }
    store.finish(&second, &Outcome::Success).await.unwrap();
    assert!(store.finish(&second, &Outcome::Failure { message: "late".into() }).await.is_err());
    let task = store.task(id).await.unwrap().unwrap();
    assert_eq!((task.status, task.message), (TaskStatus::Success, None));
}

async fn a_task_that_kills_its_workers_fails_with_the_reason(test: Test) {
    let Test { dir: _dir, store, .. } = test;
    let id = new_task(&store).await;
    store.submit_task(id).await.unwrap();
    for attempt in 1..=MAX_ATTEMPTS {
        assert_eq!(store.lease_next("a", NONE, u64::MAX).await.unwrap().unwrap().attempt, attempt);
    }
    assert_eq!(store.lease_next("a", NONE, u64::MAX).await.unwrap(), None);
    let task = store.task(id).await.unwrap().unwrap();
    assert_eq!(task.status, TaskStatus::Fail);
    assert!(task.message.unwrap().contains("3 tries"));
    assert_eq!(store.task_counts().await.unwrap().unfinished(), 0);
}

async fn the_queue_is_first_come_first_served_and_survives_a_restart(test: Test) {
    let store = &test.store;
    let mut ids = Vec::new();
    for _ in 0..5 {
        let id = new_task(store).await;
        store.submit_task(id).await.unwrap();
        ids.push(id);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    store.close().await;
    let store = test.open_again().await;
    for id in ids {
        assert_eq!(store.lease_next("a", LONG, u64::MAX).await.unwrap().unwrap().task, id);
    }
}

async fn a_final_status_comes_from_the_outcome_alone(test: Test) {
    let Test { dir: _dir, store, .. } = test;
    store.submit_task(new_task(&store).await).await.unwrap();
    let lease = store.lease_next("a", LONG, u64::MAX).await.unwrap().unwrap();
    for status in [TaskStatus::Success, TaskStatus::Fail] {
        assert!(matches!(store.set_status(&lease, status).await, Err(StoreError::FinalStatus(_))));
    }
    store.set_status(&lease, TaskStatus::Backtrace).await.unwrap();
    assert_eq!(store.task(lease.task).await.unwrap().unwrap().status, TaskStatus::Backtrace);
}

async fn a_worker_that_lived_on_after_its_lease_expired_keeps_the_task_if_nobody_took_it(test: Test) {
    let Test { dir: _dir, store, .. } = test;
    store.submit_task(new_task(&store).await).await.unwrap();
    let lease = store.lease_next("a", NONE, u64::MAX).await.unwrap().unwrap();
    store.heartbeat(&lease, LONG).await.unwrap();
    assert_eq!(store.lease_next("b", LONG, u64::MAX).await.unwrap(), None);
    store.finish(&lease, &Outcome::Success).await.unwrap();
}

/// What may happen to the queue. Numbers choose among what is there.
#[derive(Clone, Debug)]
enum Event {
    Upload,
    Submit(usize),
    Lease,
    Expire(usize),
    Finish(usize),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        2 => Just(Event::Upload),
        3 => (0_usize..8).prop_map(Event::Submit),
        4 => Just(Event::Lease),
        2 => (0_usize..8).prop_map(Event::Expire),
        1 => (0_usize..8).prop_map(Event::Finish),
    ]
}

/// The queue as it is meant, in memory.
#[derive(Default)]
struct Model {
    uploads: Vec<TaskId>,
    /// In the order of submission.
    submitted: Vec<Entry>,
    finished: usize,
    next_time: i64,
}

struct Entry {
    task: TaskId,
    attempts: u32,
    leases: Vec<Lease>,
    held: bool,
}

impl Model {
    /// What the next lease must be: the first task in order that nobody holds and that may be tried again.
    fn lease(&mut self) -> Option<&mut Entry> {
        let before = self.submitted.len();
        self.submitted.retain(|entry| entry.held || entry.attempts < MAX_ATTEMPTS);
        self.finished += before - self.submitted.len();
        self.submitted.iter_mut().find(|entry| !entry.held)
    }
}

async fn play(events: Vec<Event>) {
    let Test { dir: _dir, store, .. } = Test::sqlite().await;
    let mut model = Model::default();
    for event in events {
        match event {
            Event::Upload => model.uploads.push(new_task(&store).await),
            Event::Submit(n) if n < model.uploads.len() => {
                let task = model.uploads.swap_remove(n);
                store.submit_task(task).await.unwrap();
                // Times of their own, so that the order does not hang on the clock's grain.
                model.next_time += 1;
                let query = sqlx::query("UPDATE tasks SET submitted_at = $1 WHERE id = $2");
                query.bind(model.next_time).bind(id_to_row(task)).execute(&store.database.pool).await.unwrap();
                model.submitted.push(Entry { task, attempts: 0, leases: Vec::new(), held: false });
            }
            Event::Lease => {
                let got = store.lease_next("worker", LONG, u64::MAX).await.unwrap();
                let want = model.lease();
                assert_eq!(got.as_ref().map(|lease| lease.task), want.as_ref().map(|entry| entry.task));
                if let (Some(got), Some(want)) = (got, want) {
                    want.attempts += 1;
                    assert_eq!(got.attempt, want.attempts);
                    want.held = true;
                    want.leases.push(got);
                }
            }
            Event::Expire(n) if model.submitted.get(n).is_some_and(|entry| entry.held) => {
                let entry = &mut model.submitted[n];
                entry.held = false;
                let query = sqlx::query("UPDATE tasks SET lease_expires_at = 0 WHERE id = $1");
                query.bind(id_to_row(entry.task)).execute(&store.database.pool).await.unwrap();
            }
            // Every lease that was ever given tries to finish; only the last one may.
            Event::Finish(n) if n < model.submitted.len() => {
                let entry = model.submitted.remove(n);
                let (last, lost) = entry.leases.split_last().map_or((None, &[][..]), |(last, lost)| (Some(last), lost));
                for lease in lost {
                    assert!(store.finish(lease, &Outcome::Success).await.is_err());
                }
                match last {
                    Some(lease) => {
                        store.finish(lease, &Outcome::Success).await.unwrap();
                        model.finished += 1;
                    }
                    None => model.submitted.insert(n, entry),
                }
            }
            _ => {}
        }
        let active = u64::try_from(model.uploads.len() + model.submitted.len()).unwrap();
        assert_eq!(store.task_counts().await.unwrap().unfinished(), active);
    }
    let finished: i64 = sqlx::query_scalar("SELECT count(*) FROM tasks WHERE finished_at IS NOT NULL")
        .fetch_one(&store.database.pool)
        .await
        .unwrap();
    assert_eq!(usize::try_from(finished).unwrap(), model.finished);
}

proptest! {
    // Each case opens a database and syncs every step to disk.
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_queue_behaves_as_the_model(events in proptest::collection::vec(event(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(play(events));
    }
}

use retrace_types::{Sha256, TaskKind};

use super::*;
use crate::{
    NewTask, Outcome,
    testing::{Test, on_both_databases},
};

const LONG: Duration = Duration::from_secs(60);

on_both_databases!(
    each_end_of_a_task_is_told_once_by_one_of_many,
    a_message_stays_until_it_is_taken_and_keeps_its_id,
    many_senders_share_the_messages_and_none_goes_twice,
    what_is_given_up_is_kept_and_then_forgotten,
);

async fn finished(store: &Store) -> TaskId {
    let new = NewTask { kind: TaskKind::Coredump, password_sha256: Sha256::from_bytes([1; 32]) };
    let id = store.create_task(&new).await.unwrap();
    store.submit_task(id).await.unwrap();
    let lease = store.lease_next("worker", LONG, u64::MAX).await.unwrap().unwrap();
    store.finish(&lease, &Outcome::Failure { message: "because".into() }).await.unwrap();
    id
}

fn message(target: &str) -> NewMessage {
    NewMessage { target: target.into(), event: "failed".into(), body: "{\"é\":1}".into() }
}

async fn each_end_of_a_task_is_told_once_by_one_of_many(test: Test) {
    let Test { dir: _dir, store, .. } = test;
    assert!(store.untold_tasks(10).await.unwrap().is_empty());
    let id = finished(&store).await;
    let seen = store.untold_tasks(10).await.unwrap();
    assert_eq!((seen.len(), seen[0].id), (1, id));
    let tellers = (0..6).map(|_| {
        let (store, task) = (store.clone(), seen[0].clone());
        tokio::spawn(async move { store.tell(&task, &[message("a"), message("b")]).await.unwrap() })
    });
    let mut told = 0;
    for teller in tellers.collect::<Vec<_>>() {
        told += usize::from(teller.await.unwrap());
    }
    assert_eq!(told, 1);
    assert_eq!(store.outbox_counts().await.unwrap(), OutboxCounts { waiting: 2, given_up: 0 });
    assert!(store.untold_tasks(10).await.unwrap().is_empty());

    // Restarted and finished again.
    let again = sqlx::query("UPDATE tasks SET finished_at = finished_at + 1 WHERE id = $1").bind(id_to_row(id));
    again.execute(&store.database.pool).await.unwrap();
    assert!(!store.tell(&seen[0], &[message("a")]).await.unwrap(), "that end is past");
    let seen = store.untold_tasks(10).await.unwrap();
    assert!(store.tell(&seen[0], &[]).await.unwrap());
    assert_eq!(store.outbox_counts().await.unwrap().waiting, 2);
}

async fn a_message_stays_until_it_is_taken_and_keeps_its_id(test: Test) {
    let store = &test.store;
    let id = finished(store).await;
    let task = store.untold_tasks(1).await.unwrap().remove(0);
    store.tell(&task, &[message("a")]).await.unwrap();

    // The sender is killed while it sends.
    let first = store.next_message(Duration::ZERO).await.unwrap().unwrap();
    assert_eq!((first.task, first.body.as_str(), first.attempt), (Some(id), "{\"é\":1}", 1));
    let store = test.open_again().await;
    let second = store.next_message(LONG).await.unwrap().unwrap();
    assert_eq!((&second.id, second.attempt), (&first.id, 2));
    assert_eq!(store.next_message(LONG).await.unwrap(), None);

    // What the first one has to say counts no more.
    store.put_off(&first, "late", None).await.unwrap();
    assert_eq!(store.outbox_counts().await.unwrap(), OutboxCounts { waiting: 1, given_up: 0 });
    store.put_off(&second, "refused", Some(LONG)).await.unwrap();
    assert_eq!(store.next_message(LONG).await.unwrap(), None, "not before its time");
    store.put_off(&second, "refused", Some(Duration::ZERO)).await.unwrap();
    let third = store.next_message(LONG).await.unwrap().unwrap();
    store.delivered(&third).await.unwrap();
    assert_eq!(store.outbox_counts().await.unwrap(), OutboxCounts::default());
}

async fn many_senders_share_the_messages_and_none_goes_twice(test: Test) {
    let Test { dir: _dir, store, .. } = test;
    finished(&store).await;
    let task = store.untold_tasks(1).await.unwrap().remove(0);
    let messages: Vec<_> = (0..30).map(|n| message(&n.to_string())).collect();
    store.tell(&task, &messages).await.unwrap();
    let senders = (0..6).map(|_| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut sent = Vec::new();
            while let Some(message) = store.next_message(LONG).await.unwrap() {
                sent.push(message.target.clone());
                store.delivered(&message).await.unwrap();
            }
            sent
        })
    });
    let mut sent = Vec::new();
    for sender in senders.collect::<Vec<_>>() {
        sent.extend(sender.await.unwrap());
    }
    let count = sent.len();
    sent.sort();
    sent.dedup();
    assert_eq!(sent.len(), count);
    // A sender may find the one that another takes in the same moment, and stop; none is left, though.
    while let Some(message) = store.next_message(LONG).await.unwrap() {
        sent.push(message.target.clone());
        store.delivered(&message).await.unwrap();
    }
    assert_eq!(sent.len(), 30);
}

async fn what_is_given_up_is_kept_and_then_forgotten(test: Test) {
    let Test { dir: _dir, store, .. } = test;
    finished(&store).await;
    let task = store.untold_tasks(1).await.unwrap().remove(0);
    store.tell(&task, &[message("a")]).await.unwrap();
    let message = store.next_message(LONG).await.unwrap().unwrap();
    store.put_off(&message, "no", None).await.unwrap();
    assert_eq!(store.next_message(LONG).await.unwrap(), None);
    assert_eq!(store.outbox_counts().await.unwrap(), OutboxCounts { waiting: 0, given_up: 1 });
    let before = Timestamp::from_second(1).unwrap();
    assert_eq!((store.old_messages(before).await.unwrap(), store.forget_messages(before).await.unwrap()), (0, 0));
    let now = Timestamp::now() + Duration::from_secs(1);
    assert_eq!((store.old_messages(now).await.unwrap(), store.forget_messages(now).await.unwrap()), (1, 1));
}

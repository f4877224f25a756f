//! Pages of the list.

use std::time::Instant;

use retrace_types::FailureReason;

use super::*;
use crate::{
    Finding,
    findings::tests::{finding, finished, leased},
    testing::{Test, on_both_databases},
};

on_both_databases!(
    tasks_are_found_by_what_is_known_of_them,
    pages_follow_each_other_whatever_comes_in,
    a_page_of_a_hundred_thousand_tasks_is_a_few_steps
);

async fn found(store: &Store, search: TaskSearch) -> Vec<TaskId> {
    store.find_tasks(&search, 100).await.unwrap().into_iter().map(|found| found.task.id).collect()
}

async fn with(store: &Store, terms: Vec<Term>) -> Vec<TaskId> {
    found(store, TaskSearch { terms, ..TaskSearch::default() }).await
}

async fn tasks_are_found_by_what_is_known_of_them(test: Test) {
    let store = &test.store;
    let x = finished(store, &finding("x-1.0-1.fc40.x86_64", &["Server::handle", "main"], 1)).await;
    let y = finished(store, &finding("y-2.0-1.fc40.x86_64", &["strange_thing", "main"], 2)).await;
    let failed = finished(store, &Finding::failure(FailureReason::NotACore)).await;
    let running = leased(store).await.task;

    let all = found(store, TaskSearch::default()).await;
    assert_eq!(all.len(), 4);
    assert_eq!(with(store, vec![Term::Package("x".into())]).await, [x]);
    assert_eq!(with(store, vec![Term::Package("y-2.0-1.fc40.x86_64".into())]).await, [y]);
    assert_eq!(with(store, vec![Term::Reason("not-a-core".into())]).await, [failed]);
    assert_eq!(with(store, vec![Term::State("failure")]).await, [failed]);
    assert_eq!(with(store, Term::words("server HANDLE")).await, [x]);
    assert_eq!(with(store, Term::words("server strange_thing")).await, []);
    assert_eq!(with(store, Term::words("failed: not-a-core")).await, [failed]);
    let both = with(store, vec![Term::Executable("/usr/bin/x".into()), Term::Word("main".into())]).await;
    assert!(both.len() == 2 && both.contains(&x) && both.contains(&y));
    let group = finding("", &["strange_thing", "main"], 2).signature.unwrap().group().unwrap();
    assert_eq!(with(store, vec![Term::Group(group.to_string()), Term::Release("fedora-40".into())]).await, [y]);

    let pending = |pending| TaskSearch { pending: Some(pending), ..TaskSearch::default() };
    assert_eq!(found(store, pending(Pending::Running)).await, [running]);
    assert_eq!(found(store, pending(Pending::Any)).await, [running]);
    assert_eq!(found(store, pending(Pending::Waiting)).await, []);
    let now = Timestamp::now();
    assert_eq!(
        found(store, TaskSearch { until: Some(now - std::time::Duration::from_secs(60)), ..TaskSearch::default() })
            .await,
        []
    );
    assert_eq!(
        found(store, TaskSearch { since: Some(now - std::time::Duration::from_secs(60)), ..TaskSearch::default() })
            .await
            .len(),
        4
    );
    let one = store.find_tasks(&pending(Pending::Running), 1).await.unwrap().remove(0);
    assert!(one.running && one.known.is_none());

    store.delete_task(x).await.unwrap();
    assert_eq!(with(store, vec![Term::Package("x".into())]).await, []);
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM task_terms WHERE task_id = $1")
        .bind(id_to_row(x))
        .fetch_one(&store.database.pool)
        .await
        .unwrap();
    assert_eq!(left, 0);
}

async fn pages_follow_each_other_whatever_comes_in(test: Test) {
    let store = &test.store;
    let mut want = Vec::new();
    for _ in 0..7 {
        want.push(finished(store, &finding("x-1.0-1", &["f"], 1)).await);
    }
    for terms in [Vec::new(), vec![Term::Word("f".into()), Term::Package("x".into())]] {
        let mut seen = Vec::new();
        let mut search = TaskSearch { terms, ..TaskSearch::default() };
        loop {
            let page = store.find_tasks(&search, 3).await.unwrap();
            let Some(last) = page.last() else { break };
            search.after = Some(last.position());
            seen.extend(page.into_iter().map(|found| found.task.id));
            finished(store, &finding("x-1.0-1", &["f"], 1)).await;
        }
        let mut expected = want.clone();
        expected.sort();
        let tail = seen.len() - want.len();
        let mut got: Vec<_> = seen.split_off(tail);
        got.sort();
        assert_eq!(got, expected, "each once");
        let all = found(store, TaskSearch::default()).await;
        want = all;
    }
}

/// Rows as they come from the workers, made by the database.
async fn fill(store: &Store, tasks: i64) {
    let numbers = format!("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {tasks})");
    let term = |term: Term| term.to_row();
    let statements = [
        format!(
            "INSERT INTO tasks (id, kind, status, password_sha256, created_at, submitted_at, finished_at, attempts)
             {numbers} SELECT 100000000 + i, 0, 6, p.password_sha256, 1000 + i / 3, 1, 1, 1
             FROM n, (SELECT password_sha256 FROM tasks LIMIT 1) p"
        ),
        format!(
            "INSERT INTO findings (task_id, package, executable, frames, from_group, steps)
             {numbers} SELECT 100000000 + i, 'x-1-1', '/usr/bin/x', '[]', 0, '[]' FROM n"
        ),
        // Every task, every tenth, every thousandth.
        format!(
            "INSERT INTO task_terms {numbers} SELECT {}, 1000 + i / 3, 100000000 + i FROM n",
            term(Term::State("success"))
        ),
        format!(
            "INSERT INTO task_terms {numbers} SELECT {}, 1000 + i / 3, 100000000 + i FROM n WHERE i % 10 = 0",
            term(Term::Package("x".into()))
        ),
        format!(
            "INSERT INTO task_terms {numbers} SELECT {}, 1000 + i / 3, 100000000 + i FROM n WHERE i % 1000 = 0",
            term(Term::Word("rare".into()))
        ),
    ];
    for statement in statements {
        sqlx::query(AssertSqlSafe(statement)).execute(&store.database.pool).await.unwrap();
    }
    let analyze = sqlx::query("ANALYZE").execute(&store.database.pool).await;
    analyze.unwrap();
}

/// What a page costs is printed, not judged: `cargo test -p retrace-store a_page_of -- --nocapture`.
async fn a_page_of_a_hundred_thousand_tasks_is_a_few_steps(test: Test) {
    let store = &test.store;
    leased(store).await;
    fill(store, 100_000).await;
    let after = TaskPosition { created_ms: 1000 + 50_000 / 3, task: TaskId::try_from(100_050_000).unwrap() };
    let searches = [
        ("all", Vec::new(), 50),
        ("one frequent term", vec![Term::State("success")], 50),
        ("two terms", vec![Term::State("success"), Term::Package("x".into())], 50),
        ("a rare word", vec![Term::State("success"), Term::Word("rare".into())], 49),
        ("no task", vec![Term::State("success"), Term::Word("nowhere".into())], 0),
    ];
    for (what, terms, want) in searches {
        let search = TaskSearch { terms, after: Some(after), ..TaskSearch::default() };
        store.find_tasks(&search, 50).await.unwrap();
        let start = Instant::now();
        let page = store.find_tasks(&search, 50).await.unwrap();
        println!("{:?}, {what}: {:.1} ms", store.database.dialect, start.elapsed().as_secs_f64() * 1000.0);
        assert_eq!(page.len(), want, "{what}");
        assert!(page.is_sorted_by_key(|found| std::cmp::Reverse(found.position().created_ms)));
    }
}

//! What is noted when a task is finished, and what stays of it.

use std::time::Duration;

use retrace_types::TaskKind;

use super::*;
use crate::{
    GroupOrder, KeptResult, Lease, NewTask,
    testing::{Test, on_both_databases},
};

on_both_databases!(
    what_is_known_is_written_with_the_final_status_and_only_once,
    a_task_that_was_given_up_has_a_reason,
    crashes_with_one_signature_are_one_group_that_outlives_its_tasks,
    a_kept_result_is_found_by_what_the_crash_looked_like,
    of_many_results_the_newest_are_kept,
    a_task_that_is_started_again_is_one_crash,
);

const LONG: Duration = Duration::from_secs(60);

pub(crate) fn signature(functions: &[&str], addresses: u8) -> CrashSignature {
    let frames: Vec<_> = functions.iter().map(|name| format!("x!{name}")).collect();
    let digest = Sha256::from_bytes([u8::try_from(functions.join(" ").len()).unwrap(); 32]);
    CrashSignature {
        schema: SIGNATURE_SCHEMA.to_owned(),
        addresses: Some(Sha256::from_bytes([addresses; 32])),
        functions: (!frames.is_empty()).then_some(FunctionSignature { digest, frames }),
    }
}

pub(crate) fn finding(package: &str, functions: &[&str], addresses: u8) -> Finding {
    Finding {
        release: Some("fedora-40".parse().unwrap()),
        architecture: Some(Architecture::X86_64),
        package: Some(package.to_owned()),
        executable: Some("/usr/bin/x".to_owned()),
        signal: Some("SIGSEGV".to_owned()),
        signature: Some(signature(functions, addresses)),
        steps: vec![StepTiming { step: "facts".to_owned(), milliseconds: 1.5 }],
        ..Finding::default()
    }
}

pub(crate) async fn leased(store: &Store) -> Lease {
    let new = NewTask { kind: TaskKind::Coredump, password_sha256: Sha256::from_bytes([1; 32]) };
    let id = store.create_task(&new).await.unwrap();
    store.submit_task(id).await.unwrap();
    store.lease_next("a", LONG, u64::MAX).await.unwrap().unwrap()
}

pub(crate) async fn finished(store: &Store, finding: &Finding) -> TaskId {
    let lease = leased(store).await;
    let outcome = match finding.reason {
        Some(reason) => Outcome::Failure { message: format!("it failed: {reason}") },
        None => Outcome::Success,
    };
    store.finish_with(&lease, &outcome, finding).await.unwrap();
    lease.task
}

async fn what_is_known_is_written_with_the_final_status_and_only_once(test: Test) {
    let store = &test.store;
    let lease = leased(store).await;
    assert_eq!(store.known(lease.task).await.unwrap(), None);
    let long = "x".repeat(10_000);
    let hostile = Finding { executable: Some(format!("/bin/\0\n{long}")), ..finding("x-1.0-1.fc40.x86_64", &["f"], 1) };
    store.finish_with(&lease, &Outcome::Success, &hostile).await.unwrap();
    let known = store.known(lease.task).await.unwrap().unwrap();
    assert_eq!(known.executable.unwrap().len(), MAX_TEXT_BYTES);
    assert_eq!((known.signature.clone(), known.group), (signature(&["f"], 1), signature(&["f"], 1).group()));
    assert_eq!((known.reason, known.from_group, known.steps.len()), (None, false, 1));
    assert!(known.duration_ms.is_some());

    // The answer of the first time may have been lost: the same again is harmless, and changes nothing.
    store.finish_with(&lease, &Outcome::Success, &finding("y-1-1", &["g"], 2)).await.unwrap();
    let failed = Outcome::Failure { message: "late".to_owned() };
    assert!(store.finish_with(&lease, &failed, &finding("y-1-1", &["g"], 2)).await.is_err());
    assert_eq!(store.known(lease.task).await.unwrap().unwrap().package.as_deref(), Some("x-1.0-1.fc40.x86_64"));
    assert_eq!(store.groups(GroupOrder::Newest(None), 10).await.unwrap().len(), 1, "nothing of the second try");
}

async fn a_task_that_was_given_up_has_a_reason(test: Test) {
    let store = &test.store;
    let lease = leased(store).await;
    for _ in 0..crate::MAX_ATTEMPTS {
        sqlx::query("UPDATE tasks SET lease_expires_at = 0").execute(&store.database.pool).await.unwrap();
        store.lease_next("b", LONG, u64::MAX).await.unwrap();
    }
    let known = store.known(lease.task).await.unwrap().unwrap();
    assert_eq!((known.reason, known.signature.group()), (Some(FailureReason::GaveUp), None));
}

async fn crashes_with_one_signature_are_one_group_that_outlives_its_tasks(test: Test) {
    let store = &test.store;
    let first = finished(store, &finding("x-1.0-1.fc40.x86_64", &["f", "main"], 1)).await;
    finished(store, &finding("x-1.1-1.fc40.x86_64", &["f", "main"], 2)).await;
    finished(store, &finding("x-1.1-1.fc40.x86_64", &["f", "main"], 2)).await;
    finished(store, &finding("y-1.0-1.fc40.x86_64", &["other"], 3)).await;
    finished(store, &finding("z-1.0-1.fc40.x86_64", &[], 4)).await;
    finished(store, &Finding::failure(FailureReason::NotACore)).await;

    let id = signature(&["f", "main"], 1).group().unwrap();
    let group = store.group(&id).await.unwrap().unwrap();
    assert_eq!((group.crashes, group.frames.join(" ").as_str()), (3, "x!f x!main"));
    for asked in [id, Sha256::from_bytes([1; 32]), Sha256::from_bytes([2; 32])] {
        assert_eq!(store.group_of_signature(&asked).await.unwrap().map(|group| group.id), Some(id));
    }
    assert_eq!(store.group_of_signature(&Sha256::from_bytes([9; 32])).await.unwrap(), None);
    let packages = store.group_packages(&id, 10).await.unwrap();
    let counts: Vec<_> = packages.iter().map(|package| (package.package.clone().unwrap(), package.crashes)).collect();
    assert_eq!(counts, [("x-1.1-1.fc40.x86_64".to_owned(), 2), ("x-1.0-1.fc40.x86_64".to_owned(), 1)]);
    let bare = store.group_of_signature(&Sha256::from_bytes([4; 32])).await.unwrap().unwrap();
    assert_eq!((bare.frames.len(), bare.crashes), (0, 1), "known by its addresses alone");

    let frequent = store.groups(GroupOrder::Frequent(None), 1).await.unwrap().remove(0);
    assert_eq!(frequent.id, id);
    let next = store.groups(GroupOrder::Frequent(Some((3, id))), 10).await.unwrap();
    assert_eq!(next.len(), 2);

    store.delete_task(first).await.unwrap();
    assert_eq!(store.known(first).await.unwrap(), None);
    assert_eq!(store.group(&id).await.unwrap().unwrap().crashes, 3);
    assert_eq!(store.trim_groups(Timestamp::now()).await.unwrap(), 3);
    assert_eq!(store.group(&id).await.unwrap(), None);
    assert_eq!(store.group_packages(&id, 10).await.unwrap(), []);
}

async fn a_kept_result_is_found_by_what_the_crash_looked_like(test: Test) {
    let store = &test.store;
    let (fingerprint, stack) = (Sha256::from_bytes([7; 32]), Sha256::from_bytes([8; 32]));
    let answer = Some(Answer { fingerprint: Some(fingerprint), stack });
    let finding = Finding { answer, ..finding("x-1.0-1", &["f"], 1) };
    let kept = KeptResult { group: finding.signature.as_ref().unwrap().group().unwrap(), stack };
    store.keep_result(kept, b"{}".to_vec()).await.unwrap();
    let task = finished(store, &finding).await;
    assert_eq!(store.kept_result(&fingerprint).await.unwrap(), Some(kept));
    assert_eq!(store.kept_result(&stack).await.unwrap(), None);
    store.delete_task(task).await.unwrap();
    store.trim_groups(Timestamp::UNIX_EPOCH).await.unwrap();
    assert_eq!(store.read_kept_result(kept, 100).await.unwrap(), Some(b"{}".to_vec()));
    assert!(store.read_kept_result(kept, 1).await.is_err(), "a limit");
    assert_eq!(store.group(&kept.group).await.unwrap().unwrap().result, Some(stack));
    let gone = KeptResult { stack: fingerprint, ..kept };
    assert_eq!(store.read_kept_result(gone, 100).await.unwrap(), None);
}

async fn of_many_results_the_newest_are_kept(test: Test) {
    let store = &test.store;
    let fingerprint = |n: u8| Sha256::from_bytes([n; 32]);
    for n in 0..70 {
        let answer = Some(Answer { fingerprint: Some(fingerprint(n)), stack: fingerprint(200) });
        finished(store, &Finding { answer, ..finding("x-1.0-1", &["f"], 1) }).await;
        // Else several have one time, and which of them are kept is decided by their names.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(store.kept_result(&fingerprint(5)).await.unwrap(), None);
    assert!(store.kept_result(&fingerprint(6)).await.unwrap().is_some());
    assert!(store.kept_result(&fingerprint(69)).await.unwrap().is_some());
}

async fn a_task_that_is_started_again_is_one_crash(test: Test) {
    let store = &test.store;
    let task = finished(store, &finding("x-1.0-1", &["f"], 1)).await;
    for (functions, in_first, in_second) in [(["f"], 1, 0), (["other"], 1, 1)] {
        sqlx::query("UPDATE tasks SET finished_at = NULL, attempts = 0").execute(&store.database.pool).await.unwrap();
        let lease = store.lease_next("a", LONG, u64::MAX).await.unwrap().unwrap();
        assert_eq!(lease.task, task);
        store.finish_with(&lease, &Outcome::Success, &finding("x-1.0-1", &functions, 1)).await.unwrap();
        let crashes = async |name| {
            let group = store.group(&signature(&[name], 1).group().unwrap()).await.unwrap();
            group.map_or(0, |group| group.crashes)
        };
        assert_eq!((crashes("f").await, crashes("other").await), (in_first, in_second));
        let found = store.known(task).await.unwrap().unwrap();
        assert_eq!(found.signature, signature(&functions, 1));
    }
    let days = store.statistics_days().await.unwrap().unwrap();
    let counted = store.task_statistics(crate::CountBy::Nothing, days.0, days.1).await.unwrap();
    assert_eq!(counted.first().map(|of| of.tasks), Some(1));
}

#[test]
fn a_package_is_named_without_its_version() {
    let cases = [("will-crash-1.0-1.fc40", "will-crash"), ("x", "x"), ("a-b-c", "a-b-c"), ("a-1-2", "a"), ("", "")];
    for (nvr, want) in cases {
        assert_eq!(name_of_nvr(nvr), want, "{nvr}");
    }
}

//! Several mirrors: their order, and what is remembered of those that fail.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use super::{
    server::{Answer, Server},
    support::{Bench, deb_spec, fixture, release, rpm_spec, scope, shown},
};
use crate::{MirrorError, Outcome, RepositoryReport, error::chain};

async fn report(bench: &Bench, spec: &retrace_types::RepositorySpec) -> RepositoryReport {
    let specs = std::slice::from_ref(spec);
    let architecture = retrace_types::Architecture::X86_64;
    bench.mirror.sync(&release(), architecture, specs, &()).await.unwrap().repositories.remove(0)
}

#[tokio::test]
async fn a_failing_mirror_is_named_and_left_alone_for_a_while() {
    let Some(fixture) = fixture().await else { return };
    let bad = Server::start(&fixture.path("rpm"), |_| Answer::Status(500)).await;
    let good = Server::honest(&fixture.path("rpm")).await;
    let bench = Bench::with(&fixture, |options| options.retries = 1).await;
    let spec = rpm_spec(&[&bad.url, &good.url]);

    let first = report(&bench, &spec).await;
    assert!(matches!(first.outcome, Outcome::Updated { .. }), "{first:?}");
    assert_eq!(first.mirror.as_deref(), Some(good.url.as_str()));
    let (mirror, error) = &first.failed_mirrors[0];
    assert!(*mirror == bad.url && chain(error).contains("500"), "{first:?}");
    let asked = bad.requests().len();
    assert_eq!(asked, 2);

    let second = report(&bench, &spec).await;
    assert!(matches!(second.outcome, Outcome::Unchanged), "{second:?}");
    let package = bench.store.find_packages(&scope(), "greet").await.unwrap().remove(0);
    bench.mirror.fetch(&package, &()).await.unwrap();
    assert_eq!(bad.requests().len(), asked, "it rests, for packages too");

    // Better than nothing: with no other mirror it is asked all the same.
    let alone = report(&bench, &rpm_spec(&[&bad.url])).await;
    assert!(matches!(alone.outcome, Outcome::Failed(MirrorError::Status { .. })), "{alone:?}");
    assert!(bad.requests().len() > asked);
}

#[tokio::test]
async fn a_mirror_that_wants_a_pause_gets_it() {
    let Some(fixture) = fixture().await else { return };
    let busy = Server::start(&fixture.path("rpm"), |_| Answer::RetryAfter(429, "3600")).await;
    let bench = Bench::new(&fixture).await;
    let spec = rpm_spec(&[&busy.url]);
    let start = std::time::Instant::now();
    assert!(matches!(bench.sync_error(&spec).await, MirrorError::Status { status: 429, .. }));
    assert!(start.elapsed() < Duration::from_secs(5), "an hour is not waited for");
    assert_eq!(busy.requests().len(), 1);
    let error = bench.sync_error(&spec).await;
    let MirrorError::Resting { server, seconds, reason } = &error else { panic!("{error}") };
    assert!(busy.url.starts_with(server) && (3500..=3600).contains(seconds) && reason.contains("429"), "{error}");
    assert_eq!(busy.requests().len(), 1, "it was not asked again");
}

#[tokio::test]
async fn a_short_pause_is_waited_for() {
    let Some(fixture) = fixture().await else { return };
    let server = Server::start(&fixture.path("rpm"), |request| match (request.path.as_str(), request.before) {
        ("repodata/repomd.xml", 0) => Answer::RetryAfter(503, "1"),
        _ => Answer::Honest,
    })
    .await;
    let start = std::time::Instant::now();
    Bench::new(&fixture).await.sync_updates(&rpm_spec(&[&server.url])).await;
    assert!(start.elapsed() >= Duration::from_secs(1), "{:?}", start.elapsed());
}

/// A mirror whose top file is there before its other files.
#[tokio::test]
async fn a_mirror_in_the_middle_of_its_sync_is_read_again_and_then_the_next_one_is() {
    let Some(fixture) = fixture().await else { return };
    for heals in [true, false] {
        for missing in [Answer::Status(404), Answer::Corrupt, Answer::Short(20)] {
            let (old, tops) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
            let (is_old, count, lie) = (Arc::clone(&old), Arc::clone(&tops), missing.clone());
            let server = Server::start(&fixture.path("rpm"), move |request| {
                if request.path == "repodata/repomd.xml" && count.fetch_add(1, Ordering::SeqCst) == 1 && heals {
                    is_old.store(false, Ordering::SeqCst);
                }
                let is_lie = request.path.contains("filelists.xml") && is_old.load(Ordering::SeqCst);
                if is_lie { lie.clone() } else { Answer::Honest }
            })
            .await;
            let bench = Bench::with(&fixture, |options| options.retries = 0).await;
            let folder = fixture.path("rpm");
            let report = report(&bench, &rpm_spec(&[&server.url, shown(&folder)])).await;
            assert!(
                matches!(report.outcome, Outcome::Updated { packages: 6, build_ids: 10 }),
                "{missing:?} {report:?}"
            );
            assert_eq!(tops.load(Ordering::SeqCst), 2, "read twice");
            assert!(report.notes.iter().any(|note| note.contains("read again")), "{report:?}");
            let want = if heals { server.url.as_str() } else { shown(&folder) };
            assert_eq!(report.mirror.as_deref(), Some(want), "{missing:?}");
            assert_eq!(report.failed_mirrors.is_empty(), heals);
        }
    }
}

#[tokio::test]
async fn no_news_cost_one_small_request() {
    let Some(fixture) = fixture().await else { return };
    for (root, spec) in [("rpm", rpm_spec as fn(&[&str]) -> _), ("deb", deb_spec)] {
        let server = Server::honest(&fixture.path(root)).await;
        let bench = Bench::new(&fixture).await;
        let spec = spec(&[&server.url]);
        bench.sync_updates(&spec).await;
        let before = server.requests().len();
        let report = report(&bench, &spec).await;
        assert!(matches!(report.outcome, Outcome::Unchanged), "{report:?}");
        let new = server.requests().split_off(before);
        assert_eq!((new.len(), new[0].is_conditional), (1, true), "{new:?}");

        // A copy that is damaged is no copy.
        let tops = bench.dir.path().join("downloads/tops");
        for entry in std::fs::read_dir(&tops).unwrap() {
            std::fs::write(entry.unwrap().path(), "retrace-top 1\n\"x\"\n\n0\njunk").unwrap();
        }
        assert!(matches!(bench.sync(&spec).await, Outcome::Unchanged));
        assert!(!server.requests().last().unwrap().is_conditional);
    }
}

#[tokio::test]
async fn a_repository_that_another_process_syncs_is_left_to_it() {
    let Some(fixture) = fixture().await else { return };
    let mirror = Server::honest(&fixture.path("rpm")).await;
    let bench = Bench::new(&fixture).await;
    let spec = rpm_spec(&[&mirror.url]);
    assert!(matches!(report(&bench, &spec).await.outcome, Outcome::Updated { .. }));
    let key = bench.store.repositories(None, None).await.unwrap().remove(0).key;
    let asked = mirror.requests().len();

    let other = retrace_store::Store::open(bench.store.dir()).await.unwrap();
    let lock = other.lock_repository(key, Duration::from_secs(60)).await.unwrap().unwrap();
    let refused = report(&bench, &spec).await.outcome;
    let Outcome::Failed(error @ MirrorError::BeingSynced { .. }) = refused else { panic!("{refused:?}") };
    assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
    assert_eq!(mirror.requests().len(), asked, "nothing was fetched");

    other.unlock_repository(lock).await.unwrap();
    assert!(matches!(report(&bench, &spec).await.outcome, Outcome::Unchanged));
    other.lock_repository(key, Duration::from_secs(60)).await.unwrap().expect("the sync gave its lock back");
}

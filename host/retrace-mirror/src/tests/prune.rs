use std::time::{Duration, SystemTime};

use jiff::{SignedDuration, Timestamp};

use super::{
    server::Server,
    support::{Bench, Fixture, fixture, rpm_spec, scope},
};
use crate::{Mode, Rule};

/// A mirror with everything fetched, the fixture and its server.
async fn full(fixture: &Fixture) -> (Bench, Server) {
    let server = Server::honest(&fixture.path("rpm")).await;
    let bench = Bench::new(fixture).await;
    bench.sync_updates(&rpm_spec(&[&server.url])).await;
    let ahead = bench.ruled(&[rule(Mode::Full)]).plan_ahead(&scope()).await.unwrap();
    assert_eq!(bench.mirror.fetch_ahead(&ahead, &()).await.unwrap().fetched, 6);
    (bench, server)
}

fn rule(mode: Mode) -> Rule {
    Rule { mode: Some(mode), ..Rule::default() }
}

fn newest() -> [Rule; 1] {
    [Rule { newest: Some(1), ..rule(Mode::Filtered) }]
}

async fn local(bench: &Bench) -> Vec<String> {
    let mut names: Vec<_> =
        bench.store.local_packages(&scope()).await.unwrap().iter().map(|package| package.id.to_string()).collect();
    names.sort();
    names
}

/// Files and bytes of the artifact store.
fn stored(bench: &Bench) -> (usize, u64) {
    let folders = std::fs::read_dir(bench.store.dir().join("artifacts/packages")).unwrap();
    let files = folders.flat_map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap());
    files.fold((0, 0), |(files, bytes), file| (files + 1, bytes + file.unwrap().metadata().unwrap().len()))
}

#[tokio::test]
async fn only_what_a_filter_lets_go_of_is_removed() {
    let Some(fixture) = fixture().await else { return };
    let (bench, _server) = full(&fixture).await;
    for rules in [vec![], vec![rule(Mode::Full)], vec![Rule { enabled: Some(false), ..newest()[0].clone() }]] {
        let plan = bench.ruled(&rules).plan_prune().await.unwrap();
        assert_eq!((plan.packages.len(), plan.orphans.len()), (0, 0), "{rules:?}");
    }
    let before = stored(&bench);
    let plan = bench.ruled(&newest()).plan_prune().await.unwrap();
    assert_eq!((plan.packages.len(), plan.kept, stored(&bench)), (3, 3, before), "a plan changes nothing");

    // A run that was killed in the middle: its file is gone, its row is not.
    std::fs::remove_file(bench.store.local_package_path(&plan.packages[0].copy.sha256).unwrap()).unwrap();
    let report = bench.mirror.prune(&plan).await.unwrap();
    assert_eq!((report.packages, report.in_use, report.failed.len()), (3, 0, 0));
    assert_eq!(report.bytes, plan.bytes() - plan.packages[0].copy.size_bytes);
    let after = stored(&bench);
    assert_eq!((before.0 - after.0, before.1 - after.1), (3, plan.bytes()));
    assert_eq!(local(&bench).await, ["greet-2-1.x86_64", "greet-debuginfo-2-1.x86_64", "greet-libs-2-1.x86_64"]);
    assert_eq!(bench.ruled(&newest()).plan_prune().await.unwrap().packages, []);

    // What was removed is still known, and comes back when somebody needs it.
    let old = bench.store.find_packages(&scope(), "greet").await.unwrap().remove(0);
    assert!(old.local.is_none());
    bench.mirror.fetch(&old, &()).await.unwrap();
}

#[tokio::test]
async fn what_a_crash_referenced_or_a_retrace_reads_stays() {
    let Some(fixture) = fixture().await else { return };
    let (bench, _server) = full(&fixture).await;
    let old = |name: &'static str| {
        let store = bench.store.clone();
        async move {
            let found = store.find_packages(&scope(), name).await.unwrap();
            found.into_iter().find(|package| package.id.version == "1").unwrap().key
        }
    };
    let long_ago = Timestamp::now() - SignedDuration::from_hours(1000);
    bench.store.note_referenced(&[old("greet").await], long_ago).await.unwrap();
    let plan = bench.ruled(&newest()).plan_prune().await.unwrap();
    let names: Vec<_> = plan.packages.iter().map(|package| package.id.to_string()).collect();
    assert_eq!(names, ["greet-libs-1-1.x86_64"], "its debug package stays too");

    // Between plan and removal a retrace begins to read it.
    bench.store.note_read(&[old("greet-libs").await], Timestamp::now()).await.unwrap();
    let report = bench.mirror.prune(&plan).await.unwrap();
    assert_eq!((report.packages, report.in_use, local(&bench).await.len()), (0, 1, 6));
}

#[tokio::test]
async fn orphans_go_when_they_are_old() {
    let Some(fixture) = fixture().await else { return };
    let (bench, _server) = full(&fixture).await;
    let copies = stored(&bench);
    let folder = bench.store.dir().join("artifacts/packages/00");
    std::fs::create_dir_all(&folder).unwrap();
    let [old, young] = ["0", "1"].map(|end| folder.join("0".repeat(63) + end));
    for file in [&old, &young] {
        std::fs::write(file, b"orphan").unwrap();
    }
    let time = SystemTime::now() - Duration::from_secs(3700);
    std::fs::File::options().write(true).open(&old).unwrap().set_modified(time).unwrap();
    let plan = bench.ruled(&[]).plan_prune().await.unwrap();
    assert_eq!((plan.orphans.len(), plan.young, plan.bytes()), (1, 1, 6));
    let report = bench.mirror.prune(&plan).await.unwrap();
    assert_eq!((report.orphans, report.bytes), (1, 6));
    assert!(!old.exists() && young.exists());
    assert_eq!(stored(&bench).0, copies.0 + 1);
}

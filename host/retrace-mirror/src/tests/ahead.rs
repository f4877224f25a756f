use retrace_store::NewRepository;

use super::{
    server::{Answer, Server},
    support::{Bench, fixture, rpm_spec, scope},
};
use crate::{Ahead, Filter, Mode, Rule, WantedModule};

fn rule(mode: Mode) -> Rule {
    Rule { mode: Some(mode), ..Rule::default() }
}

#[tokio::test]
async fn full_fetches_everything_once_and_one_failure_stops_nothing() {
    let Some(fixture) = fixture().await else { return };
    let server = Server::start(&fixture.path("rpm"), |request| {
        if request.path.contains("greet-libs-2") && request.before < 20 { Answer::Status(404) } else { Answer::Honest }
    })
    .await;
    let bench = Bench::new(&fixture).await;
    bench.sync_updates(&rpm_spec(&[&server.url])).await;

    let nothing = bench.ruled(&[]).plan_ahead(&scope()).await.unwrap();
    assert_eq!((nothing.plan.fetch.len(), nothing.repositories.len()), (0, 1));

    let rules = [rule(Mode::Full)];
    let ahead = bench.ruled(&rules).plan_ahead(&scope()).await.unwrap();
    assert_eq!(ahead.plan.fetch.len(), 6);
    let report = bench.mirror.fetch_ahead(&ahead, &()).await.unwrap();
    assert_eq!(report.fetched, 5);
    let failed: Vec<_> = report.failed.iter().map(|(id, _)| id.to_string()).collect();
    assert_eq!(failed, ["greet-libs-2-1.x86_64"]);

    let again = bench.ruled(&rules).plan_ahead(&scope()).await.unwrap();
    assert_eq!((again.plan.fetch.len(), again.plan.keep.len()), (1, 5), "what is here is not fetched again");
}

#[tokio::test]
async fn filtered_fetches_the_newest_version_of_what_is_named() {
    let Some(fixture) = fixture().await else { return };
    let server = Server::honest(&fixture.path("rpm")).await;
    let bench = Bench::new(&fixture).await;
    bench.sync_updates(&rpm_spec(&[&server.url])).await;
    let rules = [Rule { include: Some(vec!["greet".parse().unwrap()]), newest: Some(1), ..rule(Mode::Filtered) }];
    let ahead = bench.ruled(&rules).plan_ahead(&scope()).await.unwrap();
    assert_ne!(ahead.repositories.first().unwrap().1.filter, Filter::default());
    assert_eq!(bench.mirror.fetch_ahead(&ahead, &()).await.unwrap().fetched, 1);
    let local: Vec<_> =
        bench.store.packages(&scope()).await.unwrap().into_iter().filter(|p| p.local.is_some()).collect();
    assert_eq!(local.iter().map(|package| package.id.to_string()).collect::<Vec<_>>(), ["greet-2-1.x86_64"]);
}

#[tokio::test]
async fn what_a_crash_referenced_is_fetched_in_newer_versions_with_debug_packages() {
    let Some(fixture) = fixture().await else { return };
    let server = Server::honest(&fixture.path("rpm")).await;
    let bench = Bench::new(&fixture).await;
    bench.sync_updates(&rpm_spec(&[&server.url])).await;
    let rules = [Rule { referenced: Some(true), ..rule(Mode::Filtered) }];
    assert_eq!(bench.ruled(&rules).plan_ahead(&scope()).await.unwrap().plan.fetch.len(), 0);

    // The crash happened in the old version, of which a package cannot be had: it is referenced all the same.
    let modules = [WantedModule { build_id: fixture.id(1, "greet"), path: None }];
    let broken = Server::start(&fixture.path("rpm"), |_| Answer::Status(404)).await;
    let spec = rpm_spec(&[&broken.url]);
    let keys_armored = bench.store.repositories(None, None).await.unwrap().remove(0).keys_armored;
    let moved = NewRepository { release: scope().release, architecture: scope().architecture, spec, keys_armored };
    bench.store.register_repository(&moved).await.unwrap();
    let resolved = bench.mirror.resolve(&scope(), &modules, None, &()).await.unwrap();
    assert!(resolved.iter().all(|module| module.executable.is_none() && !module.gaps.is_empty()));

    let wanted = |ahead: &Ahead| {
        let mut wanted: Vec<_> = ahead.plan.fetch.iter().map(|n| ahead.candidates[*n].id.to_string()).collect();
        wanted.sort();
        wanted
    };
    let want = ["greet-1-1.x86_64", "greet-2-1.x86_64", "greet-debuginfo-1-1.x86_64", "greet-debuginfo-2-1.x86_64"];
    assert_eq!(wanted(&bench.ruled(&rules).plan_ahead(&scope()).await.unwrap()), want);
    let newest = [Rule { newest: Some(1), ..rules[0].clone() }];
    let newest = bench.ruled(&newest).plan_ahead(&scope()).await.unwrap();
    assert_eq!(wanted(&newest), ["greet-2-1.x86_64", "greet-debuginfo-2-1.x86_64"]);
}

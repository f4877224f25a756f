use retrace_types::{BuildId, GapReason, RepositorySpec};

use super::support::{Bench, Fixture, deb_spec, fixture, release, rpm_spec, scope, shown};
use crate::{Found, Member, Policy, Resolved, Rule, WantedModule};

fn module(build_id: BuildId, path: &str) -> WantedModule {
    WantedModule { build_id, path: Some(path.to_owned()) }
}

fn modules(fixture: &Fixture, version: u8) -> [WantedModule; 2] {
    [
        module(fixture.id(version, "greet"), "/usr/bin/greet"),
        module(fixture.id(version, "libgreet.so.1"), "/usr/lib/x86_64-linux-gnu/libgreet.so.1"),
    ]
}

fn name(found: Option<&Found>) -> String {
    found.map(|found| found.package.id.to_string()).unwrap_or_default()
}

fn names(resolved: &[Resolved]) -> Vec<(String, String)> {
    resolved.iter().map(|one| (name(one.executable.as_ref()), name(one.debuginfo.as_ref()))).collect()
}

fn pair(a: &str, b: &str) -> (String, String) {
    (a.to_owned(), b.to_owned())
}

#[tokio::test]
async fn rpm_packages_are_found_by_links_alone() {
    let Some(fixture) = fixture().await else { return };
    let bench = Bench::new(&fixture).await;
    bench.sync_updates(&rpm_spec(&[shown(&fixture.path("rpm"))])).await;
    let resolved = bench.mirror.resolve(&scope(), &modules(&fixture, 1), Some("greet-1-1"), &()).await.unwrap();
    let debuginfo = "greet-debuginfo-1-1.x86_64";
    assert_eq!(names(&resolved), [pair("greet-1-1.x86_64", debuginfo), pair("greet-libs-1-1.x86_64", debuginfo)]);
    assert!(resolved.iter().all(|one| one.gaps.is_empty()));
    let member = &resolved[0].executable.as_ref().unwrap().member;
    assert!(matches!(member, Member::Path(path) if path.contains("/.build-id/")), "{member:?}");
}

/// Both repositories have the package; the one that was read last has the better priority, then the worse name.
#[tokio::test]
async fn of_two_repositories_with_a_package_the_one_with_the_better_priority_is_asked() {
    let Some(fixture) = fixture().await else { return };
    for (priority, want) in [(10, "second"), (Policy::PRIORITY, "first")] {
        let bench = Bench::new(&fixture).await;
        for id in ["first", "second"] {
            let rule = Rule { priority: (id == "second").then_some(priority), ..Rule::default() };
            let spec = RepositorySpec { id: id.into(), ..rpm_spec(&[shown(&fixture.path("rpm"))]) };
            let policy = Policy::of(&[rule], &scope().release, scope().architecture, &spec);
            bench.sync_updates(&policy.applied_to(spec, &release(), scope().architecture).unwrap()).await;
        }
        let resolved = bench.mirror.resolve(&scope(), &modules(&fixture, 1), None, &()).await.unwrap();
        for found in resolved.iter().flat_map(|one| [&one.executable, &one.debuginfo]) {
            let repository = found.as_ref().unwrap().package.repository;
            assert_eq!(bench.store.repository(repository).await.unwrap().spec.id, want);
        }
    }
}

#[tokio::test]
async fn debian_packages_are_found_by_searching_those_that_clues_point_at() {
    let Some(fixture) = fixture().await else { return };
    let bench = Bench::new(&fixture).await;
    bench.sync_updates(&deb_spec(&[shown(&fixture.path("deb"))])).await;
    let resolved = bench.mirror.resolve(&scope(), &modules(&fixture, 2), None, &()).await.unwrap();
    assert_eq!(names(&resolved), [pair("greet-2-1.amd64", "greet-dbgsym-2-1.amd64"), pair("libgreet1-2-1.amd64", "")]);
    assert_eq!(resolved[1].gaps.len(), 1);
    assert_eq!(resolved[1].gaps[0].reason, GapReason::DebuginfoUnknown);
    let untouched = bench.store.find_packages(&scope(), "lonely").await.unwrap();
    assert!(untouched.iter().all(|package| package.local.is_none()), "no clue points there");
}

#[tokio::test]
async fn without_any_clue_a_small_release_is_searched_whole() {
    let Some(fixture) = fixture().await else { return };
    let spec = deb_spec(&[shown(&fixture.path("deb"))]);
    let wanted = [WantedModule { build_id: fixture.id(1, "lonely"), path: None }];
    for (small_repository, want) in [(300, "lonely-1-1.amd64"), (0, "")] {
        let bench = Bench::with(&fixture, |options| options.limits.small_repository = small_repository).await;
        bench.sync_updates(&spec).await;
        let resolved = bench.mirror.resolve(&scope(), &wanted, None, &()).await.unwrap();
        assert_eq!(name(resolved[0].executable.as_ref()), want);
        // The name of the crashed package is a clue.
        let resolved = bench.mirror.resolve(&scope(), &wanted, Some("lonely"), &()).await.unwrap();
        assert_eq!(name(resolved[0].executable.as_ref()), "lonely-1-1.amd64");
        assert_eq!(name(resolved[0].debuginfo.as_ref()), "lonely-dbg-1-1.amd64", "its metadata names no build-ids");
    }
}

#[tokio::test]
async fn a_package_that_cannot_be_had_is_named_with_what_mends_it() {
    let Some(fixture) = fixture().await else { return };
    for (name, package) in [("rpm", "greet-1-1.x86_64"), ("deb", "greet-1-1.amd64")] {
        let dir = tempfile::tempdir().unwrap();
        fixture.copy(name, dir.path());
        let bench = Bench::new(&fixture).await;
        let mirror = [shown(dir.path())];
        let spec = if name == "rpm" { rpm_spec(&mirror) } else { deb_spec(&mirror) };
        bench.sync_updates(&spec).await;
        for version in bench.store.find_packages(&scope(), "greet").await.unwrap() {
            std::fs::remove_file(dir.path().join(version.location)).unwrap();
        }
        let wanted = modules(&fixture, 1);
        let resolved = bench.mirror.resolve(&scope(), &wanted, Some("greet"), &()).await.unwrap();
        assert!(resolved[0].executable.is_none() && resolved[0].debuginfo.is_some(), "what can be had is there");
        assert!(resolved[1].executable.is_some());
        let gap = &resolved[0].gaps[0];
        assert_eq!(gap.reason, GapReason::PackageUnavailable);
        assert_eq!(gap.subject, package);
        for part in [package, wanted[0].build_id.as_str(), "/usr/bin/greet", "does not exist"] {
            assert!(gap.message.contains(part), "{part} in {}", gap.message);
        }
        assert!(gap.action.contains(package), "{}", gap.action);
    }
}

#[tokio::test]
async fn a_file_of_no_package_is_a_gap() {
    let Some(fixture) = fixture().await else { return };
    let bench = Bench::new(&fixture).await;
    bench.sync_updates(&rpm_spec(&[shown(&fixture.path("rpm"))])).await;
    let wanted = [module("00112233".parse().unwrap(), "/opt/x")];
    let resolved = bench.mirror.resolve(&scope(), &wanted, None, &()).await.unwrap();
    let reasons: Vec<_> = resolved[0].gaps.iter().map(|gap| gap.reason).collect();
    assert_eq!(reasons, [GapReason::PackageUnknown, GapReason::DebuginfoUnknown]);
    assert!(resolved[0].gaps[0].action.contains("retrace mirror sync fixture 1 x86_64"));
}

//! What is fetched ahead, as the rules of the configuration want it.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use retrace_tests::{Cli, Lie, MirrorServer, RpmFixture, Run, rpm};
use serde_json::Value;

use crate::view::{explains_itself, fedora};

/// The RPM distribution behind servers that count, and a command with rules.
struct Site {
    cli: Cli,
    fixture: &'static RpmFixture,
    packages: MirrorServer,
    debuginfo: MirrorServer,
}

impl Site {
    fn with(rules: &str) -> Option<Self> {
        let (fixture, mut cli) = (rpm()?, Cli::new()?);
        cli.set("RETRACE_REPOSITORY", rules);
        let server = |name| MirrorServer::start(fixture.repository(name));
        Some(Self { cli, fixture, packages: server("base"), debuginfo: server("debuginfo") })
    }

    fn arguments(&self, more: &[&str]) -> Vec<String> {
        let mut arguments =
            ["mirror", "sync", "fedora", "40", std::env::consts::ARCH, "--key"].map(str::to_owned).to_vec();
        arguments.push(self.fixture.key().display().to_string());
        for mirror in fedora(self.packages.url().as_ref(), self.debuginfo.url().as_ref()) {
            arguments.extend(["--mirror".to_owned(), mirror]);
        }
        arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
        arguments
    }

    fn sync(&self, more: &[&str]) -> Run {
        self.cli.run(self.arguments(more))
    }

    /// What was done about packages, of a run that must succeed.
    fn packages(&self, more: &[&str]) -> Value {
        let run = self.sync(&[&["--format", "json"], more].concat()).expect_code(0);
        let document: Value = serde_json::from_str(&run.stdout).unwrap();
        document["packages"].clone()
    }

    /// Packages that were asked for.
    fn asked(&self) -> usize {
        self.packages.hits(".rpm") + self.debuginfo.hits(".rpm")
    }

    /// Number and bytes of the packages in the store.
    fn stored(&self) -> (usize, u64) {
        sizes(&self.cli.path("state/artifacts/packages"), "")
    }

    /// Number and bytes of the packages upstream.
    fn upstream(&self) -> (usize, u64) {
        let [base, debuginfo] = ["base", "debuginfo"].map(|name| sizes(&self.fixture.repository(name), ".rpm"));
        (base.0 + debuginfo.0, base.1 + debuginfo.1)
    }
}

/// Number and bytes of the files below a folder whose names end so.
fn sizes(folder: &Path, end: &str) -> (usize, u64) {
    let Ok(entries) = fs::read_dir(folder) else { return (0, 0) };
    entries.map(Result::unwrap).fold((0, 0), |(files, bytes), entry| {
        let more = match entry.file_type().unwrap().is_dir() {
            true => sizes(&entry.path(), end),
            false if entry.file_name().to_string_lossy().ends_with(end) => (1, entry.metadata().unwrap().len()),
            false => (0, 0),
        };
        (files + more.0, bytes + more.1)
    })
}

#[test]
fn full_fetches_everything_once_and_a_dry_run_nothing() {
    let Some(site) = Site::with("[{ mode = 'full' }]") else { return };
    let (files, bytes) = site.upstream();
    assert!(files > 20, "{files} packages");

    let planned = site.packages(&["--dry-run"]);
    assert_eq!((&planned["wanted"], &planned["wanted_bytes"]), (&files.into(), &bytes.into()), "{planned}");
    assert_eq!((&planned["dry_run"], &planned["fetched"]), (&true.into(), &0.into()), "{planned}");
    let text = site.sync(&["--dry-run"]).expect_code(0).stdout;
    let (unit, name) = if bytes < 1 << 20 { (1 << 10, "KiB") } else { (1 << 20, "MiB") };
    let size = format!("{}.{} {name}", bytes / unit, bytes * 10 / unit % 10);
    assert!(text.contains(&format!("Would fetch {files} packages ({size})")), "{text}");
    assert_eq!((site.asked(), site.stored()), (0, (0, 0)));

    let done = site.packages(&[]);
    assert_eq!((&done["fetched"], &done["fetched_bytes"]), (&files.into(), &bytes.into()), "{done}");
    assert_eq!(site.stored(), (files, bytes));

    site.packages.forget_requests();
    site.debuginfo.forget_requests();
    let again = site.packages(&[]);
    assert_eq!((&again["wanted"], &again["kept"]), (&0.into(), &files.into()), "{again}");
    assert_eq!((site.packages.requests().len(), site.debuginfo.requests().len()), (1, 1), "no news costs one request");
}

#[test]
fn filtered_fetches_the_newest_versions_of_what_is_named() {
    let rules = "[{ mode = 'filtered', include = ['will-crash*'], exclude = ['*-libs*'], newest = 1 }]";
    let Some(mut site) = Site::with(rules) else { return };
    let done = site.packages(&[]);
    let mut names: Vec<_> = done["first"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    // Two repositories are read at once: either may come first.
    names.sort_unstable();
    let want = ["will-crash", "will-crash-debuginfo", "will-crash-debugsource"];
    let want = want.map(|name| format!("{name}-1.1-1.fc40.{}", std::env::consts::ARCH));
    assert_eq!(names, want);
    assert_eq!(site.stored().0, 3);

    // A later rule that is about the other repository only.
    site.cli.set(
        "RETRACE_REPOSITORY",
        format!("{}, {{ repository = '*-debuginfo', newest = 2 }}]", &rules[..rules.len() - 1]),
    );
    let more = site.packages(&[]);
    assert_eq!((&more["fetched"], &more["kept"]), (&2.into(), &3.into()), "{more}");
}

#[test]
fn nothing_is_fetched_ahead_without_a_rule() {
    let Some(site) = Site::with("[]") else { return };
    let done = site.packages(&[]);
    assert_eq!((&done["wanted"], site.asked(), site.stored()), (&0.into(), 0, (0, 0)), "{done}");
}

#[test]
fn exit_codes_say_what_failed_and_the_next_run_mends_it() {
    let Some(site) = Site::with("[{ mode = 'full' }]") else { return };
    let victim = format!("crashd-2.0-1.fc40.{}.rpm", std::env::consts::ARCH);
    site.packages.lie(&victim, Lie::Status(404));
    let run = site.sync(&[]).expect_code(3);
    assert!(run.stdout.contains("crashd-2.0") && run.stdout.contains("could not be had"), "{run}");
    assert_eq!(site.stored().0, site.upstream().0 - 1, "the others came");

    site.packages.lie("repomd.xml", Lie::Status(500));
    explains_itself(&site.sync(&[]).expect_code(1));
    site.packages.be_honest();
    site.packages.forget_requests();
    assert_eq!(site.packages(&[])["fetched"], 1);
    assert_eq!((site.packages.hits(".rpm"), site.stored()), (1, site.upstream()));

    explains_itself(&site.sync(&["--mirror", "nope=http://127.0.0.1:1/"]).expect_code(1));
}

#[test]
fn a_run_that_is_killed_goes_on_where_it_was() {
    let Some(site) = Site::with("[{ mode = 'full' }]") else { return };
    let stalled = format!("glibc-debuginfo-2.36-9.deb12u14.fc40.{}.rpm", std::env::consts::ARCH);
    let (files, _) = site.upstream();
    site.debuginfo.lie(&stalled, Lie::Stall);
    let mut running = site.cli.start(site.arguments(&[]));
    let deadline = Instant::now() + Duration::from_secs(60);
    while site.stored().0 < files - 1 {
        assert!(Instant::now() < deadline, "{:?} packages came", site.stored());
        assert!(running.wait(Duration::from_millis(20)).is_none(), "it ended");
    }
    drop(running); // kills it
    site.debuginfo.be_honest();
    site.debuginfo.forget_requests();
    site.packages.forget_requests();
    let rest = site.packages(&[]);
    assert!(rest["fetched"].as_u64().unwrap() <= 2, "what had come counts: {rest}");
    assert_eq!(site.stored(), site.upstream());
    let ranges = site.debuginfo.requests().into_iter().filter(|request| request.range_start.is_some()).count();
    assert_eq!(ranges, 1, "half of the last package was here");
}

#[test]
fn prune_removes_what_a_new_rule_lets_go_of_and_nothing_that_a_crash_needs() {
    let Some(mut site) = Site::with("[{ mode = 'full' }]") else { return };
    site.packages(&[]);
    let prune = |site: &Site, more: &[&str]| -> Value {
        let run = site.cli.run([&["mirror", "prune", "--format", "json"], more].concat()).expect_code(0);
        serde_json::from_str(&run.stdout).unwrap()
    };
    assert_eq!(prune(&site, &[])["packages"], Value::Array(Vec::new()), "full keeps everything");
    let crash = site.fixture.crash("will-crash-segv");
    site.cli.analyze(&crash, &["--format", "json"]).expect_code(0);

    site.cli.set("RETRACE_REPOSITORY", "[{ mode = 'filtered', newest = 1 }]");
    let all = site.stored();
    let planned = prune(&site, &["--dry-run"]);
    assert_eq!((&planned["dry_run"], &planned["done"]), (&true.into(), &Value::Null));
    assert_eq!(site.stored(), all, "a dry run changes nothing");
    assert_eq!(prune(&site, &["--dry-run"]), planned);
    let names: Vec<_> =
        planned["packages"].as_array().unwrap().iter().map(|package| package["package"].as_str().unwrap()).collect();
    assert!(names.iter().any(|name| name.starts_with("crashd-2.0-1")), "{names:?}");
    assert!(!names.iter().any(|name| name.contains("-1.0-1.fc40")), "the crashed version is needed: {names:?}");
    assert!(!names.iter().any(|name| name.contains("-2.1-1.fc40")), "the newest versions stay: {names:?}");

    let text = site.cli.run(["mirror", "prune"]).expect_code(0).stdout;
    assert!(text.contains(&format!("Removed {} packages", names.len())), "{text}");
    let left = site.stored();
    assert_eq!((all.0 - left.0, Some(all.1 - left.1)), (names.len(), planned["bytes"].as_u64()));
    assert!(site.cli.run(["mirror", "prune"]).expect_code(0).stdout.contains("Nothing to remove"));

    // Without mirrors: everything is here.
    for server in [&site.packages, &site.debuginfo] {
        server.lie("", Lie::Status(503));
    }
    site.cli.analyze(&crash, &["--format", "json"]).expect_code(0);
}

#[test]
fn all_that_is_mirrored_is_read_again_and_one_failure_stops_nothing() {
    let Some(mut site) = Site::with("[]") else { return };
    assert!(site.cli.run(["mirror", "sync", "--all"]).expect_code(0).stdout.contains("Nothing is mirrored yet"));
    site.packages(&[]);
    site.cli.set("RETRACE_REPOSITORY", "[{ mode = 'filtered', include = ['will-crash*'] }]");
    site.packages.lie("repomd.xml", Lie::Status(404));
    let key = site.fixture.key().display().to_string();
    let all = |more: &[&str]| site.cli.run([&["mirror", "sync", "--all", "--key", &key], more].concat());
    let run = all(&["--format", "json"]).expect_code(1);
    let document: Value = serde_json::from_str(&run.stdout).unwrap();
    let release = &document["releases"][0];
    let outcomes: Vec<_> = release["repositories"].as_array().unwrap().iter().map(|r| r["outcome"].clone()).collect();
    assert_eq!((outcomes, &release["release"]), (vec!["failed".into(), "unchanged".into()], &"fedora-40".into()));
    assert!(release["packages"]["fetched"].as_u64().is_some_and(|fetched| fetched > 4), "by the old index: {release}");

    site.packages.be_honest();
    let text = all(&[]).expect_code(0).stdout;
    assert!(text.starts_with("fedora-40 ") && text.contains("no news"), "{text}");
    explains_itself(&site.cli.run(["mirror", "sync", "--all", "fedora"]).expect_code(2));
    explains_itself(&site.cli.run(["mirror", "sync", "fedora"]).expect_code(2));
}

//! A crash that has nothing but `.el9` to go by: five distributions are possible, and the result says so until something
//! decides.

use std::collections::BTreeSet;

use retrace_tests::{Cli, Crash, Run, rpm};
use retrace_types::{Backtrace, Evidence, GapReason};
use serde_json::Value;

const PACKAGE: &str = "will-crash-1.0-1.el9.x86_64";
const POSSIBLE: [&str; 5] = ["almalinux-9", "centos-9-stream", "ol-9", "rhel-9", "rocky-9"];

/// Told the package and nothing of the machine.
fn analyze(cli: &Cli, crash: &Crash, package: &str) -> Run {
    let core = crash.core.to_str().expect("a plain path");
    cli.run(["analyze", core, "--executable", &crash.executable, "--package", package, "--format", "json"])
}

fn possible(backtrace: &Backtrace) -> BTreeSet<&str> {
    let gap = backtrace.gaps.iter().find(|gap| gap.reason == GapReason::ReleaseAmbiguous);
    let gap = gap.unwrap_or_else(|| panic!("nothing is ambiguous: {:?}", backtrace.gaps));
    for id in POSSIBLE {
        assert!(gap.message.contains(id), "{}", gap.message);
    }
    assert!(gap.action.contains("--os-release") && gap.action.contains("plugins.priority"), "{}", gap.action);
    gap.subject.split(' ').collect()
}

#[test]
fn a_tag_of_five_distributions_is_no_release_until_the_build_ids_decide() {
    let (Some(fixture), Some(cli)) = (rpm(), Cli::new()) else { return };
    let crash = fixture.crash("will-crash-segv");

    // Nothing is mirrored: the tag is all there is.
    let backtrace = analyze(&cli, &crash, PACKAGE).expect_code(3).backtrace();
    assert!(backtrace.release.is_none(), "{:?}", backtrace.release);
    assert_eq!(possible(&backtrace), POSSIBLE.into());

    // The index knows the files as one of the five.
    let sync = |release: [&str; 2]| {
        let mirrors = [("baseos", "base"), ("baseos-debuginfo", "debuginfo")]
            .map(|(id, folder)| format!("{id}={}", fixture.repository(folder).display()));
        cli.sync(release, &mirrors, &[fixture.key()]).expect_code(0)
    };
    sync(["rocky", "9"]);
    let backtrace = analyze(&cli, &crash, PACKAGE).expect_code(0).backtrace();
    let release = backtrace.release.as_ref().expect("a release");
    assert_eq!((release.id.to_string().as_str(), release.evidence), ("rocky-9", Evidence::BuildIds));
    let claimed: BTreeSet<_> = release.candidates.iter().map(|claim| claim.release.to_string()).collect();
    assert_eq!(claimed, POSSIBLE.map(str::to_owned).into(), "every candidate is kept with the job");

    // Two of the five ship these very files: level again.
    sync(["almalinux", "9"]);
    let backtrace = analyze(&cli, &crash, PACKAGE).expect_code(3).backtrace();
    assert!(backtrace.release.is_none(), "{:?}", backtrace.release);
    assert_eq!(possible(&backtrace), POSSIBLE.into());

    // A tag of its own settles it.
    let backtrace = analyze(&cli, &crash, "will-crash-1.0-1.el9.rocky.0.1.x86_64").backtrace();
    let release = backtrace.release.as_ref().expect("a release");
    assert_eq!((release.id.to_string().as_str(), release.evidence), ("rocky-9", Evidence::PackageName));
}

#[test]
fn explain_shows_the_table_of_an_ambiguous_package() {
    let Some(cli) = Cli::new() else { return };
    let run = cli.run(["plugin", "explain", "--package", PACKAGE]).expect_code(1);
    assert!(run.stdout.contains(&format!("\nAmbiguousRelease: {}\n", POSSIBLE.join(", "))), "{run}");
    let rows: Vec<Vec<_>> = run.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    for id in POSSIBLE {
        let row = rows.iter().find(|row| row.get(1) == Some(&id)).unwrap_or_else(|| panic!("no row of {id}: {run}"));
        assert_eq!(row[2..], ["weak", "release", "tag", ".el9"], "{run}");
    }

    let run = cli.run(["plugin", "explain", "--package", PACKAGE, "--format", "json"]).expect_code(1);
    let document: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run}"));
    assert_eq!(document["error"]["kind"], "ambiguous");
    assert_eq!(document["error"]["candidates"], serde_json::json!(POSSIBLE));
    let answers = document["answers"].as_array().expect("answers");
    assert_eq!(answers.len(), 10, "every plugin was asked: {document}");

    let vendor = ["plugin", "explain", "--package", PACKAGE, "--vendor", "Red Hat, Inc."];
    let run = cli.run(vendor).expect_code(0);
    assert!(run.stdout.contains("release: rhel-9 (highest confidence)"), "{run}");
}

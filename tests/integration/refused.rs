//! Repositories and mirrors that must not be believed, and what is left when they are not.

use std::time::Duration;

use retrace_tests::{Cli, Lie, MirrorServer, debian, rpm};
use retrace_types::{FileState, GapReason};

use crate::view::{fedora, gaps, sync_rpm};

/// Packages that must be refused: what the repository is called, and a word of the reason.
#[test]
fn packages_that_cannot_be_verified_are_not_used() {
    let (Some(fixture), Some(cli)) = (rpm(), Cli::new()) else { return };
    for (repository, word) in [("unsigned", "sign"), ("wrong-key", "key"), ("stale", "")] {
        let cli = Cli::new().unwrap_or_else(|| panic!("there was one before: {cli:?}"));
        let sync = sync_rpm(&cli, fixture, repository, "debuginfo");
        assert!(matches!(sync.code, Some(0 | 1)), "{sync}");
        let run = cli.analyze(&fixture.crash("will-crash-segv"), &["--format", "json"]).expect_code(3);
        let backtrace = run.backtrace();
        for module in backtrace.modules.iter().filter(|module| module.file != FileState::NotNeeded) {
            assert_eq!(module.file, FileState::Missing, "{repository}: {}", module.path);
            assert!(!module.gaps.is_empty(), "{repository}: {} has no reason", module.path);
        }
        let mut reasons = backtrace.modules.iter().flat_map(|module| &module.gaps);
        let named = reasons.any(|gap| format!("{} {}", gap.message, gap.action).to_lowercase().contains(word));
        assert!(sync.code == Some(1) || named, "{repository}: no gap says {word:?}: {:?}", gaps(&backtrace));
    }
}

#[test]
fn metadata_signed_by_an_unknown_key_is_refused_and_says_what_to_do() {
    let (Some(fixture), Some(cli)) = (debian(), Cli::new()) else { return };
    let mirror = fixture.repository.display().to_string();
    let run = cli.sync(["debian", &fixture.version], &[mirror], &[]).expect_code(1);
    let text = format!("{}{}", run.stdout, run.stderr).to_lowercase();
    assert!(text.contains("key"), "{run}");
}

#[test]
fn a_mirror_that_lies_about_packages_costs_them_and_nothing_else() {
    let (Some(fixture), Some(cli)) = (rpm(), Cli::new()) else { return };
    let server = MirrorServer::start(fixture.repository("base"));
    let mirrors = fedora(server.url().as_ref(), &fixture.repository("debuginfo"));
    cli.sync(["fedora", "40"], &mirrors, &[fixture.key()]).expect_code(0);
    let crash = fixture.crash("will-crash-segv");
    let libs = format!("will-crash-libs-1.0-1.fc40.{}.rpm", std::env::consts::ARCH);
    for lie in
        [Lie::Corrupt, Lie::Truncate(100), Lie::Status(404), Lie::Status(500), Lie::HangUp, Lie::Replace(b"x".into())]
    {
        server.lie(&libs, lie.clone());
        let backtrace = cli.analyze(&crash, &["--format", "json"]).expect_code(3).backtrace();
        let library =
            backtrace.modules.iter().find(|module| module.path.contains("libwillcrash")).expect("it is mapped");
        assert_eq!(library.file, FileState::Missing, "{lie:?}");
        let gap = library.gaps.iter().find(|gap| gap.reason == GapReason::PackageUnavailable);
        assert!(gap.is_some_and(|gap| !gap.action.is_empty()), "{lie:?}: {:?}", library.gaps);
        let others = backtrace.modules.iter().filter(|module| module.path != library.path);
        let matched = others.filter(|module| module.file.is_known()).count();
        assert_eq!((matched, backtrace.threads.len()), (3, 4), "{lie:?}");
    }
    // The next time the mirror tells the truth, and nothing of the lies was kept.
    server.be_honest();
    cli.analyze(&crash, &["--format", "json"]).expect_code(0);
}

#[test]
fn a_failed_sync_keeps_the_index_that_was_there() {
    let (Some(fixture), Some(cli)) = (rpm(), Cli::new()) else { return };
    let server = MirrorServer::start(fixture.repository("base"));
    let mirrors = fedora(server.url().as_ref(), &fixture.repository("debuginfo"));
    let keys = [fixture.key()];
    cli.sync(["fedora", "40"], &mirrors, &keys).expect_code(0);
    for (file, lie) in [
        ("repomd.xml", Lie::Status(500)),
        ("repomd.xml", Lie::Truncate(200)),
        ("repomd.xml", Lie::Replace(b"<repomd/>".to_vec())),
    ] {
        server.lie(file, lie.clone());
        let run = cli.sync(["fedora", "40"], &mirrors, &keys).expect_code(1);
        let text = format!("{}{}", run.stdout, run.stderr);
        assert!(text.contains(server.url().trim_end_matches('/')), "the mirror is not named: {run}");
        server.be_honest();
        let crash = fixture.crash("will-crash-segv");
        cli.analyze(&crash, &["--format", "json"]).expect_code(0);
    }
}

#[test]
fn endless_and_silent_mirrors_are_given_up() {
    let (Some(fixture), Some(mut cli)) = (rpm(), Cli::new()) else { return };
    cli.set("RETRACE_MIRROR_IDLE_TIMEOUT_SECONDS", "1").set("RETRACE_MIRROR_CONNECT_TIMEOUT_SECONDS", "1");
    let server = MirrorServer::start(fixture.repository("base"));
    let mirrors = fedora(server.url().as_ref(), &fixture.repository("debuginfo"));
    for lie in [Lie::Endless, Lie::Stall] {
        server.lie("", lie.clone());
        let run = cli.sync(["fedora", "40"], &mirrors, &[fixture.key()]).expect_code(1);
        assert!(run.duration < Duration::from_secs(30), "{lie:?}: {run}");
        assert!(run.peak_memory_kib < 300 * 1024, "{lie:?}: {run}");
        server.be_honest();
    }
    cli.sync(["fedora", "40"], &mirrors, &[fixture.key()]).expect_code(0);
}

#[test]
fn a_second_mirror_helps_out() {
    let (Some(fixture), Some(cli)) = (rpm(), Cli::new()) else { return };
    let bad = MirrorServer::start(fixture.repository("base"));
    bad.lie("", Lie::Status(503));
    let good = MirrorServer::start(fixture.repository("base"));
    let mut mirrors = vec![format!("releases={}", bad.url())];
    mirrors.extend(fedora(good.url().as_ref(), &fixture.repository("debuginfo")));
    cli.sync(["fedora", "40"], &mirrors, &[fixture.key()]).expect_code(0);
    cli.analyze(&fixture.crash("will-crash-segv"), &["--format", "json"]).expect_code(0);
    assert!(bad.hits("repomd.xml") > 0 && good.hits(".rpm") > 0);
}

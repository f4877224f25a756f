use std::time::{Duration, Instant};

use retrace_plugin_host::{CallError, FailureKind, Limits, Outcome, PluginError, ReleaseError, ReleaseSource};
use retrace_types::{Architecture, DistroId, Release, ReleaseId};

use crate::support::{TestHost, bad, component, faults, host_with, shipped};

fn ask(host: &TestHost, how: &str) -> Outcome {
    let source = ReleaseSource::Named { name: how.to_owned(), text: String::new() };
    host.select_by_text(&source).candidates.remove(0).outcome
}

fn failure(host: &TestHost, how: &str) -> FailureKind {
    match ask(host, how) {
        Outcome::Failed(failure) => {
            assert_eq!((failure.plugin.as_str(), failure.function), ("bad", "parse-release"));
            failure.kind
        }
        other => panic!("{how}: {other:?}"),
    }
}

fn release(version: &str) -> Release {
    let id = ReleaseId { distro: "bad".parse().unwrap(), version: version.parse().unwrap() };
    Release { id, minor: None, codename: None, rolling: false }
}

#[test]
fn an_endless_loop_ends_at_the_deadline() {
    let host = bad();
    let started = Instant::now();
    assert_eq!(failure(&host, "loop"), FailureKind::Deadline);
    let taken = started.elapsed();
    // The upper bound is generous, for the machine may be busy; what matters is that it ends.
    assert!(taken >= Duration::from_millis(80) && taken < Duration::from_secs(5), "taken: {taken:?}");
}

#[test]
fn a_memory_hog_ends_at_the_limit() {
    // Time enough for 64 MiB on a busy machine: the deadline is not what this is about.
    let limits = Limits { deadline: Duration::from_secs(20), ..Limits::default() };
    let host = host_with(&[("bad.wasm", &component("examples/bad_calls"))], limits);
    assert_eq!(failure(&host, "hog"), FailureKind::OutOfMemory);
}

#[test]
fn a_panic_arrives_with_its_text_and_place() {
    let host = bad();
    match failure(&host, "panic") {
        FailureKind::Trap { message: Some(message), .. } => {
            assert!(message.contains("index out of bounds"), "{message}");
            assert!(message.contains("bad_calls.rs"), "{message}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn endless_recursion_is_a_trap() {
    assert!(matches!(failure(&bad(), "recursion"), FailureKind::Trap { .. }));
}

#[test]
fn too_much_data_is_not_taken() {
    let host = bad();
    assert_eq!(failure(&host, "big-answer"), FailureKind::TooMuchData);
    assert_eq!(failure(&host, "big-log"), FailureKind::TooMuchData);
}

#[test]
fn a_flood_of_log_messages_does_not_fail_the_call() {
    assert!(matches!(ask(&bad(), "flood"), Outcome::Claim(_)));
}

#[test]
fn a_failed_call_leaves_nothing_behind() {
    let host = bad();
    for how in ["loop", "panic", "recursion", "big-answer"] {
        failure(&host, how);
        assert!(matches!(ask(&host, "good"), Outcome::None), "after {how}");
    }
}

#[test]
fn values_that_break_the_contract_drop_the_answer() {
    let host = bad();
    let cases = [("foreign", "release.distro"), ("bad-version", "release.version")];
    for (how, want) in cases {
        match failure(&host, how) {
            FailureKind::InvalidValue { path, .. } => assert_eq!(path, want),
            other => panic!("{how}: {other:?}"),
        }
    }
    assert!(matches!(ask(&host, "alias"), Outcome::Claim(claim) if claim.release.id.to_string() == "worse-1"));
}

#[test]
fn a_plugin_s_own_error_is_made_harmless() {
    let host = bad();
    match ask(&host, "error") {
        Outcome::Refused(CallError::MalformedInput(text)) => assert_eq!(text, "two\\u{a}lines\\u{1b}[31m"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn repositories_that_break_the_contract_drop_the_answer() {
    let host = bad();
    assert_eq!(host.repositories(&release("good"), Architecture::X86_64).unwrap().len(), 1);
    let cases = [
        ("empty", "repositories"),
        ("twice", "repositories"),
        ("id", "repositories[0].id"),
        ("title", "repositories[0].title"),
        ("scheme", "repositories[0].mirrors[0]"),
        ("dots", "repositories[0].mirrors[0]"),
        ("escaped-dots", "repositories[0].mirrors[0]"),
        ("variable", "repositories[0].mirrors[0]"),
        ("no-minor", "repositories[0].mirrors[0]"),
        ("user", "repositories[0].mirrors[0]"),
        ("no-mirror", "repositories[0].mirrors"),
        ("key", "repositories[0].keys[0].path"),
        ("foreign-key", "repositories[0].keys[0].path"),
        ("absolute-key", "repositories[0].keys[0].path"),
        ("no-key", "repositories[0].keys"),
        ("fingerprint", "repositories[0].keys[0].fingerprint"),
        ("suite", "repositories[0].layout.suite"),
        ("config", "repositories[0].config[0]"),
    ];
    for (version, want) in cases {
        match host.repositories(&release(version), Architecture::X86_64) {
            Err(PluginError::Failure(failure)) => match failure.kind {
                FailureKind::InvalidValue { path, rule } => assert_eq!(path, want, "{version}: {rule}"),
                other => panic!("{version}: {other:?}"),
            },
            other => panic!("{version}: {other:?}"),
        }
    }
}

#[test]
fn debuggers_and_names_that_break_the_contract_drop_the_answer() {
    let host = bad();
    assert!(host.debugger_for(&release("good"), Architecture::X86_64).unwrap().is_some());
    for version in ["path", "packages"] {
        let answer = host.debugger_for(&release(version), Architecture::X86_64);
        assert!(matches!(answer, Err(PluginError::Failure(_))), "{version}: {answer:?}");
    }
    let bad: DistroId = "bad".parse().unwrap();
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert!(host.parse_file_names(&bad, &names(&["a", "b"])).is_ok());
    for wrong in [names(&["too-few", "b"]), names(&["a/b"]), names(&[".."]), names(&["a b"]), names(&["a\u{7}"])] {
        let answer = host.parse_file_names(&bad, &wrong);
        assert!(matches!(answer, Err(PluginError::Failure(_))), "{wrong:?}: {answer:?}");
    }
}

#[test]
fn a_plugin_that_cannot_describe_itself_does_not_serve() {
    let host = host_with(&[("bad.wasm", &component("examples/bad_description"))], Limits::default());
    assert_eq!(host.plugins().count(), 0);
    match faults(&host).as_slice() {
        [PluginError::Failure(failure)] => {
            assert_eq!((failure.plugin.as_str(), failure.function), ("bad", "describe"));
            assert!(matches!(&failure.kind, FailureKind::InvalidValue { path, .. } if path == "id"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn others_serve_while_one_breaks() {
    let (debian, calls) = (component("retrace_plugin_debian"), component("examples/bad_calls"));
    let broken: &[u8] = b"not a component";
    let files = [("bad.wasm", calls.as_slice()), ("broken.wasm", broken), ("debian.wasm", debian.as_slice())];
    let host = host_with(&files, Limits::default());
    assert_eq!(host.faults().len(), 1);
    assert_eq!(host.plugins().count(), 2);
    let looping = ReleaseSource::Named { name: "loop".to_owned(), text: String::new() };
    assert!(matches!(host.select_by_text(&looping).decision, Err(ReleaseError::Failed(_))));
    let bookworm = ReleaseSource::OsRelease("ID=debian\nVERSION_ID=12\n".to_owned());
    assert_eq!(host.select_by_text(&bookworm).decision.unwrap().release.id.to_string(), "debian-12");
}

#[test]
fn shipped_plugins_stay_far_below_the_limits() {
    let host = shipped();
    let text = "A=\"\\\"".repeat(16_000);
    let started = Instant::now();
    for _ in 0..20 {
        let source = ReleaseSource::OsRelease(text.clone());
        assert_eq!(host.select_by_text(&source).decision, Err(ReleaseError::None));
    }
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
}

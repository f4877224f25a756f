//! What the service knows about finished tasks: signatures, groups, answers from them, statistics.

use std::fs;

use retrace_tests::{Cli, Crash, rpm};
use serde_json::Value;

use crate::{
    serve::{archive, create, get, start, wait_until_finished},
    view::sync_rpm,
};

/// Sends a crash and waits; the backtrace as old clients get it, and the log.
fn retraced(cli: &Cli, address: &str, crash: &Crash, name: &str) -> (String, String) {
    let (id, password) = create(address, &archive(crash, &cli.path(name)));
    let status = wait_until_finished(address, &id, &password);
    let text =
        |path: &str| String::from_utf8_lossy(&get(address, &format!("/{id}{path}"), &password).body).into_owned();
    let log = text("/log");
    assert_eq!(status, "FINISHED_SUCCESS", "{log}");
    (text("/backtrace"), log)
}

fn stats(address: &str) -> Value {
    let answer = get(address, "/stats", "");
    assert_eq!(answer.status, 200);
    serde_json::from_slice(&answer.body).expect("JSON")
}

/// The same crash, twice, and another one: the second is answered, the third is not. A task for debugging never is, and
/// without the option nothing is.
#[test]
fn a_crash_that_was_seen_is_answered_from_its_group_and_others_are_not() {
    let (Some(fixture), Some(mut cli)) = (rpm(), Cli::new()) else { return };
    cli.set("RETRACE_SERVER_LISTEN", "127.0.0.1:0").set("RETRACE_WORKER_ANSWER_FROM_GROUP", "true");
    sync_rpm(&cli, fixture, "base", "debuginfo").expect_code(0);
    let (server, address) = start(&cli);
    assert_eq!(stats(&address)["total"], 0);

    let crash = fixture.crash("will-crash-segv");
    let (first, log) = retraced(&cli, &address, &crash, "first");
    assert!(!log.contains("Not retraced"), "{log}");
    let (second, log) = retraced(&cli, &address, &crash, "second");
    assert!(log.contains("Not retraced: a crash of group "), "{log}");
    assert!(second.starts_with("Note: the frames are those of an earlier crash"), "{second}");
    for frame in ["wc_sum_labels", "wcbuckets.c", "main"] {
        assert!(first.contains(frame) && second.contains(frame), "{first}\n{second}");
    }
    assert!(!second.contains(" = "), "no values of another process: {second}");

    let (_, log) = retraced(&cli, &address, &fixture.crash("crashd-null"), "other");
    assert!(!log.contains("Not retraced"), "{log}");

    let noise = cli.path("noise");
    fs::write(&noise, vec![7; 100_000]).unwrap();
    let junk = Crash { core: noise, ..crash.clone() };
    let (id, password) = create(&address, &archive(&junk, &cli.path("junk")));
    assert_eq!(wait_until_finished(&address, &id, &password), "FINISHED_FAILURE");

    let stats = stats(&address);
    assert_eq!(
        (&stats["total"], &stats["successful"], &stats["failed"]),
        (&4.into(), &3.into(), &1.into()),
        "{stats:#}"
    );
    assert_eq!(stats["releases"][0]["name"], "fedora-40");
    let retraced_packages = stats["most_retraced_packages"].as_array().expect("a list");
    let of_will_crash = retraced_packages.iter().find(|package| package["name"] == "will-crash").expect("counted");
    assert_eq!(of_will_crash["tasks"], 3, "{stats:#}");
    assert!(!stats["most_required_packages"].as_array().expect("a list").is_empty());

    drop(server);
    cli.set("RETRACE_WORKER_ANSWER_FROM_GROUP", "false");
    let (_server, address) = start(&cli);
    let (_, log) = retraced(&cli, &address, &crash, "third");
    assert!(!log.contains("Not retraced"), "{log}");
}

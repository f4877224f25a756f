//! What the service knows about finished tasks: signatures, groups, answers from them, statistics.

use std::fs;

use retrace_tests::{Cli, Crash, rpm};
use serde_json::{Value, json};

use crate::{
    serve::{archive, create, get, request, start, wait_until_finished},
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

/// `GET /api/v1/PATH` with a token of the role `read`.
fn ask(address: &str, token: &str, path: &str) -> Value {
    let authorization = format!("Bearer {token}");
    let headers = [("Authorization", authorization.as_str())];
    let answer = request(address, "GET", &format!("/api/v1/{path}"), &headers, b"");
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert_eq!(answer.status, 200, "{path}: {text}");
    serde_json::from_str(&text).expect("JSON")
}

/// The first question, as a client puts it that walked its own stack.
fn is_known(address: &str, question: &Value) -> Value {
    let headers = [("Content-Type", "application/json")];
    let answer = request(address, "POST", "/api/v1/known", &headers, question.to_string().as_bytes());
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    serde_json::from_slice(&answer.body).expect("JSON")
}

fn question(backtrace: &Value) -> Value {
    let threads = backtrace["threads"].as_array().expect("threads");
    let crashed = threads.iter().find(|thread| thread["crashed"] == true).expect("one crashed");
    let physical = crashed["frames"].as_array().expect("frames").iter().filter(|frame| frame["inline"] != true);
    let frames: Vec<_> = physical
        .map(|frame| match (&frame["build_id"], &frame["offset"]) {
            (Value::String(build_id), Value::Number(offset)) => json!({"build_id": build_id, "offset": offset}),
            _ => json!({}),
        })
        .collect();
    json!({"release": "fedora-40", "architecture": "x86_64", "frames": frames})
}

/// What a worker found is answered by the API: the crash is known, found by each filter, and in its group.
#[test]
fn what_was_retraced_is_known_listed_and_grouped() {
    let (Some(fixture), Some(mut cli)) = (rpm(), Cli::new()) else { return };
    cli.set("RETRACE_SERVER_LISTEN", "127.0.0.1:0");
    sync_rpm(&cli, fixture, "base", "debuginfo").expect_code(0);
    let token = cli.run(["token", "create", "reader", "--role", "read"]).expect_code(0).stdout;
    let token = token.trim();
    let (_server, address) = start(&cli);

    let crash = fixture.crash("will-crash-segv");
    let analyzed = cli.run(["analyze", "--format", "json", crash.core.to_str().expect("text")]).expect_code(0).stdout;
    let question = question(&serde_json::from_str(&analyzed).expect("JSON"));
    let before = is_known(&address, &question);
    assert_eq!((&before["known"], &before["release_supported"]), (&json!(false), &json!(true)), "{before:#}");
    assert_eq!(before["modules"]["indexed"], before["modules"]["asked"], "{before:#}");

    let (_, log) = retraced(&cli, &address, &crash, "first");
    assert!(!log.contains("Not retraced"), "{log}");
    retraced(&cli, &address, &fixture.crash("crashd-null"), "other");
    let after = is_known(&address, &question);
    assert_eq!((&after["known"], &after["group"]["crashes"]), (&json!(true), &json!(1)), "{after:#}");

    let first = ask(&address, token, "tasks?limit=1");
    let second = ask(&address, token, &format!("tasks?cursor={}", first["next_cursor"].as_str().expect("a page more")));
    let task = &second["items"][0];
    assert_eq!((second["items"].as_array().map(Vec::len), &task["state"]), (Some(1), &json!("succeeded")));
    let known = &task["known"];
    let text = |name: &str| known[name].as_str().expect(name).to_owned();
    for filter in [
        "text=wc_sum_labels".to_owned(),
        "state=succeeded&release=fedora-40&package=will-crash".to_owned(),
        format!("package={}", text("package")),
        format!("executable={}", text("executable")),
        format!("signature={}", text("address_signature")),
        format!("signature={}", text("function_signature")),
        format!("group={}", after["group"]["id"].as_str().expect("an id")),
    ] {
        let found = ask(&address, token, &format!("tasks?{filter}"));
        assert_eq!(
            (found["items"].as_array().map(Vec::len), &found["items"][0]["id"]),
            (Some(1), &task["id"]),
            "{filter}"
        );
    }
    let group = ask(&address, token, &format!("groups/{}", text("group")));
    assert_eq!((&group["crashes"], &group["packages"][0]["release"]), (&json!(1), &json!("fedora-40")), "{group:#}");
    assert!(group["frames"].to_string().contains("!wc_sum_labels\""), "{group:#}");
}

//! What is known of tasks, asked on the wire: known crashes, lists, groups, sums, what the service has.

use retrace_store::{Finding, Outcome, Role};
use retrace_types::{
    Architecture, BuildId, FailureReason, Sha256,
    signature::{CrashSignature, FunctionSignature, SIGNATURE_SCHEMA, address_signature},
};
use serde_json::{Value, json};

use super::tasks::{body, created, send};
use super::*;

/// A crash of one build in `inner`, called by `main`.
fn crash(package: &str, build: &BuildId) -> Finding {
    let frames = ["x!inner".to_owned(), "x!main".to_owned()];
    Finding {
        release: Some("fedora-40".parse().unwrap()),
        architecture: Some(Architecture::X86_64),
        package: Some(package.to_owned()),
        executable: Some("/usr/bin/x".to_owned()),
        signal: Some("SIGSEGV".to_owned()),
        signature: Some(CrashSignature {
            schema: SIGNATURE_SCHEMA.to_owned(),
            addresses: address_signature([Some((build, 0x10)), None]),
            functions: Some(FunctionSignature { digest: Sha256::from_bytes([7; 32]), frames: frames.to_vec() }),
        }),
        ..Finding::default()
    }
}

/// Sends a core, and does the worker's part.
async fn finished(server: &TestServer, finding: &Finding) -> String {
    let (path, _) = created(server, "").await;
    let lease = server.store.lease_next("test", std::time::Duration::from_secs(9), u64::MAX).await.unwrap().unwrap();
    let outcome = match finding.reason {
        Some(_) => Outcome::Failure { message: "the file is no coredump".to_owned() },
        None => Outcome::Success,
    };
    server.store.finish_with(&lease, &outcome, finding).await.unwrap();
    path.rsplit('/').next().unwrap().to_owned()
}

async fn token(server: &TestServer, role: Role) -> String {
    let (_, secret) = server.store.create_token("t", role, None).await.unwrap();
    format!("Authorization: Bearer {secret}\r\n")
}

fn ids(page: &Value) -> Vec<String> {
    page["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_is_known_once_it_was_seen_and_the_question_is_bounded() {
    let server = TestServer::start(PLAIN).await;
    let (build, other): (BuildId, BuildId) = ("ab".repeat(20).parse().unwrap(), "cd".repeat(20).parse().unwrap());
    let question = json!({
        "release": "fedora-40", "architecture": "x86_64", "build_ids": [other.to_string()],
        "frames": [{"build_id": build.to_string(), "offset": 0x10}, {}],
    });
    let ask = async |question: &Value| {
        let question = question.to_string();
        send(&server, "POST", "/known", "Content-Type: application/json\r\n", question.as_bytes()).await
    };
    let before = body(&ask(&question).await);
    assert_eq!((&before["known"], &before["group"]), (&json!(false), &Value::Null));
    assert_eq!(before["release_supported"], false);
    assert_eq!((&before["modules"]["asked"], &before["modules"]["indexed"]), (&json!(2), &json!(0)));
    assert_eq!(before["modules"]["missing"].as_array().unwrap().len(), 2);

    finished(&server, &crash("x-1-1.x86_64", &build)).await;
    let after = body(&ask(&question).await);
    assert_eq!((&after["known"], &after["group"]["crashes"]), (&json!(true), &json!(1)));
    assert!(!after.to_string().contains("inner") && !after.to_string().contains("/usr/bin/x"), "{after}");
    let elsewhere = json!({"frames": [{"build_id": build.to_string(), "offset": 0x11}, {}]});
    assert_eq!(body(&ask(&elsewhere).await)["known"], false);

    for wrong in [
        json!({"frames": vec![json!({}); 257]}),
        json!({"build_ids": vec!["ab"; 4097]}),
        json!({"build_ids": ["zz"]}),
        json!({"release": "fedora-40"}),
        json!({"frames": [{"offset": 1}]}),
        json!({"core": "x"}),
    ] {
        let reply = ask(&wrong).await;
        assert_eq!(reply.status(), 400, "{reply:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_crashes_need_a_token_questions_do_too() {
    let api = ApiOptions { anonymous_submit: false, ..ApiOptions::DEFAULT };
    let server = TestServer::start(ServerOptions { api, ..PLAIN }).await;
    let json = "Content-Type: application/json\r\n";
    assert_eq!(send(&server, "POST", "/known", json, b"{}").await.status(), 401);
    let headers = format!("{json}{}", token(&server, Role::Submit).await);
    assert_eq!(send(&server, "POST", "/known", &headers, b"{}").await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_are_found_by_each_filter_and_page_by_page() {
    let server = TestServer::start(PLAIN).await;
    let read = token(&server, Role::Read).await;
    let build: BuildId = "ab".repeat(20).parse().unwrap();
    let good = finished(&server, &crash("x-1-1.x86_64", &build)).await;
    let bad = finished(&server, &Finding::failure(FailureReason::NotACore)).await;
    let (stopped, password) = created(&server, "").await;
    assert_eq!(send(&server, "POST", &format!("{stopped}/cancel"), &password, b"").await.status(), 200);
    let stopped = stopped.rsplit('/').next().unwrap().to_owned();
    let (waiting, _) = created(&server, "").await;
    let waiting = waiting.rsplit('/').next().unwrap().to_owned();

    let list = async |query: &str| body(&send(&server, "GET", &format!("/tasks{query}"), &read, b"").await);
    let signature = address_signature([Some((&build, 0x10)), None]).unwrap();
    for (query, want) in [
        ("?state=succeeded".to_owned(), vec![&good]),
        ("?state=failed".to_owned(), vec![&bad]),
        ("?state=cancelled".to_owned(), vec![&stopped]),
        ("?state=waiting".to_owned(), vec![&waiting]),
        ("?state=pending".to_owned(), vec![&waiting]),
        ("?state=running".to_owned(), vec![]),
        ("?state=uploading".to_owned(), vec![]),
        ("?release=fedora-40".to_owned(), vec![&good]),
        ("?release=fedora-41".to_owned(), vec![]),
        ("?package=x".to_owned(), vec![&good]),
        ("?package=x-1-1.x86_64&executable=/usr/bin/x".to_owned(), vec![&good]),
        ("?package=y&executable=/usr/bin/x".to_owned(), vec![]),
        (format!("?signature={signature}"), vec![&good]),
        (format!("?signature={}", "07".repeat(32)), vec![&good]),
        (format!("?group={}", "07".repeat(32)), vec![&good]),
        ("?reason=not-a-core".to_owned(), vec![&bad]),
        ("?text=Inner%20MAIN".to_owned(), vec![&good]),
        ("?text=coredump".to_owned(), vec![&bad]),
        ("?since=2020-01-01T00:00:00Z&state=failed".to_owned(), vec![&bad]),
        ("?until=2020-01-01T00:00:00Z".to_owned(), vec![]),
    ] {
        assert_eq!(ids(&list(&query).await), want.into_iter().cloned().collect::<Vec<_>>(), "{query}");
    }
    let told = &list("?state=succeeded").await["items"][0];
    assert_eq!((&told["state"], &told["known"]["package"]), (&json!("succeeded"), &json!("x-1-1.x86_64")));
    assert_eq!(list("?state=cancelled").await["items"][0]["state"], "cancelled");

    let mut all = Vec::new();
    let mut page = list("?limit=1").await;
    loop {
        all.extend(ids(&page));
        let Some(next) = page["next_cursor"].as_str() else { break };
        page = list(&format!("?limit=1&cursor={next}")).await;
    }
    let mut want = [good, bad, stopped, waiting];
    all.sort();
    want.sort();
    assert_eq!(all, want, "each once");
    for wrong in ["?state=done", "?cursor=5b5d", "?limit=501", "?since=yesterday", "?text=-"] {
        assert_eq!(send(&server, "GET", &format!("/tasks{wrong}"), &read, b"").await.status(), 400, "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_builds_of_one_program_are_one_group_and_are_counted() {
    let server = TestServer::start(PLAIN).await;
    let read = token(&server, Role::Read).await;
    for (package, build) in [("x-1-1.x86_64", "ab"), ("x-2-1.x86_64", "cd")] {
        finished(&server, &crash(package, &build.repeat(20).parse().unwrap())).await;
    }
    finished(&server, &Finding::failure(FailureReason::NotACore)).await;
    let get = async |path: &str| body(&send(&server, "GET", path, &read, b"").await);
    for order in ["", "?order=newest", "?order=frequent"] {
        let groups = get(&format!("/groups{order}")).await;
        assert_eq!((groups["items"].as_array().unwrap().len(), &groups["items"][0]["crashes"]), (1, &json!(2)));
    }
    let group = get(&format!("/groups/{}", "07".repeat(32))).await;
    assert_eq!(group["frames"], json!(["x!inner", "x!main"]));
    assert_eq!((group["packages"].as_array().unwrap().len(), &group["backtrace_state"]), (2, &json!("none")));
    for nothing in ["00".repeat(32), "x".to_owned()] {
        assert_eq!(send(&server, "GET", &format!("/groups/{nothing}"), &read, b"").await.status(), 404);
    }

    let sums = get("/statistics").await;
    assert_eq!((&sums["total"]["tasks"], &sums["total"]["failed"]), (&json!(3), &json!(1)));
    assert_eq!(sums["total"]["failures"], json!({"not-a-core": 1}));
    assert_eq!(sums["by_day"][0]["name"], sums["to"]);
    assert_eq!((&sums["by_package"][0]["name"], &sums["by_package"][0]["tasks"]), (&json!("x"), &json!(2)));
    assert_eq!(get("/statistics?from=2020-01-01&to=2020-01-31").await["total"]["tasks"], 0);
    for wrong in ["?from=2020-01-01", "?from=2026-01-02&to=2026-01-01", "?to=x", "?to=-9999-01-01"] {
        assert_eq!(send(&server, "GET", &format!("/statistics{wrong}"), &read, b"").await.status(), 400, "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_releases_are_told_to_everyone() {
    let server = TestServer::start(PLAIN).await;
    let (submit, read) = (token(&server, Role::Submit).await, token(&server, Role::Read).await);
    assert_eq!(body(&send(&server, "GET", "/releases", "", b"").await), json!([]));
    for path in ["/tasks", "/groups", "/statistics", "/mirrors", "/plugins"] {
        for (headers, status) in [("", 401), (submit.as_str(), 403), (read.as_str(), 200)] {
            assert_eq!(send(&server, "GET", path, headers, b"").await.status(), status, "{path}");
        }
    }
}

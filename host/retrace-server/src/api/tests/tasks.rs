//! Tasks by the API, in a server without a worker.

use std::time::Duration;

use retrace_store::{Outcome, Role};
use serde_json::{Value, json};

use super::*;
use crate::tests::{Reply, TAR, archive};

const CORE: &[u8] = b"\x7fELF a core";

pub(super) fn body(reply: &Reply) -> Value {
    serde_json::from_str(&reply.body).unwrap()
}

pub(super) async fn send(server: &TestServer, method: &str, path: &str, headers: &str, body: &[u8]) -> Reply {
    let head = format!(
        "{method} /api/v1{path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n",
        body.len()
    );
    server.send([head.as_bytes(), body].concat()).await
}

/// Path of a new task, and the header with its password.
pub(super) async fn created(server: &TestServer, query: &str) -> (String, String) {
    let reply = send(server, "POST", &format!("/tasks{query}"), "", CORE).await;
    assert_eq!(reply.status(), 201, "{reply:?}");
    let made = body(&reply);
    let path = format!("/tasks/{}", made["id"].as_str().unwrap());
    assert_eq!(reply.header("Location"), Some(format!("/api/v1{path}").as_str()));
    (path, format!("X-Task-Password: {}\r\n", made["password"].as_str().unwrap()))
}

fn id(path: &str) -> retrace_types::TaskId {
    path.rsplit('/').next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bare_core_becomes_a_task_with_what_is_said_of_it() {
    let server = TestServer::start(PLAIN).await;
    let (path, password) = created(&server, "?package=x-1-1&executable=/usr/bin/x&os_release=ID%3Dfedora%0A").await;
    let crash = server.store.input_dir(id(&path));
    for (name, want) in
        [("coredump", CORE), ("package", b"x-1-1"), ("executable", b"/usr/bin/x"), ("os_release", b"ID=fedora\n")]
    {
        assert_eq!(std::fs::read(crash.join(name)).unwrap(), want, "{name}");
    }
    let task = body(&send(&server, "GET", &path, &password, b"").await);
    assert_eq!((&task["state"], &task["queue_position"]), (&json!("waiting"), &json!(1)));
    assert_eq!(task["estimated_seconds"], Value::Null, "nothing runs: nobody can tell");
    let bearer = password.replace("X-Task-Password:", "Authorization: Bearer");
    assert_eq!(send(&server, "GET", &path, &bearer, b"").await.status(), 200);
    assert_eq!(send(&server, "GET", &path, "", b"").await.status(), 401);
    assert_eq!(send(&server, "GET", &path, "X-Task-Password: x\r\n", b"").await.status(), 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_used_leaves_nothing_behind() {
    // What was refused takes its place until it is removed.
    let server = TestServer::start(ServerOptions { max_queued_tasks: 20, ..PLAIN }).await;
    let tar = archive(&[("coredump", b"core"), ("package", b"from-the-archive")]);
    let from_archive = send(&server, "POST", "/tasks?package=other", TAR, &tar).await;
    assert_eq!(from_archive.status(), 201, "{from_archive:?}");
    let no_core = archive(&[("package", b"x")]);
    let wrong_digest = "Content-Digest: sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:\r\n";
    for (query, headers, content, want) in [
        ("", "", b"no core at all".as_slice(), 415),
        ("", TAR, &no_core, 422),
        ("", TAR, b"no archive", 422),
        ("", wrong_digest, CORE, 422),
        ("", "Content-Digest: md5=:YQ==:\r\n", CORE, 400),
        ("", "Content-Type: text/html\r\n", CORE, 415),
        ("", "Content-Encoding: gzip\r\n", CORE, 415),
        ("?priority=5", "", CORE, 401),
        ("?priority=x", "", CORE, 400),
        ("?paket=x", "", CORE, 400),
        ("?package=a%00b", "", CORE, 400),
    ] {
        let reply = send(&server, "POST", &format!("/tasks{query}"), headers, content).await;
        assert_eq!(reply.status(), want, "{query} {headers}: {reply:?}");
        assert_eq!(reply.header("Content-Type"), Some("application/problem+json"));
    }
    server.expect_tasks(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queue_is_full_for_this_api_too() {
    let server = TestServer::start(PLAIN).await;
    for _ in 0..3 {
        created(&server, "").await;
    }
    let full = send(&server, "POST", "/tasks", "", CORE).await;
    assert_eq!((full.status(), full.header("Retry-After")), (503, Some("60")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_names_one_request() {
    let server = TestServer::start(ServerOptions { max_queued_tasks: 20, ..PLAIN }).await;
    let key = "Idempotency-Key: \"a-key\"\r\n";
    let first = send(&server, "POST", "/tasks", key, CORE).await;
    let again = send(&server, "POST", "/tasks", "idempotency-key: a-key\r\n", CORE).await;
    assert_eq!((first.status(), again.status()), (201, 201), "{first:?} {again:?}");
    assert_eq!((&body(&first)["id"], &body(&first)["password"]), (&body(&again)["id"], &body(&again)["password"]));
    assert_eq!((first.header("Idempotency-Replayed"), again.header("Idempotency-Replayed")), (None, Some("true")));
    for (query, content) in [("", b"\x7fELF other".as_slice()), ("?package=x", CORE)] {
        let other = send(&server, "POST", &format!("/tasks{query}"), key, content).await;
        assert_eq!((other.status(), &body(&other)["type"]), (422, &json!("/api/v1/problems/idempotency-key-reused")));
    }
    let (_, secret) = server.store.create_token("ci", Role::Submit, None).await.unwrap();
    let headers = format!("{key}Authorization: Bearer {secret}\r\n");
    let another = send(&server, "POST", "/tasks", &headers, CORE).await;
    assert_ne!(body(&another)["id"], body(&first)["id"], "the same key of somebody else is another one");
    assert_eq!(send(&server, "POST", "/tasks", "Idempotency-Key: \r\n", CORE).await.status(), 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_make_a_whole() {
    let server = TestServer::start(PLAIN).await;
    let headers = "Upload-Complete: ?0\r\nUpload-Length: 12\r\n";
    let begun = send(&server, "POST", "/tasks?package=x", headers, &CORE[..4]).await;
    assert_eq!((begun.status(), begun.header("Upload-Offset")), (201, Some("4")), "{begun:?}");
    let path = body(&begun)["upload"].as_str().unwrap().replace("/api/v1", "");
    let password = format!("X-Task-Password: {}\r\n", body(&begun)["password"].as_str().unwrap());
    let part = |offset: usize, more: &str| format!("{password}Upload-Offset: {offset}\r\n{more}");
    let patch = |headers: String, content: &'static [u8]| {
        let (server, path) = (&server, &path);
        async move { send(server, "PATCH", path, &headers, content).await }
    };
    assert_eq!(patch("Upload-Offset: 4\r\n".to_owned(), b"x").await.status(), 401);
    assert_eq!(patch(password.clone(), b"x").await.status(), 400, "no offset");
    let wrong = patch(part(3, ""), b"x").await;
    assert_eq!((wrong.status(), wrong.header("Upload-Offset")), (409, Some("4")));
    assert_eq!(body(&wrong)["upload_offset_bytes"], json!(4));
    assert_eq!(patch(part(4, "Upload-Length: 13\r\n"), b"x").await.status(), 400, "the length changed");
    assert_eq!(patch(part(4, "Upload-Complete: ?0\r\n"), b"more than twelve").await.status(), 413);
    let second = patch(part(4, "Upload-Complete: ?0\r\n"), &CORE[4..8]).await;
    assert_eq!((second.status(), second.header("Upload-Offset")), (204, Some("8")), "{second:?}");
    assert_eq!(patch(part(8, "Upload-Complete: ?1\r\n"), b"xy").await.status(), 409, "it is not the whole");
    let look = send(&server, "HEAD", &path, &password, b"").await;
    assert_eq!((look.status(), look.header("Upload-Offset")), (204, Some("10")), "{look:?}");
    let whole = "Repr-Digest: sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:\r\nUpload-Complete: ?1\r\n";
    assert_eq!(patch(part(10, whole), b"zz").await.status(), 422);
    let done = patch(part(12, "Upload-Complete: ?1\r\n"), b"").await;
    assert_eq!((done.status(), done.header("Upload-Complete")), (201, Some("?1")), "{done:?}");
    let task = done.header("Location").unwrap();
    let crash = server.store.input_dir(id(task));
    assert_eq!(std::fs::read(crash.join("coredump")).unwrap(), b"\x7fELF a cxyzz");
    let look = send(&server, "HEAD", &path, &password, b"").await;
    assert_eq!((look.header("Upload-Complete"), look.header("Upload-Offset")), (Some("?1"), Some("12")));
    assert_eq!(patch(part(12, ""), b"x").await.status(), 409);
    assert_eq!(send(&server, "DELETE", &path, &password, b"").await.status(), 409);
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_in_parts_are_bounded_and_given_up() {
    let api = ApiOptions { max_open_uploads: 1, ..ApiOptions::DEFAULT };
    let server = TestServer::start(ServerOptions { api, ..PLAIN }).await;
    let begin = async || send(&server, "POST", "/tasks", "Upload-Complete: ?0\r\n", b"").await;
    let first = begin().await;
    assert_eq!(begin().await.status(), 429);
    let path = body(&first)["upload"].as_str().unwrap().replace("/api/v1", "");
    let password = format!("X-Task-Password: {}\r\n", body(&first)["password"].as_str().unwrap());
    assert_eq!(send(&server, "DELETE", &path, &password, b"").await.status(), 204);
    server.expect_tasks(0).await;
    assert_eq!(send(&server, "HEAD", &path, &password, b"").await.status(), 404);
    let too_large = send(&server, "POST", "/tasks", "Upload-Complete: ?0\r\nUpload-Length: 99999999\r\n", b"").await;
    assert_eq!(too_large.status(), 413);
    assert_eq!(begin().await.status(), 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_cancelled_restarted_and_deleted_by_its_owner() {
    let server = TestServer::start(PLAIN).await;
    let (path, password) = created(&server, "").await;
    let act = async |method: &str, what: &str| send(&server, method, &format!("{path}{what}"), &password, b"").await;
    assert_eq!(act("POST", "/restart").await.status(), 409);
    let cancelled = act("POST", "/cancel").await;
    assert_eq!(cancelled.status(), 200, "{cancelled:?}");
    assert_eq!(
        (&body(&cancelled)["state"], &body(&cancelled)["cancelled_by"]),
        (&json!("cancelled"), &json!("its sender"))
    );
    assert_eq!(act("POST", "/cancel").await.status(), 409);
    assert_eq!(act("GET", "/backtrace").await.status(), 404);
    assert_eq!(body(&act("POST", "/restart").await)["state"], json!("waiting"));
    let lease = server.store.lease_next("w", Duration::from_secs(60), 9).await.unwrap().unwrap();
    assert_eq!(body(&act("GET", "").await)["state"], json!("running"));
    for (name, content) in [("backtrace", "text"), ("backtrace.json", "{}"), ("log", "story")] {
        server.store.put_task_result(&lease, name, content.as_bytes()).await.unwrap();
    }
    server.store.finish(&lease, &Outcome::Success).await.unwrap();
    assert_eq!(act("GET", "/backtrace").await.body, "{}");
    let text =
        send(&server, "GET", &format!("{path}/backtrace"), &format!("{password}Accept: text/plain\r\n"), b"").await;
    assert_eq!((text.body.as_str(), text.header("Vary")), ("text", Some("Accept")));
    assert_eq!(act("GET", "/log").await.body, "story");
    server.store.remove_input(id(&path)).await.unwrap();
    let gone = act("POST", "/restart").await;
    assert_eq!((gone.status(), &body(&gone)["type"]), (409, &json!("/api/v1/problems/input-gone")));
    let events = act("GET", "/events").await;
    assert!(events.body.contains("event: end"), "{events:?}");
    assert_eq!(act("DELETE", "").await.status(), 204);
    assert_eq!(act("GET", "").await.status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_of_events_are_bounded_and_end_with_the_server() {
    let api = ApiOptions { max_event_streams: 1, ..ApiOptions::DEFAULT };
    let server = TestServer::start(ServerOptions { api, ..PLAIN }).await;
    let (path, password) = created(&server, "").await;
    let request = format!("GET /api/v1{path}/events HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{password}\r\n");
    let (address, bytes) = (server.address, request.clone().into_bytes());
    let following = tokio::task::spawn_blocking(move || crate::tests::exchange(address, &bytes));
    let refused = loop {
        let reply = server.send(request.replace("/events", "")).await;
        assert_eq!(reply.status(), 200);
        if server.streams() == 0 {
            break server.send(request.clone()).await;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!((refused.status(), refused.header("Retry-After")), (503, Some("10")));
    server.stop().await;
    let told = following.await.unwrap();
    assert!(told.body.contains("\"state\":\"waiting\"") && !told.body.contains("event: end"), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_managed_by_admins_and_roles_open_doors() {
    let server = TestServer::start(PLAIN).await;
    let token = async |role| {
        let (_, secret) = server.store.create_token("t", role, None).await.unwrap();
        format!("Authorization: Bearer {secret}\r\n")
    };
    let (submit, read, operate, admin) =
        (token(Role::Submit).await, token(Role::Read).await, token(Role::Operate).await, token(Role::Admin).await);
    let (path, _) = created(&server, "").await;
    for (header, reading, forward, listing) in
        [(&submit, 403, 403, 403), (&read, 200, 403, 403), (&operate, 200, 200, 403), (&admin, 200, 200, 200)]
    {
        assert_eq!(send(&server, "GET", &path, header, b"").await.status(), reading, "{header}");
        let headers = format!("{header}Content-Type: application/json\r\n");
        assert_eq!(send(&server, "PATCH", &path, &headers, b"{\"priority\": 7}").await.status(), forward, "{header}");
        assert_eq!(send(&server, "GET", "/tokens", header, b"").await.status(), listing, "{header}");
    }
    let own = send(&server, "POST", "/tasks", &submit, CORE).await;
    let own = format!("/tasks/{}", body(&own)["id"].as_str().unwrap());
    assert_eq!(send(&server, "GET", &own, &submit, b"").await.status(), 200, "the token sent it");
    let json = format!("{admin}Content-Type: application/json\r\n");
    let made = send(&server, "POST", "/tokens", &json, b"{\"name\": \"a\", \"role\": \"read\"}").await;
    assert_eq!(made.status(), 201, "{made:?}");
    let made = body(&made);
    let new = format!("Authorization: Bearer {}\r\n", made["secret"].as_str().unwrap());
    assert_eq!(send(&server, "GET", &path, &new, b"").await.status(), 200);
    let token = format!("/tokens/{}", made["id"].as_str().unwrap());
    assert_eq!(send(&server, "DELETE", &token, &admin, b"").await.status(), 204);
    assert_eq!(send(&server, "GET", &path, &new, b"").await.status(), 401);
    let page = body(&send(&server, "GET", "/tokens?limit=3", &admin, b"").await);
    let next = format!("/tokens?cursor={}", page["next_cursor"].as_str().unwrap());
    let rest = body(&send(&server, "GET", &next, &admin, b"").await);
    assert_eq!((page["items"].as_array().unwrap().len(), rest["items"].as_array().unwrap().len()), (3, 2));
    assert_eq!(rest["next_cursor"], Value::Null);
    for wrong in
        [b"{\"name\": \"\", \"role\": \"read\"}".as_slice(), b"{\"name\": \"a\", \"role\": \"root\"}", b"{}", b"x"]
    {
        assert_eq!(send(&server, "POST", "/tokens", &json, wrong).await.status(), 400);
    }
}

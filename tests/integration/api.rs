//! The API, with the real server and real curl.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use retrace_tests::{Cli, checkout, rpm};
use serde_json::Value;

use crate::{
    serve::{archive, start},
    view::sync_rpm,
};

const LIMIT: Duration = Duration::from_secs(90);

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {} {}", self.head, self.body))
    }

    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    fn text(&self, pointer: &str) -> String {
        self.json().pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
    }
}

/// One request by curl.
fn curl(arguments: &[&str]) -> Answer {
    let output = Command::new("curl").args(["-sS", "-i", "--max-time", "60", "-H", "Expect:"]).args(arguments).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap();
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

fn file(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn wait_for_state(task: &str, password: &str, want: &str) {
    let deadline = Instant::now() + LIMIT;
    loop {
        let state = curl(&["-H", password, task]).text("/state");
        if state == want {
            return;
        }
        assert!(Instant::now() < deadline, "{task} is {state}, not {want}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The commands of the page, as they stand there.
#[test]
fn the_commands_of_the_users_page_work() {
    let (Some(fixture), Some(mut cli)) = (rpm(), Cli::new()) else { return };
    if !["curl", "jq", "openssl", "bash"].iter().all(|program| cli.has_program(program)) {
        return;
    }
    cli.set("RETRACE_SERVER_LISTEN", "127.0.0.1:0");
    sync_rpm(&cli, fixture, "base", "debuginfo").expect_code(0);
    let token = cli.run(["token", "create", "ops", "--role", "admin"]).expect_code(0).stdout;
    let (_server, address) = start(&cli);
    let crash = fixture.crash("will-crash-segv");
    let packed = cli.path("crash.tar.xz");
    fs::write(&packed, archive(&crash, &cli.path("crash"))).unwrap();

    let page = fs::read_to_string(checkout().join("host/retrace-server/docs/api.md")).unwrap();
    let blocks: Vec<_> = page.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(blocks.len() >= 6);
    let dir = cli.path("page");
    fs::create_dir(&dir).unwrap();
    let output = Command::new("bash")
        .args(["-euxo", "pipefail", "-c", &blocks.join("\n")])
        .current_dir(&dir)
        .env("server", format!("http://{address}"))
        .env("core", &crash.core)
        .env("archive", &packed)
        .env("token", token.trim())
        .output()
        .unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stdout}\n{stderr}");
    assert!(stdout.contains("event: step") && stdout.contains("event: end"), "{stdout}");
    assert!(fs::read_to_string(dir.join("backtrace.txt")).unwrap().contains("wc_sum_labels"));
    assert!(fs::read_to_string(dir.join("log")).unwrap().contains("[I]"));
    let list = cli.run(["token", "list"]).expect_code(0).stdout;
    assert!(list.contains("build farm") && list.contains("revoked") && !list.contains(token.trim()), "{list}");
}

/// The connection breaks in the middle of a part, then the server is killed; the client goes on each time where it was.
#[test]
fn an_upload_goes_on_after_a_cut_connection_and_a_killed_server() {
    let (Some(fixture), Some(mut cli)) = (rpm(), Cli::new()) else { return };
    cli.set("RETRACE_SERVER_LISTEN", "127.0.0.1:0");
    sync_rpm(&cli, fixture, "base", "debuginfo").expect_code(0);
    let core = fs::read(fixture.crash("will-crash-segv").core).unwrap();
    let (server, address) = start(&cli);
    let begun = curl(&["-X", "POST", "-H", "Upload-Complete: ?0", &format!("http://{address}/api/v1/tasks")]);
    assert_eq!((begun.status, begun.header("Upload-Offset")), (201, Some("0")), "{}", begun.body);
    let (upload, id) = (begun.text("/upload"), begun.text("/id"));
    let password = format!("X-Task-Password: {}", begun.text("/password"));
    let offset = |address: &str| -> usize {
        let look = curl(&["-I", "-H", &password, &format!("http://{address}{upload}")]);
        assert_eq!((look.status, look.header("Upload-Complete")), (204, Some("?0")), "{}", look.head);
        look.header("Upload-Offset").unwrap().parse().unwrap()
    };

    let half = core.len() / 2;
    let mut stream = TcpStream::connect(&address).unwrap();
    let head = format!(
        "PATCH {upload} HTTP/1.1\r\nHost: a\r\n{password}\r\nContent-Length: {}\r\nUpload-Offset: 0\r\n\
         Upload-Complete: ?1\r\nContent-Type: application/partial-upload\r\n\r\n",
        core.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&core[..half]).unwrap();
    drop(stream);
    let deadline = Instant::now() + LIMIT;
    while offset(&address) == 0 {
        assert!(Instant::now() < deadline, "nothing of what came counts");
        std::thread::sleep(Duration::from_millis(50));
    }
    let kept = offset(&address);
    assert!(kept <= half);

    drop(server); // SIGKILL
    let (_server, address) = start(&cli);
    assert_eq!(offset(&address), kept, "what counted is still there");
    let rest = cli.path("rest");
    fs::write(&rest, &core[kept..]).unwrap();
    let url = format!("http://{address}{upload}");
    let send = |offset: usize, more: &[&str]| {
        let offset = format!("Upload-Offset: {offset}");
        let common = ["-X", "PATCH", "-T", file(&rest), "-H", "Content-Type: application/partial-upload"];
        curl(&[&common[..], &["-H", &password, "-H", &offset, "-H", "Upload-Complete: ?1"], more, &[&url]].concat())
    };
    let wrong = send(kept + 1, &[]);
    assert_eq!((wrong.status, wrong.header("Upload-Offset")), (409, Some(kept.to_string().as_str())), "{}", wrong.body);
    assert_eq!(wrong.text("/type"), "/api/v1/problems/offset-mismatch");
    let damaged = send(kept, &["-H", "Content-Digest: sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"]);
    assert_eq!(damaged.status, 422, "{}", damaged.body);
    assert_eq!(offset(&address), kept, "a part that was damaged does not count");
    let done = send(kept, &[]);
    assert_eq!(done.status, 201, "{}", done.body);
    let task = format!("http://{address}/api/v1/tasks/{id}");
    wait_for_state(&task, &password, "succeeded");
    let text = curl(&["-H", &password, "-H", "Accept: text/plain", &format!("{task}/backtrace")]).body;
    assert!(text.contains("wc_sum_labels"), "{text}");
}

#[test]
fn a_repeated_request_makes_one_task_over_two_servers_and_a_restart() {
    let (Some(fixture), Some(mut cli)) = (rpm(), Cli::new()) else { return };
    cli.set("RETRACE_SERVER_LISTEN", "127.0.0.1:0");
    let core = fixture.crash("will-crash-segv").core;
    let other = cli.path("other");
    fs::write(&other, b"\x7fELF another one").unwrap();
    let send = |address: &str, path: &Path| {
        let url = format!("http://{address}/api/v1/tasks?package=x");
        curl(&["-X", "POST", "-T", file(path), "-H", "Idempotency-Key: \"k-1\"", &url])
    };
    let (first_server, first_address) = start(&cli);
    let (_second_server, second_address) = start(&cli);
    let first = send(&first_address, &core);
    assert_eq!((first.status, first.header("Idempotency-Replayed")), (201, None), "{}", first.body);
    drop(first_server);
    let (_third_server, third_address) = start(&cli);
    for address in [&second_address, &third_address] {
        let again = send(address, &core);
        assert_eq!((again.status, again.header("Idempotency-Replayed")), (201, Some("true")), "{}", again.body);
        assert_eq!(again.header("Location"), first.header("Location"));
        assert_eq!((again.text("/id"), again.text("/password")), (first.text("/id"), first.text("/password")));
        let misused = send(address, &other);
        assert_eq!(
            (misused.status, misused.text("/type")),
            (422, "/api/v1/problems/idempotency-key-reused".to_owned())
        );
    }
}

#[test]
fn events_tell_the_whole_life_of_a_task_and_go_on_where_they_broke_off() {
    let (Some(fixture), Some(mut cli)) = (rpm(), Cli::new()) else { return };
    cli.set("RETRACE_SERVER_LISTEN", "127.0.0.1:0");
    sync_rpm(&cli, fixture, "base", "debuginfo").expect_code(0);
    let (_server, address) = start(&cli);
    let core = fixture.crash("will-crash-segv").core;
    let made = curl(&["-X", "POST", "-T", file(&core), &format!("http://{address}/api/v1/tasks")]);
    assert_eq!(made.status, 201, "{}", made.body);
    let password = format!("X-Task-Password: {}", made.text("/password"));
    let url = format!("http://{address}/api/v1/tasks/{}/events", made.text("/id"));
    let told = curl(&["-N", "-H", &password, &url]);
    assert_eq!(told.header("Content-Type"), Some("text/event-stream"));
    let states: Vec<_> = told.body.split("\"state\":\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert_eq!(states.last(), Some(&"succeeded"), "{}", told.body);
    assert!(told.body.contains("Reading the core") && told.body.contains("event: end\nid: end\n"), "{}", told.body);
    let again = curl(&["-N", "-H", &password, "-H", "Last-Event-ID: 1", &url]);
    assert!(!again.body.contains("id: 1\n") && again.body.contains("id: 2\n"), "{}", again.body);
    assert_eq!(curl(&["-H", &password, "-H", "Last-Event-ID: end", &url]).status, 204);
}

/// Nobody works: tasks wait, in the order of their priority, until somebody cancels them.
#[test]
fn roles_decide_and_the_queue_is_in_order() {
    let (Some(fixture), Some(mut cli)) = (rpm(), Cli::new()) else { return };
    // No place for any task: the worker leases none.
    cli.set("RETRACE_SERVER_LISTEN", "127.0.0.1:0").set("RETRACE_API_ANONYMOUS_SUBMIT", "false");
    cli.set("RETRACE_WORKER_POLL_MILLISECONDS", "3600000").set("RETRACE_API_MAX_UPLOAD_SIZE_MIB", "1");
    let token = |role: &str| {
        let made = cli.run(["token", "create", role, "--role", role, "--expires-in", "1h"]).expect_code(0);
        format!("Authorization: Bearer {}", made.stdout.trim())
    };
    let (submit, read, operate) = (token("submit"), token("read"), token("operate"));
    let (_server, address) = start(&cli);
    let core = fixture.crash("will-crash-segv").core;
    let url = format!("http://{address}/api/v1/tasks");
    let refused = curl(&["-X", "POST", "-T", file(&core), &url]);
    assert_eq!((refused.status, refused.header("WWW-Authenticate")), (401, Some("Bearer realm=\"retrace\"")));
    assert_eq!(curl(&["-X", "POST", "-T", file(&core), "-H", &submit, &format!("{url}?priority=1")]).status, 403);
    let made = curl(&["-X", "POST", "-T", file(&core), "-H", &submit, &format!("{url}?kind=debug")]);
    assert_eq!(made.status, 201, "{}", made.body);
    let task = format!("{url}/{}", made.text("/id"));
    for (header, status) in [(&submit, 200), (&read, 200), (&operate, 200)] {
        assert_eq!(curl(&["-H", header, &task]).status, status, "{header}");
    }
    assert_eq!(curl(&["-H", "X-Task-Password: wrong", &task]).status, 403);
    assert_eq!(curl(&[&task]).status, 401);
    let json = "Content-Type: application/json";
    let forward =
        |header: &str| curl(&["-X", "PATCH", "-H", header, "-H", json, "-d", "{\"priority\": 7}", &task]).status;
    assert_eq!(forward(&read), 403);
    assert_eq!(curl(&["-X", "POST", "-H", &read, &format!("{task}/cancel")]).status, 403);
    // Whether a worker had it first is up to the machine.
    let cancelled = curl(&["-X", "POST", "-H", &operate, &format!("{task}/cancel")]);
    if cancelled.status == 200 {
        assert_eq!(cancelled.text("/state"), "cancelled");
        assert!(cancelled.text("/message").contains("operate"), "{}", cancelled.body);
    } else {
        assert_eq!(cancelled.status, 409, "{}", cancelled.body);
    }
    assert_eq!(curl(&["-X", "POST", "-H", &operate, &format!("{task}/restart")]).status, 202);
    assert_eq!(curl(&["-X", "DELETE", "-H", &operate, &task]).status, 204);
    assert_eq!(curl(&["-H", &operate, &task]).status, 404);
    assert_eq!(curl(&["-H", &operate, &format!("http://{address}/api/v1/tokens")]).status, 403);
    let revoked = cli.run(["token", "list", "--format", "json"]).expect_code(0).stdout;
    let listed: Vec<Value> = serde_json::from_str(&revoked).unwrap();
    let id = listed.iter().find(|token| token["role"] == "read").and_then(|token| token["id"].as_str()).unwrap();
    cli.run(["token", "revoke", id]).expect_code(0);
    assert_eq!(curl(&["-H", &read, &format!("{url}/100000000")]).status, 401);
}

/// What is refused is told, although the client sends on.
#[test]
fn hostile_requests_are_bounded() {
    let Some(mut cli) = Cli::new() else { return };
    cli.set("RETRACE_SERVER_LISTEN", "127.0.0.1:0").set("RETRACE_API_SUBMITS_PER_HOUR", "4");
    cli.set("RETRACE_API_FAILURES_PER_MINUTE", "5").set("RETRACE_API_MAX_UPLOAD_SIZE_MIB", "1");
    let (_server, address) = start(&cli);
    let url = format!("http://{address}/api/v1/tasks");
    let (large, noise, small) = (cli.path("large"), cli.path("noise"), cli.path("small"));
    fs::write(&large, [b"\x7fELF".as_slice(), &vec![7; 3 << 20]].concat()).unwrap();
    fs::write(&noise, vec![7; 1000]).unwrap();
    fs::write(&small, b"\x7fELF").unwrap();
    let send = |path: &Path, more: &[&str]| curl(&[&["-X", "POST", "-T", file(path)], more, &[&url]].concat());
    assert_eq!(send(&large, &[]).status, 413);
    assert_eq!(send(&large, &["-H", "Transfer-Encoding: chunked"]).status, 413);
    assert_eq!(send(&noise, &[]).status, 415);
    assert_eq!(send(&noise, &["-H", "Content-Type: application/x-tar"]).status, 422);
    assert_eq!(send(&small, &["-H", "Content-Type: text/html"]).status, 415);
    let limited = send(&small, &[]);
    assert_eq!((limited.status, limited.text("/type")), (429, "/api/v1/problems/too-many-requests".to_owned()));
    assert!(limited.header("Retry-After").is_some());
    let guess =
        |n: u32| curl(&["-H", &format!("X-Task-Password: guess-{n}"), &format!("{url}/12345678{}", n % 10)]).status;
    let statuses: Vec<_> = (0..8).map(guess).collect();
    assert_eq!(statuses, [404, 404, 404, 404, 404, 429, 429, 429]);

    let mut stream = TcpStream::connect(&address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream
        .write_all(b"POST /api/v1/tokens HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 9000000\r\n\r\n")
        .unwrap();
    stream.write_all(&vec![b'x'; 9_000_000]).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

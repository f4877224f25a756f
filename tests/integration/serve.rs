//! The service: a crash goes in by HTTP as old clients send it, the backtrace comes out, and a restart loses nothing.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use retrace_tests::{Cli, Crash, Running, rpm};

use crate::view::sync_rpm;

const LIMIT: Duration = Duration::from_secs(90);

pub(crate) struct Answer {
    pub(crate) status: u16,
    /// By lower-case name.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// By lower-case name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// One request on a connection of its own, as the client of Enterprise Linux 7 does.
pub(crate) fn request(address: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    try_request(address, method, path, headers, body).unwrap()
}

/// As [`request`], with a server that may be killed meanwhile.
pub(crate) fn try_request(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(LIMIT))?;
    let mut head = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    stream.write_all((head + "\r\n").as_bytes())?;
    stream.write_all(body)?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    let cut = || io::Error::from(io::ErrorKind::UnexpectedEof);
    let end = bytes.windows(4).position(|end| end == b"\r\n\r\n").ok_or_else(cut)? + 4;
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut lines = head.lines();
    let status =
        lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok()).expect("a status");
    let headers = lines.filter_map(|line| line.split_once(':'));
    let headers = headers.map(|(name, value)| (name.to_lowercase(), value.trim().to_owned())).collect();
    Ok(Answer { status, headers, body: bytes.split_off(end) })
}

pub(crate) fn get(address: &str, path: &str, password: &str) -> Answer {
    request(address, "GET", path, &[("X-Task-Password", password)], b"")
}

pub(crate) fn start(cli: &Cli) -> (Running, String) {
    let mut server = cli.start(["serve"]);
    let line = server.wait_for_log("Listening on http://", LIMIT);
    let address = line.split("http://").nth(1).expect("an address").trim().trim_end_matches('/').to_owned();
    (server, address)
}

/// The archive that abrt's client packs.
pub(crate) fn archive(crash: &Crash, dir: &Path) -> Vec<u8> {
    fs::create_dir_all(dir).unwrap();
    let copied = Command::new("cp").arg("--sparse=always").arg(&crash.core).arg(dir.join("coredump")).status().unwrap();
    assert!(copied.success());
    fs::write(dir.join("executable"), &crash.executable).unwrap();
    fs::write(dir.join("package"), &crash.package).unwrap();
    fs::write(dir.join("os_release"), "Fedora release 40 (Forty)").unwrap();
    let names = ["coredump", "executable", "package", "os_release"];
    let output =
        Command::new("tar").args(["-C", dir.to_str().unwrap(), "-I", "xz -1", "-cf", "-"]).args(names).output();
    output.unwrap().stdout
}

/// Id and password of a new task.
pub(crate) fn create(address: &str, archive: &[u8]) -> (String, String) {
    let headers = [("Content-Type", "application/x-xz-compressed-tar"), ("X-Task-Type", "0")];
    let created = request(address, "POST", "/create", &headers, archive);
    let body = String::from_utf8_lossy(&created.body).into_owned();
    assert_eq!(created.status, 201, "{body}");
    (created.headers["x-task-id"].clone(), created.headers["x-task-password"].clone())
}

/// Polls as a client does, until the status starts with `FINISHED`.
pub(crate) fn wait_until_finished(address: &str, id: &str, password: &str) -> String {
    let deadline = Instant::now() + LIMIT;
    loop {
        let answer = get(address, &format!("/{id}"), password);
        assert_eq!(answer.status, 200);
        assert!(!answer.body.is_empty());
        let status = answer.headers["x-task-status"].clone();
        if status.starts_with("FINISHED") {
            return status;
        }
        assert!(Instant::now() < deadline, "still {status}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_crash_sent_by_http_becomes_a_backtrace() {
    let (Some(fixture), Some(mut cli)) = (rpm(), Cli::new()) else { return };
    cli.set("RETRACE_SERVER_LISTEN", "127.0.0.1:0");
    sync_rpm(&cli, fixture, "base", "debuginfo").expect_code(0);
    let (server, address) = start(&cli);

    let settings = String::from_utf8(request(&address, "GET", "/settings", &[], b"").body).unwrap();
    let release = format!("fedora-40-{}", std::env::consts::ARCH);
    assert!(
        settings.lines().any(|line| line.starts_with("supported_releases ") && line.contains(&release)),
        "{settings}"
    );
    let nvr = [
        ("X-Package-NVR", "will-crash-1.0-1.fc40"),
        ("X-Package-Arch", std::env::consts::ARCH),
        ("X-OS-Release", &release),
    ];
    assert_eq!(request(&address, "GET", "/checkpackage", &nvr, b"").status, 302);

    let archive = archive(&fixture.crash("will-crash-segv"), &cli.path("crash"));
    let (id, password) = create(&address, &archive);
    assert_eq!(wait_until_finished(&address, &id, &password), "FINISHED_SUCCESS");
    let backtrace = get(&address, &format!("/{id}/backtrace"), &password);
    let text = String::from_utf8_lossy(&backtrace.body).into_owned();
    assert_eq!(backtrace.status, 200);
    assert!(text.contains("wc_sum_labels") && text.contains("wcbuckets.c"), "{text}");
    assert_eq!(get(&address, &format!("/{id}/log"), &password).status, 200);
    assert_eq!(get(&address, &format!("/{id}"), "wrong").status, 403);
    drop(server);
}

#[test]
fn tasks_survive_a_killed_server() {
    let (Some(fixture), Some(mut cli)) = (rpm(), Cli::new()) else { return };
    cli.set("RETRACE_SERVER_LISTEN", "127.0.0.1:0").set("RETRACE_WORKER_LEASE_SECONDS", "2");
    sync_rpm(&cli, fixture, "base", "debuginfo").expect_code(0);
    let archive = archive(&fixture.crash("crashd-null"), &cli.path("crash"));
    let (server, address) = start(&cli);
    let tasks: Vec<_> = (0..3).map(|_| create(&address, &archive)).collect();
    drop(server); // SIGKILL, whatever it was doing
    let (_server, address) = start(&cli);
    for (id, password) in &tasks {
        assert_eq!(wait_until_finished(&address, id, password), "FINISHED_SUCCESS");
        let text = get(&address, &format!("/{id}/backtrace"), password).body;
        assert!(String::from_utf8_lossy(&text).contains("crashd::Server::handle"));
    }
}

#[test]
fn a_crash_that_is_none_fails_with_a_log() {
    let Some(mut cli) = Cli::new() else { return };
    cli.set("RETRACE_SERVER_LISTEN", "127.0.0.1:0");
    let (_server, address) = start(&cli);
    let noise = cli.path("noise");
    fs::write(&noise, vec![7; 100_000]).unwrap();
    let crash = Crash {
        core: noise,
        os_release: "/dev/null".into(),
        executable: "/usr/bin/x".into(),
        package: "x-1-1.fc40".into(),
    };
    let (id, password) = create(&address, &archive(&crash, &cli.path("crash")));
    assert_eq!(wait_until_finished(&address, &id, &password), "FINISHED_FAILURE");
    let log = get(&address, &format!("/{id}/log"), &password);
    assert!(log.status == 200 && !log.body.is_empty());
    assert_eq!(get(&address, &format!("/{id}/backtrace"), &password).status, 404);
}

/// The old server refused a task that it had no place for. A stop is no death: nobody has to wait for leases of minutes.
#[test]
fn more_tasks_than_may_run_wait_and_a_stop_gives_them_back() {
    let (Some(fixture), Some(mut cli)) = (rpm(), Cli::new()) else { return };
    cli.set("RETRACE_SERVER_LISTEN", "127.0.0.1:0").set("RETRACE_WORKER_LEASE_SECONDS", "600");
    cli.set("RETRACE_SERVER_MAX_PARALLEL_TASKS", "2");
    sync_rpm(&cli, fixture, "base", "debuginfo").expect_code(0);
    let archive = archive(&fixture.crash("crashd-null"), &cli.path("crash"));
    let (mut server, address) = start(&cli);
    let tasks: Vec<_> = (0..8).map(|_| create(&address, &archive)).collect();
    wait_until_finished(&address, &tasks[0].0, &tasks[0].1);
    let stopped = Command::new("kill").args(["-TERM", &server.pid().to_string()]).status().unwrap();
    assert!(stopped.success() && server.wait(LIMIT).expect("an end").success());
    let (_server, address) = start(&cli);
    for (id, password) in &tasks {
        assert_eq!(wait_until_finished(&address, id, password), "FINISHED_SUCCESS");
    }
}

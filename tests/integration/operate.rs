//! What an operator relies on: TLS with a certificate that is renewed, metrics, logs that name the task.

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use retrace_tests::{Cli, Running, rpm};
use serde_json::Value;

use crate::{
    serve::{self, get},
    view::sync_rpm,
};

const LIMIT: Duration = Duration::from_secs(90);

/// Makes a certificate for 127.0.0.1, with its key, in the place of what is there.
fn certify(dir: &Path, name: &str) {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
        .args(["-subj", &format!("/CN={name}"), "-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-keyout", "new-key.pem", "-out", "new.pem"])
        .current_dir(dir)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    for file in ["key.pem", "cert.pem"] {
        let new = if file == "key.pem" { "new-key.pem" } else { "new.pem" };
        fs::rename(dir.join(new), dir.join(file)).unwrap();
    }
}

/// What curl says of a page that it reads by HTTPS, trusting one certificate.
fn curl(authority: &Path, url: &str) -> Result<String, i32> {
    let answer =
        Command::new("curl").args(["-sS", "--max-time", "60", "--cacert"]).arg(authority).arg(url).output().unwrap();
    if answer.status.success() {
        Ok(String::from_utf8(answer.stdout).unwrap())
    } else {
        Err(answer.status.code().unwrap_or_default())
    }
}

fn https(cli: &Cli) -> (Running, String) {
    let mut server = cli.start(["serve"]);
    let line = server.wait_for_log("Listening on https://", LIMIT);
    let url = line.split_whitespace().last().unwrap().to_owned();
    (server, url)
}

#[test]
fn a_certificate_is_renewed_without_a_restart() {
    let Some(mut cli) = Cli::new() else { return };
    if !cli.has_program("curl") || !cli.has_program("openssl") {
        return;
    }
    let dir = cli.path("tls");
    fs::create_dir(&dir).unwrap();
    certify(&dir, "first");
    let first = dir.join("first.pem");
    fs::copy(dir.join("cert.pem"), &first).unwrap();
    cli.set("RETRACE_SERVER_LISTEN", "127.0.0.1:0").set("RETRACE_SERVER_REQUIRE_HTTPS", "true");
    cli.set("RETRACE_SERVER_TLS_CERTIFICATE", dir.join("cert.pem")).set("RETRACE_SERVER_TLS_KEY", dir.join("key.pem"));
    let (_server, url) = https(&cli);
    assert!(curl(&first, &format!("{url}/settings")).unwrap().starts_with("running_tasks 0\n"));
    // Behind TLS the check for https lets a request pass: there is no such task.
    assert_eq!(curl(&first, &format!("{url}/123456789")).unwrap(), "There is no such task");

    certify(&dir, "second");
    let deadline = Instant::now() + LIMIT;
    while curl(&dir.join("cert.pem"), &format!("{url}/healthz")).is_err() {
        assert!(Instant::now() < deadline, "the new certificate is not in use");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(curl(&first, &format!("{url}/healthz")), Err(60), "the old certificate is gone");

    // What cannot be used leaves the one in use.
    fs::write(dir.join("key.pem"), "nonsense").unwrap();
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(curl(&dir.join("cert.pem"), &format!("{url}/healthz")).unwrap(), "ok");
    let refused = cli.run(["serve"]).expect_code(1);
    assert!(refused.stderr.contains("key.pem: it must be a PEM file"), "{refused}");
}

/// The value of a metric with these labels, in any order.
fn value(metrics: &str, name: &str, labels: &[&str]) -> Option<f64> {
    let line = metrics
        .lines()
        .find(|line| line.split(['{', ' ']).next() == Some(name) && labels.iter().all(|label| line.contains(label)))?;
    line.rsplit(' ').next()?.parse().ok()
}

#[test]
fn metrics_and_logs_tell_of_a_task() {
    let (Some(fixture), Some(mut cli)) = (rpm(), Cli::new()) else { return };
    cli.set("RETRACE_SERVER_LISTEN", "127.0.0.1:0").set("RETRACE_WORKER_METRICS_LISTEN", "127.0.0.1:0");
    cli.set("RETRACE_LOG_FORMAT", "json");
    sync_rpm(&cli, fixture, "base", "debuginfo").expect_code(0);
    let (mut server, address) = serve::start(&cli);
    let line = server.wait_for_log("Metrics at http://", LIMIT);
    let line: Value = serde_json::from_str(&line).expect("a line of JSON");
    let worker = line["address"].as_str().expect("an address").to_owned();

    let archive = serve::archive(&fixture.crash("crashd-null"), &cli.path("crash"));
    let (id, password) = serve::create(&address, &archive);
    assert_eq!(serve::wait_until_finished(&address, &id, &password), "FINISHED_SUCCESS");
    assert_eq!(get(&address, "/nonsense/at/all", "").status, 404);

    let of = |address: &str| String::from_utf8(get(address, "/metrics", "").body).unwrap();
    let metrics = of(&address);
    for (name, labels, expected) in [
        ("retrace_tasks_finished", &["result=\"success\""][..], 1.0),
        ("retrace_tasks_finished", &["result=\"fail\""], 0.0),
        ("retrace_tasks_running", &[], 0.0),
        ("retrace_queue_tasks", &["state=\"waiting\""], 0.0),
        ("retrace_http_requests_total", &["route=\"/create\"", "method=\"POST\"", "status=\"201\""], 1.0),
        ("retrace_http_requests_total", &["route=\"none\"", "status=\"404\""], 1.0),
        ("retrace_repository_failing", &["repository=\"releases\""], 0.0),
    ] {
        assert_eq!(value(&metrics, name, labels), Some(expected), "{name} {labels:?} of\n{metrics}");
    }
    assert!(value(&metrics, "retrace_savedir_free_bytes", &[]).is_some_and(|bytes| bytes > 0.0));
    assert!(
        value(&metrics, "retrace_repository_age_seconds", &["repository=\"releases\""]).is_some_and(|age| age < 3600.0)
    );
    let metrics = of(&worker);
    assert_eq!(value(&metrics, "retrace_step_seconds_count", &["step=\"backtrace\""]), Some(1.0), "{metrics}");
    assert_eq!(value(&metrics, "retrace_task_seconds_count", &["result=\"success\""]), Some(1.0), "{metrics}");

    let log = fs::read_to_string(&server.log).unwrap();
    let lines: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    for message in [format!("Accepted task {id}"), format!("Retracing task {id}"), format!("Task {id} finished")] {
        let line = lines.iter().find(|line| line["message"] == message.as_str());
        let line = line.unwrap_or_else(|| panic!("no {message:?} in\n{log}"));
        let in_span = line["span"]["task.id"].to_string();
        assert!(in_span == id || line["task.id"].to_string().trim_matches('"') == id, "{line}");
    }
}

//! What keeps the service tidy, and whom it tells: old tasks, limits, hooks, webhooks, mails, an old configuration.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

use retrace_tests::{Cli, Crash, checkout, rpm, skip, target_dir};
use serde_json::{Value, json};

use crate::serve::{archive, create, get, start, wait_until_finished};

const LIMIT: Duration = Duration::from_secs(90);

fn service() -> Option<Cli> {
    let mut cli = Cli::new()?;
    cli.set("RETRACE_SERVER_LISTEN", "127.0.0.1:0").set("RETRACE_WORKER_POLL_MILLISECONDS", "50");
    let hooks = cli.path("hooks");
    cli.set("RETRACE_HOOK_DIR", hooks);
    Some(cli)
}

/// An upload that becomes no backtrace, quickly.
fn noise(cli: &Cli) -> Vec<u8> {
    let core = cli.path("noise");
    fs::write(&core, vec![7; 100_000]).unwrap();
    let crash =
        Crash { core, os_release: "/dev/null".into(), executable: "/usr/bin/x".into(), package: "x-1-1.fc40".into() };
    archive(&crash, &cli.path("crash"))
}

fn script(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn python(program: &str, input: &str) -> String {
    let mut python = Command::new("python3");
    let mut child =
        python.arg("-c").arg(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python3 runs");
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{program}");
    String::from_utf8(output.stdout).unwrap()
}

/// Makes all tasks look as if they had ended hours ago.
fn age_tasks(cli: &Cli, hours: u64) {
    let update =
        format!("UPDATE tasks SET finished_at = finished_at - {hours} * 3600000 WHERE finished_at IS NOT NULL");
    let file = cli.path("state/retrace.db");
    python(
        &format!("import sqlite3\nc = sqlite3.connect({file:?}, timeout=30)\nc.execute({update:?})\nc.commit()"),
        "",
    );
}

fn processes(command_line: &[u8]) -> usize {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes.filter(|process| fs::read(process.path().join("cmdline")).is_ok_and(|line| line == command_line)).count()
}

#[test]
fn old_tasks_are_archived_and_go_and_a_dry_run_removes_nothing() {
    let Some(mut cli) = service() else { return };
    let upload = noise(&cli);
    let (server, address) = start(&cli);
    let (id, password) = create(&address, &upload);
    assert_eq!(wait_until_finished(&address, &id, &password), "FINISHED_FAILURE");
    drop(server);
    age_tasks(&cli, 30);

    cli.set("RETRACE_GC_DELETE_FAILED_TASK_AFTER", "24");
    let planned: Value =
        serde_json::from_str(&cli.run(["gc", "--dry-run", "--format", "json"]).expect_code(0).stdout).unwrap();
    assert_eq!((&planned["dry_run"], &planned["total"]["count"]), (&json!(true), &json!(1)), "{planned}");
    let item = &planned["items"][0];
    assert_eq!((&item["action"], &item["subject"]), (&json!("delete_task"), &json!(id)), "{planned}");
    assert!(item["bytes"].as_u64().unwrap() > 0 && item["reason"].as_str().unwrap().contains("24 h"), "{planned}");
    let text = cli.run(["gc", "--dry-run"]).expect_code(0).stdout;
    assert!(text.contains("Would delete tasks: 1") && text.contains(&id), "{text}");

    // The worker's timer does the rest; it is older than both ages, and the archive comes first.
    let archives = cli.path("archive");
    fs::create_dir(&archives).unwrap();
    cli.set("RETRACE_GC_ARCHIVE_TASK_AFTER", "24").set("RETRACE_GC_ARCHIVE_DIR", &archives);
    cli.set("RETRACE_GC_INTERVAL_S", "1");
    cli.run(["config", "check"]).expect_code(0);
    let (_server, address) = start(&cli);
    let deadline = Instant::now() + LIMIT;
    while get(&address, &format!("/{id}"), &password).status != 404 {
        assert!(Instant::now() < deadline, "the task stays");
        thread::sleep(Duration::from_millis(50));
    }
    let found: Vec<_> = fs::read_dir(&archives).unwrap().flatten().map(|entry| entry.path()).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    let out = cli.path("unpacked");
    fs::create_dir(&out).unwrap();
    let unpacked = Command::new("tar").arg("--zstd").arg("-xf").arg(&found[0]).arg("-C").arg(&out).status().unwrap();
    assert!(unpacked.success());
    let task: Value = serde_json::from_slice(&fs::read(out.join(&id).join("task.json")).unwrap()).unwrap();
    assert_eq!((&task["schema"], &task["task"]["id"]), (&json!("retrace-event/1"), &json!(id)));
    assert!(fs::read_to_string(out.join(&id).join("results/log")).unwrap().contains("Task failed"));
    let nothing = cli.run(["gc"]);
    assert!(nothing.code == Some(0) || nothing.stderr.contains("holds the lock"), "{nothing}");
}

#[test]
fn a_debugger_that_hangs_is_ended_with_all_its_children() {
    let (Some(fixture), Some(mut cli)) = (rpm(), service()) else { return };
    // The number tells these from all other sleeps of the machine.
    let number = 200_000 + std::process::id();
    let gdb = cli.path("bin/gdb");
    script(&gdb, &format!("setsid sleep {number} &\n(sleep {number} &)\nsleep {number} &\nwait"));
    cli.set("RETRACE_GDB_PROGRAM", &gdb).set("RETRACE_WORKER_TASK_TIMEOUT_S", "8");
    let upload = archive(&fixture.crash("will-crash-segv"), &cli.path("crash"));
    let (mut server, address) = start(&cli);
    let (id, password) = create(&address, &upload);
    assert_eq!(wait_until_finished(&address, &id, &password), "FINISHED_FAILURE");
    let log = String::from_utf8_lossy(&get(&address, &format!("/{id}/log"), &password).body).into_owned();
    assert!(log.contains("ended after 8 s") && log.contains("`Generating backtrace`"), "{log}");
    assert!(log.contains("worker.task_timeout_s"), "{log}");
    let line = format!("sleep\0{number}\0");
    let deadline = Instant::now() + LIMIT;
    while processes(line.as_bytes()) > 0 {
        assert!(Instant::now() < deadline, "children of the debugger live on");
        thread::sleep(Duration::from_millis(20));
    }
    let work: Vec<_> = fs::read_dir(cli.path("cache/work")).unwrap().flatten().collect();
    assert!(work.is_empty(), "{work:?}");
    if is_root() {
        server.wait_for_log("runs as root", LIMIT);
    }
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata("/proc/self").is_ok_and(|data| data.uid() == 0)
}

#[test]
fn hooks_see_the_task_and_may_fail_it() {
    let Some(mut cli) = service() else { return };
    let upload = noise(&cli);
    script(&cli.path("hooks/start/look"), "ls /retrace/crash; grep -o '\"event\":\"[a-z]*\"'");
    script(
        &cli.path("hooks/fail/tell"),
        "cat /retrace/results/log; cat | tr , '\\n' | grep -e state -e message; exit 7",
    );
    let (mut server, address) = start(&cli);
    let (id, password) = create(&address, &upload);
    assert_eq!(wait_until_finished(&address, &id, &password), "FINISHED_FAILURE");
    let log = String::from_utf8_lossy(&get(&address, &format!("/{id}/log"), &password).body).into_owned();
    for want in [
        "look: coredump",
        "look: \"event\":\"start\"",
        "tell: \"state\":\"failure\"",
        "Task failed",
        "tell of fail failed: exit status: 7",
    ] {
        assert!(log.contains(want), "no {want:?} in:\n{log}");
    }
    // Its worker ends with it: a killed one's would take the next task, without the next hook.
    let stopped = Command::new("kill").args(["-TERM", &server.pid().to_string()]).status().unwrap();
    assert!(stopped.success() && server.wait(LIMIT).expect("an end").success());

    let program = cli.path("bin/refuse");
    script(&program, "echo not today; exit 1");
    let hook = format!("[{{ event = 'start', program = '{}', required = true }}]", program.display());
    cli.set("RETRACE_HOOKS", hook);
    let (_server, address) = start(&cli);
    let (id, password) = create(&address, &upload);
    assert_eq!(wait_until_finished(&address, &id, &password), "FINISHED_FAILURE");
    let log = String::from_utf8_lossy(&get(&address, &format!("/{id}/log"), &password).body).into_owned();
    assert!(log.contains("refuse: not today") && log.contains("the required hook"), "{log}");
}

/// One request to a receiver.
#[derive(Clone, Debug)]
struct Delivery {
    headers: BTreeMap<String, String>,
    body: String,
}

/// Answers 500 to the first requests, then 204, and keeps all of them.
fn receiver(refusals: usize) -> (String, Arc<Mutex<Vec<Delivery>>>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let deliveries = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&deliveries);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut reader = BufReader::new(stream.unwrap());
            let mut headers = BTreeMap::new();
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                match line.trim().split_once(": ") {
                    Some((name, value)) => drop(headers.insert(name.to_lowercase(), value.to_owned())),
                    None if line.trim().is_empty() => break,
                    None => {}
                }
            }
            let length: usize = headers.get("content-length").map_or(0, |length: &String| length.parse().unwrap());
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let count = {
                let mut kept = kept.lock().unwrap();
                kept.push(Delivery { headers, body: String::from_utf8(body).unwrap() });
                kept.len()
            };
            let status = if count <= refusals { "500 No" } else { "204 Yes" };
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            let _ = reader.get_mut().write_all(answer.as_bytes());
        }
    });
    (url, deliveries)
}

fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_webhook_is_signed_and_repeated_until_it_is_taken_whoever_is_killed() {
    let Some(mut cli) = service() else { return };
    let upload = noise(&cli);
    let (url, deliveries) = receiver(2);
    let secret = cli.path("secret");
    fs::write(&secret, "a secret of the test, long enough\n").unwrap();
    let webhook = format!("[{{ url = '{url}', events = ['failed'], secret_file = '{}' }}]", secret.display());
    cli.set("RETRACE_NOTIFY_WEBHOOK", webhook).set("RETRACE_NOTIFY_FIRST_RETRY_S", "1");
    cli.set("RETRACE_NOTIFY_PUBLIC_URL", "https://retrace.example.org/");
    cli.run(["config", "check"]).expect_code(0);
    let (server, address) = start(&cli);
    let (id, password) = create(&address, &upload);
    wait_until_finished(&address, &id, &password);
    let count = || deliveries.lock().unwrap().len();
    wait_for("the receiver was not told", || count() >= 1);
    drop(server); // SIGKILL, whatever it was doing
    let (_server, _) = start(&cli);
    wait_for("the receiver was not told again", || count() >= 3);
    // Time for one too many.
    thread::sleep(Duration::from_secs(3));
    let deliveries = deliveries.lock().unwrap().clone();
    assert_eq!(deliveries.len(), 3, "{deliveries:#?}");

    let event: Value = serde_json::from_str(&deliveries[0].body).unwrap();
    assert_eq!((&event["event"], &event["task"]["id"]), (&json!("failed"), &json!(id)));
    assert_eq!(event["url"], format!("https://retrace.example.org/{id}"));
    assert!(deliveries.iter().all(|delivery| delivery.headers["webhook-id"] == deliveries[0].headers["webhook-id"]));

    // By the code that the page gives to receivers.
    let page = fs::read_to_string(checkout().join("host/retrace-server/docs/upkeep.md")).unwrap();
    let code = page.split("```python\n").nth(1).and_then(|rest| rest.split("```").next()).expect("the page has code");
    let check = format!(
        "{code}\nimport json, sys\nfor d in json.load(sys.stdin):\n    body = d['body'].encode()\n    \
         print(is_genuine(d['headers'], body, d['secret'].encode()), is_genuine(d['headers'], body + b' ', d['secret'].encode()))"
    );
    let input: Vec<_> = deliveries
        .iter()
        .map(|d| json!({ "headers": d.headers, "body": d.body, "secret": "a secret of the test, long enough" }))
        .collect();
    assert_eq!(python(&check, &Value::from(input).to_string()), "True False\n".repeat(3));
}

/// A mail server of the test's own; it ends when this is dropped.
struct MailServer {
    child: Child,
    port: String,
    folder: PathBuf,
}

impl MailServer {
    fn start(cli: &Cli) -> Option<Self> {
        let python = target_dir().join("tools/smtp/bin/python");
        if !python.is_file() {
            skip("there is no mail server: run `make setup`");
            return None;
        }
        let (folder, keys) = (cli.path("mails"), cli.path("keys"));
        fs::create_dir(&folder).unwrap();
        fs::create_dir(&keys).unwrap();
        let made = Command::new("sh")
            .current_dir(&keys)
            .args(["-c", "openssl req -x509 -newkey rsa:2048 -nodes -keyout ca-key.pem -out ca.pem -subj /CN=tests -days 2 &&
                openssl req -newkey rsa:2048 -nodes -keyout key.pem -out csr.pem -subj /CN=localhost &&
                echo subjectAltName=DNS:localhost > ext &&
                openssl x509 -req -in csr.pem -CA ca.pem -CAkey ca-key.pem -CAcreateserial -days 2 -extfile ext -out cert.pem"])
            .stderr(Stdio::null())
            .status();
        assert!(made.is_ok_and(|status| status.success()), "openssl makes no certificates");
        let mut server = Command::new(python);
        server
            .arg(checkout().join("tests/fixtures/smtp_server.py"))
            .arg(&folder)
            .args([keys.join("cert.pem"), keys.join("key.pem")]);
        let mut child = server.args(["retrace", "word"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut port = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
        Some(Self { child, port: port.trim().to_owned(), folder })
    }

    fn mails(&self) -> Vec<String> {
        let files = fs::read_dir(&self.folder).unwrap().flatten().map(|entry| entry.path());
        files
            .filter(|path| path.extension().is_some_and(|e| e == "eml"))
            .map(|path| fs::read_to_string(path).unwrap())
            .collect()
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

#[test]
fn a_mail_comes_by_tls_once_the_server_takes_it() {
    let Some(mut cli) = service() else { return };
    let Some(server) = MailServer::start(&cli) else { return };
    let upload = noise(&cli);
    let (word, ca) = (cli.path("password"), cli.path("keys/ca.pem"));
    fs::write(&word, "word\n").unwrap();
    cli.set("RETRACE_NOTIFY_SMTP_SERVER", "localhost").set("RETRACE_NOTIFY_SMTP_PORT", &server.port);
    cli.set("RETRACE_NOTIFY_SMTP_USER", "retrace").set("RETRACE_NOTIFY_SMTP_PASSWORD_FILE", &word);
    cli.set("RETRACE_NOTIFY_SMTP_AUTHORITIES", &ca).set("RETRACE_NOTIFY_FIRST_RETRY_S", "1");
    cli.set("RETRACE_NOTIFY_SMTP_FROM", "Retrace <retrace@example.org>");
    cli.set("RETRACE_NOTIFY_EMAIL", "[{ to = ['anna@example.org', 'Bob <bob@example.org>'], events = ['failed'] }]");
    cli.run(["config", "check"]).expect_code(0);
    fs::write(server.folder.join("refuse"), "").unwrap();
    let (mut running, address) = start(&cli);
    let (id, password) = create(&address, &upload);
    wait_until_finished(&address, &id, &password);
    running.wait_for_log("not now", LIMIT);
    fs::remove_file(server.folder.join("refuse")).unwrap();
    wait_for("no mail came", || !server.mails().is_empty());
    let mails = server.mails();
    assert_eq!(mails.len(), 1, "{mails:#?}");
    for want in [
        "X-From: retrace@example.org",
        "X-To: anna@example.org,bob@example.org",
        "X-Tls: True",
        &format!("Subject: Retrace task {id} failed"),
        "Message-ID: <msg_",
        "Auto-Submitted: auto-generated",
        "Reason: cannot retrace",
    ] {
        assert!(mails[0].contains(want), "no {want:?} in:\n{}", mails[0]);
    }
}

#[test]
fn a_configuration_of_the_predecessor_is_taken_over() {
    let Some(cli) = service() else { return };
    let old = checkout().join("host/retrace-cli/src/commands/config/import/tests/full.conf");
    let new = cli.path("retrace.toml");
    let arguments = ["config", "import", old.to_str().unwrap(), "--output", new.to_str().unwrap()];
    let run = cli.run(arguments).expect_code(0);
    assert!(
        run.stderr.contains("no counterpart: KojiRoot") && run.stderr.contains("unknown option: SiteOwnOption"),
        "{run}"
    );
    let shown = cli.run(["--config", new.to_str().unwrap(), "config", "show"]).expect_code(0).stdout;
    assert!(shown.contains("max_parallel_tasks = 12") && shown.contains("delete_task_after = 240"), "{shown}");
    cli.run(arguments).expect_code(1); // the file is there

    let broken = cli.path("broken.conf");
    fs::write(&broken, "no configuration").unwrap();
    for file in [broken, cli.path("absent")] {
        let run = cli.run(["config", "import", file.to_str().unwrap()]).expect_code(1);
        assert!(run.stderr.contains(file.to_str().unwrap()), "{run}");
    }
}

/// Stopping answers at once, whatever waits to be told.
#[test]
fn a_receiver_that_never_answers_holds_up_nothing() {
    let Some(mut cli) = service() else { return };
    let upload = noise(&cli);
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let (connected, connection) = mpsc::channel();
    thread::spawn(move || {
        let mut kept = Vec::new();
        for stream in listener.incoming() {
            kept.push(stream);
            let _ = connected.send(());
        }
    });
    let secret = cli.path("secret");
    fs::write(&secret, "a secret of the test, long enough\n").unwrap();
    cli.set("RETRACE_NOTIFY_WEBHOOK", format!("[{{ url = '{url}', secret_file = '{}' }}]", secret.display()));
    let (mut server, address) = start(&cli);
    let (id, password) = create(&address, &upload);
    wait_until_finished(&address, &id, &password);
    connection.recv_timeout(LIMIT).expect("a connection");
    let (id, password) = create(&address, &upload);
    wait_until_finished(&address, &id, &password);
    let stopped = Command::new("kill").args(["-TERM", &server.pid().to_string()]).status().unwrap();
    assert!(stopped.success() && server.wait(LIMIT).expect("an end").success());
}

//! Plugins under workers that run: what is installed or rolled back answers the next job, and a result names the plugin that
//! nobody signed.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use retrace_tests::{Cli, rpm};
use serde_json::Value;

use crate::{
    serve,
    view::{salted, sync_rpm},
};

/// A worker looks every five seconds, and what is new has to be loaded.
const LIMIT: Duration = Duration::from_secs(60);

/// Installs this build of the plugin for Fedora, which nobody signed; gives its digest.
fn install(cli: &Cli, salt: u8) -> String {
    let path = cli.path(&format!("fedora{salt}.wasm"));
    fs::write(&path, salted("fedora", Some(salt))).unwrap();
    let path = path.to_str().expect("a plain path");
    cli.run(["plugin", "install", path, "--allow-unsigned", "--replace"]).expect_code(0);
    installed(cli)
}

/// Digest of the plugin for Fedora that is in force.
fn installed(cli: &Cli) -> String {
    let run = cli.run(["plugin", "list", "--format", "json"]).expect_code(0);
    let list: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run}"));
    let fedora = list.as_array().unwrap().iter().find(|plugin| plugin["id"] == "fedora").expect("it is listed");
    fedora["sha256"].as_str().expect("a digest").to_owned()
}

/// Waits until the worker says that this plugin serves; gives the worker's process id.
fn wait_until_served(cli: &Cli, sha256: &str) -> u64 {
    let started = Instant::now();
    loop {
        for file in fs::read_dir(cli.path("cache/plugins/status")).into_iter().flatten().flatten() {
            let text = fs::read_to_string(file.path()).unwrap_or_default();
            let Ok(status) = serde_json::from_str::<Value>(&text) else { continue };
            let mut plugins = status["plugins"].as_array().into_iter().flatten();
            if plugins.any(|plugin| plugin["sha256"] == sha256) {
                return status["pid"].as_u64().expect("a process id");
            }
        }
        assert!(started.elapsed() < LIMIT, "no worker serves {sha256}");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_running_worker_takes_up_what_is_installed_and_rolled_back() {
    let (Some(fixture), Some(mut cli)) = (rpm(), Cli::new()) else { return };
    cli.set("RETRACE_SERVER_LISTEN", "127.0.0.1:0");
    sync_rpm(&cli, fixture, "base", "debuginfo").expect_code(0);
    let (_server, address) = serve::start(&cli);
    let archive = serve::archive(&fixture.crash("will-crash-segv"), &cli.path("crash"));
    let next_job = || {
        let (id, password) = serve::create(&address, &archive);
        assert_eq!(serve::wait_until_finished(&address, &id, &password), "FINISHED_SUCCESS");
        let log = serve::get(&address, &format!("/{id}/log"), &password);
        assert_eq!(log.status, 200);
        String::from_utf8(log.body).expect("a log is text")
    };
    let names = |log: &str, sha256: &str| log.contains(&format!("({sha256}) is not signed"));

    let bundled = installed(&cli);
    let worker = wait_until_served(&cli, &bundled);
    let log = next_job();
    assert!(!log.contains("is not signed"), "{log}");

    let first = install(&cli, 1);
    assert_eq!(wait_until_served(&cli, &first), worker, "the same process");
    let log = next_job();
    assert!(names(&log, &first), "{log}");

    let second = install(&cli, 2);
    assert_ne!(first, second);
    assert_eq!(wait_until_served(&cli, &second), worker);
    let log = next_job();
    assert!(names(&log, &second) && !log.contains(&first), "{log}");

    cli.run(["plugin", "rollback", "fedora"]).expect_code(0);
    assert_eq!(installed(&cli), first);
    assert_eq!(wait_until_served(&cli, &first), worker);
    let log = next_job();
    assert!(names(&log, &first) && !log.contains(&second), "{log}");

    cli.run(["plugin", "remove", "fedora"]).expect_code(0);
    assert_eq!(wait_until_served(&cli, &bundled), worker);
    let log = next_job();
    assert!(!log.contains("is not signed"), "the bundled one answers again: {log}");
}

#[test]
fn a_result_names_the_plugin_that_nobody_signed() {
    let (Some(fixture), Some(cli)) = (rpm(), Cli::new()) else { return };
    sync_rpm(&cli, fixture, "base", "debuginfo").expect_code(0);
    let crash = fixture.crash("will-crash-segv");
    let reason = |more: &[&str]| {
        let run = cli.analyze(&crash, &[&["--format", "json"], more].concat()).expect_code(0);
        run.backtrace().release.expect("a release").reason
    };
    assert!(!reason(&[]).contains("signed"));

    let sha256 = install(&cli, 3);
    let note = format!("the plugin fedora 0.1.0 ({sha256}) is not signed");
    assert!(reason(&[]).contains(&note), "{}", reason(&[]));
    let text = cli.analyze(&crash, &[]).expect_code(0);
    assert!(text.stdout.contains(&note), "{text}");
    let out = cli.path("out");
    cli.analyze(&crash, &["--out", out.to_str().expect("a plain path")]).expect_code(0);
    let log = fs::read_to_string(out.join("log")).expect("the log");
    assert!(log.contains(&note), "{log}");

    // Signed by a key that the operator trusts, the same bytes need no word.
    let (trust, key, plugin) = (cli.path("trust"), cli.path("acme"), cli.path("fedora3.wasm"));
    fs::create_dir(&trust).unwrap();
    let path = |path: &std::path::Path| path.to_str().expect("a plain path").to_owned();
    cli.run(["plugin", "keygen", "--name", "Acme <a@acme.example>", "--out", &path(&key)]).expect_code(0);
    fs::copy(cli.path("acme.asc"), trust.join("acme.asc")).unwrap();
    cli.run(["plugin", "sign", &path(&plugin), "--key", &path(&cli.path("acme.key"))]).expect_code(0);
    let mut cli = cli;
    cli.set("RETRACE_PLUGINS_TRUST_DIR", &trust);
    cli.run(["plugin", "install", &path(&plugin)]).expect_code(0);
    let release = cli.analyze(&crash, &["--format", "json"]).expect_code(0).backtrace().release.expect("a release");
    assert!(!release.reason.contains("signed"), "{}", release.reason);
}

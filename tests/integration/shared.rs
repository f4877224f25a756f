//! One index and one queue for many processes: in PostgreSQL, and after one of them was killed.

use std::time::{Duration, Instant};

use retrace_tests::{Cli, Lie, MirrorServer, Postgres, rpm};

use crate::{
    serve::{archive, create, get, start, wait_until_finished},
    view::{fedora, sync_rpm},
};

#[test]
fn the_service_keeps_its_index_and_its_queue_in_postgresql() {
    let (Some(fixture), Some(mut cli), Some(server)) = (rpm(), Cli::new(), Postgres::start("service")) else { return };
    cli.set("RETRACE_DATABASE_URL", server.url()).set("RETRACE_SERVER_LISTEN", "127.0.0.1:0");
    sync_rpm(&cli, fixture, "base", "debuginfo").expect_code(0);
    assert!(!cli.path("state/retrace.db").exists());

    let crash = fixture.crash("will-crash-segv");
    let (service, address) = start(&cli);
    let archive = archive(&crash, &cli.path("crash"));
    let tasks: Vec<_> = (0..3).map(|_| create(&address, &archive)).collect();
    drop(service); // SIGKILL, whatever it was doing
    cli.set("RETRACE_WORKER_LEASE_SECONDS", "2");
    let (_service, address) = start(&cli);
    for (id, password) in &tasks {
        assert_eq!(wait_until_finished(&address, id, password), "FINISHED_SUCCESS");
        let text = get(&address, &format!("/{id}/backtrace"), password).body;
        assert!(String::from_utf8_lossy(&text).contains("wc_sum_labels"));
    }

    // Another machine: nothing is its own but the packages that it fetches.
    let Some(mut other) = Cli::new() else { return };
    other.set("RETRACE_DATABASE_URL", server.url());
    let backtrace = other.analyze(&crash, &["--format", "json"]).backtrace();
    assert!(backtrace.threads.iter().flat_map(|thread| &thread.frames).any(|frame| frame.line.is_some()));
}

#[test]
fn a_database_that_does_not_answer_is_told_at_once() {
    let Some(mut cli) = Cli::new() else { return };
    cli.set("RETRACE_DATABASE_URL", "postgres://retrace:secret@127.0.0.1:1/retrace");
    let started = Instant::now();
    let run = cli.run(["mirror", "list"]);
    assert!(started.elapsed() < Duration::from_secs(10), "{run}");
    assert_eq!(run.code, Some(1), "{run}");
    assert!(run.stderr.contains("check that it runs") && !run.stderr.contains("secret"), "{run}");
}

#[test]
fn a_killed_sync_stands_in_nobodys_way_and_what_came_is_used() {
    let (Some(fixture), Some(cli)) = (rpm(), Cli::new()) else { return };
    let (packages, debuginfo) = (MirrorServer::start(fixture.repository("base")), fixture.repository("debuginfo"));
    packages.lie("primary.xml.zst", Lie::Stall);
    packages.lie("primary.xml.gz", Lie::Stall);
    let mirrors = fedora(packages.url().as_ref(), &debuginfo);
    let mut arguments = vec!["mirror", "sync", "fedora", "40", std::env::consts::ARCH];
    for mirror in &mirrors {
        arguments.extend(["--mirror", mirror]);
    }
    let key = fixture.key();
    arguments.extend(["--key", key.to_str().unwrap()]);
    let killed = cli.start(&arguments);
    let deadline = Instant::now() + Duration::from_secs(60);
    while !packages.requests().iter().any(|request| request.path.contains("primary.xml")) {
        assert!(Instant::now() < deadline, "the sync asks for nothing: {:?}", packages.requests());
        std::thread::sleep(Duration::from_millis(20));
    }
    // Time for the half that comes to be written.
    std::thread::sleep(Duration::from_millis(500));
    drop(killed); // SIGKILL

    packages.be_honest();
    packages.forget_requests();
    let started = Instant::now();
    cli.run(&arguments).expect_code(0);
    assert!(started.elapsed() < Duration::from_secs(60), "no lock is waited for");
    let resumed = packages.requests().into_iter().find(|request| request.path.contains("primary.xml")).unwrap();
    assert!(resumed.range_start.is_some_and(|start| start > 0), "{resumed:?}");
    cli.analyze(&fixture.crash("will-crash-segv"), &["--format", "json"]).expect_code(0);
}

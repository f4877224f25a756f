//! Several servers and workers on one PostgreSQL and one bucket: whoever is killed when, every task that a client was told of
//! ends once.
//!
//! The long form, with 50 kills under a load of 300 tasks:
//! `CLUSTER_TASKS=300 CLUSTER_KILLS=50 cargo test -p retrace-tests --test integration -- cluster::every --nocapture`

mod site;

use std::{
    collections::BTreeSet,
    fs,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use retrace_tests::{Cli, Postgres, S3, rpm};
use site::Site;

use crate::{
    serve::{archive, create, get, start, wait_until_finished},
    view::sync_rpm,
};

const LIMIT: Duration = Duration::from_secs(120);

/// A number from the environment, for the long form.
fn number(variable: &str, usual: usize) -> usize {
    std::env::var(variable).map_or(usual, |text| text.parse().expect("a number"))
}

#[test]
fn three_workers_and_two_servers_lose_nothing_when_one_of_each_is_killed() {
    let Some(site) = Site::start("cluster", 2, 3) else { return };
    let halfway = AtomicBool::new(false);
    let sent = thread::scope(|scope| {
        let load = scope.spawn(|| site.load(20, |count| halfway.store(count >= 6, Ordering::Relaxed)));
        while !halfway.load(Ordering::Relaxed) && !load.is_finished() {
            thread::sleep(Duration::from_millis(5));
        }
        // SIGKILL, and they stay away.
        site.server(0).kill();
        site.worker(0).kill();
        load.join().expect("the load")
    });
    let ends = site.await_ends(&sent);
    assert!(ends.success == 5 && ends.failed_after_tries == 0, "one kill takes one try of three: {ends:?}");
    site.check(&sent);
    // What is done with leaves nothing but its results; it is removed behind the end. A worker that is killed between the two
    // leaves the input of what it was at, two tasks at most, until the task is deleted.
    let with_input = || -> BTreeSet<String> {
        let objects = site.s3.objects("tasks/").into_iter().filter(|name| name.contains("/input/"));
        let ids = objects.filter_map(|name| name.split('/').nth(1).map(str::to_owned));
        ids.filter(|id| sent.iter().any(|sent| sent.id == *id)).collect()
    };
    let deadline = Instant::now() + LIMIT;
    while with_input().len() > 2 {
        assert!(Instant::now() < deadline, "{:?}", with_input());
        thread::sleep(Duration::from_millis(50));
    }
    assert!(site.s3.objects("packages/").len() >= 2, "{:?}", site.s3.objects("packages/"));
}

#[test]
fn every_acknowledged_task_ends_once_whoever_is_killed_when() {
    let (tasks, kills) = (number("CLUSTER_TASKS", 24), number("CLUSTER_KILLS", 5));
    let Some(site) = Site::start("kills", 2, 3) else { return };
    let started = Instant::now();
    let over = AtomicBool::new(false);
    let (sent, killed) = thread::scope(|scope| {
        let killer = scope.spawn(|| site.kill_at_random(kills, &over));
        let sent = site.load(tasks, |_| {});
        let ends = site.await_ends(&sent);
        assert_eq!(ends.success + ends.failure, tasks);
        println!("load: {tasks} tasks after {:?}: {ends:?}", started.elapsed());
        over.store(true, Ordering::Relaxed);
        (sent, killer.join().expect("the killer"))
    });
    println!("killed: {killed:?}");
    assert!(sent.len() == tasks && killed.len() == kills, "{killed:?}");
    site.check(&sent);
}

#[test]
fn artifacts_lie_in_the_bucket_and_are_verified_and_pruned_there() {
    let (Some(fixture), Some(mut cli), Some(s3)) = (rpm(), Cli::new(), S3::start("artifacts")) else { return };
    s3.use_for(&mut cli);
    cli.set("RETRACE_SERVER_LISTEN", "127.0.0.1:0");
    let status = cli.run(["store", "status"]).expect_code(3);
    assert!(status.stdout.contains("new") && status.stdout.contains("s3://crashes/retrace: can be"), "{status}");
    let dry = cli.run(["store", "migrate", "--dry-run"]).expect_code(0);
    assert!(dry.stdout.contains("lacks 1 ") && !cli.path("state/retrace.db").exists(), "{dry}");
    cli.run(["store", "migrate"]).expect_code(0);
    assert!(cli.run(["store", "status"]).expect_code(0).stdout.contains("up to date"));

    sync_rpm(&cli, fixture, "base", "debuginfo").expect_code(0);
    let (server, address) = start(&cli);
    let crash = archive(&fixture.crash("will-crash-segv"), &cli.path("crash"));
    let (id, password) = create(&address, &crash);
    assert_eq!(wait_until_finished(&address, &id, &password), "FINISHED_SUCCESS");
    let text = get(&address, &format!("/{id}/backtrace"), &password).body;
    assert!(String::from_utf8_lossy(&text).contains("wc_sum_labels"));
    drop(server);
    let packages = s3.objects("packages/");
    assert!(packages.len() >= 2 && s3.objects("tasks/").iter().any(|name| name.ends_with("/backtrace")));
    for folder in ["state/artifacts/packages", "state/artifacts/tasks"] {
        let entries = fs::read_dir(cli.path(folder)).map_or(0, Iterator::count);
        assert_eq!(entries, 0, "{folder}");
    }
    assert_eq!(fs::read_dir(cli.path("state/tasks")).unwrap().count(), 0);

    // Another object in a package's place is found, though the cache has a good copy; a repair puts the package back.
    s3.put(&packages[0], "damaged");
    let found = cli.run(["mirror", "verify"]).expect_code(1);
    assert!(found.stdout.contains("s3://crashes/retrace/packages/"), "{found}");
    cli.run(["mirror", "verify", "--repair"]);
    cli.run(["mirror", "verify"]).expect_code(0);

    // The cache may go at any time nobody reads.
    fs::remove_dir_all(cli.path("cache/packages")).unwrap();
    fs::remove_dir_all(cli.path("cache/files")).unwrap();
    cli.analyze(&fixture.crash("will-crash-segv"), &["--format", "json"]).expect_code(0);
    assert!(fs::read_dir(cli.path("cache/packages")).unwrap().count() >= 2);

    // An object that no package has is seen, and too young to go.
    let orphan = format!("packages/00/{}", "0".repeat(64));
    s3.put(&orphan, "rubbish");
    let pruned = cli.run(["mirror", "prune", "--format", "json"]).expect_code(0);
    assert!(pruned.stdout.contains("\"young\": 1") && s3.objects("packages/00/").contains(&orphan), "{pruned}");

    // Links cannot be made to objects.
    let published = cli.run(["mirror", "publish"]);
    assert!(published.code == Some(1) && published.stdout.contains("artifacts.url"), "{published}");

    // What no task has is found.
    s3.put("tasks/123456789/input/coredump.zst", "of a task that was deleted");
    let (mut server, _) = start(&cli);
    let deadline = Instant::now() + LIMIT;
    while !s3.objects("tasks/123456789").is_empty() {
        assert!(Instant::now() < deadline && server.wait(Duration::ZERO).is_none());
        thread::sleep(Duration::from_millis(50));
    }
    assert!(!s3.objects(&format!("tasks/{id}")).is_empty());
}

#[test]
fn a_server_outlives_its_database_and_says_when_to_come_back() {
    let (Some(mut cli), Some(database)) = (Cli::new(), Postgres::start("away")) else { return };
    cli.set("RETRACE_DATABASE_URL", database.url()).set("RETRACE_SERVER_LISTEN", "127.0.0.1:0");
    let (mut server, address) = start(&cli);
    assert_eq!(get(&address, "/settings", "").status, 200);
    database.kill_and_restart();
    let answer = get(&address, "/settings", "");
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    drop(database);
    let answer = get(&address, "/settings", "");
    assert!(answer.status == 503 && answer.header("retry-after").is_some(), "{}", answer.status);
    assert!(server.wait(Duration::ZERO).is_none(), "it still serves");
}

/// `psql` of the newest PostgreSQL that is installed.
fn psql(url: &str, statement: &str) -> Option<String> {
    let mut versions: Vec<_> = fs::read_dir("/usr/lib/postgresql").ok()?.flatten().map(|entry| entry.path()).collect();
    versions.sort();
    let program = versions.pop()?.join("bin/psql");
    let output =
        Command::new(program).args(["-X", "-At", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", statement]).output();
    let output = output.expect("psql runs");
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

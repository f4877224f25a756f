//! A process that uses the store is killed at any instant: the index is the old or the new one, no acknowledged task is
//! lost, and nobody has to repair anything.

use std::{
    collections::BTreeSet,
    env,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, Stdio},
    time::Duration,
};

use retrace_store::{NewPackage, NewRepository, NewTask, RepositoryKey, Scope, Store};
use retrace_types::{
    Architecture, BuildId, MemberBuildId, PackageFormat, PackageId, PackageKind, RepositoryContent, RepositoryLayout,
    RepositorySpec, Role, Sha256, SignaturePolicy, TaskId, TaskKind,
};

/// What the child process does, and in which folder.
const ROLE: &str = "RETRACE_STORE_TEST_ROLE";
const DIR: &str = "RETRACE_STORE_TEST_DIR";

const PACKAGES: u32 = 400;
const BUILD_IDS_EACH: u32 = 3;
const ROUNDS: u64 = 12;

/// This test program again, running [`child`] alone.
fn start(role: &str, dir: &Path) -> Child {
    #[expect(clippy::disallowed_methods, reason = "the child is this test, to be killed by it")]
    let mut command = std::process::Command::new(env::current_exe().unwrap());
    command.args(["killed::child", "--exact", "--ignored", "--nocapture"]).env(ROLE, role).env(DIR, dir);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap()
}

fn kill_after(mut child: Child, milliseconds: u64) -> Vec<String> {
    std::thread::sleep(Duration::from_millis(milliseconds));
    child.kill().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok).collect();
    child.wait().unwrap();
    lines
}

fn scope() -> Scope {
    Scope { release: "fedora-40".parse().unwrap(), architecture: Architecture::X86_64 }
}

async fn register(store: &Store) -> RepositoryKey {
    let spec = RepositorySpec {
        id: "releases".into(),
        title: "Releases".into(),
        layout: RepositoryLayout::RpmMd,
        content: RepositoryContent::Packages,
        mirrors: vec!["/srv".into()],
        signatures: SignaturePolicy::OFF,
        keys: Vec::new(),
        config: Vec::new(),
    };
    let Scope { release, architecture } = scope();
    let new = NewRepository { release, architecture, spec, keys_armored: String::new() };
    store.register_repository(&new).await.unwrap()
}

fn build_id(revision: u32, package: u32, n: u32) -> BuildId {
    let bytes: Vec<u8> = [revision, package, n].into_iter().flat_map(u32::to_be_bytes).collect();
    BuildId::from_bytes(&bytes).unwrap()
}

/// The files keep their places from revision to revision and are of another version.
fn packages(revision: u32) -> Vec<NewPackage> {
    let mut digest = [0; 32];
    digest[..4].copy_from_slice(&revision.to_be_bytes());
    let package = |p: u32| NewPackage {
        id: PackageId {
            name: format!("package-{p}"),
            epoch: None,
            version: revision.to_string(),
            release: None,
            arch: "x86_64".into(),
        },
        kind: PackageKind::Binary,
        format: PackageFormat::Rpm,
        location: format!("package-{p}.rpm"),
        size_bytes: None,
        sha256: Some(Sha256::from_bytes(digest)),
        source: None,
        exact_depends: Vec::new(),
        build_ids: (0..BUILD_IDS_EACH)
            .map(|n| MemberBuildId { build_id: build_id(revision, p, n), role: Role::Executable, path: None })
            .collect(),
        complete: true,
    };
    (0..PACKAGES).map(package).collect()
}

fn say(line: impl std::fmt::Display) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").unwrap();
    out.flush().unwrap();
}

#[tokio::test]
#[ignore = "the process that the other tests kill"]
async fn child() {
    let (Ok(role), Some(dir)) = (env::var(ROLE), env::var_os(DIR)) else { return };
    let store = Store::open(Path::new(&dir)).await.unwrap();
    match role.as_str() {
        "mirror" => {
            let key = register(&store).await;
            let last = store.repository(key).await.unwrap().revision.map_or(0, |text| text.parse::<u32>().unwrap());
            for revision in last + 1.. {
                store.replace_metadata(key, &revision.to_string(), &packages(revision), &[]).await.unwrap();
                say(format_args!("revision={revision}"));
            }
        }
        "server" => loop {
            let new = NewTask { kind: TaskKind::Coredump, password_sha256: Sha256::from_bytes([1; 32]) };
            let id = store.create_task(&new).await.unwrap();
            std::fs::create_dir_all(store.task_dir(id).join("crash")).unwrap();
            store.submit_task(id).await.unwrap();
            say(format_args!("task={id}"));
        },
        _ => say("opened=1"),
    }
}

/// Values of the lines `name=value`.
fn values<'l>(lines: &'l [String], name: &str) -> Vec<&'l str> {
    lines.iter().filter_map(|line| line.split_once('=')).filter(|(key, _)| *key == name).map(|(_, v)| v).collect()
}

#[tokio::test]
async fn an_index_whose_writer_is_killed_is_the_old_or_the_new_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut seen = 0;
    for round in 0..ROUNDS {
        let lines = kill_after(start("mirror", dir.path()), 30 + round * 47 % 400);
        let store = Store::open(dir.path()).await.unwrap();
        let key = register(&store).await;
        let revision = store.repository(key).await.unwrap().revision.map_or(0, |text| text.parse::<u32>().unwrap());
        let reported = values(&lines, "revision").last().map_or(seen, |text| text.parse().unwrap());
        assert!(revision >= reported, "revision {reported} was reported, {revision} is there");
        seen = revision;

        let all = |revision: u32| -> Vec<_> {
            (0..PACKAGES).flat_map(|p| (0..BUILD_IDS_EACH).map(move |n| build_id(revision, p, n))).collect()
        };
        let there = store.find_build_ids(Some(&scope()), &all(revision)).await.unwrap();
        let expected = if revision == 0 { 0 } else { PACKAGES * BUILD_IDS_EACH };
        assert_eq!(there.len(), usize::try_from(expected).unwrap(), "revision {revision}");
        let version = revision.to_string();
        assert!(there.values().flatten().all(|provider| provider.package.id.version == version));
        let next = store.find_build_ids(None, &all(revision + 1)).await.unwrap();
        assert!(next.is_empty(), "a part of revision {} is there", revision + 1);
        if revision > 1 {
            let before = store.find_build_ids(None, &all(revision - 1)).await.unwrap();
            assert_eq!(before.len(), there.len(), "versions that were replaced stay");
        }
        store.close().await;
    }
    assert!(seen > 0, "no child lived long enough to write anything");
}

#[tokio::test]
async fn a_task_that_was_submitted_survives_whoever_submitted_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = BTreeSet::new();
    for round in 0..ROUNDS {
        let lines = kill_after(start("server", dir.path()), 30 + round * 31 % 300);
        acknowledged.extend(values(&lines, "task").into_iter().map(|id| id.parse::<TaskId>().unwrap()));
    }
    assert!(!acknowledged.is_empty());
    let store = Store::open(dir.path()).await.unwrap();
    let mut leased = BTreeSet::new();
    while let Some(lease) = store.lease_next("worker", Duration::from_secs(60), u64::MAX).await.unwrap() {
        assert!(store.task_dir(lease.task).join("crash").is_dir());
        assert!(leased.insert(lease.task), "leased twice");
    }
    assert!(leased.is_superset(&acknowledged), "lost: {:?}", acknowledged.difference(&leased));
}

#[test]
fn processes_that_start_together_make_one_store() {
    for _ in 0..5 {
        let dir = tempfile::tempdir().unwrap();
        let children: Vec<_> = (0..4).map(|_| start("opener", dir.path())).collect();
        for child in children {
            let output = child.wait_with_output().unwrap();
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && text.contains("opened=1"), "{text}");
        }
    }
}

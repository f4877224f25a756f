use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use retrace_store::{NewTask, Outcome};
use retrace_types::{Sha256, TaskId, TaskKind};
use tempfile::TempDir;

use super::*;

const LONG: Duration = Duration::from_secs(60);

struct Test {
    dir: TempDir,
    store: Store,
}

impl Test {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("state")).await.unwrap();
        Self { dir, store }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn gc(&self, change: impl FnOnce(&mut GcOptions)) -> Gc {
        let mut options = GcOptions {
            delete_after: None,
            delete_failed_after: None,
            archive_after: None,
            archive_dir: None,
            task_timeout: None,
            work_dir: self.path("work"),
            file_cache_bytes: None,
        };
        change(&mut options);
        let cache = FileCache::new(&self.path("files")).unwrap();
        let hooks = Hooks::new(Vec::new(), Some(self.path("hooks")), self.path("work"));
        Gc::new(self.store.clone(), cache, hooks, options)
    }

    async fn submitted(&self) -> TaskId {
        let new = NewTask { kind: TaskKind::Coredump, password_sha256: Sha256::from_bytes([1; 32]) };
        let id = self.store.create_task(&new).await.unwrap();
        let crash = self.store.task_dir(id).join("crash");
        fs::create_dir_all(&crash).unwrap();
        fs::write(crash.join("coredump"), vec![1; 100_000]).unwrap();
        self.store.submit_task(id).await.unwrap();
        id
    }

    async fn finished(&self, outcome: Outcome) -> TaskId {
        let id = self.submitted().await;
        let lease = self.store.lease_next("worker", LONG, u64::MAX).await.unwrap().unwrap();
        self.store.put_task_result(&lease, "backtrace", &b"frame\n".repeat(50_000)).await.unwrap();
        self.store.put_task_result(&lease, "log", b"words\n").await.unwrap();
        self.store.finish(&lease, &outcome).await.unwrap();
        id
    }

    async fn exists(&self, id: TaskId) -> bool {
        self.store.task(id).await.unwrap().is_some()
    }
}

fn failure() -> Outcome {
    Outcome::Failure { message: "because".to_owned() }
}

fn actions(report: &GcReport) -> Vec<(GcAction, String)> {
    report.items.iter().map(|item| (item.action, item.subject.clone())).collect()
}

#[test]
fn actions_have_one_name() {
    for action in GcAction::ALL {
        assert_eq!(serde_json::to_value(action).unwrap(), action.as_str());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_tells_what_goes_and_removes_nothing() {
    let test = Test::new().await;
    let (good, bad) = (test.finished(Outcome::Success).await, test.finished(failure()).await);
    let waiting = test.submitted().await;
    let gc = test.gc(|options| options.delete_failed_after = Some(Duration::ZERO));
    let planned = gc.run(true, &()).await.unwrap();
    assert!(planned.dry_run);
    assert_eq!(actions(&planned), [(GcAction::DeleteTask, bad.to_string())]);
    assert!(
        planned.total.bytes > 400_000 && planned.items[0].reason.contains("delete_failed_task_after"),
        "{planned:?}"
    );
    assert!(test.exists(bad).await && test.store.task_dir(bad).exists());

    let done = gc.run(false, &()).await.unwrap();
    assert_eq!((done.items, done.total), (planned.items, planned.total));
    assert!(!test.exists(bad).await && !test.store.task_dir(bad).exists());
    assert!(test.exists(good).await && test.exists(waiting).await);
    assert_eq!(gc.run(false, &()).await.unwrap(), GcReport::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_a_worker_has_stays() {
    let test = Test::new().await;
    let id = test.submitted().await;
    let lease = test.store.lease_next("worker", LONG, u64::MAX).await.unwrap().unwrap();
    let gc = test.gc(|options| {
        options.delete_after = Some(Duration::ZERO);
        options.task_timeout = Some(Duration::from_secs(3600));
    });
    assert_eq!(gc.run(false, &()).await.unwrap(), GcReport::default());
    assert!(test.exists(id).await && test.store.task_dir(id).join("crash/coredump").exists());
    test.store.finish(&lease, &Outcome::Success).await.unwrap();
    assert_eq!(gc.run(false, &()).await.unwrap().total.count, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_is_whole_and_unpacks_with_tar() {
    let test = Test::new().await;
    for archive_dir in [Some(test.path("archive")), None] {
        let id = test.finished(failure()).await;
        let gc = test.gc(|options| {
            options.archive_after = Some(Duration::ZERO);
            options.archive_dir.clone_from(&archive_dir);
        });
        let report = gc.run(false, &()).await.unwrap();
        assert_eq!(actions(&report), [(GcAction::ArchiveTask, id.to_string())], "{report:?}");
        assert!(!test.exists(id).await);
        let folder = archive_dir.unwrap_or_else(|| test.path("state/artifacts/archive"));
        let found: Vec<_> = fs::read_dir(&folder).unwrap().flatten().map(|entry| entry.path()).collect();
        assert_eq!(found.len(), 1, "{found:?}");
        let name = found[0].file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with(&id.to_string()) && name.ends_with("Z.tar.zst"), "{name}");

        let out = tempfile::tempdir().unwrap();
        let tar =
            retrace_process::Invocation::new("tar").args(["--zstd", "-xf"]).arg(&found[0]).working_dir(out.path());
        retrace_process::run(&tar.env("PATH", "/usr/bin:/bin")).await.unwrap();
        let read = |name: &str| fs::read(out.path().join(id.to_string()).join(name)).unwrap();
        assert_eq!(read("results/backtrace"), b"frame\n".repeat(50_000));
        assert_eq!((read("results/log").as_slice(), read("crash/coredump").len()), (&b"words\n"[..], 100_000));
        let document: EventDocument = serde_json::from_slice(&read("task.json")).unwrap();
        assert_eq!((document.task.id, document.task.message.as_deref()), (id.to_string(), Some("because")));
    }
    assert_eq!(fs::read_dir(test.path("work")).unwrap().count(), 0, "nothing is left of the making");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_whose_archive_cannot_be_written_stays() {
    let test = Test::new().await;
    let id = test.finished(Outcome::Success).await;
    fs::write(test.path("file"), "no folder").unwrap();
    let gc = test.gc(|options| {
        options.archive_after = Some(Duration::ZERO);
        options.archive_dir = Some(test.path("file"));
    });
    let report = gc.run(false, &()).await.unwrap();
    assert_eq!((report.total.count, report.failed.len()), (0, 1), "{report:?}");
    assert!(report.failed[0].error.contains("cannot write the archive"), "{report:?}");
    assert!(test.exists(id).await && test.store.task_dir(id).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_does_it_at_a_time() {
    let test = Test::new().await;
    let other = Store::open(&test.path("state")).await.unwrap();
    let lock = other.lock_job(JOB, LONG).await.unwrap().unwrap();
    let gc = test.gc(|_| {});
    assert!(matches!(gc.run(false, &()).await, Err(GcError::Busy { .. })));
    gc.run(true, &()).await.unwrap();
    other.unlock_job(lock).await.unwrap();
    gc.run(false, &()).await.unwrap();
    other.lock_job(JOB, LONG).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_that_is_required_may_keep_a_task() {
    let test = Test::new().await;
    let id = test.finished(Outcome::Success).await;
    let program = test.path("no");
    fs::write(&program, "#!/bin/sh\ntest -s /retrace/results/backtrace && exit 1\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    if !Path::new("/usr/bin/bwrap").exists() {
        assert!(std::env::var_os("RETRACE_REQUIRE_TOOLS").is_none(), "there is no bwrap: run `make setup`");
        return;
    }
    let options = crate::HookOptions { required: true, ..crate::HookOptions::default() };
    let hook = crate::Hook { event: HookEvent::PreRemoveTask, program, args: Vec::new(), options };
    let mut gc = test.gc(|options| options.delete_after = Some(Duration::ZERO));
    gc.hooks = Hooks::new(vec![hook], None, test.path("work"));
    let report = gc.run(false, &()).await.unwrap();
    assert!(report.failed.len() == 1 && report.failed[0].error.contains("pre_remove_task"), "{report:?}");
    assert!(test.exists(id).await);
}

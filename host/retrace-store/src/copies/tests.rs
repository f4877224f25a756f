use std::os::unix::fs::MetadataExt as _;

use retrace_types::{SignatureState, TaskKind};
use sha2::{Digest as _, Sha256 as Hasher};

use super::*;
use crate::{
    IndexedPackage, NewPackage, NewTask, Outcome,
    status::tests::{filled, package},
    testing::{Test, on_both_databases, repository, scope},
};

on_both_databases!(
    copies_are_listed_in_pages_and_taken_out_of_service,
    a_file_goes_with_the_last_package_that_has_it,
    what_a_retrace_uses_or_a_core_referenced_stays,
    a_use_is_noted_once_in_a_while_and_a_reference_is_not_forgotten,
    orphans_are_files_without_a_row_and_what_interrupted_writes_left,
    a_file_that_is_gone_or_cannot_be_removed_is_told_apart,
    the_task_that_runs_longest_is_known,
);

/// A repository of packages, each with a copy of what its name says.
struct Bench {
    _test: Test,
    store: Store,
}

impl Bench {
    async fn new(test: Test, packages: &[(&str, &[u8])]) -> Self {
        let store = test.store.clone();
        let key = store.register_repository(&repository()).await.unwrap();
        let new: Vec<_> = packages
            .iter()
            .map(|(name, _)| NewPackage { size_bytes: None, sha256: None, complete: true, ..package(name, &[]) })
            .collect();
        store.replace_metadata(key, "1", &new, &[]).await.unwrap();
        let bench = Self { _test: test, store };
        for (name, content) in packages {
            let sha256 = bench.write(content).await;
            let package = bench.package(name).await;
            let size = content.len() as u64;
            bench.store.record_local_copy(package.key, &sha256, size, &SignatureState::Off).await.unwrap();
        }
        bench
    }

    /// A file of the artifact store.
    async fn write(&self, content: &[u8]) -> Sha256 {
        let sha256 = Sha256::from_bytes(Hasher::digest(content).into());
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), content).unwrap();
        self.store.take_package_file(file.path(), &sha256).await.unwrap();
        sha256
    }

    async fn package(&self, name: &str) -> IndexedPackage {
        self.store.find_packages(&scope(), name).await.unwrap().remove(0)
    }

    async fn remove(&self, name: &str, used_from: Timestamp) -> Removal {
        let package = self.package(name).await;
        let sha256 = package.local.unwrap().sha256;
        self.store.remove_copy(package.key, &sha256, used_from).await.unwrap()
    }

    fn is_stored(&self, sha256: &Sha256) -> bool {
        self.store.local_package_path(sha256).unwrap().is_file()
    }
}

async fn a_file_goes_with_the_last_package_that_has_it(test: Test) {
    let bench = Bench::new(test, &[("a", b"same"), ("b", b"same")]).await;
    let sha256 = bench.package("a").await.local.unwrap().sha256;
    assert_eq!(bench.remove("a", Timestamp::now()).await, Removal::Removed(0));
    assert!(bench.is_stored(&sha256) && bench.package("a").await.local.is_none());
    assert_eq!(bench.remove("b", Timestamp::now()).await, Removal::Removed(4));
    assert!(!bench.is_stored(&sha256) && bench.package("b").await.local.is_none());
}

async fn what_a_retrace_uses_or_a_core_referenced_stays(test: Test) {
    let bench = Bench::new(test, &[("read", b"1"), ("referenced", b"2"), ("idle", b"3"), ("twin", b"1")]).await;
    let (now, hour) = (Timestamp::now(), jiff::SignedDuration::from_hours(1));
    let (long_ago, before, after) = (now - hour * 9, now - hour, now + hour);
    bench.store.note_read(&[bench.package("read").await.key], now).await.unwrap();
    bench.store.note_referenced(&[bench.package("referenced").await.key], long_ago).await.unwrap();
    assert_eq!(bench.remove("read", before).await, Removal::InUse);
    assert_eq!(bench.remove("twin", before).await, Removal::InUse, "it is the same file");
    assert_eq!(bench.remove("referenced", after).await, Removal::InUse);
    assert_eq!(bench.remove("idle", before).await, Removal::Removed(1));
    assert_eq!(bench.remove("read", after).await, Removal::Removed(0));
    let referenced = bench.store.referenced_packages(&scope()).await.unwrap();
    assert_eq!(referenced.into_iter().collect::<Vec<_>>(), [bench.package("referenced").await.key]);
}

async fn a_use_is_noted_once_in_a_while_and_a_reference_is_not_forgotten(test: Test) {
    let bench = Bench::new(test, &[("a", b"1")]).await;
    let key = bench.package("a").await.key;
    let start = Timestamp::now();
    let noted = async |minutes: i64, referenced: bool| {
        let at = start + jiff::SignedDuration::from_mins(minutes);
        bench.store.note_use(&[key, key], at, referenced).await.unwrap();
        let (used, referenced): (i64, Option<i64>) = sqlx::query_as("SELECT used_at, referenced_at FROM package_use")
            .fetch_one(&bench.store.database.pool)
            .await
            .unwrap();
        let minutes = |ms: i64| (ms - start.as_millisecond()) / 60_000;
        (minutes(used), referenced.map(minutes))
    };
    assert_eq!(noted(0, false).await, (0, None));
    assert_eq!(noted(5, false).await, (0, None), "noted a moment ago");
    assert_eq!(noted(6, true).await, (6, Some(6)));
    assert_eq!(noted(30, false).await, (30, Some(6)));
}

async fn orphans_are_files_without_a_row_and_what_interrupted_writes_left(test: Test) {
    let bench = Bench::new(test, &[("a", b"kept")]).await;
    let kept = bench.package("a").await.local.unwrap().sha256;
    let orphan = bench.write(b"orphan").await;
    let path = bench.store.local_package_path(&orphan).unwrap();
    let part = path.with_file_name(format!("{orphan}#7"));
    let foreign = path.with_file_name("README");
    for file in [&part, &foreign] {
        fs::write(file, b"half").unwrap();
    }
    let old = SystemTime::now() - Duration::from_secs(7200);
    fs::File::options().write(true).open(&part).unwrap().set_modified(old).unwrap();

    let found = bench.store.orphans().await.unwrap();
    let seen: Vec<_> = found.iter().map(|o| (o.sha256, o.size_bytes, o.age.as_secs() / 3600)).collect();
    assert_eq!(seen, [(Some(orphan), 6, 0), (None, 4, 2)]);

    // Meanwhile a package has the first one.
    let package = bench.package("a").await;
    bench.store.forget_local_copy(package.key, &kept).await.unwrap();
    bench.store.record_local_copy(package.key, &orphan, 6, &SignatureState::Off).await.unwrap();
    let mut freed = Vec::new();
    for orphan in &found {
        freed.push(bench.store.remove_orphan(orphan).await.unwrap());
    }
    assert_eq!(freed, [0, 4]);
    assert!(bench.is_stored(&orphan) && bench.is_stored(&kept) && !part.exists() && foreign.exists());
    let [old] = bench.store.orphans().await.unwrap().try_into().unwrap();
    assert_eq!(old.sha256, Some(kept), "the copy that was replaced");
    assert_eq!(bench.store.remove_orphan(&old).await.unwrap(), 4);
    assert_eq!(bench.store.orphans().await.unwrap(), []);
}

async fn a_file_that_is_gone_or_cannot_be_removed_is_told_apart(test: Test) {
    let bench = Bench::new(test, &[("gone", b"1"), ("stuck", b"2")]).await;
    let gone = bench.package("gone").await.local.unwrap().sha256;
    fs::remove_file(bench.store.local_package_path(&gone).unwrap()).unwrap();
    assert_eq!(bench.remove("gone", Timestamp::now()).await, Removal::Removed(0));

    let package = bench.package("stuck").await;
    let stuck = package.local.unwrap().sha256;
    let path = bench.store.local_package_path(&stuck).unwrap();
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let error = bench.store.remove_copy(package.key, &stuck, Timestamp::now()).await.unwrap_err();
    assert!(matches!(error, StoreError::Remove { .. }), "{error}");
    assert!(bench.package("stuck").await.local.is_some(), "nothing is forgotten");
}

async fn the_task_that_runs_longest_is_known(test: Test) {
    let bench = Bench::new(test, &[]).await;
    assert_eq!(bench.store.oldest_task_started().await.unwrap(), None);
    let new = NewTask { kind: TaskKind::Coredump, password_sha256: Sha256::from_bytes([1; 32]) };
    let mut leases = Vec::new();
    for _ in 0..2 {
        let id = bench.store.create_task(&new).await.unwrap();
        bench.store.submit_task(id).await.unwrap();
        leases.push(bench.store.lease_next("worker", Duration::from_secs(60), u64::MAX).await.unwrap().unwrap());
    }
    let mut started = Vec::new();
    for lease in &leases {
        started.push(bench.store.task(lease.task).await.unwrap().unwrap().started_at);
    }
    assert_eq!(bench.store.oldest_task_started().await.unwrap(), started[0]);
    bench.store.finish(&leases[0], &Outcome::Success).await.unwrap();
    assert_eq!(bench.store.oldest_task_started().await.unwrap(), started[1]);
}

/// Stores this text as a package file.
async fn stored(test: &Test, text: &str) -> Sha256 {
    use sha2::Digest as _;
    let sha256 = Sha256::from_bytes(sha2::Sha256::digest(text).into());
    let file = test.dir.path().join("file");
    fs::write(&file, text).unwrap();
    test.store.take_package_file(&file, &sha256).await.unwrap();
    fs::remove_file(&file).unwrap();
    sha256
}

async fn copies_are_listed_in_pages_and_taken_out_of_service(test: Test) {
    let mut packages: Vec<_> = (0..5).map(|n| package(&format!("p{n}"), &[])).collect();
    packages.iter_mut().for_each(|package| package.sha256 = None);
    filled(&test.store, "fedora-40", "releases", &packages[..3]).await;
    filled(&test.store, "fedora-41", "updates", &packages[3..]).await;
    let sha256 = stored(&test, "x").await;
    let mut keys = Vec::new();
    for (release, name) in [("fedora-40", "p0"), ("fedora-40", "p2"), ("fedora-41", "p3"), ("fedora-41", "p4")] {
        let scope = crate::Scope { release: release.parse().unwrap(), architecture: "x86_64".parse().unwrap() };
        let found = test.store.find_packages(&scope, name).await.unwrap();
        keys.push(found[0].key);
        test.store.record_local_copy(found[0].key, &sha256, 1, &SignatureState::Off).await.unwrap();
    }
    let (mut listed, mut last) = (Vec::new(), None);
    loop {
        let page = test.store.local_copies(last, 3).await.unwrap();
        let Some(end) = page.last() else { break };
        last = Some(end.key);
        listed.extend(page.iter().map(|package| package.key));
    }
    assert_eq!(listed, keys);

    let other = Sha256::from_bytes([1; 32]);
    test.store.forget_local_copy(keys[0], &other).await.unwrap();
    assert_eq!(test.store.local_copies(None, 9).await.unwrap().len(), 4, "it has another copy");
    test.store.forget_local_copy(keys[0], &sha256).await.unwrap();
    assert_eq!(test.store.local_copies(None, 9).await.unwrap().len(), 3);
    assert!(test.store.local_package_path(&sha256).unwrap().is_file());
}

#[tokio::test]
async fn a_file_is_replaced_and_links_to_it_keep_the_old_one() {
    let test = Test::sqlite().await;
    let sha256 = stored(&test, "content").await;
    let path = test.store.local_package_path(&sha256).unwrap();
    let link = test.dir.path().join("link");
    fs::hard_link(&path, &link).unwrap();
    fs::write(&path, "damaged").unwrap();
    let good = test.dir.path().join("file");
    fs::write(&good, "content").unwrap();

    // A file of this file system is linked, again and again; one of another is copied and digested.
    for _ in 0..2 {
        assert_eq!(test.store.take_package_file(&good, &sha256).await.unwrap(), path);
        assert_eq!(fs::read(&path).unwrap(), b"content");
        assert_eq!(fs::metadata(&path).unwrap().nlink(), 2);
    }
    assert_eq!(fs::read(&link).unwrap(), b"damaged");
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no part is left");

    let elsewhere = tempfile::tempdir_in("/dev/shm").unwrap();
    let foreign = elsewhere.path().join("file");
    fs::write(&foreign, "content").unwrap();
    fs::remove_file(&path).unwrap();
    test.store.take_package_file(&foreign, &sha256).await.unwrap();
    assert_eq!(fs::metadata(&path).unwrap().nlink(), 1);
    fs::write(&foreign, "other").unwrap();
    let error = test.store.take_package_file(&foreign, &sha256).await.unwrap_err();
    assert!(matches!(error, StoreError::DigestMismatch { .. }), "{error}");
    assert_eq!(fs::read(&path).unwrap(), b"content");
}

use std::path::Path;

use retrace_types::{KeyFile, RepositoryLayout, SignaturePolicy, SignatureState};

use super::{
    server::Server,
    support::{Bench, Fixture, deb_spec, fixture, scope, shown},
};
use crate::{MirrorError, Outcome};

const SUITE: &str = "dists/stable";

fn copy(fixture: &Fixture) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fixture.copy("deb", dir.path());
    dir
}

fn remove(dir: &Path, name: &str) {
    std::fs::remove_file(dir.join(SUITE).join(name)).unwrap();
}

#[tokio::test]
async fn a_suite_is_indexed_from_inrelease_and_from_release_with_its_signature() {
    let Some(fixture) = fixture().await else { return };
    for (lacks, top) in [("Release.gpg", "InRelease"), ("InRelease", "Release")] {
        let dir = copy(&fixture);
        remove(dir.path(), lacks);
        let server = Server::honest(dir.path()).await;
        let bench = Bench::new(&fixture).await;
        let mut spec = deb_spec(&[&server.url]);
        spec.layout =
            RepositoryLayout::DebDists { suite: "stable".into(), components: vec!["main".into(), "main".into()] };
        assert_eq!(bench.sync_updates(&spec).await, (10, 2), "{top}: listed twice, indexed once");
        assert_eq!(server.hits(".deb"), 0);
        assert_eq!((server.hits("Packages"), server.hits("Packages.gz")), (0, 0), "one compression is enough");

        let package = bench.store.find_packages(&scope(), "greet").await.unwrap().remove(0);
        let verified = bench.mirror.fetch(&package, &()).await.unwrap();
        assert!(matches!(verified.signature(), SignatureState::Metadata { .. }), "{:?}", verified.signature());
        assert!(matches!(bench.sync(&spec).await, Outcome::Unchanged));
        let owners = bench.store.find_path(&scope(), "/lib/x86_64-linux-gnu/libgreet.so.1").await.unwrap();
        assert_eq!(owners.len(), 2, "both versions");
    }
}

#[tokio::test]
async fn by_hash_is_asked_first_and_the_plain_name_after_it() {
    let Some(fixture) = fixture().await else { return };
    let dir = copy(&fixture);
    for name in ["InRelease", "Release"] {
        let path = dir.path().join(SUITE).join(name);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(path, text.replacen("Suite: stable", "Suite: stable\nAcquire-By-Hash: yes", 1)).unwrap();
    }
    let server = Server::honest(dir.path()).await;
    let mut spec = deb_spec(&[&server.url]);
    spec.signatures = SignaturePolicy::OFF;
    let bench = Bench::new(&fixture).await;
    bench.sync_updates(&spec).await;
    let requests = server.requests();
    let at = requests.iter().position(|request| request.path.ends_with("Packages.xz")).unwrap();
    assert!(requests[at - 1].path.starts_with("dists/stable/main/binary-amd64/by-hash/SHA256/"), "{requests:?}");

    let package = bench.store.find_packages(&scope(), "greet").await.unwrap().remove(0);
    assert_eq!(*bench.mirror.fetch(&package, &()).await.unwrap().signature(), SignatureState::Off);
}

#[tokio::test]
async fn a_suite_that_is_not_what_it_should_be_is_refused() {
    let Some(fixture) = fixture().await else { return };
    let bench = Bench::new(&fixture).await;
    let good = deb_spec(&[shown(&fixture.path("deb"))]);

    let mut wrong_key = good.clone();
    wrong_key.keys = vec![KeyFile { path: "other.asc".into(), fingerprint: None }];
    assert!(matches!(bench.sync_error(&wrong_key).await, MirrorError::UnknownSigner { .. }));

    let mut wrong_component = good.clone();
    wrong_component.layout = RepositoryLayout::DebDists { suite: "stable".into(), components: vec!["contrib".into()] };
    assert!(matches!(bench.sync_error(&wrong_component).await, MirrorError::Metadata { .. }));

    let mut outside = good.clone();
    outside.layout = RepositoryLayout::DebDists { suite: "../..".into(), components: vec!["main".into()] };
    assert!(matches!(bench.sync_error(&outside).await, MirrorError::UnsafeLocation { .. }));

    let renamed = copy(&fixture);
    std::fs::rename(renamed.path().join(SUITE), renamed.path().join("dists/testing")).unwrap();
    let mut other_suite = deb_spec(&[shown(renamed.path())]);
    other_suite.layout = RepositoryLayout::DebDists { suite: "testing".into(), components: vec!["main".into()] };
    assert!(matches!(bench.sync_error(&other_suite).await, MirrorError::WrongSuite { .. }));

    let unsigned = copy(&fixture);
    remove(unsigned.path(), "InRelease");
    remove(unsigned.path(), "Release.gpg");
    assert!(matches!(bench.sync_error(&deb_spec(&[shown(unsigned.path())])).await, MirrorError::Unsigned { .. }));

    let changed = copy(&fixture);
    let path = changed.path().join(SUITE).join("InRelease");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replacen("Components: main", "Components: evil", 1)).unwrap();
    assert!(matches!(bench.sync_error(&deb_spec(&[shown(changed.path())])).await, MirrorError::Signature { .. }));
    assert!(bench.store.find_packages(&scope(), "greet").await.unwrap().is_empty(), "nothing got into the index");
}

#[tokio::test]
async fn a_suite_beyond_its_date_is_refused_unless_the_archive_is_frozen() {
    let Some(fixture) = fixture().await else { return };
    let dir = copy(&fixture);
    std::fs::copy(fixture.path("expired"), dir.path().join(SUITE).join("InRelease")).unwrap();
    let bench = Bench::new(&fixture).await;
    let mut spec = deb_spec(&[shown(dir.path())]);
    let error = bench.sync_error(&spec).await;
    assert!(matches!(&error, MirrorError::Expired { .. }), "{error}");
    assert!(error.to_string().contains("2022"), "{error}");
    spec.config = vec![("check-valid-until".into(), "no".into())];
    bench.sync_updates(&spec).await;
}

#[tokio::test]
async fn an_index_or_a_package_with_other_bytes_is_refused() {
    let Some(fixture) = fixture().await else { return };
    let dir = copy(&fixture);
    let spec = deb_spec(&[shown(dir.path())]);
    let bench = Bench::new(&fixture).await;
    bench.sync_updates(&spec).await;

    let package = bench.store.find_packages(&scope(), "greet").await.unwrap().remove(0);
    let path = dir.path().join(&package.location);
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let error = bench.mirror.fetch(&package, &()).await.unwrap_err();
    let MirrorError::AllMirrors { attempts, .. } = &error else { panic!("{error}") };
    assert!(matches!(attempts[0].1, MirrorError::ChecksumMismatch { .. }), "{error}");
    assert!(error.to_string().contains(shown(&path)), "{error}");

    let index = dir.path().join(SUITE).join("main/binary-amd64/Packages.xz");
    std::fs::write(&index, b"short").unwrap();
    let other = Bench::new(&fixture).await;
    assert!(matches!(other.sync_error(&spec).await, MirrorError::SizeMismatch { .. }));
}

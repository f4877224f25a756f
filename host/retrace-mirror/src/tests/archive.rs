//! Packages that upstream has dropped, from services that keep them.

use std::{fs, path::Path};

use super::{
    server::{Answer, Server},
    support::{Bench, Fixture, deb_spec, fixture, rpm_spec, scope},
};
use crate::MirrorError;

/// A mirror that has dropped every package since its metadata was read.
async fn without_packages(root: &Path) -> Server {
    let is_package = |path: &str| path.ends_with(".rpm") || path.ends_with(".deb");
    Server::start(root, move |request| if is_package(&request.path) { Answer::Status(404) } else { Answer::Honest })
        .await
}

/// Last digits of the fixture's key.
async fn key_id(bench: &Bench) -> String {
    let package = bench.store.find_packages(&scope(), "greet").await.unwrap().remove(0);
    let repository = bench.store.repository(package.repository).await.unwrap();
    let mut keyring = retrace_package::Keyring::new();
    keyring.add(repository.keys_armored.as_bytes()).unwrap();
    let fingerprint = keyring.fingerprints().remove(0);
    fingerprint[fingerprint.len() - 8..].to_ascii_lowercase()
}

fn put(fixture: &Fixture, from: &str, to: &Path) {
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::copy(fixture.path(from), to).unwrap();
}

#[tokio::test]
async fn a_dropped_rpm_comes_from_the_builds_signed_by_the_repositorys_key() {
    let Some(fixture) = fixture().await else { return };
    let builds = tempfile::tempdir().unwrap();
    let (mirror, koji) = (without_packages(&fixture.path("rpm")).await, Server::honest(builds.path()).await);
    let bench = Bench::new(&fixture).await;
    let mut spec = rpm_spec(&[&mirror.url]);
    spec.config = vec![("archive-koji".into(), koji.url.clone())];
    bench.sync_updates(&spec).await;
    let packages = bench.store.find_packages(&scope(), "greet-libs").await.unwrap();
    let package = packages.iter().find(|package| package.id.version == "1").unwrap();

    // Nothing is there: every mirror and the archive are named.
    let error = bench.mirror.fetch(package, &()).await.unwrap_err();
    let MirrorError::AllMirrors { attempts, .. } = &error else { panic!("{error}") };
    let asked: Vec<_> = attempts.iter().map(|(url, _)| url.as_str()).collect();
    assert_eq!(asked, [mirror.url.as_str(), koji.url.as_str()], "{error}");

    let file = "greet-libs-1-1.x86_64.rpm";
    let key = key_id(&bench).await;
    // Another package under the name is not taken.
    put(&fixture, "rpm/greet-libs-2-1.x86_64.rpm", &builds.path().join(format!("greet/1/1/x86_64/{file}")));
    let refused = bench.mirror.fetch(package, &()).await.unwrap_err();
    assert!(matches!(refused, MirrorError::AllMirrors { .. }), "{refused}");

    put(&fixture, &format!("rpm/{file}"), &builds.path().join(format!("greet/1/1/data/signed/{key}/x86_64/{file}")));
    let verified = bench.mirror.fetch(package, &()).await.unwrap();
    assert_eq!(Some(verified.sha256()), package.sha256);
    assert!(mirror.requests().iter().any(|request| request.path.ends_with(file)), "mirrors are asked first");
}

#[tokio::test]
async fn a_dropped_deb_comes_from_the_snapshot_service_by_its_digest() {
    let Some(fixture) = fixture().await else { return };
    let states = tempfile::tempdir().unwrap();
    let (mirror, snapshot) = (without_packages(&fixture.path("deb")).await, Server::honest(states.path()).await);
    let bench = Bench::new(&fixture).await;
    let mut spec = deb_spec(&[&mirror.url]);
    spec.config = vec![("archive-snapshot".into(), snapshot.url.clone())];
    bench.sync_updates(&spec).await;
    let package = bench.store.find_packages(&scope(), "greet").await.unwrap().remove(0);
    assert!(bench.mirror.fetch(&package, &()).await.is_err());

    let id = &package.id;
    let list = states.path().join(format!("mr/binary/greet/{}/binfiles", id.full_version()));
    let digest = "0123456789abcdef0123456789abcdef01234567";
    let answer = serde_json::json!({ "result": [
        { "architecture": "vax", "hash": "1111111111111111111111111111111111111111" },
        { "architecture": id.arch, "hash": digest },
    ] });
    fs::create_dir_all(list.parent().unwrap()).unwrap();
    fs::write(&list, answer.to_string()).unwrap();
    put(&fixture, &format!("deb/{}", package.location), &states.path().join("file").join(digest));
    let verified = bench.mirror.fetch(&package, &()).await.unwrap();
    assert_eq!(Some(verified.sha256()), package.sha256);
    assert_eq!(snapshot.hits("1111111111111111111111111111111111111111"), 0);
}

#[tokio::test]
async fn an_archive_is_not_asked_while_a_mirror_may_still_have_the_package() {
    let Some(fixture) = fixture().await else { return };
    let archive = Server::honest(&fixture.path("rpm")).await;
    let mirror = Server::start(&fixture.path("rpm"), |request| {
        if request.path.ends_with(".rpm") { Answer::Status(500) } else { Answer::Honest }
    })
    .await;
    let bench = Bench::with(&fixture, |options| options.retries = 0).await;
    let mut spec = rpm_spec(&[&mirror.url]);
    spec.config = vec![("archive-koji".into(), archive.url.clone())];
    bench.sync_updates(&spec).await;
    let package = bench.store.find_packages(&scope(), "greet").await.unwrap().remove(0);
    assert!(bench.mirror.fetch(&package, &()).await.is_err());
    assert_eq!(archive.requests().len(), 0);
}

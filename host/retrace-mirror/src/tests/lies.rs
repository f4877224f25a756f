use super::{
    server::{Answer, Request, Server},
    support::{Bench, deb_spec, fixture, make_bomb, rpm_spec, scope, shown},
};
use crate::{MirrorError, Outcome};

fn once(answer: Answer) -> impl Fn(&Request) -> Answer {
    move |request| if request.before == 0 { answer.clone() } else { Answer::Honest }
}

#[tokio::test]
async fn failures_that_pass_are_tried_again() {
    let Some(fixture) = fixture().await else { return };
    for answer in [Answer::Status(503), Answer::Status(429), Answer::Cut(100), Answer::Short(50), Answer::Cut(0)] {
        // A top file has no announced size: a shorter one than announced by the server itself is noticed, no other.
        let lie = answer.clone();
        let server = Server::start(&fixture.path("rpm"), move |request| {
            let is_top = request.path.starts_with("repodata/repomd");
            if is_top && matches!(lie, Answer::Short(_)) { Answer::Honest } else { once(lie.clone())(request) }
        })
        .await;
        let bench = Bench::new(&fixture).await;
        assert_eq!(bench.sync_updates(&rpm_spec(&[&server.url])).await, (6, 10), "{answer:?}");
        let package = bench.store.find_packages(&scope(), "greet").await.unwrap().remove(0);
        bench.mirror.fetch(&package, &()).await.unwrap();
        let packages: Vec<_> = server.requests().into_iter().filter(|r| r.path.ends_with(".rpm")).collect();
        let want = match answer {
            Answer::Cut(n) | Answer::Short(n) => n as u64,
            _ => 0,
        };
        assert_eq!(packages.iter().map(|request| request.from).collect::<Vec<_>>(), [0, want], "{answer:?}");
    }
}

#[tokio::test]
async fn a_server_that_stays_wrong_is_named_and_the_next_mirror_is_used() {
    let Some(fixture) = fixture().await else { return };
    let bad = |answer: Answer| {
        let answer = answer.clone();
        move |request: &Request| if request.path.contains("primary") { answer.clone() } else { Answer::Honest }
    };
    let loops = Answer::Redirect("/repodata/primary-loop.xml".into());
    for (answer, want) in [
        (Answer::Corrupt, "checksum"),
        (Answer::Endless, "announced"),
        (Answer::Short(10), "announced"),
        (Answer::Status(500), "500"),
        (Answer::Status(404), "does not exist"),
        (loops, "redirected more than"),
        (Answer::Redirect("ftp://h/x".into()), "primary"),
    ] {
        let server = Server::start(&fixture.path("rpm"), bad(answer.clone())).await;
        let bench = Bench::with(&fixture, |options| options.retries = 1).await;
        let error = bench.sync_error(&rpm_spec(&[&server.url])).await;
        let shown_error = crate::error::chain(&error);
        assert!(shown_error.contains(want) && shown_error.contains(&server.url), "{answer:?}: {shown_error}");
        assert!(bench.store.find_packages(&scope(), "greet").await.unwrap().is_empty());

        let folder = fixture.path("rpm");
        bench.sync_updates(&rpm_spec(&[&server.url, shown(&folder)])).await;
    }
}

#[tokio::test]
async fn a_silent_or_absent_server_is_given_up() {
    let Some(fixture) = fixture().await else { return };
    let server = Server::start(&fixture.path("rpm"), |_| Answer::Stall).await;
    let bench = Bench::with(&fixture, |options| {
        (options.retries, options.idle_timeout) = (0, std::time::Duration::from_millis(300));
    })
    .await;
    assert!(matches!(bench.sync_error(&rpm_spec(&[&server.url])).await, MirrorError::Http { .. }));
    let url = server.url.clone();
    drop(server);
    assert!(matches!(bench.sync_error(&rpm_spec(&[&url])).await, MirrorError::Http { .. }));

    let offline = Bench::with(&fixture, |options| options.offline = true).await;
    assert!(matches!(offline.sync_error(&rpm_spec(&[&url])).await, MirrorError::Offline { .. }));
}

#[tokio::test]
async fn an_endless_top_file_is_bounded() {
    let Some(fixture) = fixture().await else { return };
    let server = Server::start(&fixture.path("rpm"), |_| Answer::Endless).await;
    let bench = Bench::with(&fixture, |options| options.limits.top_bytes = 1 << 20).await;
    assert!(matches!(bench.sync_error(&rpm_spec(&[&server.url])).await, MirrorError::TooLarge { .. }));
}

#[tokio::test]
async fn signed_metadata_that_is_older_than_the_index_is_refused() {
    let Some(fixture) = fixture().await else { return };
    let dir = tempfile::tempdir().unwrap();
    fixture.copy("deb", dir.path());
    let bench = Bench::new(&fixture).await;
    let spec = deb_spec(&[shown(dir.path())]);
    bench.sync_updates(&spec).await;
    // The same suite, as if the index had been made from a newer one.
    let key = bench.store.repositories(None, None).await.unwrap().remove(0).key;
    let revision = bench.store.repository(key).await.unwrap().revision.unwrap();
    let mut parsed: crate::revision::Revision = revision.parse().unwrap();
    parsed.made_at += 3600;
    parsed.top = crate::checksum::sha256(b"newer");
    bench.store.replace_metadata(key, &parsed.to_string(), &[], &[]).await.unwrap();
    let error = bench.sync_error(&spec).await;
    assert!(matches!(error, MirrorError::Stale { .. }), "{error}");
}

#[tokio::test]
async fn what_a_killed_run_left_is_used() {
    let Some(fixture) = fixture().await else { return };
    let server = Server::honest(&fixture.path("rpm")).await;
    let bench = Bench::new(&fixture).await;
    let spec = rpm_spec(&[&server.url]);
    bench.sync_updates(&spec).await;
    let package = bench.store.find_packages(&scope(), "greet").await.unwrap().remove(0);
    let bytes = std::fs::read(fixture.path("rpm").join(&package.location)).unwrap();
    let (sha256, downloads) = (package.sha256.unwrap().to_string(), bench.dir.path().join("downloads"));

    // Killed in the middle: continued; what is there may be wrong, too.
    for (left, want) in [(bytes[..1000].to_vec(), vec![1000]), (vec![0; 1000], vec![1000, 0])] {
        std::fs::write(downloads.join("partial").join(&sha256), left).unwrap();
        let before = server.requests().len();
        let verified = bench.mirror.fetch(&package, &()).await.unwrap();
        let from: Vec<_> = server.requests()[before..].iter().map(|request| request.from).collect();
        assert_eq!(from, want);
        std::fs::remove_file(verified.path()).unwrap();
    }
    // Killed between download and commit: not asked for again.
    std::fs::write(downloads.join("complete").join(&sha256), &bytes).unwrap();
    let before = server.requests().len();
    bench.mirror.fetch(&package, &()).await.unwrap();
    assert_eq!(server.requests().len(), before);

    // Metadata likewise; a file that is not what its name says is not believed.
    let other = Bench::new(&fixture).await;
    for name in std::fs::read_dir(fixture.path("rpm/repodata")).unwrap().map(|entry| entry.unwrap().path()) {
        let text = name.file_name().unwrap().to_str().unwrap().to_owned();
        if let Some((checksum, _)) = text.split_once("-primary.xml") {
            std::fs::copy(&name, other.dir.path().join("downloads/complete").join(checksum)).unwrap();
        } else if let Some((checksum, _)) = text.split_once("-filelists.xml") {
            std::fs::write(other.dir.path().join("downloads/complete").join(checksum), b"junk").unwrap();
        }
    }
    let before = (server.hits("primary.xml.gz"), server.hits("filelists.xml.gz"));
    assert!(matches!(other.sync(&spec).await, Outcome::Updated { .. }));
    assert_eq!((server.hits("primary.xml.gz"), server.hits("filelists.xml.gz")), (before.0, before.1 + 1));
}

#[tokio::test]
async fn a_bomb_in_the_metadata_is_bounded() {
    let Some(fixture) = fixture().await else { return };
    let dir = tempfile::tempdir().unwrap();
    let repomd = make_bomb(dir.path());
    let mut spec = rpm_spec(&[shown(dir.path())]);
    spec.signatures.metadata = false;
    let bench = Bench::with(&fixture, |options| options.limits.unpacked_metadata_bytes = 8 << 20).await;
    let error = crate::error::chain(&bench.sync_error(&spec).await);
    assert!(error.contains("8388608") || error.contains("1 MiB"), "{error}");

    let outside = repomd.replace("repodata/p.xml.gz", "../p.xml.gz");
    std::fs::write(dir.path().join("repodata/repomd.xml"), outside).unwrap();
    assert!(matches!(bench.sync_error(&spec).await, MirrorError::UnsafeLocation { .. }));
}

//! One fault of a server a test: the run recovers by another attempt or by the next mirror, or says which mirror, which
//! file and what to do. The index is never wrong, nothing unverified is kept.

use std::time::Duration;

use retrace_types::RepositorySpec;

use super::{
    server::{Answer, Request, Server},
    support::{Bench, Fixture, deb_spec, fixture, make_bomb, rpm_spec, scope, shown},
};
use crate::{MirrorOptions, Outcome, error::chain};

/// Metadata and the packages `greet`, of which there is one, 1 to 2 KB of metadata and some 8 KB of package.
struct Case {
    fixture: std::sync::Arc<Fixture>,
}

impl Case {
    async fn new() -> Option<Self> {
        Some(Self { fixture: fixture().await? })
    }

    async fn bench(&self, change: impl FnOnce(&mut MirrorOptions)) -> Bench {
        Bench::with(&self.fixture, |options| {
            (options.retries, options.idle_timeout) = (1, Duration::from_millis(400));
            change(options);
        })
        .await
    }

    /// The fault passes: the same mirror gives everything in the end. Then it stays: the next mirror does; alone, the
    /// message has these words, and nothing is indexed. All of that for metadata and for packages.
    async fn fault(&self, answer: &Answer, words: &[&str]) {
        self.passes(answer).await;
        self.stays_in_metadata(answer, words).await;
        self.stays_in_packages(answer, words).await;
    }

    async fn passes(&self, answer: &Answer) {
        let lie = answer.clone();
        let is_checked = |request: &Request| !request.path.starts_with("repodata/repomd");
        let server = Server::start(&self.fixture.path("rpm"), move |request| {
            if request.before == 0 && is_checked(request) { lie.clone() } else { Answer::Honest }
        })
        .await;
        let bench = self.bench(|options| options.retries = 2).await;
        assert_eq!(bench.sync_updates(&rpm_spec(&[&server.url])).await, (6, 10), "{answer:?}");
        self.greet_is_right(&bench).await;
        assert!(server.hits("primary.xml.gz") > 1, "{answer:?}: the fault was there");
    }

    async fn stays_in_metadata(&self, answer: &Answer, words: &[&str]) {
        let lie = answer.clone();
        let server = Server::start(&self.fixture.path("rpm"), move |request| {
            if request.path.contains("primary") { lie.clone() } else { Answer::Honest }
        })
        .await;
        let bench = self.bench(|_| {}).await;
        let spec = rpm_spec(&[&server.url]);
        let error = chain(&bench.sync_error(&spec).await);
        says(&error, &server.url, "primary.xml", words);
        self.nothing_is_kept(&bench).await;
        let folder = self.fixture.path("rpm");
        assert_eq!(bench.sync_updates(&rpm_spec(&[&server.url, shown(&folder)])).await, (6, 10), "{answer:?}");
        // The index stays as it is when the mirror alone is asked again, and its metadata is other.
        assert!(!matches!(bench.sync(&spec).await, Outcome::Updated { .. }));
        self.greet_is_right(&bench).await;
    }

    async fn stays_in_packages(&self, answer: &Answer, words: &[&str]) {
        let lie = answer.clone();
        let server = Server::start(&self.fixture.path("rpm"), move |request| {
            if request.path.ends_with(".rpm") { lie.clone() } else { Answer::Honest }
        })
        .await;
        let bench = self.bench(|_| {}).await;
        bench.sync_updates(&rpm_spec(&[&server.url])).await;
        let package = bench.store.find_packages(&scope(), "greet").await.unwrap().remove(0);
        let error = chain(&bench.mirror.fetch(&package, &()).await.unwrap_err());
        says(&error, &server.url, &package.location, words);
        assert!(
            !bench.store.local_package_path(&package.sha256.unwrap()).unwrap().exists(),
            "{answer:?}: nothing is kept"
        );
        // With another mirror it comes.
        let folder = self.fixture.path("rpm");
        bench.sync(&rpm_spec(&[&server.url, shown(&folder)])).await;
        self.greet_is_right(&bench).await;
    }

    /// A fault of the top file, which no checksum covers: nothing is indexed, and the message has these words.
    async fn top_fault(&self, answer: &Answer, spec: fn(&[&str]) -> RepositorySpec, root: &str, words: &[&str]) {
        let lie = answer.clone();
        let is_top = |request: &Request| ["repomd.xml", "InRelease"].iter().any(|end| request.path.ends_with(end));
        let server =
            Server::start(
                &self.fixture.path(root),
                move |request| {
                    if is_top(request) { lie.clone() } else { Answer::Honest }
                },
            )
            .await;
        let bench = self.bench(|options| options.limits.top_bytes = 1 << 20).await;
        let error = chain(&bench.sync_error(&spec(&[&server.url])).await);
        says(&error, &server.url, "", words);
        self.nothing_is_kept(&bench).await;
        let folder = self.fixture.path(root);
        bench.sync_updates(&spec(&[&server.url, shown(&folder)])).await;
    }

    async fn nothing_is_kept(&self, bench: &Bench) {
        assert!(bench.store.find_packages(&scope(), "greet").await.unwrap().is_empty());
        let repositories = bench.store.repositories(None, None).await.unwrap();
        assert!(repositories.iter().all(|repository| repository.revision.is_none()));
    }

    async fn greet_is_right(&self, bench: &Bench) {
        for package in bench.store.find_packages(&scope(), "greet").await.unwrap() {
            let verified = bench.mirror.fetch(&package, &()).await.unwrap();
            let want = std::fs::read(self.fixture.path("rpm").join(&package.location)).unwrap();
            assert_eq!(std::fs::read(verified.path()).unwrap(), want);
        }
    }
}

fn says(error: &str, mirror: &str, file: &str, words: &[&str]) {
    assert!(error.contains(mirror) && error.contains(file), "names {mirror} and {file}: {error}");
    assert!(words.iter().all(|word| error.contains(word)), "says {words:?}: {error}");
}

#[tokio::test]
async fn a_cut_is_continued_or_told() {
    let Some(case) = Case::new().await else { return };
    case.passes(&Answer::Cut(100)).await;
    case.fault(&Answer::Cut(0), &["check the network and the mirror"]).await;
}

#[tokio::test]
async fn a_stall_is_given_up() {
    let Some(case) = Case::new().await else { return };
    case.fault(&Answer::Stall, &["check the network and the mirror"]).await;
    case.passes(&Answer::StallAfter(300)).await;
}

#[tokio::test]
async fn a_truncated_file_is_continued_or_told() {
    let Some(case) = Case::new().await else { return };
    case.passes(&Answer::Short(50)).await;
    case.fault(&Answer::Short(0), &["were announced", "another mirror"]).await;
}

#[tokio::test]
async fn a_corrupt_file_is_refused() {
    let Some(case) = Case::new().await else { return };
    case.fault(&Answer::Corrupt, &["checksum", "was announced", "another mirror"]).await;
}

#[tokio::test]
async fn redirects_in_a_circle_end() {
    let Some(case) = Case::new().await else { return };
    let server = Server::start(&case.fixture.path("rpm"), |request| {
        let is_primary = request.path.contains("primary");
        if is_primary { Answer::Redirect(format!("/{}", request.path)) } else { Answer::Honest }
    })
    .await;
    let bench = case.bench(|_| {}).await;
    let error = chain(&bench.sync_error(&rpm_spec(&[&server.url])).await);
    says(&error, &server.url, "primary.xml", &["redirected more than 5 times", "check the network and the mirror"]);
    let folder = case.fixture.path("rpm");
    bench.sync_updates(&rpm_spec(&[&server.url, shown(&folder)])).await;
}

#[tokio::test]
async fn refusals_for_a_while_are_waited_for() {
    let Some(case) = Case::new().await else { return };
    for status in [429, 503] {
        let words = [&status.to_string(), "try another mirror"];
        case.fault(&Answer::Status(status), &words.map(|word| word as &str)).await;
        case.passes(&Answer::RetryAfter(status, "0")).await;
    }
}

#[tokio::test]
async fn an_endless_body_is_cut_off() {
    let Some(case) = Case::new().await else { return };
    case.stays_in_metadata(&Answer::Endless, &["were announced", "another mirror"]).await;
    case.stays_in_packages(&Answer::Endless, &["were announced", "another mirror"]).await;
    case.top_fault(&Answer::Endless, rpm_spec, "rpm", &["1048576 bytes"]).await;
    case.top_fault(&Answer::Endless, deb_spec, "deb", &["1048576 bytes"]).await;
}

#[tokio::test]
async fn a_wrong_length_is_noticed() {
    let Some(case) = Case::new().await else { return };
    case.stays_in_metadata(&Answer::Long, &["were announced", "another mirror"]).await;
    case.stays_in_packages(&Answer::Long, &["were announced", "another mirror"]).await;
}

#[tokio::test]
async fn wrong_ranges_do_no_harm() {
    let Some(case) = Case::new().await else { return };
    for wrong in [Answer::NoRanges, Answer::WrongRange, Answer::LyingRange] {
        let lie = wrong.clone();
        let server = Server::start(&case.fixture.path("rpm"), move |request| match request.before {
            0 if request.path.ends_with(".rpm") => Answer::Cut(1000),
            1 => lie.clone(),
            _ => Answer::Honest,
        })
        .await;
        let bench = case.bench(|options| options.retries = 3).await;
        bench.sync_updates(&rpm_spec(&[&server.url])).await;
        case.greet_is_right(&bench).await;
        let from: Vec<_> =
            server.requests().into_iter().filter(|r| r.path.contains("greet-1-1")).map(|r| r.from).collect();
        assert_eq!(&from[..2], [0, 1000], "{wrong:?}: it was continued");
    }
}

#[tokio::test]
async fn a_top_file_of_another_repository_or_of_nobody_is_refused() {
    let Some(case) = Case::new().await else { return };
    let elsewhere = case.fixture.path("out/1/greet.id");
    case.top_fault(&Answer::Other(elsewhere.clone()), rpm_spec, "rpm", &["no good signature", "--key"]).await;
    case.top_fault(&Answer::Other(elsewhere), deb_spec, "deb", &["is not signed"]).await;
    case.top_fault(&Answer::Corrupt, rpm_spec, "rpm", &["no good signature"]).await;
    case.top_fault(&Answer::Corrupt, deb_spec, "deb", &["no good signature"]).await;
    case.top_fault(&Answer::Status(404), rpm_spec, "rpm", &["no such repository", "check its base"]).await;
}

#[tokio::test]
async fn stale_metadata_does_not_replace_newer() {
    let Some(case) = Case::new().await else { return };
    let server = Server::honest(&case.fixture.path("deb")).await;
    let bench = case.bench(|_| {}).await;
    let spec = deb_spec(&[&server.url]);
    bench.sync_updates(&spec).await;
    // As if what is indexed had been made an hour after what the server has.
    let key = bench.store.repositories(None, None).await.unwrap().remove(0).key;
    let mut known: crate::revision::Revision =
        bench.store.repository(key).await.unwrap().revision.unwrap().parse().unwrap();
    (known.made_at, known.top) = (known.made_at + 3600, crate::checksum::sha256(b"newer"));
    bench.store.replace_metadata(key, &known.to_string(), &[], &[]).await.unwrap();
    let error = chain(&bench.sync_error(&spec).await);
    says(&error, &server.url, "InRelease", &["is indexed already", "use another one or wait"]);
    assert_eq!(bench.store.repository(key).await.unwrap().revision, Some(known.to_string()));
}

#[tokio::test]
async fn names_that_leave_the_mirror_are_refused() {
    let Some(case) = Case::new().await else { return };
    let dir = tempfile::tempdir().unwrap();
    case.fixture.copy("rpm", dir.path());
    let target = crate::checksum::sha256(b"x");
    for evil in ["../../etc/passwd", "/etc/passwd", "http://127.0.0.1:9/x", "repodata/../../x", "a\\..\\x"] {
        let repomd = format!(
            r#"<repomd><data type="primary"><checksum type="sha256">{target}</checksum><location href="{evil}"/></data></repomd>"#
        );
        std::fs::write(dir.path().join("repodata/repomd.xml"), repomd).unwrap();
        let server = Server::honest(dir.path()).await;
        let mut spec = rpm_spec(&[&server.url]);
        spec.signatures.metadata = false;
        let bench = case.bench(|_| {}).await;
        let error = chain(&bench.sync_error(&spec).await);
        says(&error, "", &evil.replace('\\', "\\\\"), &["tell its operator"]);
        assert_eq!(server.requests().len(), 1, "nothing but the top file was asked for: {:?}", server.requests());
        case.nothing_is_kept(&bench).await;
    }
}

#[tokio::test]
async fn a_bomb_is_not_unpacked() {
    let Some(case) = Case::new().await else { return };
    let dir = tempfile::tempdir().unwrap();
    make_bomb(dir.path());
    let server = Server::honest(dir.path()).await;
    let bench = case.bench(|options| options.limits.unpacked_metadata_bytes = 8 << 20).await;
    let mut spec = rpm_spec(&[&server.url]);
    spec.signatures.metadata = false;
    let error = chain(&bench.sync_error(&spec).await);
    says(&error, &server.url, "p.xml.gz", &["try another mirror"]);
    assert!(error.contains("8388608") || error.contains("1 MiB"), "{error}");
    case.nothing_is_kept(&bench).await;
}

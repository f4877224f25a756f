//! What is kept: asked for, told of, read again and repaired.

use std::path::PathBuf;

use retrace_types::{KeyFile, SignaturePolicy};

use super::support::{Bench, deb_spec, fixture, release, rpm_spec, shown};
use crate::{Fault, Outcome, Question, Repair, VerifyOptions, VerifyReport, WhyNot, Within, find, status};

impl Bench {
    /// Fetches every version of a package and gives the paths of the copies.
    async fn keep(&self, name: &str) -> Vec<PathBuf> {
        let mut kept = Vec::new();
        for package in self.store.find_packages(&super::support::scope(), name).await.unwrap() {
            kept.push(self.mirror.fetch(&package, &()).await.unwrap().path().to_owned());
        }
        kept
    }

    async fn verify(&self, repair: bool) -> VerifyReport {
        self.mirror.verify(&VerifyOptions { repair, ..VerifyOptions::default() }, &()).await.unwrap()
    }

    /// The packages that are an answer, with their debug packages.
    async fn asked(&self, question: &str) -> Vec<(String, String)> {
        let answer = find(&self.store, &question.parse().unwrap(), &Within::default()).await.unwrap();
        let shown =
            |ids: &[retrace_types::PackageId]| ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        answer.hits.iter().map(|hit| (hit.package.id.to_string(), shown(&hit.debug))).collect()
    }
}

/// Changes one byte in the middle, in place: links to the file change as well.
fn flip_a_byte(path: &std::path::Path) {
    use std::os::unix::fs::FileExt as _;
    let file = std::fs::File::options().read(true).write(true).open(path).unwrap();
    let middle = file.metadata().unwrap().len() / 2;
    let mut byte = [0];
    file.read_exact_at(&mut byte, middle).unwrap();
    file.write_all_at(&[byte[0] ^ 0x20], middle).unwrap();
}

#[tokio::test]
async fn the_index_answers_to_build_ids_paths_and_names() {
    let Some(fixture) = fixture().await else { return };
    let bench = Bench::new(&fixture).await;
    bench.sync_updates(&rpm_spec(&[shown(&fixture.path("rpm"))])).await;
    let pair = |package: &str, debug: &str| (package.to_owned(), debug.to_owned());
    let id = fixture.id(2, "greet").to_string();
    let both = [pair("greet-2-1.x86_64", "greet-debuginfo-2-1.x86_64"), pair("greet-debuginfo-2-1.x86_64", "")];
    assert_eq!(bench.asked(&id).await, both);
    assert_eq!(bench.asked(&format!("/usr/lib/.build-id/{}/{}", &id[..2], &id[2..])).await, both);
    let versions = [
        pair("greet-2-1.x86_64", "greet-debuginfo-2-1.x86_64"),
        pair("greet-1-1.x86_64", "greet-debuginfo-1-1.x86_64"),
    ];
    for question in ["greet", "/usr/bin/greet", "/bin/greet"] {
        assert_eq!(bench.asked(question).await, versions, "{question}");
    }
    for question in ["greet-1", "greet-1-1.x86_64", "greet=1-1", "greet-0:1-1.x86_64.rpm"] {
        assert_eq!(bench.asked(question).await, versions[1..], "{question}");
    }
    assert_eq!(bench.asked("greet-libs-2").await.len(), 1, "a dash in the name");
    for question in ["greet-3", "gree", "/usr/bin/nothing", "00112233"] {
        assert_eq!(bench.asked(question).await, [], "{question}");
    }

    let copy = bench.keep("greet").await.remove(0);
    let answer = find(&bench.store, &"greet-1".parse().unwrap(), &Within::default()).await.unwrap();
    let hit = &answer.hits[0];
    assert_eq!(hit.copy.as_ref(), Some(&copy));
    std::fs::remove_file(copy).unwrap();
    let answer = find(&bench.store, &"greet-1".parse().unwrap(), &Within::default()).await.unwrap();
    assert_eq!(answer.hits[0].copy, None, "what is gone is not local");
}

#[tokio::test]
async fn an_answer_that_is_none_tells_what_helps() {
    let Some(fixture) = fixture().await else { return };
    let bench = Bench::new(&fixture).await;
    let ask = async |question: &str, within: &Within| {
        let question: Question = question.parse().unwrap();
        find(&bench.store, &question, within).await.unwrap().why_not.unwrap()
    };
    let everywhere = Within::default();
    assert!(matches!(ask("greet", &everywhere).await, WhyNot::NotMirrored { .. }));
    bench.sync_updates(&deb_spec(&[shown(&fixture.path("deb"))])).await;
    let WhyNot::Unknown { versions, .. } = ask("greet-9", &everywhere).await else { panic!() };
    assert_eq!(versions.iter().map(|id| id.version.as_str()).collect::<Vec<_>>(), ["2", "1"]);
    let WhyNot::Unknown { unscanned, .. } = ask("00112233", &everywhere).await else { panic!() };
    assert!(unscanned, "a binary package of Debian names no build-ids");
    let elsewhere = Within { release: Some("fixture-2".parse().unwrap()), architecture: None };
    let hint = ask("greet", &elsewhere).await.to_string();
    assert!(hint.contains("retrace mirror sync fixture 2 ARCH") && hint.contains("fixture-1 x86_64"), "{hint}");
}

#[tokio::test]
async fn a_failed_sync_is_told_until_one_succeeds() {
    let Some(fixture) = fixture().await else { return };
    let bench = Bench::new(&fixture).await;
    // Not even registered.
    let mut spec = rpm_spec(&["/nowhere"]);
    spec.keys = vec![KeyFile { path: "none.asc".into(), fingerprint: None }];
    bench.sync_error(&spec).await;
    let [only] = status(&bench.store, None, None).await.unwrap().try_into().unwrap();
    assert!(only.repository.is_none() && only.synced_at.is_none());
    assert!(only.failure.unwrap().message.contains("none.asc"));

    let spec = rpm_spec(&[shown(&fixture.path("rpm"))]);
    bench.sync_updates(&spec).await;
    bench.keep("greet").await;
    let [good] = status(&bench.store, Some(&release().id), None).await.unwrap().try_into().unwrap();
    assert_eq!(good.failure, None);
    assert!(good.synced_at.is_some() && good.made_at.is_some());
    let counts = good.counts;
    assert_eq!((counts.packages, counts.upstream, counts.local, counts.build_ids), (6, 6, 2, 10));
    assert!(counts.local_bytes > 1000);

    bench.sync_error(&rpm_spec(&["/nowhere"])).await;
    let [bad] = status(&bench.store, None, None).await.unwrap().try_into().unwrap();
    assert!(bad.failure.unwrap().message.contains("/nowhere"));
    assert_eq!((bad.synced_at, bad.counts), (good.synced_at, counts), "the index stays");
    assert!(matches!(bench.sync(&spec).await, Outcome::Unchanged));
    assert_eq!(status(&bench.store, None, None).await.unwrap()[0].failure, None);
    assert!(status(&bench.store, Some(&"other-1".parse().unwrap()), None).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_is_damaged_is_found_and_replaced() {
    let Some(fixture) = fixture().await else { return };
    for (spec, names) in [
        (rpm_spec(&[shown(&fixture.path("rpm"))]), ["greet", "greet-libs"]),
        (deb_spec(&[shown(&fixture.path("deb"))]), ["greet", "libgreet1"]),
    ] {
        let bench = Bench::new(&fixture).await;
        bench.sync_updates(&spec).await;
        let copies = [bench.keep(names[0]).await, bench.keep(names[1]).await].concat();
        assert!(copies.len() > 2, "{names:?}");
        let all = copies.len() as u64;
        let report = bench.verify(false).await;
        assert_eq!((report.packages, report.good, report.findings.len()), (all, all, 0));
        assert_eq!(report.orphans, Some(Vec::new()));

        let good = std::fs::read(&copies[0]).unwrap();
        let link = bench.dir.path().join("link");
        std::fs::hard_link(&copies[0], &link).unwrap();
        flip_a_byte(&copies[0]);
        std::fs::remove_file(&copies[1]).unwrap();
        let report = bench.verify(false).await;
        assert_eq!(report.good, all - 2);
        assert!(matches!(report.findings[0].fault, Fault::Damaged(_)), "{:?}", report.findings);
        assert_eq!(report.findings[1].fault, Fault::Missing);
        assert!(report.findings.iter().all(|finding| finding.repair.is_none()));
        assert_ne!(std::fs::read(&copies[0]).unwrap(), good, "nothing is changed unless that is wanted");

        let report = bench.verify(true).await;
        assert_eq!(report.findings.len(), 2);
        assert!(report.findings.iter().all(|f| f.repair == Some(Repair::Replaced)), "{:?}", report.findings);
        assert_eq!(std::fs::read(&copies[0]).unwrap(), good);
        assert_ne!(std::fs::read(&link).unwrap(), good, "replaced by a rename, not written in place");
        assert_eq!(bench.verify(false).await.good, all);
    }
}

#[tokio::test]
async fn what_cannot_be_replaced_stays_but_out_of_service() {
    let Some(fixture) = fixture().await else { return };
    let mirror = tempfile::tempdir().unwrap();
    fixture.copy("rpm", mirror.path());
    let bench = Bench::new(&fixture).await;
    let spec = rpm_spec(&[shown(mirror.path())]);
    bench.sync_updates(&spec).await;
    let copies = bench.keep("greet").await;
    flip_a_byte(&copies[0]);
    let away = mirror.path().with_extension("away");
    std::fs::rename(mirror.path(), &away).unwrap();
    let report = bench.verify(true).await;
    assert!(matches!(report.findings[0].repair, Some(Repair::OutOfService(_))), "{:?}", report.findings);
    assert!(copies[0].exists(), "what cannot be replaced is not removed");
    let report = bench.verify(true).await;
    assert_eq!((report.packages, report.findings.len()), (1, 0), "it does not count as a copy any more");

    std::fs::rename(&away, mirror.path()).unwrap();
    assert_eq!(bench.keep("greet").await, copies);
    assert_eq!(bench.verify(false).await.good, 2);
}

#[tokio::test]
async fn keys_and_policy_are_asked_again() {
    let Some(fixture) = fixture().await else { return };
    let bench = Bench::new(&fixture).await;
    let mut spec = rpm_spec(&[shown(&fixture.path("rpm"))]);
    spec.signatures = SignaturePolicy::OFF;
    bench.sync_updates(&spec).await;
    bench.keep("greet").await;
    assert_eq!(bench.verify(false).await.good, 2);

    // With another key for packages from now on.
    spec.signatures = SignaturePolicy { metadata: false, packages: true };
    spec.keys = vec![KeyFile { path: "other.asc".into(), fingerprint: None }];
    bench.sync_updates(&spec).await;
    let report = bench.verify(false).await;
    assert!(report.findings.iter().all(|f| matches!(f.fault, Fault::Refused(_))), "{:?}", report.findings);
    assert_eq!(report.findings.len(), 2);

    // With the right one, what nobody had verified is verified.
    spec.keys = vec![KeyFile { path: "key.asc".into(), fingerprint: None }];
    bench.sync_updates(&spec).await;
    assert_eq!(bench.verify(false).await.good, 2);
    let package = bench.store.find_packages(&super::support::scope(), "greet").await.unwrap().remove(0);
    let signature = package.local.unwrap().signature;
    assert!(matches!(signature, retrace_types::SignatureState::Package { .. }), "{signature}");
}

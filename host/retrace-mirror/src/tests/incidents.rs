//! Packages whose bytes change under their names: reported, not taken. Changed by the tools that would do it.

use std::{fs, path::Path, time::Duration};

use retrace_process::{Invocation, run};
use retrace_store::{Incident, IncidentKind, IndexedPackage};
use retrace_types::{Architecture, RepositoryLayout, RepositorySpec, SignaturePolicy};

use super::support::{Bench, Fixture, deb_spec, fixture, release, rpm_spec, scope, shown};
use crate::{MirrorError, Outcome, error::chain};

/// Runs a script with the fixture's keys in a folder.
async fn script(fixture: &Fixture, folder: &Path, text: &str) {
    let prelude = "set -euo pipefail\nsign() { gpg -q --batch --yes -u fixture@example.invalid \"$@\"; }\n\
        resign() { rpmsign --define '__gpg /usr/bin/gpg' --define \"_gpg_name $1\" --define \"_gpg_path $GNUPGHOME\" \
        --resign \"$2\" >/dev/null; }\n\
        metadata() { createrepo_c -q . && sign -abs -o repodata/repomd.xml.asc repodata/repomd.xml; }\n";
    let call = Invocation::new("bash")
        .args(["-c", &format!("{prelude}cd \"$1\"\n{text}\ngpgconf --kill all"), "script", shown(folder)])
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", folder.parent().unwrap())
        .env("GNUPGHOME", fixture.path("gnupg"))
        .env("LC_ALL", "C")
        .time_limit(Duration::from_secs(120));
    run(&call).await.unwrap();
}

/// Incidents of a sync that reads new metadata.
async fn sync(bench: &Bench, spec: &RepositorySpec) -> Vec<Incident> {
    let specs = std::slice::from_ref(spec);
    let mut report = bench.mirror.sync(&release(), Architecture::X86_64, specs, &()).await.unwrap();
    let report = report.repositories.remove(0);
    assert!(matches!(report.outcome, Outcome::Updated { .. }), "{:?}", report.outcome);
    report.incidents
}

async fn greet(bench: &Bench) -> IndexedPackage {
    let found = bench.store.find_packages(&scope(), "greet").await.unwrap();
    found.into_iter().find(|package| package.id.version == "1").unwrap()
}

/// The one incident; what was known is as it was, and served without the mirror.
async fn only(bench: &Bench, incidents: Vec<Incident>, known: &IndexedPackage) -> Incident {
    let [incident] = <[Incident; 1]>::try_from(incidents).unwrap();
    assert_eq!((&incident.package, incident.known.sha256), (&known.id.to_string(), known.sha256));
    assert_ne!(incident.offered.sha256, known.sha256);
    assert!(
        !bench.store.local_package_path(&incident.offered.sha256.unwrap()).unwrap().exists(),
        "the new one is not kept"
    );
    assert_eq!(greet(bench).await, *known);
    bench.mirror.fetch(known, &()).await.unwrap();
    assert_eq!(bench.store.incidents(known.repository).await.unwrap(), std::slice::from_ref(&incident));
    assert_eq!(bench.downloads(), [""; 0]);
    incident
}

#[tokio::test]
async fn a_package_that_was_only_signed_again_is_reported_as_such() {
    let Some(fixture) = fixture().await else { return };
    let bench = Bench::new(&fixture).await;
    let folder = bench.dir.path().join("rpm");
    fixture.copy("rpm", &folder);
    let spec = rpm_spec(&[shown(&folder)]);
    assert_eq!(sync(&bench, &spec).await, []);
    bench.mirror.fetch(&greet(&bench).await, &()).await.unwrap();
    let known = greet(&bench).await;

    script(&fixture, &folder, "resign other@example.invalid greet-1-1.x86_64.rpm; metadata").await;
    let incident = only(&bench, sync(&bench, &spec).await, &known).await;
    assert_eq!(incident.kind, IncidentKind::Resigned, "{incident}");
    assert!(incident.finding.as_ref().unwrap().contains("not in the keyring"), "{incident}");

    // It stays known as the same incident, and is not fetched again to be compared.
    script(&fixture, &folder, "sleep 1; metadata").await;
    let again = only(&bench, sync(&bench, &spec).await, &known).await;
    assert_eq!((again.kind, &again.finding, again.first_seen), (incident.kind, &incident.finding, incident.first_seen));
    assert!(again.last_seen > incident.last_seen);
}

#[tokio::test]
async fn a_package_with_another_content_is_no_update_though_its_signature_is_good() {
    let Some(fixture) = fixture().await else { return };
    let bench = Bench::new(&fixture).await;
    let folder = bench.dir.path().join("rpm");
    fixture.copy("rpm", &folder);
    let spec = rpm_spec(&[shown(&folder)]);
    sync(&bench, &spec).await;
    // Never fetched: there is nothing to compare with, and the index stays all the same.
    let known = greet(&bench).await;
    let rebuild = "mkdir -p ../build && cat >../build/greet.spec <<'SPEC'\nName: greet\nVersion: 1\nRelease: 1\n\
        Summary: other\nLicense: MIT\n%description\nother\n%install\nmkdir -p %{buildroot}/usr/bin\n\
        echo evil >%{buildroot}/usr/bin/greet\n%files\n/usr/bin/greet\nSPEC\n\
        rpmbuild -bb --quiet --define \"_topdir $PWD/../build\" ../build/greet.spec\n\
        cp ../build/RPMS/*/greet-1-1.x86_64.rpm .\nresign fixture@example.invalid greet-1-1.x86_64.rpm\nmetadata";
    script(&fixture, &folder, rebuild).await;
    let incidents = sync(&bench, &spec).await;
    assert_eq!(incidents.len(), 1);
    assert!(incidents[0].finding.as_ref().unwrap().contains("no copy"), "{}", incidents[0]);
    assert_eq!(greet(&bench).await, known);
    let id = fixture.id(1, "greet");
    assert!(bench.store.find_build_ids(None, std::slice::from_ref(&id)).await.unwrap().contains_key(&id));
    // The mirror has another file by now: it is not taken for the known one.
    let error = bench.mirror.fetch(&known, &()).await.unwrap_err();
    assert!(chain(&error).contains("greet-1-1.x86_64"), "{error}");

    // With a copy the comparison tells what differs.
    let other = Bench::new(&fixture).await;
    let pristine = other.dir.path().join("rpm");
    fixture.copy("rpm", &pristine);
    sync(&other, &rpm_spec(&[shown(&pristine)])).await;
    other.mirror.fetch(&greet(&other).await, &()).await.unwrap();
    let known = greet(&other).await;
    script(&fixture, &folder, "sleep 1; metadata").await;
    let incident = only(&other, sync(&other, &spec).await, &known).await;
    assert_eq!(incident.kind, IncidentKind::Changed);
    let finding = incident.finding.unwrap();
    assert!(finding.contains("another one; signed by"), "{finding}");
}

#[tokio::test]
async fn a_deb_that_was_built_again_under_its_version_is_an_incident() {
    let Some(fixture) = fixture().await else { return };
    let bench = Bench::new(&fixture).await;
    let folder = bench.dir.path().join("deb");
    fixture.copy("deb", &folder);
    let spec = deb_spec(&[shown(&folder)]);
    sync(&bench, &spec).await;
    bench.mirror.fetch(&greet(&bench).await, &()).await.unwrap();
    let known = greet(&bench).await;
    let rebuild = "dpkg-deb -R pool/greet_1-1_amd64.deb ../root && echo more >../root/usr/bin/more\n\
        dpkg-deb -Zxz --root-owner-group -b ../root pool >/dev/null\nsuite=dists/stable\n\
        apt-ftparchive packages pool >$suite/main/binary-amd64/Packages\n\
        xz -kf $suite/main/binary-amd64/Packages\nrm $suite/InRelease $suite/Release*\n\
        apt-ftparchive -o APT::FTPArchive::Release::Suite=stable -o APT::FTPArchive::Release::Codename=fixture \
        -o APT::FTPArchive::Release::Architectures=amd64 -o APT::FTPArchive::Release::Components=main release $suite >../Release\n\
        sign --clearsign -o $suite/InRelease ../Release";
    script(&fixture, &folder, rebuild).await;
    let incident = only(&bench, sync(&bench, &spec).await, &known).await;
    assert_eq!(incident.kind, IncidentKind::Changed);
    assert_eq!(incident.finding.as_deref(), Some("its content is another one"));
}

#[tokio::test]
async fn a_lost_copy_is_not_replaced_by_other_bytes_where_metadata_gives_no_digest() {
    let Some(fixture) = fixture().await else { return };
    let bench = Bench::new(&fixture).await;
    let folder = bench.dir.path().join("rpm");
    fixture.copy("rpm", &folder);
    fs::remove_dir_all(folder.join("repodata")).unwrap();
    let mut spec = rpm_spec(&[shown(&folder)]);
    spec.layout = RepositoryLayout::Directory;
    spec.signatures = SignaturePolicy { metadata: false, packages: true };
    sync(&bench, &spec).await;
    let copy = bench.mirror.fetch(&greet(&bench).await, &()).await.unwrap();
    let known = greet(&bench).await;
    assert_eq!((known.sha256, known.local.as_ref().unwrap().sha256), (None, copy.sha256()));

    fs::remove_file(copy.path()).unwrap();
    // rpmsign does nothing where the same key has signed already.
    let again = "for name in other fixture; do resign $name@example.invalid greet-1-1.x86_64.rpm; done";
    script(&fixture, &folder, again).await;
    let error = bench.mirror.fetch(&known, &()).await.unwrap_err();
    let MirrorError::AllMirrors { attempts, .. } = &error else { panic!("{error}") };
    let incidents = bench.store.incidents(known.repository).await.unwrap();
    match &attempts[0].1 {
        MirrorError::Changed { .. } => {
            assert_eq!(incidents.len(), 1);
            assert_eq!(incidents[0].known.sha256, Some(copy.sha256()));
            assert!(!bench.store.local_package_path(&incidents[0].offered.sha256.unwrap()).unwrap().exists());
        }
        // Signatures differ in size, and then that gives it away.
        error => assert!(matches!(error, MirrorError::SizeMismatch { .. }), "{error}"),
    }
    assert_eq!(bench.downloads(), [""; 0]);

    // The file as it was is taken again.
    fixture.copy("rpm", &folder);
    assert_eq!(bench.mirror.fetch(&known, &()).await.unwrap().sha256(), copy.sha256());
}

#[tokio::test]
async fn what_is_verified_is_told_in_the_report_and_with_each_package() {
    let Some(fixture) = fixture().await else { return };
    for (packages, metadata) in [(true, true), (true, false), (false, true), (false, false)] {
        let bench = Bench::new(&fixture).await;
        let mut spec = rpm_spec(&[shown(&fixture.path("rpm"))]);
        spec.signatures = SignaturePolicy { packages, metadata };
        let specs = [spec];
        let report = bench.mirror.sync(&release(), Architecture::X86_64, &specs, &()).await.unwrap();
        assert_eq!(report.repositories[0].verified, specs[0].signatures);
        let verified = bench.mirror.fetch(&greet(&bench).await, &()).await.unwrap();
        let state = verified.signature().to_string();
        let want = match (packages, metadata) {
            (true, _) => "signed by",
            (false, true) => "in metadata signed by",
            (false, false) => "NOT VERIFIED",
        };
        assert!(state.starts_with(want), "{packages} {metadata}: {state}");
        assert_eq!(&greet(&bench).await.local.unwrap().signature, verified.signature(), "it is told later, too");
    }
}

#[tokio::test]
async fn a_copy_that_nobody_verified_is_verified_once_that_is_wanted() {
    let Some(fixture) = fixture().await else { return };
    let bench = Bench::new(&fixture).await;
    let mut spec = rpm_spec(&[shown(&fixture.path("rpm"))]);
    spec.signatures = SignaturePolicy::OFF;
    sync(&bench, &spec).await;
    bench.mirror.fetch(&greet(&bench).await, &()).await.unwrap();
    spec.signatures.packages = true;
    sync(&bench, &spec).await;
    let verified = bench.mirror.fetch(&greet(&bench).await, &()).await.unwrap();
    assert!(verified.signature().to_string().starts_with("signed by"), "{}", verified.signature());

    let other = Bench::new(&fixture).await;
    spec.signatures = SignaturePolicy::OFF;
    sync(&other, &spec).await;
    other.mirror.fetch(&greet(&other).await, &()).await.unwrap();
    (spec.signatures.packages, spec.keys[0].path) = (true, "other.asc".into());
    sync(&other, &spec).await;
    let refused = other.mirror.fetch(&greet(&other).await, &()).await.unwrap_err();
    assert!(chain(&refused).contains("is signed by"), "{refused}");
}

#[tokio::test]
async fn a_key_that_is_not_known_is_named_with_its_folder() {
    let Some(fixture) = fixture().await else { return };
    let bench = Bench::new(&fixture).await;
    let mut spec = rpm_spec(&[shown(&fixture.path("rpm"))]);
    spec.keys[0].path = "other.asc".into();
    let error = bench.sync_error(&spec).await;
    let MirrorError::UnknownSigner { issuers, folder, .. } = &error else { panic!("{error}") };
    assert!(issuers.len() >= 16 && error.to_string().contains("--key"), "{error}");
    assert_eq!(folder, &fixture.path(""));

    spec.signatures.metadata = false;
    sync(&bench, &spec).await;
    let error = bench.mirror.fetch(&greet(&bench).await, &()).await.unwrap_err();
    let MirrorError::AllMirrors { attempts, .. } = &error else { panic!("{error}") };
    assert!(matches!(&attempts[0].1, MirrorError::UnknownSigner { issuers: again, .. } if again == issuers), "{error}");

    spec.keys[0].path = "distribution/missing.asc".into();
    spec.keys[0].fingerprint = Some("0123456789ABCDEF0123456789ABCDEF01234567".into());
    let text = chain(&bench.sync_error(&spec).await);
    let path = fixture.path("distribution/missing.asc");
    assert!(text.contains(shown(&path)) && text.contains("0123456789ABCDEF") && text.contains("README.md"), "{text}");
}

#[tokio::test]
async fn archives_are_left_out_where_the_operator_says_so() {
    let Some(fixture) = fixture().await else { return };
    let archive = super::server::Server::honest(&fixture.path("rpm")).await;
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("rpm")).unwrap();
    fixture.copy("rpm/repodata", &folder.path().join("rpm/repodata"));
    let mut spec = rpm_spec(&[shown(&folder.path().join("rpm"))]);
    spec.config = vec![("archive-koji".into(), archive.url.clone()), ("archive-snapshot".into(), archive.url.clone())];
    let own = crate::with_own_mirrors(&spec, spec.mirrors.clone());
    for (spec, archives, asked) in [(&own, true, false), (&spec, false, false), (&spec, true, true)] {
        let bench = Bench::with(&fixture, |options| options.archives = archives).await;
        sync(&bench, spec).await;
        bench.mirror.fetch(&greet(&bench).await, &()).await.unwrap_err();
        assert_eq!(!archive.requests().is_empty(), asked);
    }
}

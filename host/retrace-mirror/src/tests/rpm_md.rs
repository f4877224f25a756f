use std::sync::Mutex;

use retrace_process::{Invocation, run};
use retrace_types::{KeyFile, RepositoryLayout, Role, SignaturePolicy, SignatureState};

use super::{
    server::Server,
    support::{Bench, fixture, rpm_spec, scope, shown},
};
use crate::{MirrorError, MirrorOptions, Outcome, Progress, Rule};

#[tokio::test]
async fn metadata_alone_fills_the_index_and_no_news_cost_one_request() {
    let Some(fixture) = fixture().await else { return };
    let server = Server::honest(&fixture.path("rpm")).await;
    let bench = Bench::new(&fixture).await;
    let spec = rpm_spec(&[&server.url]);
    let (packages, build_ids) = bench.sync_updates(&spec).await;
    assert_eq!((packages, build_ids), (6, 10), "2 versions of greet, -libs, -debuginfo");
    assert_eq!(server.hits(".rpm"), 0);
    assert_eq!(bench.downloads(), [""; 0]);

    let id = fixture.id(2, "greet");
    let found = bench.store.find_build_ids(Some(&scope()), std::slice::from_ref(&id)).await.unwrap();
    let mut names: Vec<_> = found[&id].iter().map(|p| (p.role, p.package.id.to_string())).collect();
    names.sort();
    let want = [(Role::Executable, "greet-2-1.x86_64"), (Role::Debuginfo, "greet-debuginfo-2-1.x86_64")];
    assert_eq!(names, want.map(|(role, name)| (role, name.to_owned())));

    let before = server.requests().len();
    assert!(matches!(bench.sync(&spec).await, Outcome::Unchanged));
    assert_eq!(server.requests().len() - before, 1);
}

#[tokio::test]
async fn a_package_is_fetched_once_verified_and_kept() {
    #[derive(Default)]
    struct Steps(Mutex<Vec<String>>);
    impl Progress for Steps {
        fn step(&self, message: &str) {
            self.0.lock().unwrap().push(message.to_owned());
        }
    }

    let Some(fixture) = fixture().await else { return };
    let server = Server::honest(&fixture.path("rpm")).await;
    let bench = Bench::new(&fixture).await;
    bench.sync_updates(&rpm_spec(&[&server.url])).await;
    let package = bench.store.find_packages(&scope(), "greet-libs").await.unwrap().remove(0);
    let steps = Steps::default();
    let (a, b, c) = tokio::join!(
        bench.mirror.fetch(&package, &steps),
        bench.mirror.fetch(&package, &steps),
        bench.mirror.fetch(&package, &steps)
    );
    for verified in [a, b, c] {
        let verified = verified.unwrap();
        assert!(matches!(verified.signature(), SignatureState::Package { .. }), "{:?}", verified.signature());
        assert_eq!(Some(verified.sha256()), package.sha256);
    }
    assert_eq!(server.hits(".rpm"), 1);
    assert_eq!(steps.0.lock().unwrap().len(), 1);
    assert_eq!(bench.downloads(), [""; 0]);

    let indexed = bench.store.find_packages(&scope(), "greet-libs").await.unwrap().remove(0);
    assert!(indexed.local.is_some());
    drop(server);
    bench.mirror.fetch(&indexed, &()).await.unwrap();
    // Whoever still holds the old row does not need the server either.
    bench.mirror.fetch(&package, &()).await.unwrap();
}

#[tokio::test]
async fn a_damaged_copy_in_the_store_is_fetched_again() {
    let Some(fixture) = fixture().await else { return };
    let bench = Bench::new(&fixture).await;
    bench.sync_updates(&rpm_spec(&[shown(&fixture.path("rpm"))])).await;
    let package = bench.store.find_packages(&scope(), "greet").await.unwrap().remove(0);
    let path = bench.mirror.fetch(&package, &()).await.unwrap().path().to_owned();
    let indexed = bench.store.find_packages(&scope(), "greet").await.unwrap().remove(0);
    let _ = std::fs::remove_file(&path);
    std::fs::write(&path, b"damaged").unwrap();
    assert_eq!(bench.mirror.fetch(&indexed, &()).await.unwrap().size_bytes(), indexed.size_bytes.unwrap());
}

#[tokio::test]
async fn metadata_that_is_not_signed_by_a_known_key_is_refused() {
    let Some(fixture) = fixture().await else { return };
    let dir = tempfile::tempdir().unwrap();
    fixture.copy("rpm", dir.path());
    let spec = rpm_spec(&[shown(dir.path())]);
    let bench = Bench::new(&fixture).await;

    let mut other = spec.clone();
    other.keys = vec![KeyFile { path: "other.asc".into(), fingerprint: None }];
    assert!(matches!(bench.sync_error(&other).await, MirrorError::UnknownSigner { .. }));

    std::fs::remove_file(dir.path().join("repodata/repomd.xml.asc")).unwrap();
    assert!(matches!(bench.sync_error(&spec).await, MirrorError::Unsigned { .. }));
    assert!(bench.store.find_packages(&scope(), "greet").await.unwrap().is_empty());

    // Many distributions sign packages only.
    let mut packages_only = spec.clone();
    packages_only.signatures.metadata = false;
    bench.sync_updates(&packages_only).await;
}

#[tokio::test]
async fn packages_that_are_not_signed_by_a_known_key_are_refused() {
    let Some(fixture) = fixture().await else { return };
    let bench = Bench::new(&fixture).await;
    let mut spec = rpm_spec(&[shown(&fixture.path("rpm"))]);
    spec.signatures = SignaturePolicy { metadata: false, packages: true };
    spec.keys = vec![KeyFile { path: "other.asc".into(), fingerprint: None }];
    bench.sync_updates(&spec).await;
    let package = bench.store.find_packages(&scope(), "greet").await.unwrap().remove(0);
    let error = bench.mirror.fetch(&package, &()).await.unwrap_err();
    let MirrorError::AllMirrors { attempts, .. } = &error else { panic!("{error}") };
    assert!(matches!(attempts[0].1, MirrorError::UnknownSigner { .. }), "{error}");
    assert_eq!(bench.downloads(), [""; 0]);

    spec.signatures = SignaturePolicy::OFF;
    bench.sync_updates(&spec).await;
    let verified = bench.mirror.fetch(&package, &()).await.unwrap();
    assert_eq!(*verified.signature(), SignatureState::Off);
}

#[tokio::test]
async fn keys_are_checked_before_anything_is_asked_for() {
    let Some(fixture) = fixture().await else { return };
    let bench = Bench::new(&fixture).await;
    let with_key = |path: &str, fingerprint: Option<&str>| {
        let mut spec = rpm_spec(&["/nowhere"]);
        spec.keys = vec![KeyFile { path: path.into(), fingerprint: fingerprint.map(str::to_owned) }];
        spec
    };
    for path in ["../key.asc", "/etc/passwd", "a/../../key.asc", ""] {
        let error = bench.sync_error(&with_key(path, None)).await;
        assert!(matches!(error, MirrorError::KeyOutside { .. }), "{path}: {error}");
    }
    assert!(matches!(bench.sync_error(&with_key("none.asc", None)).await, MirrorError::MissingKey { .. }));
    let pinned = "0".repeat(40);
    assert!(matches!(bench.sync_error(&with_key("key.asc", Some(&pinned))).await, MirrorError::WrongKey { .. }));
    let mut keyless = rpm_spec(&["/nowhere"]);
    keyless.keys.clear();
    assert!(matches!(bench.sync_error(&keyless).await, MirrorError::NoKey { .. }));

    let key = fixture.path("key.asc");
    let mut spec = with_key("none.asc", None);
    spec.mirrors = vec![shown(&fixture.path("rpm")).to_owned()];
    let rule = |repository: &str| Rule {
        repository: Some(repository.parse().unwrap()),
        keys: Some(vec![key.clone()]),
        ..Rule::default()
    };
    for (for_all, rules) in [(vec![key.clone()], Vec::new()), (Vec::new(), vec![rule(&spec.id)])] {
        let set = |options: &mut MirrorOptions| (options.operator_keys, options.rules) = (for_all, rules);
        Bench::with(&fixture, set).await.sync_updates(&spec).await;
    }
    let other = Bench::with(&fixture, |options| options.rules = vec![rule("another")]).await;
    assert!(matches!(other.sync_error(&spec).await, MirrorError::MissingKey { .. }));
}

#[tokio::test]
async fn a_folder_without_metadata_is_indexed_by_headers() {
    let Some(fixture) = fixture().await else { return };
    let bench = Bench::new(&fixture).await;
    let mut spec = rpm_spec(&[shown(&fixture.path("rpm"))]);
    spec.layout = RepositoryLayout::Directory;
    assert!(matches!(bench.sync_error(&spec).await, MirrorError::PolicyImpossible { .. }));
    spec.signatures.metadata = false;
    assert_eq!(bench.sync_updates(&spec).await, (6, 10));
    assert!(matches!(bench.sync(&spec).await, Outcome::Unchanged));
    let package = bench.store.find_packages(&scope(), "greet").await.unwrap().remove(0);
    let verified = bench.mirror.fetch(&package, &()).await.unwrap();
    assert!(matches!(verified.signature(), SignatureState::Package { .. }));

    spec.mirrors = vec!["http://127.0.0.1:9/".into()];
    assert!(matches!(bench.sync_error(&spec).await, MirrorError::Http { .. }));
    spec.layout = RepositoryLayout::Other("ostree".into());
    assert!(matches!(bench.sync_error(&spec).await, MirrorError::UnsupportedLayout { .. }));
}

#[tokio::test]
async fn metadata_is_read_in_every_compression() {
    let Some(fixture) = fixture().await else { return };
    for (kind, end) in [("gz", ".gz"), ("xz", ".xz"), ("zst", ".zst"), ("bz2", ".bz2"), ("none", ".xml")] {
        let dir = tempfile::tempdir().unwrap();
        fixture.copy("rpm", dir.path());
        std::fs::remove_dir_all(dir.path().join("repodata")).unwrap();
        let call = Invocation::new("bash").env("PATH", std::env::var_os("PATH").unwrap());
        // Not every createrepo_c knows zstd, and none leaves metadata uncompressed: that is done by hand.
        let script = r#"
            set -euo pipefail; cd "$1"
            if [ "$2" != none ] && [ "$2" != zst ]; then
                createrepo_c -q --general-compress-type="$2" --no-database .
            else
                createrepo_c -q --no-database . && cd repodata
                { echo '<repomd>'
                  for kind in primary filelists; do
                      file=$kind.xml
                      zcat *-$kind.xml.gz >$file
                      [ "$2" = none ] || { zstd -q $file; file=$file.zst; }
                      printf '<data type="%s"><checksum type="sha256">%s</checksum><location href="repodata/%s"/></data>' \
                          $kind $(sha256sum <$file | cut -d' ' -f1) $file
                  done
                  echo '</repomd>'; } >repomd.xml
            fi"#;
        run(&call.args(["-c", script, "-"]).arg(dir.path()).arg(kind)).await.unwrap();
        let server = Server::honest(dir.path()).await;
        let mut spec = rpm_spec(&[&server.url]);
        spec.signatures.metadata = false;
        assert_eq!(Bench::new(&fixture).await.sync_updates(&spec).await, (6, 10), "{kind}");
        let asked = server.requests();
        assert!(asked.iter().skip(1).all(|request| request.path.ends_with(end)), "{kind}: {asked:?}");
    }
}

#[tokio::test]
async fn zchunk_beside_another_form_is_noted() {
    let Some(fixture) = fixture().await else { return };
    let dir = tempfile::tempdir().unwrap();
    fixture.copy("rpm", dir.path());
    let path = dir.path().join("repodata/repomd.xml");
    let text = std::fs::read_to_string(&path).unwrap();
    let zchunk =
        r#"<data type="primary_zck"><checksum type="sha256">00</checksum><location href="x.zck"/></data></repomd>"#;
    std::fs::write(&path, text.replace("</repomd>", zchunk)).unwrap();
    let mut spec = rpm_spec(&[shown(dir.path())]);
    spec.signatures.metadata = false;
    let bench = Bench::new(&fixture).await;
    let architecture = retrace_types::Architecture::X86_64;
    let report = bench.mirror.sync(&super::support::release(), architecture, &[spec], &()).await.unwrap();
    let [repository] = report.repositories.as_slice() else { panic!("{report:?}") };
    assert!(matches!(repository.outcome, Outcome::Updated { .. }), "{repository:?}");
    assert_eq!(repository.notes, ["primary also as zchunk, which is not used"]);
}

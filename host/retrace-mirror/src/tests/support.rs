//! The fixture, made once for all tests that run at a time.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Weak},
    time::Duration,
};

use retrace_process::{Invocation, find_program, run};
use retrace_store::{Scope, Store};
use retrace_types::{
    Architecture, BuildId, KeyFile, Release, RepositoryContent, RepositoryLayout, RepositorySpec, SignaturePolicy,
};
use tempfile::TempDir;
use tokio::sync::Mutex;

use crate::{Mirror, MirrorError, MirrorOptions, Outcome, Rule};

const TOOLS: [&str; 8] = ["gcc", "objcopy", "rpmbuild", "rpmsign", "createrepo_c", "gpg", "apt-ftparchive", "dpkg-deb"];

/// Real repositories.
pub(super) struct Fixture {
    dir: TempDir,
}

static MADE: Mutex<Weak<Fixture>> = Mutex::const_new(Weak::new());

/// The fixture; none if a tool is missing and the environment does not demand it.
pub(super) async fn fixture() -> Option<Arc<Fixture>> {
    let mut made = MADE.lock().await;
    if let Some(fixture) = made.upgrade() {
        return Some(fixture);
    }
    for tool in TOOLS {
        if find_program(tool).await.is_none() {
            assert!(std::env::var_os("RETRACE_REQUIRE_TOOLS").is_none_or(|value| value != "1"), "{tool} is missing");
            println!("skipped: {tool} is missing");
            return None;
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let script = include_str!("fixture.sh");
    let call = Invocation::new("bash")
        .args(["-c", script, "fixture", dir.path().to_str().unwrap()])
        .env("PATH", std::env::var_os("PATH").unwrap())
        .time_limit(Duration::from_secs(300));
    run(&call).await.unwrap();
    let fixture = Arc::new(Fixture { dir });
    *made = Arc::downgrade(&fixture);
    Some(fixture)
}

impl Fixture {
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Build-id of a file in one of its two versions.
    pub(super) fn id(&self, version: u8, file: &str) -> BuildId {
        let text = std::fs::read_to_string(self.path(&format!("out/{version}/{file}.id"))).unwrap();
        text.trim().parse().unwrap()
    }

    /// A copy of a folder, to be changed.
    pub(super) fn copy(&self, name: &str, to: &Path) {
        copy_tree(&self.path(name), to);
    }
}

fn copy_tree(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A mirror with an empty store.
pub(super) struct Bench {
    pub(super) store: Store,
    pub(super) mirror: Mirror,
    pub(super) dir: TempDir,
}

impl Bench {
    pub(super) async fn new(fixture: &Fixture) -> Self {
        Self::with(fixture, |_| {}).await
    }

    pub(super) async fn with(fixture: &Fixture, change: impl FnOnce(&mut MirrorOptions)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).await.unwrap();
        let mut options = MirrorOptions {
            keys_dir: fixture.dir.path().to_owned(),
            download_dir: dir.path().join("downloads"),
            retry_pause: Duration::from_millis(5),
            settle_pause: Duration::from_millis(5),
            idle_timeout: Duration::from_secs(2),
            ..MirrorOptions::default()
        };
        change(&mut options);
        let mirror = Mirror::new(store.clone(), options).unwrap();
        Self { store, mirror, dir }
    }

    /// The same mirror under these rules.
    pub(super) fn ruled(&self, rules: &[Rule]) -> Mirror {
        let options = MirrorOptions { rules: rules.to_vec(), ..self.mirror.inner.transfer.options().clone() };
        Mirror::new(self.store.clone(), options).unwrap()
    }

    pub(super) async fn sync(&self, spec: &RepositorySpec) -> Outcome {
        let specs = std::slice::from_ref(spec);
        let mut report = self.mirror.sync(&release(), Architecture::X86_64, specs, &()).await.unwrap();
        report.repositories.remove(0).outcome
    }

    /// The error of a sync that must fail.
    pub(super) async fn sync_error(&self, spec: &RepositorySpec) -> MirrorError {
        match self.sync(spec).await {
            Outcome::Failed(error) => error,
            outcome => panic!("it should have failed: {outcome:?}"),
        }
    }

    pub(super) async fn sync_updates(&self, spec: &RepositorySpec) -> (u64, u64) {
        match self.sync(spec).await {
            Outcome::Updated { packages, build_ids } => (packages, build_ids),
            Outcome::Failed(error) => panic!("{}", crate::error::chain(&error)),
            Outcome::Unchanged => panic!("it should have changed"),
        }
    }

    /// Names of what lies in the download folder.
    pub(super) fn downloads(&self) -> Vec<String> {
        let list = |folder: &str| std::fs::read_dir(self.dir.path().join("downloads").join(folder)).unwrap();
        let entries = list("partial").chain(list("complete"));
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

pub(super) fn release() -> Release {
    Release { id: "fixture-1".parse().unwrap(), minor: None, codename: None, rolling: false }
}

pub(super) fn scope() -> Scope {
    Scope { release: release().id, architecture: Architecture::X86_64 }
}

pub(super) fn rpm_spec(mirrors: &[&str]) -> RepositorySpec {
    spec(RepositoryLayout::RpmMd, mirrors)
}

pub(super) fn deb_spec(mirrors: &[&str]) -> RepositorySpec {
    spec(RepositoryLayout::DebDists { suite: "stable".into(), components: vec!["main".into()] }, mirrors)
}

fn spec(layout: RepositoryLayout, mirrors: &[&str]) -> RepositorySpec {
    RepositorySpec {
        id: "base".into(),
        title: "Fixture".into(),
        layout,
        content: RepositoryContent::Packages,
        mirrors: mirrors.iter().map(|mirror| (*mirror).to_owned()).collect(),
        signatures: SignaturePolicy { metadata: true, packages: true },
        keys: vec![KeyFile { path: "key.asc".into(), fingerprint: None }],
        config: Vec::new(),
    }
}

pub(super) fn shown(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// An rpm-md repository whose list of packages is 64 MiB of blanks, packed; gives the text of its `repomd.xml`.
pub(super) fn make_bomb(dir: &Path) -> String {
    use std::io::Write as _;
    std::fs::create_dir(dir.join("repodata")).unwrap();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(b"<metadata>").unwrap();
    for _ in 0..64 {
        encoder.write_all(&[b' '; 1 << 20]).unwrap();
    }
    let bomb = encoder.finish().unwrap();
    std::fs::write(dir.join("repodata/p.xml.gz"), &bomb).unwrap();
    let repomd = format!(
        r#"<repomd><data type="primary"><checksum type="sha256">{}</checksum><location href="repodata/p.xml.gz"/>
        <size>{}</size></data></repomd>"#,
        crate::checksum::sha256(&bomb),
        bomb.len()
    );
    std::fs::write(dir.join("repodata/repomd.xml"), &repomd).unwrap();
    repomd
}

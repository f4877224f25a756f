//! apt and dpkg on the Debian side.

use std::{
    fs,
    path::{Path, PathBuf},
};

use retrace_mirror::KEY_FILE;
use retrace_tests::{DebianFixture, Lie, MirrorServer, debian};

use super::{Operator, can_install, files, manual, output, refusal, text};

/// An apt with folders of its own, and an empty system that dpkg installs into.
struct Apt {
    dir: tempfile::TempDir,
}

impl Apt {
    /// With the repository of the tree, verified with this key.
    fn new(fixture: &DebianFixture, tree: &str, key: &Path) -> Self {
        Self::one_line(fixture, tree, &format!("[signed-by={}]", text(key)))
    }

    /// With the repository of the tree as a line with these options.
    fn one_line(fixture: &DebianFixture, tree: &str, options: &str) -> Self {
        let DebianFixture { codename, version, .. } = fixture;
        let arch = std::env::consts::ARCH;
        Self::with("sources.list", &format!("deb {options} {tree}debian/{version}/{arch}/main {codename} main\n"))
    }

    fn with(file: &str, source: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        for name in [
            "etc/apt/apt.conf.d",
            "etc/apt/preferences.d",
            "etc/apt/sources.list.d",
            "var/lib/dpkg/updates",
            "var/lib/dpkg/info",
            "var/lib/apt/lists/partial",
            "var/cache/apt/archives/partial",
            "var/log/apt",
        ] {
            fs::create_dir_all(path(name)).unwrap();
        }
        fs::write(path("var/lib/dpkg/status"), "").unwrap();
        fs::write(path("etc/apt").join(file), source).unwrap();
        Self { dir }
    }

    fn arguments(&self, command: &[&str]) -> Vec<String> {
        let dir = text(self.dir.path());
        let mut arguments: Vec<String> = [
            "-y".to_owned(),
            "-o".to_owned(),
            format!("Dir={dir}"),
            "-o".to_owned(),
            format!("Dir::State::status={dir}/var/lib/dpkg/status"),
            "-o".to_owned(),
            format!("DPkg::Options::=--root={dir}"),
            "-o".to_owned(),
            "DPkg::Options::=--force-script-chrootless".to_owned(),
            "-o".to_owned(),
            "APT::Sandbox::User=root".to_owned(),
            "-o".to_owned(),
            "Acquire::Languages=none".to_owned(),
            "-o".to_owned(),
            "APT::Update::Error-Mode=any".to_owned(),
        ]
        .to_vec();
        arguments.extend(command.iter().map(|argument| (*argument).to_owned()));
        arguments
    }

    #[track_caller]
    fn get(&self, command: &[&str]) -> String {
        output("apt-get", self.arguments(command))
    }
}

fn published() -> Option<(&'static DebianFixture, Operator)> {
    if !can_install(&["apt-get", "apt-cache", "dpkg", "gpgv"]) {
        return None;
    }
    let fixture = debian()?;
    let operator = Operator::debian(fixture)?;
    operator.published(&[]);
    Some((fixture, operator))
}

#[test]
fn apt_installs_from_the_tree_by_file_and_by_http() {
    let Some((fixture, operator)) = published() else { return };
    let key = operator.dir().join(KEY_FILE);
    let server = MirrorServer::start(operator.dir());
    for tree in [format!("file:{}/", text(&operator.dir())), server.url().to_owned()] {
        let apt = Apt::new(fixture, &tree, &key);
        apt.get(&["update"]);
        apt.get(&["install", "gcc-12-base"]);
        let root = apt.dir.path();
        let status = output("dpkg-query", ["--admindir", text(&root.join("var/lib/dpkg")), "-W", "gcc-12-base"]);
        assert!(status.starts_with("gcc-12-base"), "{status}");
        assert!(root.join("usr/share/doc/gcc-12-base").is_dir());
        // The whole program with all it depends on, none of it from elsewhere.
        apt.get(&["install", "--download-only", "graphicsmagick"]);
        if !tree.starts_with("file:") {
            let archives = files(&root.join("var/cache/apt/archives"), "deb");
            assert!(archives.len() > 20, "{archives:?}");
            assert!(server.requests().iter().any(|request| request.path.contains("/by-hash/SHA256/")));
        }
    }
}

#[test]
fn the_index_is_the_one_that_apt_ftparchive_makes() {
    let Some((fixture, operator)) = published() else { return };
    let suite = operator.dir().join(format!("debian/{}/{}/main/dists", fixture.version, std::env::consts::ARCH));
    let suite = suite.join(&fixture.codename);
    let folder = suite.join("main").join(format!("binary-{}", output("dpkg", ["--print-architecture"]).trim()));
    let ours = paragraphs(&fs::read_to_string(folder.join("Packages")).unwrap());
    let upstream = output("apt-ftparchive", ["packages", text(&fixture.repository.join("pool"))]);
    let upstream = paragraphs(&upstream);
    assert_eq!(ours.len(), files(&fixture.repository.join("pool"), "deb").len());
    for (package, fields) in &upstream {
        // Ours has another place, and fewer digests.
        let drop = |fields: &Vec<String>| {
            let ours = ["Filename:", "MD5sum:", "SHA1:", "SHA512:", "Description-md5:"];
            let mut kept: Vec<_> =
                fields.iter().filter(|field| !ours.iter().any(|name| field.starts_with(name))).collect();
            kept.sort();
            kept.into_iter().cloned().collect::<Vec<_>>()
        };
        assert_eq!(drop(&ours[package]), drop(fields), "{package}");
    }
    let keyring = operator.cli.path("keyring.gpg");
    output("gpg", ["-q", "--dearmor", "-o", text(&keyring), text(&operator.dir().join(KEY_FILE))]);
    output("gpgv", ["-q", "--keyring", text(&keyring), text(&suite.join("InRelease"))]);
    output("gpgv", ["-q", "--keyring", text(&keyring), text(&suite.join("Release.gpg")), text(&suite.join("Release"))]);
}

/// Fields of each package.
fn paragraphs(text: &str) -> std::collections::BTreeMap<String, Vec<String>> {
    let read = |paragraph: &str| {
        let mut fields: Vec<String> = Vec::new();
        for line in paragraph.lines() {
            match fields.last_mut() {
                Some(field) if line.starts_with(' ') => *field = format!("{field}\n{line}"),
                _ => fields.push(line.trim_end().to_owned()),
            }
        }
        (fields.iter().find(|field| field.starts_with("Package:")).unwrap().clone(), fields)
    };
    text.split("\n\n").filter(|paragraph| !paragraph.trim().is_empty()).map(read).collect()
}

#[test]
fn apt_refuses_another_key_and_changed_files() {
    let Some((fixture, operator)) = published() else { return };
    let key = operator.dir().join(KEY_FILE);
    let tree = format!("file:{}/", text(&operator.dir()));
    let said = refusal("apt-get", Apt::new(fixture, &tree, &fixture.key).arguments(&["update"]));
    assert!(said.contains("NO_PUBKEY") || said.contains("not signed") || said.contains("public key"), "{said}");

    let server = MirrorServer::start(operator.dir());
    let package: PathBuf =
        files(&operator.dir(), "deb").into_iter().find(|path| text(path).contains("gcc-12-base")).unwrap();
    server.lie(package.file_name().unwrap().to_str().unwrap(), Lie::Corrupt);
    let apt = Apt::new(fixture, server.url(), &key);
    apt.get(&["update"]);
    let said = refusal("apt-get", apt.arguments(&["install", "gcc-12-base"]));
    assert!(said.contains("Hash Sum mismatch"), "{said}");
}

#[test]
fn a_tree_without_a_key_installs_where_that_is_said() {
    let Some((fixture, operator)) = published() else { return };
    operator.publish_unsigned().expect_code(0);
    let tree = format!("file:{}/", text(&operator.dir()));
    let apt = Apt::one_line(fixture, &tree, "[trusted=yes]");
    apt.get(&["update"]);
    apt.get(&["install", "gcc-12-base"]);
    assert!(apt.dir.path().join("usr/share/doc/gcc-12-base").is_dir());
    let key = operator.dir().join(KEY_FILE);
    let said = refusal("apt-get", Apt::new(fixture, &tree, &key).arguments(&["update"]));
    assert!(said.contains("not signed") || said.contains("no longer signed"), "{said}");
}

/// What `docs/tree.md` has for apt.
#[test]
fn the_source_of_the_manual_installs() {
    let Some((fixture, operator)) = published() else { return };
    let server = MirrorServer::start(operator.dir());
    let source = manual("deb822").replace("http://mirror.acme.example/", server.url());
    let source =
        source.replace("bookworm", &fixture.codename).replace("debian/12/", &format!("debian/{}/", fixture.version));
    let source = source.replace("x86_64", std::env::consts::ARCH);
    let source = source.replace("/etc/apt/keyrings/retrace-tree.asc", text(&operator.dir().join(KEY_FILE)));
    let apt = Apt::with("sources.list.d/retrace.sources", &source);
    apt.get(&["update"]);
    apt.get(&["install", "gcc-12-base"]);
    assert!(apt.dir.path().join("usr/share/doc/gcc-12-base").is_dir());
}

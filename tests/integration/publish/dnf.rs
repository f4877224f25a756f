//! dnf and createrepo_c on the rpm-md side.

use std::{collections::BTreeSet, fs, path::Path};

use retrace_mirror::KEY_FILE;
use retrace_tests::{Lie, MirrorServer, RpmFixture, checkout, rpm};

use super::{Operator, can_install, checked, files, manual, output, refusal, text};
use crate::view::fedora;

/// A folder with the configuration of dnf, and a system that it installs into.
struct Dnf {
    dir: tempfile::TempDir,
}

impl Dnf {
    /// With the two repositories of the tree, and the keys of the operator and of the packages.
    fn new(fixture: &RpmFixture, tree_url: &str) -> Self {
        let keys = format!("repo_gpgcheck=1\ngpgkey={tree_url}{KEY_FILE} file://{}", fixture.key().display());
        Self::with(tree_url, &keys)
    }

    /// With the two repositories of the tree, and further lines for each.
    fn with(tree_url: &str, lines: &str) -> Self {
        let arch = std::env::consts::ARCH;
        let section = |repository| {
            format!(
                "[{repository}]\nname={repository}\nbaseurl={tree_url}fedora/40/{arch}/{repository}\ngpgcheck=1\n{lines}\n"
            )
        };
        Self::configured(&["releases", "releases-debuginfo"].map(section).concat())
    }

    fn configured(repositories: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["repos", "log"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        fs::write(dir.path().join("repos/retrace.repo"), repositories).unwrap();
        Self { dir }
    }

    /// Arguments in front of a command.
    fn arguments<'a>(&self, command: &[&'a str]) -> Vec<std::borrow::Cow<'a, str>> {
        let dir = text(self.dir.path());
        let mut arguments: Vec<std::borrow::Cow<'a, str>> = [
            "-y".to_owned(),
            "--disableplugin=*".to_owned(),
            "--releasever=40".to_owned(),
            format!("--installroot={dir}/root"),
            format!("--setopt=reposdir={dir}/repos"),
            format!("--setopt=cachedir={dir}/cache"),
            format!("--setopt=logdir={dir}/log"),
            format!("--setopt=persistdir={dir}/persist"),
            "--setopt=retries=1".to_owned(),
            "--setopt=install_weak_deps=0".to_owned(),
        ]
        .map(Into::into)
        .to_vec();
        arguments.extend(command.iter().map(|argument| (*argument).into()));
        arguments
    }

    #[track_caller]
    fn run(&self, command: &[&str]) -> String {
        let arguments = self.arguments(command);
        output("dnf", arguments.iter().map(AsRef::<str>::as_ref))
    }

    #[track_caller]
    fn fail(&self, command: &[&str]) -> String {
        let arguments = self.arguments(command);
        refusal("dnf", arguments.iter().map(AsRef::<str>::as_ref))
    }

    fn installed(&self) -> BTreeSet<String> {
        let root = self.dir.path().join("root");
        let list = output("rpm", ["--root", text(&root), "-qa", "--qf", "%{name}-%{version}\n"]);
        list.lines().map(str::to_owned).collect()
    }
}

/// The RPM distribution, mirrored; none where dnf cannot install.
fn mirrored() -> Option<(&'static RpmFixture, Operator)> {
    if !can_install(&["dnf", "rpm", "gpg"]) {
        return None;
    }
    let fixture = rpm()?;
    Some((fixture, Operator::rpm(fixture)?))
}

#[test]
fn dnf_installs_old_and_new_versions_with_all_signatures_checked() {
    let Some((fixture, operator)) = mirrored() else { return };
    operator.published(&["fedora-40"]);
    let server = MirrorServer::start(operator.dir());
    let dnf = Dnf::new(fixture, server.url());
    dnf.run(&["install", "will-crash-1.0"]);
    let installed = dnf.installed();
    for package in ["will-crash-1.0", "will-crash-libs-1.0", "glibc-2.36"] {
        assert!(installed.contains(package), "{package}: {installed:?}");
    }
    assert!(dnf.dir.path().join("root/usr/bin/will-crash").is_file());
    dnf.run(&["upgrade", "will-crash"]);
    assert!(dnf.installed().contains("will-crash-1.1"));
    dnf.run(&["downgrade", "will-crash", "will-crash-libs"]);
    assert!(dnf.installed().contains("will-crash-1.0"));
    let debuginfo =
        dnf.run(&["-q", "repoquery", "--qf", "%{name}-%{version}", "will-crash-debuginfo", "--showduplicates"]);
    assert_eq!(debuginfo.lines().collect::<Vec<_>>(), ["will-crash-debuginfo-1.0", "will-crash-debuginfo-1.1"]);
    // By a path that only the file list has.
    let owner = dnf.run(&["-q", "repoquery", "--qf", "%{name}", "--file", "/usr/lib64/libwillcrash.so.1"]);
    assert_eq!(owner.trim(), "will-crash-libs");

    // By file, without a server.
    let dnf = Dnf::new(fixture, &format!("file://{}/", text(&operator.dir())));
    dnf.run(&["install", "will-crash", "will-crash-debuginfo"]);
    assert!(dnf.installed().contains("will-crash-debuginfo-1.1"));
}

#[test]
fn what_upstream_has_dropped_stays_installable() {
    let Some((fixture, operator)) = mirrored() else { return };
    if !can_install(&["createrepo_c"]) {
        return;
    }
    operator.published(&[]);
    let upstream = operator.cli.path("upstream");
    fs::create_dir(&upstream).unwrap();
    for package in files(&fixture.repository("base"), "rpm") {
        let name = package.file_name().unwrap();
        if !name.to_str().unwrap().contains("-1.0-1") {
            fs::copy(&package, upstream.join(name)).unwrap();
        }
    }
    output("createrepo_c", ["-q", text(&upstream)]);
    let mirrors = fedora(&upstream, &fixture.repository("debuginfo"));
    operator.cli.sync(["fedora", "40"], &mirrors, &[fixture.key()]).expect_code(0);
    operator.published(&[]);
    let dnf = Dnf::new(fixture, &format!("file://{}/", text(&operator.dir())));
    dnf.run(&["install", "will-crash-1.0", "will-crash-debuginfo-1.0"]);
    assert!(dnf.installed().contains("will-crash-1.0"));
}

#[test]
fn dnf_refuses_a_tree_that_somebody_changed() {
    let Some((fixture, operator)) = mirrored() else { return };
    operator.published(&[]);
    let server = MirrorServer::start(operator.dir());
    let install = |dnf: Dnf, want: &str| {
        let said = dnf.fail(&["install", "will-crash"]);
        assert!(said.contains(want), "{want}: {said}");
    };
    for (name, lie, want) in [
        ("repomd.xml".to_owned(), Lie::Corrupt, "repomd.xml"),
        ("repomd.xml.asc".to_owned(), Lie::Status(404), "repomd.xml.asc"),
        ("primary.xml.gz".to_owned(), Lie::Corrupt, "checksum"),
        (format!("will-crash-1.1-1.fc40.{}.rpm", std::env::consts::ARCH), Lie::Corrupt, "checksum"),
    ] {
        server.lie(&name, lie);
        install(Dnf::new(fixture, server.url()), want);
        server.be_honest();
    }
    // Each key is needed: the operator's for the metadata, the distribution's for the packages.
    let (tree_key, key) = (format!("{}{KEY_FILE}", server.url()), fixture.key());
    install(Dnf::with(server.url(), &format!("repo_gpgcheck=1\ngpgkey=file://{}", key.display())), "repomd.xml GPG");
    install(Dnf::with(server.url(), &format!("repo_gpgcheck=1\ngpgkey={tree_key}")), "GPG check FAILED");
    Dnf::new(fixture, server.url()).run(&["install", "will-crash"]);
}

#[test]
fn a_tree_without_a_key_installs_where_that_is_said() {
    let Some((fixture, operator)) = mirrored() else { return };
    operator.published(&[]);
    let repository = operator.dir().join(format!("fedora/40/{}/releases", std::env::consts::ARCH));
    assert!(repository.join("repodata/repomd.xml.asc").is_file());
    let run = operator.publish_unsigned().expect_code(0);
    assert!(run.stdout.contains("Not signed"), "{run}");
    assert!(!repository.join("repodata/repomd.xml.asc").exists());
    let url = format!("file://{}/", text(&operator.dir()));
    let dnf = Dnf::with(&url, &format!("repo_gpgcheck=0\ngpgkey=file://{}", fixture.key().display()));
    dnf.run(&["install", "will-crash"]);
    assert!(dnf.installed().contains("will-crash-1.1"));
    Dnf::new(fixture, &url).fail(&["install", "will-crash"]);
}

/// What `docs/tree.md` has for dnf and for mock; mock is dnf with this file, in a chroot.
#[test]
fn the_configurations_of_the_manual_install() {
    let Some((fixture, operator)) = mirrored() else { return };
    operator.published(&[]);
    let server = MirrorServer::start(operator.dir());
    let here = |text: &str| {
        let text = text.replace("http://mirror.acme.example/", server.url()).replace("/updates", "/releases");
        let text = text.replace("x86_64", std::env::consts::ARCH);
        let tree_key = operator.dir().join(KEY_FILE);
        [
            ("/etc/pki/mock/RPM-GPG-KEY-retrace-tree", tree_key),
            ("/usr/share/distribution-gpg-keys/fedora/RPM-GPG-KEY-fedora-40-primary", fixture.key()),
            ("/etc/pki/rpm-gpg/RPM-GPG-KEY-fedora-$releasever-$basearch", fixture.key()),
        ]
        .into_iter()
        .fold(text, |text, (from, to)| text.replace(from, self::text(&to)))
    };
    let ini = here(&manual("ini"));
    let script = format!(
        "config_opts = {{}}\n{}\nassert config_opts['package_manager'] == 'dnf'\nprint(config_opts['dnf.conf'])",
        manual("python")
    );
    let mock = here(&output("python3", ["-c", &script]));
    let dnf = Dnf::configured(&ini);
    dnf.run(&["install", "will-crash-1.0"]);
    assert!(dnf.installed().contains("will-crash-1.0"));
    let dnf = Dnf::configured("");
    let config = dnf.dir.path().join("mock.conf");
    fs::write(&config, mock).unwrap();
    dnf.run(&["--config", text(&config), "--setopt=reposdir=/dev/null", "install", "will-crash-1.0"]);
    assert!(dnf.installed().contains("will-crash-1.0"));
}

#[test]
fn metadata_says_what_createrepo_c_says_and_dnf_answers_alike() {
    if !can_install(&["dnf", "createrepo_c", "python3"]) {
        return;
    }
    let Some(fixture) = rpm() else { return };
    let Some(operator) = Operator::rpm(fixture) else { return };
    let script = checkout().join("tests/scripts/rpm-md.py");
    for repository in operator.published(&[]) {
        let ours = Path::new(repository["folder"].as_str().unwrap());
        let count = files(ours, "rpm").len();
        assert_eq!(checked(ours), count);
        let other = tempfile::tempdir().unwrap();
        let packages = other.path().join("Packages");
        output("cp", ["-a", "--reflink=auto", text(&ours.join("Packages")), text(&packages)]);
        output("createrepo_c", ["-q", text(other.path())]);
        let same = output("python3", [text(&script), "compare", text(ours), text(other.path())]);
        assert_eq!(same.trim(), count.to_string());
        let answers = [answers(ours), answers(other.path())];
        assert_eq!(answers[0], answers[1]);
        // The debuginfo packages require nothing and have no log of changes.
        assert!(!ours.ends_with("releases") || !answers[0][3].is_empty());
    }
}

/// What dnf says of all packages of a repository, and of what they need and replace.
fn answers(folder: &Path) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let queries: [&[&str]; 5] = [
        &[
            "--qf",
            "%{name} %{epoch} %{version} %{release} %{arch} %{size} %{installsize} %{license} %{vendor} %{sourcerpm} %{summary} %{url} %{buildtime}",
        ],
        &["--provides", "*"],
        &["--list", "*"],
        // By name: of the requirements of one library, createrepo_c leaves some out.
        &["--whatrequires", "glibc"],
        &["--changelogs", "*"],
    ];
    let ask = |query: &[&str]| {
        let base = [
            "-q".to_owned(),
            "--disableplugin=*".to_owned(),
            "--releasever=40".to_owned(),
            format!("--installroot={}/root", text(dir.path())),
            format!("--setopt=cachedir={}/cache", text(dir.path())),
            format!("--setopt=logdir={}", text(dir.path())),
            format!("--setopt=reposdir={}/none", text(dir.path())),
            format!("--repofrompath=x,file://{}", text(folder)),
            "repoquery".to_owned(),
            "--showduplicates".to_owned(),
        ];
        let answer = output("dnf", base.iter().map(String::as_str).chain(query.iter().copied()));
        assert!(!answer.trim().is_empty() || query[0] == "--changelogs" || query[0] == "--whatrequires", "{query:?}");
        let mut lines: Vec<_> = answer.lines().map(str::to_owned).collect();
        lines.sort();
        lines.dedup();
        lines.join("\n")
    };
    queries.into_iter().map(ask).collect()
}

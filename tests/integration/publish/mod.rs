//! The tree of `retrace mirror publish`, as the tools of the distributions see it.

mod apt;
mod dnf;
mod runs;

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use retrace_mirror::{Mirror, MirrorOptions};
use retrace_store::{Scope, Store};
use retrace_tests::{Cli, DebianFixture, RpmFixture, Run, checkout, skip};
use retrace_types::Architecture;
use serde_json::Value;

use crate::view::sync_rpm;

/// A mirror of a fixture with every package in its store, and a key of its operator.
struct Operator {
    cli: Cli,
    key: PathBuf,
}

impl Operator {
    /// Of the RPM distribution.
    fn rpm(fixture: &RpmFixture) -> Option<Self> {
        let cli = Cli::new()?;
        sync_rpm(&cli, fixture, "base", "debuginfo").expect_code(0);
        let mut names = Vec::new();
        for repository in ["base", "debuginfo"] {
            for package in files(&fixture.repository(repository), "rpm") {
                names.push(output("rpm", ["-qp", "--nosignature", "--qf", "%{name}", text(&package)]));
            }
        }
        Some(Self::with(cli, "fedora-40", names))
    }

    /// Of the Debian fixture.
    fn debian(fixture: &DebianFixture) -> Option<Self> {
        let cli = Cli::new()?;
        let mirror = fixture.repository.display().to_string();
        cli.sync(["debian", &fixture.version], &[mirror], std::slice::from_ref(&fixture.key)).expect_code(0);
        let packages = files(&fixture.repository.join("pool"), "deb");
        let names = packages.iter().filter_map(|path| path.file_name()?.to_str()?.split('_').next().map(str::to_owned));
        Some(Self::with(cli, &format!("debian-{}", fixture.version), names.collect()))
    }

    fn with(cli: Cli, release: &str, mut names: Vec<String>) -> Self {
        names.sort();
        names.dedup();
        fetch(&cli, release, &names);
        let key = cli.path("operator");
        cli.run(["plugin", "keygen", "--name", "Operator <mirror@example.invalid>", "--out", text(&key)])
            .expect_code(0);
        Self { cli, key: key.with_extension("key") }
    }

    fn dir(&self) -> PathBuf {
        self.cli.path("state/tree")
    }

    /// `retrace mirror publish` with these arguments, and with the key unless they name another.
    fn publish(&self, arguments: &[&str]) -> Run {
        let key: &[&str] = if arguments.contains(&"--key") { &[] } else { &["--key", text(&self.key)] };
        self.cli.run([&["mirror", "publish"], key, arguments].concat())
    }

    /// `retrace mirror publish` without a key.
    fn publish_unsigned(&self) -> Run {
        self.cli.run(["mirror", "publish"])
    }

    /// The repositories of the document that it prints.
    fn published(&self, arguments: &[&str]) -> Vec<Value> {
        let run = self.publish(&[&["--format", "json"], arguments].concat()).expect_code(0);
        let document: Value = serde_json::from_str(&run.stdout).unwrap();
        document["repositories"].as_array().unwrap().clone()
    }
}

/// Fetches every version of these packages into the store of a command.
pub(crate) fn fetch(cli: &Cli, release: &str, names: &[String]) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = Store::open(&cli.path("state")).await.unwrap();
        let options = MirrorOptions {
            keys_dir: checkout().join("gpg"),
            download_dir: cli.path("cache/downloads"),
            ..MirrorOptions::default()
        };
        let mirror = Mirror::new(store.clone(), options).unwrap();
        let architecture: Architecture = std::env::consts::ARCH.parse().unwrap();
        let scope = Scope { release: release.parse().unwrap(), architecture };
        for name in names {
            let packages = store.find_packages(&scope, name).await.unwrap();
            assert!(!packages.is_empty(), "{name} is not in the index");
            for package in packages {
                mirror.fetch(&package, &()).await.unwrap();
            }
        }
    });
}

/// The block of this language in the manual of the tree.
fn manual(language: &str) -> String {
    let page = fs::read_to_string(checkout().join("host/retrace-mirror/docs/tree.md")).unwrap();
    let (_, block) = page.split_once(&format!("```{language}\n")).expect("the manual has such a block");
    block.split("```").next().unwrap().to_owned()
}

/// What a program did; it sees no configuration of this machine's user, and is root, if only in a namespace.
fn run<A: AsRef<std::ffi::OsStr>>(program: &str, arguments: impl IntoIterator<Item = A>) -> Output {
    let home = tempfile::tempdir().unwrap();
    // Debian's rpm has its database in the home folder, below the root that it installs into too.
    fs::write(home.path().join(".rpmmacros"), "%_dbpath /var/lib/rpm\n").unwrap();
    let mut command = match is_root() {
        true => Command::new(program),
        false => {
            let mut sandbox = Command::new("bwrap");
            // rpm changes its root.
            sandbox.args(["--unshare-user", "--uid", "0", "--gid", "0", "--cap-add", "ALL"]);
            sandbox.args(["--dev-bind", "/", "/", program]);
            sandbox
        }
    };
    command.args(arguments).env("HOME", home.path()).env("LC_ALL", "C.UTF-8").env_remove("GNUPGHOME");
    command.output().unwrap_or_else(|error| panic!("cannot run {program}: {error}"))
}

/// Standard output of a program that must succeed.
#[track_caller]
fn output<A: AsRef<std::ffi::OsStr>>(program: &str, arguments: impl IntoIterator<Item = A>) -> String {
    let done = run(program, arguments);
    let (stdout, stderr) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{program}: {}\n{stdout}{stderr}", done.status);
    stdout.into_owned()
}

/// All output of a program that must fail.
#[track_caller]
fn refusal<A: AsRef<std::ffi::OsStr>>(program: &str, arguments: impl IntoIterator<Item = A>) -> String {
    let done = run(program, arguments);
    let text = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(!done.status.success(), "{program} should have failed:\n{text}");
    text
}

/// Number of packages in rpm-md metadata that a parser other than ours finds whole: digests, sizes, files.
#[track_caller]
fn checked(folder: &Path) -> usize {
    let script = checkout().join("tests/scripts/rpm-md.py");
    output("python3", [text(&script), "check", text(folder)]).trim().parse().unwrap()
}

/// The files below a folder whose names end so.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&entry.path(), extension));
        } else if entry.path().extension().is_some_and(|end| end == extension) {
            found.push(entry.path());
        }
    }
    found.sort();
    found
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// Whether all these programs are there, and what makes their user root.
fn can_install(programs: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let namespace: &[&str] = if is_root() { &[] } else { &["bwrap"] };
    for program in programs.iter().chain(namespace) {
        if !std::env::split_paths(&path).any(|dir| dir.join(program).is_file()) {
            skip(&format!("{program} is missing; `make setup` installs it"));
            return false;
        }
    }
    true
}

fn text(path: &Path) -> &str {
    path.to_str().expect("fixtures have plain paths")
}

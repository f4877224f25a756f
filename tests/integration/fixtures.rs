//! The fixtures are what they claim to be, as tools other than ours see them.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use retrace_tests::{Crash, debian, odd, rpm};

/// Standard output of a program that must succeed.
fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).env("LC_ALL", "C").output();
    let output = output.unwrap_or_else(|error| panic!("cannot run {program}: {error}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {}\n{stderr}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn path(path: &Path) -> &str {
    path.to_str().expect("fixtures have plain paths")
}

/// Build-ids that elfutils finds in a core, the vdso's aside.
fn build_ids(crash: &Crash) -> BTreeSet<String> {
    let text = output("eu-unstrip", &["-n", &format!("--core={}", path(&crash.core))]);
    let modules = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let files = modules.filter(|words| !words.last().is_some_and(|name| name.starts_with("linux-vdso")));
    files.filter_map(|words| Some(words.get(1)?.split_once('@')?.0.to_owned())).collect()
}

#[test]
fn the_debian_core_has_three_threads_and_only_modules_of_the_repository() {
    let Some(fixture) = debian() else { return };
    let pool = fixture.repository.join("pool");
    let unpacked = tempfile::tempdir().unwrap();
    let debs = output("find", &[path(&pool), "-name", "*.deb"]);
    assert!(debs.lines().any(|deb| deb.contains("libc6-dbg_")), "{debs}");
    for deb in debs.lines().filter(|deb| !deb.contains("-dbg_")) {
        output("dpkg-deb", &["-x", deb, path(unpacked.path())]);
    }
    let files = output("find", &[path(unpacked.path()), "-type", "f", "(", "-name", "*.so*", "-o", "-name", "gm", ")"]);
    let files: Vec<_> = files.lines().filter(|file| fs::read(file).is_ok_and(|b| b.starts_with(b"\x7fELF"))).collect();
    let notes = output("eu-readelf", &[&["-n"], files.as_slice()].concat());
    let shipped: BTreeSet<_> = notes.lines().filter_map(|line| line.trim().strip_prefix("Build ID: ")).collect();

    let ids = build_ids(&fixture.crash);
    assert!(ids.len() > 10, "{ids:?}");
    for id in &ids {
        assert!(shipped.contains(id.as_str()), "no package has build-id {id}");
    }
    let threads = output("eu-readelf", &["-n", path(&fixture.crash.core)]).matches("PRSTATUS").count();
    assert!(threads >= 3, "{threads} threads");
    assert_eq!(fixture.crash.executable, "/usr/bin/gm");
    assert!(fixture.crash.package.starts_with("graphicsmagick-"), "{}", fixture.crash.package);
}

#[test]
fn apt_trusts_the_debian_repository_with_its_key_only() {
    let Some(fixture) = debian() else { return };
    let dists = fixture.repository.join("dists").join(&fixture.codename);
    let home = tempfile::tempdir().unwrap();
    let keyring = home.path().join("keyring.gpg");
    output("gpg", &["--homedir", path(home.path()), "-q", "--dearmor", "-o", path(&keyring), path(&fixture.key)]);
    output("gpgv", &["-q", "--keyring", path(&keyring), path(&dists.join("InRelease"))]);
    output(
        "gpgv",
        &["-q", "--keyring", path(&keyring), path(&dists.join("Release.gpg")), path(&dists.join("Release"))],
    );
}

#[test]
fn rpm_checks_each_repository_as_intended() {
    let Some(fixture) = rpm() else { return };
    let check = |key: &Path, repository: &str| {
        let dir = tempfile::tempdir().unwrap();
        let database = format!("{}/db", path(dir.path()));
        output("rpmkeys", &["--dbpath", &database, "--import", path(key)]);
        let folder = fixture.repository(repository);
        let packages = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        let packages: Vec<_> = packages.filter(|path| path.extension().is_some_and(|end| end == "rpm")).collect();
        assert!(!packages.is_empty(), "{repository} is empty");
        let level = ["--define", "_pkgverify_level all", "--dbpath", &database, "--checksig"];
        let arguments: Vec<_> = level.into_iter().chain(packages.iter().map(|package| path(package))).collect();
        Command::new("rpmkeys").args(arguments).output().unwrap().status.success()
    };
    let (key, wrong_key) = (fixture.key(), fixture.wrong_key());
    for repository in ["base", "debuginfo", "stale", "wrong-version", "no-debuginfo"] {
        assert!(check(&key, repository), "{repository} has a bad signature");
    }
    for repository in ["unsigned", "wrong-key"] {
        assert!(!check(&key, repository), "{repository} has good signatures");
    }
    assert!(check(&wrong_key, "wrong-key"), "wrong-key is not signed by the other key");
}

#[test]
fn the_other_versions_hold_the_same_files_with_other_build_ids() {
    let Some(fixture) = rpm() else { return };
    let links = |name: &str| {
        let package = fixture.repository("base").join(format!("{name}-1.fc40.{}.rpm", std::env::consts::ARCH));
        let text = output("rpm", &["-qp", "--nosignature", "--list", path(&package)]);
        let (ids, files): (BTreeSet<_>, BTreeSet<_>) =
            text.lines().map(str::to_owned).partition(|line| line.contains("/.build-id/"));
        (ids, files)
    };
    for (old, new) in [("will-crash-libs-1.0", "will-crash-libs-1.1"), ("crashd-libs-2.0", "crashd-libs-2.1")] {
        let ((old_ids, old_files), (new_ids, new_files)) = (links(old), links(new));
        assert_eq!(old_files, new_files);
        assert!(!old_ids.is_empty());
        assert_ne!(old_ids, new_ids);
    }
}

#[test]
fn crashes_in_the_rpm_distribution_map_its_libraries() {
    let Some(fixture) = rpm() else { return };
    for (name, modules) in [("crashd-null", 7), ("crashd-throw", 7), ("will-crash-segv", 4), ("will-crash-overflow", 4)]
    {
        let ids = build_ids(&fixture.crash(name));
        assert_eq!(ids.len(), modules, "{name}: {ids:?}");
    }
}

#[test]
fn odd_cores_are_odd() {
    let Some(fixture) = odd() else { return };
    let big = fs::metadata(fixture.crash("big").core).unwrap();
    assert!(big.len() > 4 << 30, "{} bytes", big.len());
    let blocks = std::os::unix::fs::MetadataExt::blocks(&big);
    assert!(blocks < (8 << 20) / 512, "{blocks} blocks: the holes are gone");

    // eu-unstrip gives a module without build-id as `-`.
    let anonymous = fixture.crash("anonymous");
    let text = output("eu-unstrip", &["-n", &format!("--core={}", path(&anonymous.core))]);
    assert_eq!(build_ids(&anonymous).len(), 3, "{text}"); // the program, the C library, its loader

    let debuginfo = fs::read_dir(fixture.repository("debuginfo")).unwrap();
    let mut names = debuginfo.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(names.all(|name| !name.starts_with("odd-mini")));
}

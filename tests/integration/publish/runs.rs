//! Runs that have nothing to do, that meet, that are killed, and packages that go.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use retrace_tests::{RpmFixture, rpm};

use super::{Operator, checked, files, output, run, text};

fn made() -> Option<(&'static RpmFixture, Operator)> {
    let fixture = rpm()?;
    Some((fixture, Operator::rpm(fixture)?))
}

/// Every file and folder that readers see, with inode and time.
fn snapshot(folder: &Path) -> BTreeMap<PathBuf, (u64, i64, i64)> {
    let mut found = BTreeMap::new();
    let mut todo = vec![folder.to_owned()];
    while let Some(folder) = todo.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.ends_with(".retrace") {
                continue;
            }
            let data = fs::symlink_metadata(&path).unwrap();
            if data.is_dir() {
                todo.push(path.clone());
            }
            found.insert(path, (data.ino(), data.mtime(), data.mtime_nsec()));
        }
    }
    found
}

#[test]
fn without_news_nothing_is_written_and_packages_take_no_space() {
    let Some((_, operator)) = made() else { return };
    let first = operator.published(&[]);
    assert_eq!(first.len(), 2);
    for repository in &first {
        assert_eq!(repository["outcome"], "published", "{repository}");
        assert_eq!(repository["copied"], 0, "{repository}");
        let packages = files(Path::new(repository["folder"].as_str().unwrap()), "rpm");
        assert!(packages.iter().all(|path| fs::metadata(path).unwrap().nlink() == 2), "not links: {packages:?}");
        assert!(packages.iter().any(|path| text(path).contains("/Packages/w/will-crash-")), "{packages:?}");
    }
    let before = snapshot(&operator.dir());
    for repository in operator.published(&[]) {
        assert_eq!(repository["outcome"], "unchanged", "{repository}");
    }
    assert_eq!(snapshot(&operator.dir()), before);
    let run = operator.publish(&[]).expect_code(0);
    assert!(run.stdout.contains("unchanged") && run.stdout.contains("Signed by "), "{run}");

    // What somebody removed comes back, without new metadata.
    let folder = Path::new(first[0]["folder"].as_str().unwrap());
    let package = files(folder, "rpm").remove(0);
    fs::remove_file(&package).unwrap();
    let again = operator.published(&["--repository", first[0]["repository"].as_str().unwrap()]);
    assert_eq!((&again[0]["linked"], &again[0]["metadata_bytes"]), (&1.into(), &0.into()), "{again:?}");
    assert!(package.is_file());
}

#[test]
fn a_package_that_left_the_store_leaves_the_tree_and_damage_is_named() {
    let Some((_, operator)) = made() else { return };
    let first = operator.published(&["--repository", "releases"]).remove(0);
    let folder = PathBuf::from(first["folder"].as_str().unwrap());
    let victim = files(&folder, "rpm").into_iter().find(|path| text(path).contains("will-crash-1.0")).unwrap();
    let stored = files_with_inode(&operator.cli.path("state/artifacts"), fs::metadata(&victim).unwrap().ino());
    fs::remove_file(&stored).unwrap();
    let old: Vec<_> = files(&folder.join("repodata"), "gz");

    let run = operator.publish(&["--repository", "releases"]).expect_code(3);
    assert!(run.stdout.contains("left out: will-crash-1.0"), "{run}");
    assert!(!victim.exists());
    assert_eq!(checked(&folder), files(&folder, "rpm").len());
    // Who began with the metadata before still finds it; the one before that is gone.
    assert!(old.iter().all(|path| path.is_file()));
    let key = operator.cli.path("second");
    operator.cli.run(["plugin", "keygen", "--name", "Second", "--out", text(&key)]).expect_code(0);
    let key = key.with_extension("key");
    operator.publish(&["--repository", "releases", "--key", text(&key)]);
    assert!(!operator.publish(&["--key", "/nonexistent"]).expect_code(1).stderr.is_empty());
}

fn files_with_inode(folder: &Path, inode: u64) -> PathBuf {
    let found = snapshot(folder).into_iter().find(|(_, (ino, ..))| *ino == inode);
    found.expect("the store has the file").0
}

#[test]
fn a_run_that_is_killed_leaves_a_valid_tree() {
    let Some((_, operator)) = made() else { return };
    let folder = operator.dir().join(format!("fedora/40/{}/releases", std::env::consts::ARCH));
    let second = operator.cli.path("second");
    operator.cli.run(["plugin", "keygen", "--name", "Second", "--out", text(&second)]).expect_code(0);
    let keys = [operator.key.clone(), second.with_extension("key")];
    let keyring = operator.cli.path("keys.gpg");
    for key in &keys {
        let public = key.with_extension("asc");
        let dearmored = operator.cli.path("one.gpg");
        output("gpg", ["-q", "--yes", "--dearmor", "-o", text(&dearmored), text(&public)]);
        let mut all = fs::read(&keyring).unwrap_or_default();
        all.extend(fs::read(&dearmored).unwrap());
        fs::write(&keyring, all).unwrap();
    }
    let mut seen = 0;
    for round in 0..60_u64 {
        // Another key each time: all metadata is made anew.
        let key = text(&keys[usize::from(!round.is_multiple_of(2))]);
        let mut running = operator.cli.start(["mirror", "publish", "--repository", "releases", "--key", key]);
        running.wait(Duration::from_millis(20 + round * 7));
        drop(running); // kills it
        if folder.join("repodata/repomd.xml").is_file() {
            seen += 1;
            let repomd = folder.join("repodata/repomd.xml");
            output("gpgv", ["-q", "--keyring", text(&keyring), text(&repomd.with_extension("xml.asc")), text(&repomd)]);
            checked(&folder);
        }
    }
    assert!(seen > 10, "only {seen} of the runs came to metadata");
    operator.published(&["--repository", "releases"]);
    assert_eq!(checked(&folder), files(&folder, "rpm").len());
    assert_eq!(operator.published(&["--repository", "releases"])[0]["outcome"], "unchanged");
    let left: Vec<_> = fs::read_dir(folder.join(".retrace/work")).unwrap().collect();
    assert!(left.len() <= 1, "{left:?}");
}

#[test]
fn a_run_that_died_before_it_noted_what_it_had_done_is_mended() {
    let Some((_, operator)) = made() else { return };
    let folder = PathBuf::from(operator.published(&["--repository", "releases"])[0]["folder"].as_str().unwrap());
    let (all, state) = (files(&folder, "rpm"), folder.join(".retrace/state.json"));
    let noted = fs::read(&state).unwrap();
    // A run without one of the packages, whose note is lost; then the package is back.
    let stored = files_with_inode(&operator.cli.path("state/artifacts"), fs::metadata(&all[0]).unwrap().ino());
    let aside = operator.cli.path("aside");
    fs::rename(&stored, &aside).unwrap();
    operator.publish(&["--repository", "releases"]).expect_code(3);
    assert_eq!(checked(&folder), all.len() - 1);
    fs::write(&state, noted).unwrap();
    fs::rename(&aside, &stored).unwrap();
    operator.published(&["--repository", "releases"]);
    assert_eq!(files(&folder, "rpm"), all);
    assert_eq!(checked(&folder), all.len());
}

#[test]
fn runs_that_meet_end_well() {
    let Some((_, operator)) = made() else { return };
    let mut running: Vec<_> = (0..4)
        .map(|_| operator.cli.start(["mirror", "publish", "--key", text(&operator.key), "--format", "json"]))
        .collect();
    for run in &mut running {
        let status = run.wait(Duration::from_secs(120)).expect("it ends");
        assert!(status.success());
    }
    let repositories = operator.published(&[]);
    assert!(repositories.iter().all(|repository| repository["outcome"] == "unchanged"), "{repositories:?}");
}

#[test]
fn mistakes_are_explained() {
    let Some((_, operator)) = made() else { return };
    for (arguments, want) in [
        (&["fedora-41"][..], "fedora-41 is not mirrored"),
        (&["--repository", "nope"], "no repository nope"),
        (&["--arch", "s390x"], "no repository of this architecture"),
        (&["--key", "/etc/hostname"], "no OpenPGP secret key"),
    ] {
        let run = operator.publish(arguments).expect_code(1);
        assert!(run.stderr.contains(want), "{arguments:?}: {run}");
    }
    let occupied = operator.cli.path("srv");
    let folder = occupied.join(format!("fedora/40/{}/releases", std::env::consts::ARCH));
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("precious"), "x").unwrap();
    let run = operator.publish(&["--dir", text(&occupied)]).expect_code(1);
    assert!(run.stdout.contains("holds files that Retrace did not put there"), "{run}");
    assert!(folder.join("precious").is_file());
    assert!(run_help().contains("Exit codes"));
}

fn run_help() -> String {
    let Some(cli) = retrace_tests::Cli::new() else { return "Exit codes".to_owned() };
    let done = run(text(cli.program()), ["mirror", "publish", "--help"]);
    String::from_utf8_lossy(&done.stdout).into_owned()
}

//! `retrace mirror find`, `status` and `verify` on a mirror of real packages.

use std::{
    fs,
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

use retrace_tests::{Cli, RpmFixture, Run, debian, rpm};
use serde_json::Value;

use crate::{publish::fetch, view::sync_rpm};

/// A mirror with some packages that are kept.
fn mirrored() -> Option<(&'static RpmFixture, Cli)> {
    let fixture = rpm()?;
    let cli = Cli::new()?;
    sync_rpm(&cli, fixture, "base", "debuginfo").expect_code(0);
    fetch(&cli, "fedora-40", &["will-crash".to_owned(), "crashd".to_owned()]);
    Some((fixture, cli))
}

#[track_caller]
fn json(run: &Run) -> Value {
    serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("no document ({error}): {run}"))
}

#[test]
fn a_package_is_found_by_name_path_and_build_id() {
    let Some((fixture, cli)) = mirrored() else { return };
    let find = |wanted: &str| json(&cli.run(["mirror", "find", "--format", "json", wanted]).expect_code(0));
    let by_name = find("will-crash-1.0");
    let [hit] = by_name["found"].as_array().unwrap().as_slice() else { panic!("{by_name}") };
    assert_eq!(hit["package"], "will-crash-1.0-1.fc40.x86_64");
    assert_eq!(hit["debug_packages"][0], "will-crash-debuginfo-1.0-1.fc40.x86_64");
    assert_eq!((hit["release"].as_str(), hit["repository"].as_str()), (Some("fedora-40"), Some("releases")));
    assert!(Path::new(hit["local"]["path"].as_str().unwrap()).is_file());
    assert_eq!(hit["local"]["signature"]["state"], "package");

    let by_path = find("/usr/bin/will-crash");
    assert_eq!(by_path["found"].as_array().unwrap().len(), 2, "both versions: {by_path}");

    let crash = fixture.crash("will-crash-segv");
    let analyzed = json(&cli.analyze(&crash, &["--format", "json"]));
    let modules = analyzed["modules"].as_array().unwrap();
    let program = modules.iter().find(|module| module["path"] == "/usr/bin/will-crash").unwrap();
    let build_id = program["build_id"].as_str().unwrap();
    let text = cli.run(["mirror", "find", build_id, "--release", "fedora-40"]).expect_code(0).stdout;
    for part in ["(executable)", "(debuginfo)", "will-crash-debuginfo-1.0-1.fc40", "signed by "] {
        assert!(text.contains(part), "{part}: {text}");
    }

    let nothing = cli.run(["mirror", "find", "00112233445566"]).expect_code(1);
    assert!(nothing.stdout.contains("retrace mirror sync"), "{nothing}");
    let elsewhere = cli.run(["mirror", "find", "bash", "--release", "debian-12"]).expect_code(1);
    assert!(elsewhere.stdout.contains("retrace mirror sync debian 12"), "{elsewhere}");
    cli.run(["mirror", "find", "bash", "--as", "build-id"]).expect_code(2);
}

#[test]
fn a_package_of_debian_is_found_with_its_debug_package() {
    let Some(fixture) = debian() else { return };
    let Some(cli) = Cli::new() else { return };
    let mirror = fixture.repository.display().to_string();
    cli.sync(["debian", &fixture.version], &[mirror], std::slice::from_ref(&fixture.key)).expect_code(0);
    let document = json(&cli.run(["mirror", "find", "graphicsmagick", "--format", "json"]).expect_code(0));
    let hit = &document["found"][0];
    assert!(hit["debug_packages"][0].as_str().unwrap().starts_with("graphicsmagick-dbg-"), "{document}");
    assert!(hit["local"].is_null());
}

#[test]
fn a_failed_sync_is_shown_until_one_succeeds() {
    let Some(fixture) = rpm() else { return };
    let Some(cli) = Cli::new() else { return };
    assert!(cli.run(["mirror", "status"]).expect_code(0).stdout.contains("Nothing is mirrored yet"));
    sync_rpm(&cli, fixture, "base", "debuginfo").expect_code(0);
    let well = cli.run(["mirror", "status"]).expect_code(0).stdout;
    assert!(well.contains("releases-debuginfo") && !well.contains("failed"), "{well}");
    cli.run(["mirror", "status", "--max-age", "1h"]).expect_code(0);
    cli.run(["mirror", "status", "--max-age", "0s"]).expect_code(3);
    cli.run(["mirror", "status", "--max-age", "soon"]).expect_code(2);

    cli.sync(["fedora", "40"], &["releases=/nowhere/at/all".to_owned()], &[fixture.key()]).expect_code(1);
    let run = cli.run(["mirror", "status"]).expect_code(3);
    assert!(run.stdout.contains("failed") && run.stdout.contains("/nowhere/at/all"), "{run}");
    let rows = json(&cli.run(["mirror", "status", "--format", "json"]).expect_code(3));
    let releases = rows.as_array().unwrap().iter().find(|row| row["repository"] == "releases").unwrap();
    assert!(releases["error"]["message"].as_str().unwrap().contains("/nowhere"), "{releases}");
    assert!(releases["packages"].as_u64().unwrap() > 5 && releases["build_ids"].as_u64().unwrap() > 5, "{releases}");

    sync_rpm(&cli, fixture, "base", "debuginfo").expect_code(0);
    let run = cli.run(["mirror", "status"]).expect_code(0);
    assert!(!run.stdout.contains("failed"), "{run}");
}

/// The copy of a package.
fn copy_of(cli: &Cli, package: &str) -> PathBuf {
    let document = json(&cli.run(["mirror", "find", package, "--format", "json"]).expect_code(0));
    document["found"][0]["local"]["path"].as_str().unwrap().into()
}

#[test]
fn verify_finds_and_repairs_what_is_damaged_and_publish_takes_the_new_file() {
    let Some((_, cli)) = mirrored() else { return };
    let verify = |arguments: &[&str]| cli.run([&["mirror", "verify"], arguments].concat());
    verify(&[]).expect_code(0);
    cli.run(["mirror", "publish"]).expect_code(0);

    let (damaged, deleted) = (copy_of(&cli, "will-crash-1.0"), copy_of(&cli, "crashd-2.0"));
    let good = fs::read(&damaged).unwrap();
    let middle = good.len() / 2;
    let file = fs::File::options().write(true).open(&damaged).unwrap();
    file.write_all_at(&[good[middle] ^ 0x20], middle as u64).unwrap();
    drop(file);
    fs::remove_file(&deleted).unwrap();

    let document = json(&verify(&["--format", "json"]).expect_code(1));
    assert_eq!((document["damaged"].as_u64(), document["missing"].as_u64()), (Some(1), Some(1)), "{document}");
    let run = verify(&[]).expect_code(1);
    assert!(run.stdout.contains("will-crash-1.0-1.fc40.x86_64 is damaged"), "{run}");
    assert!(run.stdout.contains("crashd-2.0-1.fc40.x86_64 is missing"), "{run}");
    verify(&["--repository", "releases-debuginfo"]).expect_code(0);
    verify(&["--repository", "none"]).expect_code(1);

    let run = verify(&["--repair"]).expect_code(0);
    assert!(run.stdout.contains("2 replaced by good ones"), "{run}");
    assert_eq!(fs::read(&damaged).unwrap(), good);
    verify(&[]).expect_code(0);

    cli.run(["mirror", "publish"]).expect_code(0);
    let published = published(&cli.path("state/tree"), "will-crash-1.0-1.fc40.x86_64.rpm");
    assert_eq!(fs::read(&published).unwrap(), good);
    assert_eq!(fs::metadata(&published).unwrap().ino(), fs::metadata(&damaged).unwrap().ino());
}

/// The file of this name in the tree.
fn published(folder: &Path, name: &str) -> PathBuf {
    let mut todo = vec![folder.to_owned()];
    while let Some(folder) = todo.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                todo.push(path);
            } else if path.ends_with(name) {
                return path;
            }
        }
    }
    panic!("{name} is not published");
}

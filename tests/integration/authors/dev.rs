//! `retrace plugin dev`: each save is built, tested and put in force, until Ctrl-C.

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use retrace_tests::{Cli, Running, checkout};
use serde_json::Value;

use super::{BUILD_LIMIT, author, has, json};

/// What `dev` says of its round of this number, counted from 1.
#[track_caller]
fn round(dev: &mut Running, number: usize) -> Value {
    let started = Instant::now();
    loop {
        let log = fs::read_to_string(&dev.log).unwrap_or_default();
        let mut rounds = log.lines().filter(|line| line.starts_with("{\"ok\""));
        if let Some(line) = rounds.nth(number - 1) {
            return serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        }
        assert!(dev.wait(Duration::from_millis(20)).is_none(), "it ended before round {number}:\n{log}");
        assert!(started.elapsed() < BUILD_LIMIT, "no round {number}:\n{log}");
    }
}

/// As an editor does it: whoever looks sees the old file or the new one.
fn save(dir: &Path, name: &str, change: impl FnOnce(String) -> String) {
    let (path, new) = (dir.join(name), dir.join(".new"));
    let before = fs::read_to_string(&path).unwrap();
    let after = change(before.clone());
    assert_ne!(before, after, "{name} has not what is to be changed");
    fs::write(&new, after).unwrap();
    fs::rename(new, path).unwrap();
}

/// What Ctrl-C does.
fn interrupt(dev: &mut Running) {
    let kill = Command::new("kill").args(["-INT", &dev.pid().to_string()]).status();
    assert!(kill.is_ok_and(|status| status.success()));
    let status = dev.wait(Duration::from_secs(60)).expect("it ends");
    assert_eq!(status.code(), Some(0), "{}", fs::read_to_string(&dev.log).unwrap_or_default());
}

/// Name, version and digest of the installed plugin.
fn in_force(cli: &Cli) -> (Value, Value, Value) {
    let list = json(&cli.run(["plugin", "list", "--format", "json"]).expect_code(0));
    let acme = list.as_array().unwrap().iter().find(|plugin| plugin["id"] == "acme").expect("it is installed").clone();
    assert_eq!(acme["state"], "ready", "{acme}");
    (acme["name"].clone(), acme["version"].clone(), acme["sha256"].clone())
}

#[test]
fn dev_puts_each_good_save_in_force_and_ends_with_ctrl_c() {
    let Some(mut cli) = author() else { return };
    if !has(&cli, "clang", "`make setup` installs it") {
        return;
    }
    // An example key is in no folder; that does not keep a draft from being tried.
    cli.set("RETRACE_KEYS_DIR", checkout().join("gpg"));
    cli.run(["plugin", "new", "acme", "--template", "c"]).expect_code(0);
    let dir = cli.path("acme");
    let mut dev = cli.start(["plugin", "dev", "acme", "--format", "json"]);

    let first = round(&mut dev, 1);
    assert_eq!(first["ok"], true, "{first}");
    assert_eq!((&first["id"], &first["version"]), (&"acme".into(), &"0.1.0".into()));
    assert_eq!(in_force(&cli).2, first["sha256"], "{first}");

    // A second save: another build of the same version takes the place of the first.
    save(&dir, "distribution.c", |text| text.replace("2026-06-30", "2026-07-31"));
    let second = round(&mut dev, 2);
    assert_eq!(second["ok"], true, "{second}");
    assert_ne!(second["sha256"], first["sha256"]);
    assert_eq!(in_force(&cli).2, second["sha256"]);

    // A save that is half of a change: the version is raised in one place of two.
    save(&dir, "plugin.toml", |text| text.replace("0.1.0", "0.2.0"));
    let third = round(&mut dev, 3);
    assert_eq!(third["ok"], false, "{third}");
    assert!(third["failed_checks"][0].as_str().is_some_and(|check| check.starts_with("A6 ")), "{third}");
    assert_eq!(in_force(&cli).2, second["sha256"], "what was in force stays");

    save(&dir, "distribution.c", |text| text.replace("text(\"0.1.0\")", "text(\"0.2.0\""));
    let fourth = round(&mut dev, 4);
    assert_eq!(fourth["ok"], false, "{fourth}");
    assert!(fourth["error"].as_str().is_some_and(|error| error.contains("distribution.c")), "{fourth}");
    assert_eq!(in_force(&cli).2, second["sha256"]);

    save(&dir, "distribution.c", |text| text.replace("text(\"0.2.0\"", "text(\"0.2.0\")"));
    let fifth = round(&mut dev, 5);
    assert_eq!((&fifth["ok"], &fifth["version"]), (&true.into(), &"0.2.0".into()), "{fifth}");
    let (_, version, sha256) = in_force(&cli);
    assert_eq!((version, sha256), ("0.2.0".into(), fifth["sha256"].clone()));

    interrupt(&mut dev);
    assert_eq!(in_force(&cli).2, fifth["sha256"], "the last good build stays");
    assert!(!dir.join(".new").exists() && dir.join("build/plugin.wasm").is_file());

    // In the middle of a build, too.
    let mut dev = cli.start(["plugin", "dev", "acme", "--format", "json"]);
    assert!(dev.wait(Duration::from_millis(200)).is_none(), "it ended by itself");
    interrupt(&mut dev);
    in_force(&cli);
}

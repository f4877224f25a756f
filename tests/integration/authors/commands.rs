//! The commands that look at plugins.

use std::fs;

use retrace_tests::{Cli, Lie, MirrorServer, target_dir};
use serde_json::Value;

use super::{BUILD_LIMIT, author, has, json};
use crate::view::explains_itself;

/// The bundled plugin for a distribution.
fn bundled(id: &str) -> String {
    let dir =
        std::env::var("RETRACE_PLUGIN_DIR").map_or_else(|_| target_dir().join("wasm32-wasip2/plugin"), Into::into);
    dir.join(format!("retrace_plugin_{id}.wasm")).display().to_string()
}

#[test]
fn explain_shows_every_answer_and_the_winner() {
    let Some(cli) = Cli::new() else { return };
    fs::write(cli.path("os-release"), "NAME=\"Fedora Linux\"\nID=fedora\nVERSION_ID=40\n").unwrap();
    let run = cli.run(["plugin", "explain", "--os-release", "os-release", "--format", "json"]).expect_code(0);
    let document = json(&run);
    assert_eq!(document["release"], "fedora-40");
    let answers = document["answers"].as_array().expect("answers");
    let of = |plugin: &str| answers.iter().find(|answer| answer["plugin"] == plugin).expect("an answer of each plugin");
    assert_eq!((&of("fedora")["answer"], &of("fedora")["confidence"]), (&"claim".into(), &"certain".into()));
    assert_eq!(of("debian")["answer"], "none");

    let run = cli.run(["plugin", "explain", "--package", "bash-5.2.26-3.fc40.x86_64"]).expect_code(0);
    assert!(run.stdout.contains("release: fedora-40") && run.stdout.contains(".fc40"), "{run}");
    let run = cli.run(["plugin", "explain", "--release-line", "Plan 9"]).expect_code(1);
    assert!(run.stdout.contains("no plugin recognises the release"), "{run}");

    for arguments in [vec![], vec!["--package", "a", "--release-line", "b"], vec!["--os-release", "no-such-file"]] {
        let run = cli.run(["plugin", "explain"].into_iter().chain(arguments)).expect_code(2);
        explains_itself(&run);
    }
}

#[test]
fn check_reaches_each_mirror() {
    let Some(mut cli) = author() else { return };
    if !has(&cli, "clang", "`make setup` installs it") {
        return;
    }
    // A plugin whose mirrors are on this machine.
    let root = tempfile::tempdir().unwrap();
    let server = MirrorServer::start(root.path());
    cli.run(["plugin", "new", "loop", "--template", "c"]).expect_code(0);
    let source = fs::read_to_string(cli.path("loop/distribution.c")).unwrap();
    let source = source.replace("https://mirror.example.org/loop/", server.url());
    assert!(source.contains(server.url()), "the template names its mirror otherwise");
    fs::write(cli.path("loop/distribution.c"), source).unwrap();
    cli.run_within(BUILD_LIMIT, ["plugin", "build", "loop", "--out", "plugins/loop.wasm"]).expect_code(0);
    let plugins = cli.path("plugins");
    cli.set("RETRACE_PLUGIN_DIR", plugins);
    let check = |more: &[&str]| cli.run(["plugin", "check", "loop", "1", "x86_64"].iter().chain(more));

    let run = check(&[]).expect_code(1);
    assert!(run.stdout.contains("FAIL  base") && run.stdout.contains("does not exist"), "{run}");
    for folder in ["1/x86_64/os", "1/x86_64/debug"] {
        fs::create_dir_all(root.path().join(folder).join("repodata")).unwrap();
        fs::write(root.path().join(folder).join("repodata/repomd.xml"), "<repomd/>").unwrap();
    }
    let document = json(&check(&["--format", "json"]).expect_code(0));
    assert_eq!(document["reachable"], Value::Bool(true));
    assert_eq!(document["repositories"].as_array().map(Vec::len), Some(2), "{document}");
    let addresses = check(&["--only-valid"]).expect_code(0).stdout;
    assert_eq!(addresses.lines().count(), 2, "{addresses}");
    assert_eq!(check(&["--only-invalid"]).expect_code(0).stdout, "");

    server.lie("debug/repodata/repomd.xml", Lie::Status(403));
    let run = check(&["--only-invalid"]).expect_code(1);
    assert!(run.stdout.trim().ends_with("1/x86_64/debug/") && run.stdout.lines().count() == 1, "{run}");
    let run = check(&["--first-valid"]).expect_code(1);
    assert!(run.stdout.trim().ends_with("1/x86_64/os/"), "{run}");

    for (arguments, says) in [
        (["plugin", "check", "nobody", "1", "x86_64"], "no plugin serves nobody"),
        (["plugin", "check", "loop", "7", "x86_64"], "it knows 2, 1"),
        (["plugin", "check", "loop", "1", "vax"], "vax"),
    ] {
        let run = cli.run(arguments).expect_code(2);
        assert!(run.stderr.contains(says), "{run}");
    }
}

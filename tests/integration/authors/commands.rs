//! The commands that look at plugins.

use std::fs;

use retrace_tests::{Cli, Lie, MirrorServer};
use serde_json::Value;

use super::{BUILD_LIMIT, author, has, json};
use crate::view::{component, explains_itself};

/// The bundled plugin for a distribution.
fn bundled(id: &str) -> String {
    component(&format!("retrace_plugin_{id}")).display().to_string()
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
    // Operators of mirrors and authors of plugins have the same command.
    let check = |more: &[&str]| {
        let [plugin, mirror] =
            ["plugin", "mirror"].map(|area| cli.run([area, "check", "loop", "1", "x86_64"].iter().chain(more)));
        assert_eq!((plugin.code, &plugin.stdout), (mirror.code, &mirror.stdout));
        mirror
    };

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

#[test]
fn inspect_shows_what_a_file_is_without_running_it() {
    let Some(cli) = Cli::new() else { return };
    let plugin = bundled("fedora");
    let document = json(&cli.run(["plugin", "inspect", &plugin, "--format", "json"]).expect_code(0));
    assert_eq!(document["contract"], "1.0.0");
    assert_eq!(document["metadata"]["id"], "fedora");
    assert_eq!(document["violations"], serde_json::json!([]));
    assert_eq!(document["signature"]["state"], "none");
    let text = cli.run(["plugin", "inspect", &plugin]).expect_code(0).stdout;
    assert!(text.contains("parse-release: func(source: release-source)") && text.contains("retrace:distro/"), "{text}");

    // A core module, text, and nothing.
    fs::write(cli.path("core.wasm"), b"\0asm\x01\0\0\0").unwrap();
    fs::write(cli.path("text.wasm"), "(component)").unwrap();
    for file in ["core.wasm", "text.wasm"] {
        let run = cli.run(["plugin", "inspect", file]).expect_code(3);
        assert!(run.stdout.contains("no plugin"), "{run}");
    }
    explains_itself(&cli.run(["plugin", "inspect", "no-such-file.wasm"]).expect_code(2));

    // A signature that nobody trusts proves nothing, and is told.
    fs::copy(&plugin, cli.path("signed.wasm")).unwrap();
    fs::write(cli.path("signed.wasm.asc"), "-----BEGIN PGP SIGNATURE-----\n\nnonsense\n").unwrap();
    let document = json(&cli.run(["plugin", "inspect", "signed.wasm", "--format", "json"]).expect_code(0));
    assert_eq!(document["signature"]["state"], "bad", "{document}");
}

#[test]
fn call_gives_the_answer_with_its_cost_and_tells_defects_from_errors() {
    let Some(cli) = Cli::new() else { return };
    let plugin = bundled("fedora");
    let input = r#"{"source": {"os-release": "ID=fedora\nVERSION_ID=40\n"}}"#;
    let call = |function: &str, input: &str| {
        cli.run(["plugin", "call", &plugin, function, "--json", input, "--format", "json"])
    };
    let first = json(&call("parse-release", input).expect_code(0));
    assert_eq!(first["answer"]["ok"]["version"], "40", "{first}");
    assert!(first["fuel"].as_u64().is_some_and(|fuel| fuel > 1000), "{first}");
    assert!(first["peak_memory_bytes"].as_u64().is_some_and(|bytes| bytes >= 64 << 10), "{first}");
    let second = json(&call("parse-release", input).expect_code(0));
    assert_eq!(first["fuel"], second["fuel"], "fuel is the same each time");

    fs::write(cli.path("input.json"), input).unwrap();
    let text = cli.run(["plugin", "call", &plugin, "parse-release", "--json", "@input.json"]).expect_code(0).stdout;
    assert!(text.contains("\"version\": \"40\"") && text.contains(" fuel, "), "{text}");
    let error =
        json(&call("parse-release", r#"{"source": {"os-release": "ID=fedora\nVERSION_ID=3\n"}}"#).expect_code(0));
    assert!(error["answer"]["err"]["unsupported-release"].is_string(), "{error}");

    for (function, input, says) in [
        ("parse-release", "{", "no JSON"),
        ("parse-release", "@no-such-file", "cannot read"),
        ("parse-release", r#"{"source": {"os-releese": ""}}"#, "source"),
        ("parse", "{}", "retrace plugin wit"),
    ] {
        let run = call(function, input).expect_code(2);
        assert!(run.stderr.contains(says), "{says:?} is not said: {run}");
    }
    fs::write(cli.path("text.wasm"), "text").unwrap();
    cli.run(["plugin", "call", "text.wasm", "describe"]).expect_code(3);
}

#[test]
fn bench_measures_every_function() {
    let Some(cli) = Cli::new() else { return };
    let plugin = bundled("fedora");
    let run = cli.run(["plugin", "bench", &plugin, "--calls", "3", "--format", "json"]).expect_code(0);
    let document = json(&run);
    let functions = document["functions"].as_array().expect("functions");
    for name in ["describe", "parse-release", "repositories", "parse-file-names"] {
        let row = functions.iter().find(|row| row["function"] == name).expect("a row of each function");
        assert!(row["fuel"].as_u64().is_some_and(|fuel| fuel > 0), "{row}");
        assert!(row["fresh_us"].is_u64() && row["warm_us"].is_u64(), "{row}");
    }
    assert!(cli.run(["plugin", "bench", &plugin, "--calls", "3"]).expect_code(0).stdout.contains("fresh, µs"));
    cli.run(["plugin", "bench", &plugin, "--calls", "0"]).expect_code(2);
}

#[test]
fn fuzz_finds_a_planted_trap_and_prints_the_command_that_shows_it_again() {
    let Some(cli) = Cli::new() else { return };
    // The good plugin, and the one that traps on some texts.
    let good = fs::read(component("examples/bad_checks")).expect("`make plugins` builds it");
    let (marker, planted) = (b"RETRACE-BAD:none  ", b"RETRACE-BAD:D2    ");
    let at = good.windows(marker.len()).position(|bytes| bytes == marker).expect("the marker");
    let bad = [&good[..at], planted, &good[at + marker.len()..]].concat();
    fs::write(cli.path("good.wasm"), &good).unwrap();
    fs::write(cli.path("bad.wasm"), bad).unwrap();
    let fuzz = |file: &str, seconds: &str, more: &[&str]| {
        cli.run(["plugin", "fuzz", file, "--seconds", seconds].iter().chain(more))
    };

    let run = fuzz("bad.wasm", "20", &["--format", "json"]).expect_code(1);
    let document = json(&run);
    let [finding] = document["findings"].as_array().expect("findings").as_slice() else { panic!("{document}") };
    assert_eq!((&finding["kind"], &finding["function"]), (&"trap".into(), &"parse-release".into()));
    let again = finding["rerun"].as_str().expect("a command");
    let words: Vec<_> = again.split(' ').collect();
    assert_eq!(words[..3], ["retrace", "plugin", "call"], "{again}");
    let run = cli.run(&words[1..]).expect_code(1);
    assert!(run.stdout.contains("the plugin broke: trap") && run.stdout.contains("index out of bounds"), "{run}");

    let seed = document["seed"].as_str().expect("a seed");
    let run = fuzz("bad.wasm", "20", &["--seed", seed, "--function", "parse-release"]).expect_code(1);
    assert!(run.stdout.contains(&format!("    again: {again}")), "the same seed finds the same: {run}");
    let run = fuzz("good.wasm", "2", &[]).expect_code(0);
    assert!(run.stdout.starts_with("0 findings in "), "{run}");
}

#[test]
fn limits_are_those_in_force() {
    let Some(mut cli) = Cli::new() else { return };
    let text = cli.run(["plugin", "limits"]).expect_code(0).stdout;
    assert!(text.contains("deadline_ms") && text.contains("fixed by the contract"), "{text}");
    cli.set("RETRACE_PLUGINS_LIMITS_DEADLINE_MS", "250");
    let rows = json(&cli.run(["plugin", "limits", "--format", "json"]).expect_code(0));
    let rows = rows.as_array().expect("a list");
    assert!(rows.iter().any(|row| row["name"] == "deadline_ms" && row["value"] == 250), "{rows:?}");
}

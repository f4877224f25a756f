//! `plugin new` and `plugin build`, and what they refuse.

use std::fs;

use retrace_tests::Cli;

use super::{author, json};
use crate::view::explains_itself;

#[test]
fn every_template_says_what_it_made_and_what_it_needs() {
    let Some(cli) = author() else { return };
    for (template, file, needs) in [
        ("rust", "src/lib.rs", "wasm32-wasip2"),
        ("rust-std", "src/lib.rs", "wasm32-unknown-unknown"),
        ("declarative", "distribution.toml", "wasm32-wasip2"),
        ("c", "distribution.c", "clang"),
        ("javascript", "distribution.js", "jco"),
        ("python", "distribution.py", "componentize-py"),
    ] {
        let run = cli.run(["plugin", "new", "acme", "--template", template, "--dir", template, "--format", "json"]);
        let document = json(&run.expect_code(0));
        assert_eq!(document["template"], template);
        assert!(document["needs"].as_str().is_some_and(|text| text.contains(needs)), "{document}");
        for name in document["files"].as_array().expect("files") {
            let path = cli.path(template).join(name.as_str().expect("names"));
            assert!(path.is_file(), "{} was announced", path.display());
        }
        let main = fs::read_to_string(cli.path(template).join(file)).unwrap();
        assert!(main.contains("acme") || main.contains("Acme Linux"), "{template}: {main}");
    }
}

#[test]
fn nothing_is_overwritten_and_names_are_checked() {
    let Some(cli) = author() else { return };
    let run = cli.run(["plugin", "new", "acme", "--name", "Acme OS"]).expect_code(0);
    assert!(run.stdout.contains("cd acme && make test"), "{run}");
    let manifest = fs::read_to_string(cli.path("acme/Cargo.toml")).unwrap();
    assert!(manifest.contains("retrace-plugin-sdk = { path = ") && manifest.contains("Acme OS"), "{manifest}");

    let refused: &[(&[&str], &str)] = &[
        (&["acme"], "--dir"),
        (&["Acme"], "Acme"),
        (&["../acme"], "acme"),
        (&["other", "--template", "cobol"], "rust, rust-std, declarative, c, javascript, python"),
        (&["other", "--name", "a\"b"], "cannot be used"),
        (&["other", "--sdk", "/nowhere"], "plugin-sdk"),
        (&["other", "--dir", "no/such/folder"], "no/such"),
    ];
    for (arguments, says) in refused {
        let run = cli.run(["plugin", "new"].iter().chain(*arguments)).expect_code(2);
        assert!(run.stderr.contains(says), "{says:?} is not said: {run}");
    }
    assert!(!cli.path("other").exists());
}

#[test]
fn without_a_checkout_the_sdk_comes_from_the_registry() {
    let Some(cli) = Cli::new() else { return };
    let document = json(&cli.run(["plugin", "new", "acme", "--format", "json"]).expect_code(0));
    assert!(document["sdk"].as_str().is_some_and(|sdk| sdk.contains("crates.io")), "{document}");
    let manifest = fs::read_to_string(cli.path("acme/Cargo.toml")).unwrap();
    assert!(manifest.contains("retrace-plugin-sdk = { version = \"1."), "{manifest}");
}

#[test]
fn a_build_that_cannot_be_says_why() {
    let Some(cli) = author() else { return };
    let run = cli.run(["plugin", "build"]).expect_code(2);
    assert!(run.stderr.contains("retrace plugin new"), "{run}");

    fs::create_dir(cli.path("broken")).unwrap();
    fs::write(cli.path("broken/distribution.c"), "int x = ;\n").unwrap();
    if super::has(&cli, "clang", "apt-get install clang") {
        let run = cli.run(["plugin", "build", "broken"]).expect_code(1);
        assert!(run.stderr.contains("distribution.c:1"), "the compiler's words are missing: {run}");
        explains_itself(&run);
    }

    let mut without_tools = author().expect("as before");
    without_tools.set("PATH", "/nowhere");
    for (template, tool) in [("javascript", "npm install"), ("python", "pip install")] {
        without_tools.run(["plugin", "new", "acme", "--template", template, "--dir", template]).expect_code(0);
        let run = without_tools.run(["plugin", "build", template]).expect_code(2);
        assert!(run.stderr.contains(tool), "{run}");
    }
}

#[test]
fn the_contract_is_printed_and_written() {
    let Some(cli) = author() else { return };
    let text = cli.run(["plugin", "wit"]).expect_code(0).stdout;
    assert!(text.contains("package retrace:distro@1."), "{text}");
    let document = json(&cli.run(["plugin", "wit", "--format", "json"]).expect_code(0));
    assert_eq!(document["world"], "plugin");

    cli.run(["plugin", "wit", "--out", "wit"]).expect_code(0);
    assert_eq!(fs::read_to_string(cli.path("wit/distro.wit")).unwrap(), text);
    cli.run(["plugin", "wit", "--bindings", "c", "--out", "bindings"]).expect_code(0);
    for name in ["plugin.h", "plugin.c", "plugin_component_type.o"] {
        assert!(cli.path("bindings").join(name).is_file(), "{name}");
    }
    cli.run(["plugin", "wit", "--bindings", "c"]).expect_code(2);
}

//! The contract with plugins: its text stays compatible, its reference is made of it, and plugins that were built for a
//! frozen version keep working.

mod reference;

use std::{fs, path::PathBuf};

use retrace_tests::{Cli, checkout};
use wit_component::semver_check;
use wit_parser::Resolve;

/// Text of the contract that this checkout speaks.
fn current() -> String {
    fs::read_to_string(checkout().join("wit/distro.wit")).expect("wit/distro.wit")
}

/// Folders of `tests/fixtures/contract/`, one for each frozen version: `distro.wit` and plugins built for it.
fn frozen() -> Vec<PathBuf> {
    let folder = checkout().join("tests/fixtures/contract");
    let mut versions: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    versions.sort();
    assert!(!versions.is_empty(), "no version is frozen");
    versions
}

/// Whether a host that speaks `new` can load what was built for `old`, for each world of `old`.
fn check(old: &str, new: &str) -> Result<(), String> {
    let mut resolve = Resolve::default();
    // Both texts are packages of one name: only their versions keep them apart, and the check ignores versions.
    let renamed = |text: &str, version: &str| {
        let (head, rest) = text.split_once("package retrace:distro@").expect("the package's name");
        let (_, rest) = rest.split_once(';').expect("its end");
        format!("{head}package retrace:distro@{version};{rest}")
    };
    let old = resolve.push_str("old.wit", &renamed(old, "0.0.1")).map_err(|error| format!("{error:?}"))?;
    let new = resolve.push_str("new.wit", &renamed(new, "0.0.2")).map_err(|error| format!("{error:?}"))?;
    let worlds: Vec<_> = resolve.packages[old].worlds.iter().map(|(name, id)| (name.clone(), *id)).collect();
    for (name, old) in worlds {
        let new = *resolve.packages[new].worlds.get(&name).ok_or_else(|| format!("world {name} is gone"))?;
        semver_check(resolve.clone(), old, new).map_err(|error| format!("world {name}: {error:?}"))?;
    }
    Ok(())
}

#[test]
fn the_contract_is_compatible_with_every_frozen_version() {
    let current = current();
    for folder in frozen() {
        let old = fs::read_to_string(folder.join("distro.wit")).unwrap();
        check(&old, &current).unwrap_or_else(|error| {
            panic!(
                "wit/distro.wit breaks plugins built for {}: {error}\n\
                 a new function in `logging` or a new optional interface is compatible; anything else is version 2",
                folder.display()
            )
        });
    }
}

/// `tests/scripts/freeze-contract.sh` made them.
#[test]
fn plugins_built_for_every_frozen_version_pass_the_suite_of_today() {
    let Some(cli) = Cli::new() else { return };
    for version in frozen() {
        let plugins: Vec<_> =
            fs::read_dir(&version).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
        assert!(plugins.len() > 3, "{}: plugins are missing", version.display());
        for plugin in plugins {
            let component = plugin.join("plugin.wasm");
            let (component, fixtures) = (component.to_str().unwrap(), plugin.join("fixtures"));
            let run = cli.run(["plugin", "test", component, "--fixtures", fixtures.to_str().unwrap()]).expect_code(0);
            assert!(run.stdout.contains("passed: must"), "{run}");
        }
    }
}

/// What `plugin-sdk/docs/evolving.md` says of each change.
#[test]
fn a_change_is_compatible_or_a_break_as_the_documentation_says() {
    let old = current();
    let with = |what: &str, by: &str| {
        assert!(old.contains(what), "{what}");
        old.replacen(what, by, 1)
    };
    let log = "    log: func(level: level, message: string);";
    let describe = "    describe: func() -> description;";
    let compatible = [
        ("a text in a comment", with("Constant.", "Constant!")),
        ("a function in logging", with(log, &format!("{log}\n    flush: func();"))),
        ("a new interface", format!("{old}\ninterface health {{ check: func() -> bool; }}\n")),
        ("a function that the host no longer asks for", with(describe, "")),
        ("a new world", format!("{old}\nworld plugin-next {{ include plugin; export kernel; }}\n")),
    ];
    for (what, new) in compatible {
        assert_eq!(check(&old, &new), Ok(()), "{what}");
    }
    let breaks = [
        ("a function in distribution", with(describe, &format!("{describe}\n    health: func() -> bool;"))),
        ("a case of an enum", with("        error,\n    }", "        error,\n        fatal,\n    }")),
        ("a field of a record", with("        rolling: bool,", "        rolling: bool,\n        beta: bool,")),
        ("a case of a variant", with("        deb,\n", "        deb,\n        apk,\n")),
        (
            "a flag",
            with(
                "        packages,\n    }\n\n    /// A key",
                "        packages,\n        files,\n    }\n\n    /// A key",
            ),
        ),
        ("a parameter", with("func(names: list<string>)", "func(names: list<string>, strict: bool)")),
        (
            "an export that was optional",
            with("world plugin {\n    import logging;", "world plugin {\n    import logging;\n    export kernel;"),
        ),
    ];
    for (what, new) in breaks {
        assert!(check(&old, &new).is_err(), "{what}");
    }
}

/// `RETRACE_BLESS=1` writes it anew.
#[test]
fn the_reference_is_made_of_the_contract() {
    let path = checkout().join("plugin-sdk/docs/reference.md");
    let made = reference::markdown(&current());
    if std::env::var_os("RETRACE_BLESS").is_some() {
        fs::write(&path, &made).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == made,
        "plugin-sdk/docs/reference.md is not what wit/distro.wit says\n  fix: RETRACE_BLESS=1 cargo test --workspace --test integration contract::"
    );
}

#[test]
fn every_item_of_the_contract_is_documented() {
    assert_eq!(reference::undocumented(&current()), Vec::<String>::new());
}

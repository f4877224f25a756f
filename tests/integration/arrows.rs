//! Which crate may use which: the table of ARCHITECTURE.md, checked against what cargo sees.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, MetadataCommand};

/// Crate, and the crates of this workspace that it may use. An arrow that nobody uses has to go.
const ARROWS: &[(&str, &[&str])] = &[
    ("retrace-types", &[]),
    ("retrace-process", &[]),
    ("retrace-coredump", &["retrace-types"]),
    ("retrace-map", &[]),
    // Threads, modules and memory are those of the core.
    ("retrace-unwind", &["retrace-coredump", "retrace-map", "retrace-types"]),
    ("retrace-package", &["retrace-types"]),
    // retrace-package: the keyring that verifies the signatures of plugins before they are installed. retrace-process:
    // components are compiled in a child process with limits.
    ("retrace-plugin-host", &["retrace-package", "retrace-process", "retrace-types"]),
    // Builds run compilers.
    ("retrace-plugin-kit", &["retrace-process", "retrace-types"]),
    ("retrace-store", &["retrace-types"]),
    // retrace-process: mirrors by rsync.
    ("retrace-mirror", &["retrace-package", "retrace-process", "retrace-store", "retrace-types"]),
    ("retrace-chroot", &["retrace-package", "retrace-process", "retrace-types"]),
    (
        "retrace-worker",
        &[
            "retrace-chroot",
            "retrace-coredump",
            "retrace-mirror",
            "retrace-package",
            "retrace-plugin-host",
            // Hooks are programs.
            "retrace-process",
            "retrace-store",
            "retrace-types",
            "retrace-unwind",
        ],
    ),
    // The server runs no plugin and spawns no program: neither retrace-plugin-host nor retrace-process, by any way.
    ("retrace-server", &["retrace-package", "retrace-store", "retrace-types"]),
    (
        "retrace-cli",
        &[
            "retrace-chroot",
            "retrace-mirror",
            "retrace-package",
            "retrace-plugin-host",
            "retrace-plugin-kit",
            "retrace-process",
            "retrace-server",
            "retrace-store",
            "retrace-types",
            "retrace-worker",
        ],
    ),
    // retrace-plugin-sdk-macros: `declarative!`, which is a part of the SDK that has to be a crate of its own.
    ("retrace-plugin-sdk", &["retrace-plugin-sdk-macros"]),
    ("retrace-plugin-sdk-macros", &[]),
    ("retrace-plugin-almalinux", &["retrace-plugin-sdk"]),
    ("retrace-plugin-amazonlinux", &["retrace-plugin-sdk"]),
    ("retrace-plugin-centos", &["retrace-plugin-sdk"]),
    ("retrace-plugin-debian", &["retrace-plugin-sdk"]),
    ("retrace-plugin-fedora", &["retrace-plugin-sdk"]),
    ("retrace-plugin-opensuse", &["retrace-plugin-sdk"]),
    ("retrace-plugin-oraclelinux", &["retrace-plugin-sdk"]),
    ("retrace-plugin-rhel", &["retrace-plugin-sdk"]),
    ("retrace-plugin-rocky", &["retrace-plugin-sdk"]),
    ("retrace-plugin-ubuntu", &["retrace-plugin-sdk"]),
    ("retrace-plugin-bad", &["retrace-plugin-sdk"]),
    ("retrace-tests", &["retrace-types"]),
    ("retrace-accuracy", &["retrace-types"]),
];

/// What each crate of the workspace uses of the others, tests aside.
fn actual() -> BTreeMap<String, BTreeSet<String>> {
    let manifest = retrace_tests::checkout().join("Cargo.toml");
    let metadata = MetadataCommand::new().manifest_path(manifest).no_deps().exec().unwrap();
    let packages = metadata.workspace_packages();
    let names: BTreeSet<_> = packages.iter().map(|package| package.name.to_string()).collect();
    let used = |package: &cargo_metadata::Package| {
        let normal = package.dependencies.iter().filter(|dependency| dependency.kind != DependencyKind::Development);
        normal.map(|dependency| dependency.name.clone()).filter(|name| names.contains(name)).collect()
    };
    packages.iter().map(|package| (package.name.to_string(), used(package))).collect()
}

#[test]
fn crates_use_only_what_the_table_allows() {
    let allowed: BTreeMap<_, _> = ARROWS.iter().copied().collect();
    for (name, used) in actual() {
        let Some(allowed) = allowed.get(name.as_str()) else {
            panic!("{name} is not in the table: say there, and in ARCHITECTURE.md, what it may use");
        };
        for other in used {
            assert!(
                allowed.contains(&other.as_str()),
                "{name} uses {other}, which the table does not allow: take another way, or change the table and \
                 ARCHITECTURE.md"
            );
        }
    }
}

#[test]
fn the_table_names_only_crates_that_exist() {
    let actual = actual();
    for (name, allowed) in ARROWS {
        for name in [name].into_iter().chain(allowed.iter()) {
            assert!(actual.contains_key(*name), "there is no crate {name}");
        }
    }
}

#[test]
fn the_server_reaches_neither_plugins_nor_programs() {
    let actual = actual();
    let (mut reached, mut todo) = (BTreeSet::new(), vec!["retrace-server"]);
    while let Some(name) = todo.pop() {
        if reached.insert(name) {
            todo.extend(actual[name].iter().map(String::as_str));
        }
    }
    for forbidden in ["retrace-plugin-host", "retrace-process", "retrace-chroot", "retrace-worker"] {
        assert!(!reached.contains(forbidden), "retrace-server reaches {forbidden}");
    }
}

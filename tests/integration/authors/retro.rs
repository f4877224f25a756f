//! A distribution that nobody has heard of: its author starts from a template, and the crash is retraced with the plugin.

use std::{fs, path::Path};

use retrace_tests::{checkout, retro};

use super::{BUILD_LIMIT, author, json, status, suite};
use crate::view::{crashed, frame, functions, line_of};

#[test]
fn a_third_party_plugin_serves_a_whole_retrace() {
    let (Some(fixture), Some(mut cli)) = (retro(), author()) else { return };

    // What the author does: a template, changed, tested.
    cli.run(["plugin", "new", "retro", "--template", "declarative", "--name", "Retro Linux"]).expect_code(0);
    let (author, plugin) = (checkout().join("tests/plugins/retro"), cli.path("retro"));
    fs::remove_dir_all(plugin.join("fixtures")).unwrap();
    copy(&author, &plugin);
    cli.run_within(BUILD_LIMIT, ["plugin", "build", "retro"]).expect_code(0);
    let component = plugin.join("build/plugin.wasm");
    let component = component.to_str().expect("a plain path");

    let fixtures = plugin.join("fixtures");
    let fixtures = fixtures.to_str().expect("a plain path");
    let report = suite(&cli, component, fixtures);
    for id in ["A6", "C1", "D1", "G1", "G2"] {
        assert_eq!(status(&report, id), "pass", "{id}: {report}");
    }

    // What the operator does: the keys, the plugin that names them, its mirrors.
    let before = cli.analyze(&fixture.crash, &["--format", "json"]).expect_code(3).backtrace();
    assert!(before.release.is_none(), "no plugin knows it yet: {:?}", before.release);
    let keys = cli.path("keys");
    fs::create_dir_all(keys.join("retro")).unwrap();
    fs::copy(&fixture.key, keys.join("retro/RPM-GPG-KEY-retro-1")).unwrap();
    cli.set("RETRACE_KEYS_DIR", &keys);
    cli.run_within(BUILD_LIMIT, ["plugin", "install", component, "--allow-unsigned"]).expect_code(0);
    let listed = json(&cli.run(["plugin", "list", "--format", "json"]).expect_code(0));
    assert!(listed.to_string().contains("\"retro\""), "{listed}");
    let mirrors = [("base", "base"), ("base-debuginfo", "debuginfo")]
        .map(|(id, folder)| format!("{id}={}", fixture.release.join(folder).display()));
    cli.sync(["retro", "1"], &mirrors, &[]).expect_code(0);

    let backtrace = cli.analyze(&fixture.crash, &["--format", "json"]).expect_code(0).backtrace();
    assert!(backtrace.complete);
    let thread = crashed(&backtrace);
    assert_eq!(functions(thread)[..3], ["label_len [inline]", "record_weight [inline]", "wc_sum_labels"]);
    assert_eq!(
        frame(thread, "wc_sum_labels").line,
        Some(line_of("will-crash/wcbuckets.c", "sum += record_weight(record);"))
    );
    assert!(backtrace.packages.iter().any(|package| package.id.release.as_deref() == Some("1.retro1")));
}

/// Everything below `from`, over what is there.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (from, to) = {
            let entry = entry.unwrap();
            (entry.path(), to.join(entry.file_name()))
        };
        if from.is_dir() { copy(&from, &to) } else { fs::copy(&from, &to).map(drop).unwrap() }
    }
}

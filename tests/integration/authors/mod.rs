//! What authors of plugins use: new plugins, their builds, and the commands that look at plugins.

mod commands;
mod dev;
mod languages;
mod new;
mod retro;

use std::{env, ffi::OsString, path::PathBuf, time::Duration};

use retrace_tests::{Cli, Run, checkout, target_dir};
use serde_json::Value;

use crate::view::beside;

/// A build compiles the SDK's dependencies the first time, on a machine that does other things too.
const BUILD_LIMIT: Duration = Duration::from_secs(600);

/// The command for an author: with the tools of `make setup`, and cargo as the tests run it. Builds of all tests share
/// one target folder; nothing is downloaded, the versions are those of this checkout.
fn author() -> Option<Cli> {
    let mut cli = Cli::new()?;
    let home = PathBuf::from(env::var_os("HOME").unwrap_or_default());
    for (name, default) in [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")] {
        cli.set(name, env::var_os(name).map_or_else(|| home.join(default), PathBuf::from));
    }
    if let Some(toolchain) = env::var_os("RUSTUP_TOOLCHAIN") {
        cli.set("RUSTUP_TOOLCHAIN", toolchain);
    }
    let tools = target_dir().join("tools");
    let own = [tools.join("javascript/node_modules/.bin"), tools.join("python/bin")];
    let machine = env::var_os("PATH").unwrap_or_default();
    let path: OsString = env::join_paths(own.into_iter().chain(env::split_paths(&machine))).expect("plain paths");
    cli.set("PATH", path).set("CARGO_TARGET_DIR", target_dir().join("authors")).set("CARGO_NET_OFFLINE", "true");
    cli.set("RETRACE_SDK_PATH", checkout().join("plugin-sdk"));
    Some(cli)
}

/// `plugin new ID --template TEMPLATE`, in the folder that the commands run in, then `plugin build`; gives the component.
#[track_caller]
fn new_and_build(cli: &Cli, id: &str, template: &str) -> PathBuf {
    cli.run(["plugin", "new", id, "--template", template, "--dir", template]).expect_code(0);
    cli.run_within(BUILD_LIMIT, ["plugin", "build", template]).expect_code(0);
    cli.path(template).join("build/plugin.wasm")
}

/// The report of the whole suite on a component that passes it, beside all plugins of Retrace.
#[track_caller]
fn suite(cli: &Cli, component: &str, fixtures: &str) -> Value {
    let arguments = ["plugin", "test", component, "--fixtures", fixtures, "--format", "json"].map(str::to_owned);
    json(&cli.run_within(BUILD_LIMIT, arguments.into_iter().chain(beside())).expect_code(0))
}

/// How one check of a report ended: `pass`, `fail` or `skip`.
#[track_caller]
fn status<'a>(report: &'a Value, id: &str) -> &'a str {
    let checks = report["checks"].as_array().expect("checks");
    let check = checks.iter().find(|check| check["id"] == id).unwrap_or_else(|| panic!("no check {id}: {report}"));
    check["status"].as_str().expect("a status")
}

/// Standard output as JSON.
#[track_caller]
fn json(run: &Run) -> Value {
    serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("no JSON ({error}): {run}"))
}

/// Whether a program is there; a test that needs it skips otherwise.
fn has(cli: &Cli, program: &str, install: &str) -> bool {
    let found = cli.has_program(program);
    if !found {
        retrace_tests::skip(&format!("there is no {program}; {install}"));
    }
    found
}

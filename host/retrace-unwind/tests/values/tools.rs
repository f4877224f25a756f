//! Compilers and gdb.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// A program of `programs/` and how it is built.
#[derive(Clone, Copy)]
pub(crate) struct Build<'a> {
    pub(crate) compiler: &'a str,
    pub(crate) flags: &'a str,
    pub(crate) source: &'a str,
}

/// True if every program is there. Without one the test is skipped, or fails if `RETRACE_REQUIRE_TOOLS=1`.
pub(crate) fn have(programs: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |program: &str| std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    let missing: Vec<&&str> = programs.iter().filter(|program| !is_there(program)).collect();
    let required = std::env::var_os("RETRACE_REQUIRE_TOOLS").is_some_and(|value| value == "1");
    assert!(missing.is_empty() || !required, "missing programs: {missing:?}");
    if !missing.is_empty() {
        eprintln!("skipped: missing programs: {missing:?}");
    }
    missing.is_empty()
}

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/values")
}

#[expect(clippy::disallowed_methods, reason = "compilers and gdb on programs of this test")]
pub(crate) fn run(folder: &Path, program: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder).env("LC_ALL", "C.UTF-8").env_remove("DEBUGINFOD_URLS");
    command.output().unwrap()
}

/// Builds the program as `program`, lets it crash in gdb, and leaves `core` and `gdb.json` beside it.
pub(crate) fn crash(folder: &Path, build: &Build<'_>) {
    let source = here().join("programs").join(build.source);
    let source = source.to_str().unwrap();
    let mut arguments: Vec<&str> = build.flags.split(' ').collect();
    arguments.extend([source, "-o", "program"]);
    let built = run(folder, build.compiler, &arguments);
    assert!(built.status.success(), "{arguments:?}\n{}", String::from_utf8_lossy(&built.stderr));
    let script = here().join("export.py");
    let quiet = [
        "-nx",
        "-batch",
        "-iex",
        "set debuginfod enabled off",
        // gdb 13 fails an assertion on Rust's newer enums: then that value is unknown, and gdb goes on.
        "-iex",
        "maintenance set internal-error quit no",
        "-iex",
        "maintenance set internal-error corefile no",
    ];
    let crash = ["-ex", "run", "-ex", "generate-core-file core", "program"];
    let printers =
        if build.source.starts_with("containers") { "enable pretty-printer" } else { "disable pretty-printer" };
    // From the core: where a program stops, gdb hides functions that are inlined at that very instruction.
    let export = ["-ex", printers, "-x", script.to_str().unwrap(), "program", "core"];
    run(folder, "gdb", &[&quiet[..], &crash].concat());
    let ran = run(folder, "gdb", &[&quiet[..], &export].concat());
    assert!(folder.join("gdb.json").is_file(), "{}", String::from_utf8_lossy(&ran.stdout));
}

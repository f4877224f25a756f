//! What the scenarios ask of a result.

use std::path::{Path, PathBuf};

use retrace_tests::{Cli, RpmFixture, Run, checkout, target_dir};
use retrace_types::{Backtrace, Frame, GapReason, ThreadReport};

/// The thread that took the signal.
pub(crate) fn crashed(backtrace: &Backtrace) -> &ThreadReport {
    backtrace.threads.iter().find(|thread| thread.crashed).expect("one thread crashed")
}

/// Function names of a thread, innermost first; inlined ones end in ` [inline]`.
pub(crate) fn functions(thread: &ThreadReport) -> Vec<String> {
    let name = |frame: &Frame| {
        let name = frame.function.clone().unwrap_or_else(|| "??".to_owned());
        let name = if frame.signal_handler { "<signal handler called>".to_owned() } else { name };
        if frame.inline { format!("{name} [inline]") } else { name }
    };
    thread.frames.iter().map(name).collect()
}

/// The innermost frame of this function.
#[track_caller]
pub(crate) fn frame<'a>(thread: &'a ThreadReport, function: &str) -> &'a Frame {
    let found = thread.frames.iter().find(|frame| frame.function.as_deref() == Some(function));
    found.unwrap_or_else(|| panic!("no frame of {function} in {:?}", functions(thread)))
}

/// Reasons and subjects of all gaps.
pub(crate) fn gaps(backtrace: &Backtrace) -> Vec<(GapReason, &str)> {
    backtrace.all_gaps().map(|gap| (gap.reason, gap.subject.as_str())).collect()
}

/// The line, counted from 1, of the only line that holds `text` in a source of the version that crashed.
#[track_caller]
pub(crate) fn line_of(source: &str, text: &str) -> u32 {
    let path = checkout().join("tests/fixtures").join(source);
    let content = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    // The version that crashed was built without this line.
    let lines = content.lines().filter(|line| !line.contains("@LATER@"));
    let found: Vec<_> = lines.zip(1..).filter(|(line, _)| line.contains(text)).map(|(_, number)| number).collect();
    let [line] = found.as_slice() else { panic!("{source} has {} lines with {text:?}", found.len()) };
    *line
}

/// Mirrors of the RPM distribution: a folder of packages, one of debuginfo.
pub(crate) fn fedora(packages: &Path, debuginfo: &Path) -> Vec<String> {
    vec![format!("releases={}", packages.display()), format!("releases-debuginfo={}", debuginfo.display())]
}

/// Reads these two repositories of the RPM distribution into the index; its key is trusted.
pub(crate) fn sync_rpm(cli: &Cli, fixture: &RpmFixture, packages: &str, debuginfo: &str) -> Run {
    let mirrors = fedora(&fixture.repository(packages), &fixture.repository(debuginfo));
    cli.sync(["fedora", "40"], &mirrors, &[fixture.key()])
}

/// Asserts that a run failed as it should: this code, an explanation, and no panic.
#[track_caller]
pub(crate) fn explains_itself(run: &Run) {
    assert!(!run.stderr.contains("panicked"), "{run}");
    assert!(run.code.is_some(), "a signal ended it: {run}");
    if run.code != Some(0) {
        assert!(!(run.stderr.trim().is_empty() && run.stdout.trim().is_empty()), "it says nothing: {run}");
    }
}

/// A copy of a file, for tests that change it.
pub(crate) fn copy(from: &Path, to: PathBuf) -> PathBuf {
    std::fs::copy(from, &to).unwrap_or_else(|error| panic!("cannot copy {}: {error}", from.display()));
    to
}

/// A component that `make plugins` has built: `retrace_plugin_fedora`, `examples/bad_checks`.
pub(crate) fn component(name: &str) -> PathBuf {
    let built = || target_dir().join("wasm32-wasip2/plugin");
    let dir = std::env::var_os("RETRACE_PLUGIN_DIR").map_or_else(built, PathBuf::from);
    dir.join(name).with_extension("wasm")
}

/// Options of `plugin test` that put every plugin of Retrace beside the tested one.
pub(crate) fn beside() -> Vec<String> {
    let folders = std::fs::read_dir(checkout().join("plugins")).expect("the plugins' sources");
    let names = folders.map(|folder| folder.expect("a folder").file_name().into_string().expect("a plain name"));
    let mut paths: Vec<_> =
        names.map(|name| component(&format!("retrace_plugin_{name}")).display().to_string()).collect();
    paths.sort();
    assert!(paths.len() >= 10, "{paths:?}");
    paths.into_iter().flat_map(|path| ["--with".to_owned(), path]).collect()
}

/// The bytes of a plugin of Retrace, which stands for that of a third party. `salt` makes another file of it.
pub(crate) fn salted(distribution: &str, salt: Option<u8>) -> Vec<u8> {
    let path = component(&format!("retrace_plugin_{distribution}"));
    let mut bytes =
        std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}: run `make plugins`", path.display()));
    if let Some(salt) = salt {
        // A custom section: id, size, length of the name, name, content.
        bytes.extend([0, 6, 4, b's', b'a', b'l', b't', salt]);
    }
    bytes
}

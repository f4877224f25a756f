//! Programs of the system, and a reader that counts.

use std::{
    cell::Cell,
    io,
    path::Path,
    process::{Command, Output},
};

use retrace_coredump::ReadAt;

/// True if every program is there. Without one the test is skipped, or fails if `RETRACE_REQUIRE_TOOLS=1`.
pub(crate) fn have(programs: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let missing: Vec<&&str> = programs
        .iter()
        .filter(|program| !std::env::split_paths(&path).any(|dir| dir.join(program).is_file()))
        .collect();
    if missing.is_empty() {
        return true;
    }
    let required = std::env::var_os("RETRACE_REQUIRE_TOOLS").is_some_and(|value| value == "1");
    assert!(!required, "missing programs: {missing:?}");
    eprintln!("skipped: missing programs: {missing:?}");
    false
}

/// Runs a shell script in a folder to its end.
#[expect(clippy::disallowed_methods, reason = "a test of this crate, which must not depend on retrace-process")]
pub(crate) fn sh(dir: &Path, script: &str) -> Output {
    Command::new("sh").args(["-c", script]).current_dir(dir).output().unwrap()
}

/// Standard output of a script that must succeed.
pub(crate) fn sh_ok(dir: &Path, script: &str) -> String {
    let output = sh(dir, script);
    assert!(output.status.success(), "{script}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Counts what is read of a core.
pub(crate) struct Counting<T> {
    pub(crate) inner: T,
    pub(crate) calls: Cell<u64>,
    pub(crate) bytes: Cell<u64>,
}

impl<T> Counting<T> {
    pub(crate) fn new(inner: T) -> Self {
        Self { inner, calls: Cell::new(0), bytes: Cell::new(0) }
    }
}

impl<T: ReadAt> ReadAt for Counting<T> {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read_at(offset, buf)?;
        self.calls.set(self.calls.get() + 1);
        self.bytes.set(self.bytes.get() + count as u64);
        Ok(count)
    }

    fn size(&self) -> io::Result<u64> {
        self.inner.size()
    }
}

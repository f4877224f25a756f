//! What the integration tests stand on: real crashes with the packages they came from, a mirror that counts and lies,
//! and the `retrace` command in a folder of its own.
//!
//! Nothing here knows the code under test but for [`retrace_types`]: a fixture that shares code with a parser would
//! share its mistakes. Traffic goes to 127.0.0.1 only; apt alone reaches further, for the packages of the fixtures.
//!
//! A fixture or tool that is missing makes a test print `skipped: …` and pass, or fail under `RETRACE_REQUIRE_TOOLS=1`.

mod cli;
mod fixtures;
mod mirror_server;
mod paths;
mod postgres;
mod s3;
mod service;

pub use cli::{Cli, Run, Running};
pub use fixtures::{Crash, DebianFixture, OddFixture, RetroFixture, RpmFixture, debian, odd, retro, rpm};
pub use mirror_server::{Lie, MirrorServer, Request};
pub use paths::{checkout, target_dir};
pub use postgres::Postgres;
pub use s3::S3;

/// Sends a signal, such as `KILL`, to a process.
///
/// # Panics
/// `kill` cannot be run.
pub fn signal(name: &str, pid: u32) {
    let sent = std::process::Command::new("kill").args([format!("-{name}"), pid.to_string()]).status();
    // A process that has just ended is no error.
    sent.expect("kill runs");
}

/// Says why a test does not run; panics where everything has to run (`RETRACE_REQUIRE_TOOLS=1`).
///
/// # Panics
/// Under `RETRACE_REQUIRE_TOOLS=1`.
pub fn skip(reason: &str) {
    let required = std::env::var_os("RETRACE_REQUIRE_TOOLS").is_some_and(|value| value == "1");
    assert!(!required, "cannot be skipped: {reason}");
    eprintln!("skipped: {reason}");
}

//! The conformance suite: whether a component keeps the contract of plugins, shown by running it.
//!
//! [`run`] makes the checks of the [`CATALOGUE`] and returns a [`Report`], which is plain data. An installation asks for
//! [`Profile::Quick`], an author (`retrace plugin test`) for [`Profile::Full`]; the checks are the same, the inputs fewer.
//! Groups: A static, B contract, C golden, D properties, E hostile inputs, F budgets, G plugins together.
//!
//! Promises: the same component, seed and options give the same report, times aside, on every machine, for cost is counted
//! in fuel and not in time; a hostile component is stopped by the limits of a call and by the time limit of the run; each
//! failure shows the smallest input that was found and the command that shows it again; every check has a plugin below
//! `tests/plugins/bad` that fails it alone.
//!
//! Not here: whether what a plugin says of its distribution is true. Only its author's fixtures and the corpus know that.

pub mod catalogue;
mod junit;
mod options;
mod outcome;
mod render;
mod report;
mod static_checks;

use std::time::Instant;

use sha2::Digest as _;

pub use catalogue::{CATALOGUE, Check};
pub use options::{Companion, ConformanceError, Fixtures, Options};
use outcome::Outcome;
pub use render::ReportFormat;
pub use report::{
    CONTRACT, CheckResult, InvalidSeed, Level, Profile, Report, SCHEMA, SUITE, Seed, Status, Summary, Tally, Tested,
    Tester, Verdict, WASMTIME,
};

/// Runs the suite on a component.
///
/// A component that is no plugin is a finding ([`Verdict::NotLoadable`]), not an error.
///
/// # Errors
/// The suite itself cannot be run: engine, files, fixtures.
pub fn run(component: &[u8], fixtures: &Fixtures, options: &Options) -> Result<Report, ConformanceError> {
    let _ = fixtures;
    let started = Instant::now();
    let found = static_checks::check(component, &options.limits);
    let outcomes: [(&str, Outcome); 6] =
        [("A1", found.a1), ("A2", found.a2), ("A3", found.a3), ("A4", found.a4), ("A5", found.a5), ("A7", found.a7)];
    let duration = started.elapsed();
    let result = |(id, outcome): (&str, Outcome)| Some(outcome.into_result(catalogue::find(id)?, duration));
    let checks: Vec<CheckResult> = outcomes.into_iter().filter_map(result).collect();
    Ok(Report {
        schema: SCHEMA.to_owned(),
        suite: SUITE.to_owned(),
        contract: CONTRACT.to_owned(),
        plugin: Tested {
            sha256: hex(&sha2::Sha256::digest(component)),
            size: u64::try_from(component.len()).unwrap_or(u64::MAX),
            ..Tested::default()
        },
        host: Tester { retrace: env!("CARGO_PKG_VERSION").to_owned(), wasmtime: WASMTIME.to_owned() },
        profile: options.profile,
        seed: options.seed,
        summary: Summary::of(&checks),
        checks,
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

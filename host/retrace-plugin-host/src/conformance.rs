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

mod budget;
pub mod catalogue;
mod contract;
mod corpus;
mod fixture;
mod fuzz;
mod generate;
mod golden;
mod growth;
mod hostile;
mod junit;
mod keys;
mod material;
mod options;
mod os_release;
mod outcome;
mod properties;
mod question;
mod render;
mod report;
mod repro;
mod run;
mod section;
mod shrink;
mod static_checks;
mod subject;
mod survey;
mod together;

pub use budget::{BUDGETS, Budget, USUAL_SIZE_BYTES, budget_of};
pub use catalogue::{CATALOGUE, Check};
pub use fuzz::{FUZZ_SCHEMA, Finding, FuzzOptions, FuzzReport, fuzz};
pub use options::{Companion, ConformanceError, Fixtures, Options};
pub use render::ReportFormat;
pub use report::{
    CONTRACT, CheckResult, FunctionCost, InvalidSeed, Level, Profile, Report, SCHEMA, SUITE, Seed, Status, Summary,
    Tally, Tested, Tester, Verdict, WASMTIME,
};
pub use run::{bless, run};

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Name of the report's format, in [`Report::schema`].
pub const SCHEMA: &str = "retrace-plugin-report/1";
/// Version of the suite: which checks there are and what they demand.
pub const SUITE: &str = "1.0.0";
/// Version of the contract that the suite tests.
pub const CONTRACT: &str = "1.0.0";
/// Version of the engine that ran the plugin; a test compares it with `Cargo.lock`.
pub const WASMTIME: &str = "48.0.8";

/// What the suite found: plain data, the same in a file, on a terminal and in another program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: String,
    /// Version of the suite.
    pub suite: String,
    /// Version of the contract.
    pub contract: String,
    /// What was tested.
    pub plugin: Tested,
    /// What tested it.
    pub host: Tester,
    /// Which checks were asked for.
    pub profile: Profile,
    /// Where the random inputs start: the same seed, the same inputs.
    pub seed: Seed,
    /// What the plugin was allowed, by the names that `retrace plugin limits` prints.
    pub limits: BTreeMap<String, u64>,
    /// How the checks ended, counted.
    pub summary: Summary,
    /// What calls cost, function by function.
    pub costs: Vec<FunctionCost>,
    /// Every check, in the order of the catalogue.
    pub checks: Vec<CheckResult>,
}

/// The plugin of a report.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tested {
    /// Its id, as `describe` or else its section `retrace:plugin` says; none if neither can be read.
    pub id: Option<String>,
    /// Its version, by the same sources.
    pub version: Option<String>,
    /// SHA-256 of its file.
    pub sha256: String,
    /// Size of its file in bytes.
    pub size: u64,
    /// Version of the SDK that it was built with, where its section says so.
    pub sdk: Option<String>,
}

/// The host of a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tester {
    /// Version of Retrace.
    pub retrace: String,
    /// Version of the WebAssembly engine.
    pub wasmtime: String,
}

/// How thorough the suite is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// Few random cases and no growth curves: what an installation runs, a second or two.
    Quick,
    /// Everything.
    #[default]
    Full,
}

/// Seed of the random inputs; written as `0x5eed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Seed(pub u64);

impl Default for Seed {
    fn default() -> Self {
        Self(0x5eed)
    }
}

/// The text is no seed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid seed {0:?}: want a number such as 7 or 0x5eed")]
pub struct InvalidSeed(String);

impl std::str::FromStr for Seed {
    type Err = InvalidSeed;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = match text.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16),
            None => text.parse(),
        };
        number.map(Self).map_err(|_| InvalidSeed(text.chars().take(40).collect()))
    }
}

impl TryFrom<String> for Seed {
    type Error = InvalidSeed;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Seed> for String {
    fn from(seed: Seed) -> Self {
        seed.to_string()
    }
}

impl std::fmt::Display for Seed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// The most that a call of one function took, over corpus and fixtures, and what is usual.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionCost {
    /// Function of the contract.
    pub function: String,
    /// Fuel of the most expensive call.
    pub fuel: u64,
    /// Published budget of fuel.
    pub fuel_budget: u64,
    /// Bytes of memory after the call that needed most.
    pub peak_memory: u64,
    /// Published budget of memory.
    pub peak_memory_budget: u64,
}

/// How much a check weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// A plugin that fails it is not installed.
    Must,
    /// A defect that hurts somebody some day.
    Should,
    /// Worth knowing.
    Info,
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Every case held.
    Pass,
    /// A case did not hold.
    Fail,
    /// Nothing to check it with, or an earlier check says why not.
    Skip,
}

/// How the checks ended, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Checks of level [`Level::Must`].
    pub must: Tally,
    /// Checks of level [`Level::Should`].
    pub should: Tally,
    /// Checks of level [`Level::Info`].
    pub info: Tally,
    /// Checks that were not run.
    pub skipped: u32,
}

/// Checks of one level that were run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Those that held.
    pub pass: u32,
    /// Those that did not.
    pub fail: u32,
}

/// One check of a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckResult {
    /// Id in the catalogue: `B7`. Its page in the documentation has the same name.
    pub id: String,
    /// What holds if it passes.
    pub title: String,
    /// How much it weighs.
    pub level: Level,
    /// How it ended.
    pub status: Status,
    /// Inputs that were tried.
    pub cases: u64,
    /// Most fuel that one call of this check used, in units of the engine: about one for each instruction, and the same
    /// on every machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fuel: Option<u64>,
    /// Most bytes of memory that one call of this check used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_memory: Option<u64>,
    /// Time that the check took, in microseconds on the clock.
    pub duration_us: u64,
    /// What is wrong, or why it was skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The smallest input that shows it, escaped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<String>,
    /// The command that shows it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rerun: Option<String>,
}

/// What a report means for the plugin; the exit code of `retrace plugin test`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every check of level [`Level::Must`] that could be run holds.
    Passed,
    /// One does not.
    Failed,
    /// The host would not even load it.
    NotLoadable,
}

/// Checks that a host makes before it loads a plugin.
const LOADABLE: &[&str] = &["A1", "A2", "A3", "A4", "A5"];

impl Report {
    /// What the report means.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let failed = |check: &&CheckResult| check.level == Level::Must && check.status == Status::Fail;
        let failed: Vec<&str> = self.checks.iter().filter(failed).map(|check| check.id.as_str()).collect();
        if failed.is_empty() {
            Verdict::Passed
        } else if failed.iter().any(|id| LOADABLE.contains(id)) {
            Verdict::NotLoadable
        } else {
            Verdict::Failed
        }
    }

    /// Checks that do not hold, whatever their level.
    pub fn failures(&self) -> impl Iterator<Item = &CheckResult> {
        self.checks.iter().filter(|check| check.status == Status::Fail)
    }
}

impl Summary {
    pub(super) fn of(checks: &[CheckResult]) -> Self {
        let mut summary = Self::default();
        for check in checks {
            let tally = match check.level {
                Level::Must => &mut summary.must,
                Level::Should => &mut summary.should,
                Level::Info => &mut summary.info,
            };
            let count = match check.status {
                Status::Pass => &mut tally.pass,
                Status::Fail => &mut tally.fail,
                Status::Skip => &mut summary.skipped,
            };
            *count = count.saturating_add(1);
        }
        summary
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_read_and_written() {
        let cases = [("0x5eed", Some("0x5eed")), ("7", Some("0x7")), ("0xg", None), ("", None), ("-1", None)];
        for (text, want) in cases {
            assert_eq!(text.parse::<Seed>().ok().map(|seed| seed.to_string()).as_deref(), want, "text: {text:?}");
        }
    }
}

//! The cases, and the two backtraces of each.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use retrace_types::{ThreadReport, Variable};
use serde::Deserialize;

/// One core, as make_cases.py lists it.
#[derive(Debug, Deserialize)]
pub(crate) struct Case {
    /// Build and crash: `c-gcc-O2-segv`.
    pub(crate) name: String,
    /// How the debug information is kept: a row of the table.
    pub(crate) class: String,
    /// Which part of the suite it belongs to.
    pub(crate) tier: Tier,
    /// What gdb exported.
    pub(crate) gdb: PathBuf,
    /// gdb was asked for so many frames at most.
    pub(crate) limit: usize,
}

/// A part of the suite. Each has figures and a table of its own, so that one can be judged without the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Tier {
    /// Our own programs.
    Own,
    /// Programs of Debian, with the debug packages of Debian.
    Debian,
}

impl Tier {
    /// What the names of its figures begin with.
    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Self::Own => "",
            Self::Debian => "debian-",
        }
    }

    /// Its name in the marks of the document.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Debian => "debian",
        }
    }
}

/// A backtrace as gdb_export.py writes it.
#[derive(Debug, Deserialize)]
pub(crate) struct Referee {
    pub(crate) threads: Vec<RefereeThread>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct RefereeThread {
    pub(crate) tid: u32,
    pub(crate) frames: Vec<RefereeFrame>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct RefereeFrame {
    pub(crate) pc: u64,
    pub(crate) kind: RefereeKind,
    pub(crate) function: Option<String>,
    pub(crate) file: Option<String>,
    pub(crate) fullname: Option<String>,
    pub(crate) line: Option<u32>,
    pub(crate) arguments: Vec<RefereeVariable>,
    pub(crate) locals: Vec<RefereeVariable>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum RefereeKind {
    Normal,
    Inline,
    TailCall,
    Signal,
    Other,
}

#[derive(Debug, Deserialize)]
pub(crate) struct RefereeVariable {
    pub(crate) name: String,
    pub(crate) value: String,
    /// A number, character, boolean, enumerator, pointer, or a reference to one.
    pub(crate) scalar: bool,
    pub(crate) state: RefereeState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum RefereeState {
    Value,
    OptimizedOut,
    Unavailable,
}

/// A backtrace as the example `backtrace` of retrace-unwind writes it.
#[derive(Debug, Deserialize)]
pub(crate) struct Native {
    pub(crate) threads: Vec<ThreadReport>,
}

/// True if the engine says that the variable has no value.
pub(crate) fn is_optimized_out(variable: &Variable) -> bool {
    variable.value.starts_with("<optimized out")
}

impl Case {
    /// Reads both backtraces, the engine's from the folder `native`.
    pub(crate) fn read(&self, native: &Path) -> anyhow::Result<(Referee, Native)> {
        Ok((read_json(&self.gdb)?, read_json(&native.join(format!("{}.json", self.name)))?))
    }
}

/// Reads a list of cases.
pub(crate) fn read_list(path: &Path) -> anyhow::Result<Vec<Case>> {
    read_json(path)
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    let text = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is not what was expected", path.display()))
}

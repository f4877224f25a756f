use std::{fmt, str::FromStr, time::Duration};

use crate::Limits;

/// A function of the contract (`wit/distro.wit`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the contract documents them")]
pub enum Function {
    Describe,
    Releases,
    ParseRelease,
    GuessRelease,
    Repositories,
    DebuggerFor,
    ParseFileNames,
    FormatFileName,
    DebugPackages,
    KernelFor,
    ExtraPackages,
}

impl Function {
    /// All of them, in the order of the contract.
    pub const ALL: [Self; 11] = [
        Self::Describe,
        Self::Releases,
        Self::ParseRelease,
        Self::GuessRelease,
        Self::Repositories,
        Self::DebuggerFor,
        Self::ParseFileNames,
        Self::FormatFileName,
        Self::DebugPackages,
        Self::KernelFor,
        Self::ExtraPackages,
    ];

    /// Name in the contract: `parse-release`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Describe => "describe",
            Self::Releases => "releases",
            Self::ParseRelease => "parse-release",
            Self::GuessRelease => "guess-release",
            Self::Repositories => "repositories",
            Self::DebuggerFor => "debugger-for",
            Self::ParseFileNames => "parse-file-names",
            Self::FormatFileName => "format-file-name",
            Self::DebugPackages => "debug-packages",
            Self::KernelFor => "kernel-for",
            Self::ExtraPackages => "extra-packages",
        }
    }

    /// The interface that has it: `distribution`, which every plugin exports, or an optional one.
    #[must_use]
    pub fn interface(self) -> &'static str {
        match self {
            Self::KernelFor => "kernel",
            Self::ExtraPackages => "environment-advice",
            _ => "distribution",
        }
    }

    /// Processor time that one call of it may take.
    #[must_use]
    pub fn deadline(self, limits: &Limits) -> Duration {
        match self {
            Self::Describe | Self::Releases => limits.long_deadline,
            _ => limits.deadline,
        }
    }
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is no function of the contract.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the contract has no function {0:?}: `retrace plugin wit` prints those that it has")]
pub struct UnknownFunction(String);

impl FromStr for Function {
    type Err = UnknownFunction;

    fn from_str(name: &str) -> Result<Self, UnknownFunction> {
        let found = Self::ALL.into_iter().find(|function| function.name() == name);
        found.ok_or_else(|| UnknownFunction(name.chars().take(64).collect()))
    }
}

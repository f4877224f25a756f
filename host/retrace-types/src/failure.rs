use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a task failed: what statistics count and searches ask for. The sentence for people stands beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureReason {
    /// The upload holds no core of a process, or one that cannot be read.
    NotACore,
    /// A dump of a kernel, or of a machine that is not supported.
    Unsupported,
    /// The debugger could not be run, or it gave nothing.
    Debugger,
    /// The task took longer than it may, or more memory or disk.
    Limit,
    /// A program failed that the operator wants to succeed.
    Hook,
    /// Each try took its worker down.
    GaveUp,
    /// Someone cancelled it.
    Cancelled,
    /// The store, the index or the disk failed.
    Storage,
    /// A defect of Retrace.
    Internal,
}

impl FailureReason {
    /// Every reason.
    pub const ALL: [Self; 9] = [
        Self::NotACore,
        Self::Unsupported,
        Self::Debugger,
        Self::Limit,
        Self::Hook,
        Self::GaveUp,
        Self::Cancelled,
        Self::Storage,
        Self::Internal,
    ];

    /// The name in the store and the API: `not-a-core`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotACore => "not-a-core",
            Self::Unsupported => "unsupported",
            Self::Debugger => "debugger",
            Self::Limit => "limit",
            Self::Hook => "hook",
            Self::GaveUp => "gave-up",
            Self::Cancelled => "cancelled",
            Self::Storage => "storage",
            Self::Internal => "internal",
        }
    }

    /// The reason with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == name)
    }
}

impl fmt::Display for FailureReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_documents_and_are_read_back() {
        for reason in FailureReason::ALL {
            assert_eq!(serde_json::to_string(&reason).unwrap(), format!("\"{reason}\""));
            assert_eq!(FailureReason::from_name(reason.as_str()), Some(reason));
        }
        assert_eq!(FailureReason::from_name("other"), None);
    }
}

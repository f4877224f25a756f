use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Number of a retrace task as clients see it: exactly nine decimal digits, the first not zero.
///
/// Source: option `TaskIdLength` of retrace-server, whose default of 9 old clients were written against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct TaskId(u64);

/// The number or text is no task id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid task id {0:?}: want nine digits, the first not zero")]
pub struct InvalidTaskId(String);

impl TaskId {
    /// Smallest id.
    pub const MIN: u64 = 100_000_000;
    /// Largest id.
    pub const MAX: u64 = 999_999_999;

    /// The id as a number.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0
    }
}

impl TryFrom<u64> for TaskId {
    type Error = InvalidTaskId;

    fn try_from(n: u64) -> Result<Self, Self::Error> {
        if (Self::MIN..=Self::MAX).contains(&n) { Ok(Self(n)) } else { Err(InvalidTaskId(n.to_string())) }
    }
}

impl From<TaskId> for u64 {
    fn from(id: TaskId) -> Self {
        id.0
    }
}

impl FromStr for TaskId {
    type Err = InvalidTaskId;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidTaskId(s.chars().take(40).collect());
        if s.len() != 9 || !s.bytes().all(|b| b.is_ascii_digit()) {
            return Err(invalid());
        }
        s.parse::<u64>().ok().and_then(|n| Self::try_from(n).ok()).ok_or_else(invalid)
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a task is asked to do; the numbers of the header `X-Task-Type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TaskKind {
    /// 0: a user-space core.
    Coredump,
    /// 1: a user-space core; nothing is cleaned afterwards.
    Debug,
    /// 2: a kernel dump.
    Vmcore,
}

impl TaskKind {
    /// The number that old clients send.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Coredump => 0,
            Self::Debug => 1,
            Self::Vmcore => 2,
        }
    }

    /// The kind with this number.
    #[must_use]
    pub fn from_number(n: u8) -> Option<Self> {
        match n {
            0 => Some(Self::Coredump),
            1 => Some(Self::Debug),
            2 => Some(Self::Vmcore),
            _ => None,
        }
    }
}

/// The step that a task is at. Numbers and sentences are the predecessor's: clients show and compare them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TaskStatus {
    /// 0: waiting, or reading the core.
    Analyze,
    /// 1: packages and environment.
    Init,
    /// 2: backtrace.
    Backtrace,
    /// 3: environment is being removed.
    Cleanup,
    /// 4: statistics.
    Stats,
    /// 6: done, there is a backtrace.
    Success,
    /// 7: done, there is none.
    Fail,
}

impl TaskStatus {
    /// Every status, in the order of a task's life.
    pub const ALL: [Self; 7] =
        [Self::Analyze, Self::Init, Self::Backtrace, Self::Cleanup, Self::Stats, Self::Success, Self::Fail];

    /// The number in the store.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Analyze => 0,
            Self::Init => 1,
            Self::Backtrace => 2,
            Self::Cleanup => 3,
            Self::Stats => 4,
            Self::Success => 6,
            Self::Fail => 7,
        }
    }

    /// The status with this number.
    #[must_use]
    pub fn from_number(n: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.number() == n)
    }

    /// The sentence that clients show, byte for byte the predecessor's.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Analyze => "Analyzing crash data",
            Self::Init => "Preparing environment for backtrace generation",
            Self::Backtrace => "Generating backtrace",
            Self::Cleanup => "Cleaning environment after backtrace generation",
            Self::Stats => "Saving crash statistics",
            Self::Success => "Retrace job finished successfully",
            Self::Fail => "Retrace job failed",
        }
    }

    /// What the header `X-Task-Status` says. It follows from the status alone, so header and sentence agree.
    #[must_use]
    pub fn state(self) -> TaskState {
        match self {
            Self::Success => TaskState::FinishedSuccess,
            Self::Fail => TaskState::FinishedFailure,
            Self::Analyze | Self::Init | Self::Backtrace | Self::Cleanup | Self::Stats => TaskState::Pending,
        }
    }
}

/// Value of the header `X-Task-Status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TaskState {
    /// Not finished.
    Pending,
    /// Finished with a backtrace.
    FinishedSuccess,
    /// Finished without one.
    FinishedFailure,
}

impl TaskState {
    /// The header's value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::FinishedSuccess => "FINISHED_SUCCESS",
            Self::FinishedFailure => "FINISHED_FAILURE",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_id_has_exactly_nine_digits() {
        for (input, valid) in [
            ("123456789", true),
            ("023456789", false),
            ("12345678", false),
            ("1234567890", false),
            ("+23456789", false),
            ("", false),
        ] {
            assert_eq!(input.parse::<TaskId>().is_ok(), valid, "input: {input:?}");
        }
    }

    #[test]
    fn numbers_are_read_back() {
        for status in TaskStatus::ALL {
            assert_eq!(TaskStatus::from_number(status.number()), Some(status));
        }
        assert_eq!(TaskStatus::from_number(5), None);
        for n in 0..3 {
            assert_eq!(TaskKind::from_number(n).map(TaskKind::number), Some(n));
        }
    }
}

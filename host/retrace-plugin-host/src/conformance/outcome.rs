use std::time::Duration;

use super::{
    catalogue::Check,
    report::{CheckResult, Level, Status},
};
use crate::state::one_line;

/// Most bytes of a message, and of an input, in a report. A longer input is stored in full as a counter-example.
const MAX_TEXT_BYTES: usize = 2 << 10;

/// How a check ended, before it is put beside its entry of the catalogue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) failure: Option<Failure>,
    pub(super) skipped: Option<String>,
    pub(super) cases: u64,
    pub(super) cost: Cost,
    /// Where it is not the catalogue's.
    pub(super) level: Option<Level>,
}

/// Why a check fails.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) message: String,
    pub(super) input: Option<String>,
    pub(super) rerun: Option<String>,
}

/// The most that one call took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cost {
    pub(super) fuel: Option<u64>,
    pub(super) peak_memory: Option<u64>,
}

impl Outcome {
    pub(super) fn pass(cases: u64) -> Self {
        Self { cases, ..Self::default() }
    }

    pub(super) fn skip(why: impl Into<String>) -> Self {
        Self { skipped: Some(why.into()), ..Self::default() }
    }

    pub(super) fn fail(message: impl Into<String>) -> Self {
        let failure = Failure { message: message.into(), ..Failure::default() };
        Self { failure: Some(failure), cases: 1, ..Self::default() }
    }

    /// Texts come from plugins and their inputs: bounded and escaped here, and nowhere else.
    pub(super) fn into_result(self, check: &Check, duration: Duration) -> CheckResult {
        let plain = |text: String| one_line(&text, MAX_TEXT_BYTES);
        let status = match (&self.failure, &self.skipped) {
            (Some(_), _) => Status::Fail,
            (None, Some(_)) => Status::Skip,
            (None, None) => Status::Pass,
        };
        let failure = self.failure.unwrap_or_default();
        let message = Some(failure.message).filter(|message| !message.is_empty()).or(self.skipped);
        CheckResult {
            id: check.id.to_owned(),
            title: check.title.to_owned(),
            level: self.level.unwrap_or(check.level),
            status,
            cases: self.cases,
            fuel: self.cost.fuel,
            peak_memory: self.cost.peak_memory,
            duration_us: u64::try_from(duration.as_micros()).unwrap_or(u64::MAX),
            message: message.map(plain),
            input: failure.input.map(plain),
            rerun: failure.rerun.map(plain),
        }
    }
}

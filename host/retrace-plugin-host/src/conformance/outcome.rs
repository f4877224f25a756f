use std::time::Duration;

use serde_json::Value;

use super::{
    catalogue::Check,
    question::Question,
    report::{CheckResult, Level, Status},
    repro::Repro,
};
use crate::{CallStats, Function, state::one_line};

/// Most bytes of a message, and of an input, in a report. A longer input is stored in full as a counter-example.
const MAX_TEXT_BYTES: usize = 2 << 10;

/// How a check ended, before it is put beside its entry of the catalogue.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Outcome {
    pub(super) failure: Option<Failure>,
    pub(super) skipped: Option<String>,
    pub(super) cases: u64,
    pub(super) cost: Cost,
    /// Where it is not the catalogue's.
    pub(super) level: Option<Level>,
}

/// Why a check fails.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Failure {
    pub(super) message: String,
    /// The call that shows it.
    pub(super) call: Option<(Function, Value)>,
}

/// The most that one call took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cost {
    pub(super) fuel: Option<u64>,
    pub(super) peak_memory: Option<u64>,
}

impl Cost {
    pub(super) fn of(stats: &CallStats) -> Self {
        Self { fuel: stats.fuel, peak_memory: u64::try_from(stats.peak_memory_bytes).ok() }
    }

    pub(super) fn most(&mut self, other: Self) {
        self.fuel = self.fuel.max(other.fuel);
        self.peak_memory = self.peak_memory.max(other.peak_memory);
    }
}

impl Failure {
    pub(super) fn of(message: impl Into<String>, question: &Question) -> Self {
        Self { message: message.into(), call: Some((question.function(), question.input())) }
    }

    pub(super) fn without_call(message: impl Into<String>) -> Self {
        Self { message: message.into(), call: None }
    }
}

impl Outcome {
    pub(super) fn pass(cases: u64) -> Self {
        Self { cases, ..Self::default() }
    }

    pub(super) fn skip(why: impl Into<String>) -> Self {
        Self { skipped: Some(why.into()), ..Self::default() }
    }

    pub(super) fn fail(message: impl Into<String>) -> Self {
        Self { failure: Some(Failure::without_call(message)), cases: 1, ..Self::default() }
    }

    /// Texts come from plugins and their inputs: bounded and escaped here, and nowhere else.
    pub(super) fn into_result(self, check: &Check, duration: Duration, repro: &Repro) -> CheckResult {
        let plain = |text: String| one_line(&text, MAX_TEXT_BYTES);
        let status = match (&self.failure, &self.skipped) {
            (Some(_), _) => Status::Fail,
            (None, Some(_)) => Status::Skip,
            (None, None) => Status::Pass,
        };
        let failure = self.failure.unwrap_or_default();
        let message = Some(failure.message).filter(|message| !message.is_empty()).or(self.skipped);
        let rerun = (status == Status::Fail).then(|| repro.command(check.id, failure.call.as_ref()));
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
            input: failure.call.map(|(_, input)| plain(input.to_string())),
            rerun: rerun.map(plain),
        }
    }
}

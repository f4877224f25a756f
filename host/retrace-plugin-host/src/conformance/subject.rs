use std::{cell::RefCell, sync::Arc, time::Instant};

use super::{
    outcome::{Cost, Failure, Outcome},
    question::{Answer, Question},
};
use crate::{CallStats, FailureKind, Guest, guest::Instances};

/// The component under test, on an engine that counts, and the end of the run.
pub(super) struct Subject {
    pub(super) guest: Arc<Guest>,
    pub(super) over_at: Instant,
}

/// A call and how it went.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) answer: Result<Answer, FailureKind>,
    pub(super) stats: CallStats,
}

/// The time of the run is over; whatever was not checked fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TimeIsOver;

/// How a check ends, unless the run ends before.
pub(super) type Checked = Result<Outcome, TimeIsOver>;

impl Subject {
    /// Starts a check: each call gets an instance of its own.
    pub(super) fn trial(&self) -> Trial<'_> {
        self.with(Instances::fresh())
    }

    /// The same, with one instance for all calls.
    pub(super) fn job(&self) -> Trial<'_> {
        self.with(Instances::kept())
    }

    fn with(&self, instances: Instances) -> Trial<'_> {
        Trial { subject: self, state: RefCell::new(State { instances, cases: 0, cost: Cost::default() }) }
    }
}

/// The calls of one check, counted.
pub(super) struct Trial<'a> {
    subject: &'a Subject,
    /// The random inputs of proptest come to a closure that cannot change what it holds.
    state: RefCell<State>,
}

struct State {
    instances: Instances,
    cases: u64,
    cost: Cost,
}

impl Trial<'_> {
    pub(super) fn ask(&self, question: &Question) -> Result<Asked, TimeIsOver> {
        if Instant::now() >= self.subject.over_at {
            return Err(TimeIsOver);
        }
        let mut state = self.state.borrow_mut();
        let (answer, stats) = state
            .instances
            .run(&self.subject.guest, question.function(), |exports, store| question.call(exports, store));
        state.cases = state.cases.saturating_add(1);
        state.cost.most(Cost::of(&stats));
        Ok(Asked { answer, stats })
    }

    /// Counts a call that was made without [`Trial::ask`].
    pub(super) fn count(&self, stats: &CallStats) {
        let mut state = self.state.borrow_mut();
        state.cases = state.cases.saturating_add(1);
        state.cost.most(Cost::of(stats));
    }

    pub(super) fn pass(&self) -> Outcome {
        let state = self.state.borrow();
        Outcome { cases: state.cases, cost: state.cost, ..Outcome::default() }
    }

    pub(super) fn fail(&self, message: impl Into<String>, question: &Question) -> Outcome {
        Outcome { failure: Some(Failure::of(message, question)), ..self.pass() }
    }

    pub(super) fn end(&self, failure: Option<Failure>) -> Outcome {
        Outcome { failure, ..self.pass() }
    }
}

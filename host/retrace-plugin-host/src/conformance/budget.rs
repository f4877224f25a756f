//! Group F: what calls cost, against the figures that `plugin-sdk/docs/budgets.md` publishes.

use std::collections::BTreeMap;

use super::{
    material::Material,
    outcome::{Cost, Failure, Outcome},
    question::Question,
    report::{FunctionCost, Level},
    subject::{Subject, TimeIsOver},
    survey::Survey,
};
use crate::{CallStats, Function};

/// What one call of a function may cost before it is unusual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// The function.
    pub function: Function,
    /// Fuel of one call, making the instance not counted.
    pub fuel: u64,
    /// Bytes of memory after the call.
    pub memory_bytes: u64,
}

/// Published budgets: no shipped plugin takes half of one on the corpus, a test holds them to that.
pub const BUDGETS: &[Budget] = &[
    budget(Function::Describe, 50_000, 4),
    budget(Function::Releases, 1_000_000, 4),
    budget(Function::ParseRelease, 1_000_000, 4),
    budget(Function::GuessRelease, 1_000_000, 4),
    budget(Function::Repositories, 1_000_000, 4),
    budget(Function::DebuggerFor, 200_000, 4),
    // A batch of 1000 names.
    budget(Function::ParseFileNames, 20_000_000, 8),
    budget(Function::FormatFileName, 100_000, 4),
    budget(Function::DebugPackages, 100_000, 4),
    budget(Function::KernelFor, 500_000, 4),
    budget(Function::ExtraPackages, 500_000, 4),
];

/// Size of a component that is usual, in bytes.
pub const USUAL_SIZE_BYTES: u64 = 512 << 10;

/// A cost that is that many times over its budget is a defect.
const DEFECT_FACTOR: u64 = 10;

const MIB: u64 = 1 << 20;

const fn budget(function: Function, fuel: u64, memory_mib: u64) -> Budget {
    Budget { function, fuel, memory_bytes: memory_mib * MIB }
}

/// The budget of a function.
#[must_use]
pub fn budget_of(function: Function) -> Option<&'static Budget> {
    BUDGETS.iter().find(|budget| budget.function == function)
}

/// The most expensive call of each function.
pub(super) struct Costs {
    most: BTreeMap<Function, Most>,
    cases: u64,
    fuel_percent: u64,
}

/// The most expensive calls of one function.
#[derive(Default)]
struct Most {
    fuel: Option<(u64, Question)>,
    memory: Option<(u64, Question)>,
}

impl Costs {
    pub(super) fn measure(
        subject: &Subject,
        survey: &Survey,
        material: &Material,
        fuel_percent: u32,
    ) -> Result<Self, TimeIsOver> {
        let mut costs = Self { most: BTreeMap::new(), cases: 0, fuel_percent: fuel_percent.into() };
        for said in [Some(&survey.describe), survey.releases.as_ref()].into_iter().flatten() {
            costs.count(&said.question, &said.asked.stats);
        }
        for said in survey.repositories.iter().chain(&survey.debuggers) {
            costs.count(&said.question, &said.asked.stats);
        }
        let trial = subject.trial();
        for (_, question) in material.texts.iter().chain(&material.packages) {
            costs.count(question, &trial.ask(question)?.stats);
        }
        if !material.file_names.is_empty() {
            let batch = material.file_names.iter().cycle().take(1000).cloned().collect();
            let question = Question::ParseFileNames(batch);
            costs.count(&question, &trial.ask(&question)?.stats);
        }
        let question = Question::ParseFileNames(material.file_names.clone());
        if let Ok(super::question::Answer::Names(ids)) = trial.ask(&question)?.answer {
            for id in ids.into_iter().flatten() {
                for question in [Question::FormatFileName(id.clone()), Question::DebugPackages(id)] {
                    costs.count(&question, &trial.ask(&question)?.stats);
                }
            }
        }
        if subject.guest.exports(Function::KernelFor) {
            for (version, arch) in &material.kernels {
                let question = Question::KernelFor(version.clone(), arch.clone());
                costs.count(&question, &trial.ask(&question)?.stats);
            }
        }
        Ok(costs)
    }

    fn count(&mut self, question: &Question, stats: &CallStats) {
        self.cases = self.cases.saturating_add(1);
        let cost = Cost::of(stats);
        let most = self.most.entry(question.function()).or_default();
        for (value, place) in [(cost.fuel, &mut most.fuel), (cost.peak_memory, &mut most.memory)] {
            if let Some(value) = value
                && place.as_ref().is_none_or(|(known, _)| *known < value)
            {
                *place = Some((value, question.clone()));
            }
        }
    }

    fn all(&self) -> Cost {
        let most = |value: fn(&Most) -> Option<u64>| self.most.values().filter_map(value).max();
        Cost {
            fuel: most(|most| most.fuel.as_ref().map(|(value, _)| *value)),
            peak_memory: most(|most| most.memory.as_ref().map(|(value, _)| *value)),
        }
    }

    /// Function by function, for the report.
    pub(super) fn table(&self) -> Vec<FunctionCost> {
        let row = |(function, most): (&Function, &Most)| {
            let budget = budget_of(*function)?;
            let value = |most: &Option<(u64, Question)>| most.as_ref().map_or(0, |(value, _)| *value);
            Some(FunctionCost {
                function: function.name().to_owned(),
                fuel: value(&most.fuel),
                fuel_budget: self.fuel(budget),
                peak_memory: value(&most.memory),
                peak_memory_budget: budget.memory_bytes,
            })
        };
        self.most.iter().filter_map(row).collect()
    }

    /// F1: fuel of everything but what loading asks.
    pub(super) fn f1(&self) -> Outcome {
        let functions = self.most.iter().filter(|(function, _)| !is_loading(**function));
        self.compare("fuel", functions, |most| most.fuel.as_ref(), |budget| self.fuel(budget))
    }

    /// F2: memory.
    pub(super) fn f2(&self) -> Outcome {
        self.compare("bytes of memory", self.most.iter(), |most| most.memory.as_ref(), |budget| budget.memory_bytes)
    }

    /// F4: fuel of what a host asks when it loads a plugin.
    pub(super) fn f4(&self) -> Outcome {
        let functions = self.most.iter().filter(|(function, _)| is_loading(**function));
        self.compare("fuel", functions, |most| most.fuel.as_ref(), |budget| self.fuel(budget))
    }

    fn fuel(&self, budget: &Budget) -> u64 {
        budget.fuel.saturating_mul(self.fuel_percent) / 100
    }

    fn compare<'a>(
        &self,
        unit: &str,
        functions: impl Iterator<Item = (&'a Function, &'a Most)>,
        value: impl Fn(&Most) -> Option<&(u64, Question)>,
        budget: impl Fn(&Budget) -> u64,
    ) -> Outcome {
        let over = functions.filter_map(|(function, most)| {
            let ((value, question), allowed) = (value(most)?, budget(budget_of(*function)?));
            (*value > allowed).then_some((*function, *value, allowed, question))
        });
        let worst = over.max_by_key(|(_, value, allowed, _)| value.saturating_mul(100) / (*allowed).max(1));
        let outcome = Outcome { cases: self.cases, cost: self.all(), ..Outcome::default() };
        match worst {
            None => outcome,
            Some((function, value, allowed, question)) => {
                let message = format!("{function} takes {value} {unit}, the budget is {allowed}");
                let failure = Some(Failure::of(message, question));
                Outcome { failure, level: level(value, allowed), ..outcome }
            }
        }
    }
}

/// F3: size of the file.
pub(super) fn f3(size: u64) -> Outcome {
    if size <= USUAL_SIZE_BYTES {
        return Outcome::pass(1);
    }
    let message = format!("{size} bytes, usual are at most {USUAL_SIZE_BYTES}");
    Outcome { level: level(size, USUAL_SIZE_BYTES), ..Outcome::fail(message) }
}

fn is_loading(function: Function) -> bool {
    matches!(function, Function::Describe | Function::Releases)
}

fn level(value: u64, allowed: u64) -> Option<Level> {
    (value > allowed.saturating_mul(DEFECT_FACTOR)).then_some(Level::Should)
}

//! Random questions for a while: `retrace plugin fuzz`. The inputs are those of group D, the time is the author's.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use proptest::strategy::{Strategy as _, ValueTree as _};
use serde::{Deserialize, Serialize};

use super::{
    ConformanceError, Fixtures, Options, Seed, corpus, fixture, generate,
    material::Material,
    properties::runner,
    question::{Answer, Question},
    repro::Repro,
    run::Workshop,
    shrink::smallest,
    static_checks,
    subject::{Subject, TimeIsOver, Trial},
    survey::{Known, Survey},
};
use crate::{FailureKind, Function, state::one_line};

/// Name of the report's format.
pub const FUZZ_SCHEMA: &str = "retrace-plugin-fuzz/1";

/// Most findings of one run: more of them help nobody.
const MAX_FINDINGS: usize = 20;
/// Most bytes of an input in the report.
const MAX_INPUT_BYTES: usize = 2 << 10;
/// Time for making one finding small.
const SHRINK_TIME: Duration = Duration::from_secs(20);

/// How to look.
#[derive(Clone, Debug)]
pub struct FuzzOptions {
    /// Seed, limits, files; the time limit is how long to look.
    pub run: Options,
    /// One function; none: all that the plugin exports.
    pub function: Option<Function>,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FuzzReport {
    /// [`FUZZ_SCHEMA`].
    pub schema: String,
    /// Id of the plugin.
    pub plugin: String,
    /// SHA-256 of its file.
    pub sha256: String,
    /// Where the inputs start.
    pub seed: Seed,
    /// Inputs that were tried, by function.
    pub cases: BTreeMap<String, u64>,
    /// What does not hold; empty if nothing was found.
    pub findings: Vec<Finding>,
}

/// One defect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Function of the contract.
    pub function: String,
    /// What is wrong: `trap`, `deadline`, `memory`, `data`, `invalid-value` or `state`.
    pub kind: String,
    /// In words.
    pub message: String,
    /// The smallest input that was found, escaped.
    pub input: String,
    /// The command that shows it again.
    pub rerun: String,
}

/// Asks random questions until the time is over.
///
/// # Errors
/// The component cannot be loaded or does not describe itself, or a file cannot be used.
pub fn fuzz(component: &[u8], fixtures: &Fixtures, options: &FuzzOptions) -> Result<FuzzReport, ConformanceError> {
    let not_loadable = |why: String| ConformanceError::NotLoadable { why };
    if let Some(why) = static_checks::check(component, &options.run.limits).first_failure() {
        return Err(not_loadable(why));
    }
    let repro = Repro::new(&options.run)?;
    let cases = fixtures.dir.as_deref().map(fixture::read_dir).transpose()?.unwrap_or_default();
    let workshop = Workshop::new(&options.run)?;
    let guest = workshop.guest(component, &options.run.file)?.map_err(|(_, why)| not_loadable(why))?;
    let end = Instant::now().checked_add(options.run.time_limit).unwrap_or_else(Instant::now);
    let subject = Subject { guest, over_at: end };
    let survey = Survey::new(&subject).map_err(|TimeIsOver| not_loadable("no time left".to_owned()))?;
    let known = survey.known.ok_or_else(|| not_loadable("describe has no valid answer (check B1)".to_owned()))?;
    let material = Material::new(&corpus::corpus()?, &cases, &known);

    let exports = |function| subject.guest.exports(function);
    let strategy = match options.function {
        Some(function) if !exports(function) => return Err(not_loadable(format!("it does not export {function}"))),
        Some(function) => generate::function_questions(&material, &known, function),
        None => generate::questions(&material, &known, exports),
    };
    let mut runner = runner(options.run.seed.0, 1);
    let mut found = Found { repro, seen: BTreeSet::new(), findings: Vec::new() };
    let mut cases: BTreeMap<String, u64> = BTreeMap::new();
    let (fresh, job) = (subject.trial(), subject.job());
    while found.findings.len() < MAX_FINDINGS {
        let Ok(tree) = strategy.new_tree(&mut runner) else { break };
        let question = tree.current();
        let Ok(defect) = defect(&question, &known, &fresh, &job) else { break };
        let count = cases.entry(question.function().name().to_owned()).or_default();
        *count = count.saturating_add(1);
        if let Some(defect) = defect {
            // Making it small may take longer than looking for it.
            let over_at = Instant::now().checked_add(SHRINK_TIME).unwrap_or(end);
            let subject = Subject { guest: std::sync::Arc::clone(&subject.guest), over_at };
            found.add(question, defect, &subject, &known);
        }
    }
    Ok(FuzzReport {
        schema: FUZZ_SCHEMA.to_owned(),
        plugin: known.id.to_string(),
        sha256: crate::guest::digest(component).to_string(),
        seed: options.run.seed,
        cases,
        findings: found.findings,
    })
}

/// What is wrong with an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Defect {
    kind: &'static str,
    message: String,
}

/// Asks in an instance of its own, then in one that answered all the questions before.
fn defect(
    question: &Question,
    known: &Known,
    fresh: &Trial<'_>,
    job: &Trial<'_>,
) -> Result<Option<Defect>, TimeIsOver> {
    let answer = fresh.ask(question)?.answer;
    if let Some(defect) = wrong(question, &answer, known) {
        return Ok(Some(defect));
    }
    let again = job.ask(question)?.answer;
    Ok((again != answer)
        .then(|| Defect { kind: "state", message: format!("another answer after other calls: {}", shown(&again)) }))
}

fn wrong(question: &Question, answer: &Result<Answer, FailureKind>, known: &Known) -> Option<Defect> {
    let kind = match answer {
        Err(kind) => kind.clone(),
        Ok(answer) if question.is_within_contract() => question.check(answer, &known.owner()).err()?,
        Ok(_) => return None,
    };
    let word = match &kind {
        FailureKind::Deadline => "deadline",
        FailureKind::OutOfMemory => "memory",
        FailureKind::TooMuchData => "data",
        FailureKind::InvalidValue { .. } => "invalid-value",
        _ => "trap",
    };
    Some(Defect { kind: word, message: kind.to_string() })
}

fn shown(answer: &Result<Answer, FailureKind>) -> String {
    match answer {
        Ok(answer) => one_line(&format!("{answer:?}"), 256),
        Err(kind) => kind.to_string(),
    }
}

struct Found {
    repro: Repro,
    /// Function, kind and the start of the message: the same defect is told once.
    seen: BTreeSet<(Function, &'static str, String)>,
    findings: Vec<Finding>,
}

impl Found {
    fn add(&mut self, question: Question, defect: Defect, subject: &Subject, known: &Known) {
        let start: String = defect.message.chars().filter(|c| !c.is_ascii_digit()).take(60).collect();
        if !self.seen.insert((question.function(), defect.kind, start)) {
            return;
        }
        let trial = subject.trial();
        let same = |question: &Question| {
            let answer = trial.ask(question).map(|asked| asked.answer);
            answer.is_ok_and(|answer| wrong(question, &answer, known).is_some_and(|other| other.kind == defect.kind))
        };
        // State shows only after other calls; a smaller question would show nothing.
        let question = if defect.kind == "state" { question } else { smallest(question, same) };
        let (function, input) = (question.function(), question.input());
        let shown = one_line(&input.to_string(), MAX_INPUT_BYTES);
        let name = format!("fuzz-{function}-{}", self.findings.len().saturating_add(1));
        let rerun = self.repro.command(&name, Some(&(function, input)));
        self.findings.push(Finding {
            function: function.name().to_owned(),
            kind: defect.kind.to_owned(),
            message: one_line(&defect.message, MAX_INPUT_BYTES),
            input: shown,
            rerun,
        });
    }
}

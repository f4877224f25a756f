//! One pass over what a plugin says of itself: its releases, and the repositories of each. The checks of group B look at
//! this, and the later groups know from it what the plugin serves.

use retrace_types::DistroId;

use super::{
    outcome::{Failure, Outcome},
    question::{Answer, Question},
    subject::{Asked, Checked, Subject, TimeIsOver, Trial},
};
use crate::{
    FailureKind,
    bindings::{exports::retrace::distro::distribution as wit, retrace::distro::types},
    convert::{self, Owner},
};

/// What the plugin says of itself; only what the host would accept.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) id: DistroId,
    pub(super) aliases: Vec<DistroId>,
    pub(super) name: String,
    pub(super) version: String,
    pub(super) is_rpm: bool,
    /// The entries of `releases` that are valid.
    pub(super) releases: Vec<wit::ReleaseEntry>,
}

impl Known {
    pub(super) fn owner(&self) -> Owner<'_> {
        Owner { id: &self.id, aliases: &self.aliases }
    }

    pub(super) fn owns(&self, distro: &str) -> bool {
        self.owner().owns(distro)
    }

    /// Whether it lists the release.
    pub(super) fn lists(&self, release: &types::Release) -> bool {
        let same = |entry: &wit::ReleaseEntry| {
            (&entry.release.distro, &entry.release.version) == (&release.distro, &release.version)
        };
        self.releases.iter().any(same)
    }
}

/// A call of the survey.
pub(super) struct Said {
    pub(super) question: Question,
    pub(super) asked: Asked,
}

/// Everything that the plugin says of itself.
pub(super) struct Survey {
    pub(super) describe: Said,
    /// None if `describe` cannot be used.
    pub(super) known: Option<Known>,
    pub(super) releases: Option<Said>,
    /// One for each release and architecture.
    pub(super) repositories: Vec<Said>,
    pub(super) debuggers: Vec<Said>,
}

impl Survey {
    pub(super) fn new(subject: &Subject) -> Result<Self, TimeIsOver> {
        let trial = subject.trial();
        let say = |question: Question| Ok::<_, TimeIsOver>(Said { asked: trial.ask(&question)?, question });
        let describe = say(Question::Describe)?;
        let known = match &describe.asked.answer {
            Ok(Answer::Description(answer)) => known(answer),
            _ => None,
        };
        let mut survey = Self { describe, known, releases: None, repositories: Vec::new(), debuggers: Vec::new() };
        let Some(known) = &mut survey.known else { return Ok(survey) };
        let releases = say(Question::Releases)?;
        if let Ok(Answer::Releases(entries)) = &releases.asked.answer {
            let owner = known.owner();
            let valid = |entry: &&wit::ReleaseEntry| convert::releases(vec![(*entry).clone()], &owner).is_ok();
            let valid = entries.iter().filter(valid).cloned().collect();
            known.releases = valid;
        }
        survey.releases = Some(releases);
        for entry in &known.releases {
            for arch in &entry.architectures {
                survey.repositories.push(say(Question::Repositories(entry.release.clone(), arch.clone()))?);
                survey.debuggers.push(say(Question::DebuggerFor(entry.release.clone(), arch.clone()))?);
            }
        }
        Ok(survey)
    }
}

fn known(answer: &wit::Description) -> Option<Known> {
    let valid = convert::description(answer.clone()).ok()?;
    Some(Known {
        id: valid.id,
        aliases: valid.aliases,
        name: valid.name,
        version: valid.version,
        is_rpm: answer.format == types::PackageFormat::Rpm,
        releases: Vec::new(),
    })
}

/// Looks at calls that were made before.
pub(super) struct Look<'a> {
    trial: Trial<'a>,
    failure: Option<Failure>,
}

impl<'a> Look<'a> {
    pub(super) fn new(subject: &'a Subject) -> Self {
        Self { trial: subject.trial(), failure: None }
    }

    /// Counts the call, and keeps the first failure.
    pub(super) fn at(&mut self, said: &Said, rule: impl FnOnce(&Answer) -> Option<String>) {
        self.trial.count(&said.asked.stats);
        if let (None, Ok(answer)) = (&self.failure, &said.asked.answer) {
            self.failure = rule(answer).map(|message| Failure::of(message, &said.question));
        }
    }

    /// As [`Look::at`], for the check that answers for the call itself.
    pub(super) fn at_call(&mut self, said: &Said, rule: impl FnOnce(&Answer) -> Option<String>) {
        self.at(said, rule);
        if let (None, Err(kind)) = (&self.failure, &said.asked.answer) {
            self.failure = Some(Failure::of(kind.to_string(), &said.question));
        }
    }

    pub(super) fn end(self) -> Checked {
        Ok(self.trial.end(self.failure))
    }

    pub(super) fn outcome(self) -> Outcome {
        self.trial.end(self.failure)
    }
}

/// The rule that is broken, if the path of the value is one that `ours` knows.
pub(super) fn broken<T>(result: Result<T, FailureKind>, ours: impl FnOnce(&str) -> bool) -> Option<String> {
    match result {
        Err(FailureKind::InvalidValue { path, rule }) if ours(&path) => Some(format!("{path}: {rule}")),
        _ => None,
    }
}

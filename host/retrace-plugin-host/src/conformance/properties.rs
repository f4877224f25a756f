//! Group D: what has to hold for any input. proptest makes the inputs from the seed of the run; what fails is made small.

use std::collections::BTreeMap;

use proptest::{
    prelude::*,
    sample::Index,
    strategy::BoxedStrategy,
    test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner},
};

use super::{
    contract::own,
    corpus::Entry,
    generate,
    material::Material,
    options::Options,
    os_release,
    outcome::Outcome,
    question::{Answer, Question},
    report::Profile,
    shrink::smallest,
    subject::{Asked, Checked, Subject, TimeIsOver, Trial},
    survey::Known,
};
use crate::{FailureKind, bindings::retrace::distro::types};

/// What the properties need to know.
pub(super) struct Properties<'a> {
    pub(super) subject: &'a Subject,
    pub(super) known: &'a Known,
    pub(super) material: &'a Material,
    pub(super) corpus: &'a [Entry],
    pub(super) options: &'a Options,
}

/// Random questions, and the first that fails.
enum Found {
    Nothing,
    Failure(String, Question),
    OutOfTime,
}

impl Properties<'_> {
    fn cases(&self, full: u32) -> u32 {
        match self.options.profile {
            Profile::Quick => full / 8,
            Profile::Full => full,
        }
    }

    /// Tries questions until one fails.
    fn search<T: std::fmt::Debug>(
        &self,
        number: u64,
        cases: u32,
        strategy: &BoxedStrategy<T>,
        try_one: impl Fn(&T) -> Result<Option<(String, Question)>, TimeIsOver>,
    ) -> Found {
        let mut runner = runner(self.options.seed.0 ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15), cases);
        let over = std::cell::Cell::new(false);
        let result = runner.run(strategy, |value| match try_one(&value) {
            Ok(None) => Ok(()),
            Ok(Some((message, _))) => Err(TestCaseError::fail(message)),
            // Not a failure of this case: nothing is shrunk, the run just ends.
            Err(TimeIsOver) => {
                over.set(true);
                Ok(())
            }
        });
        match result {
            Err(TestError::Fail(_, value)) => match try_one(&value) {
                Ok(Some((message, question))) => Found::Failure(message, question),
                // It does not fail again: that is D1's business, but it is no success either.
                Ok(None) => Found::Failure("failed once, and not again".to_owned(), Question::Describe),
                Err(TimeIsOver) => Found::OutOfTime,
            },
            Err(TestError::Abort(_)) | Ok(()) if over.get() => Found::OutOfTime,
            Err(TestError::Abort(_)) | Ok(()) => Found::Nothing,
        }
    }

    /// D1: the answer depends on the question alone.
    pub(super) fn d1(&self) -> Checked {
        let mut questions = vec![Question::Describe, Question::Releases];
        for entry in &self.known.releases {
            let arch = entry.architectures.first().cloned().unwrap_or_default();
            questions.push(Question::Repositories(entry.release.clone(), arch.clone()));
            questions.push(Question::DebuggerFor(entry.release.clone(), arch));
        }
        questions
            .extend(self.material.texts.iter().chain(&self.material.packages).map(|(_, question)| question.clone()));
        questions.push(Question::ParseFileNames(self.material.file_names.clone()));
        questions.truncate(usize::try_from(self.cases(2000)).unwrap_or(usize::MAX));

        let (fresh, job) = (self.subject.trial(), self.subject.job());
        let first = questions.iter().map(|question| fresh.ask(question)).collect::<Result<Vec<_>, _>>()?;
        // Backwards, so that each question comes after others than it did, and each twice.
        for (question, first) in questions.iter().zip(&first).rev() {
            for what in ["after other calls", "asked again in one instance"] {
                if job.ask(question)?.answer != first.answer {
                    return Ok(fresh.fail(format!("another answer {what}"), question));
                }
            }
        }
        for (question, first) in questions.iter().zip(&first) {
            if fresh.ask(question)?.answer != first.answer {
                return Ok(fresh.fail("another answer in another instance", question));
            }
        }
        Ok(fresh.pass())
    }

    /// D2: nothing but answers and errors.
    pub(super) fn d2(&self) -> Checked {
        let trial = self.subject.trial();
        let exports = |function| self.subject.guest.exports(function);
        let strategy = generate::questions(self.material, self.known, exports);
        let found = self.search(2, self.cases(1024), &strategy, |question| {
            Ok(defect(&trial.ask(question)?).map(|kind| (kind, question.clone())))
        });
        self.end(&trial, found, |asked| defect(asked).is_some())
    }

    /// D3: os-release in another form is the same os-release.
    pub(super) fn d3(&self) -> Checked {
        let trial = self.subject.trial();
        let mut texts = Vec::new();
        for (_, question) in &self.material.texts {
            let Some(text) = os_release::text(question) else { continue };
            if let Ok(Answer::Release(Some(release))) = trial.ask(question)?.answer {
                texts.push((text.to_owned(), release));
            }
        }
        if texts.is_empty() {
            return Ok(Outcome::skip("no os-release of this distribution is at hand: add one to the fixtures"));
        }
        let strategy = (any::<Index>(), os_release::forms()).boxed();
        let found = self.search(3, self.cases(256), &strategy, |(index, forms)| {
            let Some((text, release)) = texts.get(index.index(texts.len())) else { return Ok(None) };
            let question = Question::os_release(os_release::in_form(text, forms));
            Ok(match trial.ask(&question)?.answer {
                Ok(Answer::Release(Some(got))) if got == *release => None,
                Ok(other) => Some((format!("in another form ({forms:?}) the answer is {other:?}"), question)),
                // D2 looks for these.
                Err(_) => None,
            })
        });
        self.end_as_found(&trial, found)
    }

    /// D4: names that are written can be read.
    pub(super) fn d4(&self) -> Checked {
        let trial = self.subject.trial();
        let names = Question::ParseFileNames(self.material.file_names.clone());
        let mut ids = match trial.ask(&names)?.answer {
            Ok(Answer::Names(ids)) => ids.into_iter().flatten().collect::<Vec<_>>(),
            _ => Vec::new(),
        };
        // B18 tells of the others.
        ids.retain(|id| Question::FormatFileName(id.clone()).is_within_contract());
        ids.dedup();
        for id in &ids {
            if let Some((message, question)) = self.round_trip(&trial, id)? {
                return Ok(trial.fail(message, &question));
            }
        }
        let strategy = generate::tame_package(self.known.is_rpm);
        let found = self.search(4, self.cases(256), &strategy, |id| self.round_trip(&trial, id));
        self.end_as_found(&trial, found)
    }

    fn round_trip(&self, trial: &Trial<'_>, id: &types::PackageId) -> Result<Option<(String, Question)>, TimeIsOver> {
        let read_back = |id: &types::PackageId| {
            let Ok(Answer::FileName(name)) = trial.ask(&Question::FormatFileName(id.clone()))?.answer else {
                return Ok(None); // an error: the format has no name for it
            };
            let question = Question::ParseFileNames(vec![name.clone()]);
            match trial.ask(&question)?.answer {
                Ok(Answer::Names(mut ids)) => Ok(Some((name, ids.pop().flatten(), question))),
                _ => Ok(None),
            }
        };
        // File names of rpm leave the epoch out.
        let same = |got: &types::PackageId| types::PackageId { epoch: id.epoch, ..got.clone() } == *id;
        if let Some((name, got, question)) = read_back(id)?
            && !got.as_ref().is_some_and(same)
        {
            return Ok(Some((format!("{id:?} is written as {name:?} and read as {got:?}"), question)));
        }
        if id.kind != types::PackageKind::Binary {
            return Ok(None);
        }
        let question = Question::DebugPackages(id.clone());
        let Ok(Answer::Packages(packages)) = trial.ask(&question)?.answer else { return Ok(None) };
        for package in packages {
            let debug = |kind: &types::PackageKind| {
                matches!(kind, types::PackageKind::DebugInfo | types::PackageKind::DebugSource)
            };
            let versions = (&package.version, &package.release) == (&id.version, &id.release);
            if !debug(&package.kind) || !versions {
                return Ok(Some((format!("{package:?} is no debug package of the same version"), question)));
            }
            if let Some((name, got, question)) = read_back(&package)?
                && !got.as_ref().is_some_and(|got| debug(&got.kind))
            {
                return Ok(Some((format!("the debug package {name:?} is read as {got:?}"), question)));
            }
        }
        Ok(None)
    }

    /// D6: a batch is nothing but its names.
    pub(super) fn d6(&self) -> Checked {
        let trial = self.subject.trial();
        let names = &self.material.file_names;
        let batch = match trial.ask(&Question::ParseFileNames(names.clone()))?.answer {
            Ok(Answer::Names(ids)) if ids.len() == names.len() => ids,
            _ => return Ok(Outcome::skip("the batch has no answer for each name (B18)")),
        };
        for (name, in_batch) in names.iter().zip(&batch) {
            let question = Question::ParseFileNames(vec![name.clone()]);
            let alone = match trial.ask(&question)?.answer {
                Ok(Answer::Names(mut ids)) => ids.pop().flatten(),
                _ => return Ok(trial.fail("no answer alone, but one in a batch", &question)),
            };
            if alone != *in_batch {
                let pair = Question::ParseFileNames(names.clone());
                let still = |question: &Question| {
                    let Question::ParseFileNames(names) = question else { return false };
                    let Ok(Ok(Answer::Names(ids))) = trial.ask(question).map(|asked| asked.answer) else {
                        return false;
                    };
                    names.iter().position(|other| other == name).and_then(|at| ids.get(at)) == Some(in_batch)
                };
                let message = format!("{name:?} alone is {alone:?}, in this batch {in_batch:?}");
                return Ok(trial.fail(message, &smallest(pair, still)));
            }
        }
        Ok(trial.pass())
    }

    /// D7: packages and texts of one release lead to one release.
    pub(super) fn d7(&self) -> Checked {
        let trial = self.subject.trial();
        // What texts say of each release, and which entries of the corpus are read as they should be.
        let mut read: BTreeMap<(String, String), types::Release> = BTreeMap::new();
        for (_, question) in &self.material.texts {
            if let Ok(Answer::Release(Some(release))) = trial.ask(question)?.answer {
                read.insert((release.distro.clone(), release.version.clone()), release);
            }
        }
        let mut claims = 0_u64;
        for (origin, question) in &self.material.packages {
            let entry = own(self.corpus, self.known).find(|entry| entry.question == *question);
            let version = entry.and_then(|entry| Some((entry.distro.clone(), entry.want.version()?.to_owned())));
            let is_read = version.clone().filter(|release| read.contains_key(release));
            let message = match (trial.ask(question)?.answer, is_read) {
                (Ok(Answer::Guess(Some(guess))), is_read) => {
                    claims = claims.saturating_add(1);
                    let got = guess.release;
                    let key = (got.distro.clone(), got.version.clone());
                    match (is_read, read.get(&key)) {
                        (Some(want), _) if want != key => {
                            format!(
                                "guessed {} {}, but texts of that release are read as {} {}",
                                key.0, key.1, want.0, want.1
                            )
                        }
                        (_, Some(text)) if (&text.codename, text.rolling) != (&got.codename, got.rolling) => {
                            format!("guessed {got:?}, but a text of that release is read as {text:?}")
                        }
                        _ => continue,
                    }
                }
                (Ok(Answer::Error(error)), Some(want)) => {
                    format!("{error:?}, but texts of that release are read as {} {}", want.0, want.1)
                }
                _ => continue,
            };
            return Ok(trial.fail(format!("{origin}: {message}"), question));
        }
        Ok(if claims == 0 { Outcome::skip("no package at hand is claimed") } else { trial.pass() })
    }

    /// Makes the question smaller while it fails the same way.
    fn end(&self, trial: &Trial<'_>, found: Found, still: impl Fn(&Asked) -> bool) -> Checked {
        match found {
            Found::Failure(message, question) => {
                let question = smallest(question, |question| trial.ask(question).is_ok_and(|asked| still(&asked)));
                let message = match trial.ask(&question)?.answer {
                    Err(kind) => kind.to_string(),
                    Ok(_) => message,
                };
                Ok(trial.fail(message, &question))
            }
            other => self.end_as_found(trial, other),
        }
    }

    fn end_as_found(&self, trial: &Trial<'_>, found: Found) -> Checked {
        match found {
            Found::Nothing => Ok(trial.pass()),
            Found::OutOfTime => Err(TimeIsOver),
            Found::Failure(message, question) => Ok(trial.fail(message, &question)),
        }
    }
}

/// A call that ended in neither an answer nor an error.
fn defect(asked: &Asked) -> Option<String> {
    asked.answer.as_ref().err().map(FailureKind::to_string)
}

/// The same seed, the same inputs; nothing is written, for counter-examples are kept by the suite itself.
pub(super) fn runner(seed: u64, cases: u32) -> TestRunner {
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 256, ..Config::default() };
    let mut bytes = [0_u8; 32];
    for (byte, value) in bytes.iter_mut().zip(seed.to_le_bytes().into_iter().cycle()) {
        *byte = value;
    }
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

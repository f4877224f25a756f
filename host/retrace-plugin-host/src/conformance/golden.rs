//! Group C: what authors and real machines say is right.

use serde_json::Value;

use super::{
    contract::own,
    corpus::{Entry, Want, rank},
    fixture::Case,
    outcome::{Failure, Outcome},
    question::Answer,
    subject::{Checked, Subject},
    survey::Known,
};
use crate::CallFailure;

/// C1: the author's fixtures.
pub(super) fn c1(subject: &Subject, cases: &[Case]) -> Checked {
    if cases.is_empty() {
        return Ok(Outcome::skip("no fixtures: name their folder with --fixtures"));
    }
    let trial = subject.trial();
    let mut failure = None;
    for case in cases {
        let report = subject.guest.call(case.function, &case.input);
        trial.count(&report.stats);
        let message = match report.answer {
            Ok(answer) => case.wanted.difference(&answer),
            Err(CallFailure::Input(error)) => Some(format!("the input does not fit the function: {error}")),
            Err(error) => Some(error.to_string()),
        };
        if let (None, Some(message)) = (&failure, message) {
            let file = case.file.file_name().unwrap_or_default().to_string_lossy();
            let message = format!("{file}: {}: {message}", case.name);
            failure = Some(Failure { message, call: Some((case.function, case.input.clone())) });
        }
    }
    Ok(trial.end(failure))
}

/// The answers that differ from `expect`, as they would be written.
pub(super) fn changed(subject: &Subject, cases: &[Case]) -> Vec<(usize, Value)> {
    let change = |(i, case): (usize, &Case)| {
        let super::fixture::Wanted::Whole(_) = &case.wanted else { return None };
        let answer = subject.guest.call(case.function, &case.input).answer.ok()?;
        case.wanted.difference(&answer).map(|_| (i, answer))
    };
    cases.iter().enumerate().filter_map(change).collect()
}

/// C2: own entries of the corpus.
pub(super) fn c2(subject: &Subject, corpus: &[Entry], known: &Known) -> Checked {
    let trial = subject.trial();
    for entry in own(corpus, known) {
        let answer = match trial.ask(&entry.question)?.answer {
            Ok(answer) => answer,
            Err(kind) => return Ok(trial.fail(format!("{}: {kind}", entry.origin), &entry.question)),
        };
        if let Some(message) = unrecognised(entry, &answer) {
            return Ok(trial.fail(format!("{}: {message}", entry.origin), &entry.question));
        }
    }
    let outcome = trial.pass();
    Ok(if outcome.cases == 0 { Outcome::skip("the corpus has nothing of this distribution") } else { outcome })
}

fn unrecognised(entry: &Entry, answer: &Answer) -> Option<String> {
    let shown = || match answer {
        Answer::Release(None) | Answer::Guess(None) => "none".to_owned(),
        Answer::Release(Some(release)) => format!("{} {} minor {:?}", release.distro, release.version, release.minor),
        Answer::Guess(Some(guess)) => {
            format!("{} {} ({:?})", guess.release.distro, guess.release.version, guess.confidence)
        }
        other => format!("{other:?}"),
    };
    let distro = &entry.distro;
    match (&entry.want, answer) {
        (Want::Release { version, minor }, Answer::Release(Some(release)))
            if (distro, version, minor) == (&release.distro, &release.version, &release.minor) =>
        {
            None
        }
        (Want::Release { version, minor }, _) => {
            Some(format!("want {distro} {version} minor {minor:?}, got {}", shown()))
        }
        (Want::NotServed, Answer::Release(Some(_))) => {
            Some(format!("want an error or none, for this release is not served; got {}", shown()))
        }
        (Want::NotServed, _) => None,
        (Want::Guess { version, minor, confidence }, Answer::Guess(Some(guess)))
            if (distro, version, minor) == (&guess.release.distro, &guess.release.version, &guess.release.minor)
                && rank(guess.confidence) >= *confidence =>
        {
            None
        }
        (Want::Guess { version, minor, confidence }, _) => {
            let least = ["weak", "likely", "certain"].get(usize::from(*confidence)).unwrap_or(&"certain");
            Some(format!("want {distro} {version} minor {minor:?}, at least {least}; got {}", shown()))
        }
        (Want::Silent, _) => None,
    }
}

/// C3: foreign entries of the corpus.
pub(super) fn c3(subject: &Subject, corpus: &[Entry], known: &Known) -> Checked {
    let trial = subject.trial();
    for entry in corpus.iter().filter(|entry| !known.owns(&entry.distro)) {
        let message = match trial.ask(&entry.question)?.answer {
            Ok(Answer::Release(None) | Answer::Guess(None)) => continue,
            Ok(Answer::Guess(Some(guess))) if rank(guess.confidence) == 0 => continue,
            // A tag of another distribution may be one that this plugin knows, of a release that it does not serve.
            Ok(Answer::Error(_)) if matches!(entry.want, Want::Guess { .. } | Want::Silent) => continue,
            Ok(Answer::Release(Some(release))) => format!("claimed as {} {}", release.distro, release.version),
            Ok(Answer::Guess(Some(guess))) => {
                format!("claimed as {} {} ({:?})", guess.release.distro, guess.release.version, guess.confidence)
            }
            Ok(other) => format!("want none, got {other:?}"),
            Err(kind) => kind.to_string(),
        };
        return Ok(trial.fail(format!("{}: {message}", entry.origin), &entry.question));
    }
    Ok(trial.pass())
}

//! Group B: whether the answers keep the rules that `wit/distro.wit` states. The rules are those of the host's conversion;
//! which check a broken one belongs to is decided by the path of the value.

use std::collections::BTreeSet;

use super::{
    corpus::Entry,
    material::Material,
    outcome::Outcome,
    question::{Answer, Question},
    subject::{Checked, Subject},
    survey::{Known, Look, Said, Survey, broken},
};
use crate::{
    Function,
    bindings::{exports::retrace::distro::distribution as wit, retrace::distro::types},
    convert,
};

/// `describe`, which everything else stands on.
pub(super) fn b1(subject: &Subject, survey: &Survey) -> Outcome {
    let mut look = Look::new(subject);
    look.at_call(&survey.describe, |answer| match answer {
        Answer::Description(description) => broken(convert::description(description.clone()), |path| path != "name"),
        _ => None,
    });
    look.outcome()
}

/// The checks that look at `releases`.
pub(super) fn releases(subject: &Subject, survey: &Survey, known: &Known, check: &str) -> Checked {
    let mut look = Look::new(subject);
    let Some(said) = &survey.releases else { return Ok(Outcome::skip("releases was not asked")) };
    let owner = known.owner();
    let first_broken = |entries: &[wit::ReleaseEntry], ours: fn(&str) -> bool| {
        entries.iter().enumerate().find_map(|(i, entry)| {
            let rule = broken(convert::releases(vec![entry.clone()], &owner), ours)?;
            Some(rule.replacen("releases[0]", &format!("releases[{i}]"), 1))
        })
    };
    let rule = |answer: &Answer| {
        let Answer::Releases(entries) = answer else { return None };
        match check {
            "B2" => first_broken(entries, |path| {
                [".version", ".minor", ".codename"].iter().any(|field| path.ends_with(field))
            }),
            "B3" => first_broken(entries, |path| path.ends_with(".distro")),
            "B4" => none_or_twice(entries).or_else(|| (entries.len() > convert::MAX_LIST).then(|| too_many(entries))),
            "B5" => first_broken(entries, |path| path.contains(".architectures")).or_else(|| {
                let twice = |entry: &wit::ReleaseEntry| {
                    let arch = twice(entry.architectures.iter())?;
                    Some(format!("{} {}: {arch} is named twice", entry.release.distro, entry.release.version))
                };
                entries.iter().find_map(twice)
            }),
            "B6" => first_broken(entries, |path| path.ends_with(".end-of-life")),
            _ => first_broken(entries, |path| path.ends_with(".title") || path.contains(".annotations")),
        }
    };
    if check == "B4" {
        look.at_call(said, rule)
    } else {
        look.at(said, rule)
    }
    look.end()
}

fn none_or_twice(entries: &[wit::ReleaseEntry]) -> Option<String> {
    if entries.is_empty() {
        return Some("releases is empty".to_owned());
    }
    let names = entries.iter().map(|entry| format!("{} {}", entry.release.distro, entry.release.version));
    twice(names).map(|name| format!("{name} is listed twice"))
}

fn too_many(entries: &[wit::ReleaseEntry]) -> String {
    format!("{} releases, more than {}", entries.len(), convert::MAX_LIST)
}

fn twice<T: Ord + Clone>(values: impl Iterator<Item = T>) -> Option<T> {
    let mut seen = BTreeSet::new();
    values.into_iter().find(|value| !seen.insert(value.clone()))
}

/// B7: every pair of release and architecture has repositories.
pub(super) fn b7(subject: &Subject, survey: &Survey) -> Checked {
    if survey.repositories.is_empty() {
        return Ok(Outcome::skip("no valid release has an architecture"));
    }
    let mut look = Look::new(subject);
    for said in &survey.repositories {
        look.at_call(said, |answer| match answer {
            Answer::Repositories(repositories) if repositories.is_empty() => Some("the list is empty".to_owned()),
            Answer::Error(error) => Some(format!("an error instead of repositories: {error:?}")),
            _ => None,
        });
    }
    look.end()
}

/// The checks that look at each repository: B8, B10, B12, and the titles of B17.
pub(super) fn each_repository(subject: &Subject, survey: &Survey, known: &Known, check: &str) -> Checked {
    let ours = |path: &str| {
        let field = path.strip_prefix("repositories[0].").unwrap_or_default();
        match check {
            "B8" => field.starts_with("mirrors"),
            "B10" => field.starts_with("keys"),
            "B12" => field == "id" || field.starts_with("layout"),
            _ => field == "title" || field.starts_with("config"),
        }
    };
    let mut look = Look::new(subject);
    for said in &survey.repositories {
        look.at(said, |answer| {
            let Answer::Repositories(repositories) = answer else { return None };
            let each = repositories.iter().enumerate().find_map(|(i, repository)| {
                let one = Answer::Repositories(vec![repository.clone()]);
                let rule = broken(said.question.check(&one, &known.owner()), ours)?;
                Some(rule.replacen("repositories[0]", &format!("repositories[{i}]"), 1))
            });
            if check == "B12" { each.or_else(|| order(repositories)) } else { each }
        });
    }
    look.end()
}

/// Unique ids, and packages before the rest.
fn order(repositories: &[wit::Repository]) -> Option<String> {
    if let Some(id) = twice(repositories.iter().map(|repository| &repository.id)) {
        return Some(format!("the id {id:?} occurs twice"));
    }
    let is_packages = |repository: &&wit::Repository| repository.content == wit::RepositoryContent::Packages;
    let late = repositories.iter().skip_while(is_packages).find(is_packages)?;
    Some(format!("{:?} with packages stands behind other content", late.id))
}

/// B9: packages and debug information.
pub(super) fn b9(subject: &Subject, survey: &Survey) -> Checked {
    let mut look = Look::new(subject);
    for said in &survey.repositories {
        look.at(said, |answer| {
            let Answer::Repositories(repositories) = answer else { return None };
            let has = |content| repositories.iter().any(|repository| repository.content == content);
            match (has(wit::RepositoryContent::Packages), has(wit::RepositoryContent::DebugInfo)) {
                _ if repositories.is_empty() => None,
                (true, true) => None,
                (false, _) => Some("no repository has content `packages`".to_owned()),
                (_, false) => Some("no repository has content `debug-info`".to_owned()),
            }
        });
    }
    look.end()
}

/// B13: debuggers.
pub(super) fn b13(subject: &Subject, survey: &Survey, known: &Known) -> Checked {
    let mut look = Look::new(subject);
    for said in &survey.debuggers {
        look.at_call(said, |answer| match answer {
            Answer::Error(error) => Some(format!("an error for a release that is served: {error:?}")),
            answer => broken(said.question.check(answer, &known.owner()), |_| true),
        });
    }
    look.end()
}

/// B14: no list for a machine that nobody has.
pub(super) fn b14(subject: &Subject, known: &Known) -> Checked {
    let trial = subject.trial();
    for entry in &known.releases {
        for arch in ["vax", "no-such-architecture"] {
            let question = Question::Repositories(entry.release.clone(), arch.to_owned());
            let message = match trial.ask(&question)?.answer {
                Ok(Answer::Error(types::CallError::UnsupportedArchitecture(_))) => continue,
                Ok(Answer::Repositories(list)) => {
                    format!("want unsupported-architecture, got {} repositories", list.len())
                }
                Ok(Answer::Error(other)) => format!("want unsupported-architecture, got {other:?}"),
                Ok(_) => continue,
                Err(kind) => kind.to_string(),
            };
            return Ok(trial.fail(message, &question));
        }
    }
    Ok(trial.pass())
}

/// B15: no list for a release that the plugin does not serve.
pub(super) fn b15(subject: &Subject, known: &Known) -> Checked {
    let trial = subject.trial();
    for entry in known.releases.iter().take(1) {
        for version in ["0-no-such-release", "99999"] {
            let release =
                types::Release { version: version.to_owned(), minor: None, codename: None, ..entry.release.clone() };
            let arch = entry.architectures.first().cloned().unwrap_or_default();
            let question = Question::Repositories(release, arch);
            let message = match trial.ask(&question)?.answer {
                Ok(Answer::Error(types::CallError::UnsupportedRelease(_))) => continue,
                Ok(Answer::Repositories(list)) => format!("want unsupported-release, got {} repositories", list.len()),
                Ok(Answer::Error(other)) => format!("want unsupported-release, got {other:?}"),
                Ok(_) => continue,
                Err(kind) => kind.to_string(),
            };
            return Ok(trial.fail(message, &question));
        }
    }
    Ok(trial.pass())
}

/// B16: another point release of a release that is served.
pub(super) fn b16(subject: &Subject, known: &Known) -> Checked {
    let trial = subject.trial();
    for entry in &known.releases {
        let minor = entry.release.minor.is_none().then(|| "1".to_owned());
        let release = types::Release { minor, ..entry.release.clone() };
        let Some(arch) = entry.architectures.first() else { continue };
        let question = Question::Repositories(release, arch.clone());
        let message = match trial.ask(&question)?.answer {
            Ok(Answer::Repositories(list)) if list.is_empty() => "the list is empty".to_owned(),
            Ok(Answer::Error(error)) => format!("an error for another minor: {error:?}"),
            Err(kind) => kind.to_string(),
            Ok(answer) => match question.check(&answer, &known.owner()) {
                // Without the change of the minor it would be the same: other checks say so.
                Err(crate::FailureKind::InvalidValue { path, rule }) if rule.contains("$MINOR") => {
                    format!("{path}: {rule}")
                }
                _ => continue,
            },
        };
        return Ok(trial.fail(message, &question));
    }
    Ok(trial.pass())
}

/// B17: texts for people, wherever they stand.
pub(super) fn b17(subject: &Subject, survey: &Survey, known: Option<&Known>, material: &Material) -> Checked {
    let mut look = Look::new(subject);
    look.at(&survey.describe, |answer| match answer {
        Answer::Description(description) => broken(convert::description(description.clone()), |path| path == "name"),
        _ => None,
    });
    let Some(known) = known else { return look.end() };
    for part in [releases(subject, survey, known, "B17")?, each_repository(subject, survey, known, "B17")?] {
        if part.failure.is_some() {
            return Ok(part);
        }
    }
    for (_, question) in &material.packages {
        let said = Said { asked: subject.trial().ask(question)?, question: question.clone() };
        look.at(&said, |answer| broken(question.check(answer, &known.owner()), |path| path == "guess.reason"));
    }
    look.end()
}

/// B18: names of packages.
pub(super) fn b18(subject: &Subject, known: &Known, material: &Material) -> Checked {
    let trial = subject.trial();
    let owner = known.owner();
    let question = Question::ParseFileNames(material.file_names.clone());
    let ids = match trial.ask(&question)?.answer {
        Ok(answer) => match (question.check(&answer, &owner), answer) {
            (Err(kind), _) => return Ok(trial.fail(kind.to_string(), &question)),
            (Ok(()), Answer::Names(ids)) => ids,
            (Ok(()), other) => return Ok(trial.fail(format!("names are never an error: {other:?}"), &question)),
        },
        Err(kind) => return Ok(trial.fail(kind.to_string(), &question)),
    };
    for id in ids.into_iter().flatten() {
        for question in [Question::FormatFileName(id.clone()), Question::DebugPackages(id)] {
            let checked = trial.ask(&question)?.answer.and_then(|answer| question.check(&answer, &owner));
            if let Err(kind) = checked {
                return Ok(trial.fail(kind.to_string(), &question));
            }
        }
    }
    Ok(trial.pass())
}

/// B19: answers name listed releases only.
pub(super) fn b19(subject: &Subject, known: &Known, material: &Material) -> Checked {
    let trial = subject.trial();
    for (origin, question) in material.texts.iter().chain(&material.packages) {
        let release = match trial.ask(question)?.answer {
            Ok(Answer::Release(Some(release))) => release,
            Ok(Answer::Guess(Some(guess))) => guess.release,
            Ok(_) => continue,
            Err(kind) => return Ok(trial.fail(format!("{origin}: {kind}"), question)),
        };
        let checked = convert::release("release", release.clone(), &known.owner());
        if let Err(kind) = checked {
            return Ok(trial.fail(format!("{origin}: {kind}"), question));
        }
        if !known.lists(&release) {
            let message = format!("{origin}: {} {} is not in releases", release.distro, release.version);
            return Ok(trial.fail(message, question));
        }
    }
    Ok(trial.pass())
}

/// B20: kernels.
pub(super) fn b20(subject: &Subject, known: &Known, material: &Material) -> Checked {
    if !subject.guest.exports(Function::KernelFor) {
        return Ok(Outcome::skip("the interface kernel is not exported"));
    }
    let trial = subject.trial();
    for (version, arch) in &material.kernels {
        let question = Question::KernelFor(version.clone(), arch.clone());
        let failure = match trial.ask(&question)?.answer {
            Ok(Answer::Kernel(Some(files))) if files.debug_packages.is_empty() => {
                Some("debug-packages is empty".to_owned())
            }
            Ok(answer) => question.check(&answer, &known.owner()).err().map(|kind| kind.to_string()),
            Err(kind) => Some(kind.to_string()),
        };
        if let Some(message) = failure {
            return Ok(trial.fail(message, &question));
        }
    }
    Ok(trial.pass())
}

/// B21: packages beside the wanted ones.
pub(super) fn b21(subject: &Subject, known: &Known) -> Checked {
    if !subject.guest.exports(Function::ExtraPackages) {
        return Ok(Outcome::skip("the interface environment-advice is not exported"));
    }
    let trial = subject.trial();
    for entry in &known.releases {
        let arch = entry.architectures.first().cloned().unwrap_or_default();
        for wanted in [vec![], vec!["bash".to_owned()], vec!["glibc".to_owned(), "kernel".to_owned()]] {
            let question = Question::ExtraPackages(entry.release.clone(), arch.clone(), wanted);
            let checked = match trial.ask(&question)?.answer {
                Ok(Answer::Error(error)) => Err(format!("an error for a release that is served: {error:?}")),
                Ok(answer) => question.check(&answer, &known.owner()).map_err(|kind| kind.to_string()),
                Err(kind) => Err(kind.to_string()),
            };
            if let Err(message) = checked {
                return Ok(trial.fail(message, &question));
            }
        }
    }
    Ok(trial.pass())
}

/// Entries of the corpus that belong to the plugin.
pub(super) fn own<'a>(corpus: &'a [Entry], known: &'a Known) -> impl Iterator<Item = &'a Entry> {
    corpus.iter().filter(|entry| known.owns(&entry.distro))
}

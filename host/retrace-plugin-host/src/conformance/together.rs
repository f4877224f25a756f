//! Group G: plugins that will be installed side by side.

use std::time::Instant;

use super::{
    ConformanceError,
    corpus::{Entry, Want, rank},
    material::Material,
    options::Companion,
    outcome::Outcome,
    question::{Answer, Question},
    run::Workshop,
    subject::{Checked, Subject},
};
use crate::{bindings::exports::retrace::distro::distribution as wit, convert};

/// A plugin beside the tested one, and what it says it is.
pub(super) struct Neighbour {
    subject: Subject,
    file: String,
    ids: Vec<String>,
}

impl Neighbour {
    /// # Errors
    /// It cannot be loaded, which says nothing of the tested plugin.
    pub(super) fn load(companion: &Companion, workshop: &Workshop, over_at: Instant) -> Result<Self, ConformanceError> {
        let failed = |why: String| ConformanceError::Companion { path: companion.file.clone(), why };
        let file = companion.file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let guest = workshop.guest(&companion.bytes, &companion.file)?.map_err(|(_, why)| failed(why))?;
        let subject = Subject { guest, over_at };
        let asked = subject.trial().ask(&Question::Describe).map_err(|_| failed("no time left".to_owned()))?;
        let description = match asked.answer {
            Ok(Answer::Description(description)) => convert::description(description),
            Ok(_) => return Err(failed("it does not describe itself".to_owned())),
            Err(kind) => Err(kind),
        };
        let description = description.map_err(|kind| failed(kind.to_string()))?;
        let ids = [description.id].into_iter().chain(description.aliases).map(Into::into).collect();
        Ok(Self { subject, file, ids })
    }
}

/// G1: nobody else is as sure.
pub(super) fn g1(subject: &Subject, neighbours: &[Neighbour], corpus: &[Entry], material: &Material) -> Checked {
    if neighbours.is_empty() {
        return Ok(Outcome::skip("no other plugin: name it with --with"));
    }
    let trial = subject.trial();
    // A weak claim is one that others may share, unless the corpus says that more can be known.
    let tells = |question: &Question| {
        let sure = |want: &Want| matches!(want, Want::Guess { confidence: 1.., .. });
        corpus.iter().any(|entry| sure(&entry.want) && entry.question == *question)
    };
    for (origin, question) in material.texts.iter().chain(&material.packages) {
        let Some(own) = claim(trial.ask(question)?.answer.ok()) else { continue };
        let mut others = Vec::new();
        for neighbour in neighbours {
            if let Some(claim) = claim(neighbour.subject.trial().ask(question)?.answer.ok()) {
                others.push((neighbour, claim));
            }
        }
        let best = others.iter().map(|(_, (confidence, _))| *confidence).chain([own.0]).max().unwrap_or_default();
        if own.0 < best || (own.0 == 0 && !tells(question)) {
            continue;
        }
        if let Some((neighbour, (_, release))) = others.iter().find(|(_, (confidence, _))| *confidence == own.0) {
            let message = format!("{origin}: claimed as {}, and by {} as {release}, alike", own.1, neighbour.file);
            return Ok(trial.fail(message, question));
        }
    }
    Ok(trial.pass())
}

/// Confidence and release of a claim.
fn claim(answer: Option<Answer>) -> Option<(u8, String)> {
    match answer? {
        // A release that is read from a text is certain.
        Answer::Release(Some(release)) => {
            Some((rank(wit::Confidence::Certain), format!("{} {}", release.distro, release.version)))
        }
        Answer::Guess(Some(guess)) => {
            Some((rank(guess.confidence), format!("{} {}", guess.release.distro, guess.release.version)))
        }
        _ => None,
    }
}

/// G2: nobody else has the name.
pub(super) fn g2(own: &[String], neighbours: &[Neighbour]) -> Checked {
    if neighbours.is_empty() {
        return Ok(Outcome::skip("no other plugin: name it with --with"));
    }
    for neighbour in neighbours {
        if let Some(id) = own.iter().find(|id| neighbour.ids.contains(id)) {
            return Ok(Outcome::fail(format!("{id} is an id or an alias of {} too", neighbour.file)));
        }
    }
    Ok(Outcome::pass(u64::try_from(neighbours.len()).unwrap_or(u64::MAX)))
}

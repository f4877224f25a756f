use retrace_types::{Confidence, DistroId};
use serde::{Serialize, Serializer};

use crate::{Candidate, Claim, Outcome, ReleaseError};

/// Which release it is, and what every plugin said: the whole is kept with a job and printed by `retrace plugin explain`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Selection {
    /// What every plugin said, in the order of the plugins.
    pub candidates: Vec<Candidate>,
    /// The claim that counts.
    #[serde(flatten, serialize_with = "decision")]
    pub decision: Result<Claim, ReleaseError>,
    /// What decided, for people: `the only claim`, `highest confidence`, `priority`; none where nothing did.
    pub decided_by: Option<&'static str>,
}

impl Selection {
    /// The candidates that claim a release.
    pub fn claims(&self) -> impl Iterator<Item = (&Candidate, &Claim)> {
        self.candidates.iter().filter_map(|candidate| Some((candidate, claim(&candidate.outcome)?)))
    }

    /// The story for people: a line for each plugin that said anything but "not mine".
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let line = |candidate: &Candidate| {
            let plugin = format!("{} {}", candidate.plugin, candidate.version);
            match &candidate.outcome {
                Outcome::None => None,
                Outcome::Claim(claim) => {
                    Some(format!("{plugin}: {} ({}): {}", claim.release.id, confidence(claim.confidence), claim.reason))
                }
                Outcome::Refused(error) => Some(format!("{plugin}: {error}")),
                Outcome::Failed(failure) => Some(format!("{plugin}: failed: {}", failure.kind)),
                Outcome::Degraded(why) => Some(format!("{plugin}: not asked: {why}")),
            }
        };
        self.candidates.iter().filter_map(line).collect()
    }
}

fn confidence(confidence: Confidence) -> &'static str {
    match confidence {
        Confidence::Weak => "weak",
        Confidence::Likely => "likely",
        Confidence::Certain => "certain",
    }
}

fn decision<S: Serializer>(decision: &Result<Claim, ReleaseError>, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Document<'a> {
        release: Option<&'a Claim>,
        error: Option<String>,
    }
    Document { release: decision.as_ref().ok(), error: decision.as_ref().err().map(ToString::to_string) }
        .serialize(serializer)
}

/// Decides which of the plugins' words counts: the claim with the highest confidence; among equally sure claims of
/// different releases, that of the plugin that stands first in `priority`. Pure.
///
/// The decision is [`ReleaseError::Ambiguous`] if two releases are claimed alike. Without any claim:
/// [`ReleaseError::Refused`] if a plugin recognised its distribution, else [`ReleaseError::Failed`] or
/// [`ReleaseError::Degraded`] if one broke or was not asked, else [`ReleaseError::None`].
#[must_use]
pub fn select(candidates: Vec<Candidate>, priority: &[DistroId]) -> Selection {
    let (decision, decided_by) = decide(&candidates, priority);
    Selection { candidates, decision, decided_by }
}

fn decide(candidates: &[Candidate], priority: &[DistroId]) -> (Result<Claim, ReleaseError>, Option<&'static str>) {
    let claims: Vec<_> = candidates.iter().filter_map(|one| Some((&one.plugin, claim(&one.outcome)?))).collect();
    let Some(best) = claims.iter().map(|(_, claim)| claim.confidence).max() else {
        return (Err(no_claim(candidates)), None);
    };
    let mut sure: Vec<_> = claims.iter().filter(|(_, claim)| claim.confidence == best).collect();
    let mut releases = Vec::new();
    for (_, claim) in &sure {
        if !releases.contains(&claim.release.id) {
            releases.push(claim.release.id.clone());
        }
    }
    let rank = |plugin: &DistroId| priority.iter().position(|id| id == plugin).unwrap_or(usize::MAX);
    sure.sort_by_key(|(plugin, _)| rank(plugin));
    match (sure.as_slice(), releases.len()) {
        ([(_, claim), ..], 1) if claims.len() == 1 => (Ok((*claim).clone()), Some("the only claim")),
        ([(_, claim), ..], 1) => (Ok((*claim).clone()), Some("highest confidence")),
        ([(plugin, claim), ..], _) if rank(plugin) != usize::MAX => (Ok((*claim).clone()), Some("priority")),
        _ => (Err(ReleaseError::Ambiguous { candidates: releases }), None),
    }
}

fn claim(outcome: &Outcome) -> Option<&Claim> {
    match outcome {
        Outcome::Claim(claim) => Some(claim),
        Outcome::None | Outcome::Refused(_) | Outcome::Failed(_) | Outcome::Degraded(_) => None,
    }
}

fn no_claim(candidates: &[Candidate]) -> ReleaseError {
    let refused = candidates.iter().find_map(|candidate| match &candidate.outcome {
        Outcome::Refused(error) => {
            Some(ReleaseError::Refused { plugin: candidate.plugin.clone(), error: error.clone() })
        }
        _ => None,
    });
    let failed = candidates.iter().find_map(|candidate| match &candidate.outcome {
        Outcome::Failed(failure) => Some(ReleaseError::Failed(failure.clone())),
        Outcome::Degraded(why) => Some(ReleaseError::Degraded(why.clone())),
        _ => None,
    });
    refused.or(failed).unwrap_or(ReleaseError::None)
}

#[cfg(test)]
mod tests {
    use retrace_types::{Release, Sha256};

    use super::*;
    use crate::{CallError, FailureKind, PluginFailure};

    fn claim_of(plugin: &str, release: &str, confidence: Confidence) -> Candidate {
        let release = Release { id: release.parse().unwrap(), minor: None, codename: None, rolling: false };
        let claim = Claim { release, confidence, reason: "test".to_owned() };
        other(plugin, Outcome::Claim(claim))
    }

    fn other(plugin: &str, outcome: Outcome) -> Candidate {
        Candidate {
            plugin: plugin.parse().unwrap(),
            version: "1.0.0".to_owned(),
            sha256: Sha256::from_bytes([0; 32]),
            outcome,
        }
    }

    fn refused() -> Candidate {
        other("acme", Outcome::Refused(CallError::UnsupportedRelease("99".to_owned())))
    }

    fn failed() -> Candidate {
        let failure = PluginFailure {
            plugin: "broken".to_owned(),
            sha256: Sha256::from_bytes([0; 32]),
            path: "broken.wasm".into(),
            function: "parse-release",
            kind: FailureKind::Deadline,
            input: None,
        };
        other("broken", Outcome::Failed(Box::new(failure)))
    }

    #[test]
    fn the_surest_claim_counts_and_equal_ones_are_ambiguous() {
        use Confidence::{Certain, Likely, Weak};
        let rocky = claim_of("rocky", "rocky-9", Weak);
        let alma = claim_of("almalinux", "almalinux-9", Weak);
        let none = other("debian", Outcome::None);
        let cases: Vec<(Vec<Candidate>, Result<&str, &str>)> = vec![
            (vec![], Err("no plugin recognises the release")),
            (vec![none.clone()], Err("no plugin recognises the release")),
            (vec![none.clone(), claim_of("fedora", "fedora-40", Weak)], Ok("fedora-40")),
            (
                vec![rocky.clone(), alma.clone()],
                Err("more than one release is possible (rocky-9, almalinux-9): name one"),
            ),
            (vec![rocky.clone(), claim_of("almalinux", "almalinux-9", Likely)], Ok("almalinux-9")),
            (vec![claim_of("a", "a-1", Certain), claim_of("b", "a-1", Certain)], Ok("a-1")),
            (vec![refused(), rocky.clone()], Ok("rocky-9")),
            (vec![none.clone(), failed(), refused()], Err("acme: unsupported release: 99")),
            (
                vec![failed(), rocky.clone(), alma.clone()],
                Err("more than one release is possible (rocky-9, almalinux-9): name one"),
            ),
        ];
        for (candidates, want) in cases {
            let selection = select(candidates.clone(), &[]);
            let got = selection.decision.map(|claim| claim.release.id.to_string()).map_err(|error| error.to_string());
            assert_eq!(got.as_deref().map_err(String::as_str), want, "candidates: {candidates:?}");
        }
        assert!(matches!(select(vec![none, failed()], &[]).decision, Err(ReleaseError::Failed(_))));
    }

    #[test]
    fn the_operator_s_list_decides_between_equals_only() {
        use Confidence::{Likely, Weak};
        let candidates = vec![
            claim_of("centos", "centos-9", Weak),
            claim_of("rocky", "rocky-9", Weak),
            claim_of("almalinux", "almalinux-9", Weak),
        ];
        let ids = |ids: &[&str]| ids.iter().map(|id| id.parse().unwrap()).collect::<Vec<DistroId>>();
        let pick = |candidates: &[Candidate], priority: &[&str]| {
            let selection = select(candidates.to_vec(), &ids(priority));
            selection.decision.map(|claim| claim.release.id.to_string()).ok()
        };
        assert_eq!(pick(&candidates, &["debian", "almalinux", "rocky"]).as_deref(), Some("almalinux-9"));
        assert_eq!(pick(&candidates, &["debian"]), None);
        let mut surer = candidates;
        surer.push(claim_of("oracle", "oracle-9", Likely));
        assert_eq!(pick(&surer, &["almalinux"]).as_deref(), Some("oracle-9"));
    }

    #[test]
    fn the_whole_decision_becomes_a_document() {
        let candidates = vec![claim_of("fedora", "fedora-40", Confidence::Certain), refused(), failed()];
        let document = serde_json::to_value(select(candidates, &[])).unwrap();
        assert_eq!(document["release"]["release"]["id"], "fedora-40");
        assert_eq!(document["decided_by"], "the only claim");
        assert_eq!(document["candidates"][0]["answer"]["reason"], "test");
        assert_eq!(document["candidates"][1]["answer"], "unsupported release: 99");
        assert_eq!(document["candidates"][2]["outcome"], "failed");
    }
}

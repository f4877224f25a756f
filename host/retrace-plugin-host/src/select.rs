use crate::{Candidate, Claim, Outcome, ReleaseError};

/// Decides which of the plugins' words counts: the claim with the highest confidence, if no other release is claimed with
/// the same. Pure.
///
/// # Errors
/// [`ReleaseError::Ambiguous`] if two releases are claimed alike. Without any claim: [`ReleaseError::Refused`] if a
/// plugin recognised its distribution, else [`ReleaseError::Failed`] if one broke, else [`ReleaseError::None`].
pub fn pick(candidates: &[Candidate]) -> Result<Claim, ReleaseError> {
    let claims = || candidates.iter().filter_map(|candidate| claim(&candidate.outcome));
    let Some(best) = claims().map(|claim| claim.confidence).max() else { return Err(no_claim(candidates)) };
    let mut best_claims = claims().filter(|claim| claim.confidence == best);
    let first = best_claims.next().ok_or(ReleaseError::None)?;
    let mut releases = vec![first.release.id.clone()];
    for claim in best_claims {
        if !releases.contains(&claim.release.id) {
            releases.push(claim.release.id.clone());
        }
    }
    if releases.len() > 1 { Err(ReleaseError::Ambiguous { candidates: releases }) } else { Ok(first.clone()) }
}

fn claim(outcome: &Outcome) -> Option<&Claim> {
    match outcome {
        Outcome::Claim(claim) => Some(claim),
        Outcome::None | Outcome::Refused(_) | Outcome::Failed(_) => None,
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
        _ => None,
    });
    refused.or(failed).unwrap_or(ReleaseError::None)
}

#[cfg(test)]
mod tests {
    use retrace_types::{Confidence, Release, Sha256};

    use super::*;
    use crate::{CallError, FailureKind, PluginFailure};

    fn claim_of(plugin: &str, release: &str, confidence: Confidence) -> Candidate {
        let release = Release { id: release.parse().unwrap(), minor: None, codename: None, rolling: false };
        let claim = Claim { release, confidence, reason: "test".to_owned() };
        Candidate { plugin: plugin.parse().unwrap(), outcome: Outcome::Claim(claim) }
    }

    fn other(plugin: &str, outcome: Outcome) -> Candidate {
        Candidate { plugin: plugin.parse().unwrap(), outcome }
    }

    fn refused() -> Candidate {
        other("acme", Outcome::Refused(CallError::UnsupportedRelease("99".to_owned())))
    }

    fn failed() -> Candidate {
        let failure = PluginFailure {
            plugin: "broken".to_owned(),
            sha256: Sha256::from_bytes([0; 32]),
            function: "parse-release",
            kind: FailureKind::Deadline,
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
            let got = pick(&candidates).map(|claim| claim.release.id.to_string()).map_err(|error| error.to_string());
            assert_eq!(got.as_deref().map_err(String::as_str), want, "candidates: {candidates:?}");
        }
        assert!(matches!(pick(&[none, failed()]), Err(ReleaseError::Failed(_))));
    }
}

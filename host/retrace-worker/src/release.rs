//! Decides which release a core comes from: os-release, else the package's name, else the build-ids.

use retrace_coredump::CoreFacts;
use retrace_plugin_host::{Claim, Origin, PackageRef, Registry, ReleaseError, ReleaseSource, Selection};
use retrace_store::Store;
use retrace_types::{
    Architecture, BuildId, DistroId, Evidence, Gap, GapReason, Release, ReleaseCandidate, ReleaseId, ReleaseReport,
};

use crate::{AnalyzeError, AnalyzeRequest};

/// The release, or why none could be decided, and what every plugin said on the way.
pub(crate) struct Decision {
    pub(crate) outcome: Decided,
    /// Lines for the story: what was asked and every plugin's word.
    pub(crate) story: Vec<String>,
}

/// What came out.
pub(crate) enum Decided {
    Release { release: Release, report: ReleaseReport },
    Unknown(Gap),
}

/// Asks the plugins, then the index. Where the plugins leave several releases possible, the index decides among these.
///
/// A plugin that was installed without a signature is named as such in the result.
pub(crate) async fn decide(
    plugins: &Registry,
    store: &Store,
    request: &AnalyzeRequest,
    facts: &CoreFacts,
) -> Result<Decision, AnalyzeError> {
    let mut decision = ask(plugins, store, request, facts).await?;
    if let Decided::Release { release, report } = &mut decision.outcome
        && let Some(note) = unsigned(plugins, &release.id.distro)
    {
        report.reason = format!("{}; {note}", report.reason);
        decision.story.push(note);
    }
    Ok(decision)
}

/// What a result says of a plugin that nobody signed; none for all others.
fn unsigned(plugins: &Registry, distro: &DistroId) -> Option<String> {
    let plugin = plugins.plugin(distro).ok()?.info();
    match plugin.origin {
        Origin::Installed { unsigned: true, .. } => {
            Some(format!("the plugin {} {} ({}) is not signed", plugin.id, plugin.version, plugin.sha256))
        }
        Origin::Installed { unsigned: false, .. } | Origin::Bundled => None,
    }
}

async fn ask(
    plugins: &Registry,
    store: &Store,
    request: &AnalyzeRequest,
    facts: &CoreFacts,
) -> Result<Decision, AnalyzeError> {
    let mut asked = Asked::default();
    if let Some(text) = &request.os_release {
        let selection = plugins.select_by_text(&release_source(text));
        if let Some(claim) = asked.hear("os-release", selection) {
            return Ok(asked.decided(claim.release, Evidence::OsRelease, "the os-release text names it".to_owned()));
        }
    }
    if let Some(package) = &request.package {
        let subject = PackageRef { raw: package.clone(), format: None, vendor: None };
        let selection = plugins.select_by_package(&subject);
        if let Some(claim) = asked.hear("package", selection) {
            return Ok(asked.decided(claim.release, Evidence::PackageName, claim.reason));
        }
    }
    let build_ids: Vec<_> = facts.modules.iter().filter_map(|module| module.build_id.as_ref().ok().cloned()).collect();
    match majority(store, facts.architecture, &build_ids, &asked.possible).await? {
        Some((release, reason)) => match plugins.release_by_version(&release.distro, release.version.as_str()) {
            Ok(release) => return Ok(asked.decided(release, Evidence::BuildIds, reason)),
            Err(error) => asked.tried.push(format!("build-ids: {release}: {error}")),
        },
        None if asked.possible.is_empty() => asked.tried.push("build-ids: the index knows none of them".to_owned()),
        None => asked.tried.push("build-ids: the index does not decide between these".to_owned()),
    }
    Ok(asked.unknown())
}

/// What was asked so far, and what it gave.
#[derive(Default)]
struct Asked {
    tried: Vec<String>,
    story: Vec<String>,
    /// Releases that plugins claim alike; empty if nothing narrows the choice.
    possible: Vec<ReleaseId>,
    candidates: Vec<ReleaseCandidate>,
}

impl Asked {
    /// Takes down what every plugin said; returns the claim that counts.
    fn hear(&mut self, evidence: &str, selection: Selection) -> Option<Claim> {
        self.story.extend(selection.lines().into_iter().map(|line| format!("{evidence}: {line}")));
        self.candidates.extend(selection.claims().map(|(candidate, claim)| ReleaseCandidate {
            plugin: candidate.plugin.clone(),
            plugin_version: candidate.version.clone(),
            plugin_sha256: candidate.sha256,
            release: claim.release.id.clone(),
            confidence: claim.confidence,
            reason: format!("{evidence}: {}", claim.reason),
        }));
        match selection.decision {
            Ok(claim) if self.possible.is_empty() || self.possible.contains(&claim.release.id) => Some(claim),
            Ok(claim) => {
                self.tried.push(format!("{evidence}: {} is none of the releases above", claim.release.id));
                None
            }
            Err(error) => {
                self.tried.push(format!("{evidence}: {error}"));
                if let ReleaseError::Ambiguous { candidates } = error
                    && self.possible.is_empty()
                {
                    self.possible = candidates;
                }
                None
            }
        }
    }

    fn decided(self, release: Release, evidence: Evidence, reason: String) -> Decision {
        let report = ReleaseReport { id: release.id.clone(), evidence, reason, candidates: self.candidates };
        Decision { outcome: Decided::Release { release, report }, story: self.story }
    }

    fn unknown(self) -> Decision {
        let tried = self.tried.join("; ");
        let gap = if self.possible.is_empty() {
            Gap {
                reason: GapReason::ReleaseUnknown,
                subject: "release".to_owned(),
                message: format!("the release of the machine that crashed is unknown ({tried})"),
                action:
                    "give --os-release with that machine's /etc/os-release, and mirror the release: retrace mirror \
                         sync DISTRIBUTION VERSION ARCH"
                        .to_owned(),
            }
        } else {
            let names: Vec<_> = self.possible.iter().map(ToString::to_string).collect();
            Gap {
                reason: GapReason::ReleaseAmbiguous,
                subject: names.join(" "),
                message: format!("more than one release is possible: {} ({tried})", names.join(", ")),
                action: "give --os-release with the crashed machine's /etc/os-release, mirror the releases so that \
                         build-ids decide, or set plugins.priority in the configuration"
                    .to_owned(),
            }
        };
        Decision { outcome: Decided::Unknown(gap), story: self.story }
    }
}

/// `KEY=value` lines are an os-release file; anything else is the one line of `/etc/redhat-release` and its like.
fn release_source(text: &str) -> ReleaseSource {
    let is_assignment =
        |line: &str| line.split_once('=').is_some_and(|(key, _)| key.trim() == key && !key.contains(' '));
    if text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).any(is_assignment) {
        ReleaseSource::OsRelease(text.to_owned())
    } else {
        ReleaseSource::ReleaseLine(text.trim().to_owned())
    }
}

/// The release to which most of the build-ids belong, out of these if there are any; none when two are level.
async fn majority(
    store: &Store,
    architecture: Architecture,
    build_ids: &[BuildId],
    possible: &[ReleaseId],
) -> Result<Option<(ReleaseId, String)>, AnalyzeError> {
    let mut counts = store.releases_of_build_ids(build_ids).await?;
    counts.retain(|(release, of, _)| *of == architecture && (possible.is_empty() || possible.contains(release)));
    counts.sort_by_key(|(_, _, count)| std::cmp::Reverse(*count));
    Ok(match counts.as_slice() {
        [(_, _, first), (_, _, second), ..] if first == second => None,
        [(release, _, count), ..] => {
            Some((release.clone(), format!("{count} of {} build-ids belong to it", build_ids.len())))
        }
        [] => None,
    })
}

#[cfg(test)]
mod tests {
    use retrace_plugin_host::{Candidate, Outcome, select};
    use retrace_types::{Confidence, Sha256};

    use super::*;

    fn selection(claims: &[(&str, Confidence)]) -> Selection {
        let candidate = |(release, confidence): &(&str, Confidence)| {
            let release = Release { id: release.parse().unwrap(), minor: None, codename: None, rolling: false };
            Candidate {
                plugin: release.id.distro.clone(),
                version: "1.0.0".to_owned(),
                sha256: Sha256::from_bytes([0; 32]),
                outcome: Outcome::Claim(Claim { release, confidence: *confidence, reason: "tag".to_owned() }),
            }
        };
        select(claims.iter().map(candidate).collect(), &[])
    }

    #[test]
    fn what_one_source_leaves_open_another_may_decide_but_not_contradict() {
        use Confidence::{Certain, Weak};
        let level = [("rocky-9", Weak), ("almalinux-9", Weak)];
        let mut asked = Asked::default();
        assert!(asked.hear("package", selection(&level)).is_none());
        assert!(asked.hear("other", selection(&[("fedora-40", Certain)])).is_none());
        assert_eq!(asked.hear("other", selection(&[("rocky-9", Certain)])).unwrap().release.id.to_string(), "rocky-9");
        assert_eq!(asked.candidates.len(), 4);

        let mut asked = Asked::default();
        asked.hear("package", selection(&level));
        let decision = asked.unknown();
        let Decided::Unknown(gap) = decision.outcome else { panic!() };
        assert_eq!((gap.reason, gap.subject.as_str()), (GapReason::ReleaseAmbiguous, "rocky-9 almalinux-9"));
        assert_eq!(decision.story[0], "package: rocky 1.0.0: rocky-9 (weak): tag");
    }

    #[test]
    fn an_os_release_file_is_told_from_a_release_line() {
        let cases = [
            ("ID=fedora\nVERSION_ID=40\n", true),
            ("# comment\n\nID=debian", true),
            ("Fedora release 40 (Forty)", false),
            ("Red Hat Enterprise Linux release 8.4 (a = b)", false),
            ("", false),
        ];
        for (text, is_file) in cases {
            assert_eq!(matches!(release_source(text), ReleaseSource::OsRelease(_)), is_file, "input: {text:?}");
        }
    }
}

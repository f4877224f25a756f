//! Decides which release a core comes from: os-release, else the package's name, else the build-ids.

use retrace_coredump::CoreFacts;
use retrace_plugin_host::{PackageRef, PluginHost, ReleaseError, ReleaseSource};
use retrace_store::Store;
use retrace_types::{Architecture, BuildId, Evidence, Gap, GapReason, Release, ReleaseReport};

use crate::{AnalyzeError, AnalyzeRequest};

/// The release, or why none could be decided.
pub(crate) enum Decision {
    Release { release: Release, report: ReleaseReport },
    Unknown(Gap),
}

/// Asks the plugins, then the index.
pub(crate) async fn decide(
    plugins: &PluginHost,
    store: &Store,
    request: &AnalyzeRequest,
    facts: &CoreFacts,
) -> Result<Decision, AnalyzeError> {
    let mut tried = Vec::new();
    if let Some(text) = &request.os_release {
        match plugins.pick_release(&release_source(text)) {
            Ok(release) => return Ok(decided(release, Evidence::OsRelease, "the os-release text names it".to_owned())),
            Err(error) => tried.push(format!("os-release: {error}")),
        }
    }
    if let Some(package) = &request.package {
        let subject = PackageRef { raw: package.clone(), format: None, vendor: None };
        match plugins.pick_guess(&subject) {
            Ok(guess) => return Ok(decided(guess.release, Evidence::PackageName, guess.reason)),
            Err(ReleaseError::None) => tried.push(format!("package: no plugin knows the style of {package}")),
            Err(error) => tried.push(format!("package: {error}")),
        }
    }
    let build_ids: Vec<_> = facts.modules.iter().filter_map(|module| module.build_id.as_ref().ok().cloned()).collect();
    match majority(store, facts.architecture, &build_ids).await? {
        Some((release, reason)) => match plugins.release_by_version(&release.distro, release.version.as_str()) {
            Ok(release) => return Ok(decided(release, Evidence::BuildIds, reason)),
            Err(error) => tried.push(format!("build-ids: {release}: {error}")),
        },
        None => tried.push("build-ids: the index knows none of them".to_owned()),
    }
    Ok(Decision::Unknown(Gap {
        reason: GapReason::ReleaseUnknown,
        subject: "release".to_owned(),
        message: format!("the release of the machine that crashed is unknown ({})", tried.join("; ")),
        action: "give --os-release with that machine's /etc/os-release, and mirror the release: retrace mirror sync \
                 DISTRIBUTION VERSION ARCH"
            .to_owned(),
    }))
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

/// The release to which most of the build-ids belong; none when two are level.
async fn majority(
    store: &Store,
    architecture: Architecture,
    build_ids: &[BuildId],
) -> Result<Option<(retrace_types::ReleaseId, String)>, AnalyzeError> {
    let mut counts = store.releases_of_build_ids(build_ids).await?;
    counts.retain(|(_, of, _)| *of == architecture);
    counts.sort_by_key(|(_, _, count)| std::cmp::Reverse(*count));
    Ok(match counts.as_slice() {
        [(_, _, first), (_, _, second), ..] if first == second => None,
        [(release, _, count), ..] => {
            Some((release.clone(), format!("{count} of {} build-ids belong to it", build_ids.len())))
        }
        [] => None,
    })
}

fn decided(release: Release, evidence: Evidence, reason: String) -> Decision {
    let report = ReleaseReport { id: release.id.clone(), evidence, reason };
    Decision::Release { release, report }
}

#[cfg(test)]
mod tests {
    use super::*;

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

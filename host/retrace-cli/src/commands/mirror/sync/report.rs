//! What `retrace mirror sync` says of one release and architecture.

use std::fmt::Write as _;

use retrace_mirror::{Outcome, SyncReport};
use retrace_store::Incident;
use serde::Serialize;

use super::{AheadDocument, Synced};
use crate::{
    commands::mirror::{chain, verified},
    render::clean,
};

/// Incidents of a repository that are printed one by one; JSON has them all.
const MAX_INCIDENTS_SHOWN: usize = 10;

#[derive(Serialize)]
pub(super) struct SyncDocument {
    repositories: Vec<RepositoryDocument>,
    /// Repositories of the release that are not mirrored.
    off: Vec<OffDocument>,
    /// What was fetched ahead, or would have been.
    packages: Option<AheadDocument>,
}

#[derive(Serialize)]
pub(super) struct OffDocument {
    pub(super) id: String,
    /// No rule said so.
    pub(super) by_default: bool,
    pub(super) why: &'static str,
}

#[derive(Serialize)]
struct RepositoryDocument {
    id: String,
    outcome: &'static str,
    error: Option<String>,
    packages: Option<u64>,
    build_ids: Option<u64>,
    mirror: Option<String>,
    /// Mirrors that failed before another one answered.
    failed_mirrors: Vec<FailedMirror>,
    /// What is verified: `packages`, `metadata`, both, or none.
    verified: Vec<&'static str>,
    /// Packages that changed under their names, and were not taken.
    incidents: Vec<IncidentDocument>,
    notes: Vec<String>,
    bytes: u64,
    milliseconds: f64,
}

#[derive(Clone, Serialize)]
struct IncidentDocument {
    package: String,
    location: String,
    kind: &'static str,
    known_sha256: Option<String>,
    offered_sha256: Option<String>,
    finding: Option<String>,
    first_seen: String,
    #[serde(skip)]
    text: String,
}

impl From<&Incident> for IncidentDocument {
    fn from(incident: &Incident) -> Self {
        Self {
            package: incident.package.clone(),
            location: incident.location.clone(),
            kind: incident.kind.as_str(),
            known_sha256: incident.known.sha256.map(|sha256| sha256.to_string()),
            offered_sha256: incident.offered.sha256.map(|sha256| sha256.to_string()),
            finding: incident.finding.clone(),
            first_seen: incident.first_seen.to_string(),
            text: incident.to_string(),
        }
    }
}

#[derive(Serialize)]
struct FailedMirror {
    mirror: String,
    error: String,
}

impl From<&SyncReport> for SyncDocument {
    fn from(report: &SyncReport) -> Self {
        let repositories = report.repositories.iter().map(|repository| {
            let (outcome, error, packages, build_ids) = match &repository.outcome {
                Outcome::Updated { packages, build_ids } => ("updated", None, Some(*packages), Some(*build_ids)),
                Outcome::Unchanged => ("unchanged", None, None, None),
                Outcome::Failed(error) => ("failed", Some(chain(error)), None, None),
            };
            let failed = repository.failed_mirrors.iter();
            let failed = failed.map(|(mirror, error)| FailedMirror { mirror: mirror.clone(), error: chain(error) });
            RepositoryDocument {
                id: repository.id.clone(),
                outcome,
                error,
                packages,
                build_ids,
                mirror: repository.mirror.clone(),
                failed_mirrors: failed.collect(),
                verified: verified(repository.verified),
                incidents: repository.incidents.iter().map(IncidentDocument::from).collect(),
                notes: repository.notes.clone(),
                bytes: repository.bytes,
                milliseconds: repository.duration.as_secs_f64() * 1000.0,
            }
        });
        Self { repositories: repositories.collect(), off: Vec::new(), packages: None }
    }
}

pub(super) fn sync_text(document: SyncDocument) -> String {
    let mut text = String::new();
    for repository in document.repositories {
        let from = repository.mirror.map(|mirror| format!(" from {mirror}")).unwrap_or_default();
        let what = match (repository.packages, repository.build_ids, repository.error) {
            (Some(packages), Some(build_ids), _) => format!("{packages} packages, {build_ids} build-ids{from}"),
            (_, _, Some(error)) => error,
            _ => format!("no news{from}"),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{:<20} {:<9} {what} ({} KiB, {:.0} ms)",
            repository.id,
            repository.outcome,
            repository.bytes / 1024,
            repository.milliseconds
        );
        for FailedMirror { mirror, error } in repository.failed_mirrors {
            let _ = writeln!(text, "{:<20} failed    {mirror}: {error}", "");
        }
        if repository.verified.is_empty() {
            let what = "NOT VERIFIED: no signature of this repository is checked, by its policy";
            let _ = writeln!(text, "{:<20} warning   {what}", "");
        }
        for incident in repository.incidents.iter().take(MAX_INCIDENTS_SHOWN) {
            let _ = writeln!(text, "{:<20} INCIDENT  {}", "", clean(&incident.text));
        }
        match repository.incidents.len() {
            0 => {}
            count => {
                let _ = writeln!(
                    text,
                    "{:<20} INCIDENT  {count} packages changed under their names and were not taken; what is known of them \
                     stays: ask the distribution why it replaced files",
                    ""
                );
            }
        }
        for note in repository.notes {
            let _ = writeln!(text, "{:<20} note      {note}", "");
        }
    }
    text
}

pub(super) fn off_text(off: &[OffDocument]) -> String {
    off.iter().map(|repository| format!("{:<20} off       {}\n", repository.id, repository.why)).collect()
}

impl From<Synced> for SyncDocument {
    fn from(synced: Synced) -> Self {
        Self { off: synced.off, packages: Some(synced.packages), ..Self::from(&synced.report) }
    }
}

#[cfg(test)]
mod tests {
    use retrace_mirror::RepositoryReport;
    use retrace_types::SignaturePolicy;

    use super::*;

    #[test]
    fn what_was_not_verified_and_what_changed_is_told() {
        let report = |verified, incidents| RepositoryReport {
            id: "releases".into(),
            outcome: Outcome::Unchanged,
            mirror: None,
            failed_mirrors: Vec::new(),
            incidents,
            verified,
            notes: Vec::new(),
            bytes: 0,
            duration: std::time::Duration::ZERO,
        };
        let text = |policy, incidents: &[IncidentDocument]| {
            let mut document = SyncDocument::from(&SyncReport { repositories: vec![report(policy, Vec::new())] });
            document.repositories[0].incidents = incidents.iter().map(IncidentDocument::clone).collect();
            sync_text(document)
        };
        let both = SignaturePolicy { packages: true, metadata: true };
        assert!(!text(both, &[]).contains("NOT VERIFIED"));
        assert!(text(SignaturePolicy::OFF, &[]).contains("NOT VERIFIED"));
        let incident = IncidentDocument {
            package: "bash-5-1.x86_64".into(),
            location: "bash.rpm".into(),
            kind: "changed",
            known_sha256: None,
            offered_sha256: None,
            finding: None,
            first_seen: "2026-01-01T00:00:00Z".into(),
            text: "bash-5-1.x86_64 was changed\u{1b}[2J".into(),
        };
        let told = text(both, &vec![incident; 30]);
        assert!(told.contains("INCIDENT  bash-5-1.x86_64 was changed\u{fffd}[2J"), "{told}");
        assert_eq!(told.matches("INCIDENT").count(), MAX_INCIDENTS_SHOWN + 1);
        assert!(told.contains("30 packages"), "{told}");
    }
}

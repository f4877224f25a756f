//! What `retrace mirror sync` says of one release and architecture.

use std::fmt::Write as _;

use retrace_mirror::{Outcome, SyncReport};
use serde::Serialize;

use super::{AheadDocument, Synced};
use crate::commands::{
    chain,
    mirror::{
        NOT_VERIFIED,
        incident::{self, IncidentDocument},
        verified,
    },
};

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
            let _ = writeln!(text, "{:<20} warning   {NOT_VERIFIED}", "");
        }
        for line in incident::lines(&repository.incidents) {
            let _ = writeln!(text, "{:<20} INCIDENT  {line}", "");
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
    fn what_is_not_verified_is_told() {
        let text = |verified| {
            let repository = RepositoryReport {
                id: "releases".into(),
                outcome: Outcome::Unchanged,
                mirror: None,
                failed_mirrors: Vec::new(),
                incidents: Vec::new(),
                verified,
                notes: Vec::new(),
                bytes: 0,
                duration: std::time::Duration::ZERO,
            };
            sync_text(SyncDocument::from(&SyncReport { repositories: vec![repository] }))
        };
        assert!(!text(SignaturePolicy { packages: true, metadata: true }).contains("NOT VERIFIED"));
        assert!(text(SignaturePolicy::OFF).contains("NOT VERIFIED"));
    }
}

//! Packages that changed under their names, as `sync` and `status` tell of them.

use retrace_store::Incident;
use serde::Serialize;

use crate::render::clean;

/// Incidents of a repository that are printed one by one; JSON has them all.
const MAX_SHOWN: usize = 10;

#[derive(Clone, Serialize)]
pub(super) struct IncidentDocument {
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

/// A line for each of the first, and one that counts them; none where there are none.
pub(super) fn lines(incidents: &[IncidentDocument]) -> Vec<String> {
    let mut lines: Vec<_> = incidents.iter().take(MAX_SHOWN).map(|incident| clean(&incident.text)).collect();
    if !incidents.is_empty() {
        lines.push(format!(
            "{} packages changed under their names and were not taken; what is known of them stays: ask the distribution why \
             it replaced files",
            incidents.len()
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_incidents_are_told_and_all_are_counted() {
        assert!(lines(&[]).is_empty());
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
        let told = lines(&vec![incident; 30]);
        assert_eq!(told.len(), MAX_SHOWN + 1);
        assert_eq!(told[0], "bash-5-1.x86_64 was changed\u{fffd}[2J");
        assert!(told[MAX_SHOWN].starts_with("30 packages"), "{told:?}");
    }
}

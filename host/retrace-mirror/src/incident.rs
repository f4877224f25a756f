//! What became of a package that is offered with other bytes than are known.
//!
//! The store keeps the known file and takes nothing from the new one. Here the new one is fetched and compared, so that the
//! report can tell a package that was only signed again (the same header and payload, by rpm the usual reason) from one with
//! another content. It is removed again: whatever it is, it is no update.

use std::path::Path;

use retrace_package::{Keyring, rpm_content_sha256, verify_rpm};
use retrace_store::{Incident, IncidentKind};

use crate::{
    MirrorError,
    checksum::Checksum,
    error::chain,
    location::{Base, Location},
    sync::Job,
    transfer::Expected,
};

/// Most files that one sync of a repository fetches in order to compare them; the next one goes on.
const MAX_COMPARED: usize = 16;

impl Job<'_> {
    /// Compares the offered files with the known ones, as far as copies of those are kept, and notes what it found.
    pub(crate) async fn compare(&self, base: &Base, incidents: &mut [Incident]) -> Result<(), MirrorError> {
        let open = incidents.iter_mut().filter(|incident| incident.finding.is_none());
        for incident in open.take(MAX_COMPARED) {
            tracing::warn!(repository = self.spec.id, %incident, "a package changed under its name");
            match self.compare_one(base, incident).await {
                Ok((kind, finding)) => (incident.kind, incident.finding) = (kind, Some(finding)),
                Err(error @ (MirrorError::Store(_) | MirrorError::StepLost { .. })) => return Err(error),
                // The next sync tries again.
                Err(error) => tracing::info!(%base, error = %chain(&error), "the offered package cannot be compared"),
            }
            self.inner.store.record_incident(incident).await?;
        }
        Ok(())
    }

    async fn compare_one(&self, base: &Base, incident: &Incident) -> Result<(IncidentKind, String), MirrorError> {
        let known = match incident.known.sha256 {
            Some(sha256) => self.inner.store.package_path(&sha256).await?,
            None => None,
        };
        let Some(known) = known else {
            return Ok((IncidentKind::Changed, "no copy of the known file is kept to compare it with".to_owned()));
        };
        let place = base.at(&Location::parse(&incident.location)?);
        let expected = Expected {
            size_bytes: incident.offered.size_bytes,
            checksum: incident.offered.sha256.map(Checksum::Sha256),
            limit_bytes: self.source.options().limits.package_bytes,
        };
        let offered = self.source.file(&place, &expected, self.progress).await?.path;
        let (keyring, path) = (self.keyring.clone(), offered.clone());
        let compared = tokio::task::spawn_blocking(move || difference(&known, &path, &keyring)).await;
        let _ = std::fs::remove_file(offered);
        compared.map_err(|source| MirrorError::StepLost { step: "compare packages", source })
    }
}

fn difference(known: &Path, offered: &Path, keyring: &Keyring) -> (IncidentKind, String) {
    let (before, now) = (rpm_content_sha256(known), rpm_content_sha256(offered));
    match (before, now) {
        (Ok(before), Ok(now)) => {
            let vouched = match verify_rpm(offered, keyring, None) {
                Ok(verified) => verified.signature().to_string(),
                Err(error) => format!("its signature does not count: {}", chain(&error)),
            };
            if before == now {
                (
                    IncidentKind::Resigned,
                    format!("header and payload are the same, only the signatures differ; {vouched}"),
                )
            } else {
                (IncidentKind::Changed, format!("its content is another one; {vouched}"))
            }
        }
        (Ok(_), Err(error)) => (IncidentKind::Changed, format!("what is offered is no package: {}", chain(&error))),
        (Err(_), _) => (IncidentKind::Changed, "its content is another one".to_owned()),
    }
}

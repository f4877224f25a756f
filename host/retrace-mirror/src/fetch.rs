//! One package: from the store, else from a mirror, verified and kept.

use std::{path::PathBuf, sync::Arc};

use retrace_package::{Keyring, PackageError, VerifiedPackage, recorded, verify_digest, verify_rpm};
use retrace_store::{FileIdentity, Incident, IndexedPackage, LocalCopy, Repository, StoreError};
use retrace_types::{PackageFormat, Sha256, SignaturePolicy, SignatureState};
use tokio::sync::OnceCell;

use crate::{
    MirrorError, Progress,
    archive::{self, Archive},
    checksum::Checksum,
    keys,
    location::{Location, Place},
    mirror::Inner,
    revision::Revision,
    transfer::{Download, Expected, Source, Turn, lock},
};

/// The outcome of a fetch under way; empty until one succeeds.
pub(crate) type Fetched = OnceCell<LocalCopy>;

/// How a package of a repository is verified.
pub(crate) enum Check {
    /// By its own signature.
    Signature(Keyring),
    /// By its digest in metadata, which this key signed; or which nobody wanted signed.
    Digest(SignatureState),
}

/// One package on its way.
struct Errand<'a> {
    source: &'a Source,
    expected: &'a Expected,
    package: &'a IndexedPackage,
    check: &'a Check,
    progress: &'a dyn Progress,
}

impl Inner {
    pub(crate) async fn fetch(
        &self,
        package: &IndexedPackage,
        progress: &dyn Progress,
    ) -> Result<VerifiedPackage, MirrorError> {
        if let Some(copy) = &package.local
            && let Some(verified) = self.kept(copy).await?
            && !self.wants_more(package, &verified).await?
        {
            return Ok(verified);
        }
        let fetched = self.join_fetch(package);
        let copy = fetched.get_or_try_init(|| self.fetch_now(package, progress)).await?;
        self.kept(copy).await?.ok_or_else(|| MirrorError::NotVouched { package: package.id.to_string() })
    }

    /// True if a copy was taken while nothing was verified, and now something is: it has to pass, too.
    async fn wants_more(&self, package: &IndexedPackage, copy: &VerifiedPackage) -> Result<bool, MirrorError> {
        if *copy.signature() != SignatureState::Off {
            return Ok(false);
        }
        Ok(self.store.repository(package.repository).await?.spec.signatures != SignaturePolicy::OFF)
    }

    /// A copy that was verified before; none if somebody removed it.
    async fn kept(&self, copy: &LocalCopy) -> Result<Option<VerifiedPackage>, MirrorError> {
        let path = match self.store.package_path(&copy.sha256).await {
            // It counts as lost.
            Err(error @ StoreError::DamagedArtifact { .. }) => {
                tracing::warn!(%error, "a package is fetched again");
                None
            }
            path => path?,
        };
        Ok(path.and_then(|path| recorded(&path, copy.size_bytes, copy.sha256, copy.signature.clone()).ok()))
    }

    fn join_fetch(&self, package: &IndexedPackage) -> Arc<Fetched> {
        let mut fetching = lock(&self.fetching);
        if let Some(fetched) = fetching.get(&package.key).and_then(std::sync::Weak::upgrade) {
            return fetched;
        }
        fetching.retain(|_, fetched| fetched.strong_count() > 0);
        let fetched = Arc::new(Fetched::new());
        fetching.insert(package.key, Arc::downgrade(&fetched));
        fetched
    }

    async fn fetch_now(&self, package: &IndexedPackage, progress: &dyn Progress) -> Result<LocalCopy, MirrorError> {
        let repository = self.store.repository(package.repository).await?;
        let check = check_for(package, &repository)?;
        if let Some(copy) = self.adopt(package, &check).await? {
            return Ok(copy);
        }
        let location = Location::parse(&package.location)?;
        let source = self.transfer.source(&repository.release.distro, &repository.spec.id)?;
        let expected = Expected {
            size_bytes: package.size_bytes,
            checksum: package.sha256.map(Checksum::Sha256),
            limit_bytes: self.transfer.options().limits.package_bytes,
        };
        let errand = Errand { source: &source, expected: &expected, package, check: &check, progress };
        progress.step(&format!("Fetching {}", package.id));
        let mut attempts = Vec::new();
        for Turn { mirror, base } in source.turns(&repository.spec) {
            let done = match base {
                Ok(base) => {
                    let place = base.at(&location);
                    let done = self.fetch_from(&errand, &place).await;
                    source.remember(&base, &done);
                    done
                }
                Err(error) => Err(error),
            };
            match done {
                Ok(copy) => return Ok(copy),
                // The store fails for every mirror alike.
                Err(error @ (MirrorError::Store(_) | MirrorError::StepLost { .. })) => return Err(error),
                Err(error) => attempts.push((mirror, error)),
            }
        }
        // Upstream has dropped it, or replaced it under its name.
        let is_gone = |error: &MirrorError| {
            matches!(error, MirrorError::NotFound { .. } | MirrorError::Changed { .. }) || error.is_wrong()
        };
        if self.transfer.options().archives && attempts.iter().any(|(_, error)| is_gone(error)) {
            for (url, archive) in archive::archives(&repository.spec) {
                progress.step(&format!("Fetching {} from {url}", package.id));
                match self.fetch_archived(&errand, archive, &repository).await {
                    Ok(copy) => return Ok(copy),
                    Err(error @ (MirrorError::Store(_) | MirrorError::StepLost { .. })) => return Err(error),
                    Err(error) => attempts.push((url, error)),
                }
            }
        }
        if attempts.is_empty() {
            return Err(MirrorError::NoMirror { repository: repository.spec.id });
        }
        let what = format!("package {}", package.id);
        Err(MirrorError::AllMirrors { what, repository: repository.spec.id, attempts })
    }

    async fn fetch_from(&self, errand: &Errand<'_>, place: &Place) -> Result<LocalCopy, MirrorError> {
        let Errand { source, expected, package, check, progress } = errand;
        let download = source.file(place, expected, *progress).await?;
        match self.take_in(&download, place, package, check).await {
            // Another process that shares the download folder took the file in first.
            Err(error) if !download.path.exists() => self.adopt(package, check).await?.ok_or(error),
            done => done,
        }
    }

    /// From a service that keeps what mirrors have dropped.
    async fn fetch_archived(
        &self,
        errand: &Errand<'_>,
        archive: Result<Archive, MirrorError>,
        repository: &Repository,
    ) -> Result<LocalCopy, MirrorError> {
        let archive = archive?;
        let mut keyring = Keyring::new();
        // No key, no signed copies to ask for.
        let _ = keyring.add(repository.keys_armored.as_bytes());
        let places = archive.places(errand.source, errand.package, &keyring.fingerprints()).await;
        errand.source.remember(&archive.base, &places);
        let mut last = None;
        for place in places? {
            let done = self.fetch_from(errand, &place).await;
            errand.source.remember(&archive.base, &done);
            match done {
                Ok(copy) => return Ok(copy),
                // A copy by another key, or without a signature: the next one may be the right one.
                Err(
                    error @ (MirrorError::NotFound { .. }
                    | MirrorError::Refused { .. }
                    | MirrorError::UnknownSigner { .. }
                    | MirrorError::Changed { .. }),
                ) => last = Some(error),
                Err(error) if error.is_wrong() => last = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(last.unwrap_or_else(|| MirrorError::NoMirror { repository: repository.spec.id.clone() }))
    }

    /// Verifies what was downloaded and moves it into the store.
    async fn take_in(
        &self,
        download: &Download,
        place: &Place,
        package: &IndexedPackage,
        check: &Check,
    ) -> Result<LocalCopy, MirrorError> {
        let Download { path, size_bytes, sha256 } = download;
        let checked = match check {
            // It was digested while it came.
            Check::Digest(state) if package.sha256.is_none_or(|expected| expected == *sha256) => {
                recorded(path, *size_bytes, *sha256, state.clone())
            }
            _ => verify(path.clone(), *size_bytes, *sha256, package, check).await?,
        };
        let verified = match checked {
            Ok(verified) => verified,
            Err(source) => {
                // It would be taken for complete the next time.
                let _ = std::fs::remove_file(path);
                return Err(self.refused(package, place, source).await?);
            }
        };
        if let Some(known) = package.local.as_ref().filter(|known| known.sha256 != verified.sha256()) {
            let _ = std::fs::remove_file(path);
            return Err(self.changed(package, place, known, &verified).await?);
        }
        // What is there is damaged, or it would have been adopted: it stays until this takes its place.
        self.store.take_package_file(path, sha256).await?;
        let copy = self.keep(package, &verified).await?;
        // Now that a row names it nobody removes it; a moment ago it may have been an orphan's file.
        if !self.store.has_package_file(sha256).await? {
            self.store.take_package_file(path, sha256).await?;
        }
        let _ = std::fs::remove_file(path);
        Ok(copy)
    }

    /// Why a package is not taken that does not pass verification.
    async fn refused(
        &self,
        package: &IndexedPackage,
        place: &Place,
        source: PackageError,
    ) -> Result<MirrorError, MirrorError> {
        let (id, url) = (package.id.to_string(), place.to_string());
        Ok(match source {
            PackageError::KeyMissing { issuers, .. } => {
                let spec = self.store.repository(package.repository).await?.spec;
                let folder = keys::folder(&spec, self.transfer.options());
                MirrorError::UnknownSigner { what: format!("{id} from {url}"), issuers, repository: spec.id, folder }
            }
            source => MirrorError::Refused { package: id, url, source: source.into() },
        })
    }

    /// A package that was kept before came with other bytes: an incident, whatever its signature says.
    async fn changed(
        &self,
        package: &IndexedPackage,
        place: &Place,
        known: &LocalCopy,
        verified: &VerifiedPackage,
    ) -> Result<MirrorError, MirrorError> {
        let (id, location) = (package.id.to_string(), package.location.clone());
        let identity = |sha256, size_bytes| FileIdentity { sha256: Some(sha256), size_bytes: Some(size_bytes) };
        let was = identity(known.sha256, known.size_bytes);
        let is = identity(verified.sha256(), verified.size_bytes());
        let mut incident = Incident::new(package.repository, id.clone(), location, was, is);
        let finding = format!("it came when the kept copy was lost, and is {}", verified.signature());
        incident.finding = Some(finding);
        self.store.record_incident(&incident).await?;
        tracing::warn!(%incident, "a package changed under its name");
        let (known, offered) = (was.to_string(), is.to_string());
        Ok(MirrorError::Changed { package: id, url: place.to_string(), known, offered })
    }

    /// Takes the copy of the package that a run left in the store without noting it: it was killed, or another
    /// repository has the same package.
    async fn adopt(&self, package: &IndexedPackage, check: &Check) -> Result<Option<LocalCopy>, MirrorError> {
        let Some(sha256) = package.sha256 else { return Ok(None) };
        // A copy in a cache alone is nobody else's.
        if !self.store.has_package_file(&sha256).await? {
            return Ok(None);
        }
        let path = match self.store.package_path(&sha256).await {
            Err(StoreError::DamagedArtifact { .. }) => None,
            path => path?,
        };
        let Some(path) = path else { return Ok(None) };
        let Ok(metadata) = tokio::fs::metadata(&path).await else { return Ok(None) };
        match verify(path, metadata.len(), sha256, package, check).await? {
            Ok(verified) => {
                let copy = self.keep(package, &verified).await?;
                // Unless it was removed before a row named it.
                Ok(self.kept(&copy).await?.map(|_| copy))
            }
            Err(_) => Ok(None),
        }
    }

    async fn keep(&self, package: &IndexedPackage, verified: &VerifiedPackage) -> Result<LocalCopy, MirrorError> {
        let copy = LocalCopy {
            sha256: verified.sha256(),
            size_bytes: verified.size_bytes(),
            signature: verified.signature().clone(),
        };
        self.store.record_local_copy(package.key, &copy.sha256, copy.size_bytes, &copy.signature).await?;
        Ok(copy)
    }
}

/// A .deb carries no signature of its own: what is wanted of packages, verified metadata gives.
pub(crate) fn check_for(package: &IndexedPackage, repository: &Repository) -> Result<Check, MirrorError> {
    let policy = repository.spec.signatures;
    if policy.packages && package.format == PackageFormat::Rpm {
        let mut keyring = Keyring::new();
        let added = keyring.add(repository.keys_armored.as_bytes());
        added.map_err(|source| MirrorError::Refused {
            package: package.id.to_string(),
            url: format!("repository {}", repository.spec.id),
            source: source.into(),
        })?;
        return Ok(Check::Signature(keyring));
    }
    if !policy.packages && !policy.metadata {
        return Ok(Check::Digest(SignatureState::Off));
    }
    let revision = repository.revision.as_deref().and_then(|text| text.parse::<Revision>().ok());
    let fingerprint = revision.and_then(|revision| revision.fingerprint);
    match (fingerprint, package.sha256) {
        (Some(fingerprint), Some(_)) => Ok(Check::Digest(SignatureState::Metadata { fingerprint })),
        _ => Err(MirrorError::NotVouched { package: package.id.to_string() }),
    }
}

/// Reads the whole package on a thread of its own.
pub(crate) async fn verify(
    path: PathBuf,
    size_bytes: u64,
    sha256: Sha256,
    package: &IndexedPackage,
    check: &Check,
) -> Result<Result<VerifiedPackage, PackageError>, MirrorError> {
    let expected = package.sha256.unwrap_or(sha256);
    let verifying = match check {
        Check::Signature(keyring) => {
            let (keyring, expected) = (keyring.clone(), package.sha256);
            tokio::task::spawn_blocking(move || verify_rpm(&path, &keyring, expected))
        }
        Check::Digest(state) => {
            let state = state.clone();
            tokio::task::spawn_blocking(move || verify_digest(&path, size_bytes, expected, state))
        }
    };
    verifying.await.map_err(|source| MirrorError::StepLost { step: "verify", source })
}

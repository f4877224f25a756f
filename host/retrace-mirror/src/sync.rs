//! From a repository's metadata to its index.
//!
//! The top file comes first; if it is the one that the index was made from, that was all. Else everything it lists is
//! fetched and checked against it, read into memory within limits, and put into the index in one transaction.

mod deb;
mod folder;
mod rpm_md;

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use retrace_package::{Keyring, PackageError};
use retrace_store::{Incident, NewPackage, NewRepository, PathKey, RepositoryKey, RepositoryLock, Store, StoreError};
use retrace_types::{Architecture, Release, RepositoryLayout, RepositorySpec, Sha256, SignaturePolicy};

use crate::{
    MirrorError, Policy, Progress, keys,
    location::{Base, Place},
    mirror::Inner,
    mirror_list,
    revision::Revision,
    status,
    transfer::{Source, Turn},
};

/// Repositories that are read at once: while one is written to the index, the next is fetched and parsed. Each may need the
/// memory that the limits allow.
const AT_ONCE: usize = 2;

/// How long the lock of a repository outlives the machine that held it.
const LOCK: Duration = Duration::from_secs(120);

/// What a sync did.
#[derive(Debug)]
pub struct SyncReport {
    /// One for each repository, in the order that was given.
    pub repositories: Vec<RepositoryReport>,
}

/// What happened to one repository.
#[derive(Debug)]
pub struct RepositoryReport {
    /// The repository's id.
    pub id: String,
    /// What came of it.
    pub outcome: Outcome,
    /// The mirror that answered.
    pub mirror: Option<String>,
    /// Mirrors that were tried or left out before, and why; empty if none answered: the outcome names them then.
    pub failed_mirrors: Vec<(String, MirrorError)>,
    /// Packages that are offered with other bytes than are known: not taken.
    pub incidents: Vec<Incident>,
    /// What is verified of the repository, by its policy.
    pub verified: SignaturePolicy,
    /// What is worth knowing beside the outcome.
    pub notes: Vec<String>,
    /// Bytes of metadata that came, before decompression.
    pub bytes: u64,
    /// Wall-clock time.
    pub duration: Duration,
}

/// What came of a repository.
#[derive(Debug)]
pub enum Outcome {
    /// There is a new index.
    Updated {
        /// Packages in the metadata.
        packages: u64,
        /// Build-ids that the metadata names.
        build_ids: u64,
    },
    /// The index is of this metadata already.
    Unchanged,
    /// The old index stays, if there is one.
    Failed(MirrorError),
}

/// One repository on its way.
pub(crate) struct Job<'a> {
    pub(crate) inner: &'a Inner,
    pub(crate) source: &'a Source,
    pub(crate) spec: &'a RepositorySpec,
    pub(crate) architecture: Architecture,
    pub(crate) keyring: &'a Keyring,
    /// What the index is made from.
    known: Option<Revision>,
    settings: Sha256,
    pub(crate) progress: &'a dyn Progress,
}

/// New metadata.
pub(crate) struct NewIndex {
    pub(crate) revision: Revision,
    pub(crate) packages: Vec<NewPackage>,
    pub(crate) paths: Vec<(PathKey, Arc<str>)>,
    /// Files that it was read from, to be removed when it is in the index.
    pub(crate) files: Vec<std::path::PathBuf>,
}

/// What a mirror offers; none: the index is of it already.
pub(crate) type Offer = Option<NewIndex>;

pub(crate) async fn sync(
    inner: &Inner,
    release: &Release,
    architecture: Architecture,
    specs: &[RepositorySpec],
    progress: &dyn Progress,
) -> Result<SyncReport, MirrorError> {
    inner.transfer.sweep();
    let reports: Vec<_> =
        specs.iter().map(|spec| sync_reported(inner, release, architecture, spec, progress)).collect();
    let repositories = stream::iter(reports).buffered(AT_ONCE).try_collect().await?;
    Ok(SyncReport { repositories })
}

async fn sync_reported(
    inner: &Inner,
    release: &Release,
    architecture: Architecture,
    spec: &RepositorySpec,
    progress: &dyn Progress,
) -> Result<RepositoryReport, MirrorError> {
    let start = Instant::now();
    progress.step(&format!("Reading the metadata of {} ({})", spec.title, spec.id));
    let mut report = RepositoryReport {
        id: spec.id.clone(),
        outcome: Outcome::Unchanged,
        mirror: None,
        failed_mirrors: Vec::new(),
        incidents: Vec::new(),
        verified: spec.signatures,
        notes: Vec::new(),
        bytes: 0,
        duration: Duration::ZERO,
    };
    match sync_one(inner, release, architecture, spec, progress, &mut report).await {
        Ok(outcome) => report.outcome = outcome,
        // Without the database nothing can go on; a lost lock concerns one repository.
        Err(error @ MirrorError::Store(_)) if !matches!(error, MirrorError::Store(StoreError::LockLost)) => {
            return Err(error);
        }
        Err(error) => report.outcome = Outcome::Failed(error),
    }
    status::note(&inner.store, &release.id, architecture, &spec.id, &report.outcome).await?;
    report.duration = start.elapsed();
    Ok(report)
}

async fn sync_one(
    inner: &Inner,
    release: &Release,
    architecture: Architecture,
    spec: &RepositorySpec,
    progress: &dyn Progress,
    report: &mut RepositoryReport,
) -> Result<Outcome, MirrorError> {
    if let RepositoryLayout::Other(layout) = &spec.layout {
        return Err(MirrorError::UnsupportedLayout { repository: spec.id.clone(), layout: layout.clone() });
    }
    let source = &*inner.transfer.source(&release.id.distro, &spec.id)?;
    let spec = &*mirror_list::expand(source, spec).await?;
    let options = inner.transfer.options();
    let policy = Policy::of(&options.rules, &release.id, architecture, spec);
    let keyring = keys::read_keys(spec, options, &policy.keys)?;
    let keys_armored = keyring.to_armored();
    let settings = Revision::settings_of(spec, &keys_armored);
    let new = NewRepository { release: release.id.clone(), architecture, spec: spec.clone(), keys_armored };
    let store = &inner.store;
    let key = store.register_repository(&new).await?;
    let lock = store.lock_repository(key, LOCK).await?;
    let lock = lock.map_err(|holder| MirrorError::BeingSynced { repository: spec.id.clone(), holder })?;
    let synced = async {
        let known = store.repository(key).await?.revision.and_then(|text| text.parse().ok());
        let job = Job { inner, source, spec, architecture, keyring: &keyring, known, settings, progress };
        job.try_mirrors(key, report).await
    };
    let outcome = tokio::select! {
        outcome = synced => outcome,
        lost = keep(store, &lock) => Err(lost.into()),
    };
    store.unlock_repository(lock).await?;
    outcome
}

/// Keeps a lock until that fails.
async fn keep(store: &Store, lock: &RepositoryLock) -> StoreError {
    loop {
        tokio::time::sleep(LOCK / 4).await;
        if let Err(error) = store.keep_lock(lock, LOCK).await {
            return error;
        }
    }
}

impl Job<'_> {
    async fn try_mirrors(&self, key: RepositoryKey, report: &mut RepositoryReport) -> Result<Outcome, MirrorError> {
        let Self { source, spec, .. } = *self;
        let mut attempts = Vec::new();
        for Turn { mirror, base } in source.turns(spec) {
            let tried = match base {
                Ok(base) => {
                    let tried = self.try_mirror(&base, key, report).await;
                    source.remember(&base, &tried);
                    tried
                }
                Err(error) => Err(error),
            };
            match tried {
                Ok(outcome) => {
                    report.mirror = Some(mirror);
                    report.failed_mirrors = attempts;
                    return Ok(outcome);
                }
                Err(error @ (MirrorError::Store(_) | MirrorError::StepLost { .. })) => return Err(error),
                Err(error) => {
                    tracing::debug!(mirror, error = %crate::error::chain(&error), "a mirror failed");
                    attempts.push((mirror, error));
                }
            }
        }
        match attempts.len() {
            0 => Err(MirrorError::NoMirror { repository: spec.id.clone() }),
            1 => Err(attempts.remove(0).1),
            _ => Err(MirrorError::AllMirrors { what: "metadata".to_owned(), repository: spec.id.clone(), attempts }),
        }
    }

    async fn try_mirror(
        &self,
        base: &Base,
        key: RepositoryKey,
        report: &mut RepositoryReport,
    ) -> Result<Outcome, MirrorError> {
        let offer = match self.read(base, report).await {
            // The mirror may be in the middle of its own sync: in a moment its top file and the others may fit.
            Err(error) if error.is_inconsistent() => {
                let pause = self.source.options().settle_pause;
                tracing::info!(%base, error = %crate::error::chain(&error), ?pause, "a mirror is read again");
                report.notes.push(format!("{base} did not fit itself and was read again"));
                tokio::time::sleep(pause).await;
                self.read(base, report).await?
            }
            other => other?,
        };
        let store = &self.inner.store;
        let Some(mut new) = offer else {
            store.mark_unchanged(key).await?;
            return Ok(Outcome::Unchanged);
        };
        // Two components may list the same file.
        let mut seen = HashSet::new();
        new.packages.retain(|package| seen.insert(package.location.clone()));
        let build_ids = new.packages.iter().map(|package| package.build_ids.len() as u64).sum();
        self.progress.step(&format!("Indexing {} packages of {}", new.packages.len(), self.spec.id));
        report.incidents = store.replace_metadata(key, &new.revision.to_string(), &new.packages, &new.paths).await?;
        for file in new.files {
            // What cannot be removed now is swept up later.
            let _ = std::fs::remove_file(file);
        }
        self.compare(base, &mut report.incidents).await?;
        Ok(Outcome::Updated { packages: new.packages.len() as u64, build_ids })
    }

    async fn read(&self, base: &Base, report: &mut RepositoryReport) -> Result<Offer, MirrorError> {
        match &self.spec.layout {
            RepositoryLayout::RpmMd => self.read_rpm_md(base, report).await,
            RepositoryLayout::DebDists { suite, components } => self.read_deb(base, suite, components, report).await,
            RepositoryLayout::Directory => self.read_folder(base, report).await,
            RepositoryLayout::Other(layout) => {
                Err(MirrorError::UnsupportedLayout { repository: self.spec.id.clone(), layout: layout.clone() })
            }
        }
    }

    /// Why the signature of a top file does not count.
    fn bad_signature(&self, place: &Place, source: PackageError) -> MirrorError {
        match source {
            PackageError::KeyMissing { issuers, .. } => MirrorError::UnknownSigner {
                what: place.to_string(),
                issuers,
                repository: self.spec.id.clone(),
                folder: keys::folder(self.spec, self.source.options()),
            },
            source => MirrorError::Signature { url: place.to_string(), source: source.into() },
        }
    }

    /// Refuses a pattern where metadata tells what there is.
    fn no_pattern(&self, base: &Base) -> Result<(), MirrorError> {
        let reason = "a pattern with `*` is for folders of packages without metadata";
        match base.pattern() {
            Some(_) => Err(MirrorError::InvalidMirror { mirror: base.to_string(), reason }),
            None => Ok(()),
        }
    }

    /// True if the index was made from this top file.
    fn is_known(&self, top: &Sha256) -> bool {
        self.known.as_ref().is_some_and(|known| known.covers(top, &self.settings))
    }

    /// The revision of new metadata, which must not be older than what is indexed: an old signature is still good, so an
    /// attacker or a mirror that lags could take packages back that were replaced for a reason.
    fn revision(
        &self,
        place: &Place,
        made_at: i64,
        top: Sha256,
        fingerprint: Option<String>,
    ) -> Result<Revision, MirrorError> {
        if let Some(known) = &self.known
            && known.settings == self.settings
            && fingerprint.is_some()
            && made_at < known.made_at
        {
            let (offered, known) = (show_time(made_at), show_time(known.made_at));
            return Err(MirrorError::Stale { url: place.to_string(), offered, known });
        }
        Ok(Revision { made_at, top, settings: self.settings, fingerprint })
    }
}

fn show_time(seconds: i64) -> String {
    Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |time| time.to_string())
}

/// Reads metadata on a thread of its own.
async fn read_blocking<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, MirrorError> + Send + 'static,
) -> Result<T, MirrorError> {
    let reading = tokio::task::spawn_blocking(read);
    reading.await.map_err(|source| MirrorError::StepLost { step: "read metadata", source })?
}

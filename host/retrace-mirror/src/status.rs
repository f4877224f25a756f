//! How each repository is: how fresh, how large, what went wrong.

use jiff::Timestamp;
use retrace_store::{Incident, Repository, RepositoryCounts, Store, StoreError, SyncFailure};
use retrace_types::{Architecture, ReleaseId};

use crate::{MirrorError, Outcome, error::chain, revision::Revision};

/// Longest text of a failure that is kept, in bytes: each of many mirrors has its own reason.
const MAX_MESSAGE_BYTES: usize = 4096;

/// One repository.
#[derive(Clone, Debug)]
pub struct RepositoryStatus {
    /// Release.
    pub release: ReleaseId,
    /// Architecture.
    pub architecture: Architecture,
    /// Id of the repository.
    pub id: String,
    /// What is registered; none if the first sync failed before that.
    pub repository: Option<Repository>,
    /// When the index was last filled or found up to date.
    pub synced_at: Option<Timestamp>,
    /// When the metadata behind the index was made, as it says itself; none if it does not.
    pub made_at: Option<Timestamp>,
    /// What there is.
    pub counts: RepositoryCounts,
    /// Packages that changed under their names, the newest offers first.
    pub incidents: Vec<Incident>,
    /// Why the last sync failed; none if it did not.
    pub failure: Option<LastFailure>,
}

/// A failure that no success followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastFailure {
    /// Since when every sync has failed.
    pub since: Timestamp,
    /// The last one.
    pub failed_at: Timestamp,
    /// What went wrong then.
    pub message: String,
}

/// The repositories of a release and architecture, or of all, in their order.
///
/// # Errors
/// [`StoreError`] if the index fails.
pub async fn status(
    store: &Store,
    release: Option<&ReleaseId>,
    architecture: Option<Architecture>,
) -> Result<Vec<RepositoryStatus>, StoreError> {
    let repositories = store.repositories(release, architecture).await?;
    let counts = store.repository_counts().await?;
    let is_wanted = |failure: &SyncFailure| {
        release.is_none_or(|wanted| failure.release == *wanted)
            && architecture.is_none_or(|wanted| failure.architecture == wanted)
    };
    let mut failures: Vec<_> = store.sync_failures().await?.into_iter().filter(is_wanted).collect();
    let mut all: Vec<_> = repositories
        .into_iter()
        .map(|repository| {
            let of_this = |failure: &SyncFailure| {
                (&failure.release, failure.architecture, &failure.repository)
                    == (&repository.release, repository.architecture, &repository.spec.id)
            };
            let failure = failures.iter().position(of_this).map(|at| LastFailure::from(failures.remove(at)));
            let revision = repository.revision.as_deref().and_then(|text| text.parse::<Revision>().ok());
            let made_at = revision.map(|revision| revision.made_at).filter(|seconds| *seconds > 0);
            RepositoryStatus {
                release: repository.release.clone(),
                architecture: repository.architecture,
                id: repository.spec.id.clone(),
                synced_at: repository.synced_at,
                made_at: made_at.and_then(|seconds| Timestamp::from_second(seconds).ok()),
                counts: counts.get(&repository.key).copied().unwrap_or_default(),
                incidents: Vec::new(),
                failure,
                repository: Some(repository),
            }
        })
        .collect();
    all.extend(failures.into_iter().map(|failure| RepositoryStatus {
        release: failure.release.clone(),
        architecture: failure.architecture,
        id: failure.repository.clone(),
        repository: None,
        synced_at: None,
        made_at: None,
        counts: RepositoryCounts::default(),
        incidents: Vec::new(),
        failure: Some(failure.into()),
    }));
    for status in &mut all {
        if let Some(repository) = &status.repository {
            status.incidents = store.incidents(repository.key).await?;
        }
    }
    all.sort_by(|a, b| (&a.release, a.architecture, &a.id).cmp(&(&b.release, b.architecture, &b.id)));
    Ok(all)
}

impl From<SyncFailure> for LastFailure {
    fn from(failure: SyncFailure) -> Self {
        let SyncFailure { since, failed_at, message, .. } = failure;
        Self { since, failed_at, message }
    }
}

/// Notes how the sync of a repository ended. That another process syncs it is no failure.
pub(crate) async fn note(
    store: &Store,
    release: &ReleaseId,
    architecture: Architecture,
    repository: &str,
    outcome: &Outcome,
) -> Result<(), MirrorError> {
    match outcome {
        Outcome::Failed(MirrorError::BeingSynced { .. } | MirrorError::Store(StoreError::LockLost)) => {}
        Outcome::Failed(error) => {
            let mut message = chain(error);
            message.truncate(message.floor_char_boundary(MAX_MESSAGE_BYTES));
            store.note_sync_failure(release, architecture, repository, &message).await?;
        }
        Outcome::Updated { .. } | Outcome::Unchanged => {
            store.clear_sync_failure(release, architecture, repository).await?;
        }
    }
    Ok(())
}

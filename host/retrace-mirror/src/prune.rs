//! Removing copies that the rules no longer want, and files that no package has.
//!
//! [`plan_prune`](Mirror::plan_prune) only looks; [`prune`](Mirror::prune) carries it out, one file after the other, and looks
//! again at each: whoever is killed has removed some of them, and the next run removes the rest.
//!
//! What stays: everything of repositories in the modes `metadata` and `full`, and of those that are switched off; what a core
//! ever referenced, with its debug packages; what a running task may read; files that are younger than [`MIN_AGE`].

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use retrace_store::{IndexedPackage, LocalCopy, Orphan, PackageKey, Removal, Repository, Scope};
use retrace_types::PackageId;

use crate::{Mirror, MirrorError};

/// An orphan may be a package that is just being fetched, and a package may be read by a command that is no task: neither
/// takes an hour.
pub const MIN_AGE: Duration = Duration::from_secs(3600);

/// A copy that is to be removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unwanted {
    /// The package.
    pub id: PackageId,
    /// Its release and architecture.
    pub scope: Scope,
    /// Id of its repository.
    pub repository: String,
    /// Its copy.
    pub copy: LocalCopy,
    key: PackageKey,
}

/// What is to be removed.
#[derive(Debug, Default)]
pub struct PrunePlan {
    /// Copies of packages.
    pub packages: Vec<Unwanted>,
    /// Files that no package has.
    pub orphans: Vec<Orphan>,
    /// Copies that stay, in the repositories that have a filter.
    pub kept: u64,
    /// Files that no package has and that are too young.
    pub young: u64,
}

/// What was removed.
#[derive(Debug, Default)]
pub struct PruneReport {
    /// Packages whose copy is gone.
    pub packages: u64,
    /// Orphans that are gone.
    pub orphans: u64,
    /// Bytes of the files that are gone. Hard links of a published tree keep theirs until it is published again.
    pub bytes: u64,
    /// Packages that a retrace came to use meanwhile.
    pub in_use: u64,
    /// What could not be removed, and why; the others went all the same.
    pub failed: Vec<(String, MirrorError)>,
}

impl PrunePlan {
    /// Bytes of what is to be removed. Copies that several packages share count once for each.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let packages = self.packages.iter().map(|package| package.copy.size_bytes);
        let orphans = self.orphans.iter().map(|orphan| orphan.size_bytes);
        packages.chain(orphans).fold(0, u64::saturating_add)
    }
}

impl Mirror {
    /// What the rules let go of, over all releases. Nothing is changed or contacted.
    ///
    /// # Errors
    /// [`MirrorError::Store`].
    pub async fn plan_prune(&self) -> Result<PrunePlan, MirrorError> {
        let store = &self.inner.store;
        let mut plan = PrunePlan::default();
        for (release, architecture) in store.releases_mirrored().await? {
            let scope = Scope { release, architecture };
            let ahead = self.plan_ahead(&scope).await?;
            plan.kept += ahead.plan.keep.len() as u64;
            let unwanted = ahead.plan.prune.iter().filter_map(|n| {
                let (candidate, package) = (ahead.candidates.get(*n)?, ahead.packages.get(*n)?);
                let (repository, _) = ahead.repositories.get(candidate.repository)?;
                unwanted(package, repository, &scope)
            });
            plan.packages.extend(unwanted);
        }
        let (old, young) = store.orphans().await?.into_iter().partition::<Vec<_>, _>(|orphan| orphan.age >= MIN_AGE);
        (plan.orphans, plan.young) = (old, young.len() as u64);
        Ok(plan)
    }

    /// Removes what the plan names, unless it has come to be used. What cannot be removed does not stop the rest.
    ///
    /// # Errors
    /// [`MirrorError::Store`] if the index itself fails.
    pub async fn prune(&self, plan: &PrunePlan) -> Result<PruneReport, MirrorError> {
        let store = &self.inner.store;
        let used_from = used_from(Timestamp::now(), store.oldest_task_started().await?);
        let mut report = PruneReport::default();
        for package in &plan.packages {
            match store.remove_copy(package.key, &package.copy.sha256, used_from).await {
                Ok(Removal::Removed(bytes)) => {
                    report.packages += 1;
                    report.bytes = report.bytes.saturating_add(bytes);
                }
                Ok(Removal::InUse) => report.in_use += 1,
                Err(error @ retrace_store::StoreError::Remove { .. }) => {
                    report.failed.push((package.id.to_string(), error.into()));
                }
                Err(error) => return Err(error.into()),
            }
        }
        for orphan in &plan.orphans {
            match store.remove_orphan(orphan).await {
                Ok(0) => {}
                Ok(bytes) => {
                    report.orphans += 1;
                    report.bytes = report.bytes.saturating_add(bytes);
                }
                Err(error @ retrace_store::StoreError::Remove { .. }) => {
                    report.failed.push((orphan.path.display().to_string(), error.into()));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(report)
    }
}

/// From when on a use protects a package: since the longest task began, and for [`MIN_AGE`].
fn used_from(now: Timestamp, oldest_task: Option<Timestamp>) -> Timestamp {
    let an_hour_ago = now.saturating_sub(SignedDuration::try_from(MIN_AGE).unwrap_or(SignedDuration::MAX));
    let an_hour_ago = an_hour_ago.unwrap_or(Timestamp::MIN);
    oldest_task.map_or(an_hour_ago, |started| started.min(an_hour_ago))
}

fn unwanted(package: &IndexedPackage, repository: &Repository, scope: &Scope) -> Option<Unwanted> {
    Some(Unwanted {
        id: package.id.clone(),
        scope: scope.clone(),
        repository: repository.spec.id.clone(),
        copy: package.local.clone()?,
        key: package.key,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_use_protects_as_long_as_a_task_may_run_and_an_hour_at_least() {
        let now: Timestamp = "2024-05-05T12:00:00Z".parse().unwrap();
        for (started, want) in [
            (None, "2024-05-05T11:00:00Z"),
            (Some("2024-05-05T11:59:00Z"), "2024-05-05T11:00:00Z"),
            (Some("2024-05-04T03:00:00Z"), "2024-05-04T03:00:00Z"),
        ] {
            let started = started.map(|text| text.parse().unwrap());
            assert_eq!(used_from(now, started).to_string(), want);
        }
        assert!(used_from(Timestamp::MIN, None) <= Timestamp::MIN);
    }
}

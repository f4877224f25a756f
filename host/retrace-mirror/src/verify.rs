//! Every local copy read again: digest, signature, policy. What is damaged is fetched anew if that is wanted.
//!
//! A repair never removes first: the copy is taken out of service in the index, the new file is downloaded and verified like
//! any other, and a rename lets it take the place of the damaged one. Links of the published tree keep the old file until the
//! tree is published again. Memory holds one page of packages and what was found wrong, never the whole index.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, stream};
use retrace_package::{PackageError, VerifiedPackage};
use retrace_store::{IndexedPackage, LocalCopy, Orphan, Repository, RepositoryKey};
use retrace_types::{Architecture, ReleaseId, SignatureState};

use crate::{
    MirrorError, Progress,
    error::chain,
    fetch::{Check, check_for, verify as verify_file},
    mirror::Inner,
    prune::MIN_AGE,
    transfer,
};

/// Packages that are listed at once.
const PAGE: usize = 512;

/// What to verify, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyOptions {
    /// Only this release.
    pub release: Option<ReleaseId>,
    /// Only this architecture.
    pub architecture: Option<Architecture>,
    /// Only repositories with these ids; all if there are none.
    pub repositories: Vec<String>,
    /// Take copies that are not good out of service, and fetch them again.
    pub repair: bool,
}

/// What a verification found.
#[derive(Debug, Default)]
pub struct VerifyReport {
    /// Copies that were read.
    pub packages: u64,
    /// Their size, as the index says.
    pub bytes: u64,
    /// Copies that are good.
    pub good: u64,
    /// The others, in the order in which they were found.
    pub findings: Vec<Finding>,
    /// Files of the artifact store that no package has, older than [`MIN_AGE`]; none if only some repositories were verified.
    pub orphans: Option<Vec<Orphan>>,
    /// Wall-clock time.
    pub duration: Duration,
}

/// A copy that is not good.
#[derive(Debug)]
pub struct Finding {
    /// Its repository.
    pub repository: Arc<Repository>,
    /// The package, as it was listed.
    pub package: IndexedPackage,
    /// Where its file lies, or should: a path, or an address.
    pub path: PathBuf,
    /// What is wrong.
    pub fault: Fault,
    /// What was done about it; none unless that was wanted.
    pub repair: Option<Repair>,
}

/// What is wrong with a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// There is no file.
    Missing,
    /// It has another content than it was verified with.
    Damaged(String),
    /// It cannot be read.
    Unreadable(String),
    /// It is what it was, but the repository's keys and policy do not vouch for it any more.
    Refused(String),
}

/// What was done about a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Repair {
    /// A good one is in its place.
    Replaced,
    /// None could be had: the package counts as not fetched, and is fetched when it is needed. What is left of the file stays.
    OutOfService(String),
}

/// One copy to be looked at.
struct Subject {
    repository: Arc<Repository>,
    package: IndexedPackage,
    copy: LocalCopy,
    path: PathBuf,
}

pub(crate) async fn verify(
    inner: &Inner,
    options: &VerifyOptions,
    progress: &dyn Progress,
) -> Result<VerifyReport, MirrorError> {
    let start = Instant::now();
    let mut repositories = inner.store.repositories(options.release.as_ref(), options.architecture).await?;
    let is_wanted = |id: &String| options.repositories.is_empty() || options.repositories.contains(id);
    repositories.retain(|repository| is_wanted(&repository.spec.id));
    let repositories: std::collections::HashMap<RepositoryKey, Arc<Repository>> =
        repositories.into_iter().map(|repository| (repository.key, Arc::new(repository))).collect();
    let counts = inner.store.repository_counts().await?;
    let total = repositories.keys().filter_map(|key| counts.get(key)).map(|counts| counts.local_bytes).sum();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);

    let mut report = VerifyReport::default();
    let mut last = None;
    progress.step("Verifying packages");
    loop {
        let page = inner.store.local_copies(last, PAGE).await?;
        let Some(end) = page.last() else { break };
        last = Some(end.key);
        let mut subjects = Vec::new();
        for package in page {
            let Some(repository) = repositories.get(&package.repository) else { continue };
            let Some(copy) = package.local.clone() else { continue };
            let path = inner.store.package_location(&copy.sha256);
            subjects.push(Subject { repository: Arc::clone(repository), package, copy, path });
        }
        let examined: Vec<_> = subjects.into_iter().map(|subject| examine(inner, subject)).collect();
        let mut examined = stream::iter(examined).buffered(threads);
        while let Some(done) = examined.next().await {
            let (subject, fault) = done?;
            report.packages += 1;
            report.bytes += subject.copy.size_bytes;
            match fault {
                None => report.good += 1,
                Some(fault) => {
                    let finding = deal_with(inner, subject, fault, options.repair, progress).await?;
                    report.findings.push(finding);
                    progress.step("Verifying packages");
                }
            }
            progress.bytes(report.bytes, Some(total));
        }
    }
    if *options == (VerifyOptions { repair: options.repair, ..VerifyOptions::default() }) {
        progress.step("Looking for files that no package has");
        let mut orphans = inner.store.orphans().await?;
        orphans.retain(|orphan| orphan.age >= MIN_AGE);
        report.orphans = Some(orphans);
    }
    report.duration = start.elapsed();
    Ok(report)
}

/// Reads a copy; none if it is good.
async fn examine(inner: &Inner, subject: Subject) -> Result<(Subject, Option<Fault>), MirrorError> {
    let Subject { repository, package, copy, .. } = &subject;
    let (check, no_check) = match check_for(package, repository) {
        Ok(check) => (check, None),
        Err(error) => (Check::Digest(SignatureState::Off), Some(chain(&error))),
    };
    let file = inner.store.stored_package_file(&copy.sha256).await?;
    let path = file.path();
    let checked = verify_file(path.to_owned(), copy.size_bytes, copy.sha256, package, &check).await?;
    let fault = match (checked, no_check) {
        (Ok(_), Some(reason)) => Some(Fault::Refused(reason)),
        (Ok(verified), None) => {
            trust_more(inner, package, copy, &verified).await?;
            None
        }
        (Err(error), _) => Some(fault_of(path.to_owned(), copy.clone(), error).await?),
    };
    Ok((subject, fault))
}

/// A copy from a time without verification is as good as any other once it was verified.
async fn trust_more(
    inner: &Inner,
    package: &IndexedPackage,
    copy: &LocalCopy,
    verified: &VerifiedPackage,
) -> Result<(), MirrorError> {
    if copy.signature == SignatureState::Off && *verified.signature() != SignatureState::Off {
        let (sha256, size_bytes) = (verified.sha256(), verified.size_bytes());
        inner.store.record_local_copy(package.key, &sha256, size_bytes, verified.signature()).await?;
    }
    Ok(())
}

/// What kind of fault a refusal is: a damaged file fails in many ways, a whole one for its signature alone.
async fn fault_of(path: PathBuf, copy: LocalCopy, error: PackageError) -> Result<Fault, MirrorError> {
    let digesting = tokio::task::spawn_blocking(move || {
        let found = std::fs::metadata(&path).and_then(|metadata| Ok((metadata.len(), transfer::sha256_of(&path)?)));
        match found {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Fault::Missing,
            Err(error) => Fault::Unreadable(error.to_string()),
            Ok((size, _)) if size != copy.size_bytes => {
                Fault::Damaged(format!("it has {size} bytes, not {}", copy.size_bytes))
            }
            Ok((_, sha256)) if sha256 != copy.sha256 => {
                Fault::Damaged(format!("its SHA-256 is {sha256}, not {}", copy.sha256))
            }
            Ok(_) => Fault::Refused(chain(&error)),
        }
    });
    digesting.await.map_err(|source| MirrorError::StepLost { step: "verify", source })
}

async fn deal_with(
    inner: &Inner,
    subject: Subject,
    fault: Fault,
    repair: bool,
    progress: &dyn Progress,
) -> Result<Finding, MirrorError> {
    let Subject { repository, package, copy, path } = subject;
    let repair = match repair {
        true => Some(replace(inner, &repository, &package, &copy, progress).await?),
        false => None,
    };
    Ok(Finding { repository, package, path, fault, repair })
}

async fn replace(
    inner: &Inner,
    repository: &Repository,
    package: &IndexedPackage,
    copy: &LocalCopy,
    progress: &dyn Progress,
) -> Result<Repair, MirrorError> {
    inner.store.forget_local_copy(package.key, &copy.sha256).await?;
    if let Err(error) = check_for(package, repository) {
        return Ok(Repair::OutOfService(chain(&error)));
    }
    // The very same file, also where metadata gives no digests.
    let wanted = IndexedPackage { local: None, sha256: Some(copy.sha256), ..package.clone() };
    match inner.fetch(&wanted, progress).await {
        Ok(_) => Ok(Repair::Replaced),
        Err(error @ (MirrorError::Store(_) | MirrorError::StepLost { .. })) => Err(error),
        Err(error) => Ok(Repair::OutOfService(chain(&error))),
    }
}

//! Fetching ahead what policies want: many packages at once, each on its own.
//!
//! A package counts when it is verified and noted, one after the other: whoever is killed loses what was on its way at
//! most, and the download folder has the bytes of that.

use std::{
    collections::{HashMap, HashSet},
    sync::Mutex,
};

use futures_util::{FutureExt as _, StreamExt as _, stream};
use retrace_store::{IndexedPackage, Repository, RepositoryKey, Scope};
use retrace_types::PackageId;

use crate::{Candidate, Mirror, MirrorError, Mode, Plan, Policy, plan, transfer::lock};

/// Packages that are on their way at the same time.
const PARALLEL: usize = 6;
/// Failures of one repository, with no success in between, after which no more of its packages are tried.
const MAX_FAILURES: usize = 16;

/// What is to be done for one release and architecture.
#[derive(Debug)]
pub struct Ahead {
    /// Repositories, and what the operator wants of each.
    pub repositories: Vec<(Repository, Policy)>,
    /// Packages that the plan is about.
    pub candidates: Vec<Candidate>,
    /// The decision; positions are those of the candidates.
    pub plan: Plan,
    pub(crate) packages: Vec<IndexedPackage>,
}

/// What came of fetching ahead.
#[derive(Debug, Default)]
pub struct AheadReport {
    /// Packages that are here now.
    pub fetched: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Packages that could not be had, and why; the others came all the same.
    pub failed: Vec<(PackageId, MirrorError)>,
    /// Packages that were not tried, because too many of their repository failed in a row.
    pub skipped: u64,
}

/// Told how far fetching ahead is.
pub trait AheadProgress: Sync {
    /// So many packages and bytes of these totals are done.
    fn ahead(&self, _packages: u64, _of: u64, _bytes: u64, _of_bytes: u64) {}
}

impl AheadProgress for () {}

impl Mirror {
    /// What the rules want fetched of a release, from what the index knows. Nothing is contacted.
    ///
    /// # Errors
    /// [`MirrorError::Store`].
    pub async fn plan_ahead(&self, scope: &Scope) -> Result<Ahead, MirrorError> {
        let (store, rules) = (&self.inner.store, &self.inner.transfer.options().rules);
        let repositories = store.repositories(Some(&scope.release), Some(scope.architecture)).await?;
        let with_policy = |repository: Repository| {
            let policy = Policy::of(rules, &scope.release, scope.architecture, &repository.spec);
            (repository, policy)
        };
        let repositories: Vec<_> = repositories.into_iter().map(with_policy).collect();
        // Most sites fetch on demand: an index of a whole distribution is not read for nothing.
        if !repositories.iter().any(|(_, policy)| policy.enabled && policy.mode != Mode::Metadata) {
            return Ok(Ahead { repositories, candidates: Vec::new(), plan: Plan::default(), packages: Vec::new() });
        }
        let packages = store.packages(scope).await?;
        let dropped = store.dropped_packages(scope).await?;
        let referenced = store.referenced_packages(scope).await?;
        let position = |key| repositories.iter().position(|(repository, _)| repository.key == key);
        let candidate = |package: &IndexedPackage| Candidate {
            repository: position(package.repository).unwrap_or(usize::MAX),
            id: package.id.clone(),
            kind: package.kind.clone(),
            format: package.format.clone(),
            source: package.source.clone(),
            size_bytes: package.size_bytes,
            local: package.local.is_some(),
            upstream: !dropped.contains(&package.key),
            referenced: referenced.contains(&package.key),
        };
        let candidates: Vec<_> = packages.iter().map(candidate).collect();
        let policies: Vec<_> = repositories.iter().map(|(_, policy)| policy.clone()).collect();
        let plan = plan(&candidates, &policies);
        Ok(Ahead { repositories, candidates, plan, packages })
    }

    /// Fetches what the plan wants, several packages at a time. A package that fails does not stop the others; of a
    /// repository where one after the other fails, the rest is left to the next run.
    ///
    /// # Errors
    /// [`MirrorError::Store`] if the store itself fails.
    pub async fn fetch_ahead(&self, ahead: &Ahead, progress: &dyn AheadProgress) -> Result<AheadReport, MirrorError> {
        let mut tally = Tally::new(ahead);
        let given_up = Mutex::new(HashSet::new());
        let fetch = |n: usize| {
            let given_up = &given_up;
            async move {
                let package = ahead.packages.get(n)?;
                let is_given_up = lock(given_up).contains(&package.repository);
                let fetched = if is_given_up { None } else { Some(self.fetch(package, &()).await) };
                Some((package, fetched))
            }
            .boxed()
        };
        let mut fetches = stream::iter(ahead.plan.fetch.iter().copied().map(fetch)).buffer_unordered(PARALLEL);
        while let Some(done) = fetches.next().await {
            let Some((package, fetched)) = done else { continue };
            match fetched {
                Some(Err(error @ (MirrorError::Store(_) | MirrorError::StepLost { .. }))) => return Err(error),
                Some(Err(error)) => {
                    if tally.failed(package, error) >= MAX_FAILURES {
                        lock(&given_up).insert(package.repository);
                    }
                }
                Some(Ok(verified)) => tally.fetched(package, verified.size_bytes()),
                None => tally.skipped(package),
            }
            tally.tell(progress);
        }
        Ok(tally.report)
    }
}

/// How far it is.
struct Tally {
    report: AheadReport,
    packages: u64,
    of: u64,
    bytes: u64,
    of_bytes: u64,
    in_a_row: HashMap<RepositoryKey, usize>,
}

impl Tally {
    fn new(ahead: &Ahead) -> Self {
        let (of, of_bytes) = (ahead.plan.fetch.len() as u64, ahead.plan.fetch_bytes(&ahead.candidates));
        Self { report: AheadReport::default(), packages: 0, of, bytes: 0, of_bytes, in_a_row: HashMap::new() }
    }

    fn done(&mut self, package: &IndexedPackage) {
        self.packages += 1;
        self.bytes = self.bytes.saturating_add(package.size_bytes.unwrap_or(0));
    }

    fn fetched(&mut self, package: &IndexedPackage, size_bytes: u64) {
        self.done(package);
        self.in_a_row.remove(&package.repository);
        self.report.fetched += 1;
        self.report.bytes = self.report.bytes.saturating_add(size_bytes);
    }

    /// The failures of its repository since the last success.
    fn failed(&mut self, package: &IndexedPackage, error: MirrorError) -> usize {
        self.done(package);
        self.report.failed.push((package.id.clone(), error));
        let in_a_row = self.in_a_row.entry(package.repository).or_default();
        *in_a_row += 1;
        *in_a_row
    }

    fn skipped(&mut self, package: &IndexedPackage) {
        self.done(package);
        self.report.skipped += 1;
    }

    fn tell(&self, progress: &dyn AheadProgress) {
        progress.ahead(self.packages, self.of, self.bytes, self.of_bytes);
    }
}

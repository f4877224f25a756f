//! Which packages ship the files of a core.
//!
//! The index answers most of it. Debian's metadata does not name the build-ids of binaries: there, packages that may ship
//! a module are fetched and searched ([`search`]), and what they hold is indexed. Of several packages with one build-id the
//! version of the crashed package wins, else the version that most modules have, at last the repository with the best priority
//! ([`choose`]).

mod choose;
mod gaps;
mod search;

use std::collections::HashMap;

use futures_util::{FutureExt as _, StreamExt as _, stream};
use jiff::Timestamp;
use retrace_package::VerifiedPackage;
use retrace_store::{IndexedPackage, PackageKey, Provider, Scope};
use retrace_types::{BuildId, Gap, Role};

use crate::{
    MirrorError, Progress,
    mirror::Inner,
    resolve::{choose::Choice, search::Search},
};

pub(crate) use self::choose::build_of;

/// Packages that are fetched and searched at once.
pub(crate) const PARALLEL: usize = 4;
/// Packages that are tried for one file.
const MAX_TRIES: usize = 3;

/// A mapped file of the core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedModule {
    /// Its build-id.
    pub build_id: BuildId,
    /// Its path on the crashed machine: a hint where to look.
    pub path: Option<String>,
}

/// What was found for one module.
#[derive(Debug)]
pub struct Resolved {
    /// The module's build-id.
    pub build_id: BuildId,
    /// The file itself.
    pub executable: Option<Found>,
    /// Its separate debug information.
    pub debuginfo: Option<Found>,
    /// Why something is missing, and what would mend it.
    pub gaps: Vec<Gap>,
}

/// A file in a package that is here and verified.
#[derive(Debug)]
pub struct Found {
    /// The package.
    pub package: IndexedPackage,
    /// The file in it.
    pub member: Member,
    /// Its verified copy.
    pub verified: VerifiedPackage,
}

/// A file of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Member {
    /// The file at this absolute path; it may be a link.
    Path(String),
    /// The file that has the module's build-id.
    BuildId,
}

/// The packages for each build-id.
pub(crate) type Providers = HashMap<BuildId, Vec<Provider>>;

/// A file that could not be had, and why.
struct Failure {
    package: IndexedPackage,
    error: MirrorError,
}

/// Who wants the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum For {
    /// A crash: what it references is kept.
    Crash,
    /// Somebody who reads them.
    Reader,
}

pub(crate) async fn resolve(
    inner: &Inner,
    scope: &Scope,
    modules: &[WantedModule],
    hint: Option<&str>,
    wanted_for: For,
    progress: &dyn Progress,
) -> Result<Vec<Resolved>, MirrorError> {
    let mut ids: Vec<_> = modules.iter().map(|module| module.build_id.clone()).collect();
    ids.sort();
    ids.dedup();
    let repositories = inner.store.repositories(Some(&scope.release), Some(scope.architecture)).await?;
    let ranks = choose::ranks(&repositories);
    let mut search = Search::new(inner, scope, &ranks, progress);
    let mut providers = inner.store.find_build_ids(Some(scope), &ids).await?;
    search.executables(modules, hint, &mut providers).await?;
    search.debuginfo(modules, hint, &mut providers).await?;

    let choice = Choice::new(&providers, hint, &ranks);
    let wanted = modules.iter().flat_map(|module| {
        let executables = choice.executables(module);
        let debuginfo = choice.debuginfo(module, executables.first().copied());
        [executables, debuginfo]
    });
    let wanted: Vec<_> = wanted.collect();
    let used: Vec<_> = wanted.iter().filter_map(|candidates| Some(candidates.first()?.package.key)).collect();
    note_use(inner, &used, wanted_for).await?;
    let fetches: Vec<_> =
        wanted.into_iter().map(|candidates| fetch_first(inner, candidates, wanted_for, progress).boxed()).collect();
    let mut fetched = stream::iter(fetches).buffered(PARALLEL);
    let mut resolved = Vec::with_capacity(modules.len());
    for module in modules {
        let executable = fetched.next().await.unwrap_or(Ok(Fetch::None))?;
        let debuginfo = fetched.next().await.unwrap_or(Ok(Fetch::None))?;
        let mut gaps = Vec::new();
        let (executable, gap) = match executable {
            Fetch::Found(found) => (Some(*found), None),
            Fetch::Failed(failure) => (None, Some(gaps::unavailable(module, Role::Executable, &failure))),
            Fetch::None => (None, Some(search.why_no_executable(module))),
        };
        gaps.extend(gap);
        let (debuginfo, gap) = match debuginfo {
            Fetch::Found(found) => (Some(*found), None),
            Fetch::Failed(failure) => (None, Some(gaps::unavailable(module, Role::Debuginfo, &failure))),
            Fetch::None => {
                let package = executable.as_ref().map(|found| &found.package);
                (None, Some(gaps::debuginfo_unknown(module, package, scope)))
            }
        };
        gaps.extend(gap);
        resolved.push(Resolved { build_id: module.build_id.clone(), executable, debuginfo, gaps });
    }
    Ok(resolved)
}

async fn note_use(inner: &Inner, packages: &[PackageKey], wanted_for: For) -> Result<(), MirrorError> {
    match wanted_for {
        For::Crash => inner.store.note_referenced(packages, Timestamp::now()).await?,
        For::Reader => inner.store.note_read(packages, Timestamp::now()).await?,
    }
    Ok(())
}

enum Fetch {
    Found(Box<Found>),
    Failed(Box<Failure>),
    None,
}

/// The first of the packages that can be had; they are in order of preference.
async fn fetch_first(
    inner: &Inner,
    candidates: Vec<&Provider>,
    wanted_for: For,
    progress: &dyn Progress,
) -> Result<Fetch, MirrorError> {
    let mut failure = None;
    for provider in candidates.into_iter().take(MAX_TRIES) {
        if failure.is_some() {
            note_use(inner, &[provider.package.key], wanted_for).await?;
        }
        match inner.fetch(&provider.package, progress).await {
            Ok(verified) => {
                let member = provider.path.clone().map_or(Member::BuildId, Member::Path);
                return Ok(Fetch::Found(Box::new(Found { package: provider.package.clone(), member, verified })));
            }
            Err(error @ (MirrorError::Store(_) | MirrorError::StepLost { .. })) => return Err(error),
            Err(error) => {
                failure.get_or_insert_with(|| Box::new(Failure { package: provider.package.clone(), error }));
            }
        }
    }
    Ok(failure.map_or(Fetch::None, Fetch::Failed))
}

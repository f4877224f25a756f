//! Asking the index as people do: what ships this build-id, who owns this path, which versions of a package are there.
//!
//! `question` reads the argument, `why_not` says what helps when nothing is found; both are pure.

mod question;
mod why_not;

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::Arc,
};

use retrace_package::{build_id_of_path, recorded};
use retrace_store::{IndexedPackage, Provider, Repository, RepositoryKey, Scope, Store, StoreError};
use retrace_types::{Architecture, BuildId, PackageId, PackageKind, ReleaseId, Role};

pub use self::{
    question::{Kind, NoQuestion, PackageQuestion, Question},
    why_not::WhyNot,
};
use crate::{plan::debug_names, resolve::build_of};

/// Where to look; what is none is left open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Within {
    /// Release.
    pub release: Option<ReleaseId>,
    /// Architecture of the mirrored release, not of the package: it may be `noarch`.
    pub architecture: Option<Architecture>,
}

/// A package that is an answer.
#[derive(Clone, Debug)]
pub struct Hit {
    /// Where it is from.
    pub repository: Arc<Repository>,
    /// The package.
    pub package: IndexedPackage,
    /// What its file with the build-id is for; none unless a build-id was asked for.
    pub role: Option<Role>,
    /// Path of the file in the package, where it is known.
    pub member: Option<String>,
    /// Packages with the debug information that belongs to it, of the same build; none of a debug package itself.
    pub debug: Vec<PackageId>,
    /// The verified copy in the artifact store. It is not digested again here, only its size is compared.
    pub copy: Option<PathBuf>,
}

/// Answers to a question: by release, architecture and name, newer versions first.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The packages.
    pub hits: Vec<Hit>,
    /// Why there is none, and what helps; none if there is one.
    pub why_not: Option<WhyNot>,
}

/// Asks the index. A path is what metadata says of paths: a hint, and only of files that a process can map.
///
/// # Errors
/// [`StoreError`] if the index fails.
pub async fn find(store: &Store, question: &Question, within: &Within) -> Result<Answer, StoreError> {
    let repositories = store.repositories(within.release.as_ref(), within.architecture).await?;
    let search = Search::new(store, repositories);
    let mut hits = match question {
        Question::BuildId(build_id) => search.build_id(build_id).await?,
        Question::Path(path) => match build_id_of_path(path) {
            // Links of this form are kept as what they say.
            Some(member) => search.build_id(&member.build_id).await?,
            None => search.path(path).await?,
        },
        Question::Package(package) => search.package(package).await?,
    };
    hits.sort_by(|a, b| {
        let place =
            |hit: &Hit| (hit.repository.release.clone(), hit.repository.architecture, hit.package.id.name.clone());
        let version = || b.package.id.cmp_version(&a.package.id, &a.package.format);
        place(a).cmp(&place(b)).then_with(version).then_with(|| a.package.key.cmp(&b.package.key))
    });
    let why_not = if hits.is_empty() { Some(search.why_not(question, within).await?) } else { None };
    Ok(Answer { hits, why_not })
}

struct Search<'a> {
    store: &'a Store,
    repositories: HashMap<RepositoryKey, Arc<Repository>>,
    /// Every release and architecture among the repositories.
    scopes: Vec<Scope>,
}

impl<'a> Search<'a> {
    fn new(store: &'a Store, repositories: Vec<Repository>) -> Self {
        let mut scopes: Vec<Scope> = Vec::new();
        for Repository { release, architecture, .. } in &repositories {
            let scope = Scope { release: release.clone(), architecture: *architecture };
            if !scopes.contains(&scope) {
                scopes.push(scope);
            }
        }
        let repositories = repositories.into_iter().map(|repository| (repository.key, Arc::new(repository))).collect();
        Self { store, repositories, scopes }
    }

    async fn build_id(&self, build_id: &BuildId) -> Result<Vec<Hit>, StoreError> {
        let mut found = self.store.find_build_ids(None, std::slice::from_ref(build_id)).await?;
        let providers = found.remove(build_id).unwrap_or_default();
        let mut hits = Vec::new();
        for provider in &providers {
            let debug = match provider.role {
                Role::Executable => self.debug_of(provider, &providers),
                Role::Debuginfo => Vec::new(),
            };
            let hit = self.hit(provider.package.clone(), Some(provider.role), provider.path.clone(), debug);
            hits.extend(hit);
        }
        Ok(hits)
    }

    async fn path(&self, path: &str) -> Result<Vec<Hit>, StoreError> {
        let mut hits = Vec::new();
        for scope in &self.scopes {
            let found = self.store.find_path(scope, path).await?;
            hits.extend(self.named(scope, found, Some(path)).await?);
        }
        Ok(hits)
    }

    async fn package(&self, question: &PackageQuestion) -> Result<Vec<Hit>, StoreError> {
        let mut hits = Vec::new();
        for scope in &self.scopes {
            for candidate in question.candidates() {
                let mut found = self.store.find_packages(scope, candidate.name).await?;
                found.retain(|package| candidate.is(&package.id));
                if !found.is_empty() {
                    hits.extend(self.named(scope, found, None).await?);
                    break;
                }
            }
        }
        Ok(hits)
    }

    /// Packages that were not found by a build-id: their debug packages are found by name and version.
    async fn named(
        &self,
        scope: &Scope,
        packages: Vec<IndexedPackage>,
        member: Option<&str>,
    ) -> Result<Vec<Hit>, StoreError> {
        let mut known: BTreeMap<String, Vec<IndexedPackage>> = BTreeMap::new();
        let mut hits = Vec::new();
        for package in packages {
            let names = if package.kind == PackageKind::Binary {
                debug_names(&package.id.name, package.source.as_deref(), &package.format)
            } else {
                Vec::new()
            };
            let mut debug = Vec::new();
            for name in names {
                if !known.contains_key(&name) {
                    known.insert(name.clone(), self.store.find_packages(scope, &name).await?);
                }
                let of_build = known.get(&name).into_iter().flatten().filter(|debug| is_debug_of(debug, &package));
                debug.extend(of_build.map(|debug| debug.id.clone()));
            }
            hits.extend(self.hit(package, None, member.map(str::to_owned), unique(debug)));
        }
        Ok(hits)
    }

    /// The packages of one release with the debug information of a file: those of its build if there are any.
    fn debug_of(&self, of: &Provider, providers: &[Provider]) -> Vec<PackageId> {
        let place = |package: &IndexedPackage| {
            let repository = self.repositories.get(&package.repository);
            repository.map(|repository| (repository.release.clone(), repository.architecture))
        };
        let here = place(&of.package);
        let with_debug = |provider: &&Provider| provider.role == Role::Debuginfo && place(&provider.package) == here;
        let mut debug: Vec<_> = providers.iter().filter(with_debug).map(|provider| &provider.package).collect();
        if debug.iter().any(|package| build_of(package) == build_of(&of.package)) {
            debug.retain(|package| build_of(package) == build_of(&of.package));
        }
        unique(debug.into_iter().map(|package| package.id.clone()).collect())
    }

    /// None if the package is of a repository that is not asked for.
    fn hit(
        &self,
        package: IndexedPackage,
        role: Option<Role>,
        member: Option<String>,
        debug: Vec<PackageId>,
    ) -> Option<Hit> {
        let repository = Arc::clone(self.repositories.get(&package.repository)?);
        let copy = package.local.as_ref().and_then(|local| {
            if let Some(path) = self.store.local_package_path(&local.sha256) {
                recorded(&path, local.size_bytes, local.sha256, local.signature.clone()).ok()?;
            }
            Some(self.store.package_location(&local.sha256))
        });
        Some(Hit { repository, package, role, member, debug, copy })
    }

    async fn why_not(&self, question: &Question, within: &Within) -> Result<WhyNot, StoreError> {
        let mirrored = self.store.releases_mirrored().await?;
        if !mirrored.iter().any(|(release, architecture)| within.holds(release, *architecture)) {
            return Ok(WhyNot::NotMirrored { within: within.clone(), mirrored });
        }
        let mut versions = Vec::new();
        let mut unscanned = false;
        for scope in &self.scopes {
            match question {
                Question::Package(question) => {
                    for candidate in question.candidates() {
                        let found = self.store.find_packages(scope, candidate.name).await?;
                        versions.extend(found.into_iter().map(|package| (package.id, package.format)));
                    }
                }
                _ => unscanned |= !self.store.unscanned_packages(scope, 1).await?.is_empty(),
            }
        }
        versions.sort_by(|(a, format), (b, _)| b.cmp_version(a, format));
        let versions = unique(versions.into_iter().map(|(id, _)| id).collect());
        let searched = mirrored.into_iter().filter(|(release, arch)| within.holds(release, *arch)).collect();
        let is_build_id = matches!(question, Question::BuildId(_));
        Ok(WhyNot::Unknown { searched, versions, unscanned: unscanned && is_build_id, question: question.clone() })
    }
}

impl Within {
    fn holds(&self, release: &ReleaseId, architecture: Architecture) -> bool {
        self.release.as_ref().is_none_or(|wanted| wanted == release)
            && self.architecture.is_none_or(|wanted| wanted == architecture)
    }
}

fn is_debug_of(debug: &IndexedPackage, package: &IndexedPackage) -> bool {
    debug.id.arch == package.id.arch && debug.id.full_version() == package.id.full_version()
}

/// Without repetitions, in the same order.
fn unique(mut packages: Vec<PackageId>) -> Vec<PackageId> {
    let mut seen = std::collections::HashSet::new();
    packages.retain(|id| seen.insert(id.clone()));
    packages
}

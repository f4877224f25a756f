//! What mirrored packages hold: found by the index, unpacked once, fetched where the index alone knows the package.

use std::{collections::HashSet, sync::Arc};

use jiff::Timestamp;
use retrace_package::{CacheError, FileCache, FillRequest, Trust, VerifiedPackage, recorded};
use retrace_store::{IndexedPackage, LocalCopy, Provider, Repository, Scope, Store, StoreError, Wish};
use retrace_types::{BuildId, PackageFormat, PackageKind, Role, Sha256, SignaturePolicy, SignatureState};
use tokio::sync::Semaphore;

use super::{
    DebuginfodOptions, Miss, Outcome,
    memo::{MAX_ENTRIES, Memo},
    place::{Entry, Found, Place, Verification},
    question::{Question, Wanted},
    wish,
};
use crate::error::chain;

/// Packages that are tried for one file.
const MAX_TRIES: usize = 3;
/// Where packages have sources for debuggers.
const SOURCES: &str = "/usr/src/";

const UNKNOWN: Miss = Miss::Unknown("no mirrored package is known to ship a file with this build-id");

#[derive(Debug)]
pub(super) struct Local {
    pub(super) cache: FileCache,
    store: Store,
    /// Decompression is bound by the processor: more at once would only share it.
    unpacking: Semaphore,
    /// Source files that a package does not hold. Packages do not change.
    absent: Memo<(Sha256, String), ()>,
    options: DebuginfodOptions,
}

/// A package that ships a file, and what is wanted of its verification.
#[derive(Clone, Debug)]
struct Candidate {
    package: IndexedPackage,
    /// Path of the file, where the index has it.
    path: Option<String>,
    repository: Arc<Repository>,
}

impl Candidate {
    /// A copy that was taken while nothing was verified is none as soon as something is.
    fn copy(&self) -> Option<&LocalCopy> {
        let copy = self.package.local.as_ref();
        copy.filter(|copy| copy.signature != SignatureState::Off || self.trust_of_repository() == Trust::Unverified)
    }

    fn trust_of_repository(&self) -> Trust {
        let is_off = self.repository.spec.signatures == SignaturePolicy::OFF;
        if is_off { Trust::Unverified } else { Trust::Verified }
    }

    fn trust(&self) -> Trust {
        self.copy().map_or_else(|| self.trust_of_repository(), |copy| Trust::of(&copy.signature))
    }

    /// Verified before unverified, here before elsewhere.
    fn rank(&self) -> (bool, bool) {
        (self.trust() == Trust::Unverified, self.copy().is_none())
    }

    fn archive(&self) -> String {
        base_name(&self.package.location).to_owned()
    }
}

impl Local {
    pub(super) fn new(store: Store, cache: FileCache, options: &DebuginfodOptions) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            cache,
            store,
            unpacking: Semaphore::new(processors),
            absent: Memo::new(options.remember_failure, MAX_ENTRIES),
            options: options.clone(),
        }
    }

    pub(super) async fn find(&self, question: &Question) -> Result<Place, Miss> {
        let build_id = &question.build_id;
        match &question.wanted {
            Wanted::File(role) => self.elf(build_id, *role).await,
            Wanted::Source(path) => self.source(build_id, path).await,
            Wanted::Section(name) => self.section(build_id, name).await,
        }
    }

    /// The debug information has most sections; what it left out, the program has.
    async fn section(&self, build_id: &BuildId, name: &str) -> Result<Place, Miss> {
        let mut missed = Miss::NoSection;
        for role in [Role::Debuginfo, Role::Executable] {
            match self.elf(build_id, role).await {
                Ok(place) if self.has_section(&place, name).await => return Ok(place),
                Ok(_) => {}
                Err(error @ Miss::Store(_)) => return Err(error),
                // Nobody may take it for an answer that the one file lacks it while the other is on its way.
                Err(error) if !matches!(missed, Miss::NotYet { .. } | Miss::Busy) => missed = error,
                Err(_) => {}
            }
        }
        Err(missed)
    }

    async fn has_section(&self, place: &Place, name: &str) -> bool {
        let (found, cache, name) = (place.found.clone(), self.cache.clone(), name.to_owned());
        let looking = tokio::task::spawn_blocking(move || {
            let mut cached = found.open(&cache)?;
            retrace_package::elf_section(&mut cached.file, &name).ok().flatten()
        });
        looking.await.is_ok_and(|section| section.is_some())
    }

    async fn elf(&self, build_id: &BuildId, role: Role) -> Result<Place, Miss> {
        let mut providers = self.providers(build_id).await?;
        let debug_package = providers.iter().find(|provider| provider.role == Role::Debuginfo);
        let debug_package = debug_package.map(|provider| provider.package.clone());
        if let (Role::Executable, Some(debug)) = (role, &debug_package)
            && providers.iter().all(|provider| provider.role != role)
            && self.unindexed(build_id, role).await.is_none()
        {
            // Debian's metadata names the build-ids of debug packages alone: a worker looks into what belongs to them.
            let wish = Wish::Executable { build_id: build_id.clone(), debug_package: debug.key };
            let name = format!("the package of {}", debug.id);
            wish::fetch(&self.store, &wish, &name, &self.options).await?;
            providers = self.providers(build_id).await?;
        }
        let mut candidates = Vec::new();
        for Provider { package, path, .. } in providers.into_iter().filter(|provider| provider.role == role) {
            let repository = Arc::new(self.store.repository(package.repository).await?);
            candidates.push(Candidate { package, path, repository });
        }
        candidates.sort_by_key(Candidate::rank);
        for candidate in &candidates {
            if let Some(place) = self.cached(build_id, role, candidate).await {
                return Ok(place);
            }
        }
        if candidates.is_empty() {
            return self.unindexed(build_id, role).await.ok_or(UNKNOWN);
        }
        let mut missed = UNKNOWN;
        for candidate in candidates.into_iter().take(MAX_TRIES) {
            match self.unpacked(build_id, role, candidate).await {
                Err(error) => missed = error,
                done => return done,
            }
        }
        Err(missed)
    }

    async fn providers(&self, build_id: &BuildId) -> Result<Vec<Provider>, Miss> {
        let mut found = self.store.find_build_ids(None, std::slice::from_ref(build_id)).await?;
        Ok(found.remove(build_id).unwrap_or_default())
    }

    async fn cached(&self, build_id: &BuildId, role: Role, candidate: &Candidate) -> Option<Place> {
        let place = elf_place(build_id, role, candidate, Outcome::Found("cached"));
        self.is_there(&place).await.then_some(place)
    }

    /// What is in the cache without being in the index, as supplementary debug information is.
    async fn unindexed(&self, build_id: &BuildId, role: Role) -> Option<Place> {
        for trust in [Trust::Verified, Trust::Unverified] {
            let place = Place {
                found: Found::Here(Entry::Elf { build_id: build_id.clone(), role, trust }),
                name: build_id.to_string(),
                archive: None,
                verification: Verification::of(trust),
                how: Outcome::Found("cached"),
            };
            if self.is_there(&place).await {
                return Some(place);
            }
        }
        None
    }

    async fn is_there(&self, place: &Place) -> bool {
        let (found, cache) = (place.found.clone(), self.cache.clone());
        tokio::task::spawn_blocking(move || found.open(&cache).is_some()).await.unwrap_or(false)
    }

    /// Unpacks the file from a candidate, which is fetched if need be.
    async fn unpacked(&self, build_id: &BuildId, role: Role, candidate: Candidate) -> Result<Place, Miss> {
        let (candidate, package, how) = self.package(candidate).await?;
        let request = FillRequest { package, build_id: build_id.clone(), role, member: candidate.path.clone() };
        let _turn = self.unpacking.acquire().await;
        let filled = self.cache.fill(&[request]).await.pop();
        match filled {
            Some(Ok(_)) => Ok(elf_place(build_id, role, &candidate, how)),
            Some(Err(error)) => Err(unavailable(&candidate, &error)),
            None => Err(Miss::Lost),
        }
    }

    /// The verified copy of a package; a wish brings one that is not here.
    async fn package(&self, candidate: Candidate) -> Result<(Candidate, VerifiedPackage, Outcome), Miss> {
        // Before the copy is looked for: then nobody takes it away meanwhile.
        self.store.note_read(&[candidate.package.key], Timestamp::now()).await?;
        if let Some(package) = self.copy(&candidate).await? {
            return Ok((candidate, package, Outcome::Found("unpacked")));
        }
        let name = candidate.package.id.to_string();
        wish::fetch(&self.store, &Wish::Package(candidate.package.key), &name, &self.options).await?;
        let unusable = |reason: &str| Miss::Unavailable { package: name.clone(), reason: reason.to_owned() };
        let package = self.store.package(candidate.package.key).await?;
        let candidate = Candidate { package, ..candidate };
        let package =
            self.copy(&candidate).await?.ok_or_else(|| unusable("it was fetched, and is not on this machine"))?;
        Ok((candidate, package, Outcome::Found("fetched")))
    }

    async fn copy(&self, candidate: &Candidate) -> Result<Option<VerifiedPackage>, Miss> {
        let Some(copy) = candidate.copy() else { return Ok(None) };
        let path = match self.store.package_path(&copy.sha256).await {
            // Whoever fetches it anew replaces it.
            Err(StoreError::DamagedArtifact { .. }) => None,
            path => path?,
        };
        Ok(path.and_then(|path| recorded(&path, copy.size_bytes, copy.sha256, copy.signature.clone()).ok()))
    }

    async fn source(&self, build_id: &BuildId, path: &str) -> Result<Place, Miss> {
        let providers = self.providers(build_id).await?;
        if providers.is_empty() {
            return Err(UNKNOWN);
        }
        if providers.iter().all(|provider| provider.package.format == PackageFormat::Deb) {
            return Err(Miss::Unknown("packages of Debian and its relatives hold no sources for debuggers"));
        }
        if !path.starts_with(SOURCES) {
            return Err(Miss::Unknown("packages hold sources below /usr/src alone"));
        }
        let mut missed = Miss::Unknown("no package with the sources of this build is mirrored");
        for candidate in self.source_packages(providers).await?.into_iter().take(MAX_TRIES) {
            match self.source_in(path, candidate).await {
                Err(error) => missed = error,
                done => return done,
            }
        }
        Err(missed)
    }

    /// Packages of the same build that may hold sources: `-debugsource`, before there was such a thing `-debuginfo`.
    async fn source_packages(&self, providers: Vec<Provider>) -> Result<Vec<Candidate>, Miss> {
        let mut seen = HashSet::new();
        let mut found = Vec::new();
        for Provider { package, role, .. } in providers {
            let repository = Arc::new(self.store.repository(package.repository).await?);
            let scope = Scope { release: repository.release.clone(), architecture: repository.architecture };
            let siblings = match &package.source {
                Some(source) => self.store.find_by_source(&scope, source).await?,
                None => Vec::new(),
            };
            for sibling in siblings {
                let same_build =
                    sibling.id.arch == package.id.arch && sibling.id.full_version() == package.id.full_version();
                if sibling.kind == PackageKind::DebugSource && same_build && seen.insert(sibling.key) {
                    let repository = Arc::new(self.store.repository(sibling.repository).await?);
                    found.push((0, Candidate { package: sibling, path: None, repository }));
                }
            }
            if role == Role::Debuginfo && seen.insert(package.key) {
                found.push((1, Candidate { package, path: None, repository }));
            }
        }
        found.sort_by_key(|(order, candidate)| (*order, candidate.rank()));
        Ok(found.into_iter().map(|(_, candidate)| candidate).collect())
    }

    async fn source_in(&self, path: &str, candidate: Candidate) -> Result<Place, Miss> {
        let no_source = Miss::Unknown("the package with the sources of this build holds no such file");
        let is_absent = |copy: &LocalCopy| self.absent.get(&(copy.sha256, path.to_owned())).is_some();
        if let Some(copy) = candidate.copy() {
            if is_absent(copy) {
                return Err(no_source);
            }
            let place = source_place(copy.sha256, path, &candidate, Outcome::Found("cached"));
            if self.is_there(&place).await {
                return Ok(place);
            }
        }
        let (candidate, package, how) = self.package(candidate).await?;
        let _turn = self.unpacking.acquire().await;
        match self.cache.fill_source(&package, path).await {
            Ok(_) => Ok(source_place(package.sha256(), path, &candidate, how)),
            Err(CacheError::NoMember { .. }) => {
                self.absent.put((package.sha256(), path.to_owned()), ());
                Err(no_source)
            }
            Err(error) => Err(unavailable(&candidate, &error)),
        }
    }
}

fn elf_place(build_id: &BuildId, role: Role, candidate: &Candidate, how: Outcome) -> Place {
    let trust = candidate.trust();
    Place {
        found: Found::Here(Entry::Elf { build_id: build_id.clone(), role, trust }),
        name: candidate.path.as_deref().map_or_else(|| build_id.to_string(), |path| base_name(path).to_owned()),
        archive: Some(candidate.archive()),
        verification: Verification::of(trust),
        how,
    }
}

fn source_place(package: Sha256, path: &str, candidate: &Candidate, how: Outcome) -> Place {
    Place {
        found: Found::Here(Entry::Source { package, path: path.to_owned() }),
        name: base_name(path).to_owned(),
        archive: Some(candidate.archive()),
        verification: Verification::of(candidate.trust()),
        how,
    }
}

/// The reason goes to the log; paths of the server are nothing for clients.
fn unavailable(candidate: &Candidate, error: &CacheError) -> Miss {
    let package = candidate.package.id.to_string();
    tracing::warn!(error = %chain(error), "debuginfod cannot unpack a file of {package}");
    let reason = match error {
        CacheError::NotInPackage { .. } | CacheError::NoMember { .. } | CacheError::WrongBuildId { .. } => {
            "it does not hold the file that the index names"
        }
        CacheError::Io { .. } | CacheError::Lost { .. } => "the server cannot write the file",
        CacheError::Unpack { .. } => "it cannot be unpacked",
    };
    Miss::Unavailable { package, reason: reason.to_owned() }
}

fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

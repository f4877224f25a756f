//! Searching packages for build-ids that the metadata is silent about.

use std::collections::{HashMap, HashSet};

use futures_util::{FutureExt as _, StreamExt as _, stream};
use jiff::Timestamp;
use retrace_package::scan_build_ids;
use retrace_store::{IndexedPackage, PackageKey, Provider, Scope};
use retrace_types::{BuildId, Gap, PackageFormat, PackageKind, Role};

use crate::{
    MirrorError, Progress,
    mirror::Inner,
    plan::debug_names,
    resolve::{
        Failure, PARALLEL, Providers, WantedModule,
        choose::{Choice, Ranks, build_of, names_in, names_version},
        gaps,
    },
};

/// Packages that are fetched before the index is asked again.
const BATCH: usize = 2 * PARALLEL;
/// Packages that cannot be had before the search of a whole release is given up: the mirror is down.
const MAX_FAILURES: usize = 8;

/// A search for the files of one core.
pub(super) struct Search<'a> {
    inner: &'a Inner,
    scope: &'a Scope,
    ranks: &'a Ranks,
    progress: &'a dyn Progress,
    tried: HashSet<PackageKey>,
    packages_left: usize,
    bytes_left: u64,
    failures: HashMap<PackageKey, Failure>,
    /// Packages that should have a build-id, as far as something points at them.
    suspects: HashMap<BuildId, Vec<PackageKey>>,
    /// What a debug package says that it belongs to, where that is not in the index.
    expected: HashMap<BuildId, String>,
}

impl<'a> Search<'a> {
    pub(super) fn new(inner: &'a Inner, scope: &'a Scope, ranks: &'a Ranks, progress: &'a dyn Progress) -> Self {
        let limits = &inner.transfer.options().limits;
        Self {
            inner,
            scope,
            ranks,
            progress,
            tried: HashSet::new(),
            packages_left: limits.scanned_packages,
            bytes_left: limits.scanned_bytes,
            failures: HashMap::new(),
            suspects: HashMap::new(),
            expected: HashMap::new(),
        }
    }

    /// Looks for the modules that no package of the index ships, where the trail is warmest first.
    pub(super) async fn executables(
        &mut self,
        modules: &[WantedModule],
        hint: Option<&str>,
        providers: &mut Providers,
    ) -> Result<(), MirrorError> {
        for trail in [Trail::DebugPackage, Trail::Path, Trail::Hint, Trail::Everything] {
            let missing: Vec<_> = modules.iter().filter(|module| !has(providers, module, Role::Executable)).collect();
            if missing.is_empty() {
                return Ok(());
            }
            let candidates = match trail {
                Trail::DebugPackage => self.beside_debug_packages(&missing, providers).await?,
                Trail::Path => self.owners(&missing, hint).await?,
                Trail::Hint => self.hinted(&missing, hint).await?,
                Trail::Everything => self.everything(&missing).await?,
            };
            self.scan(candidates, modules, Role::Executable, providers).await?;
        }
        Ok(())
    }

    /// Looks into debug packages whose metadata names no build-ids, of the builds that the modules are from.
    pub(super) async fn debuginfo(
        &mut self,
        modules: &[WantedModule],
        hint: Option<&str>,
        providers: &mut Providers,
    ) -> Result<(), MirrorError> {
        let mut wanted = HashSet::new();
        {
            let choice = Choice::new(providers, hint, self.ranks);
            for module in modules.iter().filter(|module| !has(providers, module, Role::Debuginfo)) {
                if let Some(provider) = choice.executables(module).first() {
                    let version = provider.package.id.full_version();
                    let IndexedPackage { id, source, format, .. } = &provider.package;
                    let names = debug_names(&id.name, source.as_deref(), format);
                    wanted.extend(names.into_iter().map(|name| (name, version.clone())));
                }
            }
        }
        let mut candidates = Vec::new();
        for (name, version) in wanted {
            let found = self.inner.store.find_packages(self.scope, &name).await?;
            candidates.extend(found.into_iter().filter(|package| package.id.full_version() == version));
        }
        self.scan(candidates, modules, Role::Debuginfo, providers).await
    }

    /// Why nothing has the module.
    pub(super) fn why_no_executable(&self, module: &WantedModule) -> Gap {
        let suspects = self.suspects.get(&module.build_id).into_iter().flatten();
        if let Some(failure) = suspects.filter_map(|key| self.failures.get(key)).next() {
            return gaps::suspect_unavailable(module, failure);
        }
        gaps::package_unknown(module, self.expected.get(&module.build_id).map(String::as_str), self.scope)
    }

    /// What the debug packages of the modules depend on in exactly one version, then their siblings.
    async fn beside_debug_packages(
        &mut self,
        missing: &[&WantedModule],
        providers: &Providers,
    ) -> Result<Vec<IndexedPackage>, MirrorError> {
        let (mut exact, mut siblings) = (Vec::new(), Vec::new());
        for module in missing {
            for provider in debug_providers(providers, module) {
                let debug = &provider.package;
                for (name, version) in &debug.exact_depends {
                    let found = self.inner.store.find_packages(self.scope, name).await?;
                    let found: Vec<_> = found.into_iter().filter(|p| p.id.full_version() == *version).collect();
                    if found.is_empty() {
                        self.expected.entry(module.build_id.clone()).or_insert_with(|| format!("{name} {version}"));
                    }
                    self.suspect(module, &found);
                    exact.extend(found);
                }
                if let Some(source) = &debug.source {
                    let found = self.inner.store.find_by_source(self.scope, source).await?;
                    let version = debug.id.full_version();
                    siblings.extend(found.into_iter().filter(|package| package.id.full_version() == version));
                }
            }
        }
        exact.extend(siblings);
        Ok(exact)
    }

    /// The owners of the modules' paths.
    async fn owners(
        &mut self,
        missing: &[&WantedModule],
        hint: Option<&str>,
    ) -> Result<Vec<IndexedPackage>, MirrorError> {
        let mut owners = Vec::new();
        for module in missing {
            let Some(path) = &module.path else { continue };
            let found = self.inner.store.find_path(self.scope, path).await?;
            self.suspect(module, &found);
            owners.extend(found);
        }
        owners.sort_by_key(|package| !hint.is_some_and(|hint| names_version(hint, &package.id)));
        Ok(owners)
    }

    /// The crashed package and what was built with it.
    async fn hinted(
        &mut self,
        missing: &[&WantedModule],
        hint: Option<&str>,
    ) -> Result<Vec<IndexedPackage>, MirrorError> {
        let Some(hint) = hint else { return Ok(Vec::new()) };
        for name in names_in(hint) {
            let mut found = self.inner.store.find_packages(self.scope, name).await?;
            if found.is_empty() {
                continue;
            }
            if found.iter().any(|package| names_version(hint, &package.id)) {
                found.retain(|package| names_version(hint, &package.id));
            }
            let builds: HashSet<_> = found.iter().map(build_of).collect();
            for (source, version) in builds {
                let siblings = self.inner.store.find_by_source(self.scope, &source).await?;
                found.extend(siblings.into_iter().filter(|package| package.id.full_version() == version));
            }
            if let [module] = missing {
                self.suspect(module, &found);
            }
            return Ok(found);
        }
        Ok(Vec::new())
    }

    /// Every package of a small release, those first whose names resemble the modules'.
    async fn everything(&self, missing: &[&WantedModule]) -> Result<Vec<IndexedPackage>, MirrorError> {
        let most = self.inner.transfer.options().limits.small_repository;
        let mut all = self.inner.store.unscanned_packages(self.scope, most.saturating_add(1)).await?;
        if all.len() > most {
            return Ok(Vec::new());
        }
        let stems: Vec<_> = missing.iter().filter_map(|module| stem(module.path.as_deref()?)).collect();
        all.sort_by_cached_key(|package| {
            let resembles = stems.iter().any(|stem| package.id.name.contains(stem.as_str()));
            (!resembles, package.kind != PackageKind::Binary, package.size_bytes)
        });
        Ok(all)
    }

    fn suspect(&mut self, module: &WantedModule, packages: &[IndexedPackage]) {
        let keys = packages.iter().map(|package| package.key);
        self.suspects.entry(module.build_id.clone()).or_default().extend(keys);
    }

    /// Fetches packages and indexes what they hold, until nothing is missing any more.
    async fn scan(
        &mut self,
        candidates: Vec<IndexedPackage>,
        modules: &[WantedModule],
        role: Role,
        providers: &mut Providers,
    ) -> Result<(), MirrorError> {
        let can_be_read = |package: &IndexedPackage| matches!(package.format, PackageFormat::Rpm | PackageFormat::Deb);
        let mut candidates = candidates.into_iter().filter(|package| !package.complete && can_be_read(package));
        loop {
            let mut batch = Vec::new();
            while batch.len() < BATCH {
                let Some(package) = candidates.next() else { break };
                let size_bytes = package.size_bytes.unwrap_or(0);
                if self.packages_left == 0 || size_bytes > self.bytes_left || !self.tried.insert(package.key) {
                    continue;
                }
                self.packages_left -= 1;
                self.bytes_left -= size_bytes;
                batch.push(package);
            }
            if batch.is_empty() || self.failures.len() > MAX_FAILURES {
                return Ok(());
            }
            self.scan_batch(batch).await?;
            let ids: Vec<_> = modules.iter().map(|module| module.build_id.clone()).collect();
            *providers = self.inner.store.find_build_ids(Some(self.scope), &ids).await?;
            if modules.iter().all(|module| has(providers, module, role)) {
                return Ok(());
            }
        }
    }

    async fn scan_batch(&mut self, batch: Vec<IndexedPackage>) -> Result<(), MirrorError> {
        let (inner, progress) = (self.inner, self.progress);
        let keys: Vec<_> = batch.iter().map(|package| package.key).collect();
        inner.store.note_read(&keys, Timestamp::now()).await?;
        let scan = |package| async move {
            let done = scan_one(inner, &package, progress).await;
            (package, done)
        };
        let scans: Vec<_> = batch.into_iter().map(|package| scan(package).boxed()).collect();
        let mut scans = stream::iter(scans).buffer_unordered(PARALLEL);
        while let Some((package, done)) = scans.next().await {
            match done {
                Ok(()) => {}
                Err(error @ (MirrorError::Store(_) | MirrorError::StepLost { .. })) => return Err(error),
                Err(error) => {
                    tracing::info!(package = %package.id, error = %crate::error::chain(&error), "cannot be searched");
                    self.failures.insert(package.key, Failure { package, error });
                }
            }
        }
        Ok(())
    }
}

#[derive(Clone, Copy)]
enum Trail {
    DebugPackage,
    Path,
    Hint,
    Everything,
}

async fn scan_one(inner: &Inner, package: &IndexedPackage, progress: &dyn Progress) -> Result<(), MirrorError> {
    let verified = inner.fetch(package, progress).await?;
    progress.step(&format!("Searching {}", package.id));
    let scanning = tokio::task::spawn_blocking(move || scan_build_ids(&verified, &retrace_package::Limits::default()));
    let found = scanning.await.map_err(|source| MirrorError::StepLost { step: "search a package", source })?;
    let found =
        found.map_err(|source| MirrorError::Unreadable { package: package.id.to_string(), source: source.into() })?;
    Ok(inner.store.add_build_ids(package.key, &found).await?)
}

fn has(providers: &Providers, module: &WantedModule, role: Role) -> bool {
    providers.get(&module.build_id).into_iter().flatten().any(|provider| provider.role == role)
}

fn debug_providers<'p>(providers: &'p Providers, module: &WantedModule) -> impl Iterator<Item = &'p Provider> {
    let all = providers.get(&module.build_id).into_iter().flatten();
    all.filter(|provider| provider.role == Role::Debuginfo)
}

/// The part of a file's name that its package's name is likely to have: `crypto` of `/usr/lib/libcrypto.so.3`.
fn stem(path: &str) -> Option<String> {
    /// Shorter ones are in too many names.
    const MIN_BYTES: usize = 3;
    let name = path.rsplit('/').next()?;
    let name = name.split(".so").next()?;
    let name = name.strip_prefix("lib").unwrap_or(name);
    let name: String = name.chars().take_while(|c| c.is_ascii_alphabetic()).collect();
    (name.len() >= MIN_BYTES).then(|| name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stems_are_what_package_names_share() {
        for (path, want) in [
            ("/usr/lib/x86_64-linux-gnu/libcrypto.so.3", Some("crypto")),
            ("/usr/bin/python3.11", Some("python")),
            ("/usr/lib/libGraphicsMagick-Q16.so.3", Some("graphicsmagick")),
            ("/usr/bin/gm", None),
            ("", None),
        ] {
            assert_eq!(stem(path).as_deref(), want, "path: {path}");
        }
    }
}

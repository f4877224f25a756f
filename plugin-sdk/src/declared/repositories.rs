//! Repositories, debugger and advice of a release.

use alloc::{format, string::String, vec::Vec};

use super::{
    data::{Data, Layout, ReleaseData, RepositoryData},
    owned,
    pattern::{expand, matches},
};
use crate::{
    CallError, DebSuite, Debugger, KeyFile, Release, Repository, RepositoryContent, RepositoryLayout, Signatures,
};

impl Data {
    /// The repositories of a release: packages first, then debug information, then sources.
    ///
    /// # Errors
    /// The release, or the architecture of this release, is not served.
    pub fn repositories(&self, release: &Release, arch: &str) -> Result<Vec<Repository>, CallError> {
        let (index, known) = self.known(release)?;
        self.check_architecture(known, arch)?;
        let mut found = Vec::new();
        for content in [RepositoryContent::Packages, RepositoryContent::DebugInfo, RepositoryContent::Sources] {
            let applies = |data: &&RepositoryData| data.content == content && data.scope.has(index, arch);
            let convert = |data| self.repository(data, index, known, arch, release.minor.is_some());
            found.extend(self.repositories.iter().filter(applies).filter_map(convert));
        }
        Ok(found)
    }

    /// None if every mirror wants a minor that the release does not have.
    fn repository(
        &self,
        data: &RepositoryData,
        index: u16,
        release: &ReleaseData,
        arch: &str,
        has_minor: bool,
    ) -> Option<Repository> {
        let basearch = self.basearch.iter().find(|(name, _)| *name == arch).map(|(_, folder)| *folder);
        let own = |name: &str| release.vars.iter().find(|(var, _)| *var == name).map(|(_, value)| *value);
        // The host replaces the variables of the contract, so that it can do the same for mirrors of its operator.
        let in_url = |name: &str| match name {
            "BASEARCH" => Some(basearch.unwrap_or("$ARCH")),
            _ => own(name),
        };
        let in_text = |name: &str| match name {
            "VER" => Some(release.version),
            "CODENAME" => release.codename,
            _ => own(name),
        };
        let applies = data.mirrors.iter().filter(|mirror| mirror.scope.has(index, arch));
        let usable = applies.filter(|mirror| has_minor || !mirror.url.contains("$MINOR"));
        let mirrors: Vec<_> = usable.map(|mirror| expand(mirror.url, in_url)).collect();
        if mirrors.is_empty() {
            return None;
        }
        let mut signatures = Signatures::empty();
        signatures.set(Signatures::METADATA, data.signed_metadata);
        signatures.set(Signatures::PACKAGES, data.signed_packages);
        let keys = data.keys.get(usize::from(index)).copied().unwrap_or_default();
        let key = |index: &u16| {
            let (path, fingerprint) = self.keys.get(usize::from(*index))?;
            Some(KeyFile { path: (*path).into(), fingerprint: fingerprint.map(String::from) })
        };
        Some(Repository {
            id: data.id.into(),
            title: match data.title {
                Some(title) => expand(title, in_text),
                None => format!("{}, {}", release.title, data.id),
            },
            layout: match &data.layout {
                Layout::RpmMd => RepositoryLayout::RpmMd,
                Layout::Directory => RepositoryLayout::Directory,
                Layout::Deb { suite, components } => RepositoryLayout::DebDists(DebSuite {
                    suite: expand(suite, in_text),
                    components: components.iter().copied().map(String::from).collect(),
                }),
            },
            content: data.content,
            mirrors,
            signatures,
            keys: keys.iter().filter_map(key).collect(),
            config: owned(data.config),
        })
    }

    /// The debugger that cores of this release need; `None`: the host's will do.
    ///
    /// # Errors
    /// The release, or the architecture of this release, is not served.
    pub fn debugger_for(&self, release: &Release, arch: &str) -> Result<Option<Debugger>, CallError> {
        let (index, known) = self.known(release)?;
        self.check_architecture(known, arch)?;
        let found = self.debuggers.iter().find(|data| data.scope.has(index, arch));
        Ok(found.map(|data| Debugger {
            packages: data.packages.iter().copied().map(String::from).collect(),
            path: data.path.into(),
            environment: data.environment,
        }))
    }

    /// Packages to install beside the wanted ones, each once, none of the wanted ones.
    ///
    /// # Errors
    /// The release, or the architecture of this release, is not served.
    pub fn extra_packages(&self, release: &Release, arch: &str, wanted: &[String]) -> Result<Vec<String>, CallError> {
        let (index, known) = self.known(release)?;
        self.check_architecture(known, arch)?;
        let mut extra: Vec<String> = Vec::new();
        for data in self.advice.iter().filter(|data| data.scope.has(index, arch)) {
            let fits = |name: &String| data.wanted.iter().any(|pattern| matches(pattern, name));
            if data.wanted.is_empty() || wanted.iter().any(fits) {
                for package in data.packages {
                    if !extra.iter().chain(wanted).any(|known| known == package) {
                        extra.push((*package).into());
                    }
                }
            }
        }
        Ok(extra)
    }
}

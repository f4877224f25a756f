//! What the folder of a repository should hold, decided before any of it is touched.

use std::{
    collections::{BTreeSet, HashSet},
    path::PathBuf,
};

use retrace_package::recorded;
use retrace_store::{IndexedPackage, LocalCopy, Repository, Store};
use retrace_types::{PackageFormat, RepositoryLayout, Sha256, SignatureState};
use sha2::Digest as _;

use super::{
    LeftOut, PublishError, PublishOptions, folder_of,
    names::{self, Named},
};

/// Changes whenever the same packages give other metadata.
const GENERATOR: &str = "1";

/// Architectures of a Debian repository beside its own; each costs files, and a distribution has a dozen.
const MAX_FOREIGN_ARCHITECTURES: usize = 32;

/// A package that should be there.
pub(super) struct Entry {
    /// For people.
    pub(super) package: String,
    /// Else it is a .deb.
    pub(super) is_rpm: bool,
    /// Path below the folder.
    pub(super) path: String,
    /// The file in the store.
    pub(super) source: PathBuf,
    pub(super) sha256: Sha256,
    pub(super) size_bytes: u64,
    /// Component of a Debian repository.
    pub(super) component: String,
}

/// Suite, components and architectures of a Debian repository, all of them safe as names of folders.
pub(super) struct Suite {
    /// As clients name it; may hold slashes.
    pub(super) name: String,
    pub(super) components: Vec<String>,
    pub(super) architectures: Vec<String>,
}

pub(super) struct Plan {
    /// For people.
    pub(super) label: String,
    pub(super) folder: PathBuf,
    /// In the order of their paths.
    pub(super) entries: Vec<Entry>,
    /// Packages of the store that cannot be published.
    pub(super) left_out: Vec<LeftOut>,
    /// Whether there is rpm-md metadata.
    pub(super) rpm_md: bool,
    /// Whether there is a Debian suite.
    pub(super) suite: Option<Suite>,
    /// Digest of everything that the metadata is made from.
    pub(super) inputs: String,
}

impl Plan {
    pub(super) fn new(
        store: &Store,
        repository: &Repository,
        mut packages: Vec<IndexedPackage>,
        options: &PublishOptions,
    ) -> Result<Self, PublishError> {
        // The oldest keeps its name when another one wants it.
        packages.sort_by_key(|package| package.key);
        let (suite, components) = suite_of(&repository.spec.layout);
        let mut left_out = Vec::new();
        let mut seen = HashSet::new();
        let mut wanted = Vec::new();
        for package in &packages {
            // One file under two locations is one package.
            let Some(copy) = package.local.as_ref().filter(|copy| seen.insert(copy.sha256)) else { continue };
            let source = store.local_package_path(&copy.sha256).ok_or(PublishError::NoFolder)?;
            match objection(package, copy, &source) {
                Some(reason) => left_out.push(LeftOut { package: package.id.to_string(), reason }),
                None => wanted.push((package, copy, source, component_of(&package.location, &components))),
            }
        }
        let named = wanted.iter().map(|(package, copy, _, component)| Named {
            id: &package.id,
            is_rpm: is_rpm(package),
            source: package.source.as_deref(),
            component,
            sha256: copy.sha256,
        });
        let paths = names::paths(named);
        let debs = wanted.iter().filter(|(package, ..)| !is_rpm(package));
        let architectures =
            architectures(repository.architecture.dpkg_name(), debs.map(|(package, ..)| &package.id.arch));
        let has_suite = matches!(repository.spec.layout, RepositoryLayout::DebDists { .. });
        let has_debs = wanted.iter().any(|(package, ..)| !is_rpm(package));
        let has_rpms = wanted.iter().any(|(package, ..)| is_rpm(package));
        let rpm_md = repository.spec.layout == RepositoryLayout::RpmMd || has_rpms;
        let suite =
            (has_suite || has_debs).then(|| Suite { name: suite, components: components.clone(), architectures });
        let mut entries: Vec<Entry> = wanted
            .into_iter()
            .zip(paths)
            .map(|((package, copy, source, component), path)| Entry {
                package: package.id.to_string(),
                is_rpm: is_rpm(package),
                path,
                source,
                sha256: copy.sha256,
                size_bytes: copy.size_bytes,
                component,
            })
            .collect();
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        let mut plan = Self {
            label: format!("{} {} {}", repository.release, repository.architecture, repository.spec.id),
            folder: folder_of(&options.dir, repository),
            entries,
            left_out,
            rpm_md,
            suite,
            inputs: String::new(),
        };
        plan.inputs = plan.digest(options.signer.as_ref().map_or("", |signer| signer.fingerprint()));
        Ok(plan)
    }

    fn digest(&self, signer: &str) -> String {
        let mut digest = sha2::Sha256::new();
        let mut add = |text: &str| {
            digest.update((text.len() as u64).to_be_bytes());
            digest.update(text);
        };
        for text in [GENERATOR, &self.label, signer, if self.rpm_md { "rpm-md" } else { "" }] {
            add(text);
        }
        if let Some(Suite { name, components, architectures }) = &self.suite {
            add(name);
            components.iter().chain(architectures).for_each(|part| add(part));
        }
        for entry in &self.entries {
            add(&entry.path);
            add(&entry.sha256.to_string());
        }
        Sha256::from_bytes(digest.finalize().into()).to_string()
    }
}

/// The repository's own architecture and those of its packages, as far as they are safe as names of folders.
fn architectures<'a>(own: &str, packages: impl Iterator<Item = &'a String>) -> Vec<String> {
    let others: BTreeSet<_> = packages.filter(|arch| *arch != "all" && *arch != own).collect();
    let others = others.into_iter().filter(|arch| names::folder(arch) == **arch).take(MAX_FOREIGN_ARCHITECTURES);
    std::iter::once(own.to_owned()).chain(others.cloned()).collect()
}

fn is_rpm(package: &IndexedPackage) -> bool {
    package.format == PackageFormat::Rpm
}

/// Why a copy in the store cannot be published; none if it can.
fn objection(package: &IndexedPackage, copy: &LocalCopy, source: &std::path::Path) -> Option<String> {
    if let PackageFormat::Other(format) = &package.format {
        return Some(format!("there is no metadata for packages of format {format}"));
    }
    if copy.signature == SignatureState::Off {
        // The operator's signature would vouch for what nobody has verified.
        return Some("nothing vouches for it: its repository is mirrored without verification".to_owned());
    }
    let checked = recorded(source, copy.size_bytes, copy.sha256, copy.signature.clone());
    checked.err().map(|error| crate::error::chain(&error))
}

/// Suite and components, safe as names of folders. A repository without any gets `stable` and `main`.
fn suite_of(layout: &RepositoryLayout) -> (String, Vec<String>) {
    let path = |text: &str| {
        let parts: Vec<_> = text.split('/').filter(|part| !part.is_empty()).map(names::folder).collect();
        parts.join("/")
    };
    let or = |text: String, default: &str| if text.is_empty() { default.to_owned() } else { text };
    match layout {
        RepositoryLayout::DebDists { suite, components } => {
            let mut components: Vec<_> = components.iter().map(|component| path(component)).collect();
            components.retain(|component| !component.is_empty());
            if components.is_empty() {
                components.push("main".to_owned());
            }
            (or(path(suite), "stable"), components)
        }
        _ => ("stable".to_owned(), vec!["main".to_owned()]),
    }
}

/// The component in whose pool upstream has the package, else the first.
fn component_of(location: &str, components: &[String]) -> String {
    let in_pool = |component: &&String| {
        let rest = location.strip_prefix("pool/").and_then(|rest| rest.strip_prefix(component.as_str()));
        rest.is_some_and(|rest| rest.starts_with('/'))
    };
    components.iter().find(in_pool).or(components.first()).cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_and_components_are_folders_inside_dists() {
        let layout = |suite: &str, components: &[&str]| RepositoryLayout::DebDists {
            suite: suite.into(),
            components: components.iter().map(|component| (*component).to_owned()).collect(),
        };
        assert_eq!(suite_of(&layout("bookworm", &["main", "contrib"])).1, ["main", "contrib"]);
        assert_eq!(suite_of(&layout("stable/updates", &[])), ("stable/updates".to_owned(), vec!["main".to_owned()]));
        for hostile in ["../../etc", "/etc", "a//../b", ".."] {
            let (suite, components) = suite_of(&layout(hostile, &[hostile]));
            for path in [&suite, &components[0]] {
                assert!(path.split('/').all(|part| !part.is_empty() && !part.starts_with('.')), "{path}");
            }
        }
    }

    #[test]
    fn packages_stay_in_their_component() {
        let components = ["main".to_owned(), "contrib".to_owned(), "updates/main".to_owned()];
        for (location, want) in [
            ("pool/contrib/v/x.deb", "contrib"),
            ("pool/updates/main/a/x.deb", "updates/main"),
            ("pool/contribute/x.deb", "main"),
            ("x.deb", "main"),
        ] {
            assert_eq!(component_of(location, &components), want, "{location}");
        }
    }
}

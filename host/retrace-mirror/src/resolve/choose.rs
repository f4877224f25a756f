//! Which of several packages with the same file is meant. Pure.

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
};

use retrace_store::{IndexedPackage, Provider, Repository, RepositoryKey};
use retrace_types::{PackageId, Role};

use crate::{
    Policy,
    resolve::{Providers, WantedModule},
};

/// A build of a source package: all its packages belong together.
pub(crate) type Build = (String, String);

/// Preferences between packages of one core.
pub(super) struct Choice<'p> {
    providers: &'p Providers,
    /// Builds of the crashed package.
    hinted: HashSet<Build>,
    /// How many of the core's build-ids a build has.
    votes: HashMap<Build, usize>,
    ranks: &'p Ranks,
}

/// The place of each repository in the order of the operator's priorities, then of their names.
pub(super) type Ranks = HashMap<RepositoryKey, usize>;

pub(super) fn ranks(repositories: &[Repository]) -> Ranks {
    let mut repositories: Vec<_> = repositories.iter().collect();
    repositories.sort_by_key(|repository| (Policy::priority_of(&repository.spec), &repository.spec.id));
    repositories.iter().enumerate().map(|(rank, repository)| (repository.key, rank)).collect()
}

impl<'p> Choice<'p> {
    pub(super) fn new(providers: &'p Providers, hint: Option<&str>, ranks: &'p Ranks) -> Self {
        let mut hinted = HashSet::new();
        let mut votes = HashMap::new();
        for of_one in providers.values() {
            let builds: HashSet<_> = of_one.iter().map(|provider| build_of(&provider.package)).collect();
            for build in builds {
                *votes.entry(build).or_default() += 1;
            }
            let matching =
                of_one.iter().filter(|provider| hint.is_some_and(|hint| names_version(hint, &provider.package.id)));
            hinted.extend(matching.map(|provider| build_of(&provider.package)));
        }
        Self { providers, hinted, votes, ranks }
    }

    /// Packages that ship the file itself, the best first.
    pub(super) fn executables(&self, module: &WantedModule) -> Vec<&'p Provider> {
        let path = module.path.as_deref().map(without_usr);
        self.ordered(module, Role::Executable, |provider| {
            let same_path = path.is_some() && provider.path.as_deref().map(without_usr) == path;
            !same_path
        })
    }

    /// Packages with its debug information, the best first: those of the same build as the file.
    pub(super) fn debuginfo(&self, module: &WantedModule, executable: Option<&Provider>) -> Vec<&'p Provider> {
        let wanted = executable.map(|provider| build_of(&provider.package));
        self.ordered(module, Role::Debuginfo, |provider| Some(build_of(&provider.package)) != wanted)
    }

    fn ordered(&self, module: &WantedModule, role: Role, is_worse: impl Fn(&Provider) -> bool) -> Vec<&'p Provider> {
        let all = self.providers.get(&module.build_id).map(Vec::as_slice).unwrap_or_default();
        let mut found: Vec<_> = all.iter().filter(|provider| provider.role == role).collect();
        found.sort_by_cached_key(|provider| {
            let build = build_of(&provider.package);
            let unhinted = !self.hinted.contains(&build);
            let votes = Reverse(self.votes.get(&build).copied().unwrap_or_default());
            let absent = provider.package.local.is_none();
            let no_path = provider.path.is_none();
            // The same core gives the same result, in whatever order the repositories were read first.
            let rank = self.ranks.get(&provider.package.repository).copied();
            let last = (absent, no_path, rank, provider.package.id.to_string());
            match role {
                Role::Executable => (unhinted, is_worse(provider), votes, last),
                Role::Debuginfo => (is_worse(provider), unhinted, votes, last),
            }
        });
        // A file is in a package once, whatever its names are.
        let mut seen = HashSet::new();
        found.retain(|provider| seen.insert(provider.package.key));
        found
    }
}

pub(crate) fn build_of(package: &IndexedPackage) -> Build {
    (package.source.clone().unwrap_or_else(|| package.id.name.clone()), package.id.full_version())
}

/// True if the text names this version of the package: with or without epoch and architecture, the epoch before the name
/// as abrt writes it or before the version.
pub(super) fn names_version(hint: &str, id: &PackageId) -> bool {
    let hint = hint.trim();
    let PackageId { name, version, arch, .. } = id;
    let release = id.release.as_ref().map(|release| format!("-{release}")).unwrap_or_default();
    let hint = hint.strip_suffix(&format!(".{arch}")).unwrap_or(hint);
    let full = id.full_version();
    let plain = format!("{version}{release}");
    hint == format!("{name}-{full}")
        || hint == format!("{name}-{plain}")
        || id.epoch.is_some_and(|epoch| hint == format!("{epoch}:{name}-{plain}"))
        || hint == format!("{name}-0:{plain}")
}

/// Names that the text may mean: itself, and what stands before each `-` that may begin a version; the longest first.
pub(super) fn names_in(hint: &str) -> Vec<&str> {
    /// Longest name of a package.
    const MAX_NAME_BYTES: usize = 256;
    let hint = hint.trim();
    if hint.is_empty() || hint.len() > MAX_NAME_BYTES {
        return Vec::new();
    }
    let hint = match hint.split_once(':') {
        Some((epoch, rest)) if !epoch.is_empty() && epoch.bytes().all(|byte| byte.is_ascii_digit()) => rest,
        _ => hint,
    };
    let cut = hint.rmatch_indices('-').filter_map(|(at, _)| {
        let (name, rest) = (hint.get(..at)?, hint.get(at + 1..)?);
        (!name.is_empty() && rest.starts_with(|c: char| c.is_ascii_digit())).then_some(name)
    });
    std::iter::once(hint).chain(cut).collect()
}

/// `/usr/lib/x` and `/lib/x` are one file on a system with merged `/usr`.
fn without_usr(path: &str) -> &str {
    path.strip_prefix("/usr").filter(|rest| rest.starts_with('/')).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str, epoch: Option<u32>, version: &str) -> PackageId {
        PackageId {
            name: name.into(),
            epoch,
            version: version.into(),
            release: Some("2.fc40".into()),
            arch: "x86_64".into(),
        }
    }

    #[test]
    fn hints_name_versions_in_many_ways() {
        let with_epoch = id("bash", Some(1), "5.2");
        for (hint, want) in [
            ("bash-1:5.2-2.fc40.x86_64", true),
            ("bash-1:5.2-2.fc40", true),
            ("bash-5.2-2.fc40", true),
            ("1:bash-5.2-2.fc40.x86_64", true),
            ("bash", false),
            ("bash-5.3-2.fc40", false),
            ("ash-5.2-2.fc40", false),
            ("", false),
        ] {
            assert_eq!(names_version(hint, &with_epoch), want, "hint: {hint}");
        }
        assert!(names_version("bash-0:5.2-2.fc40", &id("bash", None, "5.2")));
    }

    #[test]
    fn names_are_cut_before_versions() {
        let cases: [(&str, &[&str]); 4] = [
            ("bash", &["bash"]),
            (
                "java-17-openjdk-17.0.1-2",
                &["java-17-openjdk-17.0.1-2", "java-17-openjdk-17.0.1", "java-17-openjdk", "java"],
            ),
            ("1:bash-5.2-2", &["bash-5.2-2", "bash-5.2", "bash"]),
            ("", &[]),
        ];
        for (hint, want) in cases {
            assert_eq!(names_in(hint), want, "hint: {hint}");
        }
    }
}

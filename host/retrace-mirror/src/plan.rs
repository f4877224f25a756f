//! Which packages to fetch, to keep and to remove. Pure: what is known and what is wanted go in, decisions come out.

use std::{
    cmp::Ordering,
    collections::{HashMap, HashSet},
};

use retrace_types::{PackageFormat, PackageId, PackageKind};

use crate::policy::{Mode, Policy};

/// A package of the index, as far as the plan depends on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Position of its repository in the list of policies.
    pub repository: usize,
    /// The package.
    pub id: PackageId,
    /// What it carries.
    pub kind: PackageKind,
    /// Format of its file.
    pub format: PackageFormat,
    /// Source package: a name (.deb), or the file name of the .src.rpm.
    pub source: Option<String>,
    /// Size of its file, where the metadata tells.
    pub size_bytes: Option<u64>,
    /// A verified copy is in the store.
    pub local: bool,
    /// The newest metadata lists it.
    pub upstream: bool,
    /// A crash used or wanted it.
    pub referenced: bool,
}

/// What to do, as positions in the list of candidates; each list in the order in which it is to be worked on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Wanted and not local.
    pub fetch: Vec<usize>,
    /// Local, and staying.
    pub keep: Vec<usize>,
    /// Local, and of no use by the policy: what prune may remove. Never what a crash referenced.
    pub prune: Vec<usize>,
}

impl Plan {
    /// Bytes to be fetched, as far as the metadata tells sizes.
    #[must_use]
    pub fn fetch_bytes(&self, candidates: &[Candidate]) -> u64 {
        bytes(&self.fetch, candidates)
    }

    /// Bytes of what prune may remove.
    #[must_use]
    pub fn prune_bytes(&self, candidates: &[Candidate]) -> u64 {
        bytes(&self.prune, candidates)
    }
}

/// Decides over the packages of one release and architecture, of which `policies` has one entry for each repository.
///
/// What upstream has dropped is fetched only if a crash referenced it: fallback archives may have it. Packages of a
/// repository without a policy, and of one that is switched off, are kept as they are.
#[must_use]
pub fn plan(candidates: &[Candidate], policies: &[Policy]) -> Plan {
    let referenced = with_debug_packages(candidates);
    let mut wanted = vec![false; candidates.len()];
    for (repository, policy) in policies.iter().enumerate().filter(|(_, policy)| policy.enabled) {
        let members = candidates.iter().enumerate().filter(|(_, candidate)| candidate.repository == repository);
        let passing = members.filter(|(n, candidate)| policy.wants(candidate, referenced.contains(n)));
        let mut passing: Vec<usize> = passing.map(|(n, _)| n).collect();
        if policy.mode == Mode::Filtered
            && let Some(newest) = policy.filter.newest
        {
            passing = newest_of(passing, candidates, newest as usize);
        }
        for n in passing {
            if let Some(wanted) = wanted.get_mut(n) {
                *wanted = true;
            }
        }
    }

    let mut plan = Plan::default();
    for (n, candidate) in candidates.iter().enumerate() {
        let wanted = wanted.get(n).copied().unwrap_or(false);
        let referenced = referenced.contains(&n);
        if !candidate.local {
            if wanted && (candidate.upstream || referenced) {
                plan.fetch.push(n);
            }
            continue;
        }
        let policy = policies.get(candidate.repository);
        let is_filtered = policy.is_some_and(|policy| policy.enabled && policy.mode == Mode::Filtered);
        if wanted || referenced || !is_filtered { plan.keep.push(n) } else { plan.prune.push(n) }
    }
    let order = |n: &usize| candidates.get(*n).and_then(|c| policies.get(c.repository)).map(|policy| policy.priority);
    plan.fetch.sort_by_key(|n| (!referenced.contains(n), order(n), *n));
    plan
}

impl Policy {
    /// Whether a package is wanted ahead, before versions are counted.
    fn wants(&self, candidate: &Candidate, referenced: bool) -> bool {
        let filter = &self.filter;
        let any = |patterns: &[crate::policy::Pattern], text: &str| {
            patterns.is_empty() || patterns.iter().any(|pattern| pattern.matches(text))
        };
        match self.mode {
            Mode::Metadata => false,
            Mode::Full => true,
            Mode::Filtered => {
                any(&filter.include, &candidate.id.name)
                    && !filter.exclude.iter().any(|pattern| pattern.matches(&candidate.id.name))
                    && any(&filter.sources, source_name(candidate))
                    && any(&filter.architectures, &candidate.id.arch)
                    && (referenced || !filter.referenced)
            }
        }
    }
}

/// The newest versions of each name and architecture; of one version in several files all.
fn newest_of(positions: Vec<usize>, candidates: &[Candidate], newest: usize) -> Vec<usize> {
    let mut groups: HashMap<(&str, &str), Vec<(usize, &Candidate)>> = HashMap::new();
    for n in positions {
        if let Some(candidate) = candidates.get(n) {
            groups.entry((&candidate.id.name, &candidate.id.arch)).or_default().push((n, candidate));
        }
    }
    let mut chosen = Vec::new();
    for mut group in groups.into_values() {
        group.sort_by(|(n, a), (m, b)| b.id.cmp_version(&a.id, &a.format).then(n.cmp(m)));
        let mut versions = 0;
        let mut last: Option<&Candidate> = None;
        for (n, candidate) in group {
            if last.is_none_or(|last| last.id.cmp_version(&candidate.id, &candidate.format) != Ordering::Equal) {
                versions += 1;
            }
            if versions > newest {
                break;
            }
            last = Some(candidate);
            chosen.push(n);
        }
    }
    chosen.sort_unstable();
    chosen
}

/// What crashes referenced, and the debug packages of the same version, in whichever repository they are.
fn with_debug_packages(candidates: &[Candidate]) -> HashSet<usize> {
    let named: Vec<_> = candidates.iter().enumerate().filter(|(_, candidate)| candidate.referenced).collect();
    let mut names: HashSet<(String, String, &str)> = HashSet::new();
    for (_, candidate) in &named {
        let version = candidate.id.full_version();
        let source = candidate.source.as_deref();
        let sources = source.map(|source| format!("{}-debugsource", name_of_source(source)));
        for name in debug_names(&candidate.id.name, source, &candidate.format).into_iter().chain(sources) {
            names.insert((name, version.clone(), candidate.id.arch.as_str()));
        }
    }
    let mut all: HashSet<usize> = named.iter().map(|(n, _)| *n).collect();
    if names.is_empty() {
        return all;
    }
    for (n, candidate) in candidates.iter().enumerate() {
        let is_debug = matches!(candidate.kind, PackageKind::DebugInfo | PackageKind::DebugSource);
        if is_debug && names.contains(&(candidate.id.name.clone(), candidate.id.full_version(), &candidate.id.arch)) {
            all.insert(n);
        }
    }
    all
}

/// Names that the debug packages of a package may have. Sources: dh_strip(1), rpm's `%debug_package`.
pub(crate) fn debug_names(name: &str, source: Option<&str>, format: &PackageFormat) -> Vec<String> {
    match format {
        PackageFormat::Deb => {
            let old_style = source.iter().map(|source| format!("{source}-dbg"));
            [format!("{name}-dbgsym"), format!("{name}-dbg")].into_iter().chain(old_style).collect()
        }
        _ => vec![format!("{name}-debuginfo")],
    }
}

/// Name of the source package; of a package that names none its own.
fn source_name(candidate: &Candidate) -> &str {
    candidate.source.as_deref().map_or(candidate.id.name.as_str(), name_of_source)
}

/// `bash` of `bash-5.2-1.fc40.src.rpm`; a name stays as it is.
fn name_of_source(source: &str) -> &str {
    let Some(nvr) = source.strip_suffix(".src.rpm").or_else(|| source.strip_suffix(".nosrc.rpm")) else {
        return source;
    };
    nvr.rsplitn(3, '-').nth(2).unwrap_or(source)
}

fn bytes(positions: &[usize], candidates: &[Candidate]) -> u64 {
    let sizes = positions.iter().filter_map(|n| candidates.get(*n)?.size_bytes);
    sizes.fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests;

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
    /// A core mapped a file of it, or it was used as such a package's debug package.
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
        let sizes = self.fetch.iter().filter_map(|n| candidates.get(*n)?.size_bytes);
        sizes.fold(0, u64::saturating_add)
    }
}

/// Decides over the packages of one release and architecture, of which `policies` has one entry for each repository.
///
/// What upstream has dropped is fetched only if a crash referenced it: fallback archives may have it. Packages of a
/// repository without a policy, and of one that is switched off, are kept as they are. The filter `referenced` goes by
/// name and architecture: who crashed in one version of a package is likely to crash in the next, wherever that comes from.
#[must_use]
pub fn plan(candidates: &[Candidate], policies: &[Policy]) -> Plan {
    let Referenced { versions: referenced, names } = Referenced::of(candidates);
    let mut wanted = vec![false; candidates.len()];
    for (repository, policy) in policies.iter().enumerate().filter(|(_, policy)| policy.enabled) {
        let members = candidates.iter().enumerate().filter(|(_, candidate)| candidate.repository == repository);
        let passing = members.filter(|(_, candidate)| policy.wants(candidate, names.contains(&name_of(candidate))));
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
            groups.entry(name_of(candidate)).or_default().push((n, candidate));
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

/// What crashes referenced, with its debug packages, in whichever repository they are.
struct Referenced<'c> {
    /// Exactly these.
    versions: HashSet<usize>,
    /// Any version: name and architecture.
    names: HashSet<(&'c str, &'c str)>,
}

impl<'c> Referenced<'c> {
    fn of(candidates: &'c [Candidate]) -> Self {
        let mut wanted: HashMap<(String, &str), HashSet<String>> = HashMap::new();
        for candidate in candidates.iter().filter(|candidate| candidate.referenced) {
            let source = candidate.source.as_deref();
            let sources = source.map(|source| format!("{}-debugsource", name_of_source(source)));
            for name in debug_names(&candidate.id.name, source, &candidate.format).into_iter().chain(sources) {
                wanted.entry((name, &candidate.id.arch)).or_default().insert(candidate.id.full_version());
            }
        }
        let mut all = Self { versions: HashSet::new(), names: HashSet::new() };
        for (n, candidate) in candidates.iter().enumerate() {
            let is_debug = matches!(candidate.kind, PackageKind::DebugInfo | PackageKind::DebugSource);
            let versions = if is_debug { wanted.get(&(candidate.id.name.clone(), &candidate.id.arch)) } else { None };
            if candidate.referenced || versions.is_some() {
                all.names.insert(name_of(candidate));
            }
            if candidate.referenced || versions.is_some_and(|versions| versions.contains(&candidate.id.full_version()))
            {
                all.versions.insert(n);
            }
        }
        all
    }
}

fn name_of(candidate: &Candidate) -> (&str, &str) {
    (&candidate.id.name, &candidate.id.arch)
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

#[cfg(test)]
mod tests;

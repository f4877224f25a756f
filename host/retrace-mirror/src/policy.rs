//! What an operator wants of each repository.
//!
//! The configuration is a list of rules; each names repositories by patterns, and sets what it has an opinion on. All
//! rules that fit a repository apply in their order, so that a later one overrides an earlier one.

mod pattern;

use std::path::PathBuf;

use retrace_types::{
    Architecture, Release, ReleaseId, RepositoryContent, RepositoryLayout, RepositorySpec, SignaturePolicy,
};
use serde::{Deserialize, Serialize};

use crate::{MirrorError, expand_mirror, with_own_mirrors};

pub use pattern::Pattern;

/// The setting of a registered repository that holds the operator's priority.
const PRIORITY_SETTING: &str = "priority";

/// Which packages of a repository are fetched before a retrace needs them. The index always has all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// None: a package is fetched the first time a retrace needs it, and kept for ever.
    #[default]
    Metadata,
    /// All, in every version, kept after upstream has deleted them.
    Full,
    /// Those that pass the [`Filter`].
    Filtered,
}

impl Mode {
    /// Its name in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Metadata => "metadata",
            Self::Full => "full",
            Self::Filtered => "filtered",
        }
    }
}

/// What must be signed, where the operator has an opinion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Signatures {
    /// Each package.
    Packages,
    /// The metadata.
    Metadata,
    /// Both.
    Both,
    /// Nothing is verified. Every result that used such a repository says so.
    None,
}

impl Signatures {
    /// The same in the terms of the plugin contract.
    #[must_use]
    pub fn policy(self) -> SignaturePolicy {
        match self {
            Self::Packages => SignaturePolicy { metadata: false, packages: true },
            Self::Metadata => SignaturePolicy { metadata: true, packages: false },
            Self::Both => SignaturePolicy { metadata: true, packages: true },
            Self::None => SignaturePolicy::OFF,
        }
    }

    /// The name of what a repository wants signed.
    #[must_use]
    pub fn of(policy: SignaturePolicy) -> Self {
        match (policy.metadata, policy.packages) {
            (true, true) => Self::Both,
            (true, false) => Self::Metadata,
            (false, true) => Self::Packages,
            (false, false) => Self::None,
        }
    }

    /// Its name in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Packages => "packages",
            Self::Metadata => "metadata",
            Self::Both => "both",
            Self::None => "none",
        }
    }
}

/// One `[[repository]]` table of the configuration. Patterns may hold `*` and `?`; what is left out is not changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Rule {
    /// Releases that it is about, such as `fedora-*`; all if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<Pattern>,
    /// Architectures that it is about, as uname(1) names them; all if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub architecture: Option<Pattern>,
    /// Ids of repositories that it is about, such as `updates*`; all if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository: Option<Pattern>,
    /// Whether it is mirrored at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Which packages are fetched ahead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// For `filtered`: names of packages that are wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub include: Option<Vec<Pattern>>,
    /// For `filtered`: names of packages that are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exclude: Option<Vec<Pattern>>,
    /// For `filtered`: names of source packages, whose packages and debug packages are wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sources: Option<Vec<Pattern>>,
    /// For `filtered`: architectures as packages name them (`x86_64`, `noarch`, `amd64`, `all`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub architectures: Option<Vec<Pattern>>,
    /// For `filtered`: only packages that crashes referenced in some version, and their debug packages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub referenced: Option<bool>,
    /// For `filtered`: so many newest versions of each name and architecture; 0 for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub newest: Option<u32>,
    /// What must be signed; as the plugin says if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signatures: Option<Signatures>,
    /// Mirrors in place of the plugin's, best first; with `$ARCH`, `$VER` and the like as `--mirror` has them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mirrors: Option<Vec<String>>,
    /// Files with keys that may sign it, beside those of the plugin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keys: Option<Vec<PathBuf>>,
    /// Repositories of a lower number are read and fetched first, and asked first where several have a file; 50 if no rule
    /// says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<u32>,
}

impl Rule {
    /// True if it is about this repository.
    #[must_use]
    pub fn is_about(&self, release: &ReleaseId, architecture: Architecture, repository: &str) -> bool {
        let fits = |pattern: &Option<Pattern>, text: &str| pattern.as_ref().is_none_or(|pattern| pattern.matches(text));
        fits(&self.release, &release.to_string())
            && fits(&self.architecture, architecture.as_str())
            && fits(&self.repository, repository)
    }

    /// Mistakes that can be seen without knowing the repositories, one sentence each with what to do.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let filters = [
            ("include", self.include.is_some()),
            ("exclude", self.exclude.is_some()),
            ("sources", self.sources.is_some()),
            ("architectures", self.architectures.is_some()),
            ("referenced", self.referenced.is_some()),
            ("newest", self.newest.is_some()),
        ];
        for (key, _) in filters.into_iter().filter(|(_, is_set)| *is_set) {
            if matches!(self.mode, Some(Mode::Metadata | Mode::Full)) {
                problems.push(format!("`{key}` has no effect: it needs mode = \"filtered\""));
            }
        }
        let lists = [("include", &self.include), ("sources", &self.sources), ("architectures", &self.architectures)];
        for (key, _) in lists.into_iter().filter(|(_, list)| list.as_ref().is_some_and(Vec::is_empty)) {
            problems.push(format!("`{key} = []` wants everything: leave it out, or name what is wanted"));
        }
        if self
            .architecture
            .as_ref()
            .is_some_and(|pattern| !Architecture::ALL.iter().any(|a| pattern.matches(a.as_str())))
        {
            let known: Vec<_> = Architecture::ALL.iter().map(|a| a.as_str()).collect();
            problems.push(format!("`architecture` fits none: want a pattern of {}", known.join(", ")));
        }
        match (&self.mirrors, &self.repository) {
            (Some(mirrors), _) if mirrors.is_empty() => {
                problems.push("`mirrors = []` means the plugin's: leave it out".to_owned());
            }
            (Some(_), None) => problems.push(
                "`mirrors` without `repository` gives all repositories the same mirrors: name the one they are of"
                    .to_owned(),
            ),
            _ => {}
        }
        if self.enabled == Some(false) && self.mode.is_some() {
            problems.push("`mode` has no effect beside `enabled = false`".to_owned());
        }
        problems
    }
}

/// Which packages mode [`Mode::Filtered`] wants: those that pass every part.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Filter {
    /// Names that are wanted; all if empty.
    pub include: Vec<Pattern>,
    /// Names that are not.
    pub exclude: Vec<Pattern>,
    /// Source packages that are wanted; all if empty.
    pub sources: Vec<Pattern>,
    /// Architectures of packages that are wanted; all if empty.
    pub architectures: Vec<Pattern>,
    /// Only packages that crashes referenced in some version, and their debug packages.
    pub referenced: bool,
    /// So many newest versions of each name and architecture; all if none.
    pub newest: Option<u32>,
}

/// What is in force for one repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Policy {
    /// Whether it is mirrored at all.
    pub enabled: bool,
    /// Why it is not enabled although no rule switched it off; none otherwise.
    pub off_by_default: Option<&'static str>,
    /// Which packages are fetched ahead.
    pub mode: Mode,
    /// For [`Mode::Filtered`].
    pub filter: Filter,
    /// What must be signed; none: as the plugin says.
    pub signatures: Option<Signatures>,
    /// Mirrors in place of the plugin's; the plugin's if empty.
    pub mirrors: Vec<String>,
    /// Files with further keys that may sign it.
    pub keys: Vec<PathBuf>,
    /// Lower ones first.
    pub priority: u32,
}

impl Policy {
    /// Priority where no rule says it.
    pub const PRIORITY: u32 = 50;

    /// What these rules make of a repository. Repositories with source packages, and those with packages that are not
    /// released yet or not meant for everybody (testing, proposed, backports), are off unless a rule says `enabled = true`.
    #[must_use]
    pub fn of(rules: &[Rule], release: &ReleaseId, architecture: Architecture, spec: &RepositorySpec) -> Self {
        let off = off_by_default(spec);
        let mut policy = Self {
            enabled: off.is_none(),
            off_by_default: off,
            mode: Mode::default(),
            filter: Filter::default(),
            signatures: None,
            mirrors: Vec::new(),
            keys: Vec::new(),
            priority: Self::PRIORITY,
        };
        for rule in rules.iter().filter(|rule| rule.is_about(release, architecture, &spec.id)) {
            policy.apply(rule);
        }
        policy
    }

    fn apply(&mut self, rule: &Rule) {
        let Rule { enabled, mode, include, exclude, sources, architectures, referenced, newest, .. } = rule;
        if let Some(enabled) = enabled {
            (self.enabled, self.off_by_default) = (*enabled, None);
        }
        set(&mut self.mode, mode);
        set(&mut self.filter.include, include);
        set(&mut self.filter.exclude, exclude);
        set(&mut self.filter.sources, sources);
        set(&mut self.filter.architectures, architectures);
        set(&mut self.filter.referenced, referenced);
        if let Some(newest) = newest {
            self.filter.newest = (*newest > 0).then_some(*newest);
        }
        self.signatures = rule.signatures.or(self.signatures);
        set(&mut self.mirrors, &rule.mirrors);
        set(&mut self.keys, &rule.keys);
        set(&mut self.priority, &rule.priority);
    }

    /// The description of the repository with what the operator wants signed, their mirrors, and its priority.
    ///
    /// # Errors
    /// [`MirrorError::Variable`] if a mirror has a variable that is unknown or that the release has no value for.
    pub fn applied_to(
        &self,
        spec: RepositorySpec,
        release: &Release,
        architecture: Architecture,
    ) -> Result<RepositorySpec, MirrorError> {
        let mirrors = self.mirrors.iter().map(|mirror| expand_mirror(mirror, release, architecture));
        let mirrors = mirrors.collect::<Result<Vec<_>, _>>()?;
        let spec = if mirrors.is_empty() { spec } else { with_own_mirrors(&spec, mirrors) };
        let signatures = self.signatures.map_or(spec.signatures, Signatures::policy);
        let mut config = spec.config;
        config.retain(|(key, _)| key != PRIORITY_SETTING);
        if self.priority != Self::PRIORITY {
            config.push((PRIORITY_SETTING.to_owned(), self.priority.to_string()));
        }
        Ok(RepositorySpec { signatures, config, ..spec })
    }

    /// The priority that [`applied_to`](Self::applied_to) wrote down.
    pub(crate) fn priority_of(spec: &RepositorySpec) -> u32 {
        let noted = spec.config.iter().find(|(key, _)| key == PRIORITY_SETTING);
        noted.and_then(|(_, value)| value.parse().ok()).unwrap_or(Self::PRIORITY)
    }
}

fn set<T: Clone>(target: &mut T, value: &Option<T>) {
    if let Some(value) = value {
        target.clone_from(value);
    }
}

fn off_by_default(spec: &RepositorySpec) -> Option<&'static str> {
    if spec.content == RepositoryContent::Sources {
        return Some("it has source packages, which no retrace reads");
    }
    let suite = match &spec.layout {
        RepositoryLayout::DebDists { suite, .. } => suite.as_str(),
        _ => "",
    };
    // The first word of a suite is the release: `testing` itself is one of Debian's.
    let words = spec.id.split(['-', '_', '.']).chain(suite.split('-').skip(1));
    for word in words {
        match word {
            "testing" | "proposed" | "candidate" => return Some("its packages are still being tested"),
            "backports" => return Some("its packages are of a later release"),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests;

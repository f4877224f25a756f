//! What a checked file says. Every text keeps the contract's grammar, every name is resolved to an index.

use crate::schema::{Confidence, Content, Environment, FileKind, Format, OtherVendors, Signature};

pub(crate) type Pairs = Vec<(String, String)>;

/// A distribution.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) id: String,
    pub(crate) aliases: Vec<String>,
    pub(crate) name: String,
    pub(crate) format: Format,
    pub(crate) annotations: Pairs,
    pub(crate) basearch: Pairs,
    pub(crate) releases: Vec<Release>,
    pub(crate) version_keys: Vec<String>,
    pub(crate) codename_keys: Vec<String>,
    pub(crate) full_version_keys: Vec<String>,
    pub(crate) os_release_rules: Vec<Rule>,
    /// Longest first.
    pub(crate) line_names: Vec<String>,
    pub(crate) line_rules: Vec<Rule>,
    pub(crate) files: Vec<(String, FileKind)>,
    pub(crate) guesses: Vec<Guess>,
    pub(crate) keys: Vec<Key>,
    pub(crate) repositories: Vec<Repository>,
    pub(crate) debuggers: Vec<Debugger>,
    pub(crate) debug_packages: Vec<DebugPackage>,
    pub(crate) kernels: Vec<Kernel>,
    pub(crate) advice: Vec<Advice>,
}

#[derive(Debug)]
pub(crate) struct Release {
    pub(crate) distro: String,
    pub(crate) version: String,
    pub(crate) codename: Option<String>,
    pub(crate) rolling: bool,
    pub(crate) minors: bool,
    pub(crate) title: String,
    pub(crate) architectures: Vec<String>,
    pub(crate) end_of_life: Option<String>,
    pub(crate) vars: Pairs,
    pub(crate) annotations: Pairs,
}

/// For which releases (indices) and architectures something holds; none: all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope {
    pub(crate) releases: Option<Vec<u16>>,
    pub(crate) architectures: Option<Vec<String>>,
}

impl Scope {
    pub(crate) fn has(&self, release: u16, architecture: &str) -> bool {
        self.releases.as_ref().is_none_or(|releases| releases.contains(&release))
            && self.architectures.as_ref().is_none_or(|names| names.iter().any(|name| name == architecture))
    }
}

#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) when: Pairs,
    pub(crate) then: Then,
}

#[derive(Debug)]
pub(crate) enum Then {
    NotOurs,
    Release(u16),
    Template { distro: Option<String>, version: String },
}

#[derive(Debug)]
pub(crate) struct Guess {
    pub(crate) tag: String,
    pub(crate) release: Option<u16>,
    pub(crate) releases: Option<Vec<u16>>,
    pub(crate) confidence: Confidence,
    pub(crate) vendors: Vec<String>,
    pub(crate) other_vendors: OtherVendors,
}

#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) path: String,
    pub(crate) fingerprint: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Mirror {
    pub(crate) url: String,
    pub(crate) scope: Scope,
}

#[derive(Debug)]
pub(crate) enum Layout {
    RpmMd,
    Directory,
    Deb { suite: String, components: Vec<String> },
}

#[derive(Debug)]
pub(crate) struct Repository {
    pub(crate) id: String,
    pub(crate) title: Option<String>,
    pub(crate) content: Content,
    pub(crate) scope: Scope,
    pub(crate) layout: Layout,
    pub(crate) mirrors: Vec<Mirror>,
    pub(crate) signatures: Vec<Signature>,
    /// For each release, indices of its keys.
    pub(crate) keys: Vec<Vec<u16>>,
    pub(crate) config: Pairs,
}

#[derive(Debug)]
pub(crate) struct Debugger {
    pub(crate) scope: Scope,
    pub(crate) packages: Vec<String>,
    pub(crate) path: String,
    pub(crate) environment: Environment,
}

#[derive(Debug)]
pub(crate) struct DebugPackage {
    pub(crate) names: Vec<String>,
    pub(crate) packages: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct Kernel {
    pub(crate) uname: String,
    pub(crate) scope: Scope,
    pub(crate) packages: Vec<String>,
    pub(crate) vmlinux: String,
}

#[derive(Debug)]
pub(crate) struct Advice {
    pub(crate) scope: Scope,
    pub(crate) wanted: Vec<String>,
    pub(crate) packages: Vec<String>,
}

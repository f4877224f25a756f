//! The form of the data. Written by the macro, which has checked every text and index; nothing to write by hand.
#![expect(missing_docs, reason = "the keys of docs/declarative.md, one field for each")]

pub use crate::{Confidence, Environment, RepositoryContent};

pub type Texts = &'static [&'static str];
pub type Pairs = &'static [(&'static str, &'static str)];

/// A distribution.
#[derive(Debug)]
pub struct Data {
    pub id: &'static str,
    pub aliases: Texts,
    pub name: &'static str,
    pub format: Format,
    pub annotations: Pairs,
    pub basearch: Pairs,
    pub releases: &'static [ReleaseData],
    pub version_keys: Texts,
    pub codename_keys: Texts,
    pub full_version_keys: Texts,
    pub os_release_rules: &'static [Rule],
    /// Longest first.
    pub line_names: Texts,
    pub line_rules: &'static [Rule],
    pub files: &'static [(&'static str, FileKind)],
    pub guesses: &'static [Guess],
    /// Path and fingerprint.
    pub keys: &'static [(&'static str, Option<&'static str>)],
    pub repositories: &'static [RepositoryData],
    pub debuggers: &'static [DebuggerData],
    pub debug_packages: &'static [DebugPackageData],
    pub kernels: &'static [KernelData],
    pub advice: &'static [AdviceData],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Rpm,
    Deb,
}

#[derive(Debug)]
pub struct ReleaseData {
    pub distro: &'static str,
    pub version: &'static str,
    pub codename: Option<&'static str>,
    pub rolling: bool,
    pub minors: bool,
    pub title: &'static str,
    pub architectures: Texts,
    pub end_of_life: Option<&'static str>,
    pub vars: Pairs,
    pub annotations: Pairs,
}

/// For which releases (indices) and architectures something holds; none: all.
#[derive(Debug)]
pub struct Scope {
    pub releases: Option<&'static [u16]>,
    pub architectures: Option<Texts>,
}

impl Scope {
    pub(crate) fn has(&self, release: u16, architecture: &str) -> bool {
        self.releases.is_none_or(|releases| releases.contains(&release)) && self.has_architecture(architecture)
    }

    pub(crate) fn has_architecture(&self, architecture: &str) -> bool {
        self.architectures.is_none_or(|names| names.contains(&architecture))
    }
}

#[derive(Debug)]
pub struct Rule {
    pub when: Pairs,
    pub then: Then,
}

#[derive(Debug)]
pub enum Then {
    NotOurs,
    Release(u16),
    Template { distro: Option<&'static str>, version: &'static str },
}

#[derive(Clone, Copy, Debug)]
pub enum FileKind {
    ReleaseLine,
    OsRelease,
    Version,
}

#[derive(Debug)]
pub struct Guess {
    pub tag: &'static str,
    pub release: Option<u16>,
    pub releases: Option<&'static [u16]>,
    pub confidence: Confidence,
    pub vendors: Texts,
    pub other_vendors: OtherVendors,
}

#[derive(Clone, Copy, Debug)]
pub enum OtherVendors {
    Keep,
    Weak,
    None,
}

#[derive(Debug)]
pub struct RepositoryData {
    pub id: &'static str,
    pub title: Option<&'static str>,
    pub content: RepositoryContent,
    pub scope: Scope,
    pub layout: Layout,
    pub mirrors: &'static [MirrorData],
    pub signed_metadata: bool,
    pub signed_packages: bool,
    /// For each release, indices of its keys.
    pub keys: &'static [&'static [u16]],
    pub config: Pairs,
}

#[derive(Debug)]
pub enum Layout {
    RpmMd,
    Directory,
    Deb { suite: &'static str, components: Texts },
}

#[derive(Debug)]
pub struct MirrorData {
    pub url: &'static str,
    pub scope: Scope,
}

#[derive(Debug)]
pub struct DebuggerData {
    pub scope: Scope,
    pub packages: Texts,
    pub path: &'static str,
    pub environment: Environment,
}

#[derive(Debug)]
pub struct DebugPackageData {
    pub names: Texts,
    pub packages: Texts,
}

#[derive(Debug)]
pub struct KernelData {
    pub scope: Scope,
    pub uname: &'static str,
    pub packages: Texts,
    pub vmlinux: &'static str,
}

#[derive(Debug)]
pub struct AdviceData {
    pub scope: Scope,
    pub wanted: Texts,
    pub packages: Texts,
}

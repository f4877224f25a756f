use serde::{Deserialize, Serialize};

/// How a repository lays out its metadata.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RepositoryLayout {
    /// `repodata/repomd.xml` and what it lists.
    RpmMd,
    /// `dists/<suite>/InRelease` and what it lists.
    DebDists {
        /// Suite, such as `bookworm-security`.
        suite: String,
        /// Components, such as `main`.
        components: Vec<String>,
    },
    /// A folder of packages without metadata.
    Directory,
    /// A layout that the host cannot read.
    Other(String),
}

/// What a repository carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RepositoryContent {
    /// Programs and libraries.
    Packages,
    /// Separate debug information.
    DebugInfo,
    /// Source packages.
    Sources,
}

/// What of a repository must carry a good signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignaturePolicy {
    /// The metadata: `InRelease`, `repomd.xml.asc`.
    pub metadata: bool,
    /// Each package.
    pub packages: bool,
}

impl SignaturePolicy {
    /// Nothing is verified. Every result that used such a repository says so.
    pub const OFF: Self = Self { metadata: false, packages: false };
}

/// A key that signs a repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyFile {
    /// Path relative to the key folder, without `..`.
    pub path: String,
    /// Upper-case hexadecimal fingerprint, where the plugin pins it.
    pub fingerprint: Option<String>,
}

/// One repository of one release and architecture, as its plugin or the operator describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepositorySpec {
    /// Stable within the release: `updates-debuginfo`.
    pub id: String,
    /// Shown to people.
    pub title: String,
    /// Where the metadata is.
    pub layout: RepositoryLayout,
    /// What it carries.
    pub content: RepositoryContent,
    /// Base URLs or absolute folders, best first; variables already expanded.
    pub mirrors: Vec<String>,
    /// What must be signed.
    pub signatures: SignaturePolicy,
    /// Keys that may sign it.
    pub keys: Vec<KeyFile>,
    /// Settings of this repository alone; keys that the host does not know are ignored.
    pub config: Vec<(String, String)>,
}

/// Where the debugger runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EnvironmentKind {
    /// A folder with just the needed files; the host's debugger.
    Sysroot,
    /// An installed root of the distribution; its own debugger.
    Chroot,
}

/// The debugger that a distribution wants for its cores.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Debugger {
    /// Packages to install; the first one holds the debugger.
    pub packages: Vec<String>,
    /// Absolute path inside the environment.
    pub path: String,
    /// Where it runs.
    pub environment: EnvironmentKind,
}

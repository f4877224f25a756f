use retrace_types::{Architecture, Confidence, DistroId, PackageFormat, PackageId, PackageKind, Release, Sha256};
use serde::{Serialize, Serializer};

use crate::{CallError, PluginFailure};

/// Text that names the release of the machine that crashed. At most 64 KiB are read, the rest is cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReleaseSource {
    /// Whole text of an os-release(5) file.
    OsRelease(String),
    /// One line, as abrt's elements `os_release` and `release` hold it: `Fedora release 40 (Forty)`.
    ReleaseLine(String),
    /// Any other file of the crash archive.
    Named {
        /// Its name in the archive.
        name: String,
        /// Its text.
        text: String,
    },
}

/// A package as a crash report names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageRef {
    /// NEVRA, `name_version_arch` or file name, exactly as received. At most 4 KiB are read, the rest is cut off.
    pub raw: String,
    /// Format, where it is known.
    pub format: Option<PackageFormat>,
    /// Vendor tag of an RPM package, where it is known.
    pub vendor: Option<String>,
}

/// One release that a plugin serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleaseEntry {
    /// The release.
    pub release: Release,
    /// Shown to people: `Debian 12 (bookworm)`.
    pub title: String,
    /// Architectures with repositories, the most usual first. Those that the host does not know are left out.
    pub architectures: Vec<Architecture>,
    /// End of life as `YYYY-MM-DD`; none where there is none, or it is not known.
    pub end_of_life: Option<String>,
}

/// A package and what it carries, read from a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedPackage {
    /// The package.
    pub id: PackageId,
    /// What it carries.
    pub kind: PackageKind,
}

/// What the debugger of kernel dumps needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelFiles {
    /// Packages that together hold vmlinux and its debug information.
    pub debug_packages: Vec<NamedPackage>,
    /// Absolute path of vmlinux with debug information, inside the packages.
    pub vmlinux: String,
}

/// What one plugin said when all were asked for a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Candidate {
    /// The plugin.
    pub plugin: DistroId,
    /// Its version.
    pub version: String,
    /// Its digest.
    pub sha256: Sha256,
    /// Its word.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// A plugin's word on a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", content = "answer", rename_all = "kebab-case")]
pub enum Outcome {
    /// Not this distribution.
    None,
    /// This release.
    Claim(Claim),
    /// This distribution, but no answer can be given.
    Refused(#[serde(serialize_with = "text")] CallError),
    /// The plugin broke.
    Failed(#[serde(serialize_with = "text")] Box<PluginFailure>),
    /// The plugin broke too often and was not asked; why, and for how long.
    Degraded(String),
}

/// A plugin's claim that a release is its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Claim {
    /// The release.
    pub release: Release,
    /// How sure the plugin is; a release that it read from a text is certain.
    pub confidence: Confidence,
    /// One line for the operator.
    pub reason: String,
}

fn text<T: std::fmt::Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

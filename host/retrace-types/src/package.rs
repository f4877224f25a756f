use std::fmt;

use serde::{Deserialize, Serialize};

use crate::BuildId;

/// Format of a package file.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PackageFormat {
    /// RPM v3/v4/v6 package.
    Rpm,
    /// Debian binary package, deb(5).
    Deb,
    /// A format that the host cannot read.
    Other(String),
}

/// What a package file carries.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PackageKind {
    /// Programs and libraries.
    Binary,
    /// Separate debug information.
    DebugInfo,
    /// Source files for the debugger.
    DebugSource,
    /// Source package.
    Source,
    /// Anything else a plugin names.
    Other(String),
}

/// One version of one package, for one architecture.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PackageId {
    /// Name.
    pub name: String,
    /// Epoch, where the version has one.
    pub epoch: Option<u32>,
    /// Upstream version.
    pub version: String,
    /// Revision of the distribution; none where the format or the version has no such part.
    pub release: Option<String>,
    /// Architecture as the package names it: `x86_64`, `noarch`, `amd64`, `all`.
    pub arch: String,
}

impl PackageId {
    /// `[epoch:]version[-release]`.
    #[must_use]
    pub fn full_version(&self) -> String {
        let epoch = self.epoch.map(|e| format!("{e}:")).unwrap_or_default();
        let release = self.release.as_ref().map(|r| format!("-{r}")).unwrap_or_default();
        format!("{epoch}{}{release}", self.version)
    }
}

impl fmt::Display for PackageId {
    /// `name-[epoch:]version[-release].arch`, the NEVRA that RPM tools print; used for .deb packages as well.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}.{}", self.name, self.full_version(), self.arch)
    }
}

/// What is known of the signature that covers a package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum SignatureState {
    /// The package itself carries a good signature.
    Package {
        /// Upper-case hexadecimal fingerprint of the signing key.
        fingerprint: String,
    },
    /// The package's digest stands in repository metadata that carries a good signature.
    Metadata {
        /// Upper-case hexadecimal fingerprint of the signing key.
        fingerprint: String,
    },
    /// The operator switched verification off for the repository.
    Off,
}

impl fmt::Display for SignatureState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Package { fingerprint } => write!(f, "signed by {fingerprint}"),
            Self::Metadata { fingerprint } => write!(f, "in metadata signed by {fingerprint}"),
            Self::Off => f.write_str("NOT VERIFIED (verification is off for its repository)"),
        }
    }
}

/// What a file with a build-id is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// A program or library: what a process maps.
    Executable,
    /// The separate debug information of such a file.
    Debuginfo,
}

/// A file of a package, found by its build-id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MemberBuildId {
    /// Build-id of the file.
    pub build_id: BuildId,
    /// What the file is for.
    pub role: Role,
    /// Absolute path in the installed system; none where the metadata names only the build-id.
    pub path: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_shown_as_nevra() {
        let mut id = PackageId {
            name: "bash".into(),
            epoch: Some(1),
            version: "5.2".into(),
            release: Some("3.fc40".into()),
            arch: "x86_64".into(),
        };
        assert_eq!(id.to_string(), "bash-1:5.2-3.fc40.x86_64");
        (id.epoch, id.release) = (None, None);
        assert_eq!(id.to_string(), "bash-5.2.x86_64");
    }
}

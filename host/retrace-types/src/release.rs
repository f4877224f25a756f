use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Most bytes in a distribution or version name.
const MAX_NAME_BYTES: usize = 64;

/// A distribution's `ID` as in os-release(5): `[a-z0-9][a-z0-9._-]*`, at most 64 bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DistroId(String);

/// A version of a distribution: `40`, `12`, `15.6`, `rawhide`; `[A-Za-z0-9][A-Za-z0-9._+~-]*`, at most 64 bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VersionId(String);

/// The text names no release.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidReleaseId {
    /// Not a distribution id.
    #[error("invalid distribution id {0:?}: want lower-case letters, digits, `.`, `_`, `-`, at most 64 bytes")]
    Distro(String),
    /// Not a version.
    #[error("invalid version {0:?}: want letters, digits, `.`, `_`, `+`, `~`, `-`, at most 64 bytes")]
    Version(String),
    /// No `-` between distribution and version.
    #[error("invalid release {0:?}: want DISTRIBUTION-VERSION, such as fedora-40")]
    NoSeparator(String),
}

macro_rules! name_type {
    ($type:ident, $error:path, $first:expr, $rest:expr) => {
        impl $type {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = InvalidReleaseId;

            fn from_str(s: &str) -> Result<Self, Self::Err> {
                let (first, rest): (fn(u8) -> bool, fn(u8) -> bool) = ($first, $rest);
                let mut bytes = s.bytes();
                let valid = s.len() <= MAX_NAME_BYTES && bytes.next().is_some_and(first) && bytes.all(rest);
                if valid { Ok(Self(s.to_owned())) } else { Err($error(s.chars().take(80).collect())) }
            }
        }

        impl TryFrom<String> for $type {
            type Error = InvalidReleaseId;

            fn try_from(s: String) -> Result<Self, Self::Error> {
                s.parse()
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name_type!(DistroId, InvalidReleaseId::Distro, |b| b.is_ascii_lowercase() || b.is_ascii_digit(), |b| b
    .is_ascii_lowercase()
    || b.is_ascii_digit()
    || b"._-".contains(&b));
name_type!(VersionId, InvalidReleaseId::Version, |b| b.is_ascii_alphanumeric(), |b| b.is_ascii_alphanumeric()
    || b"._+~-".contains(&b));

/// A distribution and its version: `fedora-40`. With an architecture behind it, this is the predecessor's release id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ReleaseId {
    /// Distribution.
    pub distro: DistroId,
    /// Version.
    pub version: VersionId,
}

impl FromStr for ReleaseId {
    type Err = InvalidReleaseId;

    /// The text up to the last `-` is the distribution: ids such as `opensuse-leap` hold one.
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let no_separator = || InvalidReleaseId::NoSeparator(s.chars().take(140).collect());
        let (distro, version) = s.rsplit_once('-').ok_or_else(no_separator)?;
        Ok(Self { distro: distro.parse()?, version: version.parse()? })
    }
}

impl TryFrom<String> for ReleaseId {
    type Error = InvalidReleaseId;

    fn try_from(s: String) -> Result<Self, Self::Error> {
        s.parse()
    }
}

impl From<ReleaseId> for String {
    fn from(id: ReleaseId) -> Self {
        id.to_string()
    }
}

impl fmt::Display for ReleaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.distro, self.version)
    }
}

/// What a plugin knows of one release. Mirrors `types.release` of the plugin contract.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// Distribution and version.
    pub id: ReleaseId,
    /// Point release, where there is one: `4` of RHEL 9.4.
    pub minor: Option<String>,
    /// Code name, such as `bookworm`.
    pub codename: Option<String>,
    /// Never frozen: rawhide, sid, tumbleweed.
    pub rolling: bool,
}

/// How sure a plugin is of a guess.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Confidence {
    /// One sign that other distributions share.
    Weak,
    /// More than one sign.
    Likely,
    /// Nothing else can be meant.
    Certain,
}

/// A release guessed from a package name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseGuess {
    /// The release.
    pub release: Release,
    /// How sure the plugin is.
    pub confidence: Confidence,
    /// One line for the operator.
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn release_ids_are_parsed_from_the_last_dash() {
        let cases = [
            ("fedora-40", Some(("fedora", "40"))),
            ("opensuse-leap-15.6", Some(("opensuse-leap", "15.6"))),
            ("fedora-rawhide", Some(("fedora", "rawhide"))),
            ("fedora", None),
            ("-40", None),
            ("fedora-", None),
            ("Fedora-40", None),
            ("fed ora-40", None),
            ("fedora-4/0", None),
        ];
        for (input, want) in cases {
            let got = input.parse::<ReleaseId>().ok();
            let got = got.as_ref().map(|id| (id.distro.as_str(), id.version.as_str()));
            assert_eq!(got, want, "input: {input:?}");
        }
    }

    #[test]
    fn names_over_the_limit_are_refused() {
        assert!("a".repeat(64).parse::<DistroId>().is_ok());
        assert!("a".repeat(65).parse::<DistroId>().is_err());
    }
}

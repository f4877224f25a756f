//! What the index of a repository was filled from.

use std::{fmt, str::FromStr};

use retrace_types::{RepositorySpec, Sha256};

use crate::checksum;

/// Grows when the same metadata would give another index than before.
const INDEX_VERSION: &str = "1";

/// Identity of the metadata behind an index, kept with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Revision {
    /// When the metadata was made, in seconds since 1970; 0 where it does not tell.
    pub(crate) made_at: i64,
    /// Digest of its top file.
    pub(crate) top: Sha256,
    /// Digest of everything else that decides what is indexed and trusted.
    pub(crate) settings: Sha256,
    /// Fingerprint of the key that signed it; none if that was not wanted.
    pub(crate) fingerprint: Option<String>,
}

impl Revision {
    /// Digest of the part of a description that an index depends on: another layout, policy or set of keys wants
    /// the metadata read again.
    pub(crate) fn settings_of(spec: &RepositorySpec, keys_armored: &str) -> Sha256 {
        let RepositorySpec { layout, signatures, .. } = spec;
        checksum::sha256(format!("{INDEX_VERSION} {layout:?} {signatures:?} {keys_armored}").as_bytes())
    }

    /// True if an index made from `self` need not be made again from metadata with this top file.
    pub(crate) fn covers(&self, top: &Sha256, settings: &Sha256) -> bool {
        self.top == *top && self.settings == *settings
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { made_at, top, settings, fingerprint } = self;
        write!(f, "{made_at} {top} {settings} {}", fingerprint.as_deref().unwrap_or("-"))
    }
}

impl FromStr for Revision {
    type Err = ();

    fn from_str(s: &str) -> Result<Self, ()> {
        let mut parts = s.split(' ');
        let mut next = || parts.next().ok_or(());
        let revision = Self {
            made_at: next()?.parse().map_err(|_| ())?,
            top: next()?.parse().map_err(|_| ())?,
            settings: next()?.parse().map_err(|_| ())?,
            fingerprint: Some(next()?).filter(|text| *text != "-").map(str::to_owned),
        };
        if parts.next().is_some() { Err(()) } else { Ok(revision) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_read_back() {
        for fingerprint in [None, Some("AB12".to_owned())] {
            let (top, settings) = (checksum::sha256(b"top"), checksum::sha256(b"settings"));
            let revision = Revision { made_at: 17, top, settings, fingerprint };
            assert_eq!(revision.to_string().parse(), Ok(revision));
        }
        assert!("".parse::<Revision>().is_err());
    }
}

//! Checksums as repository metadata gives them, computed while data passes.

use std::fmt;

use retrace_types::Sha256;
use sha2::{Digest as _, Sha256 as Sha256Hasher, Sha512 as Sha512Hasher};

use crate::MetadataError;

/// A checksum that can be relied upon. MD5 and SHA-1 cannot: collisions are cheap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Checksum {
    Sha256(Sha256),
    Sha512([u8; 64]),
}

impl Checksum {
    /// The checksum `text` of the kind that rpm-md calls `kind`.
    pub(crate) fn parse(kind: &str, text: &str) -> Result<Self, MetadataError> {
        let invalid = || MetadataError::Invalid { what: "checksum", value: text.chars().take(140).collect() };
        match kind {
            "sha256" => text.parse().map(Self::Sha256).map_err(|_| invalid()),
            "sha512" => {
                let mut bytes = [0; 64];
                hex::decode_to_slice(text, &mut bytes).map_err(|_| invalid())?;
                Ok(Self::Sha512(bytes))
            }
            _ => Err(MetadataError::WeakChecksum(kind.chars().take(40).collect())),
        }
    }

    pub(crate) fn sha256(&self) -> Option<Sha256> {
        match self {
            Self::Sha256(sha256) => Some(*sha256),
            Self::Sha512(_) => None,
        }
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sha256(sha256) => sha256.fmt(f),
            Self::Sha512(bytes) => f.write_str(&hex::encode(bytes)),
        }
    }
}

/// Computes SHA-256 always, since it names what is kept, and SHA-512 where that is what was announced.
#[derive(Clone)]
pub(crate) struct Digester {
    sha256: Sha256Hasher,
    sha512: Option<Sha512Hasher>,
}

impl Digester {
    pub(crate) fn for_checksum(expected: Option<&Checksum>) -> Self {
        let sha512 = matches!(expected, Some(Checksum::Sha512(_))).then(Sha512Hasher::new);
        Self { sha256: Sha256Hasher::new(), sha512 }
    }

    pub(crate) fn update(&mut self, data: &[u8]) {
        self.sha256.update(data);
        if let Some(sha512) = &mut self.sha512 {
            sha512.update(data);
        }
    }

    /// The SHA-256, and the checksum of the announced kind.
    pub(crate) fn finish(self) -> (Sha256, Checksum) {
        let sha256 = Sha256::from_bytes(self.sha256.finalize().into());
        let checksum = match self.sha512 {
            Some(sha512) => Checksum::Sha512(sha512.finalize().into()),
            None => Checksum::Sha256(sha256),
        };
        (sha256, checksum)
    }
}

/// SHA-256 of bytes in memory.
pub(crate) fn sha256(data: &[u8]) -> Sha256 {
    Sha256::from_bytes(Sha256Hasher::digest(data).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_strong_checksums_are_accepted() {
        let sha512 = "ab".repeat(64);
        for (kind, text, valid) in [
            ("sha256", "ab".repeat(32), true),
            ("sha512", sha512.clone(), true),
            ("sha512", "ab".repeat(32), false),
            ("sha256", "zz".repeat(32), false),
            ("sha", "ab".repeat(20), false),
            ("md5", "ab".repeat(16), false),
        ] {
            assert_eq!(Checksum::parse(kind, &text).is_ok(), valid, "{kind} {text}");
        }
        assert_eq!(Checksum::parse("sha512", &sha512).unwrap().to_string(), sha512);
    }
}

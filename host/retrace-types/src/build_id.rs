use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// ELF build-id in lower-case hex: the link between a mapped file in a coredump and the package that ships it.
///
/// 3 to 64 bytes as in elfutils; 20 (SHA-1) in practice. Source: the note `NT_GNU_BUILD_ID` of the GNU ELF ABI.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BuildId(String);

/// The text or the bytes are no build-id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid build-id {0:?}: want 6 to 128 hex digits, an even number of them")]
pub struct InvalidBuildId(String);

impl BuildId {
    /// Fewest bytes accepted.
    pub const MIN_BYTES: usize = 3;
    /// Most bytes accepted.
    pub const MAX_BYTES: usize = 64;

    /// The build-id with these bytes, as the ELF note holds them.
    ///
    /// # Errors
    /// [`InvalidBuildId`] for fewer than 3 or more than 64 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidBuildId> {
        let digit = |nibble: u8| char::from(if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 });
        let mut hex = String::with_capacity(bytes.len().min(Self::MAX_BYTES + 1) * 2);
        for byte in bytes.iter().take(Self::MAX_BYTES + 1) {
            hex.push(digit(byte >> 4));
            hex.push(digit(byte & 0xf));
        }
        if (Self::MIN_BYTES..=Self::MAX_BYTES).contains(&bytes.len()) {
            Ok(Self(hex))
        } else {
            Err(InvalidBuildId(hex))
        }
    }

    /// The bytes, as the ELF note holds them.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let digit = |b: u8| if b.is_ascii_digit() { b - b'0' } else { b - b'a' + 10 };
        let pairs = self.0.as_bytes().chunks_exact(2);
        pairs.map(|pair| pair.iter().fold(0, |byte, b| byte << 4 | digit(*b))).collect()
    }

    /// Lower-case hex.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// First byte and the rest, in hex: the two parts of the path `.build-id/xx/yyyy…` that gdb, rpm and
    /// debhelper use.
    #[must_use]
    pub fn split(&self) -> (&str, &str) {
        self.0.split_at(2)
    }
}

impl FromStr for BuildId {
    type Err = InvalidBuildId;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let is_hex = s.bytes().all(|b| b.is_ascii_hexdigit());
        let length = Self::MIN_BYTES * 2..=Self::MAX_BYTES * 2;
        if !is_hex || !s.len().is_multiple_of(2) || !length.contains(&s.len()) {
            return Err(InvalidBuildId(s.chars().take(140).collect()));
        }
        Ok(Self(s.to_ascii_lowercase()))
    }
}

impl TryFrom<String> for BuildId {
    type Error = InvalidBuildId;

    fn try_from(s: String) -> Result<Self, Self::Error> {
        s.parse()
    }
}

impl From<BuildId> for String {
    fn from(id: BuildId) -> Self {
        id.0
    }
}

impl fmt::Display for BuildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn parsing_accepts_whole_bytes_of_hex_and_lowers_the_case() {
        let cases = [
            ("AB12CD", Some("ab12cd")),
            ("ab12c", None),
            ("ab12", None),
            ("", None),
            ("zz12cd", None),
            ("ab 12cd", None),
        ];
        for (input, want) in cases {
            let got = input.parse::<BuildId>().ok().map(|id| id.to_string());
            assert_eq!(got.as_deref(), want, "input: {input:?}");
        }
        assert!("a".repeat(128).parse::<BuildId>().is_ok());
        assert!("a".repeat(130).parse::<BuildId>().is_err());
    }

    #[test]
    fn split_gives_the_parts_of_the_build_id_path() {
        let id: BuildId = "ab12cd".parse().unwrap();
        assert_eq!(id.split(), ("ab", "12cd"));
    }

    proptest! {
        #[test]
        fn bytes_survive_the_round_trip(bytes in proptest::collection::vec(any::<u8>(), 3..=64)) {
            prop_assert_eq!(BuildId::from_bytes(&bytes).unwrap().to_bytes(), bytes);
        }

        #[test]
        fn any_text_is_parsed_or_refused(text in ".*") {
            if let Ok(id) = text.parse::<BuildId>() {
                prop_assert_eq!(id.as_str(), text.to_ascii_lowercase());
            }
        }
    }
}

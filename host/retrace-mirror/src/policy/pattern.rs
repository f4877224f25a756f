use std::fmt;

use serde::{Deserialize, Serialize};

/// Most bytes of a pattern.
const MAX_BYTES: usize = 256;

/// A name with `*` for any text and `?` for any character. Upper and lower case count.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern(String);

/// The text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid pattern {0:?}: want 1 to 256 bytes without blanks, such as `kernel*`")]
pub struct InvalidPattern(String);

impl Pattern {
    /// Whether it fits the whole text. Takes at most the product of both lengths.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let (pattern, text): (Vec<char>, Vec<char>) = (self.0.chars().collect(), text.chars().collect());
        let (mut p, mut t) = (0, 0);
        // Where the last `*` stands, and how far the text was when it was met.
        let mut star = None;
        while t < text.len() {
            match pattern.get(p) {
                Some('*') => {
                    star = Some((p, t));
                    p += 1;
                }
                Some(c) if *c == '?' || text.get(t) == Some(c) => (p, t) = (p + 1, t + 1),
                // The last `*` takes one more.
                _ => match star {
                    Some((at, taken)) => {
                        (p, t) = (at + 1, taken + 1);
                        star = Some((at, taken + 1));
                    }
                    None => return false,
                },
            }
        }
        pattern.iter().skip(p).all(|c| *c == '*')
    }
}

impl TryFrom<String> for Pattern {
    type Error = InvalidPattern;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let valid =
            (1..=MAX_BYTES).contains(&text.len()) && !text.contains(|c: char| c.is_whitespace() || c.is_control());
        if valid { Ok(Self(text)) } else { Err(InvalidPattern(text.chars().take(80).collect())) }
    }
}

impl std::str::FromStr for Pattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.to_owned().try_into()
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.0
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns_fit_whole_names() {
        for (pattern, text, want) in [
            ("bash", "bash", true),
            ("bash", "bash-doc", false),
            ("bash*", "bash-doc", true),
            ("*-debuginfo", "glibc-debuginfo", true),
            ("*", "", true),
            ("lib?", "libc", true),
            ("lib?", "lib", false),
            ("a*b*c", "axxbyybc", true),
            ("a*b*c", "axxbyyb", false),
        ] {
            assert_eq!(pattern.parse::<Pattern>().unwrap().matches(text), want, "{pattern} {text}");
        }
        for invalid in ["", "a b", "a\n", &"x".repeat(257)] {
            assert!(invalid.parse::<Pattern>().is_err(), "{invalid:?}");
        }
    }

    /// The definition, without any care for time.
    fn matches_slowly(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), None) => matches_slowly(rest, text),
            (Some((b'*', rest)), Some((_, behind))) => matches_slowly(rest, text) || matches_slowly(pattern, behind),
            (Some((p, rest)), Some((t, behind))) => (*p == b'?' || p == t) && matches_slowly(rest, behind),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn it_fits_what_the_definition_says(pattern in "[ab?*]{1,7}", text in "[ab]{0,8}") {
            let got = pattern.parse::<Pattern>().unwrap().matches(&text);
            prop_assert_eq!(got, matches_slowly(pattern.as_bytes(), text.as_bytes()));
        }
    }
}

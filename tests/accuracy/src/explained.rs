//! Explanations of disagreements: who is right, and why.
//!
//! `explained.toml` is a list of `[[explained]]` with `right` (`gdb`, `native`, `both`, `neither`), `why`, `evidence`,
//! and patterns: `kind`, `case`, `function`, `gdb`, `native`. A pattern that is left out fits everything; `*` in one stands
//! for any text. The first explanation that fits a disagreement is its own.

use std::fmt;

use serde::Deserialize;

use crate::compare::{Disagreement, Kind};

/// Why some disagreements are there.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Explanation {
    pub(crate) right: Right,
    /// What happens, in one sentence.
    pub(crate) why: String,
    /// How anybody can see that it is so.
    pub(crate) evidence: String,
    kind: Option<Kind>,
    case: Option<String>,
    function: Option<String>,
    gdb: Option<String>,
    native: Option<String>,
    /// Disagreements that this explains.
    #[serde(skip)]
    pub(crate) count: u64,
}

/// Who is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Right {
    Gdb,
    Native,
    Both,
    Neither,
}

impl fmt::Display for Right {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Gdb => "gdb",
            Self::Native => "native",
            Self::Both => "both",
            Self::Neither => "neither",
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    explained: Vec<Explanation>,
}

/// Reads explained.toml.
pub(crate) fn parse(text: &str) -> Result<Vec<Explanation>, toml::de::Error> {
    Ok(toml::from_str::<Document>(text)?.explained)
}

/// Gives each disagreement the first explanation that fits.
pub(crate) fn assign(explanations: &mut [Explanation], disagreements: &mut [Disagreement]) {
    for found in disagreements {
        let fitting = explanations.iter_mut().enumerate().find(|(_, explanation)| explanation.fits(found));
        if let Some((index, explanation)) = fitting {
            found.explanation = Some(index);
            explanation.count += found.count;
        }
    }
}

/// Frames that the engine claims to know, and that are wrong or nobody has judged.
pub(crate) fn silently_wrong(explanations: &[Explanation], disagreements: &[Disagreement]) -> u64 {
    let about_frame =
        |kind| matches!(kind, Kind::FrameExtra | Kind::InlineChain | Kind::Function | Kind::File | Kind::Line);
    let is_wrong = |found: &&Disagreement| {
        let right = found.explanation.and_then(|index| explanations.get(index)).map(|explanation| explanation.right);
        // A frame without a name or line says nothing, so nothing wrong either.
        let says_something = !matches!(found.native.as_str(), "??" | "-");
        found.claimed
            && says_something
            && about_frame(found.kind)
            && !matches!(right, Some(Right::Native | Right::Both))
    };
    disagreements.iter().filter(is_wrong).map(|found| found.count).sum()
}

impl Explanation {
    fn fits(&self, found: &Disagreement) -> bool {
        let fits =
            |pattern: &Option<String>, text: &str| pattern.as_deref().is_none_or(|pattern| matches(pattern, text));
        self.kind.is_none_or(|kind| kind == found.kind)
            && fits(&self.case, &found.case)
            && fits(&self.function, &found.function)
            && fits(&self.gdb, &found.gdb)
            && fits(&self.native, &found.native)
    }
}

/// True if the text is the pattern, in which `*` stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(head) else { return false };
    let mut pieces: Vec<&str> = rest.split('*').collect();
    let last = pieces.pop().unwrap_or_default();
    for piece in pieces {
        match text.split_once(piece) {
            Some((_, after)) => text = after,
            None => return false,
        }
    }
    text.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let cases = [
            ("abc", "abc", true),
            ("abc", "abcd", false),
            ("a*c", "abc", true),
            ("a*c", "ac", true),
            ("a*c", "ab", false),
            ("*", "", true),
            ("*b*", "abc", true),
            ("*b*b*", "abc", false),
            ("aa*aa", "aaa", false),
        ];
        for (pattern, text, want) in cases {
            assert_eq!(matches(pattern, text), want, "{pattern} {text}");
        }
    }

    #[test]
    fn a_wrong_frame_that_is_claimed_is_silently_wrong_until_it_is_judged_right() {
        let mut found = vec![Disagreement {
            case: "c".into(),
            kind: Kind::Function,
            function: "f".into(),
            gdb: "f".into(),
            native: "g".into(),
            claimed: true,
            tid: 1,
            frame: 0,
            count: 3,
            explanation: None,
        }];
        assert_eq!(silently_wrong(&[], &found), 3);
        for (right, want) in [("gdb", 3), ("neither", 3), ("native", 0), ("both", 0)] {
            let text = format!(
                "[[explained]]\nright = '{right}'\nwhy = 'w'\nevidence = 'e'\nkind = 'function'\nnative = 'g'\n"
            );
            let mut explanations = parse(&text).unwrap();
            assign(&mut explanations, &mut found);
            assert_eq!(silently_wrong(&explanations, &found), want, "{right}");
            assert_eq!(explanations[0].count, 3);
        }
        found[0].claimed = false;
        assert_eq!(silently_wrong(&[], &found), 0);
    }
}

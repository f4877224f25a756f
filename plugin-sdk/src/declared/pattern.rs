//! Patterns and templates.

use alloc::string::String;

/// Whether the whole text fits the pattern: `*` is any text, letters of ASCII are the same in upper and lower case.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let (mut pattern, mut text) = (pattern.as_bytes(), text.as_bytes());
    // Where to go on when what follows the last `*` does not fit: the star takes one byte more.
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        match (pattern, text) {
            ([b'*', rest @ ..], _) => {
                retry = Some((rest, text));
                pattern = rest;
            }
            ([], []) => return true,
            ([want, pattern_rest @ ..], [have, text_rest @ ..]) if want.eq_ignore_ascii_case(have) => {
                (pattern, text) = (pattern_rest, text_rest);
            }
            _ => match retry {
                Some((after_star, [_, longer @ ..])) => {
                    retry = Some((after_star, longer));
                    (pattern, text) = (after_star, longer);
                }
                _ => return false,
            },
        }
    }
}

/// Replaces the variables that have a value; others stay as they are.
pub(super) fn expand<'a>(template: &str, value: impl Fn(&str) -> Option<&'a str>) -> String {
    let mut parts = template.split('$');
    let mut expanded = String::from(parts.next().unwrap_or_default());
    for part in parts {
        let end = part.find(|c: char| !c.is_ascii_uppercase()).unwrap_or(part.len());
        let (name, rest) = part.split_at_checked(end).unwrap_or((part, ""));
        match value(name) {
            Some(value) => expanded.push_str(value),
            None => {
                expanded.push('$');
                expanded.push_str(name);
            }
        }
        expanded.push_str(rest);
    }
    expanded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_text() {
        let cases = [
            ("rawhide", "Rawhide", true),
            ("rawhide", "rawhide2", false),
            ("", "", true),
            ("", "x", false),
            ("*", "", true),
            ("*/sid", "Debian GNU/Linux forky/sid", true),
            ("*/sid", "forky/side", false),
            ("*.fc*.x86_64", "6.8.5-301.fc40.x86_64", true),
            ("*.fc*.x86_64", "6.8.5-301.fc40.aarch64", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("*ab", "aab", true),
            ("ä*", "äö", true),
        ];
        for (pattern, text, want) in cases {
            assert_eq!(matches(pattern, text), want, "pattern: {pattern:?}, text: {text:?}");
        }
    }

    #[test]
    fn variables_without_a_value_stay() {
        let value = |name: &str| (name == "VER").then_some("40");
        let cases = [("a/$VER/$ARCH/", "a/40/$ARCH/"), ("$VERu", "40u"), ("$", "$"), ("$VER$VER", "4040"), ("", "")];
        for (template, want) in cases {
            assert_eq!(expand(template, value), want, "template: {template:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_pattern_and_text_are_compared(pattern in "[a*]{0,8}", text in "[ab]{0,40}") {
            let regex = std::format!("^{}$", pattern.replace('*', ".*"));
            // The slow definition: try every place for every star.
            fn slow(pattern: &[u8], text: &[u8]) -> bool {
                match (pattern, text) {
                    ([], []) => true,
                    ([b'*', rest @ ..], _) => (0..=text.len()).any(|i| slow(rest, text.get(i..).unwrap_or_default())),
                    ([p, pattern @ ..], [t, text @ ..]) if p == t => slow(pattern, text),
                    _ => false,
                }
            }
            proptest::prop_assert_eq!(matches(&pattern, &text), slow(pattern.as_bytes(), text.as_bytes()), "{}", regex);
        }
    }
}

use alloc::{string::String, vec::Vec};

/// The assignments of an os-release(5) file.
///
/// Reads what a shell would: single and double quotes, backslash escapes, comments; of two assignments to one name the
/// last one counts. Lines that are no assignment are skipped, so damage costs one value only. Never fails, and takes
/// time in proportion to the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OsRelease {
    values: Vec<(String, String)>,
}

impl OsRelease {
    /// Reads the text of the file; line ends may be those of any system.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Self { values: text.split(['\n', '\r']).filter_map(assignment).collect() }
    }

    /// The value of a name such as `VERSION_ID`; none if it is missing or empty, which os-release(5) treats alike.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let last = self.values.iter().rev().find(|(key, _)| key == name);
        last.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// The words of a list such as `ID_LIKE`.
    pub fn words(&self, name: &str) -> impl Iterator<Item = &str> {
        self.get(name).unwrap_or_default().split_ascii_whitespace()
    }
}

fn assignment(line: &str) -> Option<(String, String)> {
    let (key, value) = line.trim().split_once('=')?;
    let is_name = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    is_name.then(|| (String::from(key), unquote(value)))
}

/// What a shell makes of the right side of an assignment. A quote that is never closed ends with the line.
fn unquote(text: &str) -> String {
    let mut value = String::new();
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            ('"' | '\'', None) => quote = Some(c),
            (_, Some(open)) if c == open => quote = None,
            ('\\', None) => value.extend(chars.next()),
            ('\\', Some('"')) => match chars.next() {
                Some(escaped @ ('"' | '$' | '\\' | '`')) => value.push(escaped),
                other => {
                    value.push('\\');
                    value.extend(other);
                }
            },
            (_, None) if c.is_whitespace() => break,
            _ => value.push(c),
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    #[test]
    fn values_are_read_as_a_shell_does() {
        let cases = [
            ("ID=fedora", Some("fedora")),
            ("ID=\"fedora\"", Some("fedora")),
            ("ID='fedora'", Some("fedora")),
            ("ID=fedora\r", Some("fedora")),
            ("  ID=fedora  ", Some("fedora")),
            ("ID=\"a b\"", Some("a b")),
            ("ID=\"a \\\"b\\\" \\$c \\n\"", Some("a \"b\" $c \\n")),
            ("ID='a \\ b'", Some("a \\ b")),
            ("ID=a\\ b", Some("a b")),
            ("ID=a\"b\"'c'", Some("abc")),
            ("ID=a # comment", Some("a")),
            ("ID=\"open", Some("open")),
            ("ID=\\", None),
            ("ID=", None),
            ("ID=\"\"", None),
            ("#ID=fedora", None),
            ("ID fedora", None),
            ("ID=one\nID=two", Some("two")),
            ("\u{feff}ID=fedora", Some("fedora")),
        ];
        for (text, want) in cases {
            assert_eq!(OsRelease::parse(text).get("ID"), want, "text: {text:?}");
        }
    }

    #[test]
    fn lists_are_split() {
        let os = OsRelease::parse("ID_LIKE=\"rhel  fedora\"");
        assert_eq!(os.words("ID_LIKE").collect::<Vec<_>>(), ["rhel", "fedora"]);
        assert_eq!(os.words("NOTHING").count(), 0);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read(text in ".*") {
            let _ = OsRelease::parse(&text).get("ID");
        }

        #[test]
        fn quoted_values_come_back(value in "[^\\n\\r\\\\\"$`\0]{1,40}") {
            let text = format!("A=1\nID=\"{value}\"\n");
            let os = OsRelease::parse(&text);
            proptest::prop_assert_eq!(os.get("ID"), Some(value.as_str()));
        }
    }
}

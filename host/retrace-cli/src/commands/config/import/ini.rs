//! The predecessor's configuration files, as Python's configparser reads them.

use anyhow::{Result, bail, ensure};

/// Largest file that is read.
pub(super) const MAX_BYTES: u64 = 1 << 20;

/// One option of one section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) section: String,
    /// As written; the case does not matter.
    pub(super) name: String,
    pub(super) value: String,
    pub(super) line: usize,
}

/// The options in a text: `[section]`, `name = value` or `name: value`, comments after `#` or `;` at the beginning of a line, values
/// that go on in indented lines. `%%` is a percent sign; a lone `%`, at which the predecessor stopped, is one too.
///
/// # Errors
/// A line that is none of these, with its number.
pub(super) fn parse(text: &str) -> Result<Vec<Entry>> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut section: Option<String> = None;
    // Whether the value of the last entry may go on.
    let mut open = false;
    for (line, text) in (1..).zip(text.lines()) {
        let trimmed = text.trim();
        if trimmed.is_empty() {
            open = false;
            continue;
        }
        if trimmed.starts_with(['#', ';']) {
            continue;
        }
        if text.starts_with([' ', '\t'])
            && open
            && let Some(entry) = entries.last_mut()
        {
            entry.value.push('\n');
            entry.value.push_str(&trimmed.replace("%%", "%"));
            continue;
        }
        if let Some(name) = trimmed.strip_prefix('[') {
            let Some((name, rest)) = name.split_once(']') else { bail!("line {line}: a section has no `]`") };
            ensure!(rest.trim().is_empty() || rest.trim().starts_with(['#', ';']), "line {line}: text after a section");
            section = Some(name.trim().to_owned());
            open = false;
            continue;
        }
        let Some(section) = &section else { bail!("line {line}: an option before the first [section]") };
        let Some((name, value)) = trimmed.split_once(['=', ':']) else {
            bail!("line {line}: want `option = value`, found {:?}", trimmed.chars().take(60).collect::<String>())
        };
        ensure!(!name.trim().is_empty(), "line {line}: an option has no name");
        entries.push(Entry {
            section: section.clone(),
            name: name.trim().to_owned(),
            value: value.trim().replace("%%", "%"),
            line,
        });
        open = true;
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_as_configparser_reads_them() {
        let text = "# comment\n[retrace]\nMaxParallelTasks = 5\nCaseNumberURL: https://x/%%d\n; comment\nList = one\n  two\n\n[a b]\nempty =\n";
        let found = parse(text).unwrap();
        let shown: Vec<_> = found
            .iter()
            .map(|entry| (entry.section.as_str(), entry.name.as_str(), entry.value.as_str(), entry.line))
            .collect();
        let want = [
            ("retrace", "MaxParallelTasks", "5", 3),
            ("retrace", "CaseNumberURL", "https://x/%d", 4),
            ("retrace", "List", "one\ntwo", 6),
            ("a b", "empty", "", 10),
        ];
        assert_eq!(shown, want);
    }

    #[test]
    fn what_is_no_configuration_is_refused_with_its_line() {
        for (text, want) in [
            ("x = 1", "line 1: an option before"),
            ("[a", "line 1: a section has no"),
            ("[a]\nwords", "line 2: want `option = value`"),
            ("[a]\n = 1", "line 2: an option has no name"),
            ("[a] b", "line 1: text after"),
        ] {
            assert!(parse(text).unwrap_err().to_string().starts_with(want), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,200}", lines in proptest::collection::vec("[ \\[\\]=:#;%a-z]{0,8}", 0..12)) {
            let _ = parse(&text);
            let _ = parse(&lines.join("\n"));
        }
    }
}

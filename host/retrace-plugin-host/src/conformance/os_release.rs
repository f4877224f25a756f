//! os-release(5) in other forms: what a shell reads from them is the same.

use proptest::prelude::*;

use super::question::Question;
use crate::bindings::exports::retrace::distro::distribution as wit;

/// The text of the question, if it is an os-release file.
pub(super) fn text(question: &Question) -> Option<&str> {
    match question {
        Question::ParseRelease(wit::ReleaseSource::OsRelease(text)) => Some(text),
        _ => None,
    }
}

/// How a file is written anew.
#[derive(Clone, Debug)]
pub(super) struct Forms {
    quote: Quote,
    crlf: bool,
    reverse: bool,
    unknown_keys: bool,
    comments: bool,
}

#[derive(Clone, Copy, Debug)]
enum Quote {
    Keep,
    Double,
    Single,
    WhereNeeded,
}

pub(super) fn forms() -> impl Strategy<Value = Forms> {
    let quote = prop_oneof![Just(Quote::Keep), Just(Quote::Double), Just(Quote::Single), Just(Quote::WhereNeeded)];
    (quote, any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(quote, crlf, reverse, unknown_keys, comments)| Forms { quote, crlf, reverse, unknown_keys, comments },
    )
}

pub(super) fn in_form(text: &str, forms: &Forms) -> String {
    let mut lines: Vec<String> = text.lines().map(|line| requote(line, forms.quote)).collect();
    // Of a key that stands twice the last one counts, so their order matters.
    if forms.reverse && !has_duplicates(text) {
        lines.reverse();
    }
    if forms.unknown_keys {
        lines.insert(0, "X_UNKNOWN_KEY=\"some thing\"".to_owned());
        lines.push("ZZ_ANOTHER=1".to_owned());
    }
    if forms.comments {
        lines.insert(0, "# a comment with ID=other in it".to_owned());
        lines.push(String::new());
    }
    let end = if forms.crlf { "\r\n" } else { "\n" };
    lines.iter().flat_map(|line| [line.as_str(), end]).collect()
}

fn has_duplicates(text: &str) -> bool {
    let mut keys: Vec<&str> = text.lines().filter_map(|line| Some(line.trim().split_once('=')?.0)).collect();
    let all = keys.len();
    keys.sort_unstable();
    keys.dedup();
    keys.len() != all
}

/// The line with its value in other quotes, if the value is plain enough to mean the same in all of them.
fn requote(line: &str, quote: Quote) -> String {
    let Some((key, value)) = line.trim().split_once('=') else { return line.to_owned() };
    let is_name = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let bare = ['"', '\''].iter().find_map(|mark| value.strip_prefix(*mark)?.strip_suffix(*mark)).unwrap_or(value);
    let is_plain = bare.chars().all(|c| !c.is_control() && !"\"'\\$`#".contains(c));
    if !is_name || !is_plain {
        return line.to_owned();
    }
    let word = bare.bytes().all(|b| b.is_ascii_alphanumeric() || b"._:/-+".contains(&b));
    match quote {
        Quote::Keep => line.to_owned(),
        Quote::Double => format!("{key}=\"{bare}\""),
        Quote::Single => format!("{key}='{bare}'"),
        Quote::WhereNeeded if word => format!("{key}={bare}"),
        Quote::WhereNeeded => format!("{key}=\"{bare}\""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_written_in_another_form() {
        let forms = Forms { quote: Quote::Single, crlf: true, reverse: true, unknown_keys: false, comments: false };
        assert_eq!(in_form("ID=acme\nNAME=\"Acme Linux\"\n", &forms), "NAME='Acme Linux'\r\nID='acme'\r\n");
        assert_eq!(requote("A=\"b$c\"", Quote::Single), "A=\"b$c\"");
        assert_eq!(requote("# text", Quote::Single), "# text");
        assert_eq!(requote("A=\"b\"", Quote::WhereNeeded), "A=b");
        assert_eq!(in_form("ID=a\nID=b\n", &forms), "ID='a'\r\nID='b'\r\n");
    }
}

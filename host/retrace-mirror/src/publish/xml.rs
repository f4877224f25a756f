//! Writing XML 1.0 from texts that may hold anything.

use std::fmt::Write as _;

/// Appends a text as the content of an element.
pub(super) fn text(out: &mut String, text: &str) {
    escape(out, text, false);
}

/// Appends ` name="value"`.
pub(super) fn attribute(out: &mut String, name: &str, value: &str) {
    out.push(' ');
    out.push_str(name);
    out.push_str("=\"");
    escape(out, value, true);
    out.push('"');
}

/// Appends `<name>text</name>` and a line end, two spaces further in than `depth` elements; `<name/>` for an empty text.
pub(super) fn element(out: &mut String, depth: usize, name: &str, value: &str) {
    out.extend(std::iter::repeat_n("  ", depth));
    if value.is_empty() {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "<{name}/>");
        return;
    }
    let _ = write!(out, "<{name}>");
    text(out, value);
    let _ = writeln!(out, "</{name}>");
}

/// What XML 1.0 cannot hold, not even as a reference, becomes U+FFFD: to leave it out would make one name of two. Line ends
/// and tabs of attributes are references, or a reader would make spaces of them; so are carriage returns everywhere.
fn escape(out: &mut String, text: &str, in_attribute: bool) {
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' if in_attribute => out.push_str("&quot;"),
            '\n' if in_attribute => out.push_str("&#10;"),
            '\t' if in_attribute => out.push_str("&#9;"),
            '\r' => out.push_str("&#13;"),
            '\n' | '\t' => out.push(character),
            '\0'..='\x1f' | '\u{fffe}' | '\u{ffff}' => out.push(char::REPLACEMENT_CHARACTER),
            _ => out.push(character),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use quick_xml::{Reader, XmlVersion, events::Event};

    use super::*;

    /// Text and attribute `a` of the only element, as a parser of others sees them.
    fn read(document: &str) -> (String, String) {
        let mut reader = Reader::from_str(document);
        let (mut text, mut value) = (String::new(), String::new());
        loop {
            match reader.read_event().unwrap() {
                Event::Start(start) => {
                    let attribute = start.try_get_attribute("a").unwrap().unwrap();
                    value = attribute.normalized_value(XmlVersion::Explicit1_0).unwrap().into_owned();
                }
                Event::Text(piece) => text.push_str(&piece.xml10_content()),
                Event::GeneralRef(reference) => match reference.resolve_char_ref().unwrap() {
                    Some(character) => text.push(character),
                    None => text.push_str(quick_xml::escape::resolve_predefined_entity(&reference).unwrap()),
                },
                Event::End(_) => return (text, value),
                event => panic!("{event:?}"),
            }
        }
    }

    fn document(value: &str) -> String {
        let mut document = String::from("<x");
        attribute(&mut document, "a", value);
        document.push('>');
        text(&mut document, value);
        document.push_str("</x>");
        document
    }

    #[test]
    fn hostile_texts_stay_texts() {
        for (value, want) in [
            ("]]><evil a=\"b\"/>", "]]><evil a=\"b\"/>"),
            ("a\x01b\0c\u{fffe}", "a\u{fffd}b\u{fffd}c\u{fffd}"),
            ("&lt;&#0;", "&lt;&#0;"),
            ("line\r\nline\ttab", "line\r\nline\ttab"),
            ("</x><!-- -->", "</x><!-- -->"),
        ] {
            assert_eq!(read(&document(value)), (want.to_owned(), want.to_owned()), "{value:?}");
        }
    }

    proptest! {
        #[test]
        fn every_text_comes_back(value in "\\PC*|[\\x00-\\x7f]{0,40}") {
            let clean = |c: char| if matches!(c, '\t' | '\n' | '\r') || c >= ' ' { c } else { '\u{fffd}' };
            let want: String = value.chars().map(clean).collect();
            let want = want.replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}");
            prop_assert_eq!(read(&document(&value)), (want.clone(), want));
        }
    }
}

//! A bounded XML reader for metadata: no document type, no entities but the five of XML, elements of limited size.

use std::{
    borrow::Cow,
    io::{self, BufRead, Read},
};

use quick_xml::{
    Reader, XmlVersion,
    escape::resolve_predefined_entity,
    events::{BytesStart, Event},
};

use crate::MetadataError;

/// Most bytes of one tag or text.
const MAX_EVENT_BYTES: u64 = 1 << 20;
/// Deepest nesting; metadata needs 6.
const MAX_DEPTH: usize = 32;

/// A part of a document. An empty element comes as its start and its end.
pub(super) enum Node<'b> {
    Start(Element<'b>),
    /// A piece of text; one text may come in many pieces.
    Text(Cow<'b, str>),
    End(&'b str),
}

/// Start of an element.
pub(super) struct Element<'b>(&'b BytesStart<'b>);

/// Reads a document and shows each node, with its nesting (1 for the root).
pub(super) fn read(
    input: impl BufRead,
    mut visit: impl FnMut(Node<'_>, usize) -> Result<(), MetadataError>,
) -> Result<(), MetadataError> {
    let mut reader = Reader::from_reader(Capped { inner: input, left: MAX_EVENT_BYTES });
    reader.config_mut().expand_empty_elements = true;
    let mut buffer = Vec::new();
    let mut depth = 0_usize;
    let mut has_root = false;
    loop {
        buffer.clear();
        reader.get_mut().left = MAX_EVENT_BYTES;
        match reader.read_event_into(&mut buffer)? {
            Event::Start(start) | Event::Empty(start) => {
                depth += 1;
                has_root = true;
                if depth > MAX_DEPTH {
                    return Err(MetadataError::Limit { what: "levels of elements", limit: MAX_DEPTH as u64 });
                }
                visit(Node::Start(Element(&start)), depth)?;
            }
            Event::End(end) => {
                visit(Node::End(end.local_name().into_inner()), depth)?;
                depth = depth.saturating_sub(1);
            }
            Event::Text(text) => visit(Node::Text(text.xml10_content()), depth)?,
            Event::CData(text) => visit(Node::Text(text.xml10_content()), depth)?,
            Event::GeneralRef(reference) => {
                let piece = match reference.resolve_char_ref()? {
                    Some(character) => Cow::Owned(character.to_string()),
                    None => Cow::Borrowed(resolve_predefined_entity(&reference).ok_or(MetadataError::Entity)?),
                };
                visit(Node::Text(piece), depth)?;
            }
            Event::DocType(_) => return Err(MetadataError::Entity),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
            // An end tag that is not there: the file was cut.
            Event::Eof if depth > 0 || !has_root => return Err(MetadataError::Missing("the end of the document")),
            Event::Eof => return Ok(()),
        }
    }
}

impl Element<'_> {
    /// Name without its prefix.
    pub(super) fn name(&self) -> &str {
        self.0.local_name().into_inner()
    }

    /// Value of an attribute; `name` has no prefix.
    pub(super) fn attribute(&self, name: &str) -> Result<Option<Cow<'_, str>>, MetadataError> {
        self.attributes([name]).map(|[value]| value)
    }

    /// Values of attributes, in one pass.
    pub(super) fn attributes<const N: usize>(
        &self,
        names: [&str; N],
    ) -> Result<[Option<Cow<'_, str>>; N], MetadataError> {
        let mut values = [const { None }; N];
        for attribute in self.0.attributes() {
            let attribute = attribute.map_err(quick_xml::Error::from)?;
            let key = attribute.key.into_inner();
            for (value, name) in values.iter_mut().zip(names) {
                if key == name {
                    *value = Some(attribute.normalized_value(XmlVersion::Implicit1_0)?);
                }
            }
        }
        Ok(values)
    }

    /// Value of an attribute that must be there.
    pub(super) fn required(&self, name: &'static str) -> Result<Cow<'_, str>, MetadataError> {
        self.attribute(name)?.ok_or(MetadataError::Missing(name))
    }
}

/// Ends in an error when one event has too many bytes.
struct Capped<R> {
    inner: R,
    left: u64,
}

impl<R: BufRead> Read for Capped<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let length = {
            let mut available = self.fill_buf()?;
            available.read(buf)?
        };
        self.consume(length);
        Ok(length)
    }
}

impl<R: BufRead> BufRead for Capped<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.left == 0 {
            return Err(io::Error::other("one tag or text has more than 1 MiB"));
        }
        let available = self.inner.fill_buf()?;
        let length = usize::try_from(self.left).map_or(available.len(), |left| left.min(available.len()));
        Ok(available.get(..length).unwrap_or(available))
    }

    fn consume(&mut self, amount: usize) {
        self.left = self.left.saturating_sub(amount as u64);
        self.inner.consume(amount);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(xml: &[u8]) -> Result<String, MetadataError> {
        let mut all = String::new();
        read(xml, |node, _| {
            if let Node::Text(text) = node {
                all.push_str(&text);
            }
            Ok(())
        })?;
        Ok(all)
    }

    #[test]
    fn only_what_metadata_needs_is_accepted() {
        assert_eq!(texts(b"<a>x &amp; &#65;<b/>y</a>").unwrap(), "x & Ay");
        let bomb = br#"<!DOCTYPE a [<!ENTITY x "xxxx"><!ENTITY y "&x;&x;">]><a>&y;</a>"#;
        assert!(matches!(texts(bomb), Err(MetadataError::Entity)));
        assert!(matches!(texts(b"<a>&unknown;</a>"), Err(MetadataError::Entity)));
        for broken in ["", "<a>", "<a></b>", "<a", "no xml", "<a>\u{0}"] {
            assert!(texts(broken.as_bytes()).is_err(), "document: {broken:?}");
        }
        assert!(texts("<a>".repeat(100).as_bytes()).is_err(), "nesting");
        let huge = format!("<a b='{}'/>", "x".repeat(3 << 20));
        assert!(texts(huge.as_bytes()).is_err(), "huge tag");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = texts(&bytes);
        }
    }
}

//! Paragraphs of control files, read one by one within limits.

use std::io::BufRead;

use deb822_fast::borrowed::{BorrowedParagraph, BorrowedParser};

use crate::{MetadataError, unpack::read_line};

/// Longest line, in bytes; the `Build-Ids` of a kernel are 200 KB.
const MAX_LINE_BYTES: usize = 16 << 20;
/// Largest paragraph, in bytes.
const MAX_PARAGRAPH_BYTES: usize = 32 << 20;

/// Shows each paragraph to `visit`.
pub(super) fn read(
    input: &mut dyn BufRead,
    mut visit: impl FnMut(&BorrowedParagraph<'_>) -> Result<(), MetadataError>,
) -> Result<(), MetadataError> {
    let (mut line, mut paragraph) = (Vec::new(), Vec::new());
    let (mut lines, mut start) = (0_u64, 1_u64);
    loop {
        let more = read_line(input, &mut line, MAX_LINE_BYTES)?;
        lines += 1;
        let ends = !more || line.iter().all(u8::is_ascii_whitespace);
        if !ends {
            if paragraph.len().saturating_add(line.len()) > MAX_PARAGRAPH_BYTES {
                let limit = MAX_PARAGRAPH_BYTES as u64;
                return Err(MetadataError::Limit { what: "bytes in one paragraph", limit });
            }
            paragraph.extend_from_slice(&line);
            paragraph.push(b'\n');
            continue;
        }
        if !paragraph.is_empty() {
            let text = std::str::from_utf8(&paragraph).map_err(|_| MetadataError::NotUtf8)?;
            let parsed = BorrowedParser::new(text).parse_all().map_err(|_| MetadataError::Deb822 { line: start })?;
            for paragraph in &parsed {
                visit(paragraph)?;
            }
            paragraph.clear();
        }
        start = lines + 1;
        if !more {
            return Ok(());
        }
    }
}

/// Value of a field of one line.
pub(super) fn single<'a>(paragraph: &BorrowedParagraph<'a>, field: &str) -> Option<&'a str> {
    paragraph.get_single(field).map(str::trim).filter(|value| !value.is_empty())
}

/// Value of a field of one line that must be there.
pub(super) fn required<'a>(paragraph: &BorrowedParagraph<'a>, field: &'static str) -> Result<&'a str, MetadataError> {
    single(paragraph, field).ok_or(MetadataError::Missing(field))
}

/// Words of a field that may be folded over lines.
pub(super) fn words<'a>(paragraph: &BorrowedParagraph<'a>, field: &str) -> Vec<&'a str> {
    let lines = paragraph.get(field).unwrap_or_default();
    lines.iter().flat_map(|line| line.split_ascii_whitespace()).collect()
}

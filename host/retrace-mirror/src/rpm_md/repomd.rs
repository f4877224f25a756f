//! `repodata/repomd.xml`: the list of the repository's metadata files.

use std::{borrow::Cow, io::BufRead};

use crate::{
    MetadataError,
    checksum::Checksum,
    rpm_md::xml::{self, Node},
};

/// Most files that are listed.
const MAX_FILES: usize = 1000;

/// The files that matter here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Repomd {
    pub(crate) primary: DataFile,
    /// Not every repository has file lists; without them binaries have no build-ids in the index.
    pub(crate) filelists: Option<DataFile>,
    /// Of the files that matter, those that are there as zchunk, too: `primary`.
    pub(crate) zchunk: Vec<String>,
    /// When the newest of the files was made, in seconds since 1970; 0 where none tells.
    pub(crate) made_at: i64,
}

/// One metadata file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DataFile {
    /// Path below the repository's base, as it stands in the file.
    pub(crate) location: String,
    pub(crate) checksum: Checksum,
    pub(crate) size_bytes: Option<u64>,
    /// Size after decompression.
    pub(crate) open_size_bytes: Option<u64>,
}

#[derive(Default)]
struct Entry {
    kind: String,
    location: Option<String>,
    checksum: Option<Checksum>,
    size: Option<u64>,
    open_size: Option<u64>,
}

impl Repomd {
    pub(crate) fn parse(input: impl BufRead) -> Result<Self, MetadataError> {
        let (mut primary, mut filelists, mut made_at) = (None, None, 0);
        let mut zchunk = Vec::new();
        let mut entry = Entry::default();
        let (mut text, mut checksum_kind) = (String::new(), String::new());
        let mut files = 0_usize;
        xml::read(input, |node, depth| {
            match node {
                Node::Start(element) if depth == 1 && element.name() != "repomd" => {
                    return Err(MetadataError::Missing("the element repomd"));
                }
                Node::Start(element) if depth == 2 && element.name() == "data" => {
                    entry = Entry { kind: element.required("type")?.into_owned(), ..Entry::default() };
                }
                Node::Start(element) if depth == 3 => {
                    text.clear();
                    match element.name() {
                        "location" => entry.location = element.attribute("href")?.map(Cow::into_owned),
                        "checksum" => checksum_kind = element.required("type")?.into_owned(),
                        _ => {}
                    }
                }
                Node::Text(piece) if depth == 3 => push(&mut text, &piece)?,
                Node::End(name) if depth == 3 => match name {
                    // Other files may have weaker checksums; they are not read.
                    "checksum" if is_read(&entry.kind) => {
                        entry.checksum = Some(Checksum::parse(&checksum_kind, text.trim())?);
                    }
                    "size" => entry.size = Some(number(&text)?),
                    "open-size" => entry.open_size = Some(number(&text)?),
                    "timestamp" => {
                        // Some tools write a fraction.
                        let seconds = text.trim().split('.').next().unwrap_or_default().parse().unwrap_or(0);
                        made_at = i64::max(made_at, seconds);
                    }
                    _ => {}
                },
                Node::End("data") if depth == 2 => {
                    files += 1;
                    if files > MAX_FILES {
                        return Err(MetadataError::Limit { what: "files", limit: MAX_FILES as u64 });
                    }
                    let entry = std::mem::take(&mut entry);
                    match entry.kind.as_str() {
                        "primary" => primary = Some(entry.finish()?),
                        "filelists" => filelists = Some(entry.finish()?),
                        kind => {
                            let read = kind.strip_suffix("_zck").filter(|kind| is_read(kind));
                            zchunk.extend(read.map(str::to_owned));
                        }
                    }
                }
                _ => {}
            }
            Ok(())
        })?;
        let missing =
            if zchunk.is_empty() { "the entry primary" } else { "the entry primary (zchunk alone is not read)" };
        Ok(Self { primary: primary.ok_or(MetadataError::Missing(missing))?, filelists, zchunk, made_at })
    }
}

impl Entry {
    fn finish(self) -> Result<DataFile, MetadataError> {
        Ok(DataFile {
            location: self.location.ok_or(MetadataError::Missing("location"))?,
            checksum: self.checksum.ok_or(MetadataError::Missing("checksum"))?,
            size_bytes: self.size,
            open_size_bytes: self.open_size,
        })
    }
}

fn is_read(kind: &str) -> bool {
    matches!(kind, "primary" | "filelists")
}

/// Collects the pieces of a short text.
pub(super) fn push(text: &mut String, piece: &str) -> Result<(), MetadataError> {
    const MAX_TEXT_BYTES: usize = 64 * 1024;
    if text.len().saturating_add(piece.len()) > MAX_TEXT_BYTES {
        return Err(MetadataError::Limit { what: "bytes of text in one element", limit: MAX_TEXT_BYTES as u64 });
    }
    text.push_str(piece);
    Ok(())
}

pub(super) fn number(text: &str) -> Result<u64, MetadataError> {
    let invalid = |_| MetadataError::Invalid { what: "number", value: text.chars().take(40).collect() };
    text.trim().parse().map_err(invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(kind: &str, checksum: &str) -> String {
        format!(
            r#"<data type="{kind}"><checksum type="{checksum}">{}</checksum><location href="repodata/{kind}.xml.gz"/>
               <timestamp>1700000000.5</timestamp><size>10</size><open-size>20</open-size></data>"#,
            "ab".repeat(32)
        )
    }

    fn parse(body: &str) -> Result<Repomd, MetadataError> {
        Repomd::parse(format!(r#"<?xml version="1.0"?><repomd xmlns="x">{body}</repomd>"#).as_bytes())
    }

    #[test]
    fn the_files_that_matter_are_found() {
        let found = parse(&[data("other_db", "md5"), data("primary", "sha256"), data("filelists", "sha256")].concat());
        let found = found.unwrap();
        assert_eq!(found.primary.location, "repodata/primary.xml.gz");
        assert_eq!((found.primary.size_bytes, found.primary.open_size_bytes), (Some(10), Some(20)));
        assert!(found.filelists.is_some());
        assert_eq!(found.made_at, 1_700_000_000);
        assert!(found.zchunk.is_empty());
    }

    #[test]
    fn zchunk_is_noted_and_never_needed() {
        let both = [data("primary", "sha256"), data("primary_zck", "sha256"), data("other_zck", "md5")].concat();
        assert_eq!(parse(&both).unwrap().zchunk, ["primary"]);
        let error = parse(&data("primary_zck", "sha256")).unwrap_err().to_string();
        assert!(error.contains("zchunk"), "{error}");
    }

    #[test]
    fn weak_checksums_and_missing_parts_are_refused() {
        assert!(matches!(parse(&data("primary", "sha")), Err(MetadataError::WeakChecksum(_))));
        assert!(matches!(parse(""), Err(MetadataError::Missing(_))));
        assert!(matches!(parse(r#"<data type="primary"/>"#), Err(MetadataError::Missing(_))));
        assert!(Repomd::parse(&b"<html></html>"[..]).is_err());
    }
}

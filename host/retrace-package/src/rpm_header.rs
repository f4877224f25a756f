//! The headers of an RPM package: what stands in front of the payload.
//!
//! A package is the lead (96 bytes, magic `edabeedb`), the signature header, padding to eight bytes, the header, and the
//! payload. Each header is: magic `8eade801`, four zero bytes, the number of index entries and the bytes of data (both
//! big endian, 32 bits), then the entries of 16 bytes (tag, type, offset, count), then the data.
//! Source: "RPM V4/V6 Package format" of the RPM reference manual.

use std::{collections::HashMap, io::Read};

use crate::{
    Limits,
    archive::{LinkGroup, NameBudget, exactly},
    error::Fault,
    links::absolute_path,
};

pub(crate) const LEAD_MAGIC: [u8; 4] = [0xed, 0xab, 0xee, 0xdb];
const LEAD_BYTES: u64 = 96;
const HEADER_MAGIC: [u8; 8] = [0x8e, 0xad, 0xe8, 0x01, 0, 0, 0, 0];
const INTRO_BYTES: usize = 16;
const ENTRY_BYTES: usize = 16;

/// Tags of the header. Source: the same manual, "Package Tags".
pub(crate) mod tag {
    pub(crate) const NAME: u32 = 1000;
    pub(crate) const VERSION: u32 = 1001;
    pub(crate) const RELEASE: u32 = 1002;
    pub(crate) const EPOCH: u32 = 1003;
    pub(crate) const SUMMARY: u32 = 1004;
    pub(crate) const DESCRIPTION: u32 = 1005;
    pub(crate) const BUILD_TIME: u32 = 1006;
    pub(crate) const BUILD_HOST: u32 = 1007;
    pub(crate) const SIZE: u32 = 1009;
    pub(crate) const VENDOR: u32 = 1011;
    pub(crate) const LICENSE: u32 = 1014;
    pub(crate) const PACKAGER: u32 = 1015;
    pub(crate) const GROUP: u32 = 1016;
    pub(crate) const URL: u32 = 1020;
    pub(crate) const ARCH: u32 = 1022;
    pub(crate) const OLD_FILE_NAMES: u32 = 1027;
    pub(crate) const FILE_SIZES: u32 = 1028;
    pub(crate) const FILE_MODES: u32 = 1030;
    pub(crate) const FILE_LINK_TOS: u32 = 1036;
    pub(crate) const FILE_FLAGS: u32 = 1037;
    pub(crate) const SOURCE_RPM: u32 = 1044;
    pub(crate) const ARCHIVE_SIZE: u32 = 1046;
    pub(crate) const PROVIDE_NAME: u32 = 1047;
    pub(crate) const REQUIRE_FLAGS: u32 = 1048;
    pub(crate) const REQUIRE_NAME: u32 = 1049;
    pub(crate) const REQUIRE_VERSION: u32 = 1050;
    pub(crate) const CONFLICT_FLAGS: u32 = 1053;
    pub(crate) const CONFLICT_NAME: u32 = 1054;
    pub(crate) const CONFLICT_VERSION: u32 = 1055;
    pub(crate) const CHANGELOG_TIME: u32 = 1080;
    pub(crate) const CHANGELOG_NAME: u32 = 1081;
    pub(crate) const CHANGELOG_TEXT: u32 = 1082;
    pub(crate) const OBSOLETE_NAME: u32 = 1090;
    pub(crate) const FILE_DEVICES: u32 = 1095;
    pub(crate) const FILE_INODES: u32 = 1096;
    pub(crate) const PROVIDE_FLAGS: u32 = 1112;
    pub(crate) const PROVIDE_VERSION: u32 = 1113;
    pub(crate) const OBSOLETE_FLAGS: u32 = 1114;
    pub(crate) const OBSOLETE_VERSION: u32 = 1115;
    pub(crate) const DIR_INDEXES: u32 = 1116;
    pub(crate) const BASE_NAMES: u32 = 1117;
    pub(crate) const DIR_NAMES: u32 = 1118;
    pub(crate) const PAYLOAD_COMPRESSOR: u32 = 1125;
    pub(crate) const LONG_ARCHIVE_SIZE: u32 = 271;
    pub(crate) const LONG_FILE_SIZES: u32 = 5008;
    pub(crate) const LONG_SIZE: u32 = 5009;
    pub(crate) const RECOMMEND_NAME: u32 = 5046;
    pub(crate) const RECOMMEND_VERSION: u32 = 5047;
    pub(crate) const RECOMMEND_FLAGS: u32 = 5048;
    pub(crate) const SUGGEST_NAME: u32 = 5049;
    pub(crate) const SUGGEST_VERSION: u32 = 5050;
    pub(crate) const SUGGEST_FLAGS: u32 = 5051;
    pub(crate) const SUPPLEMENT_NAME: u32 = 5052;
    pub(crate) const SUPPLEMENT_VERSION: u32 = 5053;
    pub(crate) const SUPPLEMENT_FLAGS: u32 = 5054;
    pub(crate) const ENHANCE_NAME: u32 = 5055;
    pub(crate) const ENHANCE_VERSION: u32 = 5056;
    pub(crate) const ENHANCE_FLAGS: u32 = 5057;
    pub(crate) const PAYLOAD_DIGEST: u32 = 5092;
    pub(crate) const PAYLOAD_DIGEST_ALGORITHM: u32 = 5093;

    /// Tags of the signature header, a number space of its own.
    pub(crate) mod signature {
        /// DSA or EdDSA signature of the header.
        pub(crate) const DSA_HEADER: u32 = 267;
        /// RSA signature of the header.
        pub(crate) const RSA_HEADER: u32 = 268;
        pub(crate) const SHA256_HEADER: u32 = 273;
        /// Signatures of the header in base64, any number and any algorithm.
        pub(crate) const OPENPGP: u32 = 278;
        /// Bytes of the payload after decompression, where 32 bits do not hold them.
        pub(crate) const LONG_PAYLOAD_SIZE: u32 = 271;
        /// RSA signature of header and payload.
        pub(crate) const PGP: u32 = 1002;
        /// DSA or EdDSA signature of header and payload.
        pub(crate) const GPG: u32 = 1005;
        /// Bytes of the payload after decompression.
        pub(crate) const PAYLOAD_SIZE: u32 = 1007;
    }
}

/// Types of index entries.
mod kind {
    pub(super) const INT16: u32 = 3;
    pub(super) const INT32: u32 = 4;
    pub(super) const INT64: u32 = 5;
    pub(super) const STRING: u32 = 6;
    pub(super) const BIN: u32 = 7;
    pub(super) const STRING_ARRAY: u32 = 8;
    pub(super) const I18N_STRING: u32 = 9;
}

/// Everything in front of the payload.
pub(crate) struct Headers {
    pub(crate) signature: HeaderBlob,
    pub(crate) main: HeaderBlob,
    /// Where the main header starts in the file.
    pub(crate) main_offset: u64,
}

impl Headers {
    /// Reads lead and both headers; `input` is left at the first byte of the payload.
    pub(crate) fn read(input: &mut dyn Read, limits: &Limits) -> Result<Self, Fault> {
        let lead = exactly(input, LEAD_BYTES)?;
        if !lead.starts_with(&LEAD_MAGIC) {
            return Err(Fault::malformed("it has no RPM lead"));
        }
        let signature = HeaderBlob::read(input, "signature header", limits)?;
        let length = signature.bytes.len() as u64;
        let padded = length.next_multiple_of(8);
        exactly(input, padded - length)?;
        let main = HeaderBlob::read(input, "header", limits)?;
        Ok(Self { signature, main, main_offset: LEAD_BYTES + padded })
    }
}

/// One header, as it lies in the file.
pub(crate) struct HeaderBlob {
    /// All of it, the magic included: what a header signature covers.
    pub(crate) bytes: Vec<u8>,
    entries: Vec<IndexEntry>,
    data_start: usize,
}

#[derive(Clone, Copy)]
struct IndexEntry {
    tag: u32,
    kind: u32,
    offset: usize,
    count: usize,
}

impl HeaderBlob {
    fn read(input: &mut dyn Read, what: &'static str, limits: &Limits) -> Result<Self, Fault> {
        let mut bytes = exactly(input, INTRO_BYTES as u64)?;
        if !bytes.starts_with(&HEADER_MAGIC) {
            return Err(Fault::malformed(format!("its {what} does not start with the magic")));
        }
        let count = u64::from(u32_at(&bytes, 8));
        let data_bytes = u64::from(u32_at(&bytes, 12));
        let rest = count * ENTRY_BYTES as u64 + data_bytes;
        if rest > limits.header_bytes {
            return Err(Fault::Limit { what: "a header with bytes", limit: limits.header_bytes });
        }
        bytes.append(&mut exactly(input, rest)?);
        let index_bytes = usize::try_from(count).unwrap_or(usize::MAX).saturating_mul(ENTRY_BYTES);
        let data_start = index_bytes.saturating_add(INTRO_BYTES);
        let index = bytes.get(INTRO_BYTES..data_start).unwrap_or_default();
        let entries = index.chunks_exact(ENTRY_BYTES).map(|entry| IndexEntry {
            tag: u32_at(entry, 0),
            kind: u32_at(entry, 4),
            offset: u32_at(entry, 8) as usize,
            count: u32_at(entry, 12) as usize,
        });
        Ok(Self { entries: entries.collect(), bytes, data_start })
    }

    /// The entry with this tag, and the data from its first byte to the header's end.
    fn find(&self, tag: u32) -> Option<(IndexEntry, &[u8])> {
        let entry = *self.entries.iter().find(|entry| entry.tag == tag)?;
        let data = self.bytes.get(self.data_start..)?.get(entry.offset..)?;
        Some((entry, data))
    }

    /// The strings of a tag; none if the tag is absent or of another type.
    pub(crate) fn strings(&self, tag: u32) -> impl Iterator<Item = &[u8]> {
        let found = self.find(tag).and_then(|(entry, data)| match entry.kind {
            kind::STRING => Some((1, data)),
            kind::STRING_ARRAY | kind::I18N_STRING => Some((entry.count, data)),
            _ => None,
        });
        let (count, data) = found.unwrap_or_default();
        // A string without its NUL runs out of the header and is dropped.
        data.split_inclusive(|byte| *byte == 0).map_while(|string| string.strip_suffix(&[0])).take(count)
    }

    /// The first string of a tag, if it is UTF-8.
    pub(crate) fn string(&self, tag: u32) -> Option<&str> {
        std::str::from_utf8(self.strings(tag).next()?).ok()
    }

    /// The integers of a tag, of whatever width; none if the tag is absent or of another type.
    pub(crate) fn integers(&self, tag: u32) -> Vec<u64> {
        let Some((entry, data)) = self.find(tag) else { return Vec::new() };
        let width = match entry.kind {
            kind::INT16 => 2,
            kind::INT32 => 4,
            kind::INT64 => 8,
            _ => return Vec::new(),
        };
        let number = |bytes: &[u8]| bytes.iter().fold(0, |n, byte| n << 8 | u64::from(*byte));
        data.chunks_exact(width).take(entry.count).map(number).collect()
    }

    /// The bytes of a binary tag.
    pub(crate) fn binary(&self, tag: u32) -> Option<&[u8]> {
        let (entry, data) = self.find(tag)?;
        (entry.kind == kind::BIN).then(|| data.get(..entry.count)).flatten()
    }
}

/// A file as the header describes it.
#[derive(Clone, Debug)]
pub(crate) struct FileInfo {
    pub(crate) path: String,
    pub(crate) mode: u16,
    pub(crate) link_target: Option<String>,
    /// Bytes of data that a stripped payload holds for it: 0 for all but the last file of a link group.
    pub(crate) stored_size: u64,
    pub(crate) group: Option<LinkGroup>,
}

/// The files of a package, in the header's order.
#[derive(Clone, Debug, Default)]
pub(crate) struct FileTable(Vec<FileInfo>);

impl FileTable {
    pub(crate) fn get(&self, index: usize) -> Option<&FileInfo> {
        self.0.get(index)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &FileInfo> {
        self.0.iter()
    }

    /// Source packages name their files relative to nowhere: they come out as `/name.spec`.
    pub(crate) fn read(header: &HeaderBlob, limits: &Limits) -> Result<Self, Fault> {
        let paths = paths(header, limits)?;
        let modes = header.integers(tag::FILE_MODES);
        let long_sizes = header.integers(tag::LONG_FILE_SIZES);
        let sizes = if long_sizes.is_empty() { header.integers(tag::FILE_SIZES) } else { long_sizes };
        let devices = header.integers(tag::FILE_DEVICES);
        let inodes = header.integers(tag::FILE_INODES);
        let mut targets = header.strings(tag::FILE_LINK_TOS);
        let mut budget = NameBudget::new(limits);
        let mut files = Vec::new();
        for (i, path) in paths.into_iter().enumerate() {
            let target = targets.next().filter(|target| !target.is_empty());
            if target.is_some_and(|target| target.len() > limits.path_bytes) {
                return Err(Fault::Limit { what: "a link target with bytes", limit: limits.path_bytes as u64 });
            }
            let link_target = target.map(|target| String::from_utf8_lossy(target).into_owned());
            budget.take(&[&path, link_target.as_deref().unwrap_or_default()])?;
            let mode = modes.get(i).and_then(|mode| u16::try_from(*mode).ok()).unwrap_or_default();
            let device = devices.get(i).copied().unwrap_or_default();
            let group = inodes.get(i).map(|inode| LinkGroup { device, inode: *inode });
            let stored_size = sizes.get(i).copied().unwrap_or_default();
            files.push(FileInfo { path, mode, link_target, stored_size, group });
        }
        settle_link_groups(&mut files);
        Ok(Self(files))
    }
}

/// Drops the groups of single files, and the sizes of all but the last file of the others.
fn settle_link_groups(files: &mut [FileInfo]) {
    const TYPE_MASK: u16 = 0o170_000;
    const REGULAR: u16 = 0o100_000;
    let mut members: HashMap<LinkGroup, (usize, usize)> = HashMap::new();
    for (i, file) in files.iter_mut().enumerate() {
        file.group = file.group.filter(|_| file.mode & TYPE_MASK == REGULAR);
        if let Some(group) = file.group {
            let (count, last) = members.entry(group).or_default();
            (*count, *last) = (*count + 1, i);
        }
    }
    for (i, file) in files.iter_mut().enumerate() {
        match file.group.and_then(|group| members.get(&group)) {
            Some((1, _)) | None => file.group = None,
            Some((_, last)) if *last != i => file.stored_size = 0,
            Some(_) => {}
        }
    }
}

/// Absolute paths of all files: folder and base name, or whole names in packages made before rpm 4.
fn paths(header: &HeaderBlob, limits: &Limits) -> Result<Vec<String>, Fault> {
    let folders: Vec<&[u8]> = header.strings(tag::DIR_NAMES).collect();
    let indexes = header.integers(tag::DIR_INDEXES);
    let mut budget = NameBudget::new(limits);
    let mut paths = Vec::new();
    let mut push = |name: &[u8]| {
        let path = absolute_path(name, limits)?;
        budget.take(&[&path])?;
        paths.push(path);
        if paths.len() as u64 > limits.entries {
            return Err(Fault::Limit { what: "members", limit: limits.entries });
        }
        Ok(())
    };
    for (i, base) in header.strings(tag::BASE_NAMES).enumerate() {
        let folder = indexes
            .get(i)
            .and_then(|index| folders.get(usize::try_from(*index).ok()?))
            .ok_or_else(|| Fault::malformed("a file of the header has no folder"))?;
        if folder.len() > limits.path_bytes {
            return Err(Fault::Limit { what: "a path with bytes", limit: limits.path_bytes as u64 });
        }
        push(&[*folder, base].concat())?;
    }
    // Packages have either kind of names, never both.
    for name in header.strings(tag::OLD_FILE_NAMES) {
        push(name)?;
    }
    Ok(paths)
}

fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    let field = bytes.get(offset..offset + 4).unwrap_or_default();
    field.iter().fold(0, |n, byte| n << 8 | u32::from(*byte))
}

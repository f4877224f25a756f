//! Unpacks an uploaded archive: only the files that a task has, as plain files, within limits.

use std::{
    fs::File,
    io::{self, BufReader, Read, Seek as _, SeekFrom, Write as _},
    path::Path,
};

use axum::http::StatusCode;
use flate2::bufread::MultiGzDecoder;
use liblzma::{bufread::XzDecoder, stream::Stream};
use tar::{Archive, EntryType, PaxExtensions};

const MIB: u64 = 1024 * 1024;

/// Most members; a task has at most nine.
const MAX_MEMBERS: usize = 64;

/// Largest pax header that is read; those that are harmless have some hundred bytes.
const MAX_PAX_BYTES: u64 = 64 * 1024;

/// Memory for the dictionary of an xz stream: enough for `xz -9`.
const XZ_MEMORY_BYTES: u64 = 128 * MIB;

/// Bytes copied at once; a block of zeros becomes a hole.
const BLOCK_BYTES: usize = 64 * 1024;

/// Files that an archive may hold, and their largest size in bytes; none: as large as the whole may be.
/// Source: the predecessor's table of allowed files.
const ALLOWED: [(&str, Option<u64>); 9] = [
    ("coredump", None),
    ("executable", Some(512)),
    ("package", Some(128)),
    ("packages", Some(MIB)),
    ("os_release", Some(128)),
    ("os_release_in_rootdir", Some(128)),
    ("rootdir", Some(256)),
    ("release", Some(128)),
    ("vmcore", None),
];

/// Suffixes of snapshots that a file of a kernel dump may carry.
const SNAPSHOT_SUFFIXES: [&str; 3] = [".vmss", ".vmsn", ".vmem"];

/// An archive type that `/create` takes, by its `Content-Type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Xz,
    Gzip,
    Tar,
}

impl Format {
    /// In the order of `/settings`.
    pub(crate) const ALL: [Self; 3] = [Self::Xz, Self::Gzip, Self::Tar];

    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Xz => "application/x-xz-compressed-tar",
            Self::Gzip => "application/x-gzip",
            Self::Tar => "application/x-tar",
        }
    }
}

/// What an archive may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ArchiveLimits {
    /// Largest sum of the members' sizes.
    pub(crate) max_unpacked_bytes: u64,
    /// Bytes that the disk can take; holes count, since a later copy may fill them.
    pub(crate) free_bytes: u64,
}

/// Why an archive is refused.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It cannot be read to its end.
    #[error("Unable to unpack the archive: it is damaged or not of the type that Content-Type names")]
    Damaged(#[source] io::Error),
    /// Its members are larger than allowed.
    #[error("Specified archive's content is too large: the limit is {limit_mib} MiB")]
    TooLarge {
        /// The limit.
        limit_mib: u64,
    },
    /// Its members would fill the disk.
    #[error("There is not enough free space on the server")]
    NoSpace,
    /// It has too many members.
    #[error("The archive has too many members")]
    TooManyMembers,
    /// A member is a link, a folder or a device.
    #[error("Only plain files are allowed to be in the archive: {0}")]
    NotAFile(String),
    /// A member has a name that no task file has, or one twice.
    #[error("File \"{0}\" is not allowed to be in the archive")]
    NotAllowed(String),
    /// A member is larger than its kind may be.
    #[error("File \"{0}\" is larger than expected")]
    MemberTooLarge(String),
    /// The archive needs more of the format than a task needs.
    #[error("The archive uses a feature of tar that is not supported ({0}): pack it with tar --format=gnu, not sparse")]
    Unsupported(String),
    /// The member cannot be written.
    #[error("Internal server error")]
    Write(#[source] io::Error),
}

impl ArchiveError {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Damaged(_) | Self::Write(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NoSpace => StatusCode::INSUFFICIENT_STORAGE,
            Self::Unsupported(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooManyMembers | Self::NotAFile(_) | Self::NotAllowed(_) | Self::MemberTooLarge(_) => {
                StatusCode::FORBIDDEN
            }
        }
    }
}

/// Unpacks `archive` into the folder `dir`, which exists and is empty, and makes sure that everything is on disk. Blocking.
///
/// # Errors
/// [`ArchiveError`]; what was written until then is the caller's to remove.
pub(crate) fn unpack(archive: &Path, format: Format, dir: &Path, limits: ArchiveLimits) -> Result<(), ArchiveError> {
    let file = BufReader::with_capacity(BLOCK_BYTES, File::open(archive).map_err(ArchiveError::Write)?);
    match format {
        Format::Tar => unpack_tar(file, dir, limits),
        Format::Gzip => unpack_tar(MultiGzDecoder::new(file), dir, limits),
        Format::Xz => {
            let stream = Stream::new_stream_decoder(XZ_MEMORY_BYTES, liblzma::stream::CONCATENATED)
                .map_err(|error| ArchiveError::Damaged(error.into()))?;
            unpack_tar(XzDecoder::new_stream(file, stream), dir, limits)
        }
    }?;
    sync_folder(dir).map_err(ArchiveError::Write)
}

/// Makes sure that the names in a folder are on disk.
pub(crate) fn sync_folder(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

fn unpack_tar(reader: impl Read, dir: &Path, limits: ArchiveLimits) -> Result<(), ArchiveError> {
    let budget = limits.max_unpacked_bytes.min(limits.free_bytes);
    let too_large = || {
        if limits.free_bytes < limits.max_unpacked_bytes {
            ArchiveError::NoSpace
        } else {
            ArchiveError::TooLarge { limit_mib: limits.max_unpacked_bytes / MIB }
        }
    };
    // Headers and padding come on top of the members; whatever the archive claims, no more than this is decompressed.
    let reader = reader.take(budget.saturating_add(MIB));
    let mut archive = Archive::new(reader);
    let mut left = budget;
    // Raw: the library would read headers of any length into memory, to apply what they say.
    let entries = archive.entries().map_err(ArchiveError::Damaged)?.raw(true);
    for (count, entry) in entries.enumerate() {
        let mut entry = entry.map_err(|error| damaged_or_cut(error, left, &too_large))?;
        if count >= MAX_MEMBERS {
            return Err(ArchiveError::TooManyMembers);
        }
        let path = entry.path_bytes().into_owned();
        let shown = printable(&path);
        let name = std::str::from_utf8(&path).unwrap_or_default();
        let name = name.strip_prefix("./").unwrap_or(name);
        match entry.header().entry_type() {
            EntryType::Directory if name.trim_matches(['.', '/']).is_empty() => continue,
            EntryType::XHeader | EntryType::XGlobalHeader => {
                check_pax_header(&mut entry)?;
                continue;
            }
            EntryType::GNULongName => return Err(ArchiveError::NotAllowed("a long name".to_owned())),
            EntryType::GNUSparse => return Err(ArchiveError::Unsupported("sparse files".to_owned())),
            EntryType::Regular | EntryType::Continuous => {}
            _ => return Err(ArchiveError::NotAFile(shown)),
        }
        let Some(max_bytes) = allowed_size(name) else { return Err(ArchiveError::NotAllowed(shown)) };
        let size = entry.size();
        if max_bytes.is_some_and(|max| size > max) {
            return Err(ArchiveError::MemberTooLarge(shown));
        }
        left = left.checked_sub(size).ok_or_else(&too_large)?;
        write_member(&mut entry, &dir.join(name), size).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => ArchiveError::NotAllowed(shown),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ArchiveError::NoSpace,
            io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
                ArchiveError::Damaged(error)
            }
            _ => ArchiveError::Write(error),
        })?;
    }
    // Behind the last member: a stream that was cut, or whose checksum is wrong, says so only at its end.
    let mut rest = archive.into_inner();
    io::copy(&mut rest, &mut io::sink()).map_err(ArchiveError::Damaged)?;
    if rest.limit() == 0 { Err(too_large()) } else { Ok(()) }
}

/// A stream that ends at our own bound is too large, not damaged.
fn damaged_or_cut(error: io::Error, left: u64, too_large: &impl Fn() -> ArchiveError) -> ArchiveError {
    if left == 0 { too_large() } else { ArchiveError::Damaged(error) }
}

/// A name as an answer may show it: short, and without the `%` that an old client would print as a format.
fn printable(path: &[u8]) -> String {
    String::from_utf8_lossy(path).chars().filter(|c| !c.is_control() && *c != '%').take(80).collect()
}

/// Some programs write times or attributes in pax headers, which nobody needs. Those that would change which bytes are
/// whose are refused, rather than read in another way than the sender meant.
fn check_pax_header(header: &mut impl Read) -> Result<(), ArchiveError> {
    const CHANGING: [&str; 4] = ["path", "linkpath", "size", "GNU.sparse."];
    let mut content = Vec::new();
    header.take(MAX_PAX_BYTES + 1).read_to_end(&mut content).map_err(ArchiveError::Damaged)?;
    if content.len() as u64 > MAX_PAX_BYTES {
        return Err(ArchiveError::Unsupported("a large pax header".to_owned()));
    }
    for record in PaxExtensions::new(&content) {
        let key = record.map_err(ArchiveError::Damaged)?.key_bytes().to_owned();
        if CHANGING.iter().any(|changing| key.starts_with(changing.as_bytes())) {
            return Err(ArchiveError::Unsupported(format!("pax {}", printable(&key))));
        }
    }
    Ok(())
}

/// The largest size of a file of this name; the outer none: there is no such file.
fn allowed_size(name: &str) -> Option<Option<u64>> {
    let plain = SNAPSHOT_SUFFIXES.iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name);
    ALLOWED.iter().find(|(allowed, _)| *allowed == plain).map(|(_, max_bytes)| *max_bytes)
}

fn write_member(member: &mut impl Read, path: &Path, size: u64) -> io::Result<()> {
    let mut file = File::options().write(true).create_new(true).open(path)?;
    let mut block = vec![0; BLOCK_BYTES];
    let mut written = 0;
    while written < size {
        let wanted = usize::try_from(size - written).unwrap_or(BLOCK_BYTES).min(BLOCK_BYTES);
        let Some(chunk) = block.get_mut(..wanted) else { break };
        member.read_exact(chunk)?;
        if chunk.iter().all(|byte| *byte == 0) {
            file.seek(SeekFrom::Current(i64::try_from(wanted).unwrap_or_default()))?;
        } else {
            file.write_all(chunk)?;
        }
        written += wanted as u64;
    }
    file.set_len(size)?;
    file.sync_all()
}

#[cfg(test)]
mod tests;

//! Unpacks an uploaded archive: only the files that a task has, as plain files, within limits.

mod external;
mod from_rar;
mod from_tar;
mod members;

use std::{
    fs::File,
    io::{self, BufReader},
    path::Path,
};

use axum::http::StatusCode;
use flate2::bufread::MultiGzDecoder;
use liblzma::{bufread::XzDecoder, stream::Stream};

pub(crate) use external::only_file;
use members::{BLOCK_BYTES, Members};

const MIB: u64 = 1024 * 1024;

/// Memory for the dictionary of a decompressor: enough for `xz -9` and `zstd --ultra -22`.
const DICTIONARY_BYTES: u64 = 128 * MIB;

/// An archive type that `/create` takes, by its `Content-Type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Xz,
    Gzip,
    Tar,
    Rar,
    Zstd,
}

impl Format {
    /// In the order of `/settings`: the predecessor's four, then ours.
    pub(crate) const ALL: [Self; 5] = [Self::Xz, Self::Gzip, Self::Tar, Self::Rar, Self::Zstd];

    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Xz => "application/x-xz-compressed-tar",
            Self::Gzip => "application/x-gzip",
            Self::Tar => "application/x-tar",
            Self::Rar => "application/x-rar-compressed",
            Self::Zstd => "application/zstd",
        }
    }

    /// Whether a file of this format begins so. Sources: file formats of xz 1.2, RFC 1952, RFC 8878, the RAR technote, and
    /// POSIX `ustar`, which GNU tar writes with a blank for the zero.
    pub(crate) fn begins(self, file: &[u8]) -> bool {
        match self {
            Self::Xz => file.starts_with(b"\xfd7zXZ\0"),
            Self::Gzip => file.starts_with(b"\x1f\x8b"),
            Self::Tar => file.get(257..).is_some_and(|magic| magic.starts_with(b"ustar")),
            Self::Rar => file.starts_with(from_rar::MAGIC),
            Self::Zstd => file.starts_with(b"\x28\xb5\x2f\xfd"),
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
    #[error("The archive uses a feature that is not supported ({0}): pack it with tar --format=gnu, not sparse")]
    Unsupported(String),
    /// The member cannot be written.
    #[error("Internal server error")]
    Write(#[source] io::Error),
}

impl ArchiveError {
    /// The archive is not to blame.
    pub(crate) fn is_ours(&self) -> bool {
        matches!(self, Self::Write(_))
    }

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
    let mut members = Members::new(dir, limits);
    let file =
        || File::open(archive).map(|file| BufReader::with_capacity(BLOCK_BYTES, file)).map_err(ArchiveError::Write);
    match format {
        Format::Tar => from_tar::unpack(file()?, &mut members),
        Format::Gzip => from_tar::unpack(MultiGzDecoder::new(file()?), &mut members),
        Format::Xz => {
            let stream = Stream::new_stream_decoder(DICTIONARY_BYTES, liblzma::stream::CONCATENATED)
                .map_err(|error| ArchiveError::Damaged(error.into()))?;
            from_tar::unpack(XzDecoder::new_stream(file()?, stream), &mut members)
        }
        Format::Zstd => {
            let mut decoder = zstd::Decoder::with_buffer(file()?).map_err(ArchiveError::Damaged)?;
            decoder.window_log_max(DICTIONARY_BYTES.ilog2()).map_err(ArchiveError::Damaged)?;
            from_tar::unpack(decoder, &mut members)
        }
        Format::Rar => from_rar::unpack(archive, &mut members),
    }?;
    sync_folder(dir).map_err(ArchiveError::Write)
}

/// Makes sure that the names in a folder are on disk.
pub(crate) fn sync_folder(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// A name as an answer may show it: short, and without the `%` that an old client would print as a format.
fn printable(path: &[u8]) -> String {
    String::from_utf8_lossy(path).chars().filter(|c| !c.is_control() && *c != '%').take(80).collect()
}

#[cfg(test)]
mod tests;

//! What of an archive comes into a task's folder: known names, plain files, within limits.

use std::{
    fs::File,
    io::{self, Seek as _, SeekFrom, Write},
    path::{Path, PathBuf},
};

use super::{ArchiveError, ArchiveLimits, MIB, printable};

/// Most members; a task has at most nine.
pub(super) const MAX_MEMBERS: usize = 64;

/// Bytes copied at once; a block of zeros becomes a hole.
pub(super) const BLOCK_BYTES: usize = 64 * 1024;

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

/// The files of one archive on their way into a folder.
#[derive(Debug)]
pub(super) struct Members<'a> {
    dir: &'a Path,
    limits: ArchiveLimits,
    left: u64,
    seen: usize,
}

impl<'a> Members<'a> {
    pub(super) fn new(dir: &'a Path, limits: ArchiveLimits) -> Self {
        Self { dir, limits, left: limits.max_unpacked_bytes.min(limits.free_bytes), seen: 0 }
    }

    /// Bytes that further members may have.
    pub(super) fn left(&self) -> u64 {
        self.left
    }

    /// Why there is no more room.
    pub(super) fn too_large(&self) -> ArchiveError {
        if self.limits.free_bytes < self.limits.max_unpacked_bytes {
            ArchiveError::NoSpace
        } else {
            ArchiveError::TooLarge { limit_mib: self.limits.max_unpacked_bytes / MIB }
        }
    }

    /// One more entry of the archive, whatever it is.
    pub(super) fn count(&mut self) -> Result<(), ArchiveError> {
        self.seen += 1;
        if self.seen > MAX_MEMBERS { Err(ArchiveError::TooManyMembers) } else { Ok(()) }
    }

    /// Where a plain file of this name and size goes.
    pub(super) fn admit(&mut self, path: &[u8], size: u64) -> Result<PathBuf, ArchiveError> {
        let name = std::str::from_utf8(path).unwrap_or_default();
        let name = name.strip_prefix("./").unwrap_or(name);
        let max_bytes = allowed_size(name).ok_or_else(|| ArchiveError::NotAllowed(printable(path)))?;
        if max_bytes.is_some_and(|max| size > max) {
            return Err(ArchiveError::MemberTooLarge(printable(path)));
        }
        self.left = self.left.checked_sub(size).ok_or_else(|| self.too_large())?;
        Ok(self.dir.join(name))
    }
}

/// The largest size of a file of this name; the outer none: there is no such file.
fn allowed_size(name: &str) -> Option<Option<u64>> {
    let plain = SNAPSHOT_SUFFIXES.iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name);
    ALLOWED.iter().find(|(allowed, _)| *allowed == plain).map(|(_, max_bytes)| *max_bytes)
}

/// What failed while a member was read and written.
pub(super) fn member_error(error: io::Error, path: &[u8]) -> ArchiveError {
    match error.kind() {
        io::ErrorKind::AlreadyExists => ArchiveError::NotAllowed(printable(path)),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ArchiveError::NoSpace,
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
            ArchiveError::Damaged(error)
        }
        _ => ArchiveError::Write(error),
    }
}

/// A new file in which what is written as zeros becomes a hole. It is whole after [`finish`].
#[derive(Debug)]
pub(super) struct SparseFile(File);

impl SparseFile {
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        File::options().write(true).create_new(true).open(path).map(Self)
    }
}

impl Write for SparseFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.iter().any(|byte| *byte != 0) {
            return self.0.write(bytes);
        }
        self.0.seek(SeekFrom::Current(i64::try_from(bytes.len()).map_err(io::Error::other)?))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Gives a file the holes at its end, and makes sure that it is on disk.
pub(super) fn finish(path: &Path, size: u64) -> io::Result<()> {
    let file = File::options().write(true).open(path)?;
    file.set_len(size)?;
    file.sync_all()
}

//! Files in memory without a copy.
//!
//! Debug information has hundreds of megabytes, of which a backtrace needs some kilobytes here and there: reading all of it
//! costs more time than everything else, and as much memory. This crate holds the one `unsafe` block of the project.
//!
//! What has to hold, and why it does: the bytes of a mapped file must not change, and it must not become shorter, while it is
//! mapped. [`MappedFile`] is for files that are written once under another name and then renamed, as those of
//! `retrace_package::FileCache`, and for those that a package manager replaces in the same way. If someone truncates such a file
//! all the same, the kernel ends the process (`SIGBUS`); a task that was worked on is then tried again by another one.

use std::{fs::File, io, ops::Deref, path::Path};

use memmap2::Mmap;

/// The bytes of a file.
#[derive(Debug)]
pub struct MappedFile(Option<Mmap>);

impl MappedFile {
    /// Maps a regular file; an empty one has no bytes.
    ///
    /// # Errors
    /// It is no regular file, or the system cannot map it.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let facts = file.metadata()?;
        if !facts.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        if facts.len() == 0 {
            return Ok(Self(None));
        }
        #[expect(unsafe_code, reason = "what this crate is for")]
        // SAFETY: files that are given here are replaced by renaming and never written in place (see above); the map is
        // read-only and private, so that nothing is written through it.
        let map = unsafe { Mmap::map(&file) }?;
        Ok(Self(Some(map)))
    }
}

impl Deref for MappedFile {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.as_deref().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_is_its_bytes_also_when_another_took_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let (path, new) = (dir.path().join("file"), dir.path().join("new"));
        fs::write(&path, b"bytes").unwrap();
        let map = MappedFile::open(&path).unwrap();
        fs::write(&new, b"others").unwrap();
        fs::rename(&new, &path).unwrap();
        assert_eq!(&*map, b"bytes");
    }

    #[test]
    fn an_empty_file_has_no_bytes_and_a_folder_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("empty");
        fs::write(&path, b"").unwrap();
        assert_eq!(&*MappedFile::open(&path).unwrap(), b"");
        assert!(MappedFile::open(dir.path()).is_err());
        assert!(MappedFile::open(Path::new("/dev/zero")).is_err());
    }
}

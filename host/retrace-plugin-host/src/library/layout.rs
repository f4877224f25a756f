//! Names in the library's folder, and reading and writing its small files.

use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use retrace_types::{DistroId, Sha256};
use rustix::fs::OFlags;

use super::{Library, LibraryError};

pub(crate) const WASM: &str = "plugin.wasm";
pub(crate) const SIGNATURE: &str = "plugin.wasm.asc";
pub(crate) const METADATA: &str = "plugin.toml";
pub(crate) const RECORD: &str = "install.toml";
pub(crate) const CURRENT: &str = "current";
pub(crate) const DISABLED: &str = "disabled";
pub(crate) const RELOAD: &str = "reload";
pub(crate) const LOCK: &str = "plugins.lock";
pub(crate) const LOCK_FILE: &str = ".lock";
pub(crate) const STAGING: &str = ".staging-";

/// Bytes of a text file of the library that are read.
pub(crate) const MAX_TEXT_BYTES: u64 = 64 << 10;
/// Plugins that are looked at, and versions of each.
pub(crate) const MAX_ENTRIES: usize = 1_000;
/// Digits of the digest in the name of a folder.
const DIGEST_DIGITS: usize = 12;
/// Bytes of a folder's name.
const MAX_NAME_BYTES: usize = 128;

/// Name of the folder of one version: `1.2.0`, or `1.2.0@3f2a9c0d81be` where that number was taken by other bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VersionFolder(String);

impl VersionFolder {
    /// The usual name for a version. None for a version that cannot be a folder's name.
    #[must_use]
    pub fn plain(version: &str) -> Option<Self> {
        Self::parse(version)
    }

    /// The name for a version whose number was taken by other bytes.
    #[must_use]
    pub fn with_digest(version: &str, sha256: Sha256) -> Option<Self> {
        let digits: String = sha256.to_string().chars().take(DIGEST_DIGITS).collect();
        Self::parse(&format!("{version}@{digits}"))
    }

    /// The same name with a number behind it, where even that one is taken.
    pub(crate) fn numbered(&self, number: usize) -> Option<Self> {
        Self::parse(&format!("{self}-{number}"))
    }

    /// A name as it stands in `current` or on the command line. None unless it is a letter or digit followed by letters,
    /// digits and `._+~@-`, at most 128 bytes: such a name cannot leave its folder.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let mut bytes = name.bytes();
        let good = bytes.next().is_some_and(|byte| byte.is_ascii_alphanumeric())
            && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"._+~@-".contains(&byte))
            && name.len() <= MAX_NAME_BYTES;
        good.then(|| Self(name.to_owned()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for VersionFolder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Library {
    pub(crate) fn plugin_dir(&self, id: &DistroId) -> PathBuf {
        self.dir.join(id.as_str())
    }

    pub(crate) fn version_dir(&self, id: &DistroId, folder: &VersionFolder) -> PathBuf {
        self.plugin_dir(id).join(folder.as_str())
    }

    /// Checks that nobody else can write here. False if there is no such folder yet.
    pub(crate) fn check_owner(&self) -> Result<bool, LibraryError> {
        let metadata = match fs::metadata(&self.dir) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(source) => return Err(LibraryError::io(&self.dir)(source)),
        };
        check_owner(&self.dir, &metadata)?;
        Ok(true)
    }
}

/// Checks that nobody but this user and root can write to a file or folder.
pub(crate) fn check_owner(path: &Path, metadata: &fs::Metadata) -> Result<(), LibraryError> {
    let not_safe = |why| Err(LibraryError::Unsafe { path: path.to_owned(), why });
    let user = rustix::process::geteuid().as_raw();
    let mode = metadata.mode() & 0o777;
    if metadata.uid() != user && metadata.uid() != 0 {
        return not_safe(format!("its owner is user {}, neither {user} nor root", metadata.uid()));
    }
    if mode & 0o022 != 0 {
        return not_safe(format!("its mode is {mode:o}"));
    }
    Ok(())
}

/// Names in a folder, sorted; none for a folder that is missing. At most [`MAX_ENTRIES`].
pub(crate) fn names(dir: &Path) -> Result<Vec<String>, LibraryError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(LibraryError::io(dir)(source)),
    };
    let mut names = Vec::new();
    for entry in entries.take(MAX_ENTRIES) {
        // A name that is not UTF-8 is none of ours.
        if let Ok(name) = entry.map_err(LibraryError::io(dir))?.file_name().into_string() {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Whether this is a folder, and no link to one.
pub(crate) fn is_real_dir(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir())
}

/// The bytes of a regular file that is no link, at most `limit` of them: for what lies in the library.
pub(crate) fn read_file(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    read_with(path, limit, OFlags::NOFOLLOW)
}

/// The bytes of a regular file, perhaps behind links, at most `limit` of them: for what the user names.
pub(crate) fn read_followed(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    read_with(path, limit, OFlags::empty())
}

fn read_with(path: &Path, limit: u64, flags: OFlags) -> io::Result<Vec<u8>> {
    // A pipe must not make us wait: it is refused below.
    let flags = i32::try_from((flags | OFlags::NONBLOCK).bits()).map_err(io::Error::other)?;
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > limit {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {limit} bytes")));
    }
    Ok(bytes)
}

/// A small text file; none if there is no such file.
pub(crate) fn read_text(path: &Path) -> io::Result<Option<String>> {
    match read_file(path, MAX_TEXT_BYTES) {
        Ok(bytes) => String::from_utf8(bytes).map(Some).map_err(io::Error::other),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a new file and makes it last.
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::options().write(true).create_new(true).mode(0o644).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Replaces a small file in one step. Only for whoever holds the lock: the temporary name is fixed.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = dir.join(format!(".{name}.new"));
    let _ = fs::remove_file(&temporary);
    write_new(&temporary, bytes)?;
    fs::rename(&temporary, path)?;
    sync_dir(dir)
}

/// Makes renames in a folder last.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_folders_stay_in_their_folder() {
        for good in ["1.0.0", "1.2.3-rc.1+build.5", "1.0.0@3f2a9c0d81be", "0"] {
            assert!(VersionFolder::parse(good).is_some(), "name: {good:?}");
        }
        for bad in ["", ".", "..", "../1.0.0", "1/2", ".staging-1", "-1", "a b", "1\n", "1\0", &"1".repeat(129)] {
            assert!(VersionFolder::parse(bad).is_none(), "name: {bad:?}");
        }
    }

    #[test]
    fn links_and_large_files_are_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        write_new(&file, b"1234").unwrap();
        assert_eq!(read_file(&file, 4).unwrap(), b"1234");
        assert!(read_file(&file, 3).is_err());
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(read_file(&link, 4).is_err());
        assert!(read_file(dir.path(), 4).is_err());
    }
}

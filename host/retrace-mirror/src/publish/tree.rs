//! The folder of a repository on the disk: one writer at a time, files by link or copy, metadata by one rename.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use sha2::Digest as _;

use super::{KEY_FILE, PublishError, PublishOptions, plan::Entry};

/// Folder of our own in a repository's: lock, state, and what is being made. Only its owner can look into it.
const OWN: &str = ".retrace";
/// The folders that are ours: what nobody wants in them is removed.
const SWEPT: [&str; 4] = ["Packages", "pool", "repodata", "dists"];
const CHUNK_BYTES: usize = 256 << 10;

/// The folder of a repository, locked.
pub(super) struct Tree {
    pub(super) folder: PathBuf,
    /// For what is being made: on the same file system, empty at the start.
    pub(super) work: PathBuf,
    _lock: File,
}

/// How a package got to its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Placed {
    Kept,
    Linked,
    Copied,
}

impl Tree {
    /// Waits while another process has it.
    pub(super) fn open(folder: &Path) -> Result<Self, PublishError> {
        let own = folder.join(OWN);
        let is_empty = fs::read_dir(folder).map_or(true, |mut entries| entries.next().is_none());
        if !is_empty && !own.is_dir() {
            return Err(PublishError::Occupied { folder: folder.to_owned() });
        }
        fs::create_dir_all(folder).map_err(PublishError::file("write", folder))?;
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&own);
        made.map_err(PublishError::file("write", &own))?;
        let lock = own.join("lock");
        let locked = File::options().create(true).truncate(false).write(true).open(&lock);
        let locked = locked.and_then(|file| file.lock().map(|()| file)).map_err(PublishError::file("lock", &lock))?;
        let work = own.join("work");
        // What a run that was killed left.
        match fs::remove_dir_all(&work) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(PublishError::file("remove", &work)(error));
            }
            _ => {}
        }
        fs::create_dir(&work).map_err(PublishError::file("write", &work))?;
        Ok(Self { folder: folder.to_owned(), work, _lock: locked })
    }

    pub(super) fn state_file(&self) -> PathBuf {
        self.folder.join(OWN).join("state.json")
    }

    /// Puts a package at its place, by a hard link or, where that is not possible, a copy that is checked.
    pub(super) fn place(&self, entry: &Entry) -> Result<Placed, PublishError> {
        let target = self.folder.join(&entry.path);
        let source = fs::metadata(&entry.source).map_err(PublishError::file("read", &entry.source))?;
        let there = fs::symlink_metadata(&target).ok();
        if there.as_ref().is_some_and(|there| is_same(there, &source)) {
            return Ok(Placed::Kept);
        }
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).map_err(PublishError::file("write", parent))?;
        }
        let temporary = self.work.join("package");
        let placed = match fs::hard_link(&entry.source, &temporary) {
            Ok(()) => Placed::Linked,
            // Another file system, too many links, or links not allowed.
            Err(_) => {
                copy(entry, &source, &temporary)?;
                Placed::Copied
            }
        };
        fs::rename(&temporary, &target).map_err(PublishError::file("write", &target))?;
        Ok(placed)
    }

    /// Lets `new`, a folder below [`Self::work`], take the place of `live`, in one step where the file system can exchange
    /// two folders, else file by file with `tops` as the last, in their order.
    pub(super) fn replace(&self, new: &Path, live: &str, tops: &[&str]) -> Result<(), PublishError> {
        let live = self.folder.join(live);
        let failed = || PublishError::file("write", &live);
        let parent = live.parent().unwrap_or(&self.folder);
        fs::create_dir_all(parent).map_err(failed())?;
        match renameat_with(CWD, new, CWD, &live, RenameFlags::EXCHANGE) {
            Ok(()) => {}
            Err(rustix::io::Errno::NOENT) => fs::rename(new, &live).map_err(failed())?,
            Err(_) => replace_files(new, &live, tops).map_err(failed())?,
        }
        // A loss of power after this must not bring the old one back without its packages.
        File::open(parent).and_then(|parent| parent.sync_all()).map_err(failed())
    }

    /// Removes what is not wanted from our folders and returns how many files that were.
    pub(super) fn sweep(&self, wanted: &HashSet<&str>) -> Result<u64, PublishError> {
        let mut removed = 0;
        for name in SWEPT {
            if self.folder.join(name).is_dir() {
                self.sweep_folder(name, wanted, &mut removed)?;
            }
        }
        Ok(removed)
    }

    /// True if the folder is empty now and has been removed.
    fn sweep_folder(&self, below: &str, wanted: &HashSet<&str>, removed: &mut u64) -> Result<bool, PublishError> {
        let folder = self.folder.join(below);
        let failed = || PublishError::file("remove", &folder);
        let mut is_empty = true;
        for entry in fs::read_dir(&folder).map_err(failed())? {
            let entry = entry.map_err(failed())?;
            // Every name of ours is UTF-8.
            let path = format!("{below}/{}", entry.file_name().to_string_lossy());
            if entry.file_type().map_err(failed())?.is_dir() {
                is_empty &= self.sweep_folder(&path, wanted, removed)?;
            } else if wanted.contains(path.as_str()) {
                is_empty = false;
            } else {
                fs::remove_file(entry.path()).map_err(failed())?;
                *removed += 1;
            }
        }
        if is_empty {
            fs::remove_dir(&folder).map_err(failed())?;
        }
        Ok(is_empty)
    }
}

/// A link to the same file, or the copy that we made of it: copies get the time of the original.
fn is_same(there: &fs::Metadata, source: &fs::Metadata) -> bool {
    let is_link = (there.dev(), there.ino()) == (source.dev(), source.ino());
    let is_copy = there.is_file()
        && there.len() == source.len()
        && (there.mtime(), there.mtime_nsec()) == (source.mtime(), source.mtime_nsec());
    is_link || is_copy
}

fn copy(entry: &Entry, source: &fs::Metadata, target: &Path) -> Result<(), PublishError> {
    let mut input = File::open(&entry.source).map_err(PublishError::file("read", &entry.source))?;
    let mut write = || -> io::Result<retrace_types::Sha256> {
        let mut output = File::create(target)?;
        let mut digest = sha2::Sha256::new();
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            match input.read(&mut chunk) {
                Ok(0) => break,
                Ok(n) => {
                    let bytes = chunk.get(..n).unwrap_or_default();
                    digest.update(bytes);
                    output.write_all(bytes)?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        output.set_modified(source.modified()?)?;
        output.sync_all()?;
        Ok(retrace_types::Sha256::from_bytes(digest.finalize().into()))
    };
    let sha256 = write().map_err(PublishError::file("write", target))?;
    if sha256 == entry.sha256 { Ok(()) } else { Err(PublishError::Damaged { path: entry.source.clone() }) }
}

/// Moves the files of a folder into another one.
fn replace_files(new: &Path, live: &Path, tops: &[&str]) -> io::Result<()> {
    let mut todo = vec![PathBuf::new()];
    while let Some(below) = todo.pop() {
        fs::create_dir_all(live.join(&below))?;
        for entry in fs::read_dir(new.join(&below))? {
            let entry = entry?;
            let path = below.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                todo.push(path);
            } else if !tops.iter().any(|top| Path::new(top) == path) {
                fs::rename(entry.path(), live.join(path))?;
            }
        }
    }
    for top in tops {
        if new.join(top).exists() {
            fs::rename(new.join(top), live.join(top))?;
        }
    }
    Ok(())
}

/// Writes the public key beside the distributions, unless it is there.
pub(super) fn export_key(options: &PublishOptions) -> Result<(), PublishError> {
    let Some(signer) = &options.signer else { return Ok(()) };
    let path = options.dir.join(KEY_FILE);
    if fs::read(&path).is_ok_and(|known| known == signer.public_key().as_bytes()) {
        return Ok(());
    }
    fs::create_dir_all(&options.dir).map_err(PublishError::file("write", &options.dir))?;
    let write = || -> io::Result<()> {
        let mut temporary = tempfile::Builder::new().prefix(".retrace-key-").tempfile_in(&options.dir)?;
        temporary.write_all(signer.public_key().as_bytes())?;
        let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        temporary.as_file().set_permissions(readable)?;
        temporary.as_file().sync_all()?;
        temporary.persist(&path)?;
        Ok(())
    };
    write().map_err(PublishError::file("write", &path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: PathBuf, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn folders_of_others_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path().join("Packages/precious"), "x");
        assert!(matches!(Tree::open(dir.path()), Err(PublishError::Occupied { .. })));
        assert!(dir.path().join("Packages/precious").exists());
    }

    #[test]
    fn only_unwanted_files_of_our_folders_are_swept() {
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        for path in ["Packages/a/x", "Packages/b/y", "dists/s/main/z", "notes/mine", "robots.txt"] {
            write(dir.path().join(path), "x");
        }
        std::os::unix::fs::symlink("/", dir.path().join("Packages/root")).unwrap();
        assert_eq!(tree.sweep(&HashSet::from(["Packages/a/x"])).unwrap(), 3);
        for (path, stays) in [
            ("Packages/a/x", true),
            ("Packages/b", false),
            ("dists", false),
            ("notes/mine", true),
            ("robots.txt", true),
        ] {
            assert_eq!(dir.path().join(path).exists(), stays, "{path}");
        }
        assert!(Path::new("/etc").is_dir());
    }

    #[test]
    fn metadata_is_replaced_whole_with_and_without_exchange() {
        for by_exchange in [true, false] {
            let dir = tempfile::tempdir().unwrap();
            let tree = Tree::open(dir.path()).unwrap();
            for content in ["old", "new"] {
                let new = tree.work.join("repodata");
                let _ = fs::remove_dir_all(&new);
                for name in ["sub/file", "repomd.xml"] {
                    write(new.join(name), content);
                }
                if by_exchange {
                    tree.replace(&new, "repodata", &["repomd.xml"]).unwrap();
                } else {
                    replace_files(&new, &dir.path().join("repodata"), &["repomd.xml"]).unwrap();
                }
                for name in ["sub/file", "repomd.xml"] {
                    assert_eq!(fs::read_to_string(dir.path().join("repodata").join(name)).unwrap(), content);
                }
            }
        }
    }

    #[test]
    fn one_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let first = Tree::open(dir.path()).unwrap();
        let path = dir.path().to_owned();
        let second = std::thread::spawn(move || Tree::open(&path).map(|_| ()));
        std::thread::sleep(std::time::Duration::from_millis(100));
        assert!(!second.is_finished());
        drop(first);
        second.join().unwrap().unwrap();
    }
}

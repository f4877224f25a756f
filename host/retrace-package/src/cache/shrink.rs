//! Keeping the cache small: what was not used for longest goes first.

use std::{
    collections::HashMap,
    fs::{self, Metadata},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use super::{CacheError, FileCache, LOCKS, SOURCES, UNNAMED};

/// What is left of an unpacking that was killed is removed after this time.
const ABANDONED: Duration = Duration::from_secs(24 * 3600);

/// What a [`shrink`](FileCache::shrink) did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shrunk {
    /// Files that were removed.
    pub files: u64,
    /// Bytes on disk that are free now.
    pub freed_bytes: u64,
    /// Bytes on disk that the cache still has.
    pub left_bytes: u64,
}

/// One file of the cache under all its names.
#[derive(Debug, Default)]
struct Entry {
    names: Vec<PathBuf>,
    bytes: u64,
    /// Names that it has anywhere.
    links: u64,
    used: Option<SystemTime>,
}

impl FileCache {
    /// Removes files, those not used for longest first, until all together take at most `max_bytes` on disk. A file that
    /// was used within `idle`, or that an environment of a retrace is linked to, stays; so the cache may remain larger.
    /// Whoever has a file open reads it to its end.
    ///
    /// `idle` has to be longer than a retrace takes where environments cannot be links into the cache, because they lie on
    /// another file system. Several processes may shrink one cache at once. With `dry_run` nothing is removed, and the answer
    /// says what would be.
    ///
    /// Reads the whole cache: to be called on a thread that may block.
    ///
    /// # Errors
    /// [`CacheError::Io`] if the folder cannot be read, or a file cannot be removed.
    pub fn shrink(&self, max_bytes: u64, idle: Duration, dry_run: bool) -> Result<Shrunk, CacheError> {
        let now = SystemTime::now();
        let mut entries = HashMap::new();
        let mut folders = Vec::new();
        for top in read(&self.dir)? {
            match top.file_name().and_then(|name| name.to_str()) {
                Some(LOCKS) => {}
                Some(UNNAMED) if dry_run => {}
                Some(UNNAMED) => remove_abandoned(&top, now)?,
                Some(SOURCES) => {
                    for first in read(&top)? {
                        collect(&first, &mut entries, &mut folders)?;
                    }
                }
                _ => collect(&top, &mut entries, &mut folders)?,
            }
        }
        let mut entries: Vec<Entry> = entries.into_values().collect();
        entries.sort_by(|a, b| (a.used, &a.names).cmp(&(b.used, &b.names)));
        let mut done = Shrunk { left_bytes: entries.iter().map(|entry| entry.bytes).sum(), ..Shrunk::default() };
        for entry in entries {
            if done.left_bytes <= max_bytes {
                break;
            }
            let linked = entry.links > entry.names.len() as u64;
            let fresh =
                entry.used.is_none_or(|used| now.duration_since(used).is_ok_and(|age| age < idle) || used > now);
            if linked || fresh {
                continue;
            }
            for name in entry.names.iter().filter(|_| !dry_run) {
                remove(name)?;
            }
            done.files += 1;
            done.freed_bytes = done.freed_bytes.saturating_add(entry.bytes);
            done.left_bytes = done.left_bytes.saturating_sub(entry.bytes);
        }
        for folder in folders.iter().filter(|_| !dry_run) {
            // Only empty ones go. One that is filled at this moment is made again by whoever fills it.
            let _ = fs::remove_dir(folder);
        }
        Ok(done)
    }
}

/// The files of `<top>/<rest>/`.
fn collect(top: &Path, entries: &mut HashMap<(u64, u64), Entry>, folders: &mut Vec<PathBuf>) -> Result<(), CacheError> {
    for folder in read(top)? {
        for path in read(&folder)? {
            let Some(metadata) = metadata(&path)?.filter(Metadata::is_file) else { continue };
            let entry = entries.entry((metadata.dev(), metadata.ino())).or_default();
            entry.names.push(path);
            entry.bytes = metadata.blocks().saturating_mul(512);
            entry.links = metadata.nlink();
            entry.used = metadata.accessed().ok();
        }
        folders.push(folder);
    }
    Ok(())
}

fn remove_abandoned(unnamed: &Path, now: SystemTime) -> Result<(), CacheError> {
    for path in read(unnamed)? {
        let modified = metadata(&path)?.and_then(|metadata| metadata.modified().ok());
        let age = modified.and_then(|modified| now.duration_since(modified).ok());
        if age.is_some_and(|age| age > ABANDONED) {
            remove(&path)?;
        }
    }
    Ok(())
}

/// The entries of a folder; none of one that is gone, or is a file.
fn read(dir: &Path) -> Result<Vec<PathBuf>, CacheError> {
    let listed = fs::read_dir(dir).and_then(|entries| {
        let paths = entries.map(|entry| entry.map(|entry| entry.path()));
        paths.collect::<io::Result<Vec<_>>>()
    });
    match listed {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(Vec::new()),
        listed => listed.map_err(CacheError::io("read", dir)),
    }
}

fn metadata(path: &Path) -> Result<Option<Metadata>, CacheError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        metadata => metadata.map(Some).map_err(CacheError::io("read", path)),
    }
}

fn remove(path: &Path) -> Result<(), CacheError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(CacheError::io("remove", path)),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{File, FileTimes};

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    /// A cache with a file of one block for each name, last used so many hours ago.
    fn cache(files: &[(&str, u32)]) -> (tempfile::TempDir, FileCache) {
        let dir = tempfile::tempdir().unwrap();
        let cache = FileCache::new(&dir.path().join("files")).unwrap();
        for (name, hours) in files {
            let path = cache.dir.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, [1; 4096]).unwrap();
            let used = SystemTime::now() - HOUR * *hours;
            File::open(&path).unwrap().set_times(FileTimes::new().set_accessed(used)).unwrap();
        }
        (dir, cache)
    }

    #[test]
    fn what_was_not_used_for_longest_goes_first() {
        let (_dir, cache) =
            cache(&[("aa/01/executable", 5), ("aa/01/debuginfo", 9), ("bb/02/debuginfo", 7), ("src/cc/03/04", 8)]);
        let all = cache.shrink(u64::MAX, HOUR, false).unwrap();
        assert_eq!((all.files, all.freed_bytes), (0, 0));
        let half = all.left_bytes / 2;
        let planned = cache.shrink(half, HOUR, true).unwrap();
        assert_eq!(cache.shrink(u64::MAX, HOUR, false).unwrap(), all, "a dry run removes nothing");
        let done = cache.shrink(half, HOUR, false).unwrap();
        assert_eq!(done, planned);
        assert_eq!((done.files, done.freed_bytes, done.left_bytes), (2, half, half));
        let left = ["aa/01/executable", "aa/01/debuginfo", "bb/02/debuginfo", "src/cc/03/04"];
        assert_eq!(left.map(|name| cache.dir.join(name).exists()), [true, false, true, false]);
        assert!(!cache.dir.join("src/cc/03").exists(), "empty folders go");
    }

    #[test]
    fn what_is_in_use_stays() {
        let (dir, cache) = cache(&[("aa/01/executable", 0), ("bb/02/debuginfo", 9), ("cc/03/supplementary", 9)]);
        let linked = dir.path().join("sysroot");
        fs::hard_link(cache.dir.join("bb/02/debuginfo"), &linked).unwrap();
        fs::create_dir_all(cache.dir.join("dd/04")).unwrap();
        fs::hard_link(cache.dir.join("cc/03/supplementary"), cache.dir.join("dd/04/supplementary")).unwrap();
        let done = cache.shrink(0, HOUR, false).unwrap();
        assert_eq!(done.files, 1, "both names of one file are one file: {done:?}");
        assert!(cache.dir.join("aa/01/executable").exists() && cache.dir.join("bb/02/debuginfo").exists());
        fs::remove_file(linked).unwrap();
        assert_eq!(cache.shrink(0, HOUR, false).unwrap().files, 1);
    }

    #[test]
    fn what_a_killed_process_left_goes_after_a_day() {
        let (_dir, cache) = cache(&[]);
        for (name, hours) in [("unpack-old", 25), ("unpack-new", 1)] {
            let path = cache.dir.join(UNNAMED).join(name);
            fs::write(&path, "x").unwrap();
            let times = FileTimes::new().set_modified(SystemTime::now() - HOUR * hours);
            File::options().write(true).open(&path).unwrap().set_times(times).unwrap();
        }
        cache.shrink(0, HOUR, false).unwrap();
        let left: Vec<_> = fs::read_dir(cache.dir.join(UNNAMED)).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["unpack-new"]);
    }
}

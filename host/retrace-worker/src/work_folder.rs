//! Folders of jobs. Each is removed with its job; one whose process was killed is removed by the next job, or by `retrace gc`.
//!
//! A folder is locked as long as its job lives. The lock goes with the process, however that ends, and is seen by every process
//! that shares the disk, also from another container.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use tempfile::TempDir;

/// Names a folder's process: `retrace-<pid>-<random>`.
const PREFIX: &str = "retrace-";
/// A folder is younger than this while it is made and not locked yet.
const YOUNG: Duration = Duration::from_secs(60);

/// A job's own folder, removed when it is dropped.
#[derive(Debug)]
pub(crate) struct WorkFolder {
    dir: TempDir,
    _lock: File,
}

impl WorkFolder {
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Removes it, and says if that fails.
    pub(crate) fn close(self) -> io::Result<()> {
        self.dir.close()
    }
}

/// A folder whose job is gone.
#[derive(Debug)]
pub(crate) struct Orphan {
    pub(crate) path: PathBuf,
    /// What it takes on the disk; files that are elsewhere as well do not count.
    pub(crate) bytes: u64,
}

impl Orphan {
    pub(crate) async fn remove(self) -> io::Result<()> {
        match tokio::fs::remove_dir_all(&self.path).await {
            // Another process was first.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }
}

/// A new folder below `parent`, which is created if absent.
pub(crate) fn create(parent: &Path) -> io::Result<WorkFolder> {
    fs::create_dir_all(parent)?;
    remove_orphans(parent);
    let dir = tempfile::Builder::new().prefix(&format!("{PREFIX}{}-", std::process::id())).tempdir_in(parent)?;
    let lock = File::open(dir.path())?;
    lock.lock()?;
    Ok(WorkFolder { dir, _lock: lock })
}

/// The folders below `parent` whose jobs are gone. Blocking.
pub(crate) fn orphans(parent: &Path) -> io::Result<Vec<Orphan>> {
    let entries = match fs::read_dir(parent) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let paths = entries.flatten().filter(|entry| is_work_folder(&entry.file_name())).map(|entry| entry.path());
    Ok(paths.filter(|path| is_orphan(path)).map(|path| Orphan { bytes: bytes_below(&path), path }).collect())
}

fn remove_orphans(parent: &Path) {
    for Orphan { path, .. } in orphans(parent).unwrap_or_default() {
        if let Err(error) = fs::remove_dir_all(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, folder = %path.display(), "cannot remove the folder of a killed job");
        }
    }
}

fn is_work_folder(name: &std::ffi::OsStr) -> bool {
    let pid = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split_once('-')?.0.parse::<u32>().ok());
    pid.is_some()
}

fn is_orphan(path: &Path) -> bool {
    let Ok(folder) = File::open(path) else { return false };
    let age = folder.metadata().and_then(|data| data.modified()).map(|at| SystemTime::now().duration_since(at));
    let is_young = !matches!(age, Ok(Ok(age)) if age >= YOUNG);
    !is_young && folder.try_lock().is_ok()
}

fn bytes_below(dir: &Path) -> u64 {
    let mut bytes = 0_u64;
    let mut todo = vec![dir.to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(data) if data.is_dir() => todo.push(entry.path()),
                // A link into the cache takes no space.
                Ok(data) if data.nlink() == 1 => bytes = bytes.saturating_add(data.blocks().saturating_mul(512)),
                _ => {}
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_killed_jobs_go_and_all_others_stay() {
        let parent = tempfile::tempdir().unwrap();
        let long_ago = SystemTime::now() - YOUNG * 2;
        let age = |name: &str| File::open(parent.path().join(name)).unwrap().set_modified(long_ago).unwrap();
        for name in ["retrace-4999999-abc", "retrace-1-young", "retrace-x", "notes"] {
            fs::create_dir_all(parent.path().join(name).join("sysroot")).unwrap();
            fs::write(parent.path().join(name).join("core"), vec![1; 5000]).unwrap();
        }
        let alive = create(parent.path()).unwrap();
        for name in ["retrace-4999999-abc", "retrace-x", "notes", alive.path().file_name().unwrap().to_str().unwrap()] {
            age(name);
        }
        let found = orphans(parent.path()).unwrap();
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].path.ends_with("retrace-4999999-abc") && found[0].bytes >= 5000);

        let _another = create(parent.path()).unwrap();
        let left = |name: &str| parent.path().join(name).exists();
        assert!(!left("retrace-4999999-abc"));
        assert!(left("retrace-1-young") && left("retrace-x") && left("notes") && alive.path().exists());
        let path = alive.path().to_owned();
        drop(alive);
        assert!(!path.exists());
    }
}

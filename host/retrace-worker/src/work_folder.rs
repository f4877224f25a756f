//! Folders of jobs. Each is removed with its job; one whose process was killed is removed by the next job.

use std::{fs, io, path::Path};

use tempfile::TempDir;

/// Names a folder's process: `retrace-<pid>-<random>`.
const PREFIX: &str = "retrace-";

/// A new folder below `parent`, which is created if absent.
pub(crate) fn create(parent: &Path) -> io::Result<TempDir> {
    fs::create_dir_all(parent)?;
    remove_orphans(parent);
    tempfile::Builder::new().prefix(&format!("{PREFIX}{}-", std::process::id())).tempdir_in(parent)
}

/// Removes folders of processes that are gone. A process id that is in use again only delays it.
fn remove_orphans(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(owner);
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists())
            && let Err(error) = fs::remove_dir_all(entry.path())
        {
            tracing::warn!(%error, folder = %entry.path().display(), "cannot remove the folder of a killed job");
        }
    }
}

/// The process that made a folder of this name.
fn owner(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.split_once('-')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_killed_jobs_go_and_all_others_stay() {
        let parent = tempfile::tempdir().unwrap();
        // Process ids end at 2^22.
        for name in ["retrace-4999999-abc", "retrace-1-abc", "retrace-x", "notes"] {
            fs::create_dir_all(parent.path().join(name).join("sysroot")).unwrap();
        }
        let own = create(parent.path()).unwrap();
        let left = |name: &str| parent.path().join(name).exists();
        assert!(!left("retrace-4999999-abc"));
        assert!(left("retrace-1-abc") && left("retrace-x") && left("notes") && own.path().exists());
    }
}

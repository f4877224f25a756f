//! What a folder was published from, so that the next run can tell that there is nothing to do.

use std::{fs, io, path::Path};

use retrace_types::Sha256;
use serde::{Deserialize, Serialize};

use super::{LeftOut, PublishError};
use crate::checksum;

/// A file is read up to this size; a million packages that cannot be read would need more.
const MAX_BYTES: u64 = 256 << 20;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    /// Digest of everything that the metadata was made from.
    pub(super) inputs: String,
    /// The metadata: paths below the folder, sizes.
    pub(super) metadata: Vec<(String, u64)>,
    /// Those of it that name all others, with their digests. A run that was killed leaves this state beside newer metadata,
    /// where files of this one still lie for readers: sizes alone would not tell the two apart.
    pub(super) tops: Vec<(String, Sha256)>,
    /// Metadata of the generation before, as far as it is still there.
    pub(super) previous: Vec<String>,
    /// Packages that could not be read: path, package, reason.
    pub(super) unreadable: Vec<(String, String, String)>,
}

impl State {
    /// None if there is none that can be read: everything is made anew then.
    pub(super) fn read(path: &Path) -> Option<Self> {
        if fs::metadata(path).ok()?.len() > MAX_BYTES {
            return None;
        }
        serde_json::from_slice(&fs::read(path).ok()?).ok()
    }

    /// Replaces the file in one step.
    pub(super) fn write(&self, path: &Path, work: &Path) -> Result<(), PublishError> {
        let temporary = work.join("state");
        let write = || -> io::Result<()> {
            let mut file = fs::File::create(&temporary)?;
            serde_json::to_writer(&mut file, self)?;
            file.sync_all()?;
            fs::rename(&temporary, path)
        };
        write().map_err(PublishError::file("write", path))
    }

    /// Whether the metadata is there as it was written.
    pub(super) fn is_whole(&self, folder: &Path) -> bool {
        let is_there = |(path, size): &(String, u64)| {
            fs::symlink_metadata(folder.join(path)).is_ok_and(|file| file.is_file() && file.len() == *size)
        };
        let is_same = |(path, sha256): &(String, Sha256)| {
            fs::read(folder.join(path)).is_ok_and(|bytes| checksum::sha256(&bytes) == *sha256)
        };
        self.metadata.iter().all(is_there) && self.tops.iter().all(is_same)
    }

    pub(super) fn left_out(&self) -> impl Iterator<Item = LeftOut> {
        let left_out = |(_, package, reason): &(String, String, String)| LeftOut {
            package: package.clone(),
            reason: reason.clone(),
        };
        self.unreadable.iter().map(left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_of_another_run_is_not_taken_for_ours() {
        let dir = tempfile::tempdir().unwrap();
        let path = "repodata/repomd.xml".to_owned();
        fs::create_dir(dir.path().join("repodata")).unwrap();
        let state = State {
            metadata: vec![(path.clone(), 3)],
            tops: vec![(path.clone(), checksum::sha256(b"old"))],
            ..State::default()
        };
        for (content, want) in [("old", true), ("new", false), ("", false)] {
            fs::write(dir.path().join(&path), content).unwrap();
            assert_eq!(state.is_whole(dir.path()), want, "{content:?}");
        }
        fs::remove_file(dir.path().join(&path)).unwrap();
        assert!(!state.is_whole(dir.path()));
    }
}

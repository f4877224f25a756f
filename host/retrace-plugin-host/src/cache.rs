use std::{
    fs::{self, DirBuilder, Permissions},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use crate::PluginError;

/// Makes the folder of compiled plugins, readable and writable by this user alone, and returns its absolute path.
///
/// A folder that others could write to is refused: the engine runs what it finds there.
pub(crate) fn prepare(path: &Path) -> Result<PathBuf, PluginError> {
    let failed = |source| PluginError::Cache { path: path.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
    let metadata = fs::symlink_metadata(path).map_err(failed)?;
    if !metadata.is_dir() {
        return Err(failed(io::Error::from(io::ErrorKind::NotADirectory)));
    }
    let unsafe_cache = |why| PluginError::UnsafeCache { path: path.to_owned(), why };
    let user = rustix::process::geteuid().as_raw();
    if metadata.uid() != user {
        return Err(unsafe_cache(format!("its owner is user {}, not {user}", metadata.uid())));
    }
    let mode = metadata.mode() & 0o777;
    if mode & 0o022 != 0 {
        return Err(unsafe_cache(format!("its mode is {mode:o}")));
    }
    if mode != 0o700 {
        fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(failed)?;
    }
    fs::canonicalize(path).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_belongs_to_one_user() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        let mode = || fs::metadata(&path).unwrap().mode() & 0o777;
        assert!(prepare(&path).unwrap().is_absolute());
        assert_eq!(mode(), 0o700);

        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        prepare(&path).unwrap();
        assert_eq!(mode(), 0o700);

        fs::set_permissions(&path, Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(prepare(&path), Err(PluginError::UnsafeCache { .. })));
    }

    #[test]
    fn a_file_or_a_link_is_no_folder() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), "").unwrap();
        assert!(matches!(prepare(&dir.path().join("file")), Err(PluginError::Cache { .. })));
        std::os::unix::fs::symlink(dir.path(), dir.path().join("link")).unwrap();
        assert!(matches!(prepare(&dir.path().join("link")), Err(PluginError::Cache { .. })));
    }
}

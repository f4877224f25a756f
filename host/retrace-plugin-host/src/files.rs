//! The files of plugins: which there are, whether they changed, and what is in them.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use crate::{Limits, NotAPlugin, PluginError};

/// Tells one state of a file from another without reading it: device, inode, size, and the times of its last change in
/// nanoseconds. None: there is no such file.
pub(crate) type Stamp = Option<(u64, u64, u64, i64, i64, i64, i64)>;

pub(crate) fn stamp(path: &Path) -> Stamp {
    let data = fs::metadata(path).ok()?;
    let (size, changed) = (data.size(), (data.ctime(), data.ctime_nsec()));
    Some((data.dev(), data.ino(), size, data.mtime(), data.mtime_nsec(), changed.0, changed.1))
}

/// The files of the folder that end in `.wasm`, sorted; hidden ones, which may be half written, are left out.
pub(crate) fn plugin_files(dir: &Path, limit: usize) -> Result<Vec<PathBuf>, PluginError> {
    let failed = |source| PluginError::Folder { path: dir.to_owned(), source };
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if path.extension().is_some_and(|extension| extension == "wasm") && !is_hidden {
            files.push(path);
        }
        if files.len() > limit {
            return Err(PluginError::TooManyPlugins { path: dir.to_owned(), limit });
        }
    }
    files.sort();
    Ok(files)
}

/// The whole file, if it is no larger than a plugin may be.
pub(crate) fn read(path: &Path, limits: &Limits) -> Result<Vec<u8>, PluginError> {
    let failed = |source| PluginError::Read { path: path.to_owned(), source };
    let limit = limits.file_bytes;
    let check_size = |size| match size {
        size if size > limit => {
            Err(PluginError::NotAPlugin { path: path.to_owned(), source: NotAPlugin::TooLarge { size, limit } })
        }
        _ => Ok(()),
    };
    let metadata = fs::metadata(path).map_err(failed)?;
    if !metadata.is_file() {
        return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")));
    }
    check_size(metadata.len())?;
    let mut bytes = Vec::new();
    // The file may have grown since.
    File::open(path).and_then(|file| file.take(limit.saturating_add(1)).read_to_end(&mut bytes)).map_err(failed)?;
    check_size(u64::try_from(bytes.len()).unwrap_or(u64::MAX))?;
    Ok(bytes)
}

//! Files of a local folder. They are copied: what was checked must be what is used.

use std::{
    fs::File,
    io::{self, Read, Write as _},
    path::{Path, PathBuf},
};

use crate::{
    MirrorError,
    checksum::Digester,
    location::Place,
    transfer::{Download, Expected},
};

const CHUNK_BYTES: usize = 1 << 17;

/// Reads a whole small file.
pub(super) async fn read(path: PathBuf, limit_bytes: u64) -> Result<Vec<u8>, MirrorError> {
    let reading = tokio::task::spawn_blocking(move || {
        let file = open(&path)?;
        let mut data = Vec::new();
        let length = file
            .take(limit_bytes.saturating_add(1))
            .read_to_end(&mut data)
            .map_err(MirrorError::file("read", &path))?;
        if length as u64 > limit_bytes {
            return Err(MirrorError::TooLarge { url: path.display().to_string(), limit_bytes });
        }
        Ok(data)
    });
    reading.await.map_err(|source| MirrorError::StepLost { step: "read", source })?
}

/// The first `bytes` of a file, or all of a smaller one, and its size.
pub(super) async fn head(path: PathBuf, bytes: u64) -> Result<(Vec<u8>, Option<u64>), MirrorError> {
    let reading = tokio::task::spawn_blocking(move || {
        let file = open(&path)?;
        let size = file.metadata().map_err(MirrorError::file("read", &path))?.len();
        let mut data = Vec::new();
        file.take(bytes).read_to_end(&mut data).map_err(MirrorError::file("read", &path))?;
        Ok((data, Some(size)))
    });
    reading.await.map_err(|source| MirrorError::StepLost { step: "read", source })?
}

/// Copies a file into the download folder and checks it on the way.
pub(super) async fn copy(download_dir: PathBuf, path: PathBuf, expected: Expected) -> Result<Download, MirrorError> {
    let copying = tokio::task::spawn_blocking(move || copy_now(&download_dir, &path, &expected));
    copying.await.map_err(|source| MirrorError::StepLost { step: "copy", source })?
}

fn copy_now(download_dir: &Path, path: &Path, expected: &Expected) -> Result<Download, MirrorError> {
    let place = Place::File(path.to_owned());
    let mut from = open(path)?;
    let length = from.metadata().map_err(MirrorError::file("read", path))?.len();
    expected.check_size(&place, length)?;
    let partial = download_dir.join("partial");
    let mut to = tempfile::NamedTempFile::new_in(&partial).map_err(MirrorError::file("write", &partial))?;
    let mut digester = Digester::for_checksum(expected.checksum.as_ref());
    let mut size_bytes = 0_u64;
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        let length = from.read(&mut buffer).map_err(MirrorError::file("read", path))?;
        let Some(chunk) = buffer.get(..length).filter(|chunk| !chunk.is_empty()) else { break };
        size_bytes = size_bytes.saturating_add(length as u64);
        expected.check_growth(&place, size_bytes)?;
        digester.update(chunk);
        to.write_all(chunk).map_err(MirrorError::file("write", to.path()))?;
    }
    expected.check_size(&place, size_bytes)?;
    let (sha256, actual) = digester.finish();
    expected.check_checksum(&place, &actual)?;
    let complete = download_dir.join("complete").join(actual.to_string());
    to.persist(&complete).map_err(|error| MirrorError::file("write", &complete)(error.error))?;
    Ok(Download { path: complete, size_bytes, sha256 })
}

/// Feeds a file to a digester and returns its size.
pub(super) fn hash(path: &Path, digester: &mut Digester) -> io::Result<u64> {
    let mut file = File::open(path)?;
    let mut size_bytes = 0_u64;
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        let length = file.read(&mut buffer)?;
        let Some(chunk) = buffer.get(..length).filter(|chunk| !chunk.is_empty()) else { return Ok(size_bytes) };
        digester.update(chunk);
        size_bytes = size_bytes.saturating_add(length as u64);
    }
}

/// Opens a plain file; a pipe or a device would block or never end.
fn open(path: &Path) -> Result<File, MirrorError> {
    let metadata = std::fs::metadata(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            MirrorError::NotFound { url: path.display().to_string() }
        }
        _ => MirrorError::file("read", path)(source),
    })?;
    if !metadata.is_file() {
        return Err(MirrorError::NotFound { url: path.display().to_string() });
    }
    File::open(path).map_err(MirrorError::file("read", path))
}

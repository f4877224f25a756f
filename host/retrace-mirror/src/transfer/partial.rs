//! A file that is being written, checked while it comes.

use std::{
    fs::{File, OpenOptions},
    io::{self, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use tokio::{sync::mpsc, task::JoinHandle};

use crate::{
    MirrorError, Progress,
    checksum::Digester,
    transfer::{Download, Expected, complete_path, file},
};

/// Pieces that may wait for the disk: enough to keep the network busy, at most some MiB.
const WAITING_PIECES: usize = 64;

/// A file that is being written; locked for as long as this value lives.
pub(super) struct Partial {
    path: PathBuf,
    download_dir: PathBuf,
    file: File,
    /// Removes the file if nobody can continue it.
    #[expect(dead_code, reason = "held for its Drop")]
    temporary: Option<tempfile::TempPath>,
}

/// Bytes that come for a [`Partial`]: a thread of its own digests and writes them.
pub(super) struct Arrival<'a> {
    partial: &'a Partial,
    expected: &'a Expected,
    url: String,
    have: u64,
    total: Option<u64>,
    pieces: mpsc::Sender<Bytes>,
    writer: JoinHandle<io::Result<Digester>>,
}

impl Partial {
    /// The file that a transfer writes to. One that another run writes to, or without a checksum to check the whole by,
    /// is not continued: the transfer gets a file of its own.
    pub(super) fn open(download_dir: &Path, expected: &Expected) -> Result<Self, MirrorError> {
        let folder = download_dir.join("partial");
        let download_dir = download_dir.to_owned();
        if let Some(checksum) = &expected.checksum {
            let path = folder.join(checksum.to_string());
            let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path);
            let file = file.map_err(MirrorError::file("write", &path))?;
            // The holder of the lock before may have finished the file and taken it away.
            if file.try_lock().is_ok() && path.exists() {
                return Ok(Self { path, download_dir, file, temporary: None });
            }
        }
        let temporary = tempfile::NamedTempFile::new_in(&folder).map_err(MirrorError::file("write", &folder))?;
        let file = temporary.as_file().try_clone().map_err(MirrorError::file("write", &folder))?;
        let path = temporary.path().to_owned();
        Ok(Self { path, download_dir, file, temporary: Some(temporary.into_temp_path()) })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Digest and number of the bytes that are there; the file stands behind them.
    pub(super) async fn resume(&self, expected: &Expected) -> Result<(Digester, u64), MirrorError> {
        let path = self.path.clone();
        let mut digester = Digester::for_checksum(expected.checksum.as_ref());
        let hashing =
            tokio::task::spawn_blocking(move || file::hash(&path, &mut digester).map(|have| (digester, have)));
        let hashed = hashing.await.map_err(|source| MirrorError::StepLost { step: "resume", source })?;
        let (digester, have) = hashed.map_err(MirrorError::file("read", &self.path))?;
        if expected.checksum.is_none() || have > expected.most() {
            self.clear()?;
            return Ok((Digester::for_checksum(expected.checksum.as_ref()), 0));
        }
        (&self.file).seek(SeekFrom::Start(have)).map_err(MirrorError::file("write", &self.path))?;
        Ok((digester, have))
    }

    /// Throws away what is there.
    pub(super) fn clear(&self) -> Result<(), MirrorError> {
        let cleared = self.file.set_len(0).and_then(|()| (&self.file).seek(SeekFrom::Start(0)));
        cleared.map(|_| ()).map_err(MirrorError::file("write", &self.path))
    }

    /// Takes what comes behind the `have` bytes of `digester`.
    pub(super) fn receive<'a>(
        &'a self,
        url: &dyn ToString,
        expected: &'a Expected,
        mut digester: Digester,
        have: u64,
        total: Option<u64>,
    ) -> Result<Arrival<'a>, MirrorError> {
        let mut file = self.file.try_clone().map_err(MirrorError::file("write", &self.path))?;
        let (pieces, mut waiting) = mpsc::channel::<Bytes>(WAITING_PIECES);
        let writer = tokio::task::spawn_blocking(move || {
            while let Some(piece) = waiting.blocking_recv() {
                digester.update(&piece);
                file.write_all(&piece)?;
            }
            Ok(digester)
        });
        let total = expected.size_bytes.or(total);
        Ok(Arrival { partial: self, expected, url: url.to_string(), have, total, pieces, writer })
    }

    /// Checks all that is there and gives it its name.
    pub(super) fn complete(
        &self,
        url: &dyn ToString,
        expected: &Expected,
        digester: Digester,
        size_bytes: u64,
    ) -> Result<Download, MirrorError> {
        expected.check_size(url, size_bytes)?;
        let (sha256, actual) = digester.finish();
        if let Err(error) = expected.check_checksum(url, &actual) {
            self.clear()?;
            return Err(error);
        }
        let complete = complete_path(&self.download_dir, &actual);
        std::fs::rename(&self.path, &complete).map_err(MirrorError::file("write", &complete))?;
        Ok(Download { path: complete, size_bytes, sha256 })
    }
}

impl Arrival<'_> {
    /// Takes a piece; more than is allowed ends the transfer and throws everything away.
    pub(super) async fn take(&mut self, piece: Bytes, progress: &dyn Progress) -> Result<(), MirrorError> {
        self.have = self.have.saturating_add(piece.len() as u64);
        if let Err(error) = self.expected.check_growth(&self.url, self.have) {
            self.partial.clear()?;
            return Err(error);
        }
        let sent = self.pieces.send(piece).await;
        // The writer itself tells in the end why it is gone.
        sent.map_err(|_| MirrorError::file("write", &self.partial.path)(io::ErrorKind::BrokenPipe.into()))?;
        progress.bytes(self.have, self.total);
        Ok(())
    }

    /// Waits until everything is on the disk; what the transfer ended with is looked at after that, so that the next
    /// attempt continues behind it.
    pub(super) async fn end(self, ending: Result<(), MirrorError>) -> Result<Download, MirrorError> {
        let Self { partial, expected, url, have, pieces, writer, .. } = self;
        drop(pieces);
        let written = writer.await.map_err(|source| MirrorError::StepLost { step: "write", source })?;
        let digester = written.map_err(MirrorError::file("write", &partial.path))?;
        if let Err(error) = ending {
            if matches!(error, MirrorError::SizeMismatch { .. } | MirrorError::TooLarge { .. }) {
                partial.clear()?;
            }
            return Err(error);
        }
        partial.complete(&url, expected, digester, have)
    }
}

//! Files on their way from a mirror to this machine.
//!
//! A file with a known checksum is written to `partial/<checksum>`; what a killed run left there is continued. Complete and
//! checked it is renamed to `complete/<checksum>`, where the next run finds it if this one ends before it is used.

mod file;
mod http;

use std::{
    path::{Path, PathBuf},
    sync::OnceLock,
    time::{Duration, SystemTime},
};

use futures_util::{FutureExt as _, future::BoxFuture};
use retrace_types::Sha256;

use crate::{
    MirrorError, MirrorOptions, Progress,
    checksum::{Checksum, Digester},
    location::Place,
};

/// What is left in the download folder is removed after this time.
const KEEP: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Longest pause between two attempts, whatever the server wishes.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// What is known of a file before it comes.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    pub(crate) size_bytes: Option<u64>,
    pub(crate) checksum: Option<Checksum>,
    /// Most bytes, where the size is not known or not trusted.
    pub(crate) limit_bytes: u64,
}

/// A file that came, checked against what was expected.
#[derive(Debug)]
pub(crate) struct Download {
    /// In the download folder; whoever is done with it removes it.
    pub(crate) path: PathBuf,
    pub(crate) size_bytes: u64,
    pub(crate) sha256: Sha256,
}

/// Gets files. One serves many at once.
pub(crate) struct Transfer {
    options: MirrorOptions,
    /// Made when first needed: reading the system's certificates takes longer than a retrace of known packages.
    client: OnceLock<reqwest::Client>,
}

impl Transfer {
    pub(crate) fn new(options: MirrorOptions) -> Result<Self, MirrorError> {
        for folder in ["partial", "complete"] {
            let path = options.download_dir.join(folder);
            std::fs::create_dir_all(&path).map_err(MirrorError::file("write", &path))?;
        }
        Ok(Self { options, client: OnceLock::new() })
    }

    pub(crate) fn options(&self) -> &MirrorOptions {
        &self.options
    }

    /// A small file, in memory; none if there is no such file.
    pub(crate) async fn small(&self, place: &Place, limit_bytes: u64) -> Result<Option<Vec<u8>>, MirrorError> {
        let got = match place {
            Place::File(path) => file::read(path.clone(), limit_bytes).await,
            Place::Http(_) => self.with_retries(|| self.http_small(place, limit_bytes).boxed()).await,
        };
        match got {
            Ok(data) => Ok(Some(data)),
            Err(MirrorError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A file of any size, on disk and checked.
    pub(crate) async fn file(
        &self,
        place: &Place,
        expected: &Expected,
        progress: &dyn Progress,
    ) -> Result<Download, MirrorError> {
        if let Some(size_bytes) = expected.size_bytes
            && size_bytes > expected.limit_bytes
        {
            return Err(MirrorError::TooLarge { url: place.to_string(), limit_bytes: expected.limit_bytes });
        }
        if let Some(done) = self.already_complete(expected).await {
            return Ok(done);
        }
        match place {
            Place::File(path) => file::copy(self.options.download_dir.clone(), path.clone(), expected.clone()).await,
            Place::Http(_) => self.http_file(place, expected, progress).await,
        }
    }

    /// Removes what earlier runs left and nobody came back for.
    pub(crate) fn sweep(&self) {
        let old = |path: &Path| {
            let modified = path.metadata().and_then(|metadata| metadata.modified());
            modified.is_ok_and(|at| SystemTime::now().duration_since(at).is_ok_and(|age| age > KEEP))
        };
        for folder in ["partial", "complete"] {
            let Ok(entries) = std::fs::read_dir(self.options.download_dir.join(folder)) else { continue };
            for path in entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| old(path)) {
                // Another run may have been faster.
                let _ = std::fs::remove_file(path);
            }
        }
    }

    /// What a run that was killed before it used the file left.
    async fn already_complete(&self, expected: &Expected) -> Option<Download> {
        let checksum = expected.checksum.clone()?;
        let path = self.complete_path(&checksum);
        let hashed = tokio::task::spawn_blocking(move || {
            let mut digester = Digester::for_checksum(Some(&checksum));
            let size_bytes = file::hash(&path, &mut digester).ok()?;
            let (sha256, actual) = digester.finish();
            (actual == checksum).then_some(Download { path, size_bytes, sha256 })
        });
        hashed.await.ok().flatten()
    }

    async fn with_retries<'a, T>(
        &'a self,
        attempt: impl Fn() -> BoxFuture<'a, Result<T, MirrorError>> + Send + Sync,
    ) -> Result<T, MirrorError> {
        let mut pause = self.options.retry_pause;
        for _ in 0..self.options.retries {
            match attempt().await {
                Err(error) if error.is_transient() => {
                    let wanted = match &error {
                        MirrorError::Status { retry_after_seconds: Some(seconds), .. } => Duration::from_secs(*seconds),
                        _ => pause,
                    };
                    tracing::debug!(error = %crate::error::chain(&error), "a transfer failed and is tried again");
                    tokio::time::sleep(wanted.min(MAX_PAUSE)).await;
                    pause = pause.saturating_mul(2);
                }
                other => return other,
            }
        }
        attempt().await
    }

    fn complete_path(&self, checksum: &Checksum) -> PathBuf {
        self.options.download_dir.join("complete").join(checksum.to_string())
    }

    fn partial_path(&self, checksum: &Checksum) -> PathBuf {
        self.options.download_dir.join("partial").join(checksum.to_string())
    }
}

/// Digest of a file on disk.
pub(crate) fn sha256_of(path: &Path) -> std::io::Result<Sha256> {
    let mut digester = Digester::for_checksum(None);
    file::hash(path, &mut digester)?;
    Ok(digester.finish().0)
}

impl Expected {
    /// Refuses a size that was not announced; `more` says that the body goes on behind `actual`.
    fn check_size(&self, place: &Place, actual: u64) -> Result<(), MirrorError> {
        match self.size_bytes {
            Some(expected) if actual != expected => {
                Err(MirrorError::SizeMismatch { url: place.to_string(), expected, actual })
            }
            _ => self.check_growth(place, actual),
        }
    }

    /// Refuses more bytes than were announced, while they come.
    fn check_growth(&self, place: &Place, actual: u64) -> Result<(), MirrorError> {
        match self.size_bytes {
            Some(expected) if actual > expected => {
                Err(MirrorError::SizeMismatch { url: place.to_string(), expected, actual })
            }
            _ if actual > self.limit_bytes => {
                Err(MirrorError::TooLarge { url: place.to_string(), limit_bytes: self.limit_bytes })
            }
            _ => Ok(()),
        }
    }

    fn check_checksum(&self, place: &Place, actual: &Checksum) -> Result<(), MirrorError> {
        match &self.checksum {
            Some(expected) if expected != actual => Err(MirrorError::ChecksumMismatch {
                url: place.to_string(),
                expected: expected.to_string(),
                actual: actual.to_string(),
            }),
            _ => Ok(()),
        }
    }
}

//! Files of an http(s) server.

use std::{
    fs::{File, OpenOptions},
    io::{Seek as _, SeekFrom},
    path::PathBuf,
};

use futures_util::FutureExt as _;
use reqwest::{
    Response, StatusCode,
    header::{CONTENT_RANGE, RANGE, RETRY_AFTER},
    redirect::{Attempt, Policy},
};
use tokio::io::AsyncWriteExt as _;

use crate::{
    MirrorError, Progress,
    checksum::Digester,
    location::Place,
    transfer::{Download, Expected, Transfer, file},
};

/// Redirects that are followed for one request.
const MAX_REDIRECTS: usize = 5;

impl Transfer {
    pub(super) async fn http_small(&self, place: &Place, limit_bytes: u64) -> Result<Vec<u8>, MirrorError> {
        let expected = Expected { size_bytes: None, checksum: None, limit_bytes };
        self.in_time(place, async {
            let mut response = self.ask(place, 0).await?;
            let mut data = Vec::new();
            while let Some(chunk) = response.chunk().await.map_err(|error| http_error(place, error))? {
                expected.check_growth(place, (data.len() as u64).saturating_add(chunk.len() as u64))?;
                data.extend_from_slice(&chunk);
            }
            Ok(data)
        })
        .await
    }

    pub(super) async fn http_file(
        &self,
        place: &Place,
        expected: &Expected,
        progress: &dyn Progress,
    ) -> Result<Download, MirrorError> {
        let partial = self.open_partial(expected)?;
        let resumed = partial.file.metadata().is_ok_and(|metadata| metadata.len() > 0);
        let attempt = || self.in_time(place, self.attempt(place, expected, &partial, progress)).boxed();
        match self.with_retries(attempt).await {
            // The bytes of the earlier run may be the wrong ones; they are gone now.
            Err(MirrorError::ChecksumMismatch { .. }) if resumed => self.with_retries(attempt).await,
            other => other,
        }
    }

    /// Gets what is missing behind the bytes that are there, and finishes the file.
    async fn attempt(
        &self,
        place: &Place,
        expected: &Expected,
        partial: &Partial,
        progress: &dyn Progress,
    ) -> Result<Download, MirrorError> {
        let write_failed = || MirrorError::file("write", &partial.path);
        let (mut digester, mut have) = partial.resume(expected).await?;
        let resumed = have > 0;
        if expected.size_bytes.is_none_or(|size| have != size) || !resumed {
            let mut response = match self.ask(place, have).await {
                Err(error @ MirrorError::Status { status: 416, .. }) => {
                    partial.clear()?;
                    return Err(error);
                }
                other => other?,
            };
            let continued = response.status() == StatusCode::PARTIAL_CONTENT;
            if continued != resumed || (continued && !continues_at(&response, have)) {
                if continued {
                    partial.clear()?;
                    return Err(MirrorError::Status {
                        url: place.to_string(),
                        status: StatusCode::RANGE_NOT_SATISFIABLE.as_u16(),
                        retry_after_seconds: None,
                    });
                }
                partial.clear()?;
                (digester, have) = (Digester::for_checksum(expected.checksum.as_ref()), 0);
            }
            if let Some(length) = response.content_length() {
                // A shorter body is read all the same: it can be continued.
                expected.check_growth(place, have.saturating_add(length))?;
            }
            let mut file = tokio::fs::File::from_std(partial.file.try_clone().map_err(write_failed())?);
            let total = expected.size_bytes.or_else(|| Some(have.saturating_add(response.content_length()?)));
            loop {
                let chunk = match response.chunk().await {
                    Ok(Some(chunk)) => chunk,
                    Ok(None) => break,
                    Err(error) => {
                        file.flush().await.map_err(write_failed())?;
                        return Err(http_error(place, error));
                    }
                };
                have = have.saturating_add(chunk.len() as u64);
                if let Err(error) = expected.check_growth(place, have) {
                    file.flush().await.map_err(write_failed())?;
                    partial.clear()?;
                    return Err(error);
                }
                digester.update(&chunk);
                file.write_all(&chunk).await.map_err(write_failed())?;
                progress.bytes(have, total);
            }
            file.flush().await.map_err(write_failed())?;
        }
        expected.check_size(place, have)?;
        let (sha256, actual) = digester.finish();
        if let Err(error) = expected.check_checksum(place, &actual) {
            partial.clear()?;
            return Err(error);
        }
        let complete = self.complete_path(&actual);
        std::fs::rename(&partial.path, &complete).map_err(MirrorError::file("write", &complete))?;
        Ok(Download { path: complete, size_bytes: have, sha256 })
    }

    /// Sends the request; an answer that is not the file is an error.
    async fn ask(&self, place: &Place, from: u64) -> Result<Response, MirrorError> {
        let Place::Http(url) = place else { return Err(MirrorError::NotFound { url: place.to_string() }) };
        if self.options.offline {
            return Err(MirrorError::Offline { url: place.to_string() });
        }
        let mut request = self.client()?.get(url.clone());
        if from > 0 {
            request = request.header(RANGE, format!("bytes={from}-"));
        }
        let response = request.send().await.map_err(|error| http_error(place, error))?;
        let status = response.status();
        match status {
            StatusCode::OK | StatusCode::PARTIAL_CONTENT => Ok(response),
            StatusCode::NOT_FOUND | StatusCode::GONE => Err(MirrorError::NotFound { url: place.to_string() }),
            _ => {
                let header = response.headers().get(RETRY_AFTER);
                let retry_after_seconds = header.and_then(|value| value.to_str().ok()?.parse().ok());
                Err(MirrorError::Status { url: place.to_string(), status: status.as_u16(), retry_after_seconds })
            }
        }
    }

    async fn in_time<T>(
        &self,
        place: &Place,
        transfer: impl Future<Output = Result<T, MirrorError>>,
    ) -> Result<T, MirrorError> {
        let limit = self.options.transfer_timeout;
        let slow = |_| MirrorError::TooSlow { url: place.to_string(), seconds: limit.as_secs() };
        tokio::time::timeout(limit, transfer).await.map_err(slow)?
    }

    fn client(&self) -> Result<&reqwest::Client, MirrorError> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        // Another part of the program may have chosen a provider before; one is as good as the other.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .user_agent(concat!("retrace/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(self.options.connect_timeout)
            .read_timeout(self.options.idle_timeout)
            .redirect(Policy::custom(redirect))
            .build()
            .map_err(|source| MirrorError::HttpClient { source })?;
        Ok(self.client.get_or_init(|| client))
    }

    /// The file that this transfer writes to. One that another run writes to, or without a checksum to check the
    /// whole by, is not continued: the transfer gets a file of its own.
    fn open_partial(&self, expected: &Expected) -> Result<Partial, MirrorError> {
        if let Some(checksum) = &expected.checksum {
            let path = self.partial_path(checksum);
            let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path);
            let file = file.map_err(MirrorError::file("write", &path))?;
            // The holder of the lock before may have finished the file and taken it away.
            if file.try_lock().is_ok() && path.exists() {
                return Ok(Partial { path, file, temporary: None });
            }
        }
        let folder = self.options.download_dir.join("partial");
        let temporary = tempfile::NamedTempFile::new_in(&folder).map_err(MirrorError::file("write", &folder))?;
        let file = temporary.as_file().try_clone().map_err(MirrorError::file("write", &folder))?;
        Ok(Partial { path: temporary.path().to_owned(), file, temporary: Some(temporary.into_temp_path()) })
    }
}

/// A file that is being written; locked for as long as this value lives.
struct Partial {
    path: PathBuf,
    file: File,
    /// Removes the file if nobody can continue it.
    #[expect(dead_code, reason = "held for its Drop")]
    temporary: Option<tempfile::TempPath>,
}

impl Partial {
    /// Digest and number of the bytes that are there; the file stands behind them.
    async fn resume(&self, expected: &Expected) -> Result<(Digester, u64), MirrorError> {
        let path = self.path.clone();
        let mut digester = Digester::for_checksum(expected.checksum.as_ref());
        let hashing =
            tokio::task::spawn_blocking(move || file::hash(&path, &mut digester).map(|have| (digester, have)));
        let hashed = hashing.await.map_err(|source| MirrorError::StepLost { step: "resume", source })?;
        let (digester, have) = hashed.map_err(MirrorError::file("read", &self.path))?;
        let too_many = expected.size_bytes.is_some_and(|size| have > size) || have > expected.limit_bytes;
        if expected.checksum.is_none() || too_many {
            self.clear()?;
            return Ok((Digester::for_checksum(expected.checksum.as_ref()), 0));
        }
        (&self.file).seek(SeekFrom::Start(have)).map_err(MirrorError::file("write", &self.path))?;
        Ok((digester, have))
    }

    fn clear(&self) -> Result<(), MirrorError> {
        let cleared = self.file.set_len(0).and_then(|()| (&self.file).seek(SeekFrom::Start(0)));
        cleared.map(|_| ()).map_err(MirrorError::file("write", &self.path))
    }
}

/// `Content-Range: bytes FIRST-LAST/TOTAL`. Source: RFC 9110, 14.4.
fn continues_at(response: &Response, have: u64) -> bool {
    let range = response.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
    let first = range.and_then(|text| text.strip_prefix("bytes ")?.split_once('-'));
    first.is_some_and(|(first, _)| first.parse() == Ok(have))
}

/// Follows a few redirects, never from https to http.
fn redirect(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let was_secure = attempt.previous().last().is_some_and(|url| url.scheme() == "https");
    if attempt.previous().len() > MAX_REDIRECTS {
        return attempt.error("it is redirected more than 5 times");
    }
    match attempt.url().scheme() {
        "https" => attempt.follow(),
        "http" if !was_secure => attempt.follow(),
        _ => attempt.error("it is redirected from https to something else"),
    }
}

/// The URL stands in the message already, and may hold a password.
fn http_error(place: &Place, error: reqwest::Error) -> MirrorError {
    MirrorError::Http { url: place.to_string(), source: error.without_url() }
}

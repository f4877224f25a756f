//! Request bodies: to disk, or to nowhere before an error is answered.

use std::{path::Path, time::Duration};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use tokio::{
    fs::File,
    io::AsyncWriteExt as _,
    time::{Instant, timeout_at},
};

use crate::ApiError;

/// A client that sends less than this, on average, is taken for one that only holds its place.
const MIN_BYTES_PER_SECOND: u64 = 4096;

/// A body on its way in.
pub(crate) struct Incoming {
    body: Body,
    idle: Duration,
    started: Instant,
    received: u64,
    begun: bool,
}

impl Incoming {
    /// `idle` is the longest silence that is waited for, and the head start of a slow client.
    pub(crate) fn new(body: Body, idle: Duration) -> Self {
        Self { body, idle, started: Instant::now(), received: 0, begun: false }
    }

    /// Writes the body, of at most `max_bytes`, into a new file. That it is on disk is not made sure of: no client is told
    /// that it is, and a task's files are.
    ///
    /// # Errors
    /// [`ApiError::UploadStopped`] if the client breaks off or is too slow, [`ApiError::LengthRequired`] if it sends more,
    /// [`ApiError::NoSpace`], [`ApiError::Io`].
    pub(crate) async fn write_to(&mut self, path: &Path, max_bytes: u64) -> Result<(), ApiError> {
        let mut file = File::options().write(true).create_new(true).open(path).await?;
        while let Some(chunk) = self.next_chunk().await? {
            if self.received > max_bytes {
                return Err(ApiError::LengthRequired);
            }
            file.write_all(&chunk).await?;
        }
        Ok(file.flush().await?)
    }

    /// The whole body, if it has at most `max_bytes`.
    ///
    /// # Errors
    /// [`ApiError::UploadStopped`] if the client breaks off or is too slow.
    pub(crate) async fn collect(&mut self, max_bytes: u64) -> Result<Option<Bytes>, ApiError> {
        let mut all = BytesMut::new();
        while let Some(chunk) = self.next_chunk().await? {
            if self.received > max_bytes {
                return Ok(None);
            }
            all.extend_from_slice(&chunk);
        }
        Ok(Some(all.freeze()))
    }

    /// Whether anything was read: a client that waits for `100 Continue` was told to send by that.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun
    }

    /// Reads the body to its end, or until `max_bytes` of it came. A server that answers and closes while a client still
    /// sends makes the client lose the answer.
    pub(crate) async fn drain(&mut self, max_bytes: u64) {
        while self.received <= max_bytes && matches!(self.next_chunk().await, Ok(Some(_))) {}
    }

    /// The next bytes; none at the end.
    ///
    /// # Errors
    /// [`ApiError::UploadStopped`] if the client breaks off or is too slow.
    pub(crate) async fn next_chunk(&mut self) -> Result<Option<Bytes>, ApiError> {
        self.begun = true;
        loop {
            let earned = Duration::from_secs(self.received / MIN_BYTES_PER_SECOND);
            let slowest = self.started + self.idle + earned;
            let now = Instant::now();
            if now > slowest {
                return Err(ApiError::UploadStopped);
            }
            let frame = timeout_at(slowest.min(now + self.idle), self.body.frame()).await;
            match frame.map_err(|_| ApiError::UploadStopped)? {
                None => return Ok(None),
                Some(Err(_)) => return Err(ApiError::UploadStopped),
                // Trailers carry nothing for us.
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.received = self.received.saturating_add(data.len() as u64);
                        return Ok(Some(data));
                    }
                }
            }
        }
    }
}

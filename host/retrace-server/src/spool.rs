//! Request bodies: to disk, or to nowhere before an error is answered.

use std::{path::Path, time::Duration};

use axum::body::Body;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use tokio::{fs::File, io::AsyncWriteExt as _};

use crate::ApiError;

/// Writes a body of at most `max_bytes` into a new file and makes sure that it is on disk.
///
/// # Errors
/// [`ApiError::UploadStopped`] if the client breaks off or is silent for too long, [`ApiError::Io`].
pub(crate) async fn to_file(mut body: Body, path: &Path, max_bytes: u64, idle: Duration) -> Result<(), ApiError> {
    let mut file = File::options().write(true).create_new(true).open(path).await?;
    let mut left = max_bytes;
    while let Some(chunk) = next_chunk(&mut body, idle).await? {
        left = left.checked_sub(chunk.len() as u64).ok_or(ApiError::LengthRequired)?;
        file.write_all(&chunk).await?;
    }
    file.sync_all().await?;
    Ok(())
}

/// Reads a body to its end, or `max_bytes` of it. A server that answers and closes while a client still sends makes the
/// client lose the answer.
pub(crate) async fn drain(mut body: Body, max_bytes: u64, idle: Duration) {
    let mut left = max_bytes;
    while let Ok(Some(chunk)) = next_chunk(&mut body, idle).await {
        match left.checked_sub(chunk.len() as u64) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

async fn next_chunk(body: &mut Body, idle: Duration) -> Result<Option<Bytes>, ApiError> {
    loop {
        let frame = tokio::time::timeout(idle, body.frame()).await.map_err(|_| ApiError::UploadStopped)?;
        match frame {
            None => return Ok(None),
            Some(Err(_)) => return Err(ApiError::UploadStopped),
            // Trailers carry nothing for us.
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}

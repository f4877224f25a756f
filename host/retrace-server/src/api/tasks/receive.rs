//! A body on its way to disk: bounded, hashed, and with an eye on the free space.

use std::path::Path;

use retrace_types::Sha256;
use sha2::{Digest as _, Sha256 as Hasher};
use tokio::{fs::File, io::AsyncWriteExt as _};

use super::metadata::MAGIC_BYTES;
use crate::{
    AppState,
    api::{ApiResult, Problem, ProblemKind},
    create::free_bytes,
    spool::Incoming,
};

/// How often the free space is looked at.
const CHECK_BYTES: u64 = 64 * 1024 * 1024;

/// What came.
pub(crate) struct Received {
    pub(crate) sha256: Sha256,
    pub(crate) first_bytes: Vec<u8>,
}

/// # Errors
/// The disk cannot take so much more.
pub(crate) fn check_space(state: &AppState, more_bytes: u64) -> ApiResult<()> {
    let wanted = more_bytes.saturating_add(state.options.min_storage_left_bytes);
    if free_bytes(state.store.dir())? < wanted {
        return Err(Problem::new(ProblemKind::NoSpace, "there is not enough free space on the server"));
    }
    Ok(())
}

pub(crate) fn too_large(max_bytes: u64) -> Problem {
    Problem::new(ProblemKind::TooLarge, format!("at most {max_bytes} bytes are taken"))
}

/// Writes a body of at most `max_bytes` into a new file and makes sure that it is on disk; without a file it is only looked
/// at.
pub(crate) async fn whole(
    state: &AppState,
    body: &mut Incoming,
    path: Option<&Path>,
    max_bytes: u64,
) -> ApiResult<Received> {
    let mut file = match path {
        Some(path) => Some(File::options().write(true).create_new(true).open(path).await?),
        None => None,
    };
    let (mut hasher, mut first_bytes, mut size, mut unchecked) = (Hasher::new(), Vec::new(), 0_u64, 0_u64);
    while let Some(chunk) = body.next_chunk().await? {
        let length = chunk.len() as u64;
        size = size.saturating_add(length);
        if size > max_bytes {
            return Err(too_large(max_bytes));
        }
        unchecked = unchecked.saturating_add(length);
        if file.is_some() && unchecked >= CHECK_BYTES {
            check_space(state, 0)?;
            unchecked = 0;
        }
        first_bytes.extend(chunk.iter().take(MAGIC_BYTES.saturating_sub(first_bytes.len())));
        hasher.update(&chunk);
        if let Some(file) = &mut file {
            file.write_all(&chunk).await?;
        }
    }
    if let Some(file) = file {
        file.sync_all().await?;
    }
    Ok(Received { sha256: Sha256::from_bytes(hasher.finalize().into()), first_bytes })
}

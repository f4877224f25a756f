//! A task as one file: `<id>-<time of its end>.tar.zst` with its description, its results, and what is left of its upload.
//!
//! The file gets its name when it is whole and on the disk. Its name follows from the task: who is killed and begins again
//! replaces it.

use std::{
    fs::{self, File},
    io::{self, Read, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream::BoxStream};
use jiff::Timestamp;
use retrace_store::{Store, StoreError, Task, TaskFile};
use tar::{Builder, EntryType, Header};
use tempfile::NamedTempFile;
use tokio::runtime::Handle;

use super::GcOptions;
use crate::{EventDocument, work_folder};

/// How hard zstd tries: what is kept for years is worth some seconds.
const LEVEL: i32 = 9;

/// An archive that was written.
pub(super) enum Archived {
    /// In a folder.
    File(PathBuf),
    /// In the artifact store, by this name.
    Artifact(String),
}

impl Archived {
    /// Removes it again, for a task that came back to life.
    pub(super) async fn remove(self, store: &Store) -> Result<()> {
        match self {
            Self::File(path) => Ok(tokio::fs::remove_file(&path).await?),
            Self::Artifact(name) => Ok(store.remove_archive(&name).await?),
        }
    }
}

/// Writes the archive of a task.
pub(super) async fn write(store: &Store, task: &Task, options: &GcOptions) -> Result<Archived> {
    let end = task.finished_at.unwrap_or(Timestamp::UNIX_EPOCH);
    let name = format!("{}-{}.tar.zst", task.id, end.strftime("%Y%m%dT%H%M%SZ"));
    let folder = options.archive_dir.as_ref().unwrap_or(&options.work_dir).clone();
    // Fetched from the bucket, if there is one; removed with this value.
    let fetched = work_folder::create(&options.work_dir)?;
    let uploaded = match store.task_input(task.id, &fetched.path().join("crash")).await {
        Ok(folder) => Some(folder),
        Err(StoreError::NoInput(_)) => None,
        Err(error) => return Err(error.into()),
    };
    let contents = Contents {
        folder: folder.clone(),
        description: serde_json::to_vec_pretty(&EventDocument::new("archived", task))?,
        top: task.id.to_string(),
        end,
        results: store.result_files(task.id).await?,
        uploaded,
        store: store.clone(),
        runtime: Handle::current(),
    };
    let cannot = || format!("cannot write the archive of task {} in {}", task.id, folder.display());
    let file = tokio::task::spawn_blocking(move || contents.write()).await?.with_context(cannot)?;
    if options.archive_dir.is_none() {
        store.put_archive(&name, file.path()).await?;
        return Ok(Archived::Artifact(name));
    }
    let path = folder.join(&name);
    let (named, parent) = (path.clone(), folder.clone());
    let naming = tokio::task::spawn_blocking(move || -> io::Result<()> {
        file.persist(&named)?;
        File::open(parent)?.sync_all()
    });
    naming.await?.with_context(cannot)?;
    Ok(Archived::File(path))
}

struct Contents {
    /// Where the file is made.
    folder: PathBuf,
    description: Vec<u8>,
    /// Folder in the archive.
    top: String,
    end: Timestamp,
    results: Vec<TaskFile>,
    uploaded: Option<PathBuf>,
    store: Store,
    runtime: Handle,
}

impl Contents {
    /// Blocking.
    fn write(self) -> Result<NamedTempFile> {
        fs::create_dir_all(&self.folder)?;
        let file = tempfile::Builder::new().prefix(".archive-").tempfile_in(&self.folder)?;
        let mut archive = Builder::new(zstd::Encoder::new(file.as_file(), LEVEL)?);
        self.append(&mut archive, "task.json", self.description.len() as u64, &self.description[..])?;
        for result in &self.results {
            let content = self.runtime.block_on(self.store.read_task_file(result))?;
            let reader = Streamed { runtime: &self.runtime, content, chunk: Bytes::new() };
            self.append(&mut archive, &format!("results/{}", result.name), result.size_bytes, reader)?;
        }
        for entry in self.uploaded.iter().map(fs::read_dir).collect::<io::Result<Vec<_>>>()?.into_iter().flatten() {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                let name = Path::new(&self.top).join("crash").join(entry.file_name());
                // Holes stay holes.
                archive.append_file(name, &mut File::open(entry.path())?)?;
            }
        }
        archive.into_inner()?.finish()?.flush()?;
        file.as_file().sync_all()?;
        Ok(file)
    }

    fn append(&self, archive: &mut Builder<impl io::Write>, name: &str, size: u64, content: impl Read) -> Result<()> {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Regular);
        header.set_size(size);
        header.set_mode(0o640);
        header.set_mtime(u64::try_from(self.end.as_second()).unwrap_or_default());
        let mut content = Counted { inner: content.take(size), left: size };
        archive.append_data(&mut header, format!("{}/{name}", self.top), &mut content)?;
        anyhow::ensure!(content.left == 0, "{name} became shorter while it was read");
        Ok(())
    }
}

/// Knows whether everything came: an archive with a short member could not be read behind it.
struct Counted<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.left = self.left.saturating_sub(count as u64);
        Ok(count)
    }
}

/// An artifact, read from a thread that may block.
struct Streamed<'a> {
    runtime: &'a Handle,
    content: BoxStream<'static, Result<Bytes, StoreError>>,
    chunk: Bytes,
}

impl Read for Streamed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() {
            match self.runtime.block_on(self.content.next()) {
                None => return Ok(0),
                Some(chunk) => self.chunk = chunk.map_err(io::Error::other)?,
            }
        }
        let count = buffer.len().min(self.chunk.len());
        let taken = self.chunk.split_to(count);
        if let Some(place) = buffer.get_mut(..count) {
            place.copy_from_slice(&taken);
        }
        Ok(count)
    }
}

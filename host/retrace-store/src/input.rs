//! What was uploaded for a task, on its way from the server to the worker.
//!
//! With artifacts in a folder, server and worker share that folder: nothing is copied. With a bucket the files are compressed
//! into it before the task is submitted, and a worker fetches them into its own work folder. Holes of a sparse core take
//! neither memory nor space on the way, nor where they arrive.

use std::{
    fs::{self, File},
    io::{self, Read, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use futures_util::TryStreamExt as _;
use object_store::{ObjectStore, ObjectStoreExt as _, buffered::BufWriter, path::Path as ObjectPath};
use retrace_types::TaskId;
use tokio::runtime::Handle;
use tokio_util::io::{StreamReader, SyncIoBridge};

use crate::{
    Store, StoreError,
    artifacts::{failed, task_objects},
    package_files::{PART_BYTES, PARTS_UNDER_WAY},
};

/// Folder of the files among a task's files, and among its objects.
const CRASH: &str = "crash";
const INPUT: &str = "input";
/// What the name of a file's object ends with: it can be read with `zstd -d`.
const SUFFIX: &str = ".zst";
/// Most files of one task; an upload has at most nine.
const MAX_FILES: usize = 64;
/// Largest file that is fetched, holes included: more than any core that a server takes.
const MAX_FILE_BYTES: u64 = 1 << 40;
/// Bytes read and written at once; that many zeros become a hole.
const BLOCK_BYTES: usize = 64 * 1024;
/// Quick: cores are mostly zeros and repetitions.
const LEVEL: i32 = 1;
/// Services allow 10,000 parts.
const MAX_PARTS: u64 = 9000;

impl Store {
    /// The folder where a server puts the files of a task before it [seals](Self::seal_input) them. It is made by whoever
    /// writes there, and goes with the task.
    #[must_use]
    pub fn input_dir(&self, task: TaskId) -> PathBuf {
        self.task_dir(task).join(CRASH)
    }

    /// Makes the files in [`input_dir`](Self::input_dir) what workers get; to be called once they are all on disk, before
    /// [`submit_task`](Self::submit_task). With a bucket they are uploaded, some at a time, and the task's folder removed.
    ///
    /// # Errors
    /// [`StoreError::File`], [`StoreError::Artifact`]; the upload is not to be submitted then.
    pub async fn seal_input(&self, task: TaskId) -> Result<(), StoreError> {
        let Some(bucket) = self.artifacts.bucket() else { return Ok(()) };
        let dir = self.input_dir(task);
        let unreadable = |source| StoreError::File { path: dir.clone(), source };
        // Never closed.
        let _place = bucket.uploads.acquire().await;
        for name in files(&dir).map_err(unreadable)? {
            let object = task_objects(task).join(INPUT).join(format!("{name}{SUFFIX}"));
            let (objects, path, shown) = (Arc::clone(&self.artifacts.objects), dir.join(&name), object.to_string());
            let handle = Handle::current();
            let uploading = tokio::task::spawn_blocking(move || upload(objects, object, &path, &handle));
            uploading.await.map_err(io::Error::other).flatten().map_err(transfer("write", shown))?;
        }
        let path = self.task_dir(task);
        tokio::fs::remove_dir_all(&path).await.map_err(|source| StoreError::Folder { path, source })
    }

    /// The folder with the files of a task, for reading. With a bucket it is `into`, which is made, and into which they are
    /// fetched: the caller removes it. Else it is the task's own folder, which stays.
    ///
    /// # Errors
    /// [`StoreError::NoInput`] if there are none, [`StoreError::File`], [`StoreError::Artifact`].
    pub async fn task_input(&self, task: TaskId, into: &Path) -> Result<PathBuf, StoreError> {
        let names = self.input_names(task).await?;
        if names.is_empty() {
            return Err(StoreError::NoInput(task));
        }
        if self.artifacts.bucket().is_none() {
            return Ok(self.input_dir(task));
        }
        tokio::fs::create_dir(into).await.map_err(|source| StoreError::Folder { path: into.to_owned(), source })?;
        for name in names {
            let object = task_objects(task).join(INPUT).join(format!("{name}{SUFFIX}"));
            let found = self.artifacts.objects.get(&object).await.map_err(failed("read", &object))?;
            let content = StreamReader::new(found.into_stream().map_err(io::Error::other));
            // Here: it needs the runtime.
            let content = SyncIoBridge::new(content);
            let path = into.join(&name);
            let fetching = tokio::task::spawn_blocking(move || download(content, &path));
            fetching.await.map_err(io::Error::other).flatten().map_err(transfer("read", object.to_string()))?;
        }
        Ok(into.to_owned())
    }

    /// True if the files of a task are there: it can be retraced, again.
    ///
    /// # Errors
    /// [`StoreError::File`], [`StoreError::Artifact`].
    pub async fn has_input(&self, task: TaskId) -> Result<bool, StoreError> {
        Ok(!self.input_names(task).await?.is_empty())
    }

    /// Removes the files of a task; its results stay.
    ///
    /// # Errors
    /// [`StoreError::Folder`], [`StoreError::Artifact`].
    pub async fn remove_input(&self, task: TaskId) -> Result<(), StoreError> {
        let path = self.input_dir(task);
        match tokio::fs::remove_dir_all(&path).await {
            Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(StoreError::Folder { path, source }),
            _ => {}
        }
        match self.artifacts.bucket() {
            Some(_) => self.artifacts.remove_all(&task_objects(task).join(INPUT)).await,
            None => Ok(()),
        }
    }

    async fn input_names(&self, task: TaskId) -> Result<Vec<String>, StoreError> {
        let prefix = task_objects(task).join(INPUT);
        if self.artifacts.bucket().is_none() {
            let dir = self.input_dir(task);
            return files(&dir).map_err(|source| StoreError::File { path: dir, source });
        }
        let found: Vec<_> =
            self.artifacts.objects.list(Some(&prefix)).try_collect().await.map_err(failed("list", &prefix))?;
        let names = found.iter().filter_map(|object| object.location.filename()?.strip_suffix(SUFFIX));
        // What we named ourselves; a name that leaves the folder is none of ours.
        let names = names.filter(|name| !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', '%']));
        Ok(names.take(MAX_FILES).map(str::to_owned).collect())
    }
}

/// The names of the plain files in a folder, in order; none if there is no folder.
fn files(dir: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            let name = entry.file_name().into_string();
            names.push(name.map_err(|name| io::Error::other(format!("{name:?} is not UTF-8")))?);
        }
    }
    if names.len() > MAX_FILES {
        return Err(io::Error::other(format!("it holds more than {MAX_FILES} files")));
    }
    names.sort();
    Ok(names)
}

/// A transfer fails at the object or at the file; either way it is about this object.
fn transfer(action: &'static str, name: String) -> impl FnOnce(io::Error) -> StoreError {
    move |error| StoreError::Transfer { action, name, source: error }
}

/// Blocking. What was uploaded of it is given up when it fails.
fn upload(objects: Arc<dyn ObjectStore>, name: ObjectPath, path: &Path, handle: &Handle) -> io::Result<()> {
    let mut file = File::open(path)?;
    let size_bytes = file.metadata()?.len();
    // Incompressible content grows a little.
    let part = usize::try_from(size_bytes / MAX_PARTS + 1).unwrap_or(PART_BYTES).max(PART_BYTES);
    let writer = BufWriter::with_capacity(objects, name, part).with_max_concurrency(PARTS_UNDER_WAY);
    let mut encoder = zstd::Encoder::new(SyncIoBridge::new_with_handle(writer, handle.clone()), LEVEL)?;
    encoder.include_checksum(true)?;
    let mut block = vec![0; BLOCK_BYTES];
    let copied = loop {
        match file.read(&mut block) {
            Ok(0) => break Ok(()),
            Ok(length) => {
                if let Err(error) = encoder.write_all(block.get(..length).unwrap_or_default()) {
                    break Err(error);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => break Err(error),
        }
    };
    if let Err(error) = copied {
        // Else its parts would stay until the bucket's own rules remove them.
        let _ = handle.block_on(encoder.get_mut().as_mut().abort());
        return Err(error);
    }
    encoder.finish()?.shutdown()
}

/// Blocking. Blocks of zeros become holes.
fn download(content: impl Read, path: &Path) -> io::Result<()> {
    let mut content = zstd::Decoder::new(content)?.take(MAX_FILE_BYTES);
    let mut file = File::options().write(true).create_new(true).open(path)?;
    let mut block = Vec::with_capacity(BLOCK_BYTES);
    let mut size_bytes = 0_u64;
    loop {
        block.clear();
        (&mut content).take(BLOCK_BYTES as u64).read_to_end(&mut block)?;
        if block.is_empty() {
            break;
        }
        size_bytes = size_bytes.saturating_add(block.len() as u64);
        if block.iter().all(|byte| *byte == 0) {
            file.seek(SeekFrom::Start(size_bytes))?;
        } else {
            file.write_all(&block)?;
        }
    }
    if content.limit() == 0 {
        return Err(io::Error::other(format!("it has more than {MAX_FILE_BYTES} bytes")));
    }
    file.set_len(size_bytes)
}

#[cfg(test)]
mod tests;

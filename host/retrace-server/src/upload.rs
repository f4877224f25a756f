//! A task on its way into the queue, by whichever protocol it comes.

use std::{path::PathBuf, sync::Arc};

use retrace_store::{NewTask, Store, UPLOAD_LEASE};
use retrace_types::{Sha256, TaskId, TaskKind};
use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;

use crate::{
    ApiError, AppState,
    archive::{self, ArchiveLimits, Format},
    error::chain,
};

/// Name of an archive, or of an upload in parts, in the folder of its task.
pub(crate) const ARCHIVE: &str = "archive";

/// A task on its way into the queue. Dropped before it is there, it removes what it made; if the server is killed, the
/// store finds it.
pub(crate) struct Upload {
    store: Store,
    id: TaskId,
    dir: PathBuf,
    /// It is in the queue, or goes on without this value.
    done: bool,
    unpacking: Arc<Semaphore>,
    _alive: AbortOnDropHandle<()>,
}

impl Upload {
    /// Makes a task, if there is a place for it, and its folders.
    ///
    /// # Errors
    /// [`ApiError::QueueFull`], [`ApiError::Store`], [`ApiError::Io`].
    pub(crate) async fn begin(state: &AppState, kind: TaskKind, password_sha256: Sha256) -> Result<Self, ApiError> {
        let id = {
            // Of several uploads at once, only as many begin as there are places.
            let _admission = state.admission.lock().await;
            if state.store.task_counts().await?.unfinished() >= state.options.max_queued_tasks {
                return Err(state.deny_full_queue());
            }
            state.store.create_task(&NewTask { kind, password_sha256 }).await?
        };
        let upload = Self::adopt(state, id);
        tokio::fs::create_dir(&upload.dir).await?;
        tokio::fs::create_dir(upload.crash()).await?;
        Ok(upload)
    }

    /// Goes on with a task that was begun before and [left](Self::leave).
    pub(crate) fn adopt(state: &AppState, id: TaskId) -> Self {
        let store = state.store.clone();
        let alive = AbortOnDropHandle::new(tokio::spawn(keep_alive(store.clone(), id)));
        let dir = store.task_dir(id);
        Self { store, id, dir, done: false, unpacking: Arc::clone(&state.unpacking), _alive: alive }
    }

    pub(crate) fn id(&self) -> TaskId {
        self.id
    }

    /// Where the archive is written.
    pub(crate) fn archive(&self) -> PathBuf {
        self.dir.join(ARCHIVE)
    }

    /// The folder of what the worker gets.
    pub(crate) fn crash(&self) -> PathBuf {
        self.store.input_dir(self.id)
    }

    /// Empties the folder of what the worker gets: an earlier try may have been broken off.
    ///
    /// # Errors
    /// [`ApiError::Io`].
    pub(crate) async fn clear_crash(&self) -> Result<(), ApiError> {
        tokio::fs::remove_dir_all(self.crash()).await?;
        Ok(tokio::fs::create_dir(self.crash()).await?)
    }

    /// Unpacks an archive; one in the task's folder is removed then.
    ///
    /// # Errors
    /// [`ApiError::Archive`], [`ApiError::Io`].
    pub(crate) async fn unpack(&self, archive: PathBuf, format: Format, limits: ArchiveLimits) -> Result<(), ApiError> {
        let place = Arc::clone(&self.unpacking).acquire_owned().await.map_err(std::io::Error::other)?;
        let (crash, dir) = (self.crash(), self.dir.clone());
        let unpacking = tokio::task::spawn_blocking(move || -> Result<(), ApiError> {
            let _place = place;
            archive::unpack(&archive, format, &crash, limits)?;
            if archive.starts_with(&dir) {
                std::fs::remove_file(&archive)?;
            }
            for folder in [Some(dir.as_path()), dir.parent()].into_iter().flatten() {
                archive::sync_folder(folder)?;
            }
            Ok(())
        });
        unpacking.await.map_err(std::io::Error::other)?
    }

    /// Puts the task into the queue: everything that it needs is on disk.
    ///
    /// # Errors
    /// [`ApiError::Store`].
    pub(crate) async fn submit(mut self) -> Result<(), ApiError> {
        self.store.seal_input(self.id).await?;
        self.store.submit_task(self.id).await?;
        self.done = true;
        tracing::info!(task.id = %self.id, "Accepted task {}", self.id);
        Ok(())
    }

    /// Leaves the upload as it is, to be gone on with.
    pub(crate) fn leave(mut self) {
        self.done = true;
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let (store, id) = (self.store.clone(), self.id);
        tokio::spawn(async move {
            if let Err(error) = store.delete_task(id).await {
                tracing::warn!(task.id = %id, error = %chain(&error), "cannot remove a refused upload now");
            }
        });
    }
}

/// Tells the store that an upload goes on, until it is dropped.
async fn keep_alive(store: Store, id: TaskId) {
    let mut ticks = tokio::time::interval(UPLOAD_LEASE / 4);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        if let Err(error) = store.keep_upload(id).await {
            tracing::warn!(task.id = %id, error = %chain(&error), "cannot keep an upload alive");
        }
    }
}

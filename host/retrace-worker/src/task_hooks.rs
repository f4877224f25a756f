//! The hooks of one task: what they see of it, and what they said.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, OnceLock, PoisonError},
};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use retrace_store::{Lease, Outcome, Store, StoreError, Task, TaskFile};
use retrace_types::TaskStatus;
use tokio::io::AsyncWriteExt as _;

use crate::{
    EventDocument, HookEvent, Hooks,
    hooks::{HookFiles, Line},
    story::Story,
    work_folder::{self, WorkFolder},
};

/// Most bytes of results that are shown to a hook.
const MAX_RESULT_BYTES: u64 = 512 << 20;

/// Runs hooks for a task and keeps what they said for its log.
pub(crate) struct TaskHooks<'a> {
    hooks: &'a Hooks,
    store: &'a Store,
    lease: &'a Lease,
    task: &'a Task,
    /// Where the input is on this machine, once that is known.
    input: OnceLock<PathBuf>,
    said: Mutex<Story>,
}

impl<'a> TaskHooks<'a> {
    pub(crate) fn new(hooks: &'a Hooks, store: &'a Store, lease: &'a Lease, task: &'a Task) -> Self {
        Self { hooks, store, lease, task, input: OnceLock::new(), said: Mutex::default() }
    }

    pub(crate) fn task(&self) -> &Task {
        self.task
    }

    pub(crate) fn store(&self) -> &Store {
        self.store
    }

    pub(crate) fn lease(&self) -> &Lease {
        self.lease
    }

    /// The input is in this folder, for as long as the folder is there.
    pub(crate) fn has_input(&self, folder: &Path) {
        // It is said once.
        let _ = self.input.set(folder.to_owned());
    }

    /// Runs the hooks of an event; `outcome` is how the task ends, where that is known.
    ///
    /// # Errors
    /// The sentence that tells which required hook failed, and why.
    pub(crate) async fn run(&self, event: HookEvent, outcome: Option<&Outcome>) -> Result<(), String> {
        if self.hooks.is_idle(event) {
            return Ok(());
        }
        let mut task = self.task.clone();
        match outcome {
            Some(Outcome::Success) => task.status = TaskStatus::Success,
            Some(Outcome::Failure { message }) => {
                task.status = TaskStatus::Fail;
                task.message = Some(message.clone());
            }
            None => {}
        }
        let shown = match self.results().await {
            Ok(folder) => folder,
            Err(error) => {
                tracing::warn!(error = %format_args!("{error:#}"), "hooks see no results");
                None
            }
        };
        let crash = self.input.get().cloned().unwrap_or_else(|| self.store.input_dir(task.id));
        let files = HookFiles {
            crash: crash.is_dir().then_some(crash),
            results: shown.as_ref().map(|folder| folder.path().to_owned()),
        };
        let report = self.hooks.run(event, EventDocument::new(event.as_str(), &task), &files).await;
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        for line in &report.lines {
            match line {
                Line::Said(line) => said.tell(line),
                Line::Wrong(line) => said.warn(line),
            }
        }
        report.failure.map_or(Ok(()), Err)
    }

    async fn results(&self) -> Result<Option<WorkFolder>> {
        results_folder(self.store, &self.store.files_so_far(self.lease).await?, self.hooks.work_dir()).await
    }

    /// What the hooks said so far, as lines of the log.
    pub(crate) fn log(&self) -> String {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).text().to_owned()
    }
}

/// A folder with copies of these results; none if there are none.
pub(crate) async fn results_folder(store: &Store, files: &[TaskFile], work_dir: &Path) -> Result<Option<WorkFolder>> {
    if files.is_empty() {
        return Ok(None);
    }
    let total: u64 = files.iter().map(|file| file.size_bytes).sum();
    anyhow::ensure!(total <= MAX_RESULT_BYTES, "the results have {total} bytes, more than {MAX_RESULT_BYTES}");
    let folder = work_folder::create(work_dir).context("cannot make a folder for the results")?;
    for file in files {
        let path = folder.path().join(&file.name);
        write_stream(&path, store.read_task_file(file).await?)
            .await
            .with_context(|| format!("result {}", file.name))?;
    }
    Ok(Some(folder))
}

async fn write_stream(path: &Path, mut content: impl Stream<Item = Result<Bytes, StoreError>> + Unpin) -> Result<()> {
    let mut file = tokio::fs::File::options().write(true).create_new(true).open(path).await?;
    while let Some(chunk) = content.next().await {
        file.write_all(&chunk?).await?;
    }
    Ok(file.flush().await?)
}

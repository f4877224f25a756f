use std::{
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::{HostStatus, PluginError, PluginHost, host::chain};

/// How often a worker looks whether plugins changed.
pub const POLL: Duration = Duration::from_secs(5);

/// A thread that keeps the plugins of a host up to date, beginning with those that still have to be compiled. Ends when
/// this is dropped, after the compilation at hand.
pub struct Watcher {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watcher {
    /// Watches from now on, looking every `poll`; each look costs some system calls for each plugin. The host's
    /// [`HostStatus`] is written whenever it differs.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start(host: Arc<PluginHost>, poll: Duration) -> Result<Self, PluginError> {
        let (stop, stopped) = mpsc::channel();
        let watch = move || {
            let mut last = None;
            let mut told = None;
            loop {
                let failed = host.refresh().err().map(|error| chain(&error));
                if let Some(error) = failed.as_ref().filter(|_| failed != told) {
                    tracing::error!("plugins cannot be looked for: {error}; those that are loaded go on serving");
                }
                told = failed;
                tell(&host, &mut last);
                if stopped.recv_timeout(poll) != Err(mpsc::RecvTimeoutError::Timeout) {
                    break;
                }
            }
            HostStatus::remove(&host.options().cache_dir);
        };
        let thread = thread::Builder::new().name("plugin-watcher".to_owned()).spawn(watch);
        let thread = thread.map_err(|error| PluginError::Engine(Box::new(error)))?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

/// Writes the status if anything but the time changed, and logs which plugins serve.
fn tell(host: &PluginHost, last: &mut Option<HostStatus>) {
    let status = HostStatus::of(host);
    let is_new = |last: &HostStatus| HostStatus { written_at: last.written_at, ..status.clone() } != *last;
    if last.as_ref().is_none_or(|last| last.generation != status.generation) {
        for fault in status.faults.iter().filter(|fault| fault.kept_version.is_none()) {
            tracing::warn!("{}", fault.reason);
        }
        tracing::info!(plugins = status.plugins.len(), warming = status.warming.len(), "The set of plugins changed");
    }
    if last.as_ref().is_none_or(is_new) {
        if let Err(error) = status.write(&host.options().cache_dir) {
            tracing::warn!(%error, "cannot write the state of the plugins");
        }
        *last = Some(status);
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

use std::{path::Path, sync::mpsc, thread, time::Duration};

use wasmtime::{Cache, CacheConfig, Config, Engine};

use crate::{Limits, PluginError, check};

/// Length of one epoch. A deadline is kept to within one tick.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// The engine of all plugins, and the thread that makes its clock go.
pub(crate) struct PluginEngine {
    engine: Engine,
    cache: Cache,
    /// Ends the ticker when it is dropped.
    _stop: mpsc::Sender<()>,
}

impl PluginEngine {
    /// `cache_dir` must be absolute and belong to this user alone: what lies in it is run as machine code.
    pub(crate) fn new(cache_dir: &Path, limits: &Limits) -> Result<Self, PluginError> {
        let failed = |error: wasmtime::Error| PluginError::Engine(error.into_boxed_dyn_error());
        let mut cache_config = CacheConfig::new();
        cache_config.with_directory(cache_dir);
        let cache = Cache::new(cache_config).map_err(failed)?;

        let mut config = Config::new();
        config
            .wasm_features(!check::features(), false)
            .epoch_interruption(true)
            .wasm_backtrace_max_frames(None)
            // One memory never moves, and an instance takes little address space, which may be limited.
            .memory_reservation(u64::try_from(limits.memory_bytes).unwrap_or(u64::MAX))
            .cache(Some(cache.clone()));
        let engine = Engine::new(&config).map_err(failed)?;

        let (stop, stopped) = mpsc::channel();
        let clock = engine.clone();
        thread::Builder::new()
            .name("plugin-clock".to_owned())
            .spawn(move || {
                while stopped.recv_timeout(TICK) == Err(mpsc::RecvTimeoutError::Timeout) {
                    clock.increment_epoch();
                }
            })
            .map_err(|error| PluginError::Engine(Box::new(error)))?;
        Ok(Self { engine, cache, _stop: stop })
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// How often compiled code was found in the cache folder, so far.
    pub(crate) fn cache_hits(&self) -> usize {
        self.cache.cache_hits()
    }
}

/// Whole ticks that a call may take; at least one.
pub(crate) fn ticks(deadline: Duration) -> u64 {
    let ticks = deadline.as_millis() / TICK.as_millis();
    u64::try_from(ticks).unwrap_or(u64::MAX).max(1)
}

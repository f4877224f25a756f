use std::{
    path::Path,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use wasmparser::WasmFeatures;
use wasmtime::{Cache, CacheConfig, Config, Engine, Store};

use crate::{Limits, PluginError, cache, deadline};

/// Length of one epoch: how often a running call is looked after.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// What an engine is for. Machine code of one mode does not run in the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EngineMode {
    /// Calls end at their deadline, which costs least.
    Production,
    /// Instructions are counted as fuel: the same call of the same component uses the same number on every machine. A
    /// call ends when it has used [`FUEL_PER_MILLISECOND`] for each millisecond of its deadline.
    Measured,
}

impl EngineMode {
    /// `production` or `measured`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Production => "production",
            Self::Measured => "measured",
        }
    }
}

/// Fuel that stands for one millisecond of a deadline: a little more than a fast machine runs in it.
pub const FUEL_PER_MILLISECOND: u64 = 10_000_000;

/// How much longer the clock runs where fuel is what ends a call: one instruction may copy or fill a whole memory.
const MEASURED_DEADLINE_FACTOR: u32 = 20;

/// An engine for plugins, and the thread that makes its clock go.
pub struct PluginEngine {
    engine: Engine,
    cache: Option<Cache>,
    mode: EngineMode,
    /// Ends the ticker when it is dropped.
    _stop: mpsc::Sender<()>,
}

impl PluginEngine {
    /// Starts an engine. `cache_dir` holds compiled code, which is run as it is: the folder is made if it is missing, and
    /// refused if it does not belong to this user alone. Without one, every load compiles.
    ///
    /// # Errors
    /// The folder cannot be used, or the engine cannot be started.
    pub fn new(mode: EngineMode, limits: &Limits, cache_dir: Option<&Path>) -> Result<Arc<Self>, PluginError> {
        let failed = |error: wasmtime::Error| PluginError::Engine(error.into_boxed_dyn_error());
        let cache = match cache_dir {
            None => None,
            Some(dir) => {
                let mut config = CacheConfig::new();
                config.with_directory(cache::prepare(dir)?);
                Some(Cache::new(config).map_err(failed)?)
            }
        };

        let mut config = Config::new();
        config
            .wasm_features(!features(), false)
            .epoch_interruption(true)
            .consume_fuel(mode == EngineMode::Measured)
            .wasm_backtrace_max_frames(None)
            // One memory never moves, and an instance takes little address space, which may be limited.
            .memory_reservation(u64::try_from(limits.memory_bytes).unwrap_or(u64::MAX))
            .cache(cache.clone());
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
        Ok(Arc::new(Self { engine, cache, mode, _stop: stop }))
    }

    /// What it is for.
    #[must_use]
    pub fn mode(&self) -> EngineMode {
        self.mode
    }

    /// Sets the time of the next call; returns its fuel where that is counted.
    pub(crate) fn start_call<T: 'static>(
        &self,
        store: &mut Store<T>,
        limit: Duration,
    ) -> wasmtime::Result<Option<u64>> {
        match self.mode {
            EngineMode::Production => {
                deadline::start(store, limit);
                Ok(None)
            }
            EngineMode::Measured => {
                deadline::start(store, limit.saturating_mul(MEASURED_DEADLINE_FACTOR));
                let milliseconds = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
                let fuel = milliseconds.saturating_mul(FUEL_PER_MILLISECOND);
                store.set_fuel(fuel)?;
                Ok(Some(fuel))
            }
        }
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// How often compiled code was found in the cache folder, so far.
    pub(crate) fn cache_hits(&self) -> usize {
        self.cache.as_ref().map_or(0, Cache::cache_hits)
    }
}

/// The features of WebAssembly that plugins may use: those that compilers switch on by default for this target, as far as
/// plain code needs them. Every other one is code of the engine that hostile input cannot reach.
pub(crate) fn features() -> WasmFeatures {
    WasmFeatures::MUTABLE_GLOBAL
        | WasmFeatures::SATURATING_FLOAT_TO_INT
        | WasmFeatures::SIGN_EXTENSION
        | WasmFeatures::REFERENCE_TYPES
        | WasmFeatures::MULTI_VALUE
        | WasmFeatures::BULK_MEMORY
        | WasmFeatures::FLOATS
        // The engine's own adapters between components need it.
        | WasmFeatures::MULTI_MEMORY
        | WasmFeatures::EXTENDED_CONST
        | WasmFeatures::COMPONENT_MODEL
        | WasmFeatures::GC_TYPES
}

#[cfg(test)]
mod tests {
    use wasmtime::component::Component;

    use super::*;

    /// A component with one core module, whose memories have these flags.
    fn with_memories(flags: &[u8]) -> Vec<u8> {
        let count = u8::try_from(flags.len()).unwrap();
        let memories: Vec<u8> = flags.iter().flat_map(|flag| [*flag, 1]).collect();
        let mut module = b"\0asm\x01\0\0\0\x05".to_vec();
        module.extend([count * 2 + 1, count]);
        module.extend(memories);
        let mut component = b"\0asm\x0d\0\x01\0\x01".to_vec();
        component.push(u8::try_from(module.len()).unwrap());
        component.extend(module);
        component
    }

    #[test]
    fn only_wanted_features_are_compiled() {
        let dir = tempfile::tempdir().unwrap();
        let engine = PluginEngine::new(EngineMode::Production, &Limits::default(), Some(dir.path())).unwrap();
        let compiles = |flags| Component::from_binary(engine.engine(), &with_memories(flags)).is_ok();
        assert!(compiles(&[0]));
        assert!(compiles(&[0, 0]), "adapters between components need two memories");
        assert!(!compiles(&[4]), "memory64");
        assert!(!compiles(&[3]), "shared memory");
    }
}

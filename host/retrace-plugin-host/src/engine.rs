use std::{path::Path, sync::mpsc, thread, time::Duration};

use wasmparser::WasmFeatures;
use wasmtime::{Cache, CacheConfig, Config, Engine};

use crate::{Limits, PluginError};

/// Length of one epoch: how often a running call is looked after.
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
            .wasm_features(!features(), false)
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
        let engine = PluginEngine::new(dir.path(), &Limits::default()).unwrap();
        let compiles = |flags| Component::from_binary(engine.engine(), &with_memories(flags)).is_ok();
        assert!(compiles(&[0]));
        assert!(compiles(&[0, 0]), "adapters between components need two memories");
        assert!(!compiles(&[4]), "memory64");
        assert!(!compiles(&[3]), "shared memory");
    }
}

//! A component that a command was given as a file.

use std::{fs::File, io::Read as _, path::Path, process::ExitCode, sync::Arc};

use anyhow::{Context as _, Result};
use retrace_plugin_host::{EngineMode, Guest, Limits, Loader, PluginError};

use super::NOT_LOADABLE;
use crate::{config::Config, wiring};

/// The bytes of a file, no more than a component may have and one.
pub(super) fn read(path: &Path, limits: &Limits) -> Result<Vec<u8>> {
    let failed = || format!("cannot read {}", path.display());
    let mut bytes = Vec::new();
    let file = File::open(path).with_context(failed)?;
    file.take(limits.file_bytes.saturating_add(1)).read_to_end(&mut bytes).with_context(failed)?;
    Ok(bytes)
}

/// The component, checked, compiled in a child and ready for calls.
pub(super) struct Component {
    pub(super) guest: Arc<Guest>,
    loader: Loader,
    bytes: Vec<u8>,
}

/// Why there is none.
pub(super) enum NotLoaded {
    /// The file is no plugin, or not one for this contract.
    NoPlugin(PluginError),
    /// Anything else.
    Failed(anyhow::Error),
}

impl NotLoaded {
    /// Ends the command.
    pub(super) fn tell(self) -> Result<ExitCode> {
        match self {
            Self::NoPlugin(error) => {
                eprintln!("error: {:#}", anyhow::Error::from(error));
                Ok(ExitCode::from(NOT_LOADABLE))
            }
            Self::Failed(error) => Err(error),
        }
    }
}

impl Component {
    pub(super) fn load(config: &Config, path: &Path, mode: EngineMode) -> Result<Self, NotLoaded> {
        let limits = &config.plugins.limits;
        let bytes = read(path, limits).map_err(NotLoaded::Failed)?;
        let options = wiring::plugin_options(config);
        let loader = Loader::new(mode, limits, &options.cache_dir, options.compiler);
        let loader = loader.map_err(|error| NotLoaded::Failed(error.into()))?;
        match loader.guest(&bytes, path) {
            Ok(guest) => Ok(Self { guest, loader, bytes }),
            Err(error @ (PluginError::NotAPlugin { .. } | PluginError::Failure(_) | PluginError::Compile { .. })) => {
                Err(NotLoaded::NoPlugin(error))
            }
            Err(error) => Err(NotLoaded::Failed(error.into())),
        }
    }

    /// Loads it once more: from the cache now.
    ///
    /// # Errors
    /// The cache failed: it was loaded before.
    pub(super) fn load_again(&self, path: &Path) -> Result<Arc<Guest>> {
        Ok(self.loader.guest(&self.bytes, path)?)
    }

    /// Size of the file.
    pub(super) fn size_bytes(&self) -> usize {
        self.bytes.len()
    }
}

//! Puts the crates together as the configuration says.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use retrace_chroot::{FileCache, SandboxLimits};
use retrace_mirror::{Mirror, MirrorOptions};
use retrace_plugin_host::{
    HostOptions, Limits, PluginError, PluginHost, PluginInfo,
    library::{Bundled, InstallOptions, Library, LibraryError, Trust},
};
use retrace_store::Store;
use retrace_types::DistroId;
use retrace_worker::{Analyzer, AnalyzerOptions};

use crate::config::Config;

const MIB: u64 = 1024 * 1024;

pub(crate) async fn store(config: &Config) -> Result<Store> {
    let dir = &config.state_dir;
    Store::open(dir).await.with_context(|| format!("cannot open the store in {}", dir.display()))
}

/// Loads the plugins; a broken one is told and left out.
pub(crate) fn plugins(config: &Config) -> Result<PluginHost> {
    let host = bundled_host(config)?;
    for failure in host.failures() {
        tracing::warn!("{failure}");
    }
    Ok(host)
}

/// What became of each plugin, for commands that tell it.
pub(crate) struct Loaded {
    /// Those that serve.
    pub(crate) serving: Vec<PluginInfo>,
    /// Those that were meant to serve and do not.
    pub(crate) faults: Vec<LoadFault>,
    /// Ids of bundled plugins whose place an installed one takes.
    pub(crate) replaced: Vec<DistroId>,
}

/// A plugin that does not serve.
pub(crate) struct LoadFault {
    pub(crate) path: PathBuf,
    pub(crate) reason: String,
}

pub(crate) fn load(config: &Config) -> Result<Loaded> {
    let host = bundled_host(config)?;
    let fault = |error: &PluginError| LoadFault { path: PathBuf::new(), reason: error.to_string() };
    let (serving, faults) = (host.plugins().cloned().collect(), host.failures().iter().map(fault).collect());
    Ok(Loaded { serving, faults, replaced: Vec::new() })
}

fn bundled_host(config: &Config) -> Result<PluginHost> {
    let options = HostOptions {
        plugin_dir: config.plugin_dir.clone(),
        cache_dir: config.cache_dir.join("plugins"),
        ..HostOptions::default()
    };
    PluginHost::load(&options).with_context(|| format!("cannot load the plugins in {}", config.plugin_dir.display()))
}

/// The plugins that the operator installed.
pub(crate) fn library(config: &Config) -> Library {
    Library::new(config.state_dir.join("plugins"))
}

/// The keys that may sign plugins. Files that cannot be used are told.
pub(crate) fn trust(config: &Config) -> Result<Trust, LibraryError> {
    let trust = Trust::read(&config.plugins.trust_dir)?;
    for (path, why) in trust.unusable() {
        tracing::warn!("the key {} is not used: {why}", path.display());
    }
    Ok(trust)
}

/// The names of the plugins that come with Retrace; none where there are none.
pub(crate) fn bundled(config: &Config) -> Result<Vec<Bundled>> {
    if !config.plugin_dir.is_dir() {
        return Ok(Vec::new());
    }
    let host = bundled_host(config)?;
    Ok(host.plugins().map(|plugin| Bundled { id: plugin.id.clone(), aliases: plugin.aliases.clone() }).collect())
}

/// How the commands install: nothing that is not signed, nothing over another, into the workers' cache.
pub(crate) fn install_options<'a>(config: &Config, trust: &'a Trust, bundled: &'a [Bundled]) -> InstallOptions<'a> {
    InstallOptions {
        trust,
        allow_unsigned: false,
        replace: false,
        development: false,
        lock: None,
        bundled,
        cache_dir: config.cache_dir.join("plugins"),
        keys_dir: config.keys_dir.is_dir().then(|| config.keys_dir.clone()),
        limits: Limits::default(),
    }
}

pub(crate) fn mirror(config: &Config, store: Store) -> Result<Mirror> {
    Mirror::new(store, mirror_options(config)).context("cannot set up the mirror")
}

pub(crate) fn mirror_options(config: &Config) -> MirrorOptions {
    MirrorOptions {
        keys_dir: config.keys_dir.clone(),
        operator_keys: config.mirror.operator_keys.clone(),
        download_dir: config.cache_dir.join("downloads"),
        connect_timeout: Duration::from_secs(config.mirror.connect_timeout_seconds),
        idle_timeout: Duration::from_secs(config.mirror.idle_timeout_seconds),
        ..MirrorOptions::default()
    }
}

pub(crate) async fn analyzer(config: &Config) -> Result<Analyzer> {
    let store = store(config).await?;
    let mirror = mirror(config, store.clone())?;
    let host_config = config.clone();
    let plugins = tokio::task::spawn_blocking(move || plugins(&host_config)).await??;
    let cache = FileCache::new(&config.cache_dir.join("files")).context("cannot open the cache of unpacked files")?;
    let options = AnalyzerOptions {
        work_dir: config.cache_dir.join("work"),
        gdb: config.gdb.program.clone(),
        sandbox: SandboxLimits {
            wall_time: Duration::from_secs(config.gdb.time_limit_seconds),
            memory_bytes: config.gdb.memory_limit_mib.saturating_mul(MIB),
            ..SandboxLimits::default()
        },
        max_core_bytes: config.limits.core_size_mib.saturating_mul(MIB),
    };
    Ok(Analyzer::new(store, mirror, Arc::new(plugins), cache, options))
}

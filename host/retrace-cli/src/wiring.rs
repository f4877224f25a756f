//! Puts the crates together as the configuration says.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use retrace_chroot::{FileCache, SandboxLimits};
use retrace_mirror::{Mirror, MirrorOptions};
use retrace_plugin_host::{HostOptions, PluginHost};
use retrace_store::Store;
use retrace_worker::{Analyzer, AnalyzerOptions};

use crate::config::Config;

const MIB: u64 = 1024 * 1024;

pub(crate) async fn store(config: &Config) -> Result<Store> {
    let dir = &config.state_dir;
    Store::open(dir).await.with_context(|| format!("cannot open the store in {}", dir.display()))
}

/// Loads the plugins; a broken one is told and left out.
pub(crate) fn plugins(config: &Config) -> Result<PluginHost> {
    let options = HostOptions {
        plugin_dir: config.plugin_dir.clone(),
        cache_dir: config.cache_dir.join("plugins"),
        ..HostOptions::default()
    };
    let host = PluginHost::load(&options)
        .with_context(|| format!("cannot load the plugins in {}", config.plugin_dir.display()))?;
    for failure in host.failures() {
        tracing::warn!("{failure}");
    }
    Ok(host)
}

pub(crate) fn mirror(config: &Config, store: Store) -> Result<Mirror> {
    let options = MirrorOptions {
        keys_dir: config.keys_dir.clone(),
        operator_keys: config.mirror.operator_keys.clone(),
        download_dir: config.cache_dir.join("downloads"),
        connect_timeout: Duration::from_secs(config.mirror.connect_timeout_seconds),
        idle_timeout: Duration::from_secs(config.mirror.idle_timeout_seconds),
        ..MirrorOptions::default()
    };
    Mirror::new(store, options).context("cannot set up the mirror")
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

//! Puts the crates together as the configuration says.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use retrace_chroot::SandboxLimits;
use retrace_mirror::{Mirror, MirrorOptions};
use retrace_package::FileCache;
use retrace_plugin_host::{
    Compiler, Fault, HostOptions, POLL, PluginHost, PluginInfo, Registry, Watcher,
    library::{Bundled, InstallOptions, Library, LibraryError, Trust},
};
use retrace_server::Debuginfod;
use retrace_store::{Store, StoreOptions};
use retrace_types::DistroId;
use retrace_worker::{Analyzer, AnalyzerOptions, Gc};

use crate::config::Config;

const MIB: u64 = 1024 * 1024;

pub(crate) async fn store(config: &Config) -> Result<Store> {
    let dir = &config.state_dir;
    Store::open_with(dir, &store_options(config))
        .await
        .with_context(|| format!("cannot open the store in {}", dir.display()))
}

/// Where the store lies beside its folder.
pub(crate) fn store_options(config: &Config) -> StoreOptions {
    StoreOptions {
        postgres_url: Some(config.database_url.clone()).filter(|url| !url.is_empty()),
        artifacts: config.artifacts.options(&config.cache_dir),
    }
}

/// The plugins, all of them ready; a broken one is told and left out.
pub(crate) fn plugins(config: &Config) -> Result<Arc<Registry>> {
    Ok(plugin_host(config)?.registry())
}

/// Loads the plugins, compiling what must be compiled; a broken one is told and left out.
pub(crate) fn plugin_host(config: &Config) -> Result<PluginHost> {
    let host = quiet_host(plugin_options(config))?;
    for fault in host.registry().faults() {
        tracing::warn!("{:#}", anyhow::Error::new(Arc::clone(&fault.error)));
    }
    Ok(host)
}

fn quiet_host(options: HostOptions) -> Result<PluginHost> {
    PluginHost::load(&options).with_context(|| format!("cannot load the plugins in {}", options.plugin_dir.display()))
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
    let registry = quiet_host(plugin_options(config))?.registry();
    let fault = |fault: &Fault| LoadFault {
        path: fault.path.clone(),
        reason: format!("{:#}", anyhow::Error::new(Arc::clone(&fault.error))),
    };
    // What the library refuses by itself, the library tells.
    let is_file = |fault: &&Fault| fault.path.extension().is_some_and(|extension| extension == "wasm");
    Ok(Loaded {
        serving: registry.plugins().map(|plugin| plugin.info().clone()).collect(),
        faults: registry.faults().iter().filter(is_file).map(fault).collect(),
        replaced: registry.replaced().iter().map(|info| info.id.clone()).collect(),
    })
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
    let options = HostOptions { library_dir: None, ..plugin_options(config) };
    let registry = quiet_host(options)?.registry();
    let infos = registry.plugins().map(|plugin| plugin.info());
    Ok(infos.map(|info| Bundled { id: info.id.clone(), aliases: info.aliases.clone() }).collect())
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
        fixtures_dir: None,
        keys_dir: config.keys_dir.is_dir().then(|| config.keys_dir.clone()),
        compiler: compiler(),
        limits: config.plugins.limits.clone(),
    }
}

/// This program compiles plugins, in a child.
fn compiler() -> Compiler {
    Compiler::Child { program: std::env::current_exe().unwrap_or_else(|_| PathBuf::from("retrace")) }
}

/// Where plugins are and what they may cost, as configured.
pub(crate) fn plugin_options(config: &Config) -> HostOptions {
    HostOptions {
        plugin_dir: config.plugin_dir.clone(),
        library_dir: Some(config.state_dir.join("plugins")),
        cache_dir: config.cache_dir.join("plugins"),
        compiler: compiler(),
        limits: config.plugins.limits.clone(),
        priority: config.plugins.priority.clone(),
    }
}

/// Files unpacked from packages; server and worker share them.
pub(crate) fn file_cache(config: &Config) -> Result<FileCache> {
    FileCache::new(&config.cache_dir.join("files")).context("cannot open the cache of unpacked files")
}

/// The endpoint for debuggers; none where it is switched off.
pub(crate) fn debuginfod(config: &Config, store: &Store) -> Result<Option<Debuginfod>> {
    if !config.debuginfod.enabled {
        return Ok(None);
    }
    let upstream =
        FileCache::new(&config.cache_dir.join("upstream")).context("cannot open the cache of upstream files")?;
    let made = Debuginfod::new(store.clone(), file_cache(config)?, upstream, config.debuginfod.options());
    made.map(Some).context("cannot set up the debuginfod endpoint")
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
        archives: config.mirror.archives,
        rules: config.repository.clone(),
        access_rules: config.mirror.access.iter().map(|access| access.rule()).collect(),
        ..MirrorOptions::default()
    }
}

/// For one analysis: waits until every plugin is compiled.
pub(crate) async fn analyzer(config: &Config) -> Result<Analyzer> {
    let host_config = config.clone();
    let plugins = tokio::task::spawn_blocking(move || plugin_host(&host_config)).await??;
    analyzer_with(config, store(config).await?, Arc::new(plugins)).await
}

/// For a worker: ready with the plugins that are compiled already. The watcher compiles the others and loads what changes;
/// keep it as long as the analyzer.
pub(crate) async fn serving_analyzer(config: &Config, store: Store) -> Result<(Analyzer, Watcher)> {
    let options = plugin_options(config);
    let open = move || -> Result<_> {
        let plugins = Arc::new(PluginHost::open(&options)?);
        let warming = plugins.registry().warming().len();
        if warming > 0 {
            tracing::info!("Warming: {warming} plugins are compiled meanwhile; the others serve");
        }
        let watcher = Watcher::start(Arc::clone(&plugins), POLL)?;
        Ok((plugins, watcher))
    };
    let (plugins, watcher) = tokio::task::spawn_blocking(open).await?.context("cannot load the plugins")?;
    Ok((analyzer_with(config, store, plugins).await?, watcher))
}

async fn analyzer_with(config: &Config, store: Store, plugins: Arc<PluginHost>) -> Result<Analyzer> {
    let mirror = mirror(config, store.clone())?;
    let cache = file_cache(config)?;
    let options = AnalyzerOptions {
        work_dir: config.work_dir(),
        gdb: config.gdb.program.clone(),
        sandbox: SandboxLimits {
            wall_time: Duration::from_secs(config.gdb.time_limit_seconds),
            memory_bytes: config.gdb.memory_limit_mib.saturating_mul(MIB),
            ..SandboxLimits::default()
        },
        max_core_bytes: config.limits.core_size_mib.saturating_mul(MIB),
        max_disk_bytes: config.worker.max_task_disk_mib.saturating_mul(MIB),
    };
    Ok(Analyzer::new(store, mirror, plugins, cache, options))
}

/// What removes old things of this store, and of this machine's cache.
pub(crate) fn gc(config: &Config, store: Store) -> Result<Gc> {
    Ok(Gc::new(store, file_cache(config)?, config.hooks(), config.gc.options(config)))
}

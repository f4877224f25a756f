use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use retrace_types::DistroId;

use crate::{
    Compiler, EngineMode, Fault, Limits, Loader, Plugin, PluginError, Registry,
    library::Mark,
    sources::{Key, Source, Sources},
};

/// Where plugins are, and what they may cost.
#[derive(Clone, Debug, Default)]
pub struct HostOptions {
    /// Folder with the plugins that come with Retrace: every file in it that ends in `.wasm`. Folders in it are not read.
    pub plugin_dir: PathBuf,
    /// Folder of the plugins that the operator installed ([`Library`](crate::library::Library)). An installed plugin takes
    /// the place of the one in `plugin_dir` that has its id.
    pub library_dir: Option<PathBuf>,
    /// Folder for compiled plugins; made if it is missing. It must belong to this user alone, for what lies there is run
    /// as machine code. It can be removed at any time.
    pub cache_dir: PathBuf,
    /// Who compiles a plugin whose code is not in the cache folder.
    pub compiler: Compiler,
    /// What plugins may cost.
    pub limits: Limits,
    /// Which plugin is believed when several claim a release with the same confidence: the first one listed.
    pub priority: Vec<DistroId>,
}

/// Loads plugins, and loads them anew when their files change.
///
/// Whoever asks takes the [`Registry`] of the moment: [`PluginHost::registry`].
pub struct PluginHost {
    options: HostOptions,
    loader: Loader,
    sources: Sources,
    current: RwLock<Arc<Registry>>,
    /// What is known of each plugin. Locked for the time of a refresh, so that two do not mix.
    known: Mutex<State>,
    refused: AtomicU64,
}

#[derive(Default)]
struct State {
    known: BTreeMap<Key, Known>,
    mark: Option<Mark>,
}

/// What became of a plugin's file.
struct Known {
    source: Source,
    plugin: Option<Arc<Plugin>>,
    /// Why the file as it is now does not serve; `plugin` is then the version before, if there is one.
    error: Option<Arc<PluginError>>,
    /// Waits for its turn to be compiled.
    warming: bool,
}

/// What to do with a plugin that is not compiled yet.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unready {
    Compile,
    Leave,
}

impl PluginHost {
    /// Loads every plugin, compiling those whose code is not in the cache folder: some 100 ms for one in Rust, seconds for
    /// one in Python. From the cache, a plugin in Rust takes about a millisecond.
    ///
    /// A plugin that cannot be loaded is reported by [`Registry::faults`]; the others serve.
    ///
    /// # Errors
    /// A folder cannot be used, or the engine cannot be started.
    pub fn load(options: &HostOptions) -> Result<Self, PluginError> {
        let host = Self::new(options)?;
        host.refresh()?;
        Ok(host)
    }

    /// As [`PluginHost::load`], but leaves what would have to be compiled for the next [`refresh`](Self::refresh): those
    /// plugins are in [`Registry::warming`].
    ///
    /// # Errors
    /// As [`PluginHost::load`].
    pub fn open(options: &HostOptions) -> Result<Self, PluginError> {
        let host = Self::new(options)?;
        host.update(Unready::Leave)?;
        Ok(host)
    }

    fn new(options: &HostOptions) -> Result<Self, PluginError> {
        let loader =
            Loader::new(EngineMode::Production, &options.limits, &options.cache_dir, options.compiler.clone())?;
        Ok(Self {
            sources: Sources::new(options),
            options: options.clone(),
            loader,
            current: RwLock::default(),
            known: Mutex::default(),
            refused: AtomicU64::new(0),
        })
    }

    /// The plugins that serve now. Keep it for the length of one job, so that the job is answered by one version of each.
    #[must_use]
    pub fn registry(&self) -> Arc<Registry> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What it was made with.
    #[must_use]
    pub fn options(&self) -> &HostOptions {
        &self.options
    }

    /// What loads its plugins.
    #[must_use]
    pub fn loader(&self) -> &Loader {
        &self.loader
    }

    /// Looks for new, changed and removed plugins, compiles what must be compiled, and puts another registry in the place
    /// of the old one if anything changed; true if so. A plugin serves as soon as it is ready, it does not wait for the
    /// others.
    ///
    /// A changed file that cannot be loaded leaves the version before it in place and is reported by [`Registry::faults`].
    ///
    /// # Errors
    /// A folder cannot be read; nothing was changed then.
    pub fn refresh(&self) -> Result<bool, PluginError> {
        self.update(Unready::Compile)
    }

    /// How many changed files were refused while an older version went on serving.
    #[must_use]
    pub fn refused_updates(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    fn update(&self, unready: Unready) -> Result<bool, PluginError> {
        let mut state = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let found = self.sources.find()?;
        let asked_again = found.mark != state.mark;
        state.mark = found.mark;
        let known = &mut state.known;
        let before = known.len();
        known.retain(|key, _| found.sources.contains_key(key));
        let mut changed = known.len() != before || self.registry().generation() == 0;
        for (key, source) in &found.sources {
            let old = known.get(key);
            let is_same = old.is_some_and(|old| old.source == *source && !old.warming);
            if is_same && !(asked_again && old.is_some_and(|old| old.error.is_some())) {
                continue;
            }
            let old = old.and_then(|old| old.plugin.clone());
            let now = self.load_source(source, old, unready);
            let is_late = !now.warming && known.get(key).is_some_and(|old| old.warming);
            known.insert(key.clone(), now);
            changed = true;
            if is_late {
                self.publish(known, &found.faults);
            }
        }
        if changed || asked_again {
            self.publish(known, &found.faults);
        }
        Ok(changed)
    }

    fn load_source(&self, source: &Source, old: Option<Arc<Plugin>>, unready: Unready) -> Known {
        let loaded = source.read(&self.options.limits).and_then(|bytes| {
            let sha256 = crate::guest::digest(&bytes);
            if let Some(old) = old.as_ref().filter(|old| old.info().sha256 == sha256 && old.info().path == source.path)
            {
                return Ok(Some(Arc::clone(old))); // touched, not changed: what the breaker knows of it stays true
            }
            if unready == Unready::Leave && !self.loader.is_ready(sha256) {
                return Ok(None);
            }
            let plugin = self.loader.plugin_of(&bytes, sha256, &source.path, source.origin)?;
            source.check_id(&plugin)?;
            Ok(Some(plugin))
        });
        let (plugin, error, warming) = match loaded {
            Ok(Some(plugin)) => (Some(plugin), None, false),
            Ok(None) => (old, None, true),
            Err(error) => {
                if let Some(old) = &old {
                    self.refused.fetch_add(1, Ordering::Relaxed);
                    let info = old.info();
                    tracing::error!("{}; version {} of {} goes on serving", chain(&error), info.version, info.id);
                }
                (old, Some(Arc::new(error)), false)
            }
        };
        Known { source: source.clone(), plugin, error, warming }
    }

    /// Puts the plugins together: the installed ones first, then those of the folder that no installed one replaces. Of two
    /// that serve one distribution, the first one stays.
    fn publish(&self, known: &BTreeMap<Key, Known>, faults: &[Fault]) {
        let mut plugins: Vec<Arc<Plugin>> = Vec::new();
        let (mut faults, mut warming, mut replaced) = (faults.to_vec(), Vec::new(), Vec::new());
        for (key, entry) in known {
            let path = &entry.source.path;
            if entry.warming {
                warming.push(path.clone());
            }
            let is_replaced = |plugin: &Arc<Plugin>| {
                matches!(key, Key::File(_))
                    && known.contains_key(&Key::Installed(plugin.info().id.clone()))
                    && plugins.iter().any(|other| other.info().id == plugin.info().id)
            };
            if let Some(plugin) = entry.plugin.as_ref().filter(|plugin| is_replaced(plugin)) {
                replaced.push(plugin.info().clone());
                continue;
            }
            let rival = entry.plugin.as_ref().and_then(|plugin| rival(&plugins, plugin));
            let serving = entry.plugin.as_ref().filter(|_| rival.is_none());
            if let Some(error) = &entry.error {
                let kept = serving.map(|plugin| plugin.info().clone());
                faults.push(Fault { path: path.clone(), error: Arc::clone(error), kept });
            }
            if let Some(error) = rival {
                faults.push(Fault { path: path.clone(), error: Arc::new(error), kept: None });
            }
            plugins.extend(serving.cloned());
        }
        plugins.retain(|plugin| !self.sources.is_disabled(&plugin.info().id));
        let generation = self.registry().generation().saturating_add(1);
        let registry =
            Registry { plugins, faults, warming, replaced, priority: self.options.priority.clone(), generation };
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(registry);
    }
}

/// The error if one of the plugins serves a distribution that this one serves, too.
fn rival(plugins: &[Arc<Plugin>], plugin: &Arc<Plugin>) -> Option<PluginError> {
    let info = plugin.info();
    let of = |id: &DistroId| plugins.iter().find(|other| other.serves(id)).map(|other| (id.clone(), other));
    let (id, first) = info.aliases.iter().chain([&info.id]).find_map(of)?;
    Some(PluginError::Duplicate { id, first: first.info().path.clone(), second: info.path.clone() })
}

/// An error with its causes, on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

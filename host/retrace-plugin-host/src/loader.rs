use std::{
    fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Instant, SystemTime},
};

use retrace_types::Sha256;

use crate::{
    CompileError, Compiler, Guest, Limits, NotAPlugin, Origin, Plugin, PluginError, cache, check, compile,
    engine::{EngineMode, PluginEngine},
    failures::FailureInputs,
    guest::digest,
    inspect,
    plugin::{self, Extras},
};

/// The way from bytes to something that can be called, with every check on it and no other way around: static checks,
/// compiling by a [`Compiler`], the cache of compiled code, linking.
///
/// The cache folder holds `wasmtime/`, the engine's own cache; `compiled/`, a note for each component that a child compiled,
/// naming its file in there; `failures/`, inputs that made plugins fail. All of it can be removed at any time.
pub struct Loader {
    engine: Arc<PluginEngine>,
    limits: Limits,
    cache_dir: PathBuf,
    compiler: Compiler,
    /// Stands for engine, processor and settings: compiled code of one fits no other.
    fingerprint: u64,
}

impl Loader {
    /// Starts an engine on a cache folder, which is made if it is missing and refused if others can write to it.
    ///
    /// # Errors
    /// The folder cannot be used, or the engine cannot be started.
    pub fn new(mode: EngineMode, limits: &Limits, cache_dir: &Path, compiler: Compiler) -> Result<Self, PluginError> {
        let cache_dir = cache::prepare(cache_dir)?;
        let engine = PluginEngine::new(mode, limits, Some(&cache_dir.join("wasmtime")))?;
        let mut hasher = DefaultHasher::new();
        engine.engine().precompile_compatibility_hash().hash(&mut hasher);
        let loader = Self { engine, limits: limits.clone(), cache_dir, compiler, fingerprint: hasher.finish() };
        loader.remove_leftovers();
        Ok(loader)
    }

    /// The engine.
    #[must_use]
    pub fn engine(&self) -> &Arc<PluginEngine> {
        &self.engine
    }

    /// The limits.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Whether a child has compiled this component and its code is in the cache: loading it takes no compiling.
    #[must_use]
    pub fn is_ready(&self, sha256: Sha256) -> bool {
        let file = fs::read_to_string(self.note(sha256)).ok();
        file.is_some_and(|file| self.engine_cache().join(file.trim_end()).is_file())
    }

    /// Makes sure that a component is harmless and compiled; true if it had to be compiled now. Blocks for the time that
    /// takes.
    ///
    /// # Errors
    /// [`PluginError::NotAPlugin`] for a broken rule, [`PluginError::Compile`].
    pub fn prepare(&self, bytes: &[u8], path: &Path) -> Result<bool, PluginError> {
        self.prepare_known(bytes, digest(bytes), path)
    }

    fn prepare_known(&self, bytes: &[u8], sha256: Sha256, path: &Path) -> Result<bool, PluginError> {
        let not_a_plugin = |source: NotAPlugin| PluginError::NotAPlugin { path: path.to_owned(), source };
        check::check(bytes, &self.limits).map_err(not_a_plugin)?;
        if self.is_ready(sha256) {
            return Ok(false);
        }
        inspect::verify(bytes, &self.limits).map_err(not_a_plugin)?;
        match &self.compiler {
            Compiler::InProcess => Ok(false),
            Compiler::Child { program } => {
                let compiled = self.compile(program, bytes, sha256);
                compiled.map_err(|source| PluginError::Compile { path: path.to_owned(), source })?;
                Ok(true)
            }
        }
    }

    /// Makes a component callable; it need not be a plugin that can describe itself.
    ///
    /// # Errors
    /// As [`Loader::prepare`]; [`PluginError::Failure`] if it cannot be linked.
    pub fn guest(&self, bytes: &[u8], path: &Path) -> Result<Arc<Guest>, PluginError> {
        let sha256 = digest(bytes);
        self.prepare_known(bytes, sha256, path)?;
        let name = plugin::file_name(path);
        let guest = Guest::load_known(&self.engine, bytes, sha256, &name, &self.limits);
        Ok(Arc::new(guest.map_err(|kind| plugin::load_failure(path, sha256, "load", kind))?))
    }

    /// Makes a plugin of a component: compiles it if need be, links it, asks it to describe itself.
    ///
    /// # Errors
    /// As [`Loader::guest`]; [`PluginError::Failure`] also if its description breaks a rule.
    pub fn plugin(&self, bytes: &[u8], path: &Path) -> Result<Arc<Plugin>, PluginError> {
        self.plugin_of(bytes, digest(bytes), path, Origin::default())
    }

    pub(crate) fn plugin_of(
        &self,
        bytes: &[u8],
        sha256: Sha256,
        path: &Path,
        origin: Origin,
    ) -> Result<Arc<Plugin>, PluginError> {
        let started = Instant::now();
        let compiled = self.prepare_known(bytes, sha256, path)?;
        let inputs = Some(FailureInputs::new(&self.cache_dir.join("failures")));
        let extras = Extras { origin, inputs, compiled, started };
        Ok(Arc::new(Plugin::load_with(&self.engine, bytes, sha256, path, &self.limits, extras)?))
    }

    fn compile(&self, program: &Path, bytes: &[u8], sha256: Sha256) -> Result<(), CompileError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            |source| CompileError::Io { path, source }
        };
        let started = Instant::now();
        let staging =
            tempfile::Builder::new().prefix(STAGING).tempdir_in(&self.cache_dir).map_err(io(&self.cache_dir))?;
        let (file, cache) = compile::in_child(program, self.engine.mode(), bytes, staging.path(), &self.limits)?;
        let target = self.engine_cache().join(&file);
        let parent = target.parent().unwrap_or(&self.cache_dir);
        fs::create_dir_all(parent).map_err(io(parent))?;
        fs::rename(cache.join(&file), &target).map_err(io(&target))?;
        let note = self.note(sha256);
        let notes = note.parent().unwrap_or(&self.cache_dir);
        fs::create_dir_all(notes).map_err(io(notes))?;
        let part = staging.path().join("note");
        fs::write(&part, format!("{}\n", file.display())).map_err(io(&part))?;
        fs::rename(&part, &note).map_err(io(&note))?;
        tracing::info!(plugin.sha256 = %sha256, duration = ?started.elapsed(), "compiled a plugin");
        Ok(())
    }

    fn engine_cache(&self) -> PathBuf {
        self.cache_dir.join("wasmtime")
    }

    fn note(&self, sha256: Sha256) -> PathBuf {
        self.cache_dir.join("compiled").join(format!("{sha256}-{:016x}", self.fingerprint))
    }

    /// Removes the folders of children that were killed with their parent.
    fn remove_leftovers(&self) {
        let Ok(entries) = fs::read_dir(&self.cache_dir) else { return };
        let longest = self.limits.compile_wall.saturating_mul(2);
        for entry in entries.flatten() {
            let age =
                entry.metadata().and_then(|data| data.modified()).map(|time| SystemTime::now().duration_since(time));
            let is_staging = entry.file_name().as_encoded_bytes().starts_with(STAGING.as_bytes());
            if is_staging && matches!(age, Ok(Ok(age)) if age > longest) {
                let _ = fs::remove_dir_all(entry.path()); // the next start tries again
            }
        }
    }
}

/// How the names of the children's folders begin.
const STAGING: &str = ".compile-";

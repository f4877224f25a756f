use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use retrace_types::{DistroId, PackageFormat, Sha256};
use serde::Serialize;
use serde_json::Value;

use crate::{
    FailureKind, Function, Guest, Limits, PluginError, PluginFailure, Session,
    breaker::Breaker,
    convert::{self, Owner},
    engine::PluginEngine,
    failures::FailureInputs,
    guest::{self, Instances},
};

/// What is known of a loaded plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginInfo {
    /// The distribution that it serves.
    pub id: DistroId,
    /// Further os-release ids that it answers for.
    pub aliases: Vec<DistroId>,
    /// Name of the distribution, for people.
    pub name: String,
    /// Format of the distribution's packages.
    pub format: PackageFormat,
    /// Version of the plugin, semver.
    pub version: String,
    /// Digest of its file.
    pub sha256: Sha256,
    /// Its file.
    pub path: PathBuf,
    /// How it got here.
    pub origin: Origin,
    /// Size of its file.
    pub size_bytes: u64,
    /// Whether its machine code was in the cache folder; otherwise it was compiled for this load.
    pub from_cache: bool,
    /// Time from opening the file to the checked answer of `describe`.
    pub load_time: Duration,
}

/// How a plugin got here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(tag = "origin", rename_all = "kebab-case")]
pub enum Origin {
    /// It lies in the folder of plugins that come with Retrace, and is trusted like the program.
    #[default]
    Bundled,
    /// The operator installed it.
    Installed {
        /// Without a signature that was checked.
        unsigned: bool,
        /// By `retrace plugin dev`.
        development: bool,
    },
}

/// A plugin that is ready for calls. Can be asked from many threads at once.
pub struct Plugin {
    info: PluginInfo,
    guest: Arc<Guest>,
    breaker: Mutex<Breaker>,
    calls: AtomicU64,
    failures: AtomicU64,
    inputs: Option<FailureInputs>,
}

/// What a plugin did since it was loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PluginCounts {
    /// Calls, failed ones included.
    pub calls: u64,
    /// Calls that failed by a defect of the plugin.
    pub failures: u64,
    /// How often it was degraded.
    pub trips: u64,
    /// For how long it is still left alone; none if it is asked.
    pub degraded_for: Option<Duration>,
}

impl Plugin {
    /// Loads one plugin by itself and asks it to describe itself. See [`Guest::load`] for what must have happened before.
    ///
    /// `path` is where the bytes come from: for messages and for [`PluginInfo`].
    ///
    /// # Errors
    /// [`PluginFailure`] in `load` or in `describe`.
    pub fn load(
        engine: &Arc<PluginEngine>,
        bytes: &[u8],
        path: &Path,
        limits: &Limits,
    ) -> Result<Arc<Self>, Box<PluginFailure>> {
        Self::load_with(engine, bytes, guest::digest(bytes), path, limits, Extras::default()).map(Arc::new)
    }

    pub(crate) fn load_with(
        engine: &Arc<PluginEngine>,
        bytes: &[u8],
        sha256: Sha256,
        path: &Path,
        limits: &Limits,
        extras: Extras,
    ) -> Result<Self, Box<PluginFailure>> {
        let name = file_name(path);
        let failed = |function, kind| load_failure(path, sha256, function, kind);
        let guest = Guest::load_known(engine, bytes, sha256, &name, limits).map_err(|kind| failed("load", kind))?;
        let function = Function::Describe;
        let (answer, _) =
            Instances::fresh().run(&guest, function, |exports, store| exports.distribution().call_describe(store));
        let description = answer.and_then(convert::description).map_err(|kind| failed(function.name(), kind))?;
        let info = PluginInfo {
            id: description.id,
            aliases: description.aliases,
            name: description.name,
            format: description.format,
            version: description.version,
            sha256,
            path: path.to_owned(),
            origin: extras.origin,
            size_bytes: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            from_cache: guest.from_cache() && !extras.compiled,
            load_time: extras.started.elapsed(),
        };
        let guest = Arc::new(guest.named(info.id.as_str()));
        let (calls, failures) = (AtomicU64::new(1), AtomicU64::new(0));
        Ok(Self { info, guest, breaker: Mutex::default(), calls, failures, inputs: extras.inputs })
    }

    /// What it said about itself, and where it comes from.
    #[must_use]
    pub fn info(&self) -> &PluginInfo {
        &self.info
    }

    /// The component behind it, for calls by JSON.
    #[must_use]
    pub fn guest(&self) -> &Arc<Guest> {
        &self.guest
    }

    /// Whether it answers for this distribution.
    #[must_use]
    pub fn serves(&self, id: &DistroId) -> bool {
        self.info.id == *id || self.info.aliases.contains(id)
    }

    /// For single questions: each gets an instance of its own, so the plugin remembers nothing.
    #[must_use]
    pub fn session(self: &Arc<Self>) -> Session {
        Session::new(Arc::clone(self), Instances::fresh())
    }

    /// For many questions in a row, a mirror's pass over a repository: one instance answers them all, until a failure or
    /// [`Limits::job_calls`]; the next question then gets a new one.
    #[must_use]
    pub fn job(self: &Arc<Self>) -> Session {
        Session::new(Arc::clone(self), Instances::kept())
    }

    /// What it did so far.
    #[must_use]
    pub fn counts(&self) -> PluginCounts {
        let breaker = self.breaker.lock().unwrap_or_else(PoisonError::into_inner);
        PluginCounts {
            calls: self.calls.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            trips: breaker.trips(),
            degraded_for: breaker.pause(Instant::now()),
        }
    }

    pub(crate) fn owner(&self) -> Owner<'_> {
        Owner { id: &self.info.id, aliases: &self.info.aliases }
    }

    /// Counts a call that is about to happen.
    ///
    /// # Errors
    /// [`PluginError::Degraded`] if the plugin is left alone.
    pub(crate) fn admit(&self) -> Result<(), PluginError> {
        let breaker = self.breaker.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(left) = breaker.pause(Instant::now()) {
            return Err(PluginError::Degraded {
                plugin: self.info.id.clone(),
                failures: self.guest.limits().breaker_failures,
                seconds: left.as_secs().saturating_add(1),
            });
        }
        self.calls.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Takes note of a failed call: keeps its input, counts it, tells the operator.
    pub(crate) fn failed(&self, function: Function, kind: FailureKind, input: &Value) -> Box<PluginFailure> {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let failure = PluginFailure {
            plugin: self.info.id.to_string(),
            sha256: self.info.sha256,
            path: self.info.path.clone(),
            function: function.name(),
            kind,
            input: self.inputs.as_ref().and_then(|inputs| inputs.keep(self.info.sha256, function, input)),
        };
        tracing::warn!(plugin = failure.plugin, function = failure.function, "{failure}; {}", failure.reproduce());
        let limits = self.guest.limits();
        let mut breaker = self.breaker.lock().unwrap_or_else(PoisonError::into_inner);
        if breaker.failed(Instant::now(), limits) {
            let seconds = breaker.pause(Instant::now()).map_or(0, |pause| pause.as_secs());
            tracing::error!(
                plugin = failure.plugin,
                "plugin {} failed {} times within {:?} and is not asked for {seconds} s",
                failure.plugin,
                limits.breaker_failures,
                limits.breaker_window
            );
        }
        Box::new(failure)
    }
}

/// What a plugin is given beside its bytes.
pub(crate) struct Extras {
    pub(crate) origin: Origin,
    /// Where inputs of failed calls are kept.
    pub(crate) inputs: Option<FailureInputs>,
    /// Whether a child compiled it just now.
    pub(crate) compiled: bool,
    /// When loading began.
    pub(crate) started: Instant,
}

impl Default for Extras {
    fn default() -> Self {
        Self { origin: Origin::default(), inputs: None, compiled: false, started: Instant::now() }
    }
}

/// A failure before the plugin's id is known.
pub(crate) fn load_failure(
    path: &Path,
    sha256: Sha256,
    function: &'static str,
    kind: FailureKind,
) -> Box<PluginFailure> {
    Box::new(PluginFailure { plugin: file_name(path), sha256, path: path.to_owned(), function, kind, input: None })
}

/// Name of a plugin's file, for messages while its id is not known.
pub(crate) fn file_name(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    crate::state::one_line(&stem, 256)
}

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use retrace_types::{DistroId, PackageFormat, Sha256};
use sha2::Digest as _;
use wasmtime::{
    Store, Trap,
    component::{Component, HasSelf, Linker},
};

use crate::{
    FailureKind, Limits, NotAPlugin, PluginError, PluginFailure,
    bindings::{self, exports::retrace::distro::distribution::Guest},
    check, convert, deadline,
    engine::PluginEngine,
    state::{CallState, OverLimit, one_line},
};

/// Most bytes of a text that the engine or a guest supplies for an error message.
const MAX_REASON_BYTES: usize = 1 << 10;

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
    /// Size of its file.
    pub size_bytes: u64,
    /// Whether its machine code came from the cache folder; otherwise it was compiled.
    pub from_cache: bool,
    /// Time from opening the file to the checked answer of `describe`.
    pub load_time: Duration,
}

/// A plugin that is ready for calls.
pub(crate) struct Plugin {
    pub(crate) info: PluginInfo,
    guest: Loaded,
}

/// A compiled and linked component. Each call gets an instance of its own.
struct Loaded {
    pre: bindings::PluginPre<CallState>,
    limits: Limits,
    sha256: Sha256,
}

impl Plugin {
    pub(crate) fn load(
        engine: &PluginEngine,
        linker: &Linker<CallState>,
        path: &Path,
        limits: &Limits,
    ) -> Result<Self, PluginError> {
        let started = Instant::now();
        let not_a_plugin = |source| PluginError::NotAPlugin { path: path.to_owned(), source };
        let bytes = read(path, limits)?;
        check::check(&bytes, limits).map_err(not_a_plugin)?;
        let sha256 = Sha256::from_bytes(sha2::Sha256::digest(&bytes).into());

        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let name = one_line(&stem, MAX_REASON_BYTES);
        let failed = |function, kind| Box::new(PluginFailure { plugin: name.clone(), sha256, function, kind });

        let hits = engine.cache_hits();
        let component = Component::from_binary(engine.engine(), &bytes)
            .map_err(|error| not_a_plugin(NotAPlugin::Invalid(one_line(&format!("{error:#}"), MAX_REASON_BYTES))))?;
        let from_cache = engine.cache_hits() > hits;
        // Types are compared here; an instance is not made before the first call.
        let pre = linker
            .instantiate_pre(&component)
            .and_then(bindings::PluginPre::new)
            .map_err(|error| failed("load", incompatible(&error)))?;

        let guest = Loaded { pre, limits: limits.clone(), sha256 };
        let description = guest
            .call(&name, limits.long_deadline, |guest, store| guest.call_describe(store))
            .and_then(convert::description)
            .map_err(|kind| failed("describe", kind))?;
        let info = PluginInfo {
            id: description.id,
            aliases: description.aliases,
            name: description.name,
            format: description.format,
            version: description.version,
            sha256,
            path: path.to_owned(),
            size_bytes: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            from_cache,
            load_time: started.elapsed(),
        };
        Ok(Self { info, guest })
    }

    /// Whether the plugin answers for this distribution.
    pub(crate) fn serves(&self, id: &DistroId) -> bool {
        self.info.id == *id || self.info.aliases.contains(id)
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.guest.limits
    }

    /// Calls one function in a fresh instance and converts its answer.
    pub(crate) fn call<W, R>(
        &self,
        function: &'static str,
        deadline: Duration,
        call: impl FnOnce(&Guest, &mut Store<CallState>) -> wasmtime::Result<W>,
        convert: impl FnOnce(W) -> Result<R, FailureKind>,
    ) -> Result<R, Box<PluginFailure>> {
        let answer = self.guest.call(self.info.id.as_str(), deadline, call).and_then(convert);
        answer.map_err(|kind| {
            let failure = PluginFailure { plugin: self.info.id.to_string(), sha256: self.guest.sha256, function, kind };
            tracing::warn!(plugin = failure.plugin, function, "{failure}");
            Box::new(failure)
        })
    }
}

impl Loaded {
    /// The only place that makes a store: every limit of a call is set here.
    fn call<W>(
        &self,
        name: &str,
        deadline: Duration,
        call: impl FnOnce(&Guest, &mut Store<CallState>) -> wasmtime::Result<W>,
    ) -> Result<W, FailureKind> {
        let mut store = Store::new(self.pre.engine(), CallState::new(name.to_owned(), &self.limits));
        store.limiter(|state| &mut state.limiter);
        store.set_hostcall_fuel(self.limits.answer_bytes);
        // Making the instance runs the guest's start code, so it has a deadline of its own.
        deadline::start(&mut store, deadline);
        let answer = self.pre.instantiate(&mut store).and_then(|plugin| {
            deadline::start(&mut store, deadline);
            call(plugin.retrace_distro_distribution(), &mut store)
        });
        let message = store.data_mut().log.finish();
        answer.map_err(|error| classify(&error, message))
    }
}

/// The functions of the contract that a plugin may call; types of the contract count as an import too.
pub(crate) fn linker(engine: &PluginEngine) -> Result<Linker<CallState>, PluginError> {
    let mut linker = Linker::new(engine.engine());
    bindings::Plugin::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state)
        .map_err(|error| PluginError::Engine(error.into_boxed_dyn_error()))?;
    Ok(linker)
}

fn read(path: &Path, limits: &Limits) -> Result<Vec<u8>, PluginError> {
    let failed = |source| PluginError::Read { path: path.to_owned(), source };
    let limit = limits.file_bytes;
    let check_size = |size| match size {
        size if size > limit => {
            Err(PluginError::NotAPlugin { path: path.to_owned(), source: NotAPlugin::TooLarge { size, limit } })
        }
        _ => Ok(()),
    };
    let metadata = fs::metadata(path).map_err(failed)?;
    if !metadata.is_file() {
        return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")));
    }
    check_size(metadata.len())?;
    let mut bytes = Vec::new();
    // The file may have grown since.
    File::open(path).and_then(|file| file.take(limit.saturating_add(1)).read_to_end(&mut bytes)).map_err(failed)?;
    check_size(u64::try_from(bytes.len()).unwrap_or(u64::MAX))?;
    Ok(bytes)
}

fn classify(error: &wasmtime::Error, message: Option<String>) -> FailureKind {
    let trap = error.downcast_ref::<Trap>();
    if error.is::<OverLimit>() {
        FailureKind::OutOfMemory
    } else if trap == Some(&Trap::Interrupt) {
        FailureKind::Deadline
    } else if error.chain().any(|cause| cause.to_string().contains("fuel allocated for hostcalls")) {
        // The engine's own type for it is private; a test holds this text.
        FailureKind::TooMuchData
    } else {
        let reason = trap.map_or_else(|| format!("{error:#}"), ToString::to_string);
        FailureKind::Trap { reason: one_line(&reason, MAX_REASON_BYTES), message }
    }
}

fn incompatible(error: &wasmtime::Error) -> FailureKind {
    FailureKind::Incompatible(one_line(&format!("{error:#}"), MAX_REASON_BYTES))
}

//! A compiled and linked component, and calls of its functions.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use retrace_types::Sha256;
use serde::Serialize;
use serde_json::Value;
use sha2::Digest as _;
use wasmtime::{
    Store, Trap,
    component::{Component, ComponentExportIndex, HasSelf, Instance, InstancePre, Linker, Val},
};

use crate::{
    FailureKind, Function, InvalidInput, Limits, LogLine,
    bindings::{self, advice, kernel},
    engine::PluginEngine,
    json,
    state::{CallState, OverLimit, one_line},
};

/// Most bytes of a text that the engine or a guest supplies for an error message.
pub(crate) const MAX_REASON_BYTES: usize = 1 << 10;

/// A component that was compiled and fits the contract by its types. Nothing of it has run yet; it may still be wrong in
/// every answer, `describe` included.
pub struct Guest {
    engine: Arc<PluginEngine>,
    pre: InstancePre<CallState>,
    distribution: bindings::PluginIndices,
    kernel: Option<kernel::KernelIndices>,
    advice: Option<advice::AdviceIndices>,
    functions: BTreeMap<Function, ComponentExportIndex>,
    limits: Limits,
    name: Arc<str>,
    sha256: Sha256,
    from_cache: bool,
}

/// What a call cost and said beside its answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CallStats {
    /// Fuel that the call used; only an engine in the mode [`Measured`](crate::EngineMode::Measured) counts it.
    pub fuel: Option<u64>,
    /// Bytes of the instance's memories after the call. They never shrink, so this is the peak.
    pub peak_memory_bytes: usize,
    /// What the plugin logged.
    pub log: Vec<LogLine>,
    /// Lines of the log that were over the limit.
    pub log_lines_dropped: u64,
    /// Time on the clock, making a fresh instance included.
    #[serde(rename = "duration_us", serialize_with = "microseconds")]
    pub duration: Duration,
}

fn microseconds<S: serde::Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(value.as_micros()).unwrap_or(u64::MAX))
}

/// A call by JSON, and how it went.
#[derive(Clone, Debug)]
pub struct CallReport {
    /// The answer as the plugin gave it, whether it keeps the contract's rules for values or not.
    pub answer: Result<Value, CallFailure>,
    /// What it cost.
    pub stats: CallStats,
}

/// Why a call by JSON has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallFailure {
    /// The input does not fit the function.
    #[error("the input does not fit: {0}")]
    Input(#[from] InvalidInput),
    /// The plugin does not export this optional function.
    #[error("the plugin does not export {0}, which is optional")]
    NotExported(Function),
    /// The plugin broke.
    #[error("{0}")]
    Plugin(FailureKind),
}

impl Guest {
    /// Compiles a component, or finds it in the engine's cache, and compares its types with the contract's. Compiling
    /// takes place in this process and is bounded by nothing: hand over only what [`inspect`](crate::inspect) found
    /// harmless and a child process has compiled before.
    ///
    /// `name` stands for the plugin in logs.
    ///
    /// # Errors
    /// [`FailureKind::Incompatible`] if it is no component, or its types are others than the contract's.
    pub fn load(engine: &Arc<PluginEngine>, bytes: &[u8], name: &str, limits: &Limits) -> Result<Self, FailureKind> {
        Self::load_known(engine, bytes, digest(bytes), name, limits)
    }

    /// As [`Guest::load`], of bytes whose digest was computed before: hashing is a noticeable part of a load.
    pub(crate) fn load_known(
        engine: &Arc<PluginEngine>,
        bytes: &[u8],
        sha256: Sha256,
        name: &str,
        limits: &Limits,
    ) -> Result<Self, FailureKind> {
        let hits = engine.cache_hits();
        let component = Component::from_binary(engine.engine(), bytes).map_err(|error| incompatible(&error))?;
        let from_cache = engine.cache_hits() > hits;
        let pre = linker(engine)
            .and_then(|linker| linker.instantiate_pre(&component))
            .map_err(|error| incompatible(&error))?;
        let distribution = bindings::PluginIndices::new(&pre).map_err(|error| incompatible(&error))?;

        let interface = |name: &str| component.get_export_index(None, format!("retrace:distro/{name}@1.0.0").as_str());
        let kernel = interface("kernel").map(|_| kernel::KernelIndices::new(&pre)).transpose();
        let advice = interface("environment-advice").map(|_| advice::AdviceIndices::new(&pre)).transpose();
        let functions = Function::ALL.into_iter().filter_map(|function| {
            let interface = interface(function.interface())?;
            Some((function, component.get_export_index(Some(&interface), function.name())?))
        });
        Ok(Self {
            functions: functions.collect(),
            engine: Arc::clone(engine),
            distribution,
            kernel: kernel.map_err(|error| incompatible(&error))?,
            advice: advice.map_err(|error| incompatible(&error))?,
            pre,
            limits: limits.clone(),
            name: name.into(),
            sha256,
            from_cache,
        })
    }

    /// Digest of the component.
    #[must_use]
    pub fn sha256(&self) -> Sha256 {
        self.sha256
    }

    /// Whether its machine code came from the engine's cache; otherwise it was compiled.
    #[must_use]
    pub fn from_cache(&self) -> bool {
        self.from_cache
    }

    /// Whether it exports this function: always, unless the function is optional.
    #[must_use]
    pub fn exports(&self, function: Function) -> bool {
        self.functions.contains_key(&function)
    }

    /// What it may cost.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Calls one function in an instance of its own. `input` is an object with the parameters' names as in the contract,
    /// or a list of the parameters; names of fields and cases are the contract's.
    #[must_use]
    pub fn call(&self, function: Function, input: &Value) -> CallReport {
        Instances::fresh().call(self, function, input)
    }

    /// Calls functions one after the other in one instance, until a failure.
    #[must_use]
    pub fn job(self: &Arc<Self>) -> GuestJob {
        GuestJob { guest: Arc::clone(self), instances: Instances::kept() }
    }

    /// The same under another name.
    pub(crate) fn named(self, name: &str) -> Self {
        Self { name: name.into(), ..self }
    }

    /// The only place that makes a store: every limit of an instance is set here.
    fn instantiate(&self) -> Result<Live, FailureKind> {
        let mut store = Store::new(self.pre.engine(), CallState::new(Arc::clone(&self.name), &self.limits));
        store.limiter(|state| &mut state.limiter);
        store.set_hostcall_fuel(self.limits.answer_bytes);
        // Making the instance runs the guest's start code, so it has a deadline of its own.
        let made = self.engine.start_call(&mut store, self.limits.deadline).and_then(|_| {
            let instance = self.pre.instantiate(&mut store)?;
            let distribution = self.distribution.load(&mut store, &instance)?;
            let kernel = self.kernel.as_ref().map(|indices| indices.load(&mut store, &instance)).transpose()?;
            let advice = self.advice.as_ref().map(|indices| indices.load(&mut store, &instance)).transpose()?;
            Ok(Exports { instance, distribution, kernel, advice })
        });
        match made {
            Ok(exports) => Ok(Live { store, exports, calls: 0 }),
            Err(error) => {
                let message = store.data_mut().log.finish().last_error;
                Err(classify(&error, message))
            }
        }
    }
}

/// Calls in one instance, for the time of one job.
pub struct GuestJob {
    guest: Arc<Guest>,
    instances: Instances,
}

impl GuestJob {
    /// As [`Guest::call`], but in the instance of the calls before. After a failure, or [`Limits::job_calls`] calls, the
    /// next call gets a new instance.
    #[must_use]
    pub fn call(&mut self, function: Function, input: &Value) -> CallReport {
        self.instances.call(&self.guest, function, input)
    }
}

/// An instance that can be called.
struct Live {
    store: Store<CallState>,
    exports: Exports,
    calls: u32,
}

/// The exports of an instance, by type.
pub(crate) struct Exports {
    instance: Instance,
    distribution: bindings::Plugin,
    pub(crate) kernel: Option<kernel::Kernel>,
    pub(crate) advice: Option<advice::Advice>,
}

impl Exports {
    pub(crate) fn distribution(&self) -> &bindings::exports::retrace::distro::distribution::Guest {
        self.distribution.retrace_distro_distribution()
    }
}

/// How long an instance lives: one call, or a job.
pub(crate) struct Instances {
    keep: bool,
    live: Option<Live>,
}

impl Instances {
    pub(crate) fn fresh() -> Self {
        Self { keep: false, live: None }
    }

    pub(crate) fn kept() -> Self {
        Self { keep: true, live: None }
    }

    /// The only place that calls a guest. The instance is dropped after a failure: the engine refuses to enter it again.
    pub(crate) fn run<W>(
        &mut self,
        guest: &Guest,
        function: Function,
        call: impl FnOnce(&Exports, &mut Store<CallState>) -> wasmtime::Result<W>,
    ) -> (Result<W, FailureKind>, CallStats) {
        let started = Instant::now();
        let mut live = match self.live.take().map_or_else(|| guest.instantiate(), Ok) {
            Ok(live) => live,
            Err(kind) => return (Err(kind), CallStats { duration: started.elapsed(), ..CallStats::default() }),
        };
        let (store, mut given) = (&mut live.store, None);
        let answer = guest.engine.start_call(store, function.deadline(&guest.limits)).and_then(|fuel| {
            given = fuel;
            call(&live.exports, store)
        });
        let logged = store.data_mut().log.finish();
        let stats = CallStats {
            fuel: given.map(|given| given.saturating_sub(store.get_fuel().unwrap_or(0))),
            peak_memory_bytes: store.data().limiter.memory_used(),
            log: logged.lines,
            log_lines_dropped: logged.dropped,
            duration: started.elapsed(),
        };
        let answer = answer.map_err(|error| classify(&error, logged.last_error));
        live.calls = live.calls.saturating_add(1);
        if self.keep && answer.is_ok() && live.calls < guest.limits.job_calls {
            self.live = Some(live);
        }
        (answer, stats)
    }

    pub(crate) fn call(&mut self, guest: &Guest, function: Function, input: &Value) -> CallReport {
        let Some(index) = guest.functions.get(&function) else {
            return CallReport { answer: Err(CallFailure::NotExported(function)), stats: CallStats::default() };
        };
        let mut invalid = None;
        let (answer, stats) = self.run(guest, function, |exports, store| {
            let Some(callee) = exports.instance.get_func(&mut *store, index) else {
                return Err(wasmtime::Error::msg("the export vanished"));
            };
            let ty = callee.ty(&*store);
            let arguments = match json::arguments(input, ty.params()) {
                Ok(arguments) => arguments,
                Err(error) => {
                    invalid = Some(error);
                    return Ok(Value::Null);
                }
            };
            let mut results = vec![Val::Bool(false); ty.results().len()];
            callee.call(&mut *store, &arguments, &mut results)?;
            Ok(results.first().map_or(Value::Null, json::from_val))
        });
        let answer = match invalid {
            Some(error) => Err(CallFailure::Input(error)),
            None => answer.map_err(CallFailure::Plugin),
        };
        CallReport { answer, stats }
    }
}

pub(crate) fn digest(bytes: &[u8]) -> Sha256 {
    Sha256::from_bytes(sha2::Sha256::digest(bytes).into())
}

/// The functions of the contract that a plugin may call; types of the contract count as an import too.
fn linker(engine: &PluginEngine) -> wasmtime::Result<Linker<CallState>> {
    let mut linker = Linker::new(engine.engine());
    bindings::Plugin::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state)?;
    Ok(linker)
}

fn classify(error: &wasmtime::Error, message: Option<String>) -> FailureKind {
    let trap = error.downcast_ref::<Trap>();
    if error.is::<OverLimit>() {
        FailureKind::OutOfMemory
    } else if matches!(trap, Some(Trap::Interrupt | Trap::OutOfFuel)) {
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

//! One retrace, step by step.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use futures_util::{FutureExt as _, future::BoxFuture};
use retrace_chroot::{GdbReport, GdbRequest, SandboxLimits, Sysroot, SysrootModule};
use retrace_coredump::{CoreFacts, DecompressLimits, Module, ModuleKind};
use retrace_mirror::{Mirror, Progress, WantedModule};
use retrace_package::{Cached, FileCache};
use retrace_plugin_host::{PluginHost, Registry};
use retrace_store::{Scope, Store};
use retrace_types::{
    Architecture, Backtrace, EngineComparison, EnvironmentKind, Gap, GapReason, Release, ReleaseReport, Role, Sha256,
    StepTiming, TaskStatus,
};
use tokio_util::sync::CancellationToken;

use crate::{
    AnalyzeError, Engine, HookEvent, answer,
    assemble::{self, ModuleState, Parts},
    engine::{self, Unpacked},
    fingerprint::fingerprint,
    intake::{self, Intake},
    left_out,
    packages::{Packages, fill_request, module_state, not_mirrored},
    release::{self, Decided},
    story::Story,
    work_folder::{self, WorkFolder},
};

/// Where an [`Analyzer`] works and what it allows.
#[derive(Clone, Debug)]
pub struct AnalyzerOptions {
    /// Folder for the jobs' own folders; on the same file system as the cache, so that links into it work.
    pub work_dir: PathBuf,
    /// The debugger: a path, or a name that is looked up.
    pub gdb: PathBuf,
    /// Limits of the debugger's sandbox.
    pub sandbox: SandboxLimits,
    /// Largest core after decompression, in bytes; holes count.
    pub max_core_bytes: u64,
    /// Most bytes that a job may take on the disk: what is written of a decompressed core, without holes.
    pub max_disk_bytes: u64,
}

/// What to analyze, and what is known beside the core.
#[derive(Clone, Debug, Default)]
pub struct AnalyzeRequest {
    /// The core, possibly compressed.
    pub core: PathBuf,
    /// Text of the os-release file, or the one line of `/etc/redhat-release`.
    pub os_release: Option<String>,
    /// Name, version and release of the crashed package.
    pub package: Option<String>,
    /// Path of the crashed program.
    pub executable: Option<String>,
    /// Build the sysroot in this folder and leave it there, for a debugger of the user's own.
    pub keep_sysroot: Option<PathBuf>,
    /// Answer a crash that was seen before with the frames of then.
    pub answer_from_group: bool,
    /// What makes the frames.
    pub engine: Engine,
}

/// The result of a retrace.
#[derive(Clone, Debug)]
pub struct Analysis {
    /// The structured result.
    pub backtrace: Backtrace,
    /// The debugger's full text, as old clients expect it.
    pub text: String,
    /// The log: the story of this retrace in plain words.
    pub story: String,
    /// What the crash looks like before its stack is walked.
    pub(crate) fingerprint: Option<Sha256>,
}

/// Told how far a retrace is.
pub trait Observer: Progress + Sync {
    /// The task is at this step now.
    fn status(&self, _status: TaskStatus) {}

    /// The task has come to this point; it goes on when the future ends, or ends in its error.
    fn reached(&self, _point: HookEvent) -> BoxFuture<'_, Result<(), AnalyzeError>> {
        std::future::ready(Ok(())).boxed()
    }
}

impl Observer for () {}

/// Makes backtraces. One serves many retraces at once.
#[derive(Clone)]
pub struct Analyzer {
    store: Store,
    mirror: Mirror,
    plugins: Arc<PluginHost>,
    cache: FileCache,
    options: AnalyzerOptions,
}

impl Analyzer {
    /// An analyzer on these parts.
    #[must_use]
    pub fn new(
        store: Store,
        mirror: Mirror,
        plugins: Arc<PluginHost>,
        cache: FileCache,
        options: AnalyzerOptions,
    ) -> Self {
        Self { store, mirror, plugins, cache, options }
    }

    /// The store that packages and tasks are kept in.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) fn plugins(&self) -> &PluginHost {
        &self.plugins
    }

    /// A folder for the files of a job, which is removed with it.
    pub(crate) fn work_folder(&self) -> Result<WorkFolder, AnalyzeError> {
        let work_dir = &self.options.work_dir;
        work_folder::create(work_dir).map_err(|source| AnalyzeError::WorkDir { path: work_dir.clone(), source })
    }

    /// The mirrors that packages come from.
    #[must_use]
    pub fn mirror(&self) -> &Mirror {
        &self.mirror
    }

    /// Makes the backtrace of one core. What is missing becomes a gap of the result; the work folder is removed.
    ///
    /// # Errors
    /// [`AnalyzeError`] when there is no backtrace at all: the file is no core, or the debugger cannot be run.
    pub async fn analyze(&self, request: &AnalyzeRequest, observer: &dyn Observer) -> Result<Analysis, AnalyzeError> {
        let job = Job { analyzer: self, request, observer, story: Story::default(), timings: Vec::new() };
        job.run().await
    }
}

/// The files of a core: as a tree for the debugger, and by build-id.
struct Files<'f> {
    sysroot: Sysroot,
    modules: Vec<ModuleState<'f>>,
    unpacked: Unpacked,
}

/// What an engine looks at.
struct Target<'t> {
    core: &'t Path,
    facts: &'t CoreFacts,
    executable: Option<&'t str>,
    /// For the debugger's script.
    script_dir: &'t Path,
}

/// What an engine saw.
struct Seen {
    report: GdbReport,
    comparison: Option<EngineComparison>,
}

/// One retrace under way.
struct Job<'a> {
    analyzer: &'a Analyzer,
    request: &'a AnalyzeRequest,
    observer: &'a dyn Observer,
    story: Story,
    timings: Vec<StepTiming>,
}

impl Job<'_> {
    async fn run(mut self) -> Result<Analysis, AnalyzeError> {
        let work = self.analyzer.work_folder()?;

        self.observer.status(TaskStatus::Analyze);
        let start = Instant::now();
        let Intake { core, facts, decompressed_bytes } = self.intake(work.path()).await?;
        self.tell_facts(&facts, decompressed_bytes);
        let fingerprint = fingerprint(&facts);
        self.finish_step("facts", start);

        if let Some(fingerprint) = fingerprint.filter(|_| self.request.answer_from_group)
            && let Some(answer) = self.answer(&fingerprint, &facts).await
        {
            return Ok(answer);
        }

        let start = Instant::now();
        let analyzer = self.analyzer;
        // One registry to the end: a reload meanwhile does not change who answers.
        let plugins = analyzer.plugins.registry();
        let decision = release::decide(&plugins, &analyzer.store, self.request, &facts).await?;
        for line in &decision.story {
            self.story.tell(line);
        }
        let mut gaps = Vec::new();
        let mut report: Option<ReleaseReport> = None;
        let mut scope = None;
        match decision.outcome {
            Decided::Release { release, report: found } => {
                self.story.tell(&format!("Release: {} ({})", found.id, found.reason));
                gaps.extend(self.debugger_gap(&plugins, &release, facts.architecture));
                scope = Some(Scope { release: release.id, architecture: facts.architecture });
                report = Some(found);
            }
            Decided::Unknown(gap) => {
                self.story.warn(&gap.message);
                gaps.push(gap);
            }
        }
        self.finish_step("release", start);

        self.observer.status(TaskStatus::Init);
        self.observer.reached(HookEvent::PrePrepareDebuginfo).await?;
        let start = Instant::now();
        let packages = match &scope {
            Some(scope) => self.resolve(scope, &facts).await?,
            None => Some(Packages::default()),
        };
        let packages = packages.unwrap_or_else(|| {
            gaps.extend(scope.as_ref().map(not_mirrored));
            Packages::default()
        });
        self.finish_step("packages", start);
        self.observer.reached(HookEvent::PostPrepareDebuginfo).await?;

        self.observer.reached(HookEvent::PrePrepareEnvironment).await?;
        let start = Instant::now();
        let executable = self.executable(&facts);
        let sysroot_dir = self.request.keep_sysroot.clone().unwrap_or_else(|| work.path().join("sysroot"));
        // A sysroot for a debugger of the user's own holds everything.
        let all = self.request.keep_sysroot.is_some();
        let wanted = |module: &Module| all || left_out::is_wanted(module, executable.as_deref());
        let mut files = self.files(&sysroot_dir, &facts, &packages, wanted).await?;
        self.finish_step("files", start);
        self.observer.reached(HookEvent::PostPrepareEnvironment).await?;

        self.observer.status(TaskStatus::Backtrace);
        self.observer.reached(HookEvent::PreRetrace).await?;
        let start = Instant::now();
        let script_dir = work.path().join("gdb");
        let target = Target { core: &core, facts: &facts, executable: executable.as_deref(), script_dir: &script_dir };
        let mut seen = self.look(&target, &files).await?;
        if let Some(path) = left_out::overlooked(&seen.report, &files.modules) {
            self.story.tell(&format!(
                "A frame or value lies in {path}, which no stack pointed into: once more with all files"
            ));
            files = self.files(&work.path().join("sysroot-all"), &facts, &packages, |_| true).await?;
            seen = self.look(&target, &files).await?;
        }
        self.finish_step("backtrace", start);

        self.observer.status(TaskStatus::Cleanup);
        let parts = Parts {
            facts: &facts,
            executable,
            release: report,
            modules: files.modules,
            gdb: &seen.report,
            gaps,
            timings: self.timings.clone(),
        };
        let mut backtrace = assemble::assemble(parts);
        backtrace.comparison = seen.comparison;
        self.tell_result(&backtrace);
        let remove = tokio::task::spawn_blocking(move || work.close());
        if let Ok(Err(error)) = remove.await {
            tracing::warn!(%error, "cannot remove a work folder");
        }
        Ok(Analysis { backtrace, text: seen.report.text, story: self.story.into_text(), fingerprint })
    }

    /// The frames of an earlier crash that looked the same, if its result is kept. Any trouble means a retrace.
    async fn answer(&mut self, fingerprint: &Sha256, facts: &CoreFacts) -> Option<Analysis> {
        let start = Instant::now();
        self.observer.step("Looking for a crash that looked the same");
        let kept = match answer::find(&self.analyzer.store, fingerprint).await {
            Ok(kept) => kept?,
            Err(error) => {
                self.story.warn(&format!("no answer can be had from a group: {error:#}"));
                return None;
            }
        };
        let executable = self.executable(facts);
        let mut backtrace = answer::adapt(kept, *fingerprint, facts, executable)?;
        self.finish_step("answer", start);
        backtrace.timings.clone_from(&self.timings);
        if let Some(from) = &backtrace.answered_from {
            self.story.tell(&format!("Not retraced: a crash of group {} looked the same", from.group));
        }
        self.tell_result(&backtrace);
        let text = answer::text(&backtrace);
        let story = std::mem::take(&mut self.story).into_text();
        Some(Analysis { backtrace, text, story, fingerprint: Some(*fingerprint) })
    }

    /// A distribution may want its cores seen by its own debugger. There are no chroots to run it in yet: the host's does
    /// the work, and the result says so.
    fn debugger_gap(&mut self, plugins: &Registry, release: &Release, architecture: Architecture) -> Option<Gap> {
        let debugger = match plugins.debugger_for(release, architecture) {
            Ok(debugger) => debugger.filter(|debugger| debugger.environment == EnvironmentKind::Chroot)?,
            Err(error) => {
                self.story.warn(&format!("the plugin could not say which debugger {} wants: {error}", release.id));
                return None;
            }
        };
        Some(Gap {
            reason: GapReason::Debugger,
            subject: debugger.path.clone(),
            message: format!("{} wants its own debugger, {}; the host's was used", release.id, debugger.path),
            action: format!(
                "compare with that debugger on a machine of the release, from {}",
                debugger.packages.join(" ")
            ),
        })
    }

    fn finish_step(&mut self, step: &str, start: Instant) {
        let milliseconds = start.elapsed().as_secs_f64() * 1000.0;
        self.timings.push(StepTiming { step: step.to_owned(), milliseconds });
    }

    async fn intake(&self, work_dir: &Path) -> Result<Intake, AnalyzeError> {
        self.observer.step("Reading the core");
        let (core, work_dir) = (self.request.core.clone(), work_dir.to_owned());
        let AnalyzerOptions { max_core_bytes, max_disk_bytes, .. } = self.analyzer.options;
        let limits = DecompressLimits {
            max_output_bytes: max_core_bytes,
            max_stored_bytes: max_disk_bytes,
            ..DecompressLimits::default()
        };
        // A thread does not end with the future that waits for it.
        let stop = CancellationToken::new();
        let _stopped_with_this = stop.clone().drop_guard();
        let reading = tokio::task::spawn_blocking(move || intake::open(&core, &work_dir, &limits, &stop));
        reading.await.map_err(|source| AnalyzeError::StepLost { step: "facts", source })?
    }

    /// The packages of the core's modules; none if the release has no repository here.
    async fn resolve(&mut self, scope: &Scope, facts: &CoreFacts) -> Result<Option<Packages>, AnalyzeError> {
        self.observer.step("Looking up the packages");
        let store = &self.analyzer.store;
        let repositories = store.repositories(Some(&scope.release), Some(scope.architecture)).await?;
        if repositories.is_empty() {
            return Ok(None);
        }
        let repositories = repositories.into_iter().map(|repository| (repository.key, repository.spec.id)).collect();
        let wanted: Vec<_> = mapped_files(facts)
            .filter_map(|module| {
                let build_id = module.build_id.as_ref().ok()?.clone();
                Some(WantedModule { build_id, path: Some(module.path.clone()) })
            })
            .collect();
        let hint = self.request.package.as_deref();
        let resolved = self.analyzer.mirror.resolve(scope, &wanted, hint, self.observer).await?;
        let resolved = resolved.into_iter().map(|resolved| (resolved.build_id.clone(), resolved)).collect();
        Ok(Some(Packages { resolved, repositories }))
    }

    /// The path that the sysroot holds the program under. The core knows best; the request helps where it is silent.
    fn executable(&self, facts: &CoreFacts) -> Option<String> {
        facts.executable.clone().or_else(|| self.request.executable.clone())
    }

    /// Unpacks what the cache lacks of the wanted modules and links the sysroot.
    async fn files<'f>(
        &mut self,
        dir: &Path,
        facts: &'f CoreFacts,
        packages: &Packages,
        is_wanted: impl Fn(&Module) -> bool,
    ) -> Result<Files<'f>, AnalyzeError> {
        self.observer.step("Unpacking the needed files");
        let mut states: Vec<_> = mapped_files(facts).map(|module| module_state(module, packages)).collect();
        for state in &mut states {
            state.left_out = state.package.is_some() && !is_wanted(state.module);
        }
        self.fill_cache(&mut states, packages).await;

        let cache = &self.analyzer.cache;
        let mut links = Vec::new();
        // What was left out stays out when it is in the cache: the result must not depend on earlier ones.
        for state in states.iter_mut().filter(|state| !state.left_out) {
            let Ok(build_id) = &state.module.build_id else { continue };
            let trust = |role| packages.trust(state.module, role);
            let path = |cached: Cached| cached.path;
            let executable = cache.find(build_id, Role::Executable, trust(Role::Executable)).map(path);
            let debuginfo = cache.find(build_id, Role::Debuginfo, trust(Role::Debuginfo)).map(path);
            let supplementary = cache.supplementary(build_id, trust(Role::Debuginfo)).filter(|_| debuginfo.is_some());
            (state.has_file, state.has_debuginfo) = (executable.is_some(), debuginfo.is_some());
            links.push(SysrootModule {
                path: state.module.path.clone(),
                aliases: link_map_names(facts, state.module),
                build_id: build_id.clone(),
                executable,
                supplementary: supplementary.map(path),
                debuginfo,
            });
        }
        let vdso = facts.modules.iter().filter(|module| module.kind == ModuleKind::Vdso);
        states.extend(vdso.map(|module| module_state(module, packages)));
        let unpacked = Unpacked::of(&links);
        let dir = dir.to_owned();
        let building = tokio::task::spawn_blocking(move || Sysroot::build(&dir, &links));
        let sysroot = building.await.map_err(|source| AnalyzeError::StepLost { step: "files", source })??;
        Ok(Files { sysroot, modules: states, unpacked })
    }

    /// Unpacks the found files that are not in the cache yet; a failure becomes the module's gap.
    async fn fill_cache(&mut self, states: &mut [ModuleState<'_>], packages: &Packages) {
        let mut requests = Vec::new();
        let mut owners = Vec::new();
        for (index, state) in states.iter().enumerate().filter(|(_, state)| !state.left_out) {
            let Some(resolved) = packages.of(state.module) else { continue };
            for (role, found) in [(Role::Executable, &resolved.executable), (Role::Debuginfo, &resolved.debuginfo)] {
                let Some(found) = found else { continue };
                let trust = packages.trust(state.module, role);
                if self.analyzer.cache.find(&resolved.build_id, role, trust).is_none() {
                    owners.push((index, role));
                    requests.push(fill_request(resolved, role, found));
                }
            }
        }
        if requests.is_empty() {
            return;
        }
        let results = self.analyzer.cache.fill(&requests).await;
        for ((index, role), (request, result)) in owners.into_iter().zip(requests.iter().zip(results)) {
            let (Err(error), Some(state)) = (result, states.get_mut(index)) else { continue };
            let gap = Gap {
                reason: GapReason::FileMissing,
                subject: request.build_id.to_string(),
                message: format!("{} cannot be unpacked: {error}", state.module.path),
                action: "fetch the package again: remove it from the store and analyze once more".to_owned(),
            };
            self.story.warn(&gap.message);
            state.gaps.push((role, gap));
        }
    }

    /// Lets the wanted engine look at the core, or both.
    async fn look(&self, target: &Target<'_>, files: &Files<'_>) -> Result<Seen, AnalyzeError> {
        let engine = self.request.engine;
        let native = match engine {
            Engine::Gdb => None,
            Engine::Native | Engine::Both => {
                self.observer.step("Walking the stacks");
                Some(engine::native(target.core.to_owned(), target.facts.clone(), files.unpacked.clone()).await?)
            }
        };
        match native {
            Some(report) if engine == Engine::Native => Ok(Seen { report, comparison: None }),
            native => {
                self.observer.step("Running the debugger");
                let report = self.debug(target, &files.sysroot).await?;
                let comparison = native.map(|native| engine::compare(&report, &native));
                Ok(Seen { report, comparison })
            }
        }
    }

    async fn debug(&self, target: &Target<'_>, sysroot: &Sysroot) -> Result<GdbReport, AnalyzeError> {
        let options = &self.analyzer.options;
        let Target { core, executable, script_dir: work_dir, .. } = *target;
        let gdb = &options.gdb;
        let limits = options.sandbox.clone();
        Ok(retrace_chroot::backtrace(&GdbRequest { core, executable, sysroot, work_dir, limits, gdb }).await?)
    }

    fn tell_facts(&mut self, facts: &CoreFacts, decompressed_bytes: Option<u64>) {
        if let Some(bytes) = decompressed_bytes {
            self.story.tell(&format!("The core was compressed; it has {bytes} bytes"));
        }
        let signal = facts.signal.as_ref().map_or_else(|| "no signal".to_owned(), retrace_coredump::Signal::name);
        self.story.tell(&format!(
            "Core of {} ({}): {signal}, {} threads, {} modules",
            facts.executable.as_deref().or(facts.command.as_deref()).unwrap_or("an unknown program"),
            facts.architecture,
            facts.threads.len(),
            facts.modules.len(),
        ));
        for remark in &facts.remarks {
            self.story.warn(remark);
        }
    }

    fn tell_result(&mut self, backtrace: &Backtrace) {
        for package in &backtrace.packages {
            self.story.tell(&format!("Package {} from {}: {}", package.id, package.repository, package.signature));
        }
        let frames: usize = backtrace.threads.iter().map(|thread| thread.frames.len()).sum();
        self.story.tell(&format!("{} threads, {frames} frames, by {}", backtrace.threads.len(), backtrace.engine));
        for gap in backtrace.all_gaps() {
            self.story.warn(&format!("{}; {}", gap.message, gap.action));
        }
    }
}

fn mapped_files(facts: &CoreFacts) -> impl Iterator<Item = &Module> {
    facts.modules.iter().filter(|module| module.kind == ModuleKind::File)
}

/// The names under which the dynamic linker knows a module: the debugger asks for these.
fn link_map_names(facts: &CoreFacts, module: &Module) -> Vec<String> {
    let entries = facts.link_map.iter().filter(|entry| (module.start..module.end).contains(&entry.dynamic));
    entries.map(|entry| entry.name.clone()).filter(|name| !name.is_empty() && *name != module.path).collect()
}

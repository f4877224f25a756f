//! Hooks: programs of the operator that are run at points in a task's life.
//!
//! A hook sees the task as JSON on its standard input, and the task's files read-only; it has an empty `/tmp` to write to, limits
//! on time, memory and processes, and no network unless it is given. The hooks of one event run one after the other, by the
//! name of their program. One that fails is told in the task's log; it fails the task only if it is `required`.
//!
//! Not here: what happens when. That is with whoever [runs](Hooks::run) an event.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use metrics::counter;
use retrace_chroot::{Sandbox, SandboxLimits};
use retrace_process::{Ending, Output, capture};
use serde::{Deserialize, Serialize};

use crate::{EventDocument, FilesDocument, work_folder};

/// Output of a hook that goes to the log; what follows is dropped.
const MAX_OUTPUT_BYTES: usize = 64 * 1024;
/// Lines of each hook that go to the log.
const MAX_OUTPUT_LINES: usize = 100;
/// Characters of a line that go to the log.
const MAX_LINE_CHARS: usize = 500;
/// Processes of a hook.
const MAX_PROCESSES: u64 = 64;
/// What a hook may write to `/tmp`.
const MAX_TMP_BYTES: u64 = 256 << 20;

/// Where the sandbox shows a task's files.
const CRASH: &str = "/retrace/crash";
const RESULTS: &str = "/retrace/results";

/// A point in a task's life. The names are the predecessor's; `pre_start` is left out, since nothing lies between it and
/// `start`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookEvent {
    /// A worker took the task and has done nothing yet.
    Start,
    /// The packages of the core are about to be looked up and fetched.
    PrePrepareDebuginfo,
    /// They are there.
    PostPrepareDebuginfo,
    /// Their files are about to be unpacked for the debugger.
    PrePrepareEnvironment,
    /// They are.
    PostPrepareEnvironment,
    /// The debugger is about to run.
    PreRetrace,
    /// Its results are stored.
    PostRetrace,
    /// The task is about to be finished with a backtrace.
    Success,
    /// The task is about to be finished without one.
    Fail,
    /// What was uploaded is about to be removed.
    PreCleanTask,
    /// It is gone.
    PostCleanTask,
    /// `retrace gc` is about to remove the task.
    PreRemoveTask,
    /// It is gone.
    PostRemoveTask,
}

impl HookEvent {
    /// All of them, in the order of a task's life.
    pub const ALL: [Self; 13] = [
        Self::Start,
        Self::PrePrepareDebuginfo,
        Self::PostPrepareDebuginfo,
        Self::PrePrepareEnvironment,
        Self::PostPrepareEnvironment,
        Self::PreRetrace,
        Self::PostRetrace,
        Self::Success,
        Self::Fail,
        Self::PreCleanTask,
        Self::PostCleanTask,
        Self::PreRemoveTask,
        Self::PostRemoveTask,
    ];

    /// Its name in the configuration, and of its folder.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::PrePrepareDebuginfo => "pre_prepare_debuginfo",
            Self::PostPrepareDebuginfo => "post_prepare_debuginfo",
            Self::PrePrepareEnvironment => "pre_prepare_environment",
            Self::PostPrepareEnvironment => "post_prepare_environment",
            Self::PreRetrace => "pre_retrace",
            Self::PostRetrace => "post_retrace",
            Self::Success => "success",
            Self::Fail => "fail",
            Self::PreCleanTask => "pre_clean_task",
            Self::PostCleanTask => "post_clean_task",
            Self::PreRemoveTask => "pre_remove_task",
            Self::PostRemoveTask => "post_remove_task",
        }
    }
}

/// A program, and when to run it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// When.
    pub event: HookEvent,
    /// Absolute path.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// What it may do.
    pub options: HookOptions,
}

/// What a hook may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookOptions {
    /// Wall time until it is ended with all its children.
    pub time_limit: Duration,
    /// Address space of each of its processes.
    pub memory_bytes: u64,
    /// May reach the network.
    pub network: bool,
    /// Its failure is the task's.
    pub required: bool,
}

impl Default for HookOptions {
    fn default() -> Self {
        Self { time_limit: Duration::from_secs(300), memory_bytes: 1 << 30, network: false, required: false }
    }
}

/// The task's files that a hook sees.
#[derive(Clone, Debug, Default)]
pub(crate) struct HookFiles {
    /// What was uploaded.
    pub(crate) crash: Option<PathBuf>,
    /// Results so far.
    pub(crate) results: Option<PathBuf>,
}

/// What the hooks of an event did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HookReport {
    /// For the log.
    pub(crate) lines: Vec<Line>,
    /// Why the task cannot go on.
    pub(crate) failure: Option<String>,
}

/// A line for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    Said(String),
    Wrong(String),
}

/// The hooks of this service.
#[derive(Clone, Debug)]
pub struct Hooks {
    configured: Vec<Hook>,
    /// `<folder>/<event>/<program>`.
    folder: Option<PathBuf>,
    work_dir: PathBuf,
}

impl Hooks {
    /// Configured hooks, and those in a folder: each executable file in `<folder>/<event>/`, with the usual options. The folder
    /// is read at each event, so that what is put there is in force at once. `work_dir` is for files of the jobs.
    #[must_use]
    pub fn new(configured: Vec<Hook>, folder: Option<PathBuf>, work_dir: PathBuf) -> Self {
        Self { configured, folder, work_dir }
    }

    /// What an operator should mend: hooks that cannot be run, and files in the folder that are none.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for event in HookEvent::ALL {
            let (_, unusable) = self.of(event);
            problems.extend(
                unusable.into_iter().map(|(path, why)| format!("hook {} of {}: {why}", path.display(), event.as_str())),
            );
        }
        let names = self.folder.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
        for name in names.map(|entry| entry.file_name()) {
            if !HookEvent::ALL.iter().any(|event| name.to_str() == Some(event.as_str())) {
                problems.push(format!("the folder of hooks has {}, which is no event", name.display()));
            }
        }
        problems
    }

    pub(crate) fn work_dir(&self) -> &Path {
        &self.work_dir
    }

    /// True if nothing is to be run at an event.
    pub(crate) fn is_idle(&self, event: HookEvent) -> bool {
        let (hooks, unusable) = self.of(event);
        hooks.is_empty() && unusable.is_empty()
    }

    /// Runs the hooks of an event. After the failure of a required one the others are not run.
    pub(crate) async fn run(&self, event: HookEvent, mut document: EventDocument, files: &HookFiles) -> HookReport {
        let (hooks, unusable) = self.of(event);
        let mut report = HookReport::default();
        for (path, why) in unusable {
            let wrong = format!("Hook {} of {} was not run: {why}", path.display(), event.as_str());
            tracing::warn!(task.id = %document.task.id, "{wrong}");
            report.lines.push(Line::Wrong(wrong));
            // One from the folder has the usual options.
            if self.configured.iter().any(|hook| hook.event == event && hook.program == path && hook.options.required) {
                report.failure =
                    Some(format!("the required hook {} of {} cannot be run: {why}", path.display(), event.as_str()));
                return report;
            }
        }
        document.files = Some(FilesDocument {
            crash: files.crash.as_ref().map(|_| CRASH.to_owned()),
            results: files.results.as_ref().map(|_| RESULTS.to_owned()),
        });
        for hook in hooks {
            let program = hook.program.display();
            let outcome = match self.run_one(&hook, &document, files).await {
                Ok(output) => {
                    tell_output(&hook, &output, &mut report.lines);
                    verdict(&hook, &output)
                }
                Err(error) => Err(format!("{error:#}")),
            };
            let result = if outcome.is_ok() { "success" } else { "fail" };
            counter!("retrace_hooks_total", "event" => event.as_str(), "result" => result).increment(1);
            let Err(why) = outcome else {
                tracing::info!(task.id = %document.task.id, "Hook {program} of {} is done", event.as_str());
                continue;
            };
            let wrong = format!("Hook {program} of {} failed: {why}", event.as_str());
            tracing::warn!(task.id = %document.task.id, "{wrong}");
            report.lines.push(Line::Wrong(wrong));
            if hook.options.required {
                report.failure = Some(format!("the required hook {program} of {} failed: {why}", event.as_str()));
                break;
            }
        }
        report
    }

    async fn run_one(&self, hook: &Hook, document: &EventDocument, files: &HookFiles) -> anyhow::Result<Output> {
        let folder = work_folder::create(&self.work_dir)?;
        let input = folder.path().join("event.json");
        fs::write(&input, serde_json::to_vec(document)?)?;
        let limits = SandboxLimits {
            wall_time: hook.options.time_limit,
            cpu_seconds: hook.options.time_limit.as_secs().max(1),
            memory_bytes: hook.options.memory_bytes,
            processes: MAX_PROCESSES,
            file_size_bytes: MAX_TMP_BYTES,
            output_bytes: MAX_OUTPUT_BYTES,
            ..SandboxLimits::default()
        };
        let program = hook.program.canonicalize()?;
        let mut shown = vec![(program.clone(), program.clone())];
        shown.extend(files.crash.iter().map(|path| (path.clone(), CRASH.into())));
        shown.extend(files.results.iter().map(|path| (path.clone(), RESULTS.into())));
        let sandbox = Sandbox {
            program: &program,
            args: hook.args.iter().map(Into::into).collect(),
            variables: vec![("RETRACE_EVENT", document.event.clone()), ("RETRACE_TASK_ID", document.task.id.clone())],
            shown,
            network: hook.options.network,
            limits: &limits,
        };
        Ok(capture(&sandbox.invocation().await?.stdin_file(input)).await?)
    }

    /// The hooks of an event in their order, and programs that cannot be hooks, each with the reason.
    fn of(&self, event: HookEvent) -> (Vec<Hook>, Vec<(PathBuf, String)>) {
        let mut hooks: Vec<Hook> = self.configured.iter().filter(|hook| hook.event == event).cloned().collect();
        let mut unusable = Vec::new();
        if let Some(folder) = &self.folder {
            let mut dropped_in = programs(&folder.join(event.as_str()));
            // What the configuration names is run as it says, and once.
            dropped_in.retain(|program| !hooks.iter().any(|hook| hook.program == *program));
            hooks.extend(dropped_in.into_iter().map(|program| Hook {
                event,
                program,
                args: Vec::new(),
                options: HookOptions::default(),
            }));
        }
        hooks.retain(|hook| match unfit(&hook.program) {
            Some(why) => {
                unusable.push((hook.program.clone(), why));
                false
            }
            None => true,
        });
        // Stable: of the same name, those of the configuration come first.
        hooks.sort_by(|a, b| a.program.file_name().cmp(&b.program.file_name()));
        (hooks, unusable)
    }
}

/// The executable files of a folder; names that begin with a dot, as editors and package managers leave them, are none.
fn programs(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let visible = entries.flatten().filter(|entry| !entry.file_name().as_encoded_bytes().starts_with(b"."));
    let paths = visible.map(|entry| entry.path());
    paths
        .filter(|path| fs::metadata(path).is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0))
        .collect()
}

/// Why a program is not run: a hook runs for the service, so that nobody else may write it.
fn unfit(program: &Path) -> Option<String> {
    if !program.is_absolute() {
        return Some("its path must be absolute".to_owned());
    }
    let data = match fs::metadata(program) {
        Ok(data) => data,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Some("there is no such file".to_owned()),
        Err(error) => return Some(error.to_string()),
    };
    if !data.is_file() || data.permissions().mode() & 0o111 == 0 {
        return Some("it is no executable file: chmod 755".to_owned());
    }
    let own = rustix::process::geteuid().as_raw();
    if data.uid() != 0 && data.uid() != own {
        return Some(format!("it belongs to user {}: it must belong to root or to the worker's user", data.uid()));
    }
    (data.permissions().mode() & 0o022 != 0).then(|| "others may write it: chmod 755".to_owned())
}

fn verdict(hook: &Hook, output: &Output) -> Result<(), String> {
    match output.ending {
        Ending::Exited(status) if status.success() => Ok(()),
        Ending::Exited(status) => Err(status.to_string()),
        Ending::TimedOut => Err(format!(
            "it did not end within {} s and was ended with all its children; raise its `timeout_s` if it needs longer",
            hook.options.time_limit.as_secs()
        )),
    }
}

fn tell_output(hook: &Hook, output: &Output, lines: &mut Vec<Line>) {
    let name = hook.program.file_name().unwrap_or_default().display().to_string();
    for (bytes, is_error) in [(&output.stdout, false), (&output.stderr, true)] {
        let text = String::from_utf8_lossy(bytes);
        for (n, line) in text.lines().enumerate() {
            if n == MAX_OUTPUT_LINES {
                lines.push(Line::Wrong(format!("{name}: further lines are left out")));
                break;
            }
            let line = format!("{name}: {}", line.chars().take(MAX_LINE_CHARS).collect::<String>());
            lines.push(if is_error { Line::Wrong(line) } else { Line::Said(line) });
        }
    }
}

#[cfg(test)]
mod tests;

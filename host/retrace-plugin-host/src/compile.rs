//! Compiling in a child process: the step at which hostile input costs most.
//!
//! A component of 2.7 MB can keep the compiler busy for minutes and make it eat gigabytes; no limit of the engine touches
//! that. So another process compiles, with limits on processor time, time on the clock and memory, in a sandbox without
//! network where there is one. It writes into an empty folder of its own through the engine's own cache; the one file that
//! it leaves there is moved into the cache of this process, which then loads it as any other entry.

use std::{
    ffi::OsStr,
    fs,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::ExitStatus,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use retrace_process::{Ending, Invocation, Output, ProcessError};
use wasmtime::component::Component;

use crate::{Limits, engine::EngineMode, engine::PluginEngine, state::one_line};

/// The component in the child's folder.
const INPUT: &str = "plugin.wasm";
/// The child's cache in that folder.
const CACHE: &str = "cache";
/// What the child prints when it is done; nothing else counts as success.
const DONE: &str = "compiled";
/// What the child prints before the compiler's error.
const ERROR: &str = "error: ";

/// Exit codes of a shell and of bwrap for a child that a signal ended, beside the signals themselves.
const SIGNAL_BASE: i32 = 128;
const SIGABRT: i32 = 6;
const SIGKILL: i32 = 9;
const SIGSEGV: i32 = 11;
const SIGXCPU: i32 = 24;

/// Who compiles.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Compiler {
    /// This process, without limits: for tests, and for components that are trusted like a program.
    #[default]
    InProcess,
    /// A child: this program, called as `PROGRAM plugin __compile …`, which hands over to [`compile_child`].
    Child {
        /// Path of the `retrace` program.
        program: PathBuf,
    },
}

/// Why a component could not be compiled.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The compiler did not like it.
    #[error("the compiler refuses it: {0}")]
    Refused(String),
    /// It takes too long.
    #[error(
        "compiling it takes more than {} s of {clock}: it is hostile or far too large; `retrace plugin limits` shows the limits",
        limit.as_secs()
    )]
    TooLong {
        /// `processor time` or `time on the clock`.
        clock: &'static str,
        /// The limit.
        limit: Duration,
    },
    /// It takes too much memory.
    #[error("compiling it takes more than {} MiB of memory: it is hostile or far too large", limit_bytes >> 20)]
    TooMuchMemory {
        /// The limit.
        limit_bytes: u64,
    },
    /// The compiling process broke in another way.
    #[error("the compiling process failed ({status}): {stderr}")]
    Broken {
        /// How it ended.
        status: String,
        /// The last of its error output.
        stderr: String,
    },
    /// It cannot be started.
    #[error("cannot start the compiling process")]
    Process(#[source] ProcessError),
    /// Its folder cannot be used.
    #[error("cannot use {}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> CompileError {
    let path = path.to_owned();
    |source| CompileError::Io { path, source }
}

/// Compiles in a child. `staging` is an empty folder of ours; returns the path of the compiled code below its cache folder,
/// and that folder.
pub(crate) fn in_child(
    program: &Path,
    mode: EngineMode,
    bytes: &[u8],
    staging: &Path,
    limits: &Limits,
) -> Result<(PathBuf, PathBuf), CompileError> {
    let input = staging.join(INPUT);
    fs::write(&input, bytes).map_err(io(&input))?;
    let child = Child { program, mode, staging, limits };
    let output = child.run()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let last = said.lines().last().unwrap_or_default();
    if let Some(error) = last.strip_prefix(ERROR) {
        return Err(CompileError::Refused(one_line(error, 512)));
    }
    match output.ending {
        Ending::Exited(status) if status.success() && last == DONE => {
            let cache = staging.join(CACHE);
            Ok((artifact(&cache)?, cache))
        }
        Ending::Exited(status) => Err(child.failure(status, &output)),
        Ending::TimedOut => Err(CompileError::TooLong { clock: "time on the clock", limit: limits.compile_wall }),
    }
}

struct Child<'a> {
    program: &'a Path,
    mode: EngineMode,
    staging: &'a Path,
    limits: &'a Limits,
}

/// Whether the lack of a sandbox was told already.
static TOLD: AtomicBool = AtomicBool::new(false);

impl Child<'_> {
    /// In a sandbox if there is one that works here, else without.
    fn run(&self) -> Result<Output, CompileError> {
        let why = match blocking(self.limited(self.in_sandbox())) {
            Err(ProcessError::NotFound { program }) if program == Path::new("bwrap") => {
                "bwrap is not installed".to_owned()
            }
            Ok(output) => match sandbox_error(&output) {
                Some(error) => error,
                None => return Ok(output),
            },
            Err(error) => return Err(CompileError::Process(error)),
        };
        if !TOLD.swap(true, Ordering::Relaxed) {
            tracing::warn!("plugins are compiled without a sandbox, in a process with limits only: {why}");
        }
        blocking(self.limited(self.arguments(Invocation::new(self.program)))).map_err(CompileError::Process)
    }

    fn limited(&self, call: Invocation) -> Invocation {
        let limits = retrace_process::Limits {
            memory_bytes: Some(self.limits.compile_memory_bytes),
            cpu_seconds: Some(self.limits.compile_cpu.as_secs().max(1)),
            open_files: Some(64),
            ..retrace_process::Limits::default()
        };
        call.limits(limits).time_limit(self.limits.compile_wall).output_limit_bytes(64 << 10)
    }

    /// No network, nothing to read but programs and libraries, nothing to write but its folder.
    fn in_sandbox(&self) -> Invocation {
        let mut call = Invocation::new("bwrap").args(["--unshare-all", "--die-with-parent", "--new-session"]);
        for dir in ["/usr", "/lib", "/lib64", "/bin", "/etc/ld.so.cache", "/nix/store"] {
            call = call.args(["--ro-bind-try", dir, dir]);
        }
        call = call.args(["--proc", "/proc", "--dev", "/dev"]);
        call = call.args([OsStr::new("--ro-bind"), self.program.as_os_str(), self.program.as_os_str()]);
        call = call.args([OsStr::new("--bind"), self.staging.as_os_str(), self.staging.as_os_str()]);
        self.arguments(call.arg("--").arg(self.program))
    }

    fn arguments(&self, call: Invocation) -> Invocation {
        let memory = self.limits.memory_bytes.to_string();
        call.args(["plugin", "__compile", "--mode", self.mode.name(), "--memory-bytes", &memory]).arg(self.staging)
    }

    fn failure(&self, status: ExitStatus, output: &Output) -> CompileError {
        let signal = status.signal().or_else(|| status.code()?.checked_sub(SIGNAL_BASE));
        let stderr = output.stderr_tail();
        let out_of_memory = stderr.contains("memory allocation") || stderr.contains("Cannot allocate memory");
        match signal {
            Some(SIGXCPU | SIGKILL) => {
                CompileError::TooLong { clock: "processor time", limit: self.limits.compile_cpu }
            }
            Some(SIGABRT | SIGSEGV) if out_of_memory => {
                CompileError::TooMuchMemory { limit_bytes: self.limits.compile_memory_bytes }
            }
            _ => CompileError::Broken { status: status.to_string(), stderr: one_line(&stderr, 512) },
        }
    }
}

/// Why the sandbox could not be made, in the words of bwrap.
fn sandbox_error(output: &Output) -> Option<String> {
    let failed =
        matches!(output.ending, Ending::Exited(status) if status.code() == Some(1)) && output.stdout.is_empty();
    let stderr = output.stderr_tail();
    let error = stderr.lines().find(|line| line.starts_with("bwrap: "))?;
    failed.then(|| one_line(error, 512))
}

/// Runs a program from code that is not asynchronous, on whatever thread.
fn blocking(call: Invocation) -> Result<Output, ProcessError> {
    let program = call.program().to_owned();
    let start = |source| ProcessError::Start { program: program.clone(), source };
    thread::scope(|scope| {
        let runner = thread::Builder::new().name("plugin-compiler".to_owned()).spawn_scoped(scope, || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(start)?;
            runtime.block_on(retrace_process::capture(&call))
        });
        runner.map_err(start)?.join().unwrap_or_else(|_| Err(start(std::io::Error::other("the thread panicked"))))
    })
}

/// The one file of compiled code in the child's cache, relative to it.
fn artifact(cache: &Path) -> Result<PathBuf, CompileError> {
    let wrong = |what: &str| CompileError::Broken { status: "exit status: 0".to_owned(), stderr: what.to_owned() };
    let mut found = None;
    for compiler in folders(&cache.join("modules"))? {
        for entry in fs::read_dir(&compiler).map_err(io(&compiler))? {
            let path = entry.map_err(io(&compiler))?.path();
            let metadata = fs::symlink_metadata(&path).map_err(io(&path))?;
            if path.extension().is_some() {
                continue; // statistics and half-written files of the cache
            }
            if !metadata.is_file() || found.is_some() {
                return Err(wrong("it left more than one file of compiled code"));
            }
            found = path.strip_prefix(cache).ok().map(Path::to_owned);
        }
    }
    found.ok_or_else(|| wrong("it left no compiled code"))
}

fn folders(dir: &Path) -> Result<Vec<PathBuf>, CompileError> {
    let mut folders = Vec::new();
    for entry in fs::read_dir(dir).map_err(io(dir))? {
        let path = entry.map_err(io(dir))?.path();
        if fs::symlink_metadata(&path).map_err(io(&path))?.is_dir() {
            folders.push(path);
        }
    }
    Ok(folders)
}

/// What the child does: compiles the component in its folder into the cache in its folder. Prints what the parent reads.
///
/// For the hidden command `retrace plugin __compile` only.
///
/// # Errors
/// The folder cannot be used or the compiler refuses; the text says why.
pub fn compile_child(staging: &Path, mode: EngineMode, memory_bytes: usize) -> Result<&'static str, String> {
    let told = |error: &dyn std::fmt::Display| format!("{ERROR}{}", one_line(&error.to_string(), 512));
    let bytes = fs::read(staging.join(INPUT)).map_err(|error| told(&error))?;
    // Of the limits, only the size of memories is part of compiled code.
    let limits = Limits { memory_bytes, ..Limits::default() };
    let engine = PluginEngine::new(mode, &limits, Some(&staging.join(CACHE))).map_err(|error| told(&error))?;
    Component::from_binary(engine.engine(), &bytes).map_err(|error| told(&format!("{error:#}")))?;
    Ok(DONE)
}

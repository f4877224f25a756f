//! One run of gdb in the sandbox gives both its own text and the frames as data.
//!
//! A script of ours (`gdb/retrace.py`) loads the core and prints; its output is a stream of gdb's text and our records
//! ([`stream`]). Values are printed once, in the text, and taken from there ([`variables`]). gdb exits 0 with junk
//! frames where a file is missing or wrong, so its warnings are read as well ([`warnings`]).

mod stream;
mod variables;
mod warnings;

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use retrace_process::{Ending, Invocation, Output, capture, find_program};
use retrace_types::{Trust, Variable};
use serde::Serialize;

use self::stream::Stream;
pub use self::warnings::GdbWarning;
use crate::{
    ChrootError, Sysroot,
    sandbox::{Sandbox, SandboxLimits},
    sysroot::{DEBUG, LIBRARIES, ROOT},
};

/// What to debug, and how.
#[derive(Clone, Debug)]
pub struct GdbRequest<'a> {
    /// The core of a process, not compressed.
    pub core: &'a Path,
    /// Path of the program as the process knew it. Without one, or where the sysroot does not hold it, gdb does with
    /// the other modules.
    pub executable: Option<&'a str>,
    /// The files of the core.
    pub sysroot: &'a Sysroot,
    /// Folder for our script; created if absent. gdb cannot write to it.
    pub work_dir: &'a Path,
    /// What gdb may use up.
    pub limits: SandboxLimits,
    /// The debugger: a path, or a name that is looked up.
    pub gdb: &'a Path,
}

/// What gdb found.
#[derive(Clone, Debug, PartialEq)]
pub struct GdbReport {
    /// Name and version of the debugger: `gdb 13.1`.
    pub version: String,
    /// gdb's own text, as old clients expect it: all threads with locals, libraries, messages, registers, disassembly.
    pub text: String,
    /// Threads in gdb's order: the kernel writes the one that took the signal first.
    pub threads: Vec<RawThread>,
    /// What gdb complained about, harmless things left out.
    pub warnings: Vec<GdbWarning>,
    /// True if a limit cut threads, frames or text.
    pub truncated: bool,
}

/// A thread as gdb sees it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RawThread {
    /// Kernel thread id.
    pub tid: u32,
    /// Innermost first.
    pub frames: Vec<RawFrame>,
    /// Why the stack ends early; none if it ends where a stack should, or at the limit.
    pub stop_reason: Option<String>,
    /// True if the limit of frames cut the stack.
    pub truncated: bool,
}

/// A frame as gdb sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct RawFrame {
    /// Program counter.
    pub pc: u64,
    /// Function name, demangled.
    pub function: Option<String>,
    /// Source file as the debug information names it.
    pub file: Option<String>,
    /// Line, counted from 1.
    pub line: Option<u32>,
    /// True for a function that was inlined into the next frame's.
    pub inline: bool,
    /// True for the frame that the kernel made to call a signal handler.
    pub signal_handler: bool,
    /// How the frame was found. gdb does not tell: a frame counts as found by call frame information if the file that
    /// holds the code of the frame below has any.
    pub trust: Trust,
    /// Arguments as gdb prints them: `...` for structures.
    pub arguments: Vec<Variable>,
    /// Local variables of all nested blocks, the innermost first.
    pub locals: Vec<Variable>,
}

/// Where the sandbox shows things. The name is unusual, for it is taken out of gdb's text again.
const FILES: &str = "/.retrace/files";
const CORE: &str = "/.retrace/core";
const SCRIPT: &str = "/.retrace/retrace.py";

const SCRIPT_TEXT: &str = include_str!("gdb/retrace.py");

/// Makes the backtraces of all threads.
///
/// A limit that ends gdb after the first thread costs what came behind, not what is there: the report is then
/// `truncated`.
///
/// # Errors
/// [`ChrootError`] where there is not one thread, with the reason.
pub async fn backtrace(request: &GdbRequest<'_>) -> Result<GdbReport, ChrootError> {
    let call = invocation(request).await?;
    let output = capture(&call).await?;
    report(request, &output)
}

async fn invocation(request: &GdbRequest<'_>) -> Result<Invocation, ChrootError> {
    let gdb = request.gdb;
    let gdb = find_program(gdb).await.ok_or_else(|| ChrootError::NoGdb { gdb: gdb.to_owned() })?;
    let gdb = gdb.canonicalize().map_err(ChrootError::io("read", &gdb))?;
    let core = request.core.canonicalize().map_err(ChrootError::io("read", request.core))?;

    let script = request.work_dir.join("retrace.py");
    fs::create_dir_all(request.work_dir).map_err(ChrootError::io("create", request.work_dir))?;
    fs::write(&script, script_text(request)).map_err(ChrootError::io("create", &script))?;
    let script = script.canonicalize().map_err(ChrootError::io("read", &script))?;

    let mut shown: Vec<(PathBuf, PathBuf)> =
        vec![(request.sysroot.dir().to_owned(), FILES.into()), (core, CORE.into()), (script, SCRIPT.into())];
    shown.extend(request.sysroot.outside().iter().map(|file| (file.clone(), file.clone())));
    let limits = &request.limits;
    let args = ["-nx", "-nh", "-batch", "-q", "-x", SCRIPT].map(OsString::from).to_vec();
    Sandbox { program: &gdb, args, variables: Vec::new(), shown, network: false, limits }.invocation().await
}

/// What our script is told.
#[derive(Serialize)]
struct ScriptRequest<'a> {
    sysroot: String,
    debug: String,
    libraries: String,
    core: &'a str,
    executable: Option<&'a str>,
    modules: Vec<ScriptModule<'a>>,
    max_frames: usize,
    max_frames_per_thread: usize,
}

#[derive(Serialize)]
struct ScriptModule<'a> {
    path: &'a str,
    base: u64,
}

fn script_text(request: &GdbRequest<'_>) -> String {
    let sysroot = request.sysroot;
    let modules = sysroot.modules().iter().map(|module| ScriptModule { path: &module.path, base: module.base });
    let wanted = ScriptRequest {
        sysroot: format!("{FILES}/{ROOT}"),
        debug: format!("{FILES}/{DEBUG}"),
        libraries: format!("{FILES}/{LIBRARIES}"),
        core: CORE,
        executable: request.executable.filter(|path| sysroot.holds(path)),
        modules: modules.collect(),
        max_frames: request.limits.max_frames,
        max_frames_per_thread: request.limits.max_frames_per_thread,
    };
    // A JSON string is a string literal of Python, too.
    let json = serde_json::to_string(&wanted).and_then(|json| serde_json::to_string(&json)).unwrap_or_default();
    format!("import json\nREQUEST = json.loads({json})\n{SCRIPT_TEXT}")
}

fn report(request: &GdbRequest<'_>, output: &Output) -> Result<GdbReport, ChrootError> {
    let stream = stream::parse(&output.stdout);
    let errors = shown_to_people(&String::from_utf8_lossy(&output.stderr));
    if let Some(reason) = &stream.unreadable {
        let reason = reason.replace(&format!("\"{CORE}\""), "it").replace(CORE, "it");
        return Err(ChrootError::Unreadable { core: request.core.to_owned(), reason });
    }
    if stream.threads.is_empty() {
        return Err(failure(request, output, &stream, &errors));
    }
    let mut warnings = warnings::read(&errors);
    // Data files that a process mapped are none of ours; modules without a file have a reason of their own.
    warnings.retain(|warning| match warning {
        GdbWarning::MissingFile(path) => request.sysroot.knows(path),
        _ => true,
    });
    if !stream.complete {
        warnings.push(GdbWarning::Other(match output.ending {
            Ending::TimedOut => format!("gdb was stopped at its time limit of {:?}", request.limits.wall_time),
            Ending::Exited(_) if output.truncated => {
                format!("gdb printed more than the limit of {} bytes", request.limits.output_bytes)
            }
            Ending::Exited(status) => format!("gdb ended before its work was done ({status})"),
        }));
    }
    Ok(GdbReport {
        version: format!("gdb {}", stream.version.as_deref().unwrap_or("of unknown version")),
        text: shown_to_people(&stream.text),
        truncated: stream.truncated || !stream.complete || output.truncated,
        threads: stream.threads,
        warnings,
    })
}

/// Why there is not one thread.
fn failure(request: &GdbRequest<'_>, output: &Output, stream: &Stream, errors: &str) -> ChrootError {
    let message = || {
        let tail: Vec<&str> = errors.lines().rev().filter(|line| !line.trim().is_empty()).take(5).collect();
        tail.into_iter().rev().collect::<Vec<_>>().join("; ")
    };
    if stream.version.is_none() {
        if let Some(message) = errors.lines().find_map(|line| line.strip_prefix("bwrap: ")) {
            return ChrootError::Sandbox { message: message.to_owned() };
        }
        if ["Python scripting is not supported", "Python not initialized", "Python initialization failed"]
            .iter()
            .any(|sign| errors.contains(sign))
        {
            return ChrootError::NoPython { gdb: request.gdb.to_owned() };
        }
    }
    match output.ending {
        Ending::TimedOut => ChrootError::TimedOut { limit: request.limits.wall_time },
        Ending::Exited(_) if stream.complete => {
            ChrootError::Unreadable { core: request.core.to_owned(), reason: "it holds no thread".to_owned() }
        }
        Ending::Exited(status) => ChrootError::GdbFailed { ending: status.to_string(), message: message() },
    }
}

/// Paths as the crashed process knew them.
fn shown_to_people(text: &str) -> String {
    text.replace(&format!("{FILES}/{ROOT}/"), "/").replace(&format!("{FILES}/{DEBUG}/"), "debug/").replace(CORE, "core")
}

#[cfg(test)]
mod tests;

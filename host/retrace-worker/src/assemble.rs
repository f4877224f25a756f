//! Puts the facts of the core, the resolved packages and the debugger's frames together. Pure.

use std::collections::{BTreeMap, HashSet};

use retrace_chroot::{GdbReport, GdbWarning, RawFrame, RawThread};
use retrace_coredump::{CoreFacts, Module, ModuleKind};
use retrace_types::{
    BACKTRACE_SCHEMA, Backtrace, CrashSignature, FileState, Frame, Gap, GapReason, ModuleReport, PackageReport,
    ProcessReport, ReleaseReport, Role, SignalReport, StepTiming, ThreadReport, Trust,
};

/// What became of one module of the core.
pub(crate) struct ModuleState<'a> {
    pub(crate) module: &'a Module,
    /// Package of the file itself, if one is known.
    pub(crate) package: Option<PackageReport>,
    /// Package of its debug information.
    pub(crate) debug_package: Option<PackageReport>,
    /// Its package is known and was not unpacked: nothing in the process's stacks points into it.
    pub(crate) left_out: bool,
    /// The file lies in the sysroot and has the module's build-id.
    pub(crate) has_file: bool,
    pub(crate) has_debuginfo: bool,
    /// Why something is missing.
    pub(crate) gaps: Vec<(Role, Gap)>,
}

/// Everything that a result is made of.
pub(crate) struct Parts<'a> {
    pub(crate) facts: &'a CoreFacts,
    pub(crate) executable: Option<String>,
    pub(crate) release: Option<ReleaseReport>,
    pub(crate) modules: Vec<ModuleState<'a>>,
    pub(crate) gdb: &'a GdbReport,
    /// What is missing as a whole.
    pub(crate) gaps: Vec<Gap>,
    pub(crate) timings: Vec<StepTiming>,
}

/// The result of the retrace.
pub(crate) fn assemble(parts: Parts<'_>) -> Backtrace {
    let Parts { facts, executable, release, modules, gdb, mut gaps, timings } = parts;
    let threads = threads(facts, &modules, gdb);
    let on_a_stack: HashSet<&str> =
        threads.iter().flat_map(|thread| &thread.frames).filter_map(|frame| frame.module.as_deref()).collect();
    let packages = packages(&modules);
    let modules: Vec<_> = modules
        .into_iter()
        .map(|state| {
            let used = on_a_stack.contains(state.module.path.as_str());
            module_report(state, used)
        })
        .collect();
    gaps.extend(core_gaps(facts));
    gaps.extend(debugger_gaps(gdb, &modules));

    let mut backtrace = Backtrace {
        schema: BACKTRACE_SCHEMA.to_owned(),
        complete: false,
        release,
        architecture: facts.architecture,
        process: ProcessReport {
            pid: facts.pid,
            command: facts.command.clone(),
            arguments: facts.arguments.clone(),
            executable,
        },
        signal: facts.signal.as_ref().map(|signal| SignalReport {
            number: signal.number,
            name: signal.name(),
            code: signal.code,
            fault_address: signal.fault_address,
        }),
        packages,
        modules,
        threads,
        gaps,
        engine: gdb.version.clone(),
        timings,
        signature: None,
        answered_from: None,
        comparison: None,
    };
    backtrace.signature = backtrace.crashed_thread().map(CrashSignature::of);
    let complete = backtrace.all_gaps().all(|gap| gap.reason == GapReason::NoLine);
    backtrace.complete = complete;
    backtrace
}

/// The crashed thread first, the others as the core has them.
fn threads(facts: &CoreFacts, modules: &[ModuleState<'_>], gdb: &GdbReport) -> Vec<ThreadReport> {
    // The kernel writes the thread that took the signal first.
    let crashed_tid = facts.threads.first().map(|thread| thread.tid);
    let order: BTreeMap<u32, usize> = facts.threads.iter().enumerate().map(|(i, thread)| (thread.tid, i)).collect();
    let mut threads: Vec<_> = gdb.threads.iter().map(|thread| thread_report(thread, crashed_tid, modules)).collect();
    threads.sort_by_key(|thread| order.get(&thread.tid).copied().unwrap_or(usize::MAX));
    threads
}

fn thread_report(raw: &RawThread, crashed_tid: Option<u32>, modules: &[ModuleState<'_>]) -> ThreadReport {
    let mut frames: Vec<_> =
        raw.frames.iter().zip(0_u32..).map(|(frame, number)| frame_report(frame, number, modules)).collect();
    if let (Some(last), Some(reason)) = (frames.last_mut(), &raw.stop_reason)
        && last.gap.is_none()
    {
        last.gap = Some(Gap {
            reason: GapReason::StackIncomplete,
            subject: format!("thread {}", raw.tid),
            message: format!("the debugger stopped here: {reason}"),
            action: "frames above this one cannot be had from this core; a corrupt stack is a finding of its own"
                .to_owned(),
        });
    }
    ThreadReport { tid: raw.tid, crashed: Some(raw.tid) == crashed_tid, frames }
}

fn frame_report(raw: &RawFrame, number: u32, modules: &[ModuleState<'_>]) -> Frame {
    // A return address may lie one past the last byte of its module's function, never outside the mapping.
    let state = modules.iter().find(|state| (state.module.start..state.module.end).contains(&raw.pc));
    let gap = frame_gap(raw, state);
    Frame {
        number,
        pc: raw.pc,
        function: raw.function.clone(),
        file: raw.file.clone(),
        line: raw.line,
        inline: raw.inline,
        signal_handler: raw.signal_handler,
        trust: raw.trust,
        module: state.map(|state| state.module.path.clone()),
        build_id: state.and_then(|state| state.module.build_id.as_ref().ok().cloned()),
        offset: state.and_then(|state| raw.pc.checked_sub(state.module.load_bias.unwrap_or(state.module.start))),
        arguments: raw.arguments.clone(),
        locals: raw.locals.clone(),
        gap,
    }
}

/// Why a frame is not perfect, the deepest reason first; none for a perfect one.
fn frame_gap(raw: &RawFrame, state: Option<&ModuleState<'_>>) -> Option<Gap> {
    if raw.signal_handler || (raw.function.is_some() && raw.line.is_some()) {
        return (raw.trust == Trust::Scan).then(|| scan_gap(raw));
    }
    let Some(state) = state else {
        return Some(Gap {
            reason: GapReason::NoModule,
            subject: format!("{:#x}", raw.pc),
            message: format!("{:#x} lies in no file that the process had mapped", raw.pc),
            action: "nothing to fetch: a wild jump, generated code, or a corrupt stack".to_owned(),
        });
    };
    if state.module.kind == ModuleKind::Vdso {
        return None;
    }
    let wanted_role = if state.has_file { Role::Debuginfo } else { Role::Executable };
    let known = state.gaps.iter().find(|(role, _)| *role == wanted_role).map(|(_, gap)| gap.clone());
    known.or_else(|| Some(no_symbol_gap(raw, &state.module.path)))
}

/// File and debug information are there, and still say nothing of this address.
fn no_symbol_gap(raw: &RawFrame, path: &str) -> Gap {
    let (reason, what) = match raw.function {
        Some(_) => (GapReason::NoLine, "no line"),
        None => (GapReason::NoSymbols, "no symbol"),
    };
    Gap {
        reason,
        subject: path.to_owned(),
        message: format!("{path} and its debug information have {what} for {:#x}", raw.pc),
        action: "nothing to fetch: the code was built without debug information, as assembler often is".to_owned(),
    }
}

fn scan_gap(raw: &RawFrame) -> Gap {
    Gap {
        reason: GapReason::StackIncomplete,
        subject: format!("{:#x}", raw.pc),
        message: "this frame is a guess: no call frame information covers the one below it, or that one is a guess"
            .to_owned(),
        action: "install the debug information of the module of the frame below, if there is any".to_owned(),
    }
}

/// A missing file is always a gap; missing debug information only where a stack passes through the module.
fn module_report(state: ModuleState<'_>, used: bool) -> ModuleReport {
    let module = state.module;
    let not_needed = module.kind == ModuleKind::Vdso;
    let file_state = |there: bool, package: Option<&PackageReport>| match (there, package) {
        _ if not_needed => FileState::NotNeeded,
        (true, _) => FileState::Matched,
        (false, Some(_)) if state.left_out => FileState::Unused,
        (false, _) => FileState::Missing,
    };
    let file = file_state(state.has_file, state.package.as_ref());
    let debuginfo = file_state(state.has_debuginfo, state.debug_package.as_ref());
    let gaps = state.gaps.into_iter().filter(|(role, _)| !not_needed && (*role == Role::Executable || used));
    ModuleReport {
        path: module.path.clone(),
        start: module.start,
        end: module.end,
        build_id: module.build_id.as_ref().ok().cloned(),
        package: state.package.map(|package| package.id),
        file,
        debuginfo,
        gaps: gaps.map(|(_, gap)| gap).collect(),
    }
}

/// Each package once, in the order of the modules.
fn packages(modules: &[ModuleState<'_>]) -> Vec<PackageReport> {
    let mut seen = HashSet::new();
    let of_modules = modules.iter().flat_map(|state| [&state.package, &state.debug_package]).flatten();
    of_modules.filter(|package| seen.insert(package.sha256)).cloned().collect()
}

fn core_gaps(facts: &CoreFacts) -> Option<Gap> {
    facts.truncation.as_ref().map(|truncation| Gap {
        reason: GapReason::CoreTruncated,
        subject: "core".to_owned(),
        message: format!(
            "the core has {} bytes of the {} that its headers announce",
            truncation.actual_size, truncation.expected_size
        ),
        action:
            "stacks may be cut: raise the core size limit (ulimit -c, or ProcessSizeMax of systemd-coredump), check \
                 the free space, or send the file again"
                .to_owned(),
    })
}

/// What the debugger complained about, unless another gap says it already.
fn debugger_gaps(gdb: &GdbReport, modules: &[ModuleReport]) -> Vec<Gap> {
    let is_known = |path: &str| modules.iter().any(|module| module.file == FileState::Missing && module.path == path);
    let mut gaps: Vec<_> = gdb.warnings.iter().filter_map(|warning| debugger_gap(warning, &is_known)).collect();
    if gdb.truncated {
        gaps.push(Gap {
            reason: GapReason::Limit,
            subject: "gdb".to_owned(),
            message: "the stacks are longer than the limit and were cut".to_owned(),
            action: "the innermost frames are here; an endless recursion shows in them".to_owned(),
        });
    }
    gaps
}

fn debugger_gap(warning: &GdbWarning, is_known: &impl Fn(&str) -> bool) -> Option<Gap> {
    let (reason, action) = match warning {
        GdbWarning::MissingFile(path) if is_known(path) => return None,
        // The core's own headers said so; thread-local variables are not part of the result.
        GdbWarning::TruncatedCore(_) | GdbWarning::ThreadLibrary => return None,
        GdbWarning::MissingSupplementary(_) => (
            GapReason::SupplementaryMissing,
            "mirror the repository with the debug packages of this file; its dwz file is in one of them",
        ),
        GdbWarning::MissingFile(_) | GdbWarning::Mismatch(_) | GdbWarning::Other(_) => (
            GapReason::Debugger,
            "compare the module's build-id in this result with the file on the machine that crashed",
        ),
    };
    Some(Gap {
        reason,
        subject: warning.path().unwrap_or("gdb").to_owned(),
        message: warning.to_string(),
        action: action.to_owned(),
    })
}

#[cfg(test)]
mod tests;

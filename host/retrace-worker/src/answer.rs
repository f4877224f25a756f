//! Results that are kept for a group, and how one of them answers the next crash that looks the same (see
//! [`crate::fingerprint`]).
//!
//! Kept is what both processes have in common: the crashed thread's functions, files, lines and build-ids. What belongs to
//! one process alone is left out before anything is written: values of arguments and variables, other threads, the command
//! line, addresses. So whoever gets an answer learns nothing about whose crash came first.

use std::{collections::HashSet, fmt::Write as _};

use anyhow::{Context as _, Result};
use retrace_coredump::CoreFacts;
use retrace_store::{KeptResult, Store};
use retrace_types::{
    AnsweredFrom, BACKTRACE_SCHEMA, Backtrace, BuildId, Frame, Gap, GapReason, ModuleReport, ProcessReport, Sha256,
    SignalReport, ThreadReport, signature::stack_digest,
};

/// Most frames that are kept: one result is a few hundred bytes a frame.
const MAX_FRAMES: usize = 4096;

/// Largest kept result.
const MAX_BYTES: u64 = 16 << 20;

/// What of a result answers the next crash that looks the same, and its name; none if it is not certain and complete.
pub(crate) fn keep(backtrace: &Backtrace) -> Option<(KeptResult, Backtrace)> {
    let thread = backtrace.crashed_thread()?;
    let certain = thread.frames.iter().all(|frame| !frame.signal_handler) && thread.frames.len() <= MAX_FRAMES;
    if !backtrace.complete || backtrace.answered_from.is_some() || !certain {
        return None;
    }
    let kept = KeptResult { group: backtrace.signature.as_ref()?.group()?, stack: stack_digest(thread)? };
    let bare = |frame: &Frame| Frame { pc: 0, arguments: Vec::new(), locals: Vec::new(), ..frame.clone() };
    let on_stack: HashSet<_> = thread.frames.iter().filter_map(|frame| frame.build_id.as_ref()).collect();
    let modules: Vec<_> = backtrace
        .modules
        .iter()
        .filter(|module| module.build_id.as_ref().is_some_and(|id| on_stack.contains(id)))
        .map(|module| ModuleReport { start: 0, end: 0, ..module.clone() })
        .collect();
    let used: HashSet<_> = modules.iter().filter_map(|module| module.package.as_ref()).collect();
    let mut release = backtrace.release.clone();
    if let Some(release) = &mut release {
        release.candidates.clear();
    }
    let document = Backtrace {
        release,
        process: ProcessReport { pid: None, command: None, arguments: None, executable: None },
        signal: None,
        packages: backtrace.packages.iter().filter(|package| used.contains(&package.id)).cloned().collect(),
        threads: vec![ThreadReport { tid: 0, crashed: true, frames: thread.frames.iter().map(bare).collect() }],
        modules,
        gaps: Vec::new(),
        timings: Vec::new(),
        ..backtrace.clone()
    };
    Some((kept, document))
}

/// The result that is kept for a fingerprint, if there is one that this version can read.
pub(crate) async fn find(store: &Store, fingerprint: &Sha256) -> Result<Option<(KeptResult, Backtrace)>> {
    let Some(kept) = store.kept_result(fingerprint).await? else { return Ok(None) };
    let Some(bytes) = store.read_kept_result(kept, MAX_BYTES).await? else { return Ok(None) };
    let document: Backtrace = serde_json::from_slice(&bytes).context("the kept result cannot be read")?;
    Ok((document.schema == BACKTRACE_SCHEMA).then_some((kept, document)))
}

/// The kept frames as frames of this process: with its addresses, its threads and its signal. None if a module of theirs is
/// not there, or there twice, so that nothing says which one is meant.
pub(crate) fn adapt(
    (kept, document): (KeptResult, Backtrace),
    fingerprint: Sha256,
    facts: &CoreFacts,
    executable: Option<String>,
) -> Option<Backtrace> {
    let module_of = |id: &BuildId| {
        let mut having = facts.modules.iter().filter(|module| module.build_id.as_ref().ok() == Some(id));
        having.next().filter(|_| having.next().is_none())
    };
    let own_frame = |frame: &Frame| {
        let module = module_of(frame.build_id.as_ref()?)?;
        let pc = module.load_bias.unwrap_or(module.start).checked_add(frame.offset?)?;
        Some(Frame { pc, module: Some(module.path.clone()), ..frame.clone() })
    };
    let own_module = |report: &ModuleReport| {
        let module = module_of(report.build_id.as_ref()?)?;
        Some(ModuleReport { path: module.path.clone(), start: module.start, end: module.end, ..report.clone() })
    };
    let crashed = facts.threads.first()?;
    let frames = document.threads.first()?.frames.iter().map(own_frame).collect::<Option<Vec<_>>>()?;
    // The walk began here: a kept result of another place would be a defect.
    if frames.iter().find(|frame| !frame.inline)?.pc != crashed.registers.pc()? {
        return None;
    }
    let others = facts.threads.len().saturating_sub(1);
    let gap = Gap {
        reason: GapReason::AnsweredFromGroup,
        subject: kept.group.to_string(),
        message: format!(
            "the frames are those of an earlier crash that looked the same; values of variables and {others} other \
             threads were not looked at"
        ),
        action: "send the crash as a task for debugging (type 1), or set worker.answer_from_group to false".to_owned(),
    };
    Some(Backtrace {
        complete: false,
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
        threads: vec![ThreadReport { tid: crashed.tid, crashed: true, frames }],
        modules: document.modules.iter().map(own_module).collect::<Option<Vec<_>>>()?,
        gaps: vec![gap],
        answered_from: Some(AnsweredFrom { group: kept.group, fingerprint }),
        ..document
    })
}

/// The text for people and old clients, in the form in which gdb prints a stack.
pub(crate) fn text(backtrace: &Backtrace) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    for gap in &backtrace.gaps {
        let _ = writeln!(text, "Note: {}.", gap.message);
    }
    for thread in &backtrace.threads {
        let _ = writeln!(text, "\nThread 1 (LWP {}):", thread.tid);
        for frame in &thread.frames {
            let _ = write!(text, "#{:<2} ", frame.number);
            if !frame.inline {
                let _ = write!(text, "0x{:016x} in ", frame.pc);
            }
            let _ = write!(text, "{} ()", frame.function.as_deref().unwrap_or("??"));
            match (&frame.file, frame.line, &frame.module) {
                (Some(file), Some(line), _) => drop(write!(text, " at {file}:{line}")),
                (_, _, Some(module)) => drop(write!(text, " from {module}")),
                _ => {}
            }
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests;

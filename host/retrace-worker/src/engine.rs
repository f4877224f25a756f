//! The two engines: gdb in the sandbox, and our own, which runs in this process within its limits.
//!
//! The debugger's report is the form that both have here, so that what is missing is told in the same way.

use std::{collections::BTreeMap, fs::File, path::PathBuf};

use retrace_chroot::{GdbReport, GdbWarning, RawFrame, RawThread, SysrootModule};
use retrace_coredump::{CoreFacts, Module};
use retrace_types::{BuildId, EngineComparison, EngineDifference, GapReason};
use retrace_unwind::{Finder, Limits, ModuleFiles, NativeBacktrace, Options, RemarkKind, values};
use serde::{Deserialize, Serialize};

use crate::AnalyzeError;

/// What makes the frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    /// Our own, in milliseconds.
    Native,
    /// The debugger: registers, disassembly and pretty printers as well.
    #[default]
    Gdb,
    /// The debugger's result, and how our own differs from it.
    Both,
}

/// Differences that are listed; the others are counted.
const MAX_DIFFERENCES: usize = 50;

/// The files of the modules that were unpacked, by build-id.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unpacked(BTreeMap<BuildId, ModuleFiles>);

impl Unpacked {
    pub(crate) fn of(modules: &[SysrootModule]) -> Self {
        let files = modules.iter().map(|module| {
            let files = ModuleFiles {
                binary: module.executable.clone(),
                debug: module.debuginfo.clone(),
                supplementary: module.supplementary.clone(),
                // Distributions ship debug information unsplit.
                package: None,
            };
            (module.build_id.clone(), files)
        });
        Self(files.collect())
    }
}

impl Finder for Unpacked {
    fn files(&self, module: &Module) -> ModuleFiles {
        let known = module.build_id.as_ref().ok().and_then(|build_id| self.0.get(build_id));
        known.cloned().unwrap_or_default()
    }
}

/// The backtrace by our own engine.
pub(crate) async fn native(core: PathBuf, facts: CoreFacts, files: Unpacked) -> Result<GdbReport, AnalyzeError> {
    let walking = tokio::task::spawn_blocking(move || {
        let options = Options { values: Some(values::Options::default()) };
        match File::open(&core) {
            Ok(file) => retrace_unwind::backtrace(&file, &facts, &files, &Limits::default(), &options)
                .map_err(|source| AnalyzeError::Core { path: core, source }),
            Err(source) => Err(AnalyzeError::Open { path: core, source }),
        }
    });
    let walked = walking.await.map_err(|source| AnalyzeError::StepLost { step: "backtrace", source })??;
    Ok(report(walked))
}

fn report(native: NativeBacktrace) -> GdbReport {
    let text = retrace_unwind::text(&native);
    let warnings = native.remarks.iter().map(|remark| match &remark.kind {
        RemarkKind::NoSupplementary => GdbWarning::MissingSupplementary(remark.module.clone()),
        RemarkKind::Refused(refused) if refused.is_other => GdbWarning::Mismatch(remark.module.clone()),
        RemarkKind::Refused(refused) => GdbWarning::Other(format!("{}: {}", remark.module, refused.reason)),
    });
    let warnings = warnings.collect();
    let threads = native.threads.into_iter().map(|thread| {
        // The reason for which a stack ends is told of its last frame.
        let last = thread.frames.last().and_then(|frame| frame.gap.as_ref());
        let stop_reason = last.filter(|gap| gap.reason == GapReason::StackIncomplete).map(|gap| gap.message.clone());
        let truncated =
            thread.frames.iter().any(|frame| frame.gap.as_ref().is_some_and(|gap| gap.reason == GapReason::Limit));
        let frames = thread.frames.into_iter().map(|frame| RawFrame {
            pc: frame.pc,
            function: frame.function,
            file: frame.file,
            line: frame.line,
            inline: frame.inline,
            signal_handler: frame.signal_handler,
            trust: frame.trust,
            arguments: frame.arguments,
            locals: frame.locals,
        });
        RawThread { tid: thread.tid, frames: frames.collect(), stop_reason, truncated }
    });
    let version = format!("retrace-unwind {}", env!("CARGO_PKG_VERSION"));
    GdbReport { version, text, threads: threads.collect(), warnings, truncated: native.truncated }
}

/// How our own result differs from the debugger's: addresses, functions and lines of the frames.
pub(crate) fn compare(gdb: &GdbReport, native: &GdbReport) -> EngineComparison {
    let mut comparison =
        EngineComparison { engine: native.version.clone(), frames: 0, equal: 0, differences: Vec::new() };
    let nobody = RawThread::default();
    for thread in &gdb.threads {
        let ours = native.threads.iter().find(|other| other.tid == thread.tid).unwrap_or(&nobody);
        let ours = by_address(&ours.frames);
        let mut next = 0;
        let mut number = 0_u32;
        for theirs in by_address(&thread.frames) {
            // Frames that only one of the two has must not put all others out of step.
            let same =
                |group: &&[RawFrame]| group.first().map(|frame| frame.pc) == theirs.first().map(|frame| frame.pc);
            let found = ours.iter().skip(next).position(same).map(|ahead| next + ahead);
            let group = found.and_then(|index| ours.get(index)).copied().unwrap_or_default();
            next = found.map_or(next, |index| index + 1);
            for (inner, frame) in theirs.iter().enumerate() {
                comparison.frames += 1;
                let (theirs, ours) = (Some(frame), group.get(inner));
                if is_same(theirs, ours) {
                    comparison.equal += 1;
                } else if comparison.differences.len() < MAX_DIFFERENCES {
                    let (theirs, ours) = (shown(theirs), shown(ours));
                    let difference = EngineDifference { tid: thread.tid, frame: number, gdb: theirs, native: ours };
                    comparison.differences.push(difference);
                }
                number = number.saturating_add(1);
            }
        }
    }
    comparison
}

/// The frames in groups of one address: a function with those that are inlined into it.
fn by_address(frames: &[RawFrame]) -> Vec<&[RawFrame]> {
    frames.chunk_by(|inner, _| inner.inline).collect()
}

fn is_same(gdb: Option<&RawFrame>, native: Option<&RawFrame>) -> bool {
    let (Some(gdb), Some(native)) = (gdb, native) else { return false };
    let name = |frame: &RawFrame| {
        let name = frame.function.as_deref().unwrap_or_default();
        name.split_once('(').map_or(name, |(name, _)| name).replace(' ', "")
    };
    gdb.pc == native.pc
        && gdb.signal_handler == native.signal_handler
        && gdb.line == native.line
        && (gdb.signal_handler || name(gdb) == name(native))
}

fn shown(frame: Option<&RawFrame>) -> String {
    let Some(frame) = frame else { return "no frame".to_owned() };
    let place = frame.file.as_deref().zip(frame.line).map(|(file, line)| format!(" at {file}:{line}"));
    let name = if frame.signal_handler { "<signal handler called>" } else { frame.function.as_deref().unwrap_or("??") };
    format!("{:#x} {name}{}", frame.pc, place.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use retrace_types::Trust;

    use super::*;

    fn report(frames: &[(u64, &str, u32)]) -> GdbReport {
        let frames = frames.iter().map(|(pc, function, line)| RawFrame {
            pc: *pc,
            function: Some((*function).to_owned()),
            file: Some("a.c".to_owned()),
            line: Some(*line),
            inline: false,
            signal_handler: false,
            trust: Trust::Cfi,
            arguments: Vec::new(),
            locals: Vec::new(),
        });
        GdbReport {
            version: "engine 1".to_owned(),
            text: String::new(),
            threads: vec![RawThread { tid: 1, frames: frames.collect(), ..RawThread::default() }],
            warnings: Vec::new(),
            truncated: false,
        }
    }

    #[test]
    fn frames_that_differ_are_listed_and_those_above_main_are_not() {
        let gdb = report(&[(1, "a(int)", 5), (2, "b", 6), (3, "main", 7)]);
        let native = report(&[(1, "a", 5), (2, "b", 9), (3, "main", 7), (4, "_start", 1)]);
        let comparison = compare(&gdb, &native);
        assert_eq!((comparison.frames, comparison.equal), (3, 2));
        let difference = &comparison.differences[0];
        assert_eq!(
            (difference.frame, difference.gdb.as_str(), difference.native.as_str()),
            (1, "0x2 b at a.c:6", "0x2 b at a.c:9")
        );
        assert_eq!(compare(&gdb, &report(&[])).equal, 0, "what is missing differs");
    }
}

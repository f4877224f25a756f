//! A core's threads as they are reported.

use std::{cell::OnceCell, collections::BTreeMap};

use gimli::RunTimeEndian;
use retrace_coredump::{CoreFacts, Module, ModuleKind, ProcessMemory, ReadAt, Thread};
use retrace_types::{Architecture, Frame, Gap, GapReason, ThreadReport, Trust};

use crate::{
    Finder, Limits, Refused,
    demangle::{Style, demangle},
    image::Image,
    machine::Machine,
    memory::Memory,
    process::{At, Opened, Process},
    symbols::Level,
    tail::TailCalls,
    values::{self, Place},
    walk::{PhysicalFrame, Stack, Walker},
};

/// Of a stack that is longer than may be shown, so many outermost frames are.
const OUTERMOST: usize = 64;
/// The most that is read of a vdso.
const MAX_VDSO_BYTES: u64 = 1 << 20;

/// What is wanted beside functions and lines.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Arguments and locals with their values; none: they are left out.
    pub values: Option<values::Options>,
}

/// The threads of a core.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NativeBacktrace {
    /// In the order of the core: the one that took the signal first.
    pub threads: Vec<ThreadReport>,
    /// What was given or wanted and could not be used.
    pub remarks: Vec<Remark>,
    /// True if a limit cut threads or frames.
    pub truncated: bool,
}

/// Something about the files of a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// Path of the module, as the kernel knew it.
    pub module: String,
    /// What it is.
    pub kind: RemarkKind,
}

/// What may be the matter with the files of a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RemarkKind {
    /// A file was not used.
    Refused(Refused),
    /// The debug information refers to a supplementary file (dwz) that is not there.
    NoSupplementary,
}

/// The backtraces of all threads.
///
/// # Errors
/// The core cannot be read any more.
pub fn backtrace(
    core: &(impl ReadAt + Sync),
    facts: &CoreFacts,
    finder: &dyn Finder,
    limits: &Limits,
    options: &Options,
) -> Result<NativeBacktrace, retrace_coredump::CoreError> {
    let memory = ProcessMemory::of(core, &retrace_coredump::Limits::default())?;
    let mut remarks = Vec::new();
    let images: Vec<Image> = facts
        .modules
        .iter()
        .map(|module| {
            let (image, refused) = open(module, &memory, finder, limits);
            let remark = |kind| Remark { module: module.path.clone(), kind };
            remarks.extend(refused.into_iter().map(|refused| remark(RemarkKind::Refused(refused))));
            if image.lacks_supplementary() {
                remarks.push(remark(RemarkKind::NoSupplementary));
            }
            image
        })
        .collect();
    let opened: Vec<Opened<'_>> = images.iter().map(|_| OnceCell::new()).collect();
    let machine = Machine::of(facts.architecture);
    let endian = if facts.big_endian { RunTimeEndian::Big } else { RunTimeEndian::Little };
    let view = Memory::new(&memory, &facts.modules, &images, endian, machine.word_bytes);
    let walker = Walker::new(machine, view, &facts.modules, &images, limits);
    let x87 = matches!(facts.architecture, Architecture::X86_64 | Architecture::I686);
    let process = Process::new(walker, &images, finder, &opened, x87);

    let mut result = NativeBacktrace { remarks, ..NativeBacktrace::default() };
    result.truncated = facts.threads.len() > limits.max_threads;
    let mut reporter =
        Reporter { process: &process, limits, options, tail_calls: TailCalls::default(), truncated: false };
    for (index, thread) in facts.threads.iter().take(limits.max_threads).enumerate() {
        result.threads.push(reporter.thread(thread, index == 0));
    }
    result.truncated |= reporter.truncated;
    Ok(result)
}

fn open(module: &Module, memory: &ProcessMemory<'_>, finder: &dyn Finder, limits: &Limits) -> (Image, Vec<Refused>) {
    if module.kind == ModuleKind::Vdso {
        let length = module.end.saturating_sub(module.start).min(MAX_VDSO_BYTES);
        let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
        let count = memory.read(module.start, &mut bytes).unwrap_or_default();
        bytes.truncate(count);
        return (Image::from_bytes(bytes, limits), Vec::new());
    }
    Image::open(&finder.files(module), module.build_id.as_ref().ok(), limits)
}

struct Reporter<'a, 'i> {
    process: &'a Process<'i>,
    limits: &'a Limits,
    options: &'a Options,
    tail_calls: TailCalls,
    truncated: bool,
}

impl<'i> Reporter<'_, 'i> {
    fn thread(&mut self, thread: &Thread, crashed: bool) -> ThreadReport {
        let walked = self.process.walker.walk(thread);
        let Stack { frames: stack, broken } = self.tail_calls.complete(self.process, walked);
        let shown = self.limits.max_shown_frames;
        let left_out = stack.len().saturating_sub(shown + OUTERMOST);
        let mut frames: Vec<Frame> = Vec::new();
        let mut number = 0_u32;
        for (index, physical) in stack.iter().enumerate() {
            let is_shown = left_out == 0 || index < shown || index >= stack.len() - OUTERMOST;
            if !is_shown {
                // Inlined functions of frames that nobody sees are not looked up, only the frames counted.
                number = number.saturating_add(1);
                continue;
            }
            if left_out > 0 && index == stack.len() - OUTERMOST {
                self.truncated = true;
                if let Some(last) = frames.last_mut() {
                    last.gap = Some(fold_gap(left_out));
                }
            }
            let context = At::new(self.process, &stack, &thread.wide_registers, index);
            self.frame(context.as_ref(), physical, &mut number, &mut frames);
        }
        if let (Some(last), Some(reason)) = (frames.last_mut(), broken) {
            last.gap = last.gap.take().or_else(|| Some(broken_gap(thread.tid, &reason)));
        }
        ThreadReport { tid: thread.tid, crashed, frames }
    }

    fn frame(&self, context: Option<&At<'_, 'i>>, physical: &PhysicalFrame, number: &mut u32, frames: &mut Vec<Frame>) {
        let levels = self.process.levels(physical);
        let levels = if physical.is_signal { Vec::new() } else { levels.to_vec() };
        let levels = if levels.is_empty() { vec![self.nameless(physical)] } else { levels };
        let modules = self.process.walker.modules;
        let module = physical.module.and_then(|index| modules.get(index));
        let context = context.filter(|_| self.options.values.is_some());
        for level in &levels {
            let values = context.map(|context| self.values(context, physical, level, &levels));
            let values::Variables { arguments, locals, .. } = values.unwrap_or_default();
            let is_guess = physical.trust == Trust::Scan && !level.inline;
            frames.push(Frame {
                number: *number,
                pc: physical.pc,
                function: level.function.clone(),
                file: level.file.clone(),
                line: level.line,
                inline: level.inline,
                signal_handler: physical.is_signal,
                trust: physical.trust,
                module: module.map(|module| module.path.clone()),
                build_id: module.and_then(|module| module.build_id.as_ref().ok().cloned()),
                offset: module.and_then(|module| physical.pc.checked_sub(module.load_bias.unwrap_or(module.start))),
                arguments,
                locals,
                gap: is_guess.then(|| scan_gap(physical.pc)),
            });
            *number = number.saturating_add(1);
        }
    }

    /// What can be said without debug information: the name of a symbol.
    fn nameless(&self, frame: &PhysicalFrame) -> Level {
        let symbol = self.process.symbol(frame.lookup).filter(|_| !frame.is_signal);
        Level { function: symbol.map(|(name, _)| demangle(name, Style::Short).into_owned()), ..Level::default() }
    }

    fn values(
        &self,
        context: &At<'_, 'i>,
        frame: &PhysicalFrame,
        level: &Level,
        levels: &[Level],
    ) -> values::Variables {
        let found = frame.module.zip(self.options.values.as_ref()).and_then(|(index, options)| {
            let symbols = self.process.symbols(index)?;
            let function = symbols.function(level.entity?)?;
            let subprogram = symbols.function(levels.last()?.entity?)?;
            let pc = frame.lookup.wrapping_sub(self.process.bias(index)?);
            Some(values::variables(Place { function, subprogram, pc }, context, options))
        });
        found.unwrap_or_default()
    }
}

fn scan_gap(pc: u64) -> Gap {
    Gap {
        reason: GapReason::StackIncomplete,
        subject: format!("{pc:#x}"),
        message: "this frame is a guess: no call frame information covers the one below it, or that one is a guess"
            .to_owned(),
        action: "mirror the package of the module of the frame below".to_owned(),
    }
}

fn broken_gap(tid: u32, reason: &str) -> Gap {
    Gap {
        reason: GapReason::StackIncomplete,
        subject: format!("thread {tid}"),
        message: format!("the stack cannot be followed beyond this frame: {reason}"),
        action: "frames above this one cannot be had from this core; a corrupt stack is a finding of its own"
            .to_owned(),
    }
}

fn fold_gap(frames: usize) -> Gap {
    Gap {
        reason: GapReason::Limit,
        subject: "stack".to_owned(),
        message: format!("{frames} frames between this one and the next are not shown"),
        action: "the innermost frames are here; an endless recursion shows in them".to_owned(),
    }
}

/// The text of a backtrace as gdb's `thread apply all bt full` has it, for people and clients that read that.
#[must_use]
pub fn text(backtrace: &NativeBacktrace) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    let numbers: BTreeMap<u32, usize> =
        backtrace.threads.iter().enumerate().map(|(index, thread)| (thread.tid, index + 1)).collect();
    for thread in backtrace.threads.iter().rev() {
        let number = numbers.get(&thread.tid).copied().unwrap_or_default();
        let _ = writeln!(text, "Thread {number} (LWP {}):", thread.tid);
        for frame in &thread.frames {
            frame_text(&mut text, frame);
        }
        text.push('\n');
    }
    text
}

fn frame_text(text: &mut String, frame: &Frame) {
    use std::fmt::Write as _;
    if frame.signal_handler {
        let _ = writeln!(text, "#{:<2} <signal handler called>", frame.number);
        return;
    }
    let _ = write!(text, "#{:<2} ", frame.number);
    if !frame.inline && frame.number != 0 {
        let _ = write!(text, "{:#018x} in ", frame.pc);
    }
    let arguments: Vec<_> =
        frame.arguments.iter().map(|argument| format!("{}={}", argument.name, argument.value)).collect();
    let _ = write!(text, "{} ({})", frame.function.as_deref().unwrap_or("??"), arguments.join(", "));
    match (&frame.file, frame.line, &frame.module) {
        (Some(file), Some(line), _) => {
            let _ = write!(text, " at {file}:{line}");
        }
        (_, _, Some(module)) => {
            let _ = write!(text, " from {module}");
        }
        _ => {}
    }
    text.push('\n');
    for local in &frame.locals {
        let _ = writeln!(text, "        {} = {}", local.name, local.value);
    }
    if frame.locals.is_empty() && frame.line.is_some() {
        text.push_str("No locals.\n");
    }
}

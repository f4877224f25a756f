//! A backtrace for people: what crashed, the stacks, what is missing and how to mend it, where the time went.

use std::fmt::{self, Write as _};

use retrace_types::{Backtrace, FileState, Frame, Gap, PackageKind, ThreadReport, Trust, Variable};

/// Longest value of a variable that is printed in full.
const MAX_VALUE_CHARS: usize = 100;

/// Most frames of one thread that are printed; the JSON has them all.
const MAX_FRAMES: usize = 200;

/// Whether to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    Coloured,
}

impl Style {
    fn paint(self, code: &str, text: impl fmt::Display) -> String {
        match self {
            Self::Plain => text.to_string(),
            Self::Coloured => format!("\x1b[{code}m{text}\x1b[0m"),
        }
    }

    fn bold(self, text: impl fmt::Display) -> String {
        self.paint("1", text)
    }

    fn dim(self, text: impl fmt::Display) -> String {
        self.paint("2", text)
    }

    fn warning(self, text: impl fmt::Display) -> String {
        self.paint("33", text)
    }

    fn function(self, text: impl fmt::Display) -> String {
        self.paint("36", text)
    }
}

/// The whole text, ending in a newline.
pub(crate) fn backtrace(backtrace: &Backtrace, style: Style) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail: nothing below returns an error.
    let _ = write_backtrace(&mut out, backtrace, style);
    out
}

fn write_backtrace(out: &mut String, backtrace: &Backtrace, style: Style) -> fmt::Result {
    write_header(out, backtrace, style)?;
    for (index, thread) in backtrace.threads.iter().enumerate() {
        write_thread(out, index, thread, style)?;
    }
    write_modules(out, backtrace, style)?;
    write_gaps(out, backtrace, style)?;
    let steps = backtrace.timings.iter().map(|step| format!("{} {}", step.step, duration(step.milliseconds)));
    let total: f64 = backtrace.timings.iter().map(|step| step.milliseconds).sum();
    writeln!(out, "Time: {} ({})", duration(total), steps.collect::<Vec<_>>().join(", "))
}

fn write_header(out: &mut String, backtrace: &Backtrace, style: Style) -> fmt::Result {
    let process = &backtrace.process;
    let program = process.executable.as_deref().or(process.command.as_deref()).unwrap_or("an unknown program");
    let pid = process.pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
    let end = match &backtrace.signal {
        Some(signal) => {
            let at = signal.fault_address.map(|address| format!(" at {address:#x}")).unwrap_or_default();
            format!("ended by {}{at}", signal.name)
        }
        None => "stopped without a signal".to_owned(),
    };
    writeln!(out, "{} {end}", style.bold(format!("{}{pid}", clean(program))))?;
    if let Some(arguments) = &process.arguments {
        writeln!(out, "Command: {}", clean(arguments))?;
    }
    match &backtrace.release {
        Some(release) => {
            writeln!(out, "Release: {} for {} ({})", release.id, backtrace.architecture, clean(&release.reason))?
        }
        None => writeln!(out, "Release: {}", style.warning("unknown"))?,
    }
    writeln!(out)
}

fn write_thread(out: &mut String, index: usize, thread: &ThreadReport, style: Style) -> fmt::Result {
    let crashed = if thread.crashed { ", crashed" } else { "" };
    writeln!(out, "{}", style.bold(format!("Thread {} (tid {}{crashed})", index + 1, thread.tid)))?;
    for frame in thread.frames.iter().take(MAX_FRAMES) {
        write_frame(out, frame, thread.crashed, style)?;
    }
    if thread.frames.len() > MAX_FRAMES {
        writeln!(out, "  … {} further frames; --format json has them all", thread.frames.len() - MAX_FRAMES)?;
    }
    writeln!(out)
}

fn write_frame(out: &mut String, frame: &Frame, with_locals: bool, style: Style) -> fmt::Result {
    let number = format!("#{}", frame.number);
    let name = match (&frame.function, frame.signal_handler) {
        (_, true) => "<signal handler called>".to_owned(),
        (Some(function), false) => clean(function),
        (None, false) => format!("{:#x}", frame.pc),
    };
    write!(out, "  {number:<4} {}", style.function(name))?;
    if !frame.arguments.is_empty() {
        let arguments: Vec<_> = frame.arguments.iter().map(variable).collect();
        write!(out, " ({})", arguments.join(", "))?;
    }
    match (&frame.file, frame.line) {
        (Some(file), Some(line)) => write!(out, " at {}:{line}", clean(file))?,
        _ => {
            if let Some(module) = frame.module.as_deref().filter(|_| !frame.signal_handler) {
                let offset = frame.offset.map(|offset| format!("+{offset:#x}")).unwrap_or_default();
                write!(out, " in {}{offset}", clean(module))?;
            }
        }
    }
    if frame.inline {
        write!(out, "{}", style.dim(" [inlined]"))?;
    }
    if frame.trust == Trust::Scan {
        write!(out, "{}", style.warning(" [guess]"))?;
    }
    writeln!(out)?;
    for local in frame.locals.iter().filter(|_| with_locals) {
        writeln!(out, "         {}", style.dim(variable(local)))?;
    }
    Ok(())
}

fn write_modules(out: &mut String, backtrace: &Backtrace, style: Style) -> fmt::Result {
    let files = backtrace.modules.iter().filter(|module| module.file != FileState::NotNeeded);
    let count = files.clone().count();
    let matched = files.clone().filter(|module| module.file.is_known()).count();
    let used = files.clone().filter(|module| module.file == FileState::Matched).count();
    let with_debuginfo = files.clone().filter(|module| module.debuginfo == FileState::Matched).count();
    writeln!(
        out,
        "Modules: {matched} of {count} matched by build-id; the stacks need {used}, {with_debuginfo} of them with separate debug information"
    )?;
    for module in files.filter(|module| module.file == FileState::Missing) {
        let build_id = module.build_id.as_ref().map_or_else(|| "no build-id".to_owned(), ToString::to_string);
        writeln!(out, "  {} {} ({build_id})", style.warning("missing"), clean(&module.path))?;
    }
    let debug = backtrace.packages.iter().filter(|package| package.kind == PackageKind::DebugInfo).count();
    writeln!(out, "Packages: {}, {debug} of them debug information", backtrace.packages.len())?;
    for package in backtrace.packages.iter().filter(|package| package.signature == retrace_types::SignatureState::Off) {
        writeln!(out, "  {} {}", style.warning("NOT VERIFIED"), clean(&package.id.to_string()))?;
    }
    Ok(())
}

/// Gaps that say the same are told once, with their number.
fn write_gaps(out: &mut String, backtrace: &Backtrace, style: Style) -> fmt::Result {
    let mut told: Vec<(&Gap, usize)> = Vec::new();
    for gap in backtrace.all_gaps() {
        match told.iter_mut().find(|(other, _)| *other == gap) {
            Some((_, times)) => *times += 1,
            None => told.push((gap, 1)),
        }
    }
    if told.is_empty() {
        return writeln!(out, "Gaps: none");
    }
    writeln!(out, "{}", style.warning(format!("Gaps: {}", told.len())))?;
    for (gap, times) in told {
        let times = if times > 1 { format!(" ({times} times)") } else { String::new() };
        writeln!(out, "  - {}{times}\n    {}", clean(&gap.message), style.dim(format!("→ {}", clean(&gap.action))))?;
    }
    Ok(())
}

fn variable(variable: &Variable) -> String {
    let value = clean(&variable.value);
    let mut shortened: String = value.chars().take(MAX_VALUE_CHARS).collect();
    if shortened.len() < value.len() {
        shortened.push('…');
    }
    format!("{}={shortened}", clean(&variable.name))
}

fn duration(milliseconds: f64) -> String {
    if milliseconds < 1000.0 { format!("{milliseconds:.0} ms") } else { format!("{:.2} s", milliseconds / 1000.0) }
}

/// A size in its largest unit, with one digit behind the point.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let (mut tenths, mut name) = (u128::from(bytes) * 10, "B");
    for unit in UNITS {
        if tenths < 10_240 {
            break;
        }
        (tenths, name) = (tenths / 1024, unit);
    }
    if name == "B" { format!("{bytes} B") } else { format!("{}.{} {name}", tenths / 10, tenths % 10) }
}

/// Names come from a hostile core: no control character reaches the terminal.
pub(crate) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_of_a_hostile_core_are_defused() {
        assert_eq!(clean("a\x1b[2Jb\n"), "a\u{fffd}[2Jb\u{fffd}");
    }

    #[test]
    fn sizes_have_their_largest_unit() {
        for (bytes, want) in
            [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 << 20, "5.0 MiB"), (3 << 40, "3.0 TiB")]
        {
            assert_eq!(size(bytes), want);
        }
    }

    /// The packages of a result whose repositories had these policies.
    #[test]
    fn packages_that_nobody_verified_are_told() {
        let package = |name: &str, signature: &str| {
            let id = r#""epoch":null,"version":"1","release":"1","arch":"x86_64""#;
            let sha256 = "0".repeat(64);
            format!(
                r#"{{"id":{{"name":"{name}",{id}}},"kind":"binary","sha256":"{sha256}","signature":{signature},"repository":"r"}}"#
            )
        };
        let packages = [
            package("signed", r#"{"state":"package","fingerprint":"AB"}"#),
            package("listed", r#"{"state":"metadata","fingerprint":"AB"}"#),
            package("loose", r#"{"state":"off"}"#),
        ];
        let document = format!(
            r#"{{"schema":"retrace-backtrace/1","complete":true,"release":null,"architecture":"x86_64",
            "process":{{"pid":null,"command":null,"arguments":null,"executable":null}},"signal":null,
            "packages":[{}],"modules":[],"threads":[],"gaps":[],"engine":"gdb","timings":[]}}"#,
            packages.join(",")
        );
        let backtrace: Backtrace = serde_json::from_str(&document).unwrap();
        let text = super::backtrace(&backtrace, Style::Plain);
        assert!(text.contains("NOT VERIFIED loose-1-1.x86_64"), "{text}");
        assert_eq!(text.matches("NOT VERIFIED").count(), 1, "{text}");
    }

    #[test]
    fn long_values_are_shortened() {
        let long = Variable { name: "s".into(), value: "é".repeat(500), note: None };
        let text = variable(&long);
        assert!(text.ends_with('…') && text.chars().count() == "s=".len() + MAX_VALUE_CHARS + 1);
    }
}

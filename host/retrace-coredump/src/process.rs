//! The notes in which the kernel describes the process. Source: `struct elf_prstatus` and `struct elf_prpsinfo` in the
//! kernel's `include/linux/elfcore.h`, `fill_files_note` and `fill_auxv_note` in its `fs/binfmt_elf.c`.

use std::collections::BTreeSet;

use object::elf::{NT_AUXV, NT_FILE, NT_PRPSINFO, NT_PRSTATUS, NT_SIGINFO};
use retrace_types::Architecture;

use crate::{
    CoreError, FileMapping, KernelDump, Limits, Registers, Signal, Thread, WideRegisters,
    elf::{Encoding, Segment},
    notes::{Note, Notes, Owner},
    registers::MAX_REGISTER_BYTES,
    remarks::Remarks,
    source::Source,
    wide_registers,
};

/// What the notes of a core say. Of a note that may stand there once, the first counts.
#[derive(Debug, Default)]
pub(crate) struct Process {
    pub(crate) signal: Option<Signal>,
    pub(crate) pid: Option<u32>,
    pub(crate) command: Option<String>,
    pub(crate) arguments: Option<String>,
    pub(crate) threads: Vec<Thread>,
    pub(crate) auxv: Vec<(u64, u64)>,
    /// By address.
    pub(crate) mappings: Vec<FileMapping>,
}

impl Process {
    pub(crate) fn read(
        source: Source<'_>,
        (architecture, encoding): (Architecture, Encoding),
        segments: &[Segment],
        limits: &Limits,
        remarks: &mut Remarks,
    ) -> Result<Self, CoreError> {
        let mut reader = Reader {
            source,
            architecture,
            encoding,
            limits,
            remarks,
            seen: BTreeSet::new(),
            is_left_out: false,
            process: Self::default(),
        };
        let mut left = limits.max_notes;
        for segment in segments {
            let mut notes = Notes::new(source, encoding, segment.offset, segment.file_size, segment.align);
            while let Some(note) = notes.next()? {
                if left == 0 {
                    let limit = limits.max_notes;
                    reader.remarks.add(format!("the core has more than {limit} notes: the rest was left out"));
                    return Ok(reader.finish());
                }
                left -= 1;
                reader.note(&note)?;
            }
        }
        Ok(reader.finish())
    }
}

struct Reader<'a> {
    source: Source<'a>,
    architecture: Architecture,
    encoding: Encoding,
    limits: &'a Limits,
    remarks: &'a mut Remarks,
    /// Types of the notes that were read.
    seen: BTreeSet<u32>,
    /// The last status was of a thread that is not among those of the process.
    is_left_out: bool,
    process: Process,
}

/// `pr_psargs` and `pr_fname`, which end `struct elf_prpsinfo`.
const ARGUMENTS_BYTES: usize = 80;
const COMMAND_BYTES: usize = 16;
/// `siginfo_t` is padded to this size (`SI_MAX_SIZE`).
const SIGINFO_BYTES: usize = 128;
/// Stops a process and ends none: gdb's `gcore` finds it in the process that it attached to.
const SIGSTOP: i32 = 19;
/// The kernel's vector has some 25 entries (`AT_VECTOR_SIZE`).
const MAX_AUXV_ENTRIES: usize = 256;

impl Reader<'_> {
    fn note(&mut self, note: &Note) -> Result<(), CoreError> {
        match (note.owner, note.kind) {
            (Owner::Vmcoreinfo, _) => Err(CoreError::Kernel(KernelDump::Vmcore)),
            (Owner::Core, NT_PRSTATUS) => self.thread(note),
            (Owner::Core | Owner::Linux, kind) if wide_registers::NOTES.contains(&kind) => self.wide_registers(note),
            (Owner::Core, NT_PRPSINFO | NT_SIGINFO | NT_AUXV | NT_FILE) if self.seen.insert(note.kind) => {
                match note.kind {
                    NT_PRPSINFO => self.psinfo(note),
                    NT_SIGINFO => self.siginfo(note),
                    NT_AUXV => self.auxv(note),
                    _ => self.files(note),
                }
            }
            _ => Ok(()),
        }
    }

    /// `struct elf_prstatus`: three `int` of signal information, the current signal as `short`, two words of signal
    /// sets, four process ids, four times of two words each, then the registers.
    fn thread(&mut self, note: &Note) -> Result<(), CoreError> {
        let limit = self.limits.max_threads;
        if self.process.threads.len() >= limit {
            self.remarks.add(format!("the core has more than {limit} threads: the rest was left out"));
            self.is_left_out = true;
            return Ok(());
        }
        let (tid_at, registers_at) = if self.encoding.wide { (32, 112) } else { (24, 72) };
        let bytes = note.descriptor(self.source, registers_at + MAX_REGISTER_BYTES)?;
        let (Some(signal), Some(tid)) = (self.encoding.i16(&bytes, 12), self.encoding.u32(&bytes, tid_at)) else {
            self.remarks.add("the status of a thread is cut off (NT_PRSTATUS): the thread was left out".to_owned());
            self.is_left_out = true;
            return Ok(());
        };
        let registers = bytes.get(registers_at..).unwrap_or_default();
        let registers = Registers::parse(self.architecture, self.encoding, registers);
        if registers.pc().is_none() {
            self.remarks.add(format!("the registers of thread {tid} are cut off (NT_PRSTATUS)"));
        }
        let wide_registers = WideRegisters::default();
        self.process.threads.push(Thread { tid, signal: signal.into(), registers, wide_registers });
        self.is_left_out = false;
        Ok(())
    }

    /// Registers of the thread whose status stands before.
    fn wide_registers(&mut self, note: &Note) -> Result<(), CoreError> {
        // The status of a thread that was left out stands before them, too.
        if let Some(thread) = self.process.threads.last_mut().filter(|_| !self.is_left_out) {
            let bytes = note.descriptor(self.source, wide_registers::MAX_WIDE_BYTES)?;
            thread.wide_registers.add(self.architecture, note.kind, &bytes);
        }
        Ok(())
    }

    /// `struct elf_prpsinfo` differs between architectures in the width of the user id only, so it is read from its
    /// end: 80 bytes of arguments, 16 of name, and before those four process ids, the first of which is wanted.
    fn psinfo(&mut self, note: &Note) -> Result<(), CoreError> {
        let bytes = note.descriptor(self.source, 256)?;
        let size = usize::try_from(note.size).unwrap_or(usize::MAX);
        let arguments_at = size.saturating_sub(ARGUMENTS_BYTES);
        let command_at = arguments_at.saturating_sub(COMMAND_BYTES);
        if !(124..=136).contains(&size) || bytes.len() < size {
            self.remarks.add("the name and id of the process are cut off or damaged (NT_PRPSINFO)".to_owned());
            return Ok(());
        }
        self.process.pid = self.encoding.u32(&bytes, command_at.saturating_sub(16));
        self.process.command = text(bytes.get(command_at..arguments_at).unwrap_or_default());
        self.process.arguments = text(bytes.get(arguments_at..).unwrap_or_default());
        Ok(())
    }

    fn siginfo(&mut self, note: &Note) -> Result<(), CoreError> {
        let bytes = note.descriptor(self.source, SIGINFO_BYTES)?;
        self.process.signal = Signal::from_siginfo(self.encoding, &bytes);
        Ok(())
    }

    /// Pairs of words, up to `AT_NULL`.
    fn auxv(&mut self, note: &Note) -> Result<(), CoreError> {
        let word = self.encoding.word_bytes();
        let bytes = note.descriptor(self.source, MAX_AUXV_ENTRIES * 2 * word)?;
        let pairs = bytes.chunks_exact(2 * word);
        let pairs = pairs.filter_map(|pair| Some((self.encoding.word(pair, 0)?, self.encoding.word(pair, word)?)));
        self.process.auxv = pairs.take_while(|(kind, _)| *kind != 0).collect();
        Ok(())
    }

    fn files(&mut self, note: &Note) -> Result<(), CoreError> {
        let size = usize::try_from(note.size).unwrap_or(usize::MAX);
        if size > self.limits.max_note_bytes {
            self.remarks.add(format!(
                "the list of mapped files has {size} bytes (NT_FILE): more than {} are not read",
                self.limits.max_note_bytes
            ));
            return Ok(());
        }
        let bytes = note.descriptor(self.source, size)?;
        let (mappings, remark) = mappings(self.encoding, &bytes, size, self.limits.max_mappings);
        self.process.mappings = mappings;
        if let Some(remark) = remark {
            self.remarks.add(remark);
        }
        Ok(())
    }

    fn finish(self) -> Process {
        let mut process = self.process;
        if process.signal.is_none() {
            let number = process.threads.first().map(|thread| thread.signal).filter(|number| *number != 0);
            process.signal = number.map(|number| Signal { number, code: None, fault_address: None });
        }
        process.signal = process.signal.filter(|signal| signal.number != SIGSTOP);
        process
    }
}

/// Decodes `NT_FILE`: number of mappings, unit of the offsets in bytes, then start, end and offset of each, then the
/// paths, each with a NUL. `size` is what the note claims; `bytes` may be fewer.
fn mappings(encoding: Encoding, bytes: &[u8], size: usize, limit: usize) -> (Vec<FileMapping>, Option<String>) {
    let word = encoding.word_bytes();
    let (Some(count), Some(unit)) = (encoding.word(bytes, 0), encoding.word(bytes, word)) else {
        return (Vec::new(), Some("the list of mapped files is cut off (NT_FILE)".to_owned()));
    };
    let paths_at = usize::try_from(count).ok().and_then(|count| count.checked_mul(3 * word)?.checked_add(2 * word));
    let Some(paths_at) = paths_at.filter(|at| *at <= size) else {
        let remark = format!("the list of mapped files claims {count} of them in {size} bytes (NT_FILE): left out");
        return (Vec::new(), Some(remark));
    };
    let entries = bytes.get(2 * word..paths_at).unwrap_or_default().chunks_exact(3 * word);
    let mut paths = bytes.get(paths_at..).unwrap_or_default();
    let mut mappings = Vec::new();
    for entry in entries.take(limit) {
        let Some(end) = paths.iter().position(|byte| *byte == 0) else { break };
        let (path, rest) = paths.split_at(end);
        paths = rest.get(1..).unwrap_or_default();
        let field = |index: usize| encoding.word(entry, index * word).unwrap_or(0);
        let mapping = FileMapping {
            start: field(0),
            end: field(1),
            file_offset: field(2).saturating_mul(unit),
            path: String::from_utf8_lossy(path).into_owned(),
        };
        if mapping.start < mapping.end {
            mappings.push(mapping);
        }
    }
    let read = mappings.len();
    let remark = ((read as u64) < count)
        .then(|| format!("only {read} of {count} mapped files could be read (NT_FILE): cut off, damaged or too many"));
    mappings.sort_by_key(|mapping| mapping.start);
    (mappings, remark)
}

/// The text up to its NUL, without the blanks at its end that the kernel makes of the last argument's NUL. None if
/// there is none.
fn text(bytes: &[u8]) -> Option<String> {
    let bytes = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    let text = String::from_utf8_lossy(bytes).trim_end_matches(' ').to_owned();
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LITTLE: Encoding = Encoding { wide: true, big_endian: false };

    fn file_note(count: u64, entries: &[[u64; 3]], paths: &[u8]) -> Vec<u8> {
        let words = [count, 4096].into_iter().chain(entries.iter().flatten().copied());
        words.flat_map(u64::to_le_bytes).chain(paths.iter().copied()).collect()
    }

    #[test]
    fn mappings_are_sorted_and_their_offsets_are_bytes() {
        let note = file_note(2, &[[0x9000, 0xa000, 2], [0x1000, 0x2000, 0]], b"/b\0/a\0");
        let (got, remark) = mappings(LITTLE, &note, note.len(), 10);
        let got: Vec<_> = got.iter().map(|m| (m.start, m.end, m.file_offset, m.path.as_str())).collect();
        assert_eq!(got, [(0x1000, 0x2000, 0, "/a"), (0x9000, 0xa000, 8192, "/b")]);
        assert_eq!(remark, None);
    }

    #[test]
    fn mappings_that_cannot_be_there_are_not_believed() {
        let one = [[0x1000, 0x2000, 0]];
        let cases: [(&str, Vec<u8>, usize); 6] = [
            ("2^60 mappings", file_note(1 << 60, &one, b"/a\0"), 0),
            ("a count that overflows", file_note(u64::MAX, &one, b"/a\0"), 0),
            ("more than paths", file_note(2, &[one[0], one[0]], b"/a\0"), 1),
            ("a path without NUL", file_note(1, &one, b"/a"), 0),
            ("an empty range", file_note(1, &[[0x2000, 0x2000, 0]], b"/a\0"), 0),
            ("no count", vec![0; 7], 0),
        ];
        for (what, note, want) in cases {
            let (got, remark) = mappings(LITTLE, &note, note.len(), 10);
            assert_eq!(got.len(), want, "{what}");
            assert!(remark.is_some(), "{what}");
        }
    }

    #[test]
    fn text_ends_at_nul_and_loses_blanks_behind() {
        assert_eq!(text(b"cat file  \0junk"), Some("cat file".to_owned()));
        assert_eq!(text(b"\0junk"), None);
        assert_eq!(text(b"no nul"), Some("no nul".to_owned()));
    }
}

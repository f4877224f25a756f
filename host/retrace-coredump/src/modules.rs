use std::{collections::BTreeMap, fmt};

use object::elf::{NT_GNU_BUILD_ID, PT_LOAD, PT_NOTE};
use retrace_types::BuildId;

use crate::{
    FileMapping, Missing,
    elf::{Encoding, Header, Segment},
    memory::Memory,
    notes::{Notes, Owner},
    remarks::Remarks,
    source::Source,
};

/// A mapped file that holds code, or the vdso. A file that was loaded twice is two modules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// Path as the kernel knew it, without ` (deleted)`; `[vdso]` for the vdso.
    pub path: String,
    /// First address.
    pub start: u64,
    /// Address behind the last one that is mapped to the file.
    pub end: u64,
    /// Where the code comes from.
    pub kind: ModuleKind,
    /// Build-id, read from the memory in the core, or why there is none.
    pub build_id: Result<BuildId, NoBuildId>,
    /// Difference between the addresses in memory and those in the file; none if neither the program headers nor the
    /// link map tell it.
    pub load_bias: Option<u64>,
    /// A register or a word on the stack of some thread points into it, as far as the first
    /// [`Limits::max_stack_bytes`](crate::Limits::max_stack_bytes) of each stack tell: a debugger will ask for its file.
    pub referenced: bool,
}

/// Where the code of a module comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModuleKind {
    /// From a file on disk.
    File,
    /// From the kernel: no package ships it, and the core holds all of it.
    Vdso,
}

/// Why a module's build-id is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoBuildId {
    /// A part of the file that leads to the build-id is not in the core.
    #[error("its {part} are {missing}")]
    Unreadable {
        /// The part.
        part: Part,
        /// Why it cannot be read.
        missing: Missing,
    },
    /// The file is not ELF.
    #[error("it is not an ELF file")]
    NotElf,
    /// The ELF header or the build-id note cannot be right.
    #[error("its {0} are damaged")]
    Damaged(Part),
    /// The file was linked without build-id.
    #[error("it was linked without build-id (ld --build-id)")]
    NoNote,
}

/// The parts of a file that lead to its build-id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The ELF header, at the start of the file.
    ElfHeader,
    /// The program headers.
    ProgramHeaders,
    /// The notes.
    Notes,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ElfHeader => "first bytes (the ELF header)",
            Self::ProgramHeaders => "program headers",
            Self::Notes => "notes",
        })
    }
}

/// Files of more program headers are not believed; linkers make some 15.
const MAX_PROGRAM_HEADERS: usize = 256;
/// Notes beyond this size are not looked at; those of a file have some hundred bytes.
const MAX_NOTE_BYTES: u64 = 16 << 10;
/// The parts of a module are looked for in so many mappings; a file has some 5 and seldom more than 10. Without such a
/// bound, a file of 100,000 mappings would be searched 100,000 times.
const MAX_MODULE_MAPPINGS: usize = 64;
/// How many mappings of the same part of a file are tried.
const MAX_TRIES: usize = 4;
/// The smallest page of the supported machines.
const FIRST_PAGE_BYTES: usize = 4096;
/// The name that gdb and `/proc/PID/maps` give to the vdso.
const VDSO_PATH: &str = "[vdso]";

/// Finds the modules among the mappings, which are sorted by address; `vdso` is `AT_SYSINFO_EHDR`.
pub(crate) fn find(
    memory: &Memory<'_>,
    mappings: &[FileMapping],
    vdso: Option<u64>,
    limit: usize,
    remarks: &mut Remarks,
) -> Vec<Module> {
    // A file that was deleted and the one that replaced it are two files: ` (deleted)` tells them apart.
    let mut by_path = BTreeMap::<&str, Vec<&FileMapping>>::new();
    for mapping in mappings {
        by_path.entry(&mapping.path).or_default().push(mapping);
    }
    let mut modules: Vec<Module> = vdso.and_then(|address| vdso_module(memory, address)).into_iter().collect();
    'files: for mappings in by_path.values() {
        let mut rest = mappings.as_slice();
        while let Some(first) = rest.first() {
            let (module, length) = first_module(memory, first, rest);
            rest = rest.get(length.max(1)..).unwrap_or_default();
            if module.is_some() && modules.len() >= limit {
                remarks.add(format!("the process has more than {limit} modules: the rest was left out"));
                break 'files;
            }
            modules.extend(module);
        }
    }
    modules.sort_by_key(|module| module.start);
    modules
}

/// The module that starts with the first of these mappings of one file, if it is one, and how many of them are its.
fn first_module(memory: &Memory<'_>, first: &FileMapping, mappings: &[&FileMapping]) -> (Option<Module>, usize) {
    let near = mappings.get(..MAX_MODULE_MAPPINGS).unwrap_or(mappings);
    let image = Image { memory, mappings: near.get(..one_loading(near)).unwrap_or(near) };
    let elf = Elf::read(&image);
    let length = match elf.as_ref().ok().and_then(|elf| elf.end(first)) {
        Some(end) => mappings.iter().take_while(|mapping| mapping.start < end).count(),
        None => one_loading(mappings),
    };
    let own = mappings.get(..length).unwrap_or(mappings);
    let holds_code = elf.is_ok() || own.iter().any(|mapping| memory.is_executable(mapping.start));
    let module = holds_code.then(|| Module {
        path: first.file_path().to_owned(),
        start: first.start,
        end: own.last().map_or(first.end, |last| last.end),
        kind: ModuleKind::File,
        load_bias: elf.as_ref().ok().and_then(|elf| elf.load_bias(first)),
        build_id: elf.and_then(|elf| elf.build_id(&image)),
        referenced: false,
    });
    (module, length)
}

/// How many of these mappings of one file may come from loading it once: its segments are mapped in the order of their
/// offsets, so a smaller offset is that of the next loading.
fn one_loading(mappings: &[&FileMapping]) -> usize {
    let in_order = |pair: &&[&FileMapping]| matches!(pair, [a, b] if a.file_offset <= b.file_offset);
    mappings.len().min(1 + mappings.windows(2).take_while(in_order).count())
}

fn vdso_module(memory: &Memory<'_>, address: u64) -> Option<Module> {
    let mapping =
        FileMapping { start: address, end: memory.area_end(address)?, file_offset: 0, path: VDSO_PATH.to_owned() };
    let image = Image { memory, mappings: &[&mapping] };
    let elf = Elf::read(&image);
    Some(Module {
        path: VDSO_PATH.to_owned(),
        start: mapping.start,
        end: mapping.end,
        kind: ModuleKind::Vdso,
        load_bias: elf.as_ref().ok().and_then(|elf| elf.load_bias(&mapping)),
        build_id: elf.and_then(|elf| elf.build_id(&image)),
        referenced: false,
    })
}

/// A mapped file, read by offset in the file through its mappings to the dumped memory.
struct Image<'a> {
    memory: &'a Memory<'a>,
    mappings: &'a [&'a FileMapping],
}

impl Image<'_> {
    /// `length` bytes at `offset` of the file, all from one mapping. Where two mappings hold them, as neighbours that share a page do, one
    /// of them may be dumped and the other not.
    fn read(&self, part: Part, offset: u64, length: usize) -> Result<Vec<u8>, NoBuildId> {
        let mut missing = Missing::NotMapped;
        let address = |mapping: &&FileMapping| {
            let skip = offset.checked_sub(mapping.file_offset)?;
            let end = skip.checked_add(length as u64)?;
            (end <= mapping.end - mapping.start).then(|| mapping.start.saturating_add(skip))
        };
        for address in self.mappings.iter().filter_map(address).take(MAX_TRIES) {
            match self.memory.read(address, length) {
                Ok(bytes) => return Ok(bytes),
                Err(reason) => missing = reason,
            }
        }
        Err(NoBuildId::Unreadable { part, missing })
    }
}

/// The ELF header of a mapped file and its program headers, which some tools (BOLT) put behind everything else.
struct Elf {
    encoding: Encoding,
    segments: Result<Vec<Segment>, NoBuildId>,
}

impl Elf {
    fn read(image: &Image<'_>) -> Result<Self, NoBuildId> {
        let bytes = image.read(Part::ElfHeader, 0, Header::MAX_BYTES)?;
        let header = Header::parse(&bytes).ok_or(NoBuildId::NotElf)?;
        let encoding = header.encoding;
        let count = usize::from(header.segment_count);
        let sane = usize::from(header.segment_bytes) == encoding.segment_bytes() && count <= MAX_PROGRAM_HEADERS;
        let segments = if count == 0 {
            Ok(Vec::new())
        } else if sane {
            let table = image.read(Part::ProgramHeaders, header.segments_offset, count * encoding.segment_bytes());
            table.map(|table| Segment::parse_all(encoding, &table))
        } else {
            Err(NoBuildId::Damaged(Part::ProgramHeaders))
        };
        Ok(Self { encoding, segments })
    }

    /// The segments that are loaded, if they can be read.
    fn loads(&self) -> impl Iterator<Item = &Segment> {
        self.segments.iter().flatten().filter(|segment| segment.kind == PT_LOAD)
    }

    /// Needs the mapping of the file's start, which the first loaded segment made.
    fn load_bias(&self, first: &FileMapping) -> Option<u64> {
        let load = self.loads().min_by_key(|segment| segment.offset)?;
        let start = load.address.wrapping_sub(load.offset);
        (first.file_offset == 0).then(|| self.encoding.wrap(first.start.wrapping_sub(start)))
    }

    /// Address behind the last segment.
    fn end(&self, first: &FileMapping) -> Option<u64> {
        let bias = self.load_bias(first)?;
        let end = self.loads().map(|segment| segment.address.saturating_add(segment.memory_size)).max()?;
        Some(self.encoding.wrap(bias.wrapping_add(end))).filter(|end| *end > first.start)
    }

    fn build_id(self, image: &Image<'_>) -> Result<BuildId, NoBuildId> {
        let segments = match self.segments {
            Ok(segments) => segments,
            Err(reason @ NoBuildId::Unreadable { .. }) => {
                return build_id_of_first_page(image, self.encoding).ok_or(reason);
            }
            Err(reason) => return Err(reason),
        };
        let mut reason = NoBuildId::NoNote;
        for segment in segments.iter().filter(|segment| segment.kind == PT_NOTE) {
            match build_id_of_notes(image, self.encoding, segment) {
                Ok(build_id) => return Ok(build_id),
                Err(NoBuildId::NoNote) => {}
                Err(other) => reason = other,
            }
        }
        Err(reason)
    }
}

/// Finds the note by its header alone. Linkers put it into the first page, where it stays when a later tool moves the
/// program headers to a page that is not dumped.
fn build_id_of_first_page(image: &Image<'_>, encoding: Encoding) -> Option<BuildId> {
    let page = image.read(Part::ElfHeader, 0, FIRST_PAGE_BYTES).ok()?;
    (0..page.len()).step_by(4).find_map(|at| {
        let note = page.get(at..)?;
        let header = (encoding.u32(note, 0)?, encoding.u32(note, 8)?, note.get(12..16)?);
        let size = usize::try_from(encoding.u32(note, 4)?).ok()?;
        let id = note.get(16..size.checked_add(16)?)?;
        (header == (4, NT_GNU_BUILD_ID, b"GNU\0")).then(|| BuildId::from_bytes(id).ok()).flatten()
    })
}

fn build_id_of_notes(image: &Image<'_>, encoding: Encoding, segment: &Segment) -> Result<BuildId, NoBuildId> {
    let size = segment.file_size.min(MAX_NOTE_BYTES);
    let bytes = image.read(Part::Notes, segment.offset, usize::try_from(size).unwrap_or(usize::MAX))?;
    let damaged = || NoBuildId::Damaged(Part::Notes);
    let source = Source::new(&bytes).map_err(|_| damaged())?;
    let mut notes = Notes::new(source, encoding, 0, size, segment.align);
    while let Some(note) = notes.next().map_err(|_| damaged())? {
        if note.owner == Owner::Gnu && note.kind == NT_GNU_BUILD_ID {
            let id = note.descriptor(source, BuildId::MAX_BYTES + 1).map_err(|_| damaged())?;
            return BuildId::from_bytes(&id).map_err(|_| damaged());
        }
    }
    Err(NoBuildId::NoNote)
}

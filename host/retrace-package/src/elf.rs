use std::{
    fs::File,
    io::{self, Read},
    ops::Range,
    os::unix::fs::FileExt as _,
    path::Path,
};

use retrace_types::{BuildId, Role};

use crate::{PackageError, error::Fault};

/// Program or section headers that are looked at; files of distributions have some dozens.
const MAX_HEADERS: u64 = 16_384;
/// Bytes of one note segment that are looked at; the build-id is among the first.
const MAX_NOTE_BYTES: u64 = 1 << 20;
/// Bytes of the table of section names, and of the section with the link.
const MAX_NAMES_BYTES: u64 = 1 << 20;

/// What the section `.gnu_debugaltlink` names: the supplementary file that dwz moved common debug information to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AltLink {
    /// Path of the supplementary file as it is written: absolute, or relative to the folder of the file that names it.
    pub path: String,
    /// Build-id of the supplementary file.
    pub build_id: BuildId,
}

/// Build-id of the ELF file at `path`: from its program headers, else from its sections. None if the file is no ELF
/// file or has none. Reads a few KiB, however large the file is.
///
/// # Errors
/// [`PackageError::Read`] if the file cannot be read.
pub fn elf_build_id(path: &Path) -> Result<Option<BuildId>, PackageError> {
    let read = || {
        let mut file = File::open(path)?;
        let Some(elf) = Elf::parse(&mut file)? else { return Ok(None) };
        elf.build_id(&mut file)
    };
    read().map_err(|source| Fault::Io(source).at(path))
}

/// The supplementary file that the ELF file at `elf` refers to; none if it refers to none or is no ELF file.
///
/// Source: manual of gdb ("Separate Debug Files"), dwz(1).
///
/// # Errors
/// [`PackageError::Read`] if the file cannot be read, [`PackageError::Malformed`] if the section holds no link.
pub fn gnu_debugaltlink(elf: &Path) -> Result<Option<AltLink>, PackageError> {
    let section = || {
        let mut file = File::open(elf)?;
        let Some(header) = Elf::parse(&mut file)? else { return Ok(None) };
        header.section(&mut file, b".gnu_debugaltlink")
    };
    let Some(section) = section().map_err(|source| Fault::Io(source).at(elf))? else { return Ok(None) };
    let bad = || Fault::malformed("its section .gnu_debugaltlink holds no path and build-id").at(elf);
    let end = section.iter().position(|byte| *byte == 0).ok_or_else(bad)?;
    let (name, id) = section.split_at(end);
    let path = std::str::from_utf8(name).map_err(|_| bad())?.to_owned();
    let build_id = BuildId::from_bytes(id.get(1..).unwrap_or_default()).map_err(|_| bad())?;
    Ok(Some(AltLink { path, build_id }))
}

/// Where in an ELF file the bytes of a section lie, compressed ones as they are; none if the file has no such section, or
/// the section has no bytes in it, or is no ELF file.
///
/// # Errors
/// The file cannot be read.
pub fn elf_section(elf: &mut File, name: &str) -> io::Result<Option<Range<u64>>> {
    let Some(header) = Elf::parse(elf)? else { return Ok(None) };
    let Some(section) = header.find_section(elf, name.as_bytes())? else { return Ok(None) };
    let size = elf.metadata()?.len();
    let end = section.offset.checked_add(section.size).filter(|end| *end <= size);
    Ok(end.map(|end| section.offset..end))
}

/// Whether all bytes of an ELF file are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// The section table, and every section that it names, lie inside the file.
    Whole,
    /// The file has no section table to tell by.
    Unknown,
    /// The file ends too early, or is no ELF file.
    Cut,
}

/// Reads the headers of a file and compares them with its size.
pub(crate) fn extent(elf: &mut File) -> Extent {
    let read = |elf: &mut File| -> io::Result<Option<Extent>> {
        let Some(header) = Elf::parse(elf)? else { return Ok(None) };
        let table = header.section_headers;
        if table.offset == 0 || table.count == 0 {
            return Ok(Some(Extent::Unknown));
        }
        let size = elf.metadata()?.len();
        let inside = |offset: u64, length: u64| offset.checked_add(length).is_some_and(|end| end <= size);
        let table_end = table.count.checked_mul(table.entry_size);
        if table_end.is_none_or(|length| !inside(table.offset, length)) {
            return Ok(None);
        }
        let sections = header.sections(elf)?;
        let whole = !sections.is_empty()
            && sections.iter().all(|section| section.kind == SHT_NOBITS || inside(section.offset, section.size));
        Ok(whole.then_some(Extent::Whole))
    };
    read(elf).ok().flatten().unwrap_or(Extent::Cut)
}

/// Bytes of an ELF file by offset.
pub(crate) trait Bytes {
    /// The `length` bytes at `offset`; none if the file has not so many, or if they cannot be had.
    fn at(&mut self, offset: u64, length: u64) -> io::Result<Option<Vec<u8>>>;
}

impl Bytes for File {
    fn at(&mut self, offset: u64, length: u64) -> io::Result<Option<Vec<u8>>> {
        if offset.checked_add(length).is_none_or(|end| self.metadata().is_ok_and(|meta| end > meta.len())) {
            return Ok(None);
        }
        let Ok(length) = usize::try_from(length) else { return Ok(None) };
        let mut bytes = vec![0; length];
        self.read_exact_at(&mut bytes, offset)?;
        Ok(Some(bytes))
    }
}

/// The start of a member that is being streamed; grows as far as it is asked for, up to a limit.
pub(crate) struct Growing<'a> {
    input: &'a mut dyn Read,
    read: Vec<u8>,
    limit: usize,
}

impl<'a> Growing<'a> {
    pub(crate) fn new(input: &'a mut dyn Read, limit: usize) -> Self {
        Self { input, read: Vec::new(), limit }
    }

    /// What was read of the member so far.
    pub(crate) fn into_read(self) -> Vec<u8> {
        self.read
    }
}

impl Bytes for Growing<'_> {
    fn at(&mut self, offset: u64, length: u64) -> io::Result<Option<Vec<u8>>> {
        let (Ok(start), Some(Ok(end))) = (usize::try_from(offset), offset.checked_add(length).map(usize::try_from))
        else {
            return Ok(None);
        };
        if end > self.limit {
            return Ok(None);
        }
        if end > self.read.len() {
            // A page at least: the next question is mostly for bytes near by.
            let want = end.max(4096) - self.read.len();
            self.input.take(want as u64).read_to_end(&mut self.read)?;
        }
        Ok(self.read.get(start..end).map(<[u8]>::to_vec))
    }
}

/// The ELF header. Source: System V ABI, "Object Files".
pub(crate) struct Elf {
    wide: bool,
    big_endian: bool,
    kind: u64,
    program_headers: Table,
    section_headers: Table,
    section_names: u64,
}

#[derive(Clone, Copy)]
struct Table {
    offset: u64,
    entry_size: u64,
    count: u64,
}

struct Segment {
    kind: u64,
    flags: u64,
    offset: u64,
    file_size: u64,
}

struct Section {
    name: u64,
    kind: u64,
    offset: u64,
    size: u64,
    link: u64,
}

const ET_REL: u64 = 1;
const PT_LOAD: u64 = 1;
const PT_NOTE: u64 = 4;
const PF_X: u64 = 1;
const SHT_NULL: u64 = 0;
const SHT_NOTE: u64 = 7;
const SHT_NOBITS: u64 = 8;
const NT_GNU_BUILD_ID: u64 = 3;

impl Elf {
    /// The header; none if the bytes are no ELF file.
    pub(crate) fn parse(bytes: &mut dyn Bytes) -> io::Result<Option<Self>> {
        let Some(ident) = bytes.at(0, 16)? else { return Ok(None) };
        let (wide, big_endian) = match ident.as_slice() {
            [0x7f, b'E', b'L', b'F', class @ (1 | 2), data @ (1 | 2), ..] => (*class == 2, *data == 2),
            _ => return Ok(None),
        };
        let Some(header) = bytes.at(0, if wide { 64 } else { 52 })? else { return Ok(None) };
        let get = |at_wide, size_wide, at, size| {
            let (at, size) = if wide { (at_wide, size_wide) } else { (at, size) };
            number(&header, at, size, big_endian)
        };
        let mut elf = Self {
            wide,
            big_endian,
            kind: get(16, 2, 16, 2),
            program_headers: Table {
                offset: get(32, 8, 28, 4),
                entry_size: get(54, 2, 42, 2),
                count: get(56, 2, 44, 2),
            },
            section_headers: Table {
                offset: get(40, 8, 32, 4),
                entry_size: get(58, 2, 46, 2),
                count: get(60, 2, 48, 2),
            },
            section_names: get(62, 2, 50, 2),
        };
        // More than 65,279 sections: the numbers stand in the first section header.
        if elf.section_headers.count == 0 && elf.section_headers.offset != 0 {
            elf.section_headers.count = 1;
            let first = elf.sections(bytes)?.pop();
            elf.section_headers.count = first.as_ref().map_or(0, |first| first.size);
            if elf.section_names == 0xffff {
                elf.section_names = first.map_or(0, |first| first.link);
            }
        }
        Ok(Some(elf))
    }

    /// Build-id from the note segments, else from the note sections (relocatable files have no segments).
    pub(crate) fn build_id(&self, bytes: &mut dyn Bytes) -> io::Result<Option<BuildId>> {
        for segment in self.segments(bytes)?.iter().filter(|segment| segment.kind == PT_NOTE) {
            if let Some(id) = self.note_in(bytes, segment.offset, segment.file_size)? {
                return Ok(Some(id));
            }
        }
        for section in self.sections(bytes)?.iter().filter(|section| section.kind == SHT_NOTE) {
            if let Some(id) = self.note_in(bytes, section.offset, section.size)? {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    /// What the file at this path is for. Separate debug files have no code in the file, and conventional names.
    pub(crate) fn role(&self, path: &str, bytes: &mut dyn Bytes) -> io::Result<Role> {
        if path.starts_with("/usr/lib/debug/") || path.ends_with(".debug") {
            return Ok(Role::Debuginfo);
        }
        let segments = self.segments(bytes)?;
        let mut code =
            segments.iter().filter(|segment| segment.kind == PT_LOAD && segment.flags & PF_X != 0).peekable();
        let has_code = code.peek().is_none() || code.any(|segment| segment.file_size > 0);
        Ok(if self.kind == ET_REL || has_code { Role::Executable } else { Role::Debuginfo })
    }

    fn section(&self, bytes: &mut dyn Bytes, wanted: &[u8]) -> io::Result<Option<Vec<u8>>> {
        match self.find_section(bytes, wanted)? {
            Some(section) => bytes.at(section.offset, section.size.min(MAX_NAMES_BYTES)),
            None => Ok(None),
        }
    }

    /// The section with this name, if it has bytes in the file.
    fn find_section(&self, bytes: &mut dyn Bytes, wanted: &[u8]) -> io::Result<Option<Section>> {
        let sections = self.sections(bytes)?;
        let names = usize::try_from(self.section_names).ok().and_then(|index| sections.get(index));
        let Some(names) = names else { return Ok(None) };
        let Some(names) = bytes.at(names.offset, names.size.min(MAX_NAMES_BYTES))? else { return Ok(None) };
        let has_bytes = |section: &Section| section.kind != SHT_NULL && section.kind != SHT_NOBITS;
        Ok(sections.into_iter().filter(has_bytes).find(|section| {
            let name = usize::try_from(section.name).ok().and_then(|start| names.get(start..));
            name.and_then(|name| name.split(|byte| *byte == 0).next()) == Some(wanted)
        }))
    }

    fn segments(&self, bytes: &mut dyn Bytes) -> io::Result<Vec<Segment>> {
        let get = |header: &[u8], at_wide, at| self.word(header, at_wide, at);
        let (smallest, flags_at) = if self.wide { (56, 4) } else { (32, 24) };
        let read = |header: &[u8]| Segment {
            kind: number(header, 0, 4, self.big_endian),
            flags: number(header, flags_at, 4, self.big_endian),
            offset: get(header, 8, 4),
            file_size: get(header, 32, 16),
        };
        self.table(bytes, self.program_headers, smallest, read)
    }

    fn sections(&self, bytes: &mut dyn Bytes) -> io::Result<Vec<Section>> {
        let get = |header: &[u8], at_wide, at| self.word(header, at_wide, at);
        let (smallest, link_at) = if self.wide { (64, 40) } else { (40, 24) };
        let read = |header: &[u8]| Section {
            name: number(header, 0, 4, self.big_endian),
            kind: number(header, 4, 4, self.big_endian),
            offset: get(header, 24, 16),
            size: get(header, 32, 20),
            link: number(header, link_at, 4, self.big_endian),
        };
        self.table(bytes, self.section_headers, smallest, read)
    }

    fn table<T>(
        &self,
        bytes: &mut dyn Bytes,
        table: Table,
        smallest: u64,
        read: impl Fn(&[u8]) -> T,
    ) -> io::Result<Vec<T>> {
        let entry_size = usize::try_from(table.entry_size).unwrap_or_default();
        if table.offset == 0 || table.entry_size < smallest || table.entry_size > 4096 {
            return Ok(Vec::new());
        }
        let length = table.count.min(MAX_HEADERS) * table.entry_size;
        let headers = bytes.at(table.offset, length)?.unwrap_or_default();
        Ok(headers.chunks_exact(entry_size).map(read).collect())
    }

    /// The build-id among the notes at this place. Names and descriptions are padded to four bytes; in the 64-bit files
    /// that pad to eight, the note of the build-id is the only one of its segment.
    fn note_in(&self, bytes: &mut dyn Bytes, offset: u64, size: u64) -> io::Result<Option<BuildId>> {
        let Some(notes) = bytes.at(offset, size.min(MAX_NOTE_BYTES))? else { return Ok(None) };
        let mut rest = notes.as_slice();
        while rest.len() >= 12 {
            let field = |at| number(rest, at, 4, self.big_endian);
            let (name_size, size, kind) = (field(0), field(4), field(8));
            let [Ok(name_end), Ok(start), Ok(end), Ok(next)] = [
                12 + name_size,
                12 + name_size.next_multiple_of(4),
                12 + name_size.next_multiple_of(4) + size,
                12 + name_size.next_multiple_of(4) + size.next_multiple_of(4),
            ]
            .map(usize::try_from) else {
                break;
            };
            let (Some(name), Some(description)) = (rest.get(12..name_end), rest.get(start..end)) else { break };
            if name == b"GNU\0" && kind == NT_GNU_BUILD_ID {
                return Ok(BuildId::from_bytes(description).ok());
            }
            rest = rest.get(next..).unwrap_or_default();
        }
        Ok(None)
    }

    /// A field as wide as an address.
    fn word(&self, bytes: &[u8], at_wide: usize, at: usize) -> u64 {
        let (at, size) = if self.wide { (at_wide, 8) } else { (at, 4) };
        number(bytes, at, size, self.big_endian)
    }
}

/// The unsigned number of `size` bytes at `at`; 0 beyond the end, which every caller has ruled out.
fn number(bytes: &[u8], at: usize, size: usize, big_endian: bool) -> u64 {
    let field = bytes.get(at..at + size).unwrap_or_default();
    let push = |n: u64, byte: &u8| n << 8 | u64::from(*byte);
    if big_endian { field.iter().fold(0, push) } else { field.iter().rev().fold(0, push) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_cut_anywhere_is_seen_to_be() {
        let whole = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let extent_of = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            extent(&mut File::open(&path).unwrap())
        };
        assert_eq!(extent_of(&whole), Extent::Whole);
        for length in [0, 3, 63, 64, 4096, whole.len() / 2, whole.len() - 1] {
            assert_eq!(extent_of(&whole[..length]), Extent::Cut, "cut to {length}");
        }
        // Without a section table.
        assert_eq!(extent_of(&[&whole[..40], &[0; 8], &whole[48..4096]].concat()), Extent::Unknown);
    }

    #[test]
    fn sections_are_found_by_name() {
        let mut program = File::open(std::env::current_exe().unwrap()).unwrap();
        let place = elf_section(&mut program, ".note.gnu.build-id").unwrap().unwrap();
        let note = program.at(place.start, place.end - place.start).unwrap().unwrap();
        let build_id = elf_build_id(&std::env::current_exe().unwrap()).unwrap().unwrap();
        assert!(note.ends_with(&build_id.to_bytes()));
        for absent in [".bss", ".no_such_section", "", "\0"] {
            assert_eq!(elf_section(&mut program, absent).unwrap(), None, "{absent:?}");
        }
        assert_eq!(elf_section(&mut File::open("/dev/null").unwrap(), ".text").unwrap(), None);
    }
}

//! What the layout of a sysroot needs to know of an ELF file: a few header fields, read by offsets.

use std::{fs::File, path::Path};

use object::{
    Endianness, FileKind,
    elf::{DT_NULL, DT_SONAME, DT_STRTAB, FileHeader32, FileHeader64, PT_INTERP, PT_LOAD},
    read::{
        ReadCache, ReadRef,
        elf::{Dyn as _, FileHeader, ProgramHeader as _},
    },
};

/// Longest name taken from a file; `PATH_MAX` of Linux.
const MAX_NAME_BYTES: u64 = 4096;

/// Fields of an ELF file's headers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ElfFacts {
    /// `DT_SONAME` of a shared library.
    pub(crate) soname: Option<String>,
    /// Path of the dynamic linker, `PT_INTERP` of a program.
    pub(crate) interpreter: Option<String>,
    /// Address less file offset of the first loaded segment: 0 for position-independent code.
    pub(crate) base: u64,
}

/// Reads the headers of `path`; everything absent for a file that is no ELF file or a broken one.
pub(crate) fn read(path: &Path) -> ElfFacts {
    let Ok(file) = File::open(path) else { return ElfFacts::default() };
    let cache = ReadCache::new(file);
    match FileKind::parse(&cache) {
        Ok(FileKind::Elf64) => facts::<FileHeader64<Endianness>, _>(&cache),
        Ok(FileKind::Elf32) => facts::<FileHeader32<Endianness>, _>(&cache),
        _ => None,
    }
    .unwrap_or_default()
}

fn facts<'d, Elf: FileHeader<Endian = Endianness>, R: ReadRef<'d>>(data: R) -> Option<ElfFacts> {
    let header = Elf::parse(data).ok()?;
    let endian = header.endian().ok()?;
    let segments = header.program_headers(endian, data).ok()?;
    let loads = || segments.iter().filter(|segment| segment.p_type(endian) == PT_LOAD);
    let base = loads().next().map_or(0, |first| {
        let (address, offset): (u64, u64) = (first.p_vaddr(endian).into(), first.p_offset(endian).into());
        address.wrapping_sub(offset)
    });
    let text = |offset: u64, limit: u64| {
        let end = offset.checked_add(limit.min(MAX_NAME_BYTES))?.min(data.len().ok()?);
        let bytes = data.read_bytes_at_until(offset..end, 0).ok()?;
        String::from_utf8(bytes.to_vec()).ok().filter(|name| !name.is_empty())
    };
    let interpreter = segments
        .iter()
        .find(|segment| segment.p_type(endian) == PT_INTERP)
        .and_then(|segment| text(segment.p_offset(endian).into(), segment.p_filesz(endian).into()));
    let soname = || {
        let dynamic = segments.iter().find_map(|segment| segment.dynamic(endian, data).ok().flatten())?;
        let value = |wanted: i64| {
            let mut entries = dynamic.iter().take_while(|entry| entry.tag(endian) != DT_NULL);
            entries.find(|entry| entry.tag(endian) == wanted).map(|entry| entry.val(endian))
        };
        let (strings, name) = (value(DT_STRTAB)?, value(DT_SONAME)?);
        let address = strings.checked_add(name)?;
        let offset = loads().find_map(|segment| {
            let (start, size): (u64, u64) = (segment.p_vaddr(endian).into(), segment.p_filesz(endian).into());
            let within = address.checked_sub(start).filter(|within| *within < size)?;
            within.checked_add(segment.p_offset(endian).into())
        })?;
        text(offset, MAX_NAME_BYTES)
    };
    Some(ElfFacts { soname: soname(), interpreter, base })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_files_give_their_names() {
        let libc = ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/libc.so.6", "/lib/aarch64-linux-gnu/libc.so.6"];
        let libc = libc.map(Path::new).into_iter().find(|path| path.exists()).expect("a glibc system");
        assert_eq!(read(libc).soname.as_deref(), Some("libc.so.6"));
        let program = read(&std::env::current_exe().unwrap());
        assert!(program.interpreter.unwrap().contains("ld-linux"));
        assert_eq!(program.soname, None);
    }

    #[test]
    fn a_broken_file_gives_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("broken");
        let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        for length in [0, 4, 16, 63, 64, 100, 700] {
            std::fs::write(&path, &program[..length]).unwrap();
            assert_eq!(read(&path).soname, None, "{length} bytes");
        }
        std::fs::write(&path, "no ELF file").unwrap();
        assert_eq!(read(&path), ElfFacts::default());
    }
}

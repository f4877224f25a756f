//! The files of one module: which are used, and why others are not.
//!
//! A file is used only if it is the one that the core or another file names by its build-id; where there is no build-id, if
//! the checksum of `.gnu_debuglink` says so.

mod elf;

use std::{collections::HashMap, io::Write as _, path::PathBuf, sync::OnceLock};

use flate2::CrcWriter;
use gimli::{Dwarf, DwarfPackage, DwoId, EndianSlice, RunTimeEndian, SectionId};
use retrace_types::BuildId;

use crate::{Limits, ModuleFiles, values::units::Skeleton};
pub(crate) use elf::Symbol;
use elf::{Bytes, Elf};

pub(crate) type Reader<'i> = EndianSlice<'i, RunTimeEndian>;

/// The files of a module that are what they should be.
#[derive(Debug, Default)]
pub(crate) struct Image {
    binary: Option<Elf>,
    debug: Option<Elf>,
    supplementary: Option<Elf>,
    mini: OnceLock<Option<Elf>>,
    package: Option<Elf>,
    /// Files of split units, by what they have in common with their skeletons.
    splits: OnceLock<HashMap<DwoId, OnceLock<Option<Elf>>>>,
    limits: Limits,
}

/// A file that was given and is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub reason: String,
    /// It has another build-id than the module, or another checksum.
    pub is_other: bool,
}

impl Image {
    /// Opens what was found for the module of this build-id.
    pub(crate) fn open(files: &ModuleFiles, build_id: Option<&BuildId>, limits: &Limits) -> (Self, Vec<Refused>) {
        let mut refused = Vec::new();
        let mut image = Self { limits: limits.clone(), ..Self::default() };
        image.binary = open(files.binary.as_ref(), limits, &mut refused, |elf| expect(build_id, elf.build_id()));
        let own = image.binary.as_ref().and_then(|binary| binary.build_id().cloned());
        let build_id = build_id.cloned().or(own);
        let link = image.binary.as_ref().and_then(Elf::link).map(|(_, crc)| crc);
        image.debug = open(files.debug.as_ref(), limits, &mut refused, |elf| match (&build_id, link) {
            (Some(wanted), _) => expect(Some(wanted), elf.build_id()),
            (None, Some(wanted)) => {
                let mut sum = CrcWriter::new(std::io::sink());
                let is_it = sum.write_all(elf.bytes()).is_ok() && sum.crc().sum() == wanted;
                if is_it { Ok(()) } else { Err("has another checksum than .gnu_debuglink names".to_owned()) }
            }
            (None, None) => Err("cannot be compared: the module has neither build-id nor .gnu_debuglink".to_owned()),
        });
        let wanted = image.dwarf_file().and_then(|file| file.alt_link()).map(|(_, id)| id.clone());
        image.supplementary =
            open(files.supplementary.as_ref(), limits, &mut refused, |elf| expect(wanted.as_ref(), elf.build_id()));
        // Of what a package holds, each unit is taken by the id that its skeleton names.
        image.package = open(files.package.as_ref(), limits, &mut refused, |_| Ok(()));
        (image, refused)
    }

    /// A module of which the core holds all: the vdso.
    pub(crate) fn from_bytes(bytes: Vec<u8>, limits: &Limits) -> Self {
        let binary = Elf::parse(Bytes::Owned(bytes), limits).ok();
        Self { binary, limits: limits.clone(), ..Self::default() }
    }

    pub(crate) fn has_binary(&self) -> bool {
        self.binary.is_some()
    }

    /// Address and data of a section, of the module itself or else of its debug file.
    pub(crate) fn section(&self, name: &str) -> Option<(u64, &[u8])> {
        self.files().find_map(|file| file.section(name))
    }

    /// Byte order and size of an address; those of x86_64 where there is no file.
    pub(crate) fn encoding(&self) -> (RunTimeEndian, u8) {
        self.files().next().map_or((RunTimeEndian::Little, 8), |file| (file.endian(), file.address_size()))
    }

    /// Fills `into` with what the module's file has at this address of its own; how many bytes.
    pub(crate) fn read(&self, address: u64, into: &mut [u8]) -> usize {
        self.binary.as_ref().map_or(0, |binary| binary.read(address, into))
    }

    /// Whether code of the module is loaded there, by addresses of the file.
    pub(crate) fn is_code(&self, address: u64) -> bool {
        let segments = self.files().next().map(Elf::segments).unwrap_or_default();
        segments.iter().any(|segment| {
            segment.executable && address.checked_sub(segment.address).is_some_and(|at| at < segment.memory_bytes)
        })
    }

    /// The debug information, its supplementary file attached. Sections are inflated for it.
    pub(crate) fn dwarf(&self) -> Option<Dwarf<Reader<'_>>> {
        let file = self.dwarf_file()?;
        fn load(file: &Elf, id: SectionId) -> Result<Reader<'_>, gimli::Error> {
            Ok(file.reader(id.name()))
        }
        let mut dwarf = Dwarf::load(|id| load(file, id)).ok()?;
        if let Some(supplementary) = &self.supplementary {
            dwarf.set_sup(Dwarf::load(|id| load(supplementary, id)).ok()?);
        }
        Some(dwarf)
    }

    /// The debug information that a skeleton refers to: out of the package, else of a file of its own.
    pub(crate) fn split_dwarf<'i>(
        &'i self,
        skeleton: &Skeleton<'_, 'i>,
        find: impl Fn(&std::path::Path) -> Option<PathBuf>,
    ) -> Option<Dwarf<Reader<'i>>> {
        let load = |file: &'i Elf, id: SectionId| -> Result<Reader<'i>, gimli::Error> {
            Ok(file.reader(id.dwo_name().unwrap_or_default()))
        };
        if let Some(package) = &self.package {
            let packed = DwarfPackage::load(|id| load(package, id), EndianSlice::new(&[], package.endian())).ok();
            if let Some(dwarf) = packed.and_then(|packed| packed.find_cu(skeleton.id, skeleton.parent).ok()?) {
                return Some(dwarf);
            }
        }
        let splits = self.splits.get_or_init(|| skeleton.all.iter().map(|id| (*id, OnceLock::new())).collect());
        let opened = splits.get(&skeleton.id)?.get_or_init(|| {
            let path = find(skeleton.path.as_deref()?)?;
            Elf::open(&path, &self.limits).ok()
        });
        let file = opened.as_ref()?;
        let mut dwarf = Dwarf::load(|id| load(file, id)).ok()?;
        dwarf.make_dwo(skeleton.parent);
        Some(dwarf)
    }

    /// Whether the debug information refers to a supplementary file that is not there.
    pub(crate) fn lacks_supplementary(&self) -> bool {
        self.supplementary.is_none() && self.dwarf_file().is_some_and(|file| file.alt_link().is_some())
    }

    /// The symbol that holds an address of the file: one whose size says so, else the nearest before it that has no size.
    pub(crate) fn symbol(&self, address: u64) -> Option<&Symbol> {
        // A stripped file has a table of what it exports; the one of the debug file has all.
        let mut tables = [self.debug.as_ref(), self.mini(), self.binary.as_ref()].into_iter().flatten();
        tables.find_map(|file| nearest(file.symbols(), address))
    }

    /// Names and addresses of data and functions.
    pub(crate) fn named_symbols(&self) -> impl Iterator<Item = (&str, u64)> {
        let all = [self.debug.as_ref(), self.binary.as_ref()].into_iter().flatten().flat_map(Elf::symbols);
        all.map(|symbol| (&*symbol.name, symbol.address))
    }

    /// Names and addresses of functions.
    pub(crate) fn code_symbols(&self) -> impl Iterator<Item = (&str, u64)> {
        let all = [self.debug.as_ref(), self.binary.as_ref()].into_iter().flatten().flat_map(Elf::symbols);
        all.filter(|symbol| symbol.is_function).map(|symbol| (&*symbol.name, symbol.address))
    }

    fn mini(&self) -> Option<&Elf> {
        let unpacked = self.mini.get_or_init(|| self.binary.as_ref().and_then(|binary| binary.mini(&self.limits)));
        unpacked.as_ref()
    }

    fn files(&self) -> impl Iterator<Item = &Elf> {
        [self.binary.as_ref(), self.debug.as_ref()].into_iter().flatten()
    }

    fn dwarf_file(&self) -> Option<&Elf> {
        [self.debug.as_ref(), self.binary.as_ref()].into_iter().flatten().find(|file| file.has_debug_info())
    }
}

pub(crate) fn build_id(file: &std::path::Path) -> Option<BuildId> {
    Elf::open(file, &Limits::default()).ok()?.build_id().cloned()
}

fn expect(wanted: Option<&BuildId>, found: Option<&BuildId>) -> Result<(), String> {
    match (wanted, found) {
        (None, _) => Ok(()),
        (Some(wanted), Some(found)) if wanted == found => Ok(()),
        (Some(wanted), Some(found)) => Err(format!("has build-id {found}, not {wanted}")),
        (Some(wanted), None) => Err(format!("has no build-id, not {wanted}")),
    }
}

fn open(
    path: Option<&PathBuf>,
    limits: &Limits,
    refused: &mut Vec<Refused>,
    check: impl FnOnce(&Elf) -> Result<(), String>,
) -> Option<Elf> {
    let path = path?;
    let mut refuse = |reason: String, is_other| refused.push(Refused { path: path.clone(), reason, is_other });
    match Elf::open(path, limits) {
        Ok(elf) => match check(&elf) {
            Ok(()) => return Some(elf),
            Err(reason) => refuse(reason, true),
        },
        Err(error) => refuse(error.to_string(), false),
    }
    None
}

/// Symbols are sorted by address; the best of several at one address is the last.
fn nearest(symbols: &[Symbol], address: u64) -> Option<&Symbol> {
    /// How many symbols before the address are looked at for one whose size covers it.
    const REACH: usize = 64;
    let behind = symbols.partition_point(|symbol| symbol.address <= address);
    let before = symbols.get(..behind)?.iter().rev().take(REACH);
    let mut without_size = None;
    for symbol in before {
        if symbol.bytes == 0 {
            without_size = without_size.or(Some(symbol));
        } else if address - symbol.address < symbol.bytes {
            return Some(symbol);
        }
    }
    without_size
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symbol(address: u64, bytes: u64, name: &str) -> Symbol {
        Symbol { address, bytes, name: name.into(), is_function: true, is_global: true }
    }

    #[test]
    fn the_symbol_that_covers_an_address_counts_before_a_nearer_label() {
        let symbols = [symbol(10, 20, "function"), symbol(15, 0, "label"), symbol(40, 0, "end")];
        let name = |address| nearest(&symbols, address).map(|symbol| &*symbol.name);
        assert_eq!(
            [name(9), name(10), name(16), name(35), name(50)],
            [None, Some("function"), Some("function"), Some("label"), Some("end")]
        );
    }

    #[test]
    fn a_file_of_another_build_is_refused_and_says_so() {
        let files = ModuleFiles { binary: Some("/proc/self/exe".into()), ..ModuleFiles::default() };
        let other: BuildId = "00112233445566778899aabbccddeeff00112233".parse().unwrap();
        let (image, refused) = Image::open(&files, Some(&other), &Limits::default());
        assert!(!image.has_binary() && refused[0].is_other, "{refused:?}");
        let (image, refused) = Image::open(&files, None, &Limits::default());
        assert!(image.has_binary() && refused.is_empty() && image.section(".eh_frame").is_some());
    }
}

//! One ELF file: sections, segments, symbols. Sections are inflated when they are asked for, within limits.

use std::{
    io::Read,
    ops::Deref,
    path::Path,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use flate2::read::ZlibDecoder;
use gimli::{EndianSlice, RunTimeEndian};
use liblzma::{read::XzDecoder, stream::Stream};
use object::{
    CompressionFormat, Endianness, Object as _, ObjectSection as _, ObjectSegment as _, SegmentFlags, SymbolKind,
    elf::{PF_W, PF_X},
};
use retrace_map::MappedFile;
use retrace_types::BuildId;

use crate::Limits;

/// Most memory of the decoder of `.gnu_debugdata`, which is xz.
const XZ_MEMORY_BYTES: u64 = 128 << 20;
/// Most sections that are looked at.
const MAX_SECTIONS: usize = 1 << 16;
/// Most symbols of one table.
const MAX_SYMBOLS: usize = 1 << 23;

/// The bytes of a file: mapped, or from elsewhere.
#[derive(Debug)]
pub(crate) enum Bytes {
    Mapped(MappedFile),
    Owned(Vec<u8>),
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Owned(bytes) => bytes,
        }
    }
}

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ElfError {
    #[error("cannot be opened: {0}")]
    Open(#[from] std::io::Error),
    #[error("is no ELF file that can be read: {0}")]
    Format(#[from] object::Error),
    #[error("is no ELF file")]
    NotElf,
}

/// An ELF file.
#[derive(Debug)]
pub(crate) struct Elf {
    bytes: Bytes,
    sections: Vec<Section>,
    segments: Vec<LoadSegment>,
    build_id: Option<BuildId>,
    link: Option<(Vec<u8>, u32)>,
    alt_link: Option<(Vec<u8>, BuildId)>,
    endian: RunTimeEndian,
    address_size: u8,
    symbols: OnceLock<Vec<Symbol>>,
    inflated_bytes: AtomicU64,
    max_section_bytes: u64,
    max_inflated_bytes: u64,
}

/// A section, as its header and the start of its data describe it.
#[derive(Debug)]
struct Section {
    name: Box<str>,
    address: u64,
    offset: usize,
    length: usize,
    format: CompressionFormat,
    uncompressed_bytes: u64,
    inflated: OnceLock<Option<Box<[u8]>>>,
}

/// A segment that is loaded, by addresses of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LoadSegment {
    pub(crate) address: u64,
    pub(crate) memory_bytes: u64,
    pub(crate) file_offset: u64,
    pub(crate) file_bytes: u64,
    pub(crate) executable: bool,
    pub(crate) writable: bool,
}

/// A symbol of a function or of data, by addresses of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Symbol {
    pub(crate) address: u64,
    /// 0 where the table does not tell.
    pub(crate) bytes: u64,
    pub(crate) name: Box<str>,
    pub(crate) is_function: bool,
    pub(crate) is_global: bool,
}

impl Elf {
    pub(crate) fn open(path: &Path, limits: &Limits) -> Result<Self, ElfError> {
        Self::parse(Bytes::Mapped(MappedFile::open(path)?), limits)
    }

    pub(crate) fn parse(bytes: Bytes, limits: &Limits) -> Result<Self, ElfError> {
        let file = object::File::parse(&*bytes)?;
        if file.format() != object::BinaryFormat::Elf {
            return Err(ElfError::NotElf);
        }
        let endian = match file.endianness() {
            Endianness::Little => RunTimeEndian::Little,
            Endianness::Big => RunTimeEndian::Big,
        };
        let sections = file.sections().take(MAX_SECTIONS).filter_map(|section| {
            let name = section.name().ok()?.into();
            let data = section.compressed_file_range().ok()?;
            Some(Section {
                name,
                address: section.address(),
                offset: usize::try_from(data.offset).ok()?,
                length: usize::try_from(data.compressed_size).ok()?,
                format: data.format,
                uncompressed_bytes: data.uncompressed_size,
                inflated: OnceLock::new(),
            })
        });
        let sections = sections.collect();
        let segments = file.segments().map(|segment| {
            let flags = match segment.flags() {
                SegmentFlags::Elf { p_flags } => p_flags,
                _ => 0,
            };
            let (file_offset, file_bytes) = segment.file_range();
            LoadSegment {
                address: segment.address(),
                memory_bytes: segment.size(),
                file_offset,
                file_bytes,
                executable: flags & PF_X != 0,
                writable: flags & PF_W != 0,
            }
        });
        let segments = segments.collect();
        let build_id = file.build_id().ok().flatten().and_then(|id| BuildId::from_bytes(id).ok());
        let link = file.gnu_debuglink().ok().flatten().map(|(name, crc)| (name.to_owned(), crc));
        let alt_link = file.gnu_debugaltlink().ok().flatten();
        let alt_link = alt_link.and_then(|(name, id)| Some((name.to_owned(), BuildId::from_bytes(id).ok()?)));
        let address_size = if file.is_64() { 8 } else { 4 };
        Ok(Self {
            sections,
            segments,
            build_id,
            link,
            alt_link,
            endian,
            address_size,
            symbols: OnceLock::new(),
            inflated_bytes: AtomicU64::new(0),
            max_section_bytes: limits.max_section_bytes,
            max_inflated_bytes: limits.max_inflated_bytes,
            bytes,
        })
    }

    /// The file within `.gnu_debugdata` (MiniDebugInfo), which has a symbol table and nothing else.
    pub(crate) fn mini(&self, limits: &Limits) -> Option<Self> {
        let packed = self.section(".gnu_debugdata")?.1;
        let stream = Stream::new_stream_decoder(XZ_MEMORY_BYTES, 0).ok()?;
        let mut bytes = Vec::new();
        XzDecoder::new_stream(packed, stream).take(limits.max_section_bytes).read_to_end(&mut bytes).ok()?;
        Self::parse(Bytes::Owned(bytes), limits).ok()
    }

    /// Address and data of a section; none if it is not there, has no data in this file or cannot be inflated.
    pub(crate) fn section(&self, name: &str) -> Option<(u64, &[u8])> {
        // Before there were flags for it, a compressed section had a name of its own.
        let old = name.strip_prefix(".debug_").map(|rest| format!(".zdebug_{rest}"));
        let is_it = |section: &&Section| &*section.name == name || old.as_deref() == Some(&*section.name);
        let section = self.sections.iter().find(is_it)?;
        let end = section.offset.checked_add(section.length)?;
        let stored = self.bytes.get(section.offset..end)?;
        let data = match section.format {
            CompressionFormat::None => stored,
            format => section.inflated.get_or_init(|| self.inflate(section, format, stored)).as_deref()?,
        };
        (!data.is_empty()).then_some((section.address, data))
    }

    /// The data as gimli reads it; empty if there is none.
    pub(crate) fn reader(&self, name: &str) -> EndianSlice<'_, RunTimeEndian> {
        EndianSlice::new(self.section(name).map(|(_, data)| data).unwrap_or_default(), self.endian)
    }

    fn inflate(&self, section: &Section, format: CompressionFormat, stored: &[u8]) -> Option<Box<[u8]>> {
        let wanted = section.uncompressed_bytes;
        let total = self.inflated_bytes.fetch_add(wanted, Ordering::Relaxed).saturating_add(wanted);
        if wanted > self.max_section_bytes || total > self.max_inflated_bytes {
            return None;
        }
        // The size is only claimed: it is not reserved at once.
        let mut data = Vec::new();
        let read = match format {
            CompressionFormat::Zlib => ZlibDecoder::new(stored).take(wanted).read_to_end(&mut data),
            CompressionFormat::Zstandard => zstd::Decoder::new(stored).ok()?.take(wanted).read_to_end(&mut data),
            _ => return None,
        };
        (read.is_ok() && data.len() as u64 == wanted).then(|| data.into_boxed_slice())
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn build_id(&self) -> Option<&BuildId> {
        self.build_id.as_ref()
    }

    /// Name and CRC of the file with its debug information (`.gnu_debuglink`).
    pub(crate) fn link(&self) -> Option<(&[u8], u32)> {
        self.link.as_ref().map(|(name, crc)| (name.as_slice(), *crc))
    }

    /// Name and build-id of the supplementary file of its debug information (`.gnu_debugaltlink`, dwz).
    pub(crate) fn alt_link(&self) -> Option<(&[u8], &BuildId)> {
        self.alt_link.as_ref().map(|(name, id)| (name.as_slice(), id))
    }

    pub(crate) fn endian(&self) -> RunTimeEndian {
        self.endian
    }

    pub(crate) fn address_size(&self) -> u8 {
        self.address_size
    }

    pub(crate) fn segments(&self) -> &[LoadSegment] {
        &self.segments
    }

    pub(crate) fn has_debug_info(&self) -> bool {
        self.sections
            .iter()
            .any(|section| matches!(&*section.name, ".debug_info" | ".zdebug_info") && section.length > 0)
    }

    /// Fills `into` with what the file has at this address, as far as one segment goes; how many bytes.
    pub(crate) fn read(&self, address: u64, into: &mut [u8]) -> usize {
        let holds = |segment: &&LoadSegment| {
            address
                .checked_sub(segment.address)
                .is_some_and(|offset| offset < segment.file_bytes.min(segment.memory_bytes))
        };
        let Some(segment) = self.segments.iter().find(holds) else { return 0 };
        let skip = address - segment.address;
        let left = segment.file_bytes.min(segment.memory_bytes) - skip;
        let start = usize::try_from(segment.file_offset.saturating_add(skip)).unwrap_or(usize::MAX);
        let count = into.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let Some(source) = self.bytes.get(start..).map(|rest| rest.get(..count).unwrap_or(rest)) else { return 0 };
        if let Some(target) = into.get_mut(..source.len()) {
            target.copy_from_slice(source);
        }
        source.len()
    }

    /// Symbols of functions and data, by address; of `.symtab`, else of `.dynsym`.
    pub(crate) fn symbols(&self) -> &[Symbol] {
        self.symbols.get_or_init(|| {
            let Ok(file) = object::File::parse(&*self.bytes) else { return Vec::new() };
            let mut symbols: Vec<Symbol> = file.symbols().take(MAX_SYMBOLS).filter_map(symbol).collect();
            if symbols.is_empty() {
                symbols = file.dynamic_symbols().take(MAX_SYMBOLS).filter_map(symbol).collect();
            }
            // Of two at one address, the one that is to be shown comes last.
            symbols.sort_by_key(|symbol| (symbol.address, symbol.is_function, symbol.is_global));
            symbols
        })
    }
}

fn symbol<'d>(symbol: impl object::ObjectSymbol<'d>) -> Option<Symbol> {
    let is_function = match symbol.kind() {
        SymbolKind::Text => true,
        // Labels of assembler have no type.
        SymbolKind::Unknown | SymbolKind::Label => true,
        SymbolKind::Data => false,
        _ => return None,
    };
    if symbol.is_undefined() || symbol.address() == 0 {
        return None;
    }
    let name = symbol.name().ok().filter(|name| !name.is_empty() && !name.starts_with('$'))?;
    let name = name.split_once('@').map_or(name, |(name, _)| name);
    let is_global = symbol.is_global();
    Some(Symbol { address: symbol.address(), bytes: symbol.size(), name: name.into(), is_function, is_global })
}

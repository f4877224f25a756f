//! The ELF structures that a core and the modules in it start with. Source: the System V gABI, chapter 4 and 5.

use object::{
    Endian, Endianness,
    elf::{FileHeader32, FileHeader64},
    pod,
    read::elf::{FileHeader, ProgramHeader},
};

/// How numbers are written: `EI_CLASS` and `EI_DATA`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Encoding {
    pub(crate) wide: bool,
    pub(crate) big_endian: bool,
}

impl Encoding {
    pub(crate) fn u32(self, bytes: &[u8], at: usize) -> Option<u32> {
        let field = *bytes.get(at..)?.first_chunk()?;
        Some(if self.big_endian { u32::from_be_bytes(field) } else { u32::from_le_bytes(field) })
    }

    pub(crate) fn i32(self, bytes: &[u8], at: usize) -> Option<i32> {
        self.u32(bytes, at).map(u32::cast_signed)
    }

    pub(crate) fn i16(self, bytes: &[u8], at: usize) -> Option<i16> {
        let field = *bytes.get(at..)?.first_chunk()?;
        Some(if self.big_endian { i16::from_be_bytes(field) } else { i16::from_le_bytes(field) })
    }

    pub(crate) fn u64(self, bytes: &[u8], at: usize) -> Option<u64> {
        let field = *bytes.get(at..)?.first_chunk()?;
        Some(if self.big_endian { u64::from_be_bytes(field) } else { u64::from_le_bytes(field) })
    }

    /// An `unsigned long` or a pointer.
    pub(crate) fn word(self, bytes: &[u8], at: usize) -> Option<u64> {
        if self.wide { self.u64(bytes, at) } else { self.u32(bytes, at).map(u64::from) }
    }

    pub(crate) fn word_bytes(self) -> usize {
        if self.wide { 8 } else { 4 }
    }

    /// The address as the machine counts it: addresses of 32 bit wrap at 4 GiB.
    pub(crate) fn wrap(self, address: u64) -> u64 {
        if self.wide { address } else { address & u64::from(u32::MAX) }
    }

    /// Size of a program header.
    pub(crate) fn segment_bytes(self) -> usize {
        if self.wide { 56 } else { 32 }
    }
}

/// What is needed of an ELF header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    pub(crate) encoding: Encoding,
    /// `e_type`.
    pub(crate) kind: u16,
    /// `e_machine`.
    pub(crate) machine: u16,
    /// `e_phoff`.
    pub(crate) segments_offset: u64,
    /// `e_phentsize`.
    pub(crate) segment_bytes: u16,
    /// `e_phnum`.
    pub(crate) segment_count: u16,
    /// `e_shoff`.
    pub(crate) sections_offset: u64,
}

impl Header {
    /// Size of the larger of the two headers.
    pub(crate) const MAX_BYTES: usize = 64;

    /// Decodes the header that `bytes` start with. None if they are too few or are no ELF header.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        decode_header::<FileHeader64<Endianness>>(bytes).or_else(|| decode_header::<FileHeader32<Endianness>>(bytes))
    }
}

/// A program header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    pub(crate) kind: u32,
    pub(crate) flags: u32,
    pub(crate) offset: u64,
    pub(crate) address: u64,
    pub(crate) file_size: u64,
    pub(crate) memory_size: u64,
    pub(crate) align: u64,
}

impl Segment {
    /// Decodes every whole program header in `bytes`.
    pub(crate) fn parse_all(encoding: Encoding, bytes: &[u8]) -> Vec<Self> {
        if encoding.wide {
            decode_segments::<FileHeader64<Endianness>>(encoding, bytes)
        } else {
            decode_segments::<FileHeader32<Endianness>>(encoding, bytes)
        }
    }
}

fn decode_header<H: FileHeader<Endian = Endianness>>(bytes: &[u8]) -> Option<Header> {
    let (raw, _) = pod::from_bytes::<H>(bytes).ok()?;
    if !raw.is_supported() {
        return None;
    }
    let endian = raw.endian().ok()?;
    Some(Header {
        encoding: Encoding { wide: raw.is_class_64(), big_endian: endian.is_big_endian() },
        kind: raw.e_type(endian),
        machine: raw.e_machine(endian),
        segments_offset: raw.e_phoff(endian).into(),
        segment_bytes: raw.e_phentsize(endian),
        segment_count: raw.e_phnum(endian),
        sections_offset: raw.e_shoff(endian).into(),
    })
}

fn decode_segments<H: FileHeader<Endian = Endianness>>(encoding: Encoding, bytes: &[u8]) -> Vec<Segment> {
    let endian = if encoding.big_endian { Endianness::Big } else { Endianness::Little };
    let decode = |raw: &H::ProgramHeader| Segment {
        kind: raw.p_type(endian),
        flags: raw.p_flags(endian),
        offset: raw.p_offset(endian).into(),
        address: raw.p_vaddr(endian).into(),
        file_size: raw.p_filesz(endian).into(),
        memory_size: raw.p_memsz(endian).into(),
        align: raw.p_align(endian).into(),
    };
    let count = bytes.len() / encoding.segment_bytes();
    let raw = pod::slice_from_bytes::<H::ProgramHeader>(bytes, count);
    raw.map(|(raw, _)| raw.iter().map(decode).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_in_either_order_and_never_behind_the_end() {
        let bytes = [1, 2, 3, 4, 5, 6, 7, 8];
        let little = Encoding { wide: true, big_endian: false };
        let big = Encoding { wide: false, big_endian: true };
        assert_eq!(little.word(&bytes, 0), Some(0x0807_0605_0403_0201));
        assert_eq!(big.word(&bytes, 4), Some(0x0506_0708));
        assert_eq!((little.i16(&bytes, 0), big.i16(&bytes, 0)), (Some(0x0201), Some(0x0102)));
        assert_eq!(little.word(&bytes, 1), None);
        assert_eq!(big.u32(&bytes, usize::MAX), None);
    }

    #[test]
    fn program_headers_are_read_from_bytes_of_any_alignment() {
        let mut bytes = [0; 1 + 2 * 56 + 10];
        bytes[1] = 4;
        bytes[1 + 56] = 1;
        let wide = Encoding { wide: true, big_endian: false };
        let kinds: Vec<u32> = Segment::parse_all(wide, &bytes[1..]).iter().map(|segment| segment.kind).collect();
        assert_eq!(kinds, [4, 1], "the rest of 10 bytes is no program header");
    }
}

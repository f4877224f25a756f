use object::elf::{PF_X, PN_XNUM, PT_LOAD, PT_NOTE};

use crate::{
    CoreError, Limits,
    elf::{Header, Segment},
    memory::Area,
    remarks::Remarks,
    source::Source,
};

/// The program headers of a core, sorted by what they are for.
#[derive(Debug, Default)]
pub(crate) struct Segments {
    pub(crate) notes: Vec<Segment>,
    pub(crate) memory: Vec<Area>,
    /// Size of the core that the headers ask for, in bytes.
    pub(crate) expected_size: u64,
}

/// The kernel and gdb write a single one.
const MAX_NOTE_SEGMENTS: usize = 64;
/// Bytes of the table read at once.
const BLOCK_BYTES: usize = 64 << 10;

impl Segments {
    pub(crate) fn read(
        source: Source<'_>,
        header: &Header,
        limits: &Limits,
        remarks: &mut Remarks,
    ) -> Result<Self, CoreError> {
        let size = header.encoding.segment_bytes();
        if header.segment_count > 0 && usize::from(header.segment_bytes) != size {
            return Err(CoreError::Header("its program headers have another size than the format gives them"));
        }
        let mut table = Table { source, header, at: header.segments_offset, left: 0 };
        let mut segments = Self::default();
        let claimed = segments.count(&mut table, remarks)?;
        let table_size = claimed.saturating_mul(size as u64);
        segments.expect(header.segments_offset, table_size);

        table.left = claimed.min(limits.max_segments as u64);
        if table.left < claimed {
            let limit = limits.max_segments;
            remarks.add(format!("the core claims {claimed} program headers: only the first {limit} were looked at"));
        }
        loop {
            let block = table.next_block()?;
            if block.is_empty() {
                return Ok(segments);
            }
            block.into_iter().for_each(|segment| segments.add(segment, remarks));
        }
    }

    /// Number of program headers. From 65,535 on it stands in the first section header (`PN_XNUM`), which the kernel
    /// writes at the very end of the core.
    fn count(&mut self, table: &mut Table<'_>, remarks: &mut Remarks) -> Result<u64, CoreError> {
        let header = table.header;
        if header.segment_count != PN_XNUM {
            return Ok(header.segment_count.into());
        }
        let (size, info_at) = if header.encoding.wide { (64, 44) } else { (40, 28) };
        self.expect(header.sections_offset, size);
        let section = table.source.bytes("the first section header", header.sections_offset, 64)?;
        if let Some(count) = header.encoding.u32(&section, info_at).filter(|_| header.sections_offset != 0) {
            return Ok(count.into());
        }
        // The kernel writes the notes right behind the table, and the first program header tells where they are.
        let notes = table.source.bytes("the program headers", table.at, header.encoding.segment_bytes())?;
        let notes = Segment::parse_all(header.encoding, &notes).into_iter().find(|segment| segment.kind == PT_NOTE);
        let room = notes.and_then(|notes| notes.offset.checked_sub(header.segments_offset));
        remarks.add("the number of program headers stood in the part that was cut off: it was counted".to_owned());
        Ok(room.unwrap_or(0) / header.encoding.segment_bytes() as u64)
    }

    fn add(&mut self, segment: Segment, remarks: &mut Remarks) {
        self.expect(segment.offset, segment.file_size);
        match segment.kind {
            PT_NOTE if self.notes.len() < MAX_NOTE_SEGMENTS => self.notes.push(segment),
            PT_NOTE => remarks.add(format!("the core has more than {MAX_NOTE_SEGMENTS} segments of notes")),
            PT_LOAD => self.memory.push(Area {
                address: segment.address,
                size: segment.memory_size,
                offset: segment.offset,
                dumped: segment.file_size.min(segment.memory_size),
                executable: segment.flags & PF_X != 0,
            }),
            _ => {}
        }
    }

    fn expect(&mut self, offset: u64, size: u64) {
        if size > 0 {
            self.expected_size = self.expected_size.max(offset.saturating_add(size));
        }
    }
}

/// Reads the table block by block.
struct Table<'a> {
    source: Source<'a>,
    header: &'a Header,
    at: u64,
    left: u64,
}

impl Table<'_> {
    /// Empty at the end of the table or of the core.
    fn next_block(&mut self) -> Result<Vec<Segment>, CoreError> {
        let encoding = self.header.encoding;
        let size = encoding.segment_bytes();
        let count = usize::try_from(self.left).unwrap_or(usize::MAX).min(BLOCK_BYTES / size);
        let bytes = self.source.bytes("the program headers", self.at, count * size)?;
        let segments = Segment::parse_all(encoding, &bytes);
        self.left = self.left.saturating_sub(segments.len() as u64);
        self.at = self.at.saturating_add((segments.len() * size) as u64);
        Ok(segments)
    }
}

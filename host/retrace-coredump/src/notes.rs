//! The notes of a PT_NOTE segment, one after the other. Source: the System V gABI, "Note Section".

use crate::{
    CoreError,
    elf::Encoding,
    source::{Source, Window},
};

/// A note: its descriptor is told by its place and read only if somebody wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) owner: Owner,
    /// `n_type`.
    pub(crate) kind: u32,
    /// Offset of the descriptor in the source.
    pub(crate) offset: u64,
    /// Size that the header claims.
    pub(crate) size: u32,
}

impl Note {
    /// At most `limit` bytes of the descriptor; fewer if the source ends before.
    pub(crate) fn descriptor(&self, source: Source<'_>, limit: usize) -> Result<Vec<u8>, CoreError> {
        let length = usize::try_from(self.size).unwrap_or(usize::MAX).min(limit);
        source.bytes("a note", self.offset, length)
    }
}

/// The name of a note, as far as somebody asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// Of a process, as SVR4 has it.
    Core,
    /// Of the GNU tools.
    Gnu,
    /// Of Linux, for registers that not every system has.
    Linux,
    /// Of a dumped kernel.
    Vmcoreinfo,
    Other,
}

/// Walks the notes in a range of the source. Ends at the first that is not whole in the range.
pub(crate) struct Notes<'a> {
    window: Window<'a>,
    encoding: Encoding,
    align: u64,
    at: u64,
    end: u64,
}

/// Size of the header: `n_namesz`, `n_descsz`, `n_type`.
const HEADER_BYTES: usize = 12;
/// Longest name that means something here, with its NUL.
const OWNER_BYTES: usize = 11;
/// Holds the notes of one thread of a usual core, so that a thread costs one read.
const BLOCK_BYTES: usize = 4096;

impl<'a> Notes<'a> {
    /// `align` is `p_align` of the segment: notes are aligned to 4 bytes unless it says 8.
    pub(crate) fn new(source: Source<'a>, encoding: Encoding, offset: u64, size: u64, align: u64) -> Self {
        let window = Window::new(source, "the notes", BLOCK_BYTES);
        let align = if align == 8 { 8 } else { 4 };
        Self { window, encoding, align, at: offset, end: offset.saturating_add(size) }
    }

    /// The next note, none at the end of the range or of the source.
    pub(crate) fn next(&mut self) -> Result<Option<Note>, CoreError> {
        if self.end.saturating_sub(self.at) < HEADER_BYTES as u64 {
            return Ok(None);
        }
        let bytes = self.window.get(self.at, HEADER_BYTES + OWNER_BYTES)?;
        let field = |at| self.encoding.u32(bytes, at);
        let (Some(name_size), Some(size), Some(kind)) = (field(0), field(4), field(8)) else { return Ok(None) };
        let name_end = HEADER_BYTES.saturating_add(usize::try_from(name_size).unwrap_or(usize::MAX));
        let name = bytes.get(HEADER_BYTES..name_end).unwrap_or_default();
        let owner = match name.strip_suffix(b"\0").unwrap_or(name) {
            b"CORE" => Owner::Core,
            b"GNU" => Owner::Gnu,
            b"LINUX" => Owner::Linux,
            b"VMCOREINFO" => Owner::Vmcoreinfo,
            _ => Owner::Other,
        };
        // Sizes are of 32 bit, so only adding them to the offset can overflow.
        let to_descriptor = (HEADER_BYTES as u64 + u64::from(name_size)).next_multiple_of(self.align);
        let to_next = (to_descriptor + u64::from(size)).next_multiple_of(self.align);
        let (Some(offset), Some(next)) = (self.at.checked_add(to_descriptor), self.at.checked_add(to_next)) else {
            return Ok(None);
        };
        if offset.saturating_add(size.into()) > self.end {
            return Ok(None);
        }
        self.at = next;
        Ok(Some(Note { owner, kind, offset, size }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LITTLE: Encoding = Encoding { wide: true, big_endian: false };

    fn walk(bytes: &[u8], align: u64) -> Vec<(Owner, u32, Vec<u8>)> {
        let bytes = bytes.to_vec();
        let source = Source::new(&bytes).unwrap();
        let mut notes = Notes::new(source, LITTLE, 0, bytes.len() as u64, align);
        std::iter::from_fn(|| notes.next().unwrap())
            .map(|note| (note.owner, note.kind, note.descriptor(source, 100).unwrap()))
            .collect()
    }

    #[test]
    fn notes_follow_each_other_at_multiples_of_the_alignment() {
        let mut four = Vec::new();
        four.extend([5, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0]);
        four.extend(b"CORE\0\0\0\0abc\0");
        four.extend([4, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0]);
        four.extend(b"GNU\0x\0\0\0");
        let want = vec![(Owner::Core, 1, b"abc".to_vec()), (Owner::Gnu, 3, b"x".to_vec())];
        assert_eq!(walk(&four, 4), want);
        assert_eq!(walk(&four, 0), want, "older kernels leave p_align 0");

        let mut eight = Vec::new();
        eight.extend([4, 0, 0, 0, 3, 0, 0, 0, 5, 0, 0, 0]);
        eight.extend(b"GNU\0abc\0\0\0\0\0");
        eight.extend([4, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0]);
        eight.extend(b"GNU\0x\0\0\0");
        assert_eq!(walk(&eight, 8), [(Owner::Gnu, 5, b"abc".to_vec()), (Owner::Gnu, 3, b"x".to_vec())]);
    }

    #[test]
    fn a_note_that_claims_more_than_the_range_ends_the_walk() {
        for (name_size, size) in [(u32::MAX, 0), (0, u32::MAX), (u32::MAX, u32::MAX), (4, 100)] {
            let mut bytes = Vec::new();
            bytes.extend(name_size.to_le_bytes());
            bytes.extend(size.to_le_bytes());
            bytes.extend([1, 0, 0, 0]);
            bytes.extend(b"GNU\0");
            assert_eq!(walk(&bytes, 4), [], "{name_size} {size}");
        }
        assert_eq!(walk(&[0; 11], 4), []);
    }
}

use std::{fs::File, io, os::unix::fs::FileExt};

use crate::CoreError;

/// Something that can be read at any offset without a cursor: a file, bytes in memory.
pub trait ReadAt {
    /// Reads bytes that start at `offset` into `buf` and returns how many; 0 at and behind the end.
    ///
    /// # Errors
    /// As [`std::io::Read::read`]; [`io::ErrorKind::Interrupted`] is tried again by the caller.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize>;

    /// Size in bytes.
    ///
    /// # Errors
    /// If the size cannot be had.
    fn size(&self) -> io::Result<u64>;
}

impl ReadAt for File {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        FileExt::read_at(self, buf, offset)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}

impl ReadAt for [u8] {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let mut rest = self.get(start..).unwrap_or_default();
        io::Read::read(&mut rest, buf)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }
}

impl ReadAt for Vec<u8> {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.as_slice().read_at(offset, buf)
    }

    fn size(&self) -> io::Result<u64> {
        self.as_slice().size()
    }
}

impl<T: ReadAt + ?Sized> ReadAt for &T {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        (**self).read_at(offset, buf)
    }

    fn size(&self) -> io::Result<u64> {
        (**self).size()
    }
}

/// The core with its size, read once: everything behind that size counts as cut off.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    core: &'a dyn ReadAt,
    pub(crate) size: u64,
}

impl<'a> Source<'a> {
    pub(crate) fn new(core: &'a dyn ReadAt) -> Result<Self, CoreError> {
        let size = core.size().map_err(|source| CoreError::Read { what: "the size", offset: 0, source })?;
        Ok(Self { core, size })
    }

    /// Fills `buf` from `offset` on and returns how many bytes there were; fewer only at the end of the core.
    pub(crate) fn read(&self, what: &'static str, offset: u64, buf: &mut [u8]) -> Result<usize, CoreError> {
        let length = buf.len().min(usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX));
        let mut done = 0;
        while let Some(rest) = buf.get_mut(done..length).filter(|rest| !rest.is_empty()) {
            match self.core.read_at(offset.saturating_add(done as u64), rest) {
                Ok(0) => break,
                Ok(count) => done += count.min(rest.len()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(CoreError::Read { what, offset, source }),
            }
        }
        Ok(done)
    }

    /// At most `length` bytes from `offset` on; fewer only at the end of the core. `length` must be bounded.
    pub(crate) fn bytes(&self, what: &'static str, offset: u64, length: usize) -> Result<Vec<u8>, CoreError> {
        let length = length.min(usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX));
        let mut bytes = vec![0; length];
        let count = self.read(what, offset, &mut bytes)?;
        bytes.truncate(count);
        Ok(bytes)
    }
}

/// Reads small neighbouring pieces with few calls: keeps the block that was read last.
pub(crate) struct Window<'a> {
    source: Source<'a>,
    what: &'static str,
    block_bytes: usize,
    start: u64,
    bytes: Vec<u8>,
}

impl<'a> Window<'a> {
    pub(crate) fn new(source: Source<'a>, what: &'static str, block_bytes: usize) -> Self {
        Self { source, what, block_bytes, start: 0, bytes: Vec::new() }
    }

    /// At most `length` bytes from `offset` on; fewer only at the end of the core.
    pub(crate) fn get(&mut self, offset: u64, length: usize) -> Result<&[u8], CoreError> {
        let held = self.start..=self.start.saturating_add(self.bytes.len() as u64);
        if !(held.contains(&offset) && held.contains(&offset.saturating_add(length as u64))) {
            self.bytes = self.source.bytes(self.what, offset, length.max(self.block_bytes))?;
            self.start = offset;
        }
        let from = usize::try_from(offset - self.start).unwrap_or(usize::MAX);
        let rest = self.bytes.get(from..).unwrap_or_default();
        Ok(rest.get(..length).unwrap_or(rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_stops_at_the_end_and_never_wraps() {
        let bytes: Vec<u8> = (0..100).collect();
        let source = Source::new(&bytes).unwrap();
        let cases = [(0, 10, 10), (95, 10, 5), (100, 10, 0), (u64::MAX, 10, 0), (u64::MAX - 3, 10, 0)];
        for (offset, length, want) in cases {
            let got = source.bytes("test", offset, length).unwrap();
            assert_eq!(got.len(), want, "offset {offset}");
            let mut window = Window::new(source, "test", 16);
            assert_eq!(window.get(offset, length).unwrap(), got, "offset {offset}");
        }
    }

    #[test]
    fn a_window_gives_the_same_bytes_in_any_order() {
        let bytes: Vec<u8> = (0..=255).collect();
        let source = Source::new(&bytes).unwrap();
        let mut window = Window::new(source, "test", 16);
        for (offset, length) in [(0_u8, 4_u8), (4, 12), (14, 8), (200, 40), (3, 1), (250, 5)] {
            let want: Vec<u8> = (offset..offset + length).collect();
            assert_eq!(window.get(offset.into(), length.into()).unwrap(), want);
        }
    }
}

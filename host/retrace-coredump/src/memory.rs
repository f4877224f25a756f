use std::{cell::Cell, fmt};

use crate::source::Source;

/// The memory of the process, as far as the core holds it.
pub(crate) struct Memory<'a> {
    source: Source<'a>,
    /// By address.
    areas: Vec<Area>,
    /// Bytes that may still be read.
    budget: Cell<u64>,
}

/// A PT_LOAD segment of the core.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Area {
    pub(crate) address: u64,
    pub(crate) size: u64,
    /// Offset in the core of the bytes that were dumped.
    pub(crate) offset: u64,
    /// How many bytes were dumped; they start at `address`.
    pub(crate) dumped: u64,
    pub(crate) executable: bool,
}

/// Why a piece of the process's memory cannot be read from the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// The process had nothing mapped there.
    NotMapped,
    /// The kernel left it out, as `/proc/PID/coredump_filter` asked (core(5)).
    NotDumped,
    /// It would lie behind the end of the truncated core.
    CutOff,
    /// [`Limits::max_memory_bytes`](crate::Limits::max_memory_bytes) is used up.
    Limit,
    /// The operating system could not read that part of the core.
    ReadFailed,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotMapped => "not mapped",
            Self::NotDumped => "not dumped (see coredump_filter in core(5))",
            Self::CutOff => "behind the end of the truncated core",
            Self::Limit => "beyond the limit on memory read from the core",
            Self::ReadFailed => "unreadable on the disk that holds the core",
        })
    }
}

/// What a single read costs at least, so that many tiny reads are bounded too.
const MIN_COST_BYTES: u64 = 512;

impl<'a> Memory<'a> {
    pub(crate) fn new(source: Source<'a>, mut areas: Vec<Area>, budget_bytes: u64) -> Self {
        areas.sort_unstable_by_key(|area| area.address);
        Self { source, areas, budget: Cell::new(budget_bytes) }
    }

    /// Exactly `length` bytes from `address` on. `length` must be bounded.
    pub(crate) fn read(&self, address: u64, length: usize) -> Result<Vec<u8>, Missing> {
        match self.read_prefix(address, length) {
            (_, Some(missing)) => Err(missing),
            (bytes, None) => Ok(bytes),
        }
    }

    /// The bytes up to the first NUL, which is not among them, or up to `limit`.
    pub(crate) fn read_string(&self, address: u64, limit: usize) -> Result<Vec<u8>, Missing> {
        const STEP_BYTES: usize = 256;
        let mut text = Vec::new();
        loop {
            let from = address.checked_add(text.len() as u64).ok_or(Missing::NotMapped)?;
            let (bytes, missing) = self.read_prefix(from, STEP_BYTES);
            if let Some(end) = bytes.iter().position(|byte| *byte == 0) {
                text.extend(bytes.into_iter().take(end));
                return Ok(text);
            }
            text.extend(bytes);
            match missing {
                Some(missing) => return Err(missing),
                None if text.len() >= limit => return Ok(text),
                None => {}
            }
        }
    }

    /// True if the process could run code at this address.
    pub(crate) fn is_executable(&self, address: u64) -> bool {
        self.area(address).is_some_and(|area| area.executable)
    }

    /// Address behind the area that holds this one.
    pub(crate) fn area_end(&self, address: u64) -> Option<u64> {
        self.area(address).map(|area| area.address.saturating_add(area.size))
    }

    /// The bytes from `address` on that can be had without a gap, and why there are fewer than `length`.
    pub(crate) fn read_prefix(&self, address: u64, length: usize) -> (Vec<u8>, Option<Missing>) {
        let mut bytes = vec![0; length];
        let mut done = 0;
        while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match address.checked_add(done as u64).ok_or(Missing::NotMapped).and_then(|at| self.read_area(at, rest)) {
                Ok(count) => done += count,
                Err(missing) => {
                    bytes.truncate(done);
                    return (bytes, Some(missing));
                }
            }
        }
        (bytes, None)
    }

    /// Fills `buf` as far as the area that holds `address` goes; at least one byte.
    fn read_area(&self, address: u64, buf: &mut [u8]) -> Result<usize, Missing> {
        let area = self.area(address).ok_or(Missing::NotMapped)?;
        let skip = address - area.address;
        let dumped = area.dumped.checked_sub(skip).filter(|dumped| *dumped > 0).ok_or(Missing::NotDumped)?;
        let offset = area.offset.checked_add(skip).ok_or(Missing::CutOff)?;
        let length = buf.len().min(usize::try_from(dumped).unwrap_or(usize::MAX));
        let buf = buf.get_mut(..length).unwrap_or_default();
        let cost = MIN_COST_BYTES.max(length as u64);
        self.budget.set(self.budget.get().checked_sub(cost).ok_or(Missing::Limit)?);
        match self.source.read("the memory of the process", offset, buf) {
            Ok(count) if count == buf.len() => Ok(count),
            Ok(_) => Err(Missing::CutOff),
            Err(_) => Err(Missing::ReadFailed),
        }
    }

    /// The area that holds the address. Areas of a genuine core do not overlap.
    fn area(&self, address: u64) -> Option<&Area> {
        let behind = self.areas.partition_point(|area| area.address <= address);
        let area = self.areas.get(behind.checked_sub(1)?)?;
        (address - area.address < area.size).then_some(area)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two neighbouring areas, one of which was dumped in part, and one that the end of the core cut off.
    fn with_memory<T>(budget: u64, test: impl FnOnce(&Memory<'_>) -> T) -> T {
        let core: Vec<u8> = (0..100).collect();
        let area = |address, size, offset, dumped| Area { address, size, offset, dumped, executable: false };
        let areas = vec![area(0x2000, 16, 50, 8), area(0x1ff0, 16, 10, 16), area(0x3000, 16, 90, 16)];
        test(&Memory::new(Source::new(&core).unwrap(), areas, budget))
    }

    #[test]
    fn reads_cross_areas_and_say_why_they_end() {
        let cases = [
            (0x1ff0, 4, Ok(vec![10, 11, 12, 13])),
            (0x1ffe, 4, Ok(vec![24, 25, 50, 51])),
            (0x2006, 3, Err(Missing::NotDumped)),
            (0x2010, 1, Err(Missing::NotMapped)),
            (0x1000, 1, Err(Missing::NotMapped)),
            (0x3000, 10, Ok((90..100).collect())),
            (0x3000, 11, Err(Missing::CutOff)),
            (u64::MAX, 2, Err(Missing::NotMapped)),
        ];
        for (address, length, want) in cases {
            assert_eq!(with_memory(1 << 20, |memory| memory.read(address, length)), want, "{address:#x} {length}");
        }
    }

    #[test]
    fn the_budget_bounds_small_reads_too() {
        let reads = with_memory(10 * MIN_COST_BYTES, |memory| {
            (0..100).take_while(|_| memory.read(0x1ff0, 1) != Err(Missing::Limit)).count()
        });
        assert_eq!(reads, 10);
    }

    #[test]
    fn a_string_ends_at_nul_or_at_the_limit() {
        let mut core = b"path\0".to_vec();
        core.resize(1000, b'x');
        let areas = vec![Area { address: 0, size: 1000, offset: 0, dumped: 1000, executable: true }];
        let memory = Memory::new(Source::new(&core).unwrap(), areas, 1 << 20);
        assert_eq!(memory.read_string(0, 512), Ok(b"path".to_vec()));
        assert_eq!(memory.read_string(5, 512).map(|text| text.len()), Ok(512));
        assert_eq!(memory.read_string(900, 512), Err(Missing::NotMapped), "no NUL before the end");
    }
}

use std::io;

use crate::{CoreError, Limits, Missing, ReadAt, elf::Header, memory::Area, remarks::Remarks, segments::Segments};

/// The memory of the process, as far as the core holds it: what a stack walker reads from. Threads may share it.
///
/// Reads cost one call of the system each: who reads words one after the other keeps the block that they lie in.
pub struct ProcessMemory<'a> {
    core: &'a (dyn ReadAt + Sync),
    size: u64,
    /// By address.
    areas: Vec<Area>,
}

impl std::fmt::Debug for ProcessMemory<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProcessMemory").field("size", &self.size).field("areas", &self.areas.len()).finish()
    }
}

impl<'a> ProcessMemory<'a> {
    /// Reads the program headers of a core.
    ///
    /// # Errors
    /// It is no core, or it cannot be read.
    pub fn of(core: &'a (impl ReadAt + Sync), limits: &Limits) -> Result<Self, CoreError> {
        let source = crate::source::Source::new(core)?;
        let start = source.bytes("the ELF header", 0, Header::MAX_BYTES)?;
        let header = Header::parse(&start).ok_or(CoreError::Header("its class, byte order or version is unknown"))?;
        let mut areas = Segments::read(source, &header, limits, &mut Remarks::default())?.memory;
        areas.sort_unstable_by_key(|area| area.address);
        Ok(Self { core, size: source.size, areas })
    }

    /// Fills the beginning of `into` with the memory from `address` on, and returns how many bytes there were: at least
    /// one, fewer than asked for at the end of an area.
    ///
    /// # Errors
    /// Why there is none.
    pub fn read(&self, address: u64, into: &mut [u8]) -> Result<usize, Missing> {
        let area = self.area(address).ok_or(Missing::NotMapped)?;
        let skip = address - area.address;
        let dumped = area.dumped.checked_sub(skip).filter(|dumped| *dumped > 0).ok_or(Missing::NotDumped)?;
        let offset = area.offset.checked_add(skip).ok_or(Missing::CutOff)?;
        let held = dumped.min(self.size.checked_sub(offset).filter(|held| *held > 0).ok_or(Missing::CutOff)?);
        let length = into.len().min(usize::try_from(held).unwrap_or(usize::MAX));
        let into = into.get_mut(..length).unwrap_or_default();
        let mut done = 0;
        while let Some(rest) = into.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.core.read_at(offset.saturating_add(done as u64), rest) {
                Ok(0) => break,
                Ok(count) => done += count.min(rest.len()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(Missing::ReadFailed),
            }
        }
        if done == 0 && length > 0 { Err(Missing::CutOff) } else { Ok(done) }
    }

    /// True if the process had something mapped there.
    #[must_use]
    pub fn is_mapped(&self, address: u64) -> bool {
        self.area(address).is_some()
    }

    /// True if the process could run code at this address.
    #[must_use]
    pub fn is_executable(&self, address: u64) -> bool {
        self.area(address).is_some_and(|area| area.executable)
    }

    /// The area that holds the address. Areas of a genuine core do not overlap.
    fn area(&self, address: u64) -> Option<&Area> {
        let behind = self.areas.partition_point(|area| area.address <= address);
        let area = self.areas.get(behind.checked_sub(1)?)?;
        (address - area.address < area.size).then_some(area)
    }
}

//! The units of a debug file and of its supplementary file (dwz), parsed when something refers to them.

use std::{collections::HashMap, sync::OnceLock};

use gimli::{DebugInfoOffset, Dwarf, Unit, UnitHeader, UnitOffset, UnitSectionOffset, UnitType};

use super::Reader;

/// Most units that a file may have; what lies behind them is not found. A large C++ program has some 10 000.
const MAX_UNITS: usize = 1 << 20;
/// Most entries of a unit that are looked at for the scopes of its names.
const MAX_SCOPE_ENTRIES: usize = 1 << 23;

/// The units of one debug file. Threads may share it; a unit is parsed once.
pub struct Units<'i> {
    main: File<'i>,
    supplementary: Option<File<'i>>,
}

/// One section `.debug_info` with its neighbours.
pub(crate) struct File<'i> {
    dwarf: &'i Dwarf<Reader<'i>>,
    units: OnceLock<Vec<Slot<'i>>>,
    /// Units of `.debug_types` (DWARF 4).
    type_units: OnceLock<Vec<Slot<'i>>>,
    signatures: OnceLock<HashMap<u64, Place>>,
    scopes: OnceLock<HashMap<UnitSectionOffset, OnceLock<Scopes>>>,
}

/// A unit, by its offset in its section.
struct Slot<'i> {
    start: usize,
    header: UnitHeader<Reader<'i>>,
    unit: OnceLock<Option<Unit<Reader<'i>>>>,
}

/// Where the type of a signature is.
#[derive(Clone, Copy)]
struct Place {
    /// In `.debug_types`, else in `.debug_info`.
    old: bool,
    index: usize,
    offset: UnitOffset,
}

/// Entry and the entry that encloses it, for the entries that give names a scope; by offset.
pub(crate) type Scopes = Vec<(UnitOffset, UnitOffset)>;

impl<'i> Units<'i> {
    /// Of this debug information, with the supplementary file that is attached to it.
    #[must_use]
    pub fn new(dwarf: &'i Dwarf<Reader<'i>>) -> Self {
        Self { main: File::new(dwarf), supplementary: dwarf.sup().map(File::new) }
    }

    /// The unit that holds this offset of `.debug_info`, and the offset in it. None if there is none.
    #[must_use]
    pub fn at(&self, offset: DebugInfoOffset) -> Option<(&Unit<Reader<'i>>, UnitOffset)> {
        self.main.at(offset)
    }

    /// The unit whose header is at this offset of `.debug_info`.
    pub(crate) fn starting_at(&self, start: DebugInfoOffset) -> Option<&Unit<Reader<'i>>> {
        let units = self.main.units();
        let index = units.binary_search_by_key(&start.0, |slot| slot.start).ok()?;
        self.main.unit(units.get(index)?)
    }

    /// The debug information that these are the units of.
    #[must_use]
    pub fn dwarf(&self) -> &'i Dwarf<Reader<'i>> {
        self.main.dwarf
    }

    pub(crate) fn main(&self) -> &File<'i> {
        &self.main
    }

    pub(crate) fn supplementary(&self) -> Option<&File<'i>> {
        self.supplementary.as_ref()
    }
}

impl<'i> File<'i> {
    fn new(dwarf: &'i Dwarf<Reader<'i>>) -> Self {
        Self {
            dwarf,
            units: OnceLock::new(),
            type_units: OnceLock::new(),
            signatures: OnceLock::new(),
            scopes: OnceLock::new(),
        }
    }

    pub(crate) fn dwarf(&self) -> &'i Dwarf<Reader<'i>> {
        self.dwarf
    }

    pub(crate) fn at(&self, offset: DebugInfoOffset) -> Option<(&Unit<Reader<'i>>, UnitOffset)> {
        let units = self.units();
        let behind = units.partition_point(|slot| slot.start <= offset.0);
        let slot = units.get(behind.checked_sub(1)?)?;
        let within = offset.to_unit_offset(&slot.header)?;
        Some((self.unit(slot)?, within))
    }

    /// The type of a signature (`DW_FORM_ref_sig8`).
    pub(crate) fn signed(&self, signature: u64) -> Option<(&Unit<Reader<'i>>, UnitOffset)> {
        let place = self.signatures.get_or_init(|| self.read_signatures()).get(&signature)?;
        let units = if place.old { self.type_units() } else { self.units() };
        Some((self.unit(units.get(place.index)?)?, place.offset))
    }

    /// The scopes of a unit, read once: DWARF has no way from an entry to the one that encloses it.
    pub(crate) fn scopes(&self, unit: &Unit<Reader<'i>>) -> &[(UnitOffset, UnitOffset)] {
        let all = self.scopes.get_or_init(|| {
            let units = self.units().iter().chain(self.type_units());
            units.map(|slot| (slot.header.offset(), OnceLock::new())).collect()
        });
        let scopes = all.get(&unit.header.offset()).map(|scopes| scopes.get_or_init(|| read_scopes(unit)).as_slice());
        scopes.unwrap_or_default()
    }

    fn units(&self) -> &[Slot<'i>] {
        self.units.get_or_init(|| {
            let mut headers = self.dwarf.units();
            let headers = std::iter::from_fn(|| headers.next().ok().flatten()).take(MAX_UNITS);
            headers.filter_map(|header| Some(Slot::new(header.debug_info_offset()?.0, header))).collect()
        })
    }

    fn type_units(&self) -> &[Slot<'i>] {
        self.type_units.get_or_init(|| {
            let mut headers = self.dwarf.type_units();
            let headers = std::iter::from_fn(|| headers.next().ok().flatten()).take(MAX_UNITS);
            headers.filter_map(|header| Some(Slot::new(header.debug_types_offset()?.0, header))).collect()
        })
    }

    fn read_signatures(&self) -> HashMap<u64, Place> {
        let sections = [(false, self.units()), (true, self.type_units())];
        let all = sections.into_iter().flat_map(|(old, units)| {
            units.iter().enumerate().filter_map(move |(index, slot)| match slot.header.type_() {
                UnitType::Type { type_signature, type_offset }
                | UnitType::SplitType { type_signature, type_offset } => {
                    Some((type_signature.0, Place { old, index, offset: type_offset }))
                }
                _ => None,
            })
        });
        all.collect()
    }

    fn unit<'a>(&self, slot: &'a Slot<'i>) -> Option<&'a Unit<Reader<'i>>> {
        slot.unit.get_or_init(|| self.dwarf.unit(slot.header).ok()).as_ref()
    }
}

impl<'i> Slot<'i> {
    fn new(start: usize, header: UnitHeader<Reader<'i>>) -> Self {
        Self { start, header, unit: OnceLock::new() }
    }
}

/// One pass over the unit. Entries are in the order of their offsets.
fn read_scopes(unit: &Unit<Reader<'_>>) -> Scopes {
    let mut scopes = Vec::new();
    let mut open: Vec<(isize, UnitOffset)> = Vec::new();
    let Ok(mut entries) = unit.entries_raw(None) else { return scopes };
    for _ in 0..MAX_SCOPE_ENTRIES {
        if entries.is_empty() {
            break;
        }
        let (depth, offset) = (entries.next_depth(), entries.next_offset());
        let Ok(abbreviation) = entries.read_abbreviation() else { break };
        let Some(abbreviation) = abbreviation else { continue };
        if entries.skip_attributes(abbreviation.attributes()).is_err() {
            break;
        }
        while open.last().is_some_and(|(outer, _)| *outer >= depth) {
            open.pop();
        }
        if gives_scope(abbreviation.tag()) {
            if let Some((_, outer)) = open.last() {
                scopes.push((offset, *outer));
            }
            if abbreviation.has_children() {
                open.push((depth, offset));
            }
        }
    }
    scopes
}

fn gives_scope(tag: gimli::DwTag) -> bool {
    matches!(
        tag,
        gimli::DW_TAG_compile_unit
            | gimli::DW_TAG_type_unit
            | gimli::DW_TAG_partial_unit
            | gimli::DW_TAG_namespace
            | gimli::DW_TAG_module
            | gimli::DW_TAG_structure_type
            | gimli::DW_TAG_class_type
            | gimli::DW_TAG_union_type
            | gimli::DW_TAG_enumeration_type
            | gimli::DW_TAG_interface_type
            | gimli::DW_TAG_subprogram
    )
}

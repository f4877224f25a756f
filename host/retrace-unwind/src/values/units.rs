//! The units of a debug file, of its supplementary file (dwz) and of its split files, parsed when something refers to
//! them.

use std::{collections::HashMap, ops::Deref, path::PathBuf, sync::OnceLock};

use gimli::{DebugInfoOffset, Dwarf, DwoId, Section as _, Unit, UnitHeader, UnitOffset, UnitSectionOffset, UnitType};

use super::Reader;

/// Most units that a file may have; what lies behind them is not found. A large C++ program has some 10 000.
const MAX_UNITS: usize = 1 << 20;
/// Most entries of a unit that are looked at for the scopes of its names.
const MAX_SCOPE_ENTRIES: usize = 1 << 23;

/// The units of one debug file. Threads may share it; a unit is parsed once.
pub struct Units<'i> {
    main: File<'i>,
    supplementary: Option<File<'i>>,
    /// Of each skeleton the file with the rest of its unit, by what they have in common.
    splits: OnceLock<HashMap<DwoId, OnceLock<Option<File<'i>>>>>,
    open_split: Option<OpenSplit<'i>>,
}

/// Opens the debug information that a skeleton refers to.
pub(crate) type OpenSplit<'i> = Box<dyn Fn(&Skeleton<'_, 'i>) -> Option<Dwarf<Reader<'i>>> + Send + Sync + 'i>;

/// A unit whose entries are in another file (DWARF 5 section 3.1.2, and GNU's extension of DWARF 4 before it).
pub(crate) struct Skeleton<'a, 'i> {
    pub(crate) id: DwoId,
    /// Where the compiler wrote the other file.
    pub(crate) path: Option<PathBuf>,
    /// The debug information that the skeleton is of.
    pub(crate) parent: &'a Dwarf<Reader<'i>>,
    /// Of all skeletons of the file.
    pub(crate) all: Vec<DwoId>,
}

/// Debug information that is another's or one's own.
enum Held<'i> {
    Borrowed(&'i Dwarf<Reader<'i>>),
    Owned(Box<Dwarf<Reader<'i>>>),
}

impl<'i> Deref for Held<'i> {
    type Target = Dwarf<Reader<'i>>;

    fn deref(&self) -> &Dwarf<Reader<'i>> {
        match self {
            Self::Borrowed(dwarf) => dwarf,
            Self::Owned(dwarf) => dwarf,
        }
    }
}

/// What a split unit takes from its skeleton.
struct Relocated {
    low_pc: u64,
    addr_base: gimli::DebugAddrBase,
    rnglists_base: gimli::DebugRngListsBase,
}

/// One section `.debug_info` with its neighbours.
pub(crate) struct File<'i> {
    dwarf: Held<'i>,
    /// Of a split file.
    relocated: Option<Relocated>,
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
        let supplementary = dwarf.sup().map(|dwarf| File::new(Held::Borrowed(dwarf), None));
        let main = File::new(Held::Borrowed(dwarf), None);
        Self { main, supplementary, splits: OnceLock::new(), open_split: None }
    }

    /// The same, with what opens its split files.
    pub(crate) fn with_splits(dwarf: &'i Dwarf<Reader<'i>>, open_split: OpenSplit<'i>) -> Self {
        Self { open_split: Some(open_split), ..Self::new(dwarf) }
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

    /// The same, with its entries: of a skeleton the split unit, where its file is found.
    pub(crate) fn whole_at(&self, start: DebugInfoOffset) -> Option<&Unit<Reader<'i>>> {
        let unit = self.starting_at(start)?;
        Some(self.split_of(unit).unwrap_or(unit))
    }

    fn split_of(&self, skeleton: &Unit<Reader<'i>>) -> Option<&Unit<Reader<'i>>> {
        let (id, open) = (skeleton.dwo_id?, self.open_split.as_ref()?);
        let splits = self.splits.get_or_init(|| {
            let ids = self.main.units().iter().filter_map(|slot| self.main.skeleton(slot));
            ids.map(|id| (id, OnceLock::new())).collect()
        });
        let file = splits.get(&id)?.get_or_init(|| {
            let all = splits.keys().copied().collect();
            let path = split_path(&self.main.dwarf, skeleton);
            let dwarf = open(&Skeleton { id, path, parent: &self.main.dwarf, all })?;
            let Unit { low_pc, addr_base, rnglists_base, .. } = *skeleton;
            Some(File::new(Held::Owned(Box::new(dwarf)), Some(Relocated { low_pc, addr_base, rnglists_base })))
        });
        let file = file.as_ref()?;
        file.units().iter().filter_map(|slot| file.unit(slot)).find(|unit| unit.dwo_id == Some(id))
    }

    /// The file that a unit is of.
    pub(crate) fn file_of(&self, unit: &Unit<Reader<'i>>) -> &File<'i> {
        let split = unit.dwo_id.and_then(|id| self.splits.get()?.get(&id)?.get()?.as_ref());
        split.unwrap_or(&self.main)
    }

    /// The debug information that these are the units of.
    #[must_use]
    pub fn dwarf(&self) -> &Dwarf<Reader<'i>> {
        &self.main.dwarf
    }

    pub(crate) fn supplementary(&self) -> Option<&File<'i>> {
        self.supplementary.as_ref()
    }
}

impl<'i> File<'i> {
    fn new(dwarf: Held<'i>, relocated: Option<Relocated>) -> Self {
        Self {
            dwarf,
            relocated,
            units: OnceLock::new(),
            type_units: OnceLock::new(),
            signatures: OnceLock::new(),
            scopes: OnceLock::new(),
        }
    }

    pub(crate) fn dwarf(&self) -> &Dwarf<Reader<'i>> {
        &self.dwarf
    }

    /// What a unit has in common with the file that it is the skeleton of.
    fn skeleton(&self, slot: &Slot<'i>) -> Option<DwoId> {
        match slot.header.type_() {
            UnitType::Skeleton(id) => Some(id),
            // GNU's extension of DWARF 4 has no other kind of unit for it; its addresses are in a section of its own.
            UnitType::Compilation if slot.header.version() == 4 && !self.dwarf.debug_addr.reader().is_empty() => {
                self.unit(slot)?.dwo_id
            }
            _ => None,
        }
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
        let read = || {
            let mut unit = self.dwarf.unit(slot.header).ok()?;
            if let Some(relocated) = &self.relocated {
                unit.low_pc = relocated.low_pc;
                unit.addr_base = relocated.addr_base;
                if unit.header.version() < 5 {
                    unit.rnglists_base = relocated.rnglists_base;
                }
            }
            Some(unit)
        };
        slot.unit.get_or_init(read).as_ref()
    }
}

/// Where the compiler wrote the file of a split unit.
fn split_path<'i>(dwarf: &Dwarf<Reader<'i>>, skeleton: &Unit<Reader<'i>>) -> Option<PathBuf> {
    let name = dwarf.attr_string(skeleton, skeleton.dwo_name().ok()??).ok()?.to_string_lossy();
    let folder = skeleton.comp_dir.map(|folder| PathBuf::from(&*folder.to_string_lossy()));
    Some(folder.unwrap_or_default().join(&*name))
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

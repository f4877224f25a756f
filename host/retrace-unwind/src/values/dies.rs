//! An entry of the debug information with what is needed to follow its references.

use std::cell::Cell;

use gimli::{
    AttributeValue, DebuggingInformationEntry, DwAt, DwTag, Expression, Unit, UnitHeader, UnitOffset, UnitSectionOffset,
};

use super::{
    Function, Reader,
    units::{File, Units},
};

/// An entry's attributes.
pub(crate) type Entry<'i> = DebuggingInformationEntry<Reader<'i>>;
/// The value of an attribute.
pub(crate) type Attribute<'i> = AttributeValue<Reader<'i>>;

/// How often `DW_AT_abstract_origin` and `DW_AT_specification` are followed: three times in real files.
const MAX_ORIGINS: usize = 8;
/// How many enclosing scopes a name may have.
const MAX_SCOPES: usize = 32;

/// Work that the variables of one frame may cost. What the debug information asks for beyond is left out.
pub(crate) struct Budget {
    left: Cell<u64>,
}

impl Budget {
    pub(crate) fn new(work: u64) -> Self {
        Self { left: Cell::new(work) }
    }

    /// False if it is used up.
    pub(crate) fn take(&self, work: u64) -> bool {
        let left = self.left.get().checked_sub(work);
        self.left.set(left.unwrap_or(0));
        left.is_some()
    }

    pub(crate) fn is_used_up(&self) -> bool {
        self.left.get() == 0
    }
}

/// A place in the debug information.
#[derive(Clone, Copy)]
pub(crate) struct Die<'a, 'i> {
    units: &'a Units<'i>,
    file: &'a File<'i>,
    unit: &'a Unit<Reader<'i>>,
    offset: UnitOffset,
}

/// What makes two places the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct DieId {
    file: usize,
    section: UnitSectionOffset,
}

impl<'a, 'i> Die<'a, 'i> {
    pub(crate) fn new(function: Function<'a, 'i>) -> Self {
        Self {
            units: function.units,
            file: function.units.file_of(function.unit),
            unit: function.unit,
            offset: function.offset,
        }
    }

    /// Another entry of the same unit.
    pub(crate) fn sibling(self, offset: UnitOffset) -> Self {
        Self { offset, ..self }
    }

    /// The entry of the unit itself.
    pub(crate) fn root(self) -> Self {
        self.sibling(self.unit.header.root_offset())
    }

    /// The entry of another unit of the same file.
    pub(crate) fn root_of(self, header: &UnitHeader<Reader<'i>>) -> Option<Self> {
        let offset = header.root_offset().to_debug_info_offset(header)?;
        self.follow(&AttributeValue::DebugInfoRef(offset))
    }

    pub(crate) fn unit(self) -> &'a Unit<Reader<'i>> {
        self.unit
    }

    pub(crate) fn file(self) -> &'a File<'i> {
        self.file
    }

    pub(crate) fn offset(self) -> UnitOffset {
        self.offset
    }

    pub(crate) fn id(self) -> DieId {
        let file = std::ptr::from_ref(self.file).addr();
        DieId { file, section: self.offset.to_unit_section_offset(&self.unit.header) }
    }

    pub(crate) fn entry(self, budget: &Budget) -> Option<Entry<'i>> {
        if !budget.take(2) {
            return None;
        }
        self.unit.entry(self.offset).ok()
    }

    /// The entries right below this one, in order; those that the budget or a broken unit cut off are missing.
    pub(crate) fn children(self, budget: &Budget) -> Vec<(Self, Entry<'i>)> {
        let mut children = Vec::new();
        let Ok(mut entries) = self.unit.entries_raw(Some(self.offset)) else { return children };
        let mut entry = Entry::null();
        if !entries.read_entry(&mut entry).unwrap_or(false) || !entry.has_children() {
            return children;
        }
        let mut level = 1;
        while !entries.is_empty() && entries.next_depth() >= level {
            let mut entry = Entry::null();
            let direct = entries.next_depth() == level;
            match entries.read_entry(&mut entry) {
                Err(_) => break,
                Ok(_) if !budget.take(1 + entry.attrs().len() as u64 / 8) => break,
                Ok(false) => continue,
                Ok(true) => {}
            }
            if !direct {
                continue;
            }
            if entry.has_children()
                && let Some(AttributeValue::UnitRef(next)) = entry.attr_value(gimli::DW_AT_sibling)
                && next.0 > entries.next_offset().0
                && let Ok(behind) = self.unit.entries_raw(Some(next))
            {
                entries = behind;
                level = 0;
            }
            children.push((self.sibling(entry.offset()), entry));
        }
        children
    }

    /// The entry that an attribute of an entry of this unit refers to.
    pub(crate) fn follow(self, value: &Attribute<'i>) -> Option<Self> {
        let (file, (unit, offset)) = match value {
            AttributeValue::UnitRef(offset) => (self.file, (self.unit, *offset)),
            AttributeValue::DebugInfoRef(offset) => (self.file, self.file.at(*offset)?),
            AttributeValue::DebugInfoRefSup(offset) => {
                let file = self.units.supplementary()?;
                (file, file.at(*offset)?)
            }
            AttributeValue::DebugTypesRef(signature) => (self.file, self.file.signed(signature.0)?),
            _ => return None,
        };
        Some(Self { units: self.units, file, unit, offset })
    }

    /// The entry that `name` of `entry`, which is this one, refers to.
    pub(crate) fn reference(self, entry: &Entry<'i>, name: DwAt) -> Option<Self> {
        self.follow(&entry.attr_value(name)?)
    }

    /// An attribute of the entry, else of those that it is an instance of, with the entry that has it.
    /// Source: DWARF 5, 3.3.8.2 and 2.13.2.
    pub(crate) fn inherited(self, entry: &Entry<'i>, name: DwAt, budget: &Budget) -> Option<(Self, Attribute<'i>)> {
        if let Some(value) = entry.attr_value(name) {
            return Some((self, value));
        }
        let mut die = self.origin(entry)?;
        for _ in 0..MAX_ORIGINS {
            let entry = die.entry(budget)?;
            if let Some(value) = entry.attr_value(name) {
                return Some((die, value));
            }
            die = die.origin(&entry)?;
        }
        None
    }

    /// The entry that this one is an instance of or completes.
    pub(crate) fn origin(self, entry: &Entry<'i>) -> Option<Self> {
        let origin = self.reference(entry, gimli::DW_AT_abstract_origin);
        origin.or_else(|| self.reference(entry, gimli::DW_AT_specification))
    }

    /// Text of an attribute's value; bytes that are not UTF-8 are replaced.
    pub(crate) fn text(self, value: Attribute<'i>) -> Option<String> {
        let text = self.file.dwarf().attr_string(self.unit, value).ok()?;
        Some(text.to_string_lossy().into_owned())
    }

    /// `DW_AT_name`, inherited.
    pub(crate) fn name(self, entry: &Entry<'i>, budget: &Budget) -> Option<String> {
        let (die, value) = self.inherited(entry, gimli::DW_AT_name, budget)?;
        die.text(value)
    }

    /// The name with the scopes that enclose it: `std::vector<int, std::allocator<int> >`.
    pub(crate) fn qualified_name(self, entry: &Entry<'i>, separator: &str, budget: &Budget) -> Option<String> {
        let mut name = self.name(entry, budget)?;
        // A definition outside of its scope: the declaration is in it.
        let declared = self.reference(entry, gimli::DW_AT_specification).unwrap_or(self);
        for scope in declared.enclosing() {
            let Some(entry) = scope.entry(budget) else { break };
            match entry.tag() {
                gimli::DW_TAG_compile_unit
                | gimli::DW_TAG_partial_unit
                | gimli::DW_TAG_type_unit
                | gimli::DW_TAG_subprogram => break,
                // An enumeration is a scope only if it is one of `enum class`.
                gimli::DW_TAG_enumeration_type if !flag(&entry, gimli::DW_AT_enum_class) => continue,
                _ => {}
            }
            let outer = match scope.name(&entry, budget) {
                Some(outer) => outer,
                None if entry.tag() == gimli::DW_TAG_namespace => "(anonymous namespace)".to_owned(),
                // What is in a class without a name, that of a lambda, has no scope that could be told.
                None => break,
            };
            name = format!("{outer}{separator}{name}");
        }
        Some(name)
    }

    /// The entries that enclose this one and give names a scope, the nearest first.
    pub(crate) fn enclosing(self) -> impl Iterator<Item = Self> {
        let scopes = self.file.scopes(self.unit);
        let outer = |offset: UnitOffset| {
            let at = scopes.binary_search_by_key(&offset, |(inner, _)| *inner).ok()?;
            scopes.get(at).map(|(_, outer)| *outer)
        };
        std::iter::successors(outer(self.offset), move |offset| outer(*offset))
            .take(MAX_SCOPES)
            .map(move |offset| self.sibling(offset))
    }

    /// Names of the scopes of a member, the nearest first. A member gives no scope itself: its structure is the last
    /// one before it that has it.
    pub(crate) fn member_scopes(self, budget: &Budget) -> Vec<String> {
        let scopes = self.file.scopes(self.unit);
        let holds = |offset: UnitOffset| {
            self.sibling(offset).children(budget).iter().any(|(child, _)| child.offset == self.offset)
        };
        let before = scopes.partition_point(|(offset, _)| *offset < self.offset);
        let mut nearest = scopes.get(..before).unwrap_or_default().iter().rev().take(MAX_SCOPES);
        let Some((structure, _)) = nearest.find(|(offset, _)| holds(*offset)) else { return Vec::new() };
        let structure = self.sibling(*structure);
        std::iter::once(structure)
            .chain(structure.enclosing())
            .map_while(|die| die.entry(budget).map(|entry| (die, entry)))
            .take_while(|(_, entry)| is_structure(entry.tag()) || entry.tag() == gimli::DW_TAG_namespace)
            .filter_map(|(die, entry)| die.name(&entry, budget))
            .collect()
    }

    /// The expression that an attribute's value is, or the one of its location list that holds at `pc`, an address
    /// of the file.
    pub(crate) fn expression_at(
        self,
        value: Attribute<'i>,
        pc: u64,
        budget: &Budget,
    ) -> Option<Expression<Reader<'i>>> {
        self.expression_until(value, pc, budget).map(|(expression, _)| expression)
    }

    /// The same, and the address behind the last one where it holds.
    pub(crate) fn expression_until(
        self,
        value: Attribute<'i>,
        pc: u64,
        budget: &Budget,
    ) -> Option<(Expression<Reader<'i>>, u64)> {
        if let AttributeValue::Exprloc(expression) = value {
            return Some((expression, u64::MAX));
        }
        let mut list = self.file.dwarf().attr_locations(self.unit, value).ok()??;
        while budget.take(1) {
            let entry = list.next().ok()??;
            if (entry.range.begin..entry.range.end).contains(&pc) {
                return Some((entry.data, entry.range.end));
            }
        }
        None
    }

    /// True if the code of the entry holds `pc`, an address of the file; none if it says nothing of its code.
    pub(crate) fn holds(self, entry: &Entry<'i>, pc: u64, budget: &Budget) -> Option<bool> {
        if !entry.has_attr(gimli::DW_AT_low_pc) && !entry.has_attr(gimli::DW_AT_ranges) {
            return None;
        }
        let mut ranges = self.file.dwarf().die_ranges(self.unit, entry).ok()?;
        while budget.take(1) {
            match ranges.next() {
                Ok(Some(range)) if (range.begin..range.end).contains(&pc) => return Some(true),
                Ok(Some(_)) => {}
                _ => break,
            }
        }
        Some(false)
    }
}

impl<'a, 'i> From<Die<'a, 'i>> for Function<'a, 'i> {
    /// Of an entry of the file itself, not of its supplementary file, which has no code.
    fn from(die: Die<'a, 'i>) -> Self {
        Self { units: die.units, unit: die.unit, offset: die.offset }
    }
}

/// True if a flag is set.
pub(crate) fn flag(entry: &Entry<'_>, name: DwAt) -> bool {
    matches!(entry.attr_value(name), Some(AttributeValue::Flag(true)))
}

/// A constant that cannot be negative.
pub(crate) fn unsigned(entry: &Entry<'_>, name: DwAt) -> Option<u64> {
    entry.attr_value(name)?.udata_value()
}

/// Struct, class, union or interface.
pub(crate) fn is_structure(tag: DwTag) -> bool {
    matches!(
        tag,
        gimli::DW_TAG_structure_type
            | gimli::DW_TAG_class_type
            | gimli::DW_TAG_union_type
            | gimli::DW_TAG_interface_type
    )
}

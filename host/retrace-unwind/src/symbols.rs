//! Names, files and lines of the addresses of one module, with the functions that are inlined there.

mod lines;
mod ranges;

use std::{cell::RefCell, collections::HashMap, rc::Rc};

use gimli::{AttributeValue, DebugInfoOffset, Dwarf, UnitOffset};

use self::{
    lines::Lines,
    ranges::{FunctionRanges, UnitRanges},
};
use crate::{
    demangle::{Style, demangled},
    image::Reader,
    values::{
        Function, Units,
        dies::{Attribute, Budget, Die, Entry},
        units::OpenSplit,
    },
};

/// Work for one address: entries of debug information that are read.
const MAX_WORK: u64 = 4_000_000;
/// Deepest nesting of functions and blocks.
const MAX_DEPTH: usize = 256;

/// The debug information of one module. Units are read when an address lies in them.
pub(crate) struct Symbols<'i> {
    dwarf: &'i Dwarf<Reader<'i>>,
    units: Units<'i>,
    unit_ranges: UnitRanges,
    functions: RefCell<HashMap<usize, Rc<FunctionRanges>>>,
    lines: RefCell<HashMap<usize, Rc<Lines>>>,
}

/// A function at an address: one that is inlined, or the one that has the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entity {
    /// Where its unit is.
    pub(crate) unit: DebugInfoOffset,
    pub(crate) offset: UnitOffset,
}

/// What the source calls an address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Level {
    /// None where there is a line and no function: assembler.
    pub(crate) entity: Option<Entity>,
    pub(crate) function: Option<String>,
    pub(crate) file: Option<String>,
    pub(crate) line: Option<u32>,
    /// It is inlined into the next one.
    pub(crate) inline: bool,
}

impl<'i> Symbols<'i> {
    pub(crate) fn new(dwarf: &'i Dwarf<Reader<'i>>, open_split: OpenSplit<'i>) -> Self {
        Self {
            dwarf,
            units: Units::with_splits(dwarf, open_split),
            unit_ranges: UnitRanges::default(),
            functions: RefCell::default(),
            lines: RefCell::default(),
        }
    }

    /// The functions at an address of the file, the innermost first; none if the debug information does not know it.
    pub(crate) fn at(&self, address: u64) -> Vec<Level> {
        let Some(offset) = self.unit_ranges.find(self.dwarf, address) else { return Vec::new() };
        let Some(unit) = self.units.starting_at(offset) else { return Vec::new() };
        let budget = Budget::new(MAX_WORK);
        let lines = self.lines(offset);
        let location = lines.find(address);
        let mut levels = Vec::new();
        let functions = self.functions(offset);
        if let Some(start) = functions.find(address)
            && let Some(unit) = self.units.whole_at(offset)
        {
            let die = Die::new(Function { units: &self.units, unit, offset: start });
            self.chain(die, address, offset, &budget, &mut levels);
        }
        // From the outermost to the innermost: each call's place is where the next outer function is.
        let mut result: Vec<Level> = Vec::with_capacity(levels.len());
        let mut place = location.map(|(file, line)| (lines.path(self.dwarf, unit, file), line));
        for (level, called_from) in levels.into_iter().rev() {
            let (file, line) = place.take().unzip();
            result.push(Level { file: file.flatten(), line, ..level });
            place = called_from.map(|(file, line)| (lines.path(self.dwarf, unit, file), line));
        }
        if result.is_empty()
            && let Some((file, line)) = location
        {
            result.push(Level { file: lines.path(self.dwarf, unit, file), line: Some(line), ..Level::default() });
        }
        result
    }

    /// The function that has the frame at an address.
    pub(crate) fn outermost(&self, address: u64) -> Option<Entity> {
        let unit = self.unit_ranges.find(self.dwarf, address)?;
        Some(Entity { unit, offset: self.functions(unit).find(address)? })
    }

    /// Where a function begins, an address of the file.
    pub(crate) fn start(&self, entity: Entity) -> Option<u64> {
        let function = self.function(entity)?;
        let die = Die::new(function);
        let dwarf = die.file().dwarf();
        let entry = die.entry(&Budget::new(MAX_WORK))?;
        let names = [gimli::DW_AT_entry_pc, gimli::DW_AT_low_pc];
        let given = names.iter().find_map(|name| entry.attr_value(*name));
        match given.and_then(|value| dwarf.attr_address(function.unit, value).ok().flatten()) {
            Some(address) => Some(address),
            None => Some(dwarf.die_ranges(function.unit, &entry).ok()?.next().ok()??.begin),
        }
    }

    /// The function that [`Symbols::at`] found, for those who read its variables.
    pub(crate) fn function(&self, entity: Entity) -> Option<Function<'_, 'i>> {
        let unit = self.units.whole_at(entity.unit)?;
        Some(Function { units: &self.units, unit, offset: entity.offset })
    }

    fn functions(&self, unit: DebugInfoOffset) -> Rc<FunctionRanges> {
        let mut known = self.functions.borrow_mut();
        let read = || {
            let unit = self.units.whole_at(unit);
            unit.map(|unit| FunctionRanges::read(self.units.file_of(unit).dwarf(), unit)).unwrap_or_default()
        };
        Rc::clone(known.entry(unit.0).or_insert_with(|| Rc::new(read())))
    }

    fn lines(&self, unit: DebugInfoOffset) -> Rc<Lines> {
        let mut known = self.lines.borrow_mut();
        let read = || self.units.starting_at(unit).map(Lines::read).unwrap_or_default();
        Rc::clone(known.entry(unit.0).or_insert_with(|| Rc::new(read())))
    }

    /// The function and those inlined into it around the address, the outermost first, each with the place of its call.
    fn chain<'a>(
        &'a self,
        function: Die<'a, 'i>,
        address: u64,
        unit: DebugInfoOffset,
        budget: &Budget,
        levels: &mut Vec<(Level, Option<(u64, u32)>)>,
    ) {
        let Some(entry) = function.entry(budget) else { return };
        let level = |die: Die<'a, 'i>, entry: &Entry<'i>, inline| Level {
            entity: Some(Entity { unit, offset: die.offset() }),
            function: name(die, entry, budget),
            inline,
            ..Level::default()
        };
        levels.push((level(function, &entry, false), None));
        let mut current = function;
        'down: for _ in 0..MAX_DEPTH {
            for (child, entry) in current.children(budget) {
                let is_inlined = entry.tag() == gimli::DW_TAG_inlined_subroutine;
                let is_block = matches!(
                    entry.tag(),
                    gimli::DW_TAG_lexical_block | gimli::DW_TAG_try_block | gimli::DW_TAG_catch_block
                );
                if !(is_inlined || is_block) || child.holds(&entry, address, budget) == Some(false) {
                    continue;
                }
                if is_inlined {
                    if child.holds(&entry, address, budget).is_none() {
                        continue;
                    }
                    let number = |name| unsigned(entry.attr_value(name));
                    let line = number(gimli::DW_AT_call_line).and_then(|line| u32::try_from(line).ok());
                    levels.push((level(child, &entry, true), number(gimli::DW_AT_call_file).zip(line)));
                } else if child.holds(&entry, address, budget).is_none() && !self.contains(child, address, budget, 0) {
                    continue;
                }
                current = child;
                continue 'down;
            }
            return;
        }
    }

    /// Whether a block that says nothing of its own code has a function at the address.
    fn contains<'a>(&'a self, block: Die<'a, 'i>, address: u64, budget: &Budget, depth: usize) -> bool {
        depth < 8
            && block.children(budget).into_iter().any(|(child, entry)| match child.holds(&entry, address, budget) {
                Some(holds) => holds,
                None => entry.tag() == gimli::DW_TAG_lexical_block && self.contains(child, address, budget, depth + 1),
            })
    }
}

fn unsigned(value: Option<Attribute<'_>>) -> Option<u64> {
    match value? {
        AttributeValue::FileIndex(index) => Some(index),
        value => value.udata_value(),
    }
}

/// A function's name as gdb shows it: without parameters, with its scopes.
fn name<'i>(die: Die<'_, 'i>, entry: &Entry<'i>, budget: &Budget) -> Option<String> {
    // Rust's linkage names have hashes, those of Fortran follow no rule. In C one is what the assembler calls the
    // function, `__GI_abort` for glibc's `abort`, and gdb shows that.
    let is_left_out =
        || language(die, budget).is_some_and(|language| language == gimli::DW_LANG_Rust || is_fortran(language));
    let linkage = die
        .inherited(entry, gimli::DW_AT_linkage_name, budget)
        .or_else(|| die.inherited(entry, gimli::DW_AT_MIPS_linkage_name, budget))
        .and_then(|(holder, value)| holder.text(value));
    let is_c = matches!(
        language(die, budget),
        None | Some(
            gimli::DW_LANG_C
                | gimli::DW_LANG_C89
                | gimli::DW_LANG_C99
                | gimli::DW_LANG_C11
                | gimli::DW_LANG_C17
                | gimli::DW_LANG_Mips_Assembler
        )
    );
    // Of a C function with two names, the one that it is linked by is shown: `__GI_abort`.
    if is_c && linkage.is_some() {
        return linkage;
    }
    if let Some(linkage) = linkage
        && !is_left_out()
    {
        return Some(demangled(&linkage, Style::Short).unwrap_or_else(|| linkage.to_string()));
    }
    // The scopes are those of the declaration.
    let mut declared = die;
    for _ in 0..8 {
        let origin = declared.entry(budget).and_then(|entry| declared.origin(&entry));
        let Some(origin) = origin else { break };
        declared = origin;
    }
    let entry = declared.entry(budget)?;
    declared.qualified_name(&entry, "::", budget).or_else(|| die.name(&entry, budget))
}

fn is_fortran(language: gimli::DwLang) -> bool {
    matches!(
        language,
        gimli::DW_LANG_Fortran77
            | gimli::DW_LANG_Fortran90
            | gimli::DW_LANG_Fortran95
            | gimli::DW_LANG_Fortran03
            | gimli::DW_LANG_Fortran08
            | gimli::DW_LANG_Fortran18
    )
}

fn language(die: Die<'_, '_>, budget: &Budget) -> Option<gimli::DwLang> {
    match die.root().entry(budget)?.attr_value(gimli::DW_AT_language)? {
        AttributeValue::Language(language) => Some(language),
        _ => None,
    }
}

//! Which unit, and which function of it, holds an address.

use std::cell::OnceCell;

use gimli::{AttributeValue, DebugInfoOffset, Dwarf, Unit, UnitOffset};

use crate::image::Reader;

const MAX_UNITS: usize = 1 << 20;
const MAX_RANGES: usize = 1 << 24;
const MAX_ENTRIES: usize = 1 << 26;

/// Address ranges of the units, read when they are asked for.
#[derive(Debug, Default)]
pub(super) struct UnitRanges {
    /// `.debug_aranges` (DWARF 5 section 6.1.2): cheap, and not complete.
    quick: OnceCell<Vec<(u64, u64, DebugInfoOffset)>>,
    /// What the units say themselves.
    thorough: OnceCell<Vec<(u64, u64, DebugInfoOffset)>>,
}

impl UnitRanges {
    pub(super) fn find(&self, dwarf: &Dwarf<Reader<'_>>, address: u64) -> Option<DebugInfoOffset> {
        let quick = self.quick.get_or_init(|| sorted(quick_ranges(dwarf)));
        find(quick, address).or_else(|| {
            let thorough = self.thorough.get_or_init(|| {
                let known: std::collections::HashSet<usize> = quick.iter().map(|(_, _, unit)| unit.0).collect();
                sorted(unit_ranges(dwarf, &known))
            });
            find(thorough, address)
        })
    }
}

fn sorted(mut ranges: Vec<(u64, u64, DebugInfoOffset)>) -> Vec<(u64, u64, DebugInfoOffset)> {
    // Code that the linker dropped begins at 0.
    ranges.retain(|(start, end, _)| *start != 0 && start < end);
    ranges.sort_by_key(|(start, end, unit)| (*start, *end, unit.0));
    ranges
}

fn find(ranges: &[(u64, u64, DebugInfoOffset)], address: u64) -> Option<DebugInfoOffset> {
    let behind = ranges.partition_point(|(start, _, _)| *start <= address);
    let mut before = ranges.get(..behind)?.iter().rev().take(32);
    before.find(|(_, end, _)| address < *end).map(|(_, _, unit)| *unit)
}

fn quick_ranges(dwarf: &Dwarf<Reader<'_>>) -> Vec<(u64, u64, DebugInfoOffset)> {
    let mut ranges = Vec::new();
    let mut headers = dwarf.debug_aranges.headers();
    for _ in 0..MAX_UNITS {
        let Ok(Some(header)) = headers.next() else { break };
        let mut entries = header.entries();
        while let Ok(Some(entry)) = entries.next() {
            ranges.push((entry.address(), entry.address().saturating_add(entry.length()), header.debug_info_offset()));
            if ranges.len() >= MAX_RANGES {
                return ranges;
            }
        }
    }
    ranges
}

fn unit_ranges(
    dwarf: &Dwarf<Reader<'_>>,
    known: &std::collections::HashSet<usize>,
) -> Vec<(u64, u64, DebugInfoOffset)> {
    let mut ranges = Vec::new();
    let mut headers = dwarf.units();
    for _ in 0..MAX_UNITS {
        let Ok(Some(header)) = headers.next() else { break };
        let Some(offset) = header.debug_info_offset() else { continue };
        if known.contains(&offset.0) {
            continue;
        }
        let Ok(unit) = dwarf.unit(header) else { continue };
        let before = ranges.len();
        if let Ok(mut found) = dwarf.unit_ranges(&unit) {
            while let Ok(Some(range)) = found.next() {
                ranges.push((range.begin, range.end, offset));
                if ranges.len() >= MAX_RANGES {
                    return ranges;
                }
            }
        }
        if ranges.len() == before && !matches!(unit.header.type_(), gimli::UnitType::Partial) {
            // Some compilers say nothing of a unit's code, or only where it begins.
            let functions = FunctionRanges::read(dwarf, &unit);
            ranges.extend(functions.0.iter().map(|(start, end, _)| (*start, *end, offset)));
        }
    }
    ranges
}

/// Address ranges of the functions of a unit that have code.
#[derive(Debug, Default)]
pub(super) struct FunctionRanges(Vec<(u64, u64, UnitOffset)>);

impl FunctionRanges {
    /// One pass over the unit.
    pub(super) fn read(dwarf: &Dwarf<Reader<'_>>, unit: &Unit<Reader<'_>>) -> Self {
        let mut ranges = Vec::new();
        let Ok(mut entries) = unit.entries_raw(None) else { return Self::default() };
        for _ in 0..MAX_ENTRIES {
            if entries.is_empty() || ranges.len() >= MAX_RANGES {
                break;
            }
            let offset = entries.next_offset();
            let Ok(abbreviation) = entries.read_abbreviation() else { break };
            let Some(abbreviation) = abbreviation else { continue };
            if abbreviation.tag() != gimli::DW_TAG_subprogram {
                if entries.skip_attributes(abbreviation.attributes()).is_err() {
                    break;
                }
                continue;
            }
            let (mut low, mut high, mut length, mut list) = (None, None, None, None);
            let mut is_broken = false;
            for specification in abbreviation.attributes() {
                let Ok(attribute) = entries.read_attribute(*specification) else {
                    is_broken = true;
                    break;
                };
                match (attribute.name(), attribute.value()) {
                    (gimli::DW_AT_low_pc, value) => low = dwarf.attr_address(unit, value).ok().flatten(),
                    (gimli::DW_AT_high_pc, AttributeValue::Udata(bytes)) => length = Some(bytes),
                    (gimli::DW_AT_high_pc, value) => {
                        high = dwarf.attr_address(unit, value).ok().flatten();
                        if high.is_none() {
                            length = value.udata_value();
                        }
                    }
                    (gimli::DW_AT_ranges, value) => list = dwarf.attr_ranges(unit, value).ok().flatten(),
                    _ => {}
                }
            }
            if is_broken {
                break;
            }
            if let Some(mut list) = list {
                while let Ok(Some(range)) = list.next() {
                    ranges.push((range.begin, range.end, offset));
                    if ranges.len() >= MAX_RANGES {
                        break;
                    }
                }
            } else if let Some(low) = low {
                let end = high.or_else(|| length.map(|length| low.saturating_add(length)));
                ranges.extend(end.map(|end| (low, end, offset)));
            }
        }
        ranges.retain(|(start, end, _)| *start != 0 && start < end);
        ranges.sort_by_key(|(start, end, offset)| (*start, *end, offset.0));
        Self(ranges)
    }

    pub(super) fn find(&self, address: u64) -> Option<UnitOffset> {
        let behind = self.0.partition_point(|(start, _, _)| *start <= address);
        let mut before = self.0.get(..behind)?.iter().rev().take(32);
        before.find(|(_, end, _)| address < *end).map(|(_, _, offset)| *offset)
    }
}

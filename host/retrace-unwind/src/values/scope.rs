//! Which variables a function has at an address, as gdb finds them.

use super::dies::{Budget, Die, DieId, Entry};

/// Lexical blocks in each other.
const MAX_BLOCKS: usize = 256;

/// A variable that can be seen.
pub(crate) struct Seen<'a, 'i> {
    pub(crate) die: Die<'a, 'i>,
    pub(crate) entry: Entry<'i>,
    pub(crate) name: String,
}

/// What can be seen at an address.
#[derive(Default)]
pub(crate) struct Scope<'a, 'i> {
    /// In the order of the declaration.
    pub(crate) arguments: Vec<Seen<'a, 'i>>,
    /// Those of the innermost block first.
    pub(crate) locals: Vec<Seen<'a, 'i>>,
}

/// The variables of a function (inlined or not) at `pc`, an address of its file. Those of functions that are inlined
/// into it are theirs.
pub(crate) fn scope<'a, 'i>(function: Die<'a, 'i>, pc: u64, budget: &Budget) -> Scope<'a, 'i> {
    let mut walk = Walk { pc, budget, blocks: Vec::new(), arguments: Vec::new() };
    if let Some(entry) = function.entry(budget) {
        walk.block(function, &entry);
    }
    let locals = walk.blocks.into_iter().rev().flatten().collect();
    Scope { arguments: walk.arguments, locals }
}

struct Walk<'b, 'a, 'i> {
    pc: u64,
    budget: &'b Budget,
    arguments: Vec<Seen<'a, 'i>>,
    /// Locals, by block, the outermost first.
    blocks: Vec<Vec<Seen<'a, 'i>>>,
}

impl<'a, 'i> Walk<'_, 'a, 'i> {
    /// Opens a block; `die` is a function or a lexical block.
    fn block(&mut self, die: Die<'a, 'i>, entry: &Entry<'i>) {
        let level = self.blocks.len();
        if level >= MAX_BLOCKS {
            return;
        }
        self.blocks.push(Vec::new());
        let mut instances = Vec::new();
        self.contents(die, level, 0, &mut instances);
        // What the abstract instance has and this one has not: gone, but its name is known.
        if let Some(origin) = die.reference(entry, gimli::DW_AT_abstract_origin) {
            self.inherited(origin, level, 0, &instances);
        }
    }

    fn contents(&mut self, die: Die<'a, 'i>, level: usize, depth: usize, instances: &mut Vec<DieId>) {
        for (child, entry) in die.children(self.budget) {
            if let Some(origin) = child.reference(&entry, gimli::DW_AT_abstract_origin) {
                instances.push(origin.id());
            }
            if is_block(&entry) {
                match child.holds(&entry, self.pc, self.budget) {
                    Some(true) => self.block(child, &entry),
                    Some(false) => {}
                    // A block without code is none: what it declares belongs to the one around it.
                    None if depth < MAX_BLOCKS => self.contents(child, level, depth + 1, instances),
                    None => {}
                }
            } else if is_group(&entry) && depth < MAX_BLOCKS {
                self.contents(child, level, depth + 1, instances);
            } else {
                self.variable(child, entry, level);
            }
        }
    }

    fn inherited(&mut self, origin: Die<'a, 'i>, level: usize, depth: usize, instances: &[DieId]) {
        for (child, entry) in origin.children(self.budget) {
            if instances.contains(&child.id()) {
                continue;
            }
            if is_block(&entry) || is_group(&entry) {
                if depth < MAX_BLOCKS {
                    self.inherited(child, level, depth + 1, instances);
                }
            } else {
                self.variable(child, entry, level);
            }
        }
    }

    fn variable(&mut self, die: Die<'a, 'i>, entry: Entry<'i>, level: usize) {
        let is_argument = entry.tag() == gimli::DW_TAG_formal_parameter;
        if !is_argument && !matches!(entry.tag(), gimli::DW_TAG_variable | gimli::DW_TAG_constant) {
            return;
        }
        let inherits = |name| die.inherited(&entry, name, self.budget).is_some();
        let is_known = inherits(gimli::DW_AT_location) || inherits(gimli::DW_AT_const_value);
        // A declaration (`extern`) is of something that is no local.
        if !is_known && inherits(gimli::DW_AT_declaration) {
            return;
        }
        let Some(name) = die.name(&entry, self.budget).filter(|name| !name.is_empty()) else { return };
        let seen = Seen { die, entry, name };
        if is_argument {
            self.arguments.push(seen);
        } else if let Some(block) = self.blocks.get_mut(level) {
            block.push(seen);
        }
    }
}

fn is_block(entry: &Entry<'_>) -> bool {
    matches!(entry.tag(), gimli::DW_TAG_lexical_block | gimli::DW_TAG_try_block | gimli::DW_TAG_catch_block)
}

/// Entries that only hold variables together: those of a C++ parameter pack, of a Fortran common block.
fn is_group(entry: &Entry<'_>) -> bool {
    matches!(entry.tag(), gimli::DW_TAG_GNU_formal_parameter_pack | gimli::DW_TAG_common_block)
}

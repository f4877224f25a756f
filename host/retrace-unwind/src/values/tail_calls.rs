//! Frames that tail calls left behind: `a` calls `b`, which jumps to `c`; the stack shows `c` called by `a`.
//!
//! What `c` was passed is told by the jump in `b`, and what `b` was passed, by the call in `a`.

use std::rc::Rc;

use gimli::Register;

use super::{
    Caller, FrameContext, Function, SymbolAt, Unreadable,
    dies::{Die, Entry, flag},
    entry_values::{CallSite, Context, call_origin},
    expression::Evaluator,
};

/// Jumps from the function that was called to the one that runs.
const MAX_JUMPS: usize = 8;

/// The frame of a function that has jumped to another one: gone, but for what its caller kept.
pub(crate) struct TailContext<'c, 'i> {
    /// The frame of the function that runs. Both begin at the same place of the stack.
    below: &'c dyn FrameContext<'i>,
    function: Die<'c, 'i>,
    /// Where it jumped, an address of the file.
    jump: u64,
    /// The frame that jumped to this one; none if that was called.
    above: Option<Rc<TailContext<'c, 'i>>>,
}

impl<'i> FrameContext<'i> for TailContext<'_, 'i> {
    /// A function puts back what it keeps for its caller before it jumps.
    fn register(&self, register: Register) -> Option<u64> {
        self.below.caller()?.context.register(register)
    }

    fn wide_register(&self, _: Register) -> Option<Vec<u8>> {
        None
    }

    fn cfa(&self) -> Option<u64> {
        self.below.cfa()
    }

    fn read(&self, address: u64, into: &mut [u8]) -> Result<(), Unreadable> {
        self.below.read(address, into)
    }

    fn load_bias(&self) -> u64 {
        self.below.load_bias()
    }

    fn tls(&self, offset: u64) -> Option<u64> {
        self.below.tls(offset)
    }

    fn symbol(&self, address: u64) -> Option<SymbolAt> {
        self.below.symbol(address)
    }

    fn address_of(&self, linkage_name: &str) -> Option<u64> {
        self.below.address_of(linkage_name)
    }

    fn has_x87_long_double(&self) -> bool {
        self.below.has_x87_long_double()
    }

    fn caller(&self) -> Option<Caller<'_, 'i>> {
        match &self.above {
            None => self.below.caller(),
            Some(above) => {
                let function = Function::from(above.function);
                Some(Caller { context: above.as_ref(), function: Some(function), return_address: above.jump })
            }
        }
    }
}

/// A jump of a function to another one.
#[derive(Clone, Copy)]
struct Jump<'c, 'i> {
    function: Die<'c, 'i>,
    site: Die<'c, 'i>,
    address: u64,
}

impl<'c, 'a, 'i> Evaluator<'c, 'a, 'i> {
    /// The jump to this frame's function, if what the caller called leads to it in one way only, in this file.
    pub(super) fn through_jumps(&self, call: &CallSite<'c, 'i>, site: &Entry<'i>) -> Option<CallSite<'c, 'i>> {
        let called = self.definition(call_origin(call.site, site)?, call.site)?;
        let mut ways = Vec::new();
        self.ways(called, &mut Vec::new(), &mut ways);
        let [way] = ways.as_slice() else { return None };
        let mut above: Option<Rc<TailContext<'c, 'i>>> = None;
        for jump in way {
            let Jump { function, address, .. } = *jump;
            above = Some(Rc::new(TailContext { below: self.context, function, jump: address, above }));
        }
        let Jump { function, site, address } = *way.last()?;
        Some(CallSite { context: Context::Jumped(above?), function, site, return_address: address })
    }

    /// Ways of jumps to this frame's function; two are enough to know that there is not one only.
    fn ways(&self, from: Die<'c, 'i>, way: &mut Vec<Jump<'c, 'i>>, ways: &mut Vec<Vec<Jump<'c, 'i>>>) {
        if way.len() >= MAX_JUMPS || way.iter().any(|jump| jump.function.id() == from.id()) {
            return;
        }
        for (site, entry, address) in self.jumps(from) {
            if ways.len() > 1 || !self.budget.take(1) {
                return;
            }
            let Some(target) = call_origin(site, &entry) else { continue };
            way.push(Jump { function: from, site, address });
            if self.is_this_function(target) {
                ways.push(way.clone());
            } else if let Some(next) = self.definition(target, from) {
                self.ways(next, way, ways);
            }
            way.pop();
        }
    }

    /// The tail calls of a function, with the address by which each is known.
    fn jumps(&self, function: Die<'c, 'i>) -> Vec<(Die<'c, 'i>, Entry<'i>, u64)> {
        let mut jumps = Vec::new();
        self.find_site(function, |site, entry| {
            let is_jump = flag(entry, gimli::DW_AT_call_tail_call) || flag(entry, gimli::DW_AT_GNU_tail_call);
            let address = self.site_address(site, entry);
            jumps.extend(address.filter(|_| is_jump).map(|address| (site, entry.clone(), address)));
            false
        });
        jumps
    }

    /// The entry with the code of a function: the same, or the one of this unit that has the name of a declaration.
    fn definition(&self, target: Die<'c, 'i>, from: Die<'c, 'i>) -> Option<Die<'c, 'i>> {
        let has_code = |entry: &Entry<'i>| entry.has_attr(gimli::DW_AT_low_pc) || entry.has_attr(gimli::DW_AT_ranges);
        let entry = target.entry(self.budget)?;
        if has_code(&entry) {
            return std::ptr::eq(target.file(), self.subprogram.file()).then_some(target);
        }
        // The declaration may be in the supplementary file, the call is in the file that has the code.
        if !std::ptr::eq(from.file(), self.subprogram.file()) {
            return None;
        }
        let name = self.linkage_or_name(target, &entry)?;
        let functions: Vec<_> = from
            .root_of(&self.subprogram.unit().header)?
            .children(self.budget)
            .into_iter()
            .filter(|(_, entry)| entry.tag() == gimli::DW_TAG_subprogram && has_code(entry))
            .collect();
        let has_name = |(die, entry): &&(Die<'c, 'i>, Entry<'i>)| {
            self.linkage_or_name(*die, entry).as_deref() == Some(name.as_str())
        };
        if let Some((die, _)) = functions.iter().find(has_name) {
            return Some(*die);
        }
        // The name may be another one of the same function.
        let address = self.context.address_of(&name)?.wrapping_sub(self.context.load_bias());
        let begins = |(die, entry): &&(Die<'c, 'i>, Entry<'i>)| {
            let low = entry.attr_value(gimli::DW_AT_low_pc);
            low.and_then(|low| die.file().dwarf().attr_address(die.unit(), low).ok()?) == Some(address)
        };
        functions.iter().find(begins).map(|(die, _)| *die)
    }
}

//! Frames of functions that ended by jumping into the next one (tail calls), from the call sites of the debug information.
//!
//! A function that called another may find that a third one runs: the one that it called has left by a jump. Where the call
//! sites leave one way from the called function to the running one, its functions are shown; where they leave several, what
//! these have in common at both ends; where one cannot be followed (a jump through a pointer), nothing. Source: DWARF 5 section
//! 3.4; the rules are those that gdb documents ("Tail Call Frames").

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
    rc::Rc,
};

use gimli::AttributeValue;
use retrace_types::Trust;

use crate::{
    process::Process,
    values::{
        dies::{Budget, Die, Entry, flag},
        entry_values::call_origin,
    },
    walk::{PhysicalFrame, Stack},
};

/// Functions that are looked at between two frames.
const MAX_VISITS: usize = 1000;
/// Longest way from one function to the other.
const MAX_LENGTH: usize = 64;
/// Work for the call sites of one function.
const MAX_WORK: u64 = 1_000_000;

/// A call of a function, by addresses of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Site {
    /// Where it would return to.
    return_pc: u64,
    /// The function that is called; none: it cannot be told.
    target: Option<u64>,
    is_tail: bool,
}

/// Where functions that left would have returned to, the innermost first.
type Addresses = Rc<Vec<u64>>;

/// Call sites of functions, by the address that the function begins at.
#[derive(Default)]
pub(crate) struct TailCalls {
    sites: RefCell<HashMap<u64, Rc<Vec<Site>>>>,
    /// By where it is called from and what runs.
    found: RefCell<HashMap<(u64, u64), Addresses>>,
}

impl TailCalls {
    /// The stack with the frames that left by tail calls between those that are there.
    pub(crate) fn complete(&self, process: &Process<'_>, stack: Stack) -> Stack {
        let Stack { frames, broken } = stack;
        let mut completed: Vec<PhysicalFrame> = Vec::with_capacity(frames.len());
        for frame in frames {
            if let Some(callee) = completed.last()
                && !callee.is_signal
                && callee.trust != Trust::Scan
                && frame.trust == Trust::Cfi
            {
                let pcs = self.between(process, callee, &frame);
                let stack_pointer = frame.registers.get(process.walker.machine.stack_pointer);
                completed.extend(pcs.iter().map(|pc| {
                    let lookup = pc.wrapping_sub(1);
                    PhysicalFrame {
                        pc: *pc,
                        lookup,
                        // What the function had saved was restored before it left.
                        registers: frame.registers.clone(),
                        cfa: stack_pointer,
                        is_signal: false,
                        trust: Trust::CallSite,
                        module: process.walker.memory.module_at(lookup),
                    }
                }));
            }
            completed.push(frame);
        }
        Stack { frames: completed, broken }
    }

    /// Where the functions that left would have returned to, the innermost first.
    fn between(&self, process: &Process<'_>, callee: &PhysicalFrame, caller: &PhysicalFrame) -> Rc<Vec<u64>> {
        let Some(running) = process.function_start(callee) else { return Rc::default() };
        if let Some(known) = self.found.borrow().get(&(caller.pc, running)) {
            return Rc::clone(known);
        }
        let pcs = Rc::new(self.find(process, running, caller).unwrap_or_default());
        self.found.borrow_mut().insert((caller.pc, running), Rc::clone(&pcs));
        pcs
    }

    fn find(&self, process: &Process<'_>, running: u64, caller: &PhysicalFrame) -> Option<Vec<u64>> {
        let calling = process.function_start(caller)?;
        let sites = self.sites(process, calling);
        let called = sites.iter().find(|site| site.return_pc == caller.pc)?.target?;
        if called == running {
            return None;
        }
        let mut search = Search { process, calls: self, running, ways: Vec::new(), visits: 0, is_unsure: false };
        search.from(called, &mut Vec::new(), &mut HashSet::from([called]));
        if search.is_unsure {
            return None;
        }
        let mut outermost_first = common(&search.ways)?;
        outermost_first.reverse();
        Some(outermost_first)
    }

    fn sites(&self, process: &Process<'_>, function: u64) -> Rc<Vec<Site>> {
        if let Some(known) = self.sites.borrow().get(&function) {
            return Rc::clone(known);
        }
        let sites = Rc::new(read_sites(process, function).unwrap_or_default());
        self.sites.borrow_mut().insert(function, Rc::clone(&sites));
        sites
    }
}

/// All ways by tail calls from one function to the one that runs.
struct Search<'s, 'i> {
    process: &'s Process<'i>,
    calls: &'s TailCalls,
    running: u64,
    ways: Vec<Vec<u64>>,
    visits: usize,
    is_unsure: bool,
}

impl Search<'_, '_> {
    fn from(&mut self, function: u64, way: &mut Vec<u64>, seen: &mut HashSet<u64>) {
        self.visits += 1;
        if self.visits > MAX_VISITS || way.len() >= MAX_LENGTH {
            self.is_unsure = true;
            return;
        }
        let sites = self.calls.sites(self.process, function);
        for site in sites.iter().filter(|site| site.is_tail) {
            let Some(target) = site.target else {
                self.is_unsure = true;
                return;
            };
            way.push(site.return_pc);
            if target == self.running {
                self.ways.push(way.clone());
            } else if seen.insert(target) {
                self.from(target, way, seen);
                seen.remove(&target);
            }
            way.pop();
            if self.is_unsure {
                return;
            }
        }
    }
}

/// What several ways have in common at their beginning and at their end; all of a single one.
fn common(ways: &[Vec<u64>]) -> Option<Vec<u64>> {
    let (first, others) = ways.split_first()?;
    let mut head = first.len();
    let mut tail = first.len();
    for way in others {
        let same = |pair: &(&u64, &u64)| pair.0 == pair.1;
        head = head.min(first.iter().zip(way).take_while(same).count());
        tail = tail.min(first.iter().rev().zip(way.iter().rev()).take_while(same).count());
    }
    if others.is_empty() {
        return Some(first.clone());
    }
    let tail = tail.min(first.len() - head);
    let kept = first.iter().take(head).chain(first.iter().skip(first.len() - tail));
    Some(kept.copied().collect())
}

/// The call sites of the function that begins at an address of the process.
fn read_sites(process: &Process<'_>, function: u64) -> Option<Vec<Site>> {
    let index = process.walker.memory.module_at(function)?;
    let bias = process.bias(index)?;
    let symbols = process.symbols(index)?;
    let entity = symbols.outermost(function.wrapping_sub(bias))?;
    let die = Die::new(symbols.function(entity)?);
    let budget = Budget::new(MAX_WORK);
    let mut sites = Vec::new();
    let mut entries = die.unit().entries_raw(Some(die.offset())).ok()?;
    let mut entry = Entry::null();
    entries.read_entry(&mut entry).ok()?;
    while !entries.is_empty() && entries.next_depth() > 0 && budget.take(1) {
        let is_entry = entries.read_entry(&mut entry).ok()?;
        if !is_entry || !matches!(entry.tag(), gimli::DW_TAG_call_site | gimli::DW_TAG_GNU_call_site) {
            continue;
        }
        let site = die.sibling(entry.offset());
        let names = [gimli::DW_AT_call_return_pc, gimli::DW_AT_low_pc];
        let address = names.iter().find_map(|name| entry.attr_value(*name));
        let address = address.and_then(|value| site.file().dwarf().attr_address(site.unit(), value).ok().flatten());
        let Some(address) = address else { continue };
        let target = call_origin(site, &entry).and_then(|target| address_of(process, index, target, &budget));
        let is_tail = flag(&entry, gimli::DW_AT_call_tail_call) || flag(&entry, gimli::DW_AT_GNU_tail_call);
        sites.push(Site { return_pc: address.wrapping_add(bias), target, is_tail });
    }
    Some(sites)
}

/// Where a function begins, by its entry: in its own module, else the one of its name in any.
fn address_of<'i>(process: &Process<'i>, module: usize, function: Die<'_, 'i>, budget: &Budget) -> Option<u64> {
    let entry = function.entry(budget)?;
    let dwarf = function.file().dwarf();
    if let Some(value) = entry.attr_value(gimli::DW_AT_low_pc)
        && let Ok(Some(address)) = dwarf.attr_address(function.unit(), value)
    {
        return Some(address.wrapping_add(process.bias(module)?));
    }
    let names = [gimli::DW_AT_linkage_name, gimli::DW_AT_MIPS_linkage_name, gimli::DW_AT_name];
    let (holder, value) = names.iter().find_map(|name| function.inherited(&entry, *name, budget))?;
    let is_text = !matches!(value, AttributeValue::Flag(_));
    let name = is_text.then(|| holder.text(value))??;
    process.code_named(module, &name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_ways_their_ends_are_kept_where_they_agree() {
        assert_eq!(common(&[]), None);
        assert_eq!(common(&[vec![1, 2, 3]]), Some(vec![1, 2, 3]));
        assert_eq!(common(&[vec![1, 2, 9], vec![1, 3, 9]]), Some(vec![1, 9]));
        assert_eq!(common(&[vec![1], vec![1, 2, 1]]), Some(vec![1]));
        assert_eq!(common(&[vec![1, 2], vec![3, 4]]), Some(vec![]));
    }
}

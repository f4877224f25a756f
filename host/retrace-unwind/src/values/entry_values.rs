//! What a function was called with, from its caller's call site. Source: DWARF 5, 3.4 and 2.5.1.7.
//!
//! A caller is believed only if its call site names the function that was called: behind a tail call the function that
//! returns there is another one, and its arguments would be silently wrong.

use std::rc::Rc;

use gimli::{AttributeValue, Encoding, Expression, Operation, Register, Value as Typed};

use super::{
    FrameContext, Reader,
    dies::{Attribute, Die, Entry, flag},
    expression::Evaluator,
    tail_calls::TailContext,
    value::{Fault, Why},
};

/// The entry of a call in the caller, and where the caller is.
pub(crate) struct CallSite<'c, 'i> {
    pub(super) context: Context<'c, 'i>,
    pub(super) function: Die<'c, 'i>,
    pub(super) site: Die<'c, 'i>,
    pub(super) return_address: u64,
}

/// A caller's frame: on the stack, or left by a tail call.
pub(super) enum Context<'c, 'i> {
    Stacked(&'c dyn FrameContext<'i>),
    Jumped(Rc<TailContext<'c, 'i>>),
}

impl<'i> Context<'_, 'i> {
    fn get(&self) -> &dyn FrameContext<'i> {
        match self {
            Self::Stacked(context) => *context,
            Self::Jumped(context) => context.as_ref(),
        }
    }
}

/// What a parameter of a call site is known by.
enum Parameter<'a, 'i> {
    Register(Register),
    Entry(Die<'a, 'i>),
}

impl<'c, 'a, 'i> Evaluator<'c, 'a, 'i> {
    /// `DW_OP_entry_value`: what a register held when the function began.
    pub(super) fn entry_value(&self, expression: Expression<Reader<'i>>, encoding: Encoding) -> Result<Typed, Fault> {
        let mut operations = expression.operations(encoding);
        let register = match operations.next() {
            Ok(Some(Operation::Register { register } | Operation::RegisterOffset { register, offset: 0, .. })) => {
                register
            }
            _ => return Err(Fault::Unusable("an entry value that is no register")),
        };
        self.call_value(&Parameter::Register(register))
    }

    /// `DW_OP_GNU_parameter_ref`: what the caller passed for a parameter.
    pub(super) fn passed(&self, parameter: Die<'_, 'i>) -> Result<u64, Fault> {
        let value = self.call_value(&Parameter::Entry(parameter))?;
        value.to_u64(u64::MAX).map_err(|_| Fault::Unusable("a parameter that is no integer"))
    }

    fn call_value(&self, parameter: &Parameter<'_, 'i>) -> Result<Typed, Fault> {
        let call = self.call_site.get_or_init(|| self.find_call_site()).as_ref();
        let call = call.map_err(|why| Fault::OptimizedOut(*why))?;
        let caller = self.nested(call.context.get(), call.function, call.return_address.saturating_sub(1))?;
        for (die, entry) in call.site.children(self.budget) {
            let is_parameter =
                matches!(entry.tag(), gimli::DW_TAG_call_site_parameter | gimli::DW_TAG_GNU_call_site_parameter);
            if is_parameter && self.is_the_parameter(die, &entry, parameter) {
                let names = [gimli::DW_AT_call_value, gimli::DW_AT_GNU_call_site_value];
                let value = names.iter().find_map(|name| entry.attr_value(*name));
                let Some(expression) = value.and_then(as_expression) else { break };
                return caller.computed(die, expression);
            }
        }
        Err(Fault::OptimizedOut(Why::NotPassed))
    }

    fn is_the_parameter(&self, die: Die<'_, 'i>, entry: &Entry<'i>, wanted: &Parameter<'_, 'i>) -> bool {
        match wanted {
            Parameter::Register(wanted) => {
                let Some(location) = entry.attr_value(gimli::DW_AT_location).and_then(as_expression) else {
                    return false;
                };
                let mut operations = location.operations(die.unit().encoding());
                matches!(operations.next(), Ok(Some(Operation::Register { register })) if register == *wanted)
            }
            Parameter::Entry(wanted) => {
                let names = [gimli::DW_AT_call_parameter, gimli::DW_AT_abstract_origin];
                let target = names.iter().find_map(|name| die.reference(entry, *name));
                target.is_some_and(|target| target.id() == wanted.id())
            }
        }
    }
}

impl<'c, 'a, 'i> Evaluator<'c, 'a, 'i> {
    /// The call site that this frame returns to, if it is one of this frame's function.
    fn find_call_site(&self) -> Result<CallSite<'c, 'i>, Why> {
        let caller = self.context.caller().ok_or(Why::NoCaller)?;
        let function = Die::new(caller.function.ok_or(Why::NoCallSite)?);
        let (site, entry) = self.site_at(function, caller.return_address).ok_or(Why::NoCallSite)?;
        let context = Context::Stacked(caller.context);
        let call = CallSite { context, function, site, return_address: caller.return_address };
        if self.calls_itself_last() {
            return Err(Why::TailCallsItself);
        }
        if self.is_target(&call, &entry) {
            return Ok(call);
        }
        self.through_jumps(&call, &entry).ok_or(Why::OtherCallee)
    }

    /// The call site in a function that returns to an address of the file.
    fn site_at(&self, function: Die<'c, 'i>, return_address: u64) -> Option<(Die<'c, 'i>, Entry<'i>)> {
        let is_the_one = |die: Die<'c, 'i>, entry: &Entry<'i>| self.site_address(die, entry) == Some(return_address);
        self.find_site(function, is_the_one)
    }

    /// The address behind a call; that of the jump, if it is one and no other is known.
    pub(super) fn site_address(&self, die: Die<'_, 'i>, entry: &Entry<'i>) -> Option<u64> {
        let names = [gimli::DW_AT_call_return_pc, gimli::DW_AT_low_pc, gimli::DW_AT_call_pc];
        let value = names.iter().find_map(|name| entry.attr_value(*name))?;
        die.file().dwarf().attr_address(die.unit(), value).ok().flatten()
    }

    /// The first call site below a function's entry that is wanted.
    pub(super) fn find_site<'b>(
        &self,
        function: Die<'b, 'i>,
        mut wanted: impl FnMut(Die<'b, 'i>, &Entry<'i>) -> bool,
    ) -> Option<(Die<'b, 'i>, Entry<'i>)> {
        let mut entries = function.unit().entries_raw(Some(function.offset())).ok()?;
        let mut entry = Entry::null();
        entries.read_entry(&mut entry).ok()?;
        while !entries.is_empty() && entries.next_depth() > 0 && self.budget.take(1) {
            let is_entry = entries.read_entry(&mut entry).ok()?;
            if is_entry && matches!(entry.tag(), gimli::DW_TAG_call_site | gimli::DW_TAG_GNU_call_site) {
                let die = function.sibling(entry.offset());
                if wanted(die, &entry) {
                    return Some((die, entry));
                }
            }
        }
        None
    }

    /// True if the call is one of this frame's function.
    fn is_target(&self, call: &CallSite<'c, 'i>, site: &Entry<'i>) -> bool {
        if let Some(target) = call_origin(call.site, site) {
            return self.is_this_function(target);
        }
        let names = [gimli::DW_AT_call_target, gimli::DW_AT_GNU_call_site_target];
        let target = names.iter().find_map(|name| site.attr_value(*name));
        let Some(expression) = target.and_then(as_expression) else { return false };
        let caller = self.nested(call.context.get(), call.function, call.return_address.saturating_sub(1));
        let target = caller.and_then(|caller| caller.number(call.site, expression, None, None));
        let entry_address = self.entry_address().map(|address| address.wrapping_add(self.context.load_bias()));
        target.ok().is_some_and(|target| Some(target) == entry_address)
    }

    /// True if the entry is of this frame's function: the same, its abstract instance or declaration, or one with the
    /// same linkage name in another unit or module.
    pub(super) fn is_this_function(&self, target: Die<'_, 'i>) -> bool {
        let budget = self.budget;
        let mut own = Some(self.subprogram);
        for _ in 0..8 {
            let Some(die) = own else { break };
            if std::ptr::eq(die.file(), target.file()) && die.id() == target.id() {
                return true;
            }
            own = die.entry(budget).and_then(|entry| die.origin(&entry));
        }
        let (Some(own), Some(other)) = (self.subprogram.entry(budget), target.entry(budget)) else { return false };
        if let Some(low) = other.attr_value(gimli::DW_AT_low_pc)
            && std::ptr::eq(target.file(), self.subprogram.file())
        {
            let low = target.file().dwarf().attr_address(target.unit(), low).ok().flatten();
            return low.is_some() && low == self.entry_address();
        }
        let name = self.linkage_or_name(self.subprogram, &own);
        name.is_some() && name == self.linkage_or_name(target, &other)
    }

    /// The name that a function has in every unit; none for one that is `static`.
    pub(super) fn linkage_or_name(&self, die: Die<'_, 'i>, entry: &Entry<'i>) -> Option<String> {
        die.inherited(entry, gimli::DW_AT_external, self.budget)?;
        let names = [gimli::DW_AT_linkage_name, gimli::DW_AT_MIPS_linkage_name, gimli::DW_AT_name];
        let (die, value) = names.iter().find_map(|name| die.inherited(entry, *name, self.budget))?;
        die.text(value)
    }

    /// Where the function of this frame begins, an address of its file.
    fn entry_address(&self) -> Option<u64> {
        let entry = self.subprogram.entry(self.budget)?;
        let dwarf = self.subprogram.file().dwarf();
        let names = [gimli::DW_AT_entry_pc, gimli::DW_AT_low_pc];
        let value: Option<Attribute<'i>> = names.iter().find_map(|name| entry.attr_value(*name));
        match value {
            Some(value) => dwarf.attr_address(self.subprogram.unit(), value).ok().flatten(),
            None => dwarf.die_ranges(self.subprogram.unit(), &entry).ok()?.next().ok()?.map(|range| range.begin),
        }
    }

    /// True if the function may end by calling itself: its arguments are then no longer those of the caller.
    fn calls_itself_last(&self) -> bool {
        let is_one = |die: Die<'a, 'i>, entry: &Entry<'i>| {
            let is_tail = flag(entry, gimli::DW_AT_call_tail_call) || flag(entry, gimli::DW_AT_GNU_tail_call);
            is_tail && call_origin(die, entry).is_some_and(|target| self.is_this_function(target))
        };
        self.find_site(self.subprogram, is_one).is_some()
    }
}

/// An expression, which is a block before DWARF 4.
fn as_expression<'i>(value: Attribute<'i>) -> Option<Expression<Reader<'i>>> {
    match value {
        AttributeValue::Exprloc(expression) => Some(expression),
        AttributeValue::Block(block) => Some(Expression(block)),
        _ => None,
    }
}

/// The function that a call site calls.
pub(crate) fn call_origin<'a, 'i>(site: Die<'a, 'i>, entry: &Entry<'i>) -> Option<Die<'a, 'i>> {
    let names = [gimli::DW_AT_call_origin, gimli::DW_AT_abstract_origin];
    names.iter().find_map(|name| site.reference(entry, *name))
}

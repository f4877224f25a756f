//! Pointers, references, pointers to members, functions, and strings behind pointers.

use super::{Printer, text};
use crate::values::{
    dies::Die,
    types::{Kind, Language, Role, Type},
    value::{Fault, Part, Value, number, sign_extended},
};

impl<'a, 'i> Printer<'_, '_, 'a, 'i> {
    pub(super) fn pointer(&mut self, target: Option<Die<'a, 'i>>, size: u64, part: Part<'_>) -> Result<(), Fault> {
        let address = number(part.bytes(size.min(8))?, self.big_endian());
        let target = self.type_of(target);
        self.address(address);
        if address == 0 || self.language == Language::Fortran {
            return Ok(());
        }
        if let Kind::Array { element, dimensions } = &target.kind
            && self.language == Language::Rust
            && dimensions.len() == 1
            && matches!(&self.type_of(Some(*element)).kind, Kind::Base(gimli::DW_ATE_unsigned))
            && self.type_of(Some(*element)).size == 1
        {
            let bytes = self.evaluator.memory(address, target.size)?;
            self.push(&format!(" {}", text::string(&bytes, 1, false, "b", true).trim_end_matches("...")));
            return Ok(());
        }
        let Some(prefix) = self.character_prefix(&target).filter(|_| self.language != Language::Rust) else {
            return Ok(());
        };
        self.push(" ");
        self.string_at(address, target.size, prefix);
        Ok(())
    }

    /// An address, with the symbol that it is in.
    pub(super) fn address(&mut self, address: u64) {
        self.push(&format!("{address:#x}"));
        if address == 0 || !self.evaluator.budget.take(4) {
            return;
        }
        if let Some(symbol) = self.evaluator.context.symbol(address) {
            let text = match symbol.offset {
                0 => format!(" <{}>", symbol.name),
                offset => format!(" <{}+{offset}>", symbol.name),
            };
            self.push(&text);
        }
    }

    /// The string that begins at an address: to its NUL, or as many characters as are written.
    pub(super) fn string_at(&mut self, address: u64, width: u64, prefix: &str) {
        let step = usize::try_from(width).unwrap_or(1).clamp(1, 4);
        let wanted = (text::ELEMENTS as u64 + 1) * step as u64;
        let (bytes, missing) = match self.evaluator.memory(address, wanted) {
            Ok(bytes) => (bytes, None),
            Err(Fault::Unreadable(missing)) => {
                let available = missing.saturating_sub(address).min(wanted) / step as u64 * step as u64;
                (self.evaluator.memory(address, available).unwrap_or_default(), Some(missing))
            }
            Err(fault) => return self.fault(&fault),
        };
        let end = bytes.chunks_exact(step).position(|unit| unit.iter().all(|byte| *byte == 0));
        let shown = end.unwrap_or(bytes.len() / step).min(text::ELEMENTS);
        let shown_bytes = bytes.get(..shown * step).unwrap_or_default();
        // The last character is not NUL here, for the string ends before it.
        let cut = end.is_none() && missing.is_none();
        let is_read = !bytes.is_empty();
        if is_read {
            let written = text::string(shown_bytes, step, self.big_endian(), prefix, cut);
            self.push(&written);
        }
        if let (None, Some(missing)) = (end, missing) {
            let space = if is_read { " " } else { "" };
            self.push(&format!("{space}<error: Cannot access memory at address {missing:#x}>"));
        }
    }

    pub(super) fn reference(
        &mut self,
        target: Option<Die<'a, 'i>>,
        size: u64,
        part: Part<'_>,
        depth: usize,
    ) -> Result<(), Fault> {
        let target = self.type_of(target);
        let address = match part.bytes(size.min(8)) {
            Ok(bytes) => number(bytes, self.big_endian()),
            Err(Fault::SyntheticPointer { target: offset, offset: skip }) if depth == 0 => {
                let value = self.synthetic(offset, skip, target.size)?;
                self.push("@<synthetic pointer>: ");
                self.value(&target, value.part(), depth + 1);
                return Ok(());
            }
            Err(fault) => return Err(fault),
        };
        if self.containers && self.language == Language::Cpp && matches!(target.kind, Kind::Structure { .. }) {
            // What is shown by its elements is shown so behind a reference, too.
            let value = self.evaluator.memory(address, target.size).map(|bytes| Value::new(bytes, Some(address)));
            if let Ok(value) = value
                && self.container(&target, value.part(), depth).unwrap_or(false)
            {
                return Ok(());
            }
        }
        self.push(&format!("@{address:#x}"));
        if depth == 0 {
            self.push(": ");
            match self.evaluator.memory(address, target.size) {
                Ok(bytes) => self.value(&target, Value::new(bytes, Some(address)).part(), depth),
                Err(fault) => self.fault(&fault),
            }
        }
        Ok(())
    }

    /// What an implicit pointer points to (DWARF 5, 2.6.1.1.4).
    fn synthetic(&self, target: gimli::DebugInfoOffset, skip: i64, size: u64) -> Result<Value, Fault> {
        let own = self.evaluator.subprogram;
        let die = own.follow(&gimli::AttributeValue::DebugInfoRef(target)).ok_or(Fault::Unusable("no such entry"))?;
        let entry = die.entry(self.evaluator.budget).ok_or(Fault::Limit)?;
        let skip = u64::try_from(skip).map_err(|_| Fault::Unusable("a pointer before its target"))?;
        let whole = skip.checked_add(size).ok_or(Fault::TooLarge(size))?;
        let value = self.evaluator.variable(die, &entry, whole)?;
        let part = value.part().at(skip).ok_or(Fault::Unusable("a pointer behind its target"))?;
        Ok(Value::new(part.bytes(size)?.to_vec(), None))
    }

    /// A function that is not behind a pointer.
    pub(super) fn function(&mut self, part: Part<'_>) {
        match part.address() {
            Some(address) => self.address(address),
            None => self.push("{function}"),
        }
    }

    /// Source: Itanium C++ ABI, 2.3.
    pub(super) fn member_pointer(
        &mut self,
        kind: &Type<'a, 'i>,
        of_function: bool,
        part: Part<'_>,
    ) -> Result<(), Fault> {
        let word = if of_function { kind.size / 2 } else { kind.size };
        let value = number(part.bytes(word)?, self.big_endian());
        if of_function {
            if value == 0 {
                self.push("NULL");
            } else if value & 1 == 1 {
                self.push(&format!("&virtual table offset {}", value - 1));
            } else {
                self.address(value);
            }
            return Ok(());
        }
        if sign_extended(value, u32::try_from(word * 8).unwrap_or(64)) == -1 {
            self.push("NULL");
            return Ok(());
        }
        let class = kind.die.and_then(|die| {
            let entry = die.entry(self.evaluator.budget)?;
            die.reference(&entry, gimli::DW_AT_containing_type)
        });
        let class = self.type_of(class);
        let evaluator = self.evaluator;
        let is_there = |member: &&crate::values::types::Member<'a, 'i>| {
            member.role == Role::Field && member.offset(evaluator, None).ok() == Some(value)
        };
        let text = class.members(evaluator).iter().find(is_there).and_then(|member| {
            let die = class.die?;
            let name = die.qualified_name(&die.entry(evaluator.budget)?, "::", evaluator.budget)?;
            Some(format!("&{name}::{}", member.name.as_deref()?))
        });
        self.push(&text.unwrap_or_else(|| value.to_string()));
        Ok(())
    }
}

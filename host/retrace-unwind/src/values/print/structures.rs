//! Structures, classes and unions, with bases, static members and bit-fields.

use super::{Printer, number::integer};
use crate::values::{
    dies::{Die, unsigned as attribute},
    types::{Kind, Language, Member, Role, Type},
    value::{Fault, Part, Value, low_word, number, number_bytes, sign_extended},
};

impl<'a, 'i> Printer<'_, '_, 'a, 'i> {
    pub(super) fn structure(
        &mut self,
        kind: &Type<'a, 'i>,
        union: bool,
        part: Part<'_>,
        depth: usize,
    ) -> Result<(), Fault> {
        if self.language == Language::Rust {
            return self.rust_structure(kind, union, part, depth);
        }
        if self.go_string(kind, part)? {
            return Ok(());
        }
        if self.containers && self.language == Language::Cpp && !union && self.container(kind, part, depth)? {
            return Ok(());
        }
        let (open, close) = if self.language == Language::Fortran { ("( ", " )") } else { ("{", "}") };
        self.push(open);
        if depth == 0 {
            self.virtual_bases.clear();
        }
        let members = kind.members(self.evaluator);
        let mut written = 0;
        for member in members.iter().filter(|member| member.role == Role::Base) {
            if attribute(&member.entry, gimli::DW_AT_virtuality).is_some_and(|virtuality| virtuality != 0) {
                let Some(base) = member.kind.map(Die::id) else { continue };
                if self.virtual_bases.contains(&base) {
                    continue;
                }
                self.virtual_bases.push(base);
            }
            self.separate(&mut written);
            self.base_class(member, part, depth);
        }
        let fields = members.iter().filter(|member| matches!(member.role, Role::Field | Role::Static));
        let mut is_empty = true;
        for member in fields {
            if self.is_full() {
                self.push("...");
                break;
            }
            is_empty = false;
            self.separate(&mut written);
            self.field(member, part, depth);
        }
        if is_empty {
            self.separate(&mut written);
            self.push("<No data fields>");
        }
        self.push(close);
        Ok(())
    }

    pub(super) fn separate(&mut self, written: &mut usize) {
        if *written > 0 {
            self.push(", ");
        }
        *written += 1;
    }

    fn base_class(&mut self, member: &Member<'a, 'i>, part: Part<'_>, depth: usize) {
        let kind = self.type_of(member.kind);
        let name = kind
            .die
            .and_then(|die| die.qualified_name(&die.entry(self.evaluator.budget)?, "::", self.evaluator.budget));
        self.push(&format!("<{}> = ", name.unwrap_or_default()));
        match self.member_part(member, part) {
            Ok(part) => self.value(&kind, part, depth + 1),
            Err(fault) => self.fault(&fault),
        }
    }

    fn field(&mut self, member: &Member<'a, 'i>, part: Part<'_>, depth: usize) {
        let name = member.name.as_deref();
        if member.role == Role::Static {
            self.push(&format!("static {} = ", name.unwrap_or_default()));
            return self.static_member(member, depth);
        }
        if let Some(name) = name {
            self.push(&format!("{name} = "));
        }
        self.field_value(member, part, depth);
    }

    /// The value of a member that every object has.
    pub(super) fn field_value(&mut self, member: &Member<'a, 'i>, part: Part<'_>, depth: usize) {
        let kind = self.type_of(member.kind);
        let result = member.offset(self.evaluator, part.address()).and_then(|offset| {
            if let Some((start, size)) = member.bits(offset, kind.size, self.big_endian()) {
                return self.bit_field(&kind, start, size, part, depth);
            }
            let part = part.at(offset).ok_or(Fault::Unusable("a member lies outside of its structure"))?;
            self.value(&kind, part, depth + 1);
            Ok(())
        });
        if let Err(fault) = result {
            self.fault(&fault);
        }
    }

    /// A part of a structure; one that does not lie in its bytes (a virtual base) is read from memory.
    pub(super) fn member_part<'v>(&self, member: &Member<'a, 'i>, part: Part<'v>) -> Result<Part<'v>, Fault> {
        let offset = member.offset(self.evaluator, part.address())?;
        part.at(offset).ok_or(Fault::Unusable("a member lies outside of its structure"))
    }

    fn bit_field(
        &mut self,
        kind: &Type<'a, 'i>,
        start: u64,
        size: u64,
        part: Part<'_>,
        depth: usize,
    ) -> Result<(), Fault> {
        if !(1..=64).contains(&size) {
            return Err(Fault::Unusable("a bit-field of an impossible size"));
        }
        let first = start / 8;
        let count = (start % 8 + size).div_ceil(8);
        let bytes = part.at(first).ok_or(Fault::Unusable("a bit-field outside of its structure"))?.bytes(count)?;
        let big_endian = self.big_endian();
        let mut wide = bytes.to_vec();
        if big_endian {
            wide.reverse();
        }
        let all = wide.iter().rev().fold(0_u128, |number, byte| number << 8 | u128::from(*byte));
        let skip = if big_endian { count * 8 - start % 8 - size } else { start % 8 };
        let bits = u32::try_from(size).unwrap_or(64);
        let low = low_word(all >> skip) & (u64::MAX >> (64 - bits));
        match &kind.kind {
            Kind::Base(encoding) if matches!(*encoding, gimli::DW_ATE_signed | gimli::DW_ATE_signed_char) => {
                self.push(&sign_extended(low, bits).to_string());
            }
            Kind::Base(gimli::DW_ATE_boolean) => self.push(match low {
                0 => "false",
                _ => "true",
            }),
            Kind::Enumeration => {
                let text = self.enumeration_text(kind, low);
                self.push(&text);
            }
            Kind::Base(_) => self.push(&integer(&number_bytes(low.into(), 8, false), false, false)),
            _ => {
                let size = usize::try_from(kind.size).unwrap_or(0).min(16);
                let value = Value::new(number_bytes(low.into(), size, big_endian), None);
                self.value(kind, value.part(), depth + 1);
            }
        }
        Ok(())
    }

    /// A member that there is once: a constant, or a variable of its own.
    fn static_member(&mut self, member: &Member<'a, 'i>, depth: usize) {
        let kind = self.type_of(member.kind);
        let value = self.evaluator.variable(member.die, &member.entry, kind.size);
        match value {
            Ok(value) => {
                let address = value.part().address();
                if address.is_some_and(|address| self.statics.contains(&address)) {
                    return self.push("<same as static member of an already seen type>");
                }
                self.statics.extend(address);
                self.value(&kind, value.part(), depth + 1);
                if address.is_some() {
                    self.statics.pop();
                }
            }
            Err(fault) => self.fault(&fault),
        }
    }

    /// Go's strings: a pointer and a length.
    fn go_string(&mut self, kind: &Type<'a, 'i>, part: Part<'_>) -> Result<bool, Fault> {
        if self.language != Language::Go {
            return Ok(false);
        }
        let (Some(text), Some(length)) = (kind.field("str", self.evaluator), kind.field("len", self.evaluator)) else {
            return Ok(false);
        };
        if kind.members(self.evaluator).len() != 2 {
            return Ok(false);
        }
        let address = self.word(text, part)?;
        let length = self.word(length, part)?;
        self.text_at(address, length)?;
        Ok(true)
    }

    /// The number that a member of at most 8 bytes holds.
    pub(super) fn word(&self, member: &Member<'a, 'i>, part: Part<'_>) -> Result<u64, Fault> {
        let size = self.type_of(member.kind).size;
        if !(1..=8).contains(&size) {
            return Err(Fault::Unusable("a member that is no number"));
        }
        Ok(number(self.member_part(member, part)?.bytes(size)?, self.big_endian()))
    }

    /// Text of a known length.
    pub(super) fn text_at(&mut self, address: u64, length: u64) -> Result<(), Fault> {
        let shown = length.min(super::text::ELEMENTS as u64);
        let mut bytes = if shown == 0 { Vec::new() } else { self.evaluator.memory(address, shown)? };
        let cut = shown < length;
        if !cut {
            // What is written leaves a last NUL out.
            bytes.push(0);
        }
        let text = super::text::string(&bytes, 1, self.big_endian(), "", cut);
        self.push(&text);
        Ok(())
    }
}

//! Structures of Rust: tuples, enums, slices, strings. Sources: what rustc writes (`DW_TAG_variant_part`, DWARF 5,
//! 5.7.10), and what gdb shows of it.

use super::Printer;
use crate::values::{
    dies::{Die, Entry, unsigned},
    types::{Kind, Member, Role, Type, members},
    value::{Fault, Part},
};

impl<'a, 'i> Printer<'_, '_, 'a, 'i> {
    pub(super) fn rust_structure(
        &mut self,
        kind: &Type<'a, 'i>,
        union: bool,
        part: Part<'_>,
        depth: usize,
    ) -> Result<(), Fault> {
        let budget = self.evaluator.budget;
        let entry = kind.die.and_then(|die| die.entry(budget)).ok_or(Fault::Limit)?;
        let name = kind.die.and_then(|die| die.name(&entry, budget)).unwrap_or_default();
        if (name == "&str" || name.starts_with("&[") || name.starts_with("&mut ["))
            && self.slice(kind, &name, part, depth)?
        {
            return Ok(());
        }
        if self.containers && self.rust_container(kind, &name, part, depth)? {
            return Ok(());
        }
        let is_tuple = name.starts_with('(');
        let full = kind.die.and_then(|die| die.qualified_name(&entry, "::", budget)).unwrap_or_default();
        let all = kind.members(self.evaluator);
        if let Some(variants) = all.iter().find(|member| member.role == Role::Variants) {
            return self.variant(variants, &full, part, depth);
        }
        if !is_tuple {
            self.push(&full);
        }
        let space = if is_tuple { "" } else { " " };
        self.fields(all, part, depth, space, is_tuple, union);
        Ok(())
    }

    /// `{a: 1}` or `(1, 2)`; nothing for a structure without fields.
    fn fields(
        &mut self,
        all: &[Member<'a, 'i>],
        part: Part<'_>,
        depth: usize,
        space: &str,
        is_tuple: bool,
        union: bool,
    ) {
        let fields: Vec<_> = all.iter().filter(|member| member.role == Role::Field).collect();
        let is_positional = |member: &&Member<'a, 'i>| {
            member.name.as_deref().is_some_and(|name| {
                name.strip_prefix("__").is_some_and(|index| index.bytes().all(|byte| byte.is_ascii_digit()))
            })
        };
        let positional = is_tuple || (!fields.is_empty() && !union && fields.iter().all(is_positional));
        if fields.is_empty() {
            if is_tuple {
                self.push("()");
            }
            return;
        }
        self.push(space);
        self.push(if positional { "(" } else { "{" });
        let mut written = 0;
        for member in fields {
            if self.is_full() {
                self.push("...");
                break;
            }
            self.separate(&mut written);
            if !positional {
                self.push(&format!("{}: ", member.name.as_deref().unwrap_or_default()));
            }
            self.field_value(member, part, depth);
        }
        self.push(if positional { ")" } else { "}" });
    }

    /// The variant that an enum is: the one of the discriminant, else the one without.
    fn variant(&mut self, variants: &Member<'a, 'i>, full: &str, part: Part<'_>, depth: usize) -> Result<(), Fault> {
        let budget = self.evaluator.budget;
        let choices: Vec<(Die<'a, 'i>, Entry<'i>)> = variants
            .die
            .children(budget)
            .into_iter()
            .filter(|(_, entry)| entry.tag() == gimli::DW_TAG_variant)
            .collect();
        let discriminant = self.discriminant(variants, part)?;
        let is_chosen = |entry: &Entry<'i>| {
            let (value, size) = discriminant?;
            let bits = u32::try_from(size * 8).unwrap_or(64).clamp(1, 64);
            let wanted = unsigned(entry, gimli::DW_AT_discr_value)
                .or_else(|| Some(entry.attr_value(gimli::DW_AT_discr_value)?.sdata_value()?.cast_unsigned()))?;
            Some((wanted ^ value) & (u64::MAX >> (64 - bits)) == 0)
        };
        let chosen = choices.iter().find(|(_, entry)| is_chosen(entry) == Some(true));
        let default = || choices.iter().find(|(_, entry)| !entry.has_attr(gimli::DW_AT_discr_value));
        let (die, _) = chosen.or_else(default).ok_or(Fault::Unusable("no variant has this discriminant"))?;
        let content = members(*die, self.evaluator);
        let member = content.first().ok_or(Fault::Unusable("a variant without content"))?;
        self.push(&format!("{full}::{}", member.name.as_deref().unwrap_or_default()));
        let kind = self.type_of(member.kind);
        let part = self.member_part(member, part)?;
        self.fields(kind.members(self.evaluator), part, depth, "", false, false);
        Ok(())
    }

    /// Value and size of the discriminant; none if there is only one variant.
    fn discriminant(&self, variants: &Member<'a, 'i>, part: Part<'_>) -> Result<Option<(u64, u64)>, Fault> {
        let Some(die) = variants.die.reference(&variants.entry, gimli::DW_AT_discr) else { return Ok(None) };
        let entry = die.entry(self.evaluator.budget).ok_or(Fault::Limit)?;
        let kind = die.reference(&entry, gimli::DW_AT_type);
        let size = self.type_of(kind).size;
        let member = Member { die, entry, name: None, role: Role::Field, kind };
        if size > 8 {
            return Err(Fault::Unusable("a discriminant of more than 8 bytes"));
        }
        Ok(Some((self.word(&member, part)?, size)))
    }

    /// `&str` and `&[T]`: a pointer and a length.
    fn slice(&mut self, kind: &Type<'a, 'i>, name: &str, part: Part<'_>, depth: usize) -> Result<bool, Fault> {
        let evaluator = self.evaluator;
        let (Some(data), Some(length)) = (kind.field("data_ptr", evaluator), kind.field("length", evaluator)) else {
            return Ok(false);
        };
        let (address, length) = (self.word(data, part)?, self.word(length, part)?);
        if name == "&str" {
            self.text_at(address, length)?;
            return Ok(true);
        }
        let Kind::Pointer(Some(element)) = self.type_of(data.kind).kind else { return Ok(false) };
        let element = self.type_of(Some(element));
        self.push(&format!("{name} "));
        if length == 0 || element.size == 0 {
            self.push("[]");
        } else {
            self.run(&element, address, length, depth)?;
        }
        Ok(true)
    }

    /// `String` and `Vec`, told by their shape.
    fn rust_container(&mut self, kind: &Type<'a, 'i>, name: &str, part: Part<'_>, depth: usize) -> Result<bool, Fault> {
        if name != "String" && !name.starts_with("Vec<") {
            return Ok(false);
        }
        let vector = if name == "String" { self.inner(kind, part, "vec") } else { None };
        let is_string = vector.is_some();
        if name == "String" && !is_string {
            return Ok(false);
        }
        let vector_kind = vector.as_ref().map_or(kind, |(kind, _)| kind);
        let part = vector.as_ref().map_or(part, |(_, part)| *part);
        let Some(length) = vector_kind.field("len", self.evaluator) else { return Ok(false) };
        let length = self.word(length, part)?;
        let Some(address) = self.only_pointer(vector_kind, part, 0) else { return Ok(false) };
        if is_string {
            self.text_at(address, length)?;
            return Ok(true);
        }
        let element = vector_kind.die.and_then(|die| self.template_type(die, 0));
        let element = self.type_of(element);
        if element.size == 0 {
            return Ok(false);
        }
        self.push(&format!("Vec(size={length}) = "));
        if length == 0 {
            self.push("[]");
        } else {
            self.run(&element, address, length, depth)?;
        }
        Ok(true)
    }

    /// The pointer in the allocation of a vector, whatever wraps it.
    fn only_pointer(&self, kind: &Type<'a, 'i>, part: Part<'_>, depth: usize) -> Option<u64> {
        if depth > 8 {
            return None;
        }
        kind.members(self.evaluator).iter().filter(|member| member.role == Role::Field).find_map(|member| {
            let inner = self.type_of(member.kind);
            match inner.kind {
                Kind::Pointer(_) if member.name.as_deref() == Some("pointer") => self.word(member, part).ok(),
                Kind::Structure { .. } => self.only_pointer(&inner, self.member_part(member, part).ok()?, depth + 1),
                _ => None,
            }
        })
    }
}

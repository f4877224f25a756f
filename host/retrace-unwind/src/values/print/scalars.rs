//! Base types and enumerations.

use gimli::DwAte;

use super::{
    Printer,
    number::{Format, float, integer},
    text,
};
use crate::values::{
    dies::{Entry, flag},
    types::{Kind, Language, Type},
    value::{Fault, Part, low_word, number as unsigned, sign_extended},
};

/// Enumerators that are looked at.
const MAX_ENUMERATORS: usize = 65_536;

impl<'a, 'i> Printer<'_, '_, 'a, 'i> {
    pub(super) fn base(&mut self, kind: &Type<'a, 'i>, encoding: DwAte, part: Part<'_>) -> Result<(), Fault> {
        let bytes = part.bytes(kind.size)?;
        let text = self.base_text(kind, encoding, bytes);
        self.push(&text);
        Ok(())
    }

    fn base_text(&self, kind: &Type<'a, 'i>, encoding: DwAte, bytes: &[u8]) -> String {
        let big_endian = self.big_endian();
        let signed = matches!(encoding, gimli::DW_ATE_signed | gimli::DW_ATE_signed_char);
        if let Some(prefix) = self.character_prefix(kind) {
            let code = integer(bytes, signed, big_endian);
            return format!("{code} {}", self.character(bytes, prefix));
        }
        match encoding {
            gimli::DW_ATE_boolean => match (unsigned(bytes, big_endian), self.language) {
                (0, Language::Fortran) => ".FALSE.".to_owned(),
                (1, Language::Fortran) => ".TRUE.".to_owned(),
                (0, _) => "false".to_owned(),
                (1, _) => "true".to_owned(),
                (other, _) => other.to_string(),
            },
            gimli::DW_ATE_float => self.float(bytes),
            gimli::DW_ATE_complex_float => {
                let (real, imaginary) = bytes.split_at(bytes.len() / 2);
                let (real, imaginary) = (self.float(real), self.float(imaginary));
                if self.language == Language::Fortran {
                    format!("({real},{imaginary})")
                } else {
                    format!("{real} + {imaginary}i")
                }
            }
            gimli::DW_ATE_address => format!("{:#x}", unsigned(bytes, big_endian)),
            _ if bytes.is_empty() && self.language == Language::Rust => "()".to_owned(),
            _ if bytes.len() > 16 => "<error: an integer of more than 16 bytes>".to_owned(),
            _ => integer(bytes, signed, big_endian),
        }
    }

    fn float(&self, bytes: &[u8]) -> String {
        let x87 = self.evaluator.context.has_x87_long_double();
        let mut bits = [0; 16];
        for (to, from) in bits.iter_mut().zip(bytes) {
            *to = *from;
        }
        let bits = if self.big_endian() {
            u128::from_be_bytes(bits) >> (128 - 8 * bytes.len().min(16)).min(127)
        } else {
            u128::from_le_bytes(bits)
        };
        match Format::of_size(bytes.len() as u64, x87) {
            Some(format) => float(bits, format),
            None => integer(bytes.get(..16).unwrap_or(bytes), false, self.big_endian()),
        }
    }

    /// What stands before the quotes of a character of this type; none if it is no character.
    pub(super) fn character_prefix(&self, kind: &Type<'a, 'i>) -> Option<&'static str> {
        let Kind::Base(encoding) = kind.kind else { return None };
        let is_integer = matches!(encoding, gimli::DW_ATE_signed | gimli::DW_ATE_unsigned);
        let is_character =
            matches!(encoding, gimli::DW_ATE_signed_char | gimli::DW_ATE_unsigned_char | gimli::DW_ATE_UTF);
        if !is_integer && !is_character {
            return None;
        }
        let is_c = matches!(self.language, Language::C | Language::Cpp | Language::Go);
        if is_c {
            let base = || kind.die.and_then(|die| die.name(&die.entry(self.evaluator.budget)?, self.evaluator.budget));
            let is_wide = matches!(kind.size, 2 | 4);
            let name = if is_wide { kind.alias.clone().or_else(base) } else { None };
            match name.as_deref() {
                Some("wchar_t") => return Some("L"),
                Some("char16_t") => return Some("u"),
                Some("char32_t") => return Some("U"),
                _ => {}
            }
        }
        match (encoding, kind.size) {
            (gimli::DW_ATE_UTF, 2) => Some(if is_c { "u" } else { "" }),
            (gimli::DW_ATE_UTF, 4) => Some(if is_c { "U" } else { "" }),
            (gimli::DW_ATE_UTF, 1) => Some(if is_c { "u8" } else { "" }),
            // C has no other type of one byte: int8_t is a character for gdb.
            (_, 1) if is_character || is_c => Some(""),
            _ => None,
        }
        .filter(|_| self.language != Language::Rust || encoding == gimli::DW_ATE_UTF)
    }

    fn character(&self, bytes: &[u8], prefix: &str) -> String {
        if self.language == Language::Rust {
            let code = unsigned(bytes, self.big_endian());
            let character = u32::try_from(code).ok().and_then(char::from_u32);
            return match character {
                Some(character) if !character.is_ascii() && code <= 0xff => format!("'\\x{code:02x}'"),
                Some(character) if !character.is_ascii() => format!("'\\u{{{code:06x}}}'"),
                _ => text::character(bytes, self.big_endian(), ""),
            };
        }
        text::character(bytes, self.big_endian(), prefix)
    }

    pub(super) fn enumeration(&mut self, kind: &Type<'a, 'i>, part: Part<'_>) -> Result<(), Fault> {
        let bytes = part.bytes(kind.size)?;
        let text = self.enumeration_text(kind, unsigned(bytes, self.big_endian()));
        self.push(&text);
        Ok(())
    }

    /// An enumerator by its value of the type's size; flags where every enumerator is a bit of its own.
    pub(super) fn enumeration_text(&self, kind: &Type<'a, 'i>, value: u64) -> String {
        let budget = self.evaluator.budget;
        let bits = u32::try_from(kind.size.saturating_mul(8)).unwrap_or(64).clamp(1, 64);
        let mask = u64::MAX >> (64 - bits);
        let Some((die, entry)) = kind.die.and_then(|die| Some((die, die.entry(budget)?))) else {
            return value.to_string();
        };
        let children = die.children(budget);
        let constant = |entry: &Entry<'i>| {
            let value = entry.attr_value(gimli::DW_AT_const_value)?;
            value.sdata_value().map(i128::from).or_else(|| value.udata_value().map(i128::from))
        };
        let enumerators: Vec<_> = children
            .iter()
            .filter(|(_, entry)| entry.tag() == gimli::DW_TAG_enumerator)
            .take(MAX_ENUMERATORS)
            .filter_map(|(die, entry)| Some((constant(entry)?, *die, entry)))
            .collect();
        let low = |constant: i128| low_word(constant.cast_unsigned()) & mask;
        let name = |wanted: &(i128, _, &Entry<'i>)| {
            let (_, die, entry): &(i128, crate::values::dies::Die<'a, 'i>, &Entry<'i>) = wanted;
            die.name(entry, budget).unwrap_or_default()
        };
        let prefix = match self.language {
            Language::Cpp | Language::Rust => {
                let own = flag(&entry, gimli::DW_AT_enum_class) || self.language == Language::Rust;
                let full = die.qualified_name(&entry, "::", budget).unwrap_or_default();
                match (own, full.rsplit_once("::")) {
                    (true, _) => format!("{full}::"),
                    (false, Some((outer, _))) => format!("{outer}::"),
                    (false, None) => String::new(),
                }
            }
            _ => String::new(),
        };
        if let Some(found) = enumerators.iter().find(|(constant, ..)| low(*constant) == value & mask) {
            return format!("{prefix}{}", name(found));
        }
        let is_flags = enumerators.iter().all(|(constant, ..)| *constant >= 0 && constant.count_ones() <= 1);
        if !is_flags {
            let is_signed = enumerators.iter().any(|(constant, ..)| *constant < 0);
            return if is_signed { sign_extended(value, bits).to_string() } else { value.to_string() };
        }
        let mut left = value;
        let mut flags = Vec::new();
        for enumerator in &enumerators {
            let bit = low(enumerator.0);
            if left & bit != 0 {
                flags.push(format!("{prefix}{}", name(enumerator)));
                left &= !bit;
            }
        }
        if left != 0 {
            flags.push(format!("unknown: {left:#x}"));
        }
        if flags.is_empty() { "0".to_owned() } else { format!("({})", flags.join(" | ")) }
    }
}

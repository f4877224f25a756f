//! Arrays of any number of dimensions, in C's, Rust's and Fortran's way.

use super::{
    Printer,
    text::{self, ELEMENTS, REPEATS},
};
use crate::values::{
    dies::Die,
    types::{Dimension, Language, Type},
    value::{Fault, MAX_VALUE_BYTES, Part, Value},
};

/// Lengths and distances of the dimensions of an array, the outermost (slowest) first.
type Shape = Vec<(u64, u64)>;

impl<'a, 'i> Printer<'_, '_, 'a, 'i> {
    pub(super) fn array(
        &mut self,
        kind: &Type<'a, 'i>,
        element: Die<'a, 'i>,
        dimensions: &[Dimension<'a, 'i>],
        part: Part<'_>,
        depth: usize,
    ) -> Result<(), Fault> {
        let element = self.type_of(Some(element));
        let object = part.address();
        if let Some(text) = self.not_there(kind, object) {
            self.push(text);
            return Ok(());
        }
        let Some((shape, size)) = self.shape(&element, dimensions, object)? else {
            // Of unknown length, at the end of a structure: gdb shows where it begins.
            let address = object.ok_or(Fault::Unusable("an array of unknown length"))?;
            self.address(address);
            if let Some(prefix) = self.character_prefix(&element) {
                self.push(" ");
                self.string_at(address, element.size, prefix);
            }
            return Ok(());
        };
        if size > MAX_VALUE_BYTES {
            return Err(Fault::TooLarge(size));
        }
        match self.data_address(kind, object)? {
            Some(address) => {
                let value = Value::new(self.evaluator.memory(address, size)?, Some(address));
                self.elements(&element, &shape, value.part(), depth)
            }
            None if kind.size < size => {
                let address = object.ok_or(Fault::Unusable("an array whose size is not known"))?;
                let value = Value::new(self.evaluator.memory(address, size)?, Some(address));
                self.elements(&element, &shape, value.part(), depth)
            }
            None => self.elements(&element, &shape, part, depth),
        }
    }

    /// Fortran's arrays and pointers that have no memory (DWARF 5, 5.18).
    fn not_there(&self, kind: &Type<'a, 'i>, object: Option<u64>) -> Option<&'static str> {
        let die = kind.die?;
        let entry = die.entry(self.evaluator.budget)?;
        let states = [(gimli::DW_AT_allocated, "<not allocated>"), (gimli::DW_AT_associated, "<not associated>")];
        states.into_iter().find_map(|(name, text)| {
            let value = entry.attr_value(name)?;
            (self.evaluator.property(die, &value, object).ok()? == 0).then_some(text)
        })
    }

    /// Where the elements are, if not where the descriptor is.
    fn data_address(&self, kind: &Type<'a, 'i>, object: Option<u64>) -> Result<Option<u64>, Fault> {
        let Some(die) = kind.die else { return Ok(None) };
        let entry = die.entry(self.evaluator.budget).ok_or(Fault::Limit)?;
        match entry.attr_value(gimli::DW_AT_data_location) {
            Some(value) => self.evaluator.property(die, &value, object).map(|address| Some(address.cast_unsigned())),
            None => Ok(None),
        }
    }

    /// The shape of the array and its size in bytes; none if its length is not known.
    fn shape(
        &self,
        element: &Type<'a, 'i>,
        dimensions: &[Dimension<'a, 'i>],
        object: Option<u64>,
    ) -> Result<Option<(Shape, u64)>, Fault> {
        let is_fortran = self.language == Language::Fortran;
        let mut shape = Shape::new();
        let mut distance = element.size;
        let mut size = element.size;
        // From the fastest dimension on: the last in C, the first in Fortran.
        let ordered: Vec<_> = if is_fortran { dimensions.iter().collect() } else { dimensions.iter().rev().collect() };
        for dimension in ordered {
            let Some(length) = dimension.length(self.evaluator, object)? else { return Ok(None) };
            if let Some(stride) = dimension.stride(self.evaluator, object) {
                distance = u64::try_from(stride).map_err(|_| Fault::Unusable("an array that runs backwards"))?;
            }
            const TOO_LARGE: Fault = Fault::TooLarge(u64::MAX);
            let last = length.saturating_sub(1).checked_mul(distance).ok_or(TOO_LARGE)?;
            size = if length == 0 { 0 } else { size.checked_add(last).ok_or(TOO_LARGE)? };
            shape.push((length, distance));
            distance = distance.checked_mul(length).ok_or(TOO_LARGE)?;
        }
        shape.reverse();
        // `int a[]` and `int a[0]` have nothing to show but their place.
        Ok(if dimensions.is_empty() || (size == 0 && !is_fortran && self.language != Language::Rust) {
            None
        } else {
            Some((shape, size))
        })
    }

    fn elements(
        &mut self,
        element: &Type<'a, 'i>,
        shape: &[(u64, u64)],
        part: Part<'_>,
        depth: usize,
    ) -> Result<(), Fault> {
        let Some(((length, distance), inner)) = shape.split_first() else {
            self.value(element, part, depth + 1);
            return Ok(());
        };
        let prefix = self.character_prefix(element).filter(|_| inner.is_empty() && *distance == element.size);
        // Characters that are there in part are shown one by one.
        if let Some(prefix) = prefix.filter(|_| self.language != Language::Rust)
            && let Ok(bytes) = part.bytes(length.saturating_mul(*distance))
        {
            let width = usize::try_from(element.size).unwrap_or(1);
            let quote = if self.language == Language::Fortran { '\'' } else { '"' };
            self.push(&text::quoted(bytes, width, self.big_endian(), prefix, quote, false));
            return Ok(());
        }
        let (open, close, separator) = match self.language {
            Language::Rust => ("[", "]", ", "),
            Language::Fortran if inner.is_empty() => ("(", ")", ", "),
            Language::Fortran => ("(", ")", " "),
            _ => ("{", "}", ", "),
        };
        self.push(open);
        let extent = inner.iter().fold(element.size, |size, (length, distance)| {
            size.saturating_add(length.saturating_sub(1).saturating_mul(*distance))
        });
        let at = |index: u64| part.at(index.saturating_mul(*distance)).ok_or(Fault::Unusable("an array's end"));
        let mut index = 0;
        let mut written = 0;
        while index < *length && written < ELEMENTS && !self.is_full() {
            let this = at(index)?;
            let bytes = this.bytes(extent);
            let is_missing = this.is_missing(extent);
            let is_same = |other: u64| {
                at(other).is_ok_and(|other| match (&bytes, other.bytes(extent)) {
                    (Ok(bytes), Ok(other)) => *bytes == other,
                    (Err(_), Err(_)) => is_missing && other.is_missing(extent),
                    _ => false,
                })
            };
            let repeats = 1 + (index + 1..*length).take_while(|other| is_same(*other)).count();
            if index > 0 {
                self.push(separator);
            }
            let start = self.out.len();
            if inner.is_empty() {
                self.value(element, this, depth + 1)
            } else {
                self.elements(element, inner, this, depth + 1)?
            }
            if repeats > REPEATS {
                self.push(&format!(" <repeats {repeats} times>"));
                index += repeats as u64;
                written += REPEATS;
                continue;
            }
            // Equal elements look the same.
            let text = self.out.get(start..).unwrap_or_default().to_owned();
            for _ in 1..repeats.min(ELEMENTS - written) {
                self.push(separator);
                self.push(&text);
            }
            index += repeats.min(ELEMENTS - written) as u64;
            written += repeats.min(ELEMENTS - written);
        }
        if index < *length {
            self.push("...");
        }
        self.push(close);
        Ok(())
    }

    /// Elements one after the other in memory: of vectors, slices.
    pub(super) fn run(&mut self, element: &Type<'a, 'i>, address: u64, count: u64, depth: usize) -> Result<(), Fault> {
        let shown = count.min(ELEMENTS as u64 + 1).min(MAX_VALUE_BYTES / element.size.max(1));
        let bytes = self.evaluator.memory(address, shown.saturating_mul(element.size))?;
        let value = Value::new(bytes, Some(address));
        self.elements(element, &[(shown, element.size)], value.part(), depth)?;
        if shown < count && self.out.ends_with(['}', ']']) && !self.out.ends_with("...}") && !self.out.ends_with("...]")
        {
            let close = self.out.pop();
            self.push("...");
            self.out.extend(close);
        }
        Ok(())
    }
}

//! Evaluates location expressions in a frame. Source: DWARF 5, 2.5 and 2.6, and the GNU operations of before it.

use std::cell::{Cell, OnceCell};

use gimli::{
    AttributeValue, EvaluationResult, Expression, Location, Operation, Piece, Reader as _, Register, RunTimeEndian,
    Section as _, Value as Typed, ValueType,
};

use super::{
    FrameContext, Reader,
    dies::{Attribute, Budget, Die, Entry, unsigned},
    entry_values::CallSite,
    value::{Fault, MAX_VALUE_BYTES, Value, Why, number, number_bytes},
};

/// Operations of one expression; real ones have some ten.
const MAX_OPERATIONS: u32 = 10_000;
/// Expressions that need another one: frame base, entry values, implicit pointers.
const MAX_NESTING: u32 = 12;
/// Pieces of one value.
const MAX_PIECES: usize = 4096;

/// A frame in which expressions have a meaning.
pub(crate) struct Evaluator<'c, 'a, 'i> {
    pub(crate) context: &'c dyn FrameContext<'i>,
    /// The function that is not inlined: it has the frame base.
    pub(crate) subprogram: Die<'a, 'i>,
    /// Where the frame is, an address of the file: behind its first byte is the instruction that runs.
    pub(crate) pc: u64,
    pub(crate) budget: &'c Budget,
    nesting: u32,
    /// What is evaluated relies on the callee not to change registers.
    outlives_call: Cell<bool>,
    pub(super) call_site: OnceCell<Result<CallSite<'c, 'i>, Why>>,
}

impl<'c, 'a, 'i> Evaluator<'c, 'a, 'i> {
    pub(crate) fn new(context: &'c dyn FrameContext<'i>, subprogram: Die<'a, 'i>, pc: u64, budget: &'c Budget) -> Self {
        Self {
            context,
            subprogram,
            pc,
            budget,
            nesting: 0,
            outlives_call: Cell::new(false),
            call_site: OnceCell::new(),
        }
    }

    /// The same frame, or that of the caller, one expression deeper.
    pub(super) fn nested<'d, 'b>(
        &self,
        context: &'d dyn FrameContext<'i>,
        subprogram: Die<'b, 'i>,
        pc: u64,
    ) -> Result<Evaluator<'d, 'b, 'i>, Fault>
    where
        'c: 'd,
    {
        let nesting = self.nesting + 1;
        if nesting > MAX_NESTING {
            return Err(Fault::Limit);
        }
        let outlives_call = Cell::new(false);
        Ok(Evaluator {
            context,
            subprogram,
            pc,
            budget: self.budget,
            nesting,
            outlives_call,
            call_site: OnceCell::new(),
        })
    }

    fn deeper(&self) -> Result<Evaluator<'c, 'a, 'i>, Fault> {
        self.nested(self.context, self.subprogram, self.pc)
    }

    pub(crate) fn big_endian(&self) -> bool {
        self.subprogram.file().dwarf().debug_info.reader().endian() == RunTimeEndian::Big
    }

    /// Bytes of memory.
    pub(crate) fn memory(&self, address: u64, size: u64) -> Result<Vec<u8>, Fault> {
        let length = usize::try_from(size).ok().filter(|_| size <= MAX_VALUE_BYTES).ok_or(Fault::TooLarge(size))?;
        if !self.budget.take(4 + size / 16) {
            return Err(Fault::Limit);
        }
        let mut bytes = vec![0; length];
        match self.context.read(address, &mut bytes) {
            Ok(()) => Ok(bytes),
            Err(missing) => Err(Fault::Unreadable(missing.address)),
        }
    }

    /// The value of a variable, formal parameter or constant of `size` bytes.
    pub(crate) fn variable(&self, die: Die<'a, 'i>, entry: &Entry<'i>, size: u64) -> Result<Value, Fault> {
        if size > MAX_VALUE_BYTES {
            return Err(Fault::TooLarge(size));
        }
        if let Some((_, constant)) = die.inherited(entry, gimli::DW_AT_const_value, self.budget) {
            return self.constant(die, &constant, size);
        }
        if let Some((holder, location)) = die.inherited(entry, gimli::DW_AT_location, self.budget) {
            let expression = holder.expression_until(location, self.pc, self.budget);
            let (expression, end) = expression.ok_or(Fault::OptimizedOut(Why::NotHere))?;
            // GCC ends a location within the call that changes its register; others, behind it.
            self.outlives_call.set(end > self.pc.saturating_add(1) || self.is_by_gcc(holder));
            let value = self.located(holder, expression, size);
            self.outlives_call.set(false);
            return value;
        }
        // Only static members are declared without being here: they have a symbol of their own.
        let declared = die.inherited(entry, gimli::DW_AT_declaration, self.budget).is_some();
        let name = if declared { self.linkage_name(die, entry) } else { None };
        match name.and_then(|name| self.context.address_of(&name)) {
            Some(address) => Ok(Value::new(self.memory(address, size)?, Some(address))),
            None => Err(Fault::OptimizedOut(Why::NoLocation)),
        }
    }

    /// The name of a variable's symbol: as the entry says, else as the Itanium C++ ABI (5.1.2) makes it of plain names.
    fn linkage_name(&self, die: Die<'a, 'i>, entry: &Entry<'i>) -> Option<String> {
        if let Some((die, value)) = die.inherited(entry, gimli::DW_AT_linkage_name, self.budget) {
            return die.text(value);
        }
        let own = die.name(entry, self.budget)?;
        let mut name = format!("{}{own}E", own.len());
        for scope in die.member_scopes(self.budget) {
            if !scope.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
                return None;
            }
            name = format!("{}{scope}{name}", scope.len());
        }
        Some(format!("_ZN{name}"))
    }

    /// True if the unit was made by GCC.
    fn is_by_gcc(&self, die: Die<'a, 'i>) -> bool {
        let root = die.root();
        let producer = root.entry(self.budget).and_then(|entry| root.text(entry.attr_value(gimli::DW_AT_producer)?));
        producer.is_some_and(|producer| producer.starts_with("GNU "))
    }

    /// `DW_AT_const_value` (DWARF 5, 4.1).
    fn constant(&self, die: Die<'a, 'i>, value: &Attribute<'i>, size: u64) -> Result<Value, Fault> {
        let length = usize::try_from(size).map_err(|_| Fault::TooLarge(size))?;
        let bytes = match value {
            AttributeValue::Block(block) => block.slice().to_vec(),
            AttributeValue::Exprloc(block) => block.0.slice().to_vec(),
            AttributeValue::Addr(address) => number_bytes(u128::from(*address), length, self.big_endian()),
            AttributeValue::Data16(number) => number_bytes(*number, length, self.big_endian()),
            AttributeValue::Sdata(number) => {
                number_bytes(i128::from(*number).cast_unsigned(), length, self.big_endian())
            }
            _ => match (value.udata_value(), die.text(*value)) {
                (Some(number), _) => number_bytes(u128::from(number), length, self.big_endian()),
                (None, Some(text)) => text.into_bytes(),
                (None, None) => return Err(Fault::Unusable("a constant of an unknown form")),
            },
        };
        let mut bytes = bytes;
        bytes.resize(length, 0);
        Ok(Value::new(bytes, None))
    }

    /// The value that a location expression describes.
    pub(crate) fn located(
        &self,
        die: Die<'a, 'i>,
        expression: Expression<Reader<'i>>,
        size: u64,
    ) -> Result<Value, Fault> {
        let pieces = self.pieces(die, expression, None, None)?;
        match pieces.as_slice() {
            [Piece { size_in_bits: None, bit_offset: None, location: Location::Address { address } }] => {
                Ok(Value::new(self.memory(*address, size)?, Some(*address)))
            }
            [Piece { size_in_bits: None, location, .. }] => {
                let length = usize::try_from(size).map_err(|_| Fault::TooLarge(size))?;
                let mut value = Value::zeroed(length);
                self.fill(&mut value, 0, size.saturating_mul(8), location, 0)?;
                match value.missing_as_a_whole() {
                    Some(fault) => Err(fault.clone()),
                    None => Ok(value),
                }
            }
            pieces => self.assembled(pieces, size),
        }
    }

    /// A value of several pieces.
    fn assembled(&self, pieces: &[Piece<Reader<'i>>], size: u64) -> Result<Value, Fault> {
        let mut value = Value::zeroed(usize::try_from(size).map_err(|_| Fault::TooLarge(size))?);
        let whole = size.saturating_mul(8);
        let mut at = 0_u64;
        for piece in pieces.iter().take(MAX_PIECES) {
            let bits = piece.size_in_bits.unwrap_or(whole).min(whole.saturating_sub(at));
            self.fill(&mut value, at, bits, &piece.location, piece.bit_offset.unwrap_or(0))?;
            at = at.saturating_add(bits);
        }
        if at < whole {
            value.set_missing(byte_range(at, whole), Fault::OptimizedOut(Why::NoPiece));
        }
        match value.missing_as_a_whole() {
            Some(fault) => Err(fault.clone()),
            None => Ok(value),
        }
    }

    /// Copies `bits` bits of a location to bit `at` of the value, or notes that they are missing.
    fn fill(
        &self,
        value: &mut Value,
        at: u64,
        bits: u64,
        location: &Location<Reader<'i>>,
        skip: u64,
    ) -> Result<(), Fault> {
        let bytes = bits.saturating_add(skip).div_ceil(8);
        let source = match location {
            Location::Empty => Err(Fault::OptimizedOut(Why::NoPiece)),
            Location::Address { address } => self.memory(*address, bytes),
            Location::Register { register } => self.register_bytes(*register, bytes),
            Location::Value { value } => self.typed_bytes(*value, bytes),
            Location::Bytes { value } => Ok(value.slice().to_vec()),
            Location::ImplicitPointer { value, byte_offset } => {
                Err(Fault::SyntheticPointer { target: *value, offset: *byte_offset })
            }
        };
        match source {
            Ok(source) => copy_bits(value.bytes_mut(), at, &source, skip, bits, self.big_endian()),
            Err(Fault::Limit) => Err(Fault::Limit),
            Err(fault) => {
                value.set_missing(byte_range(at, at.saturating_add(bits)), fault);
                Ok(())
            }
        }
    }

    fn general_register(&self, register: Register) -> Option<u64> {
        let unsaved = || self.context.unsaved_register(register).filter(|_| self.outlives_call.get());
        self.context.register(register).or_else(unsaved)
    }

    /// The first `size` bytes of a register, or its last ones where the process is big-endian.
    fn register_bytes(&self, register: Register, size: u64) -> Result<Vec<u8>, Fault> {
        let length = usize::try_from(size).map_err(|_| Fault::TooLarge(size))?;
        let word = u64::from(self.subprogram.unit().encoding().address_size);
        if size <= word
            && let Some(value) = self.general_register(register)
        {
            return Ok(number_bytes(u128::from(value), length, self.big_endian()));
        }
        let unsaved = || self.context.unsaved_wide_register(register).filter(|_| self.outlives_call.get());
        match self.context.wide_register(register).or_else(unsaved) {
            Some(bytes) if bytes.len() >= length => Ok(bytes.into_iter().take(length).collect()),
            Some(_) => Err(Fault::Unusable("a register is smaller than what it should hold")),
            None => Err(Fault::OptimizedOut(Why::Register(register.0))),
        }
    }

    /// The value of a stack entry as bytes of memory.
    fn typed_bytes(&self, value: Typed, size: u64) -> Result<Vec<u8>, Fault> {
        let length = usize::try_from(size).map_err(|_| Fault::TooLarge(size))?;
        let (bits, signed) = match value {
            Typed::Generic(value) | Typed::U64(value) => (u128::from(value), false),
            Typed::I8(value) => (i128::from(value).cast_unsigned(), true),
            Typed::U8(value) => (u128::from(value), false),
            Typed::I16(value) => (i128::from(value).cast_unsigned(), true),
            Typed::U16(value) => (u128::from(value), false),
            Typed::I32(value) => (i128::from(value).cast_unsigned(), true),
            Typed::U32(value) => (u128::from(value), false),
            Typed::I64(value) => (i128::from(value).cast_unsigned(), true),
            Typed::F32(value) => (u128::from(value.to_bits()), false),
            Typed::F64(value) => (u128::from(value.to_bits()), false),
        };
        let mut bytes = number_bytes(bits, length.max(16), false);
        if signed && bits >> 127 == 1 {
            bytes.iter_mut().skip(16).for_each(|byte| *byte = 0xff);
        }
        bytes.truncate(length);
        if self.big_endian() {
            bytes.reverse();
        }
        Ok(bytes)
    }

    /// The number that an expression computes: a bound, a size, an address.
    pub(crate) fn number(
        &self,
        die: Die<'_, 'i>,
        expression: Expression<Reader<'i>>,
        object: Option<u64>,
        initial: Option<u64>,
    ) -> Result<u64, Fault> {
        let pieces = self.pieces(die, expression, object, initial)?;
        let location = match pieces.as_slice() {
            [Piece { size_in_bits: None, location, .. }] => location,
            _ => return Err(Fault::Unusable("a number in pieces")),
        };
        match location {
            Location::Address { address } => Ok(*address),
            Location::Value { value } => {
                value.to_u64(u64::MAX).map_err(|_| Fault::Unusable("a floating-point number where an integer belongs"))
            }
            Location::Register { register } => {
                self.general_register(*register).ok_or(Fault::OptimizedOut(Why::Register(register.0)))
            }
            Location::Empty => Err(Fault::OptimizedOut(Why::NoLocation)),
            Location::Bytes { .. } | Location::ImplicitPointer { .. } => Err(Fault::Unusable("no number")),
        }
    }

    /// The value that an expression computes, with its type.
    pub(crate) fn computed(&self, die: Die<'_, 'i>, expression: Expression<Reader<'i>>) -> Result<Typed, Fault> {
        // A lone typed operation: the evaluator takes what is left at the end for an address.
        let mut operations = expression.operations(die.unit().encoding());
        match (operations.next(), operations.next()) {
            (Ok(Some(Operation::TypedLiteral { base_type, value })), Ok(None)) => {
                return self.typed(die, base_type, value.slice());
            }
            (Ok(Some(Operation::RegisterOffset { register, offset: 0, base_type })), Ok(None)) if base_type.0 != 0 => {
                let size = u64::from(self.value_type(die, base_type)?.bit_size(u64::MAX) / 8);
                return self.typed(die, base_type, &self.register_bytes(register, size)?);
            }
            _ => {}
        }
        match self.pieces(die, expression, None, None)?.as_slice() {
            [Piece { size_in_bits: None, location: Location::Value { value }, .. }] => Ok(*value),
            _ => self.number(die, expression, None, None).map(Typed::Generic),
        }
    }

    /// A property that is a constant, an expression or the value of another entry (DWARF 5, 2.19): the bounds of an
    /// array of variable length. `object` is the address of what has the property.
    pub(crate) fn property(&self, die: Die<'a, 'i>, value: &Attribute<'i>, object: Option<u64>) -> Result<i64, Fault> {
        if let Some(number) = value.sdata_value() {
            return Ok(number);
        }
        if let Some(number) = value.udata_value() {
            return Ok(number.cast_signed());
        }
        if let Some(target) = die.follow(value) {
            let entry = target.entry(self.budget).ok_or(Fault::Limit)?;
            let size = target
                .inherited(&entry, gimli::DW_AT_type, self.budget)
                .and_then(|(die, value)| die.follow(&value))
                .and_then(|kind| byte_size(kind, self.budget))
                .filter(|size| (1..=8).contains(size))
                .ok_or(Fault::Unusable("a bound that is no number"))?;
            let value = self.deeper()?.variable(target, &entry, size)?;
            let number = number(value.part().bytes(size)?, self.big_endian());
            return Ok(super::value::sign_extended(number, u32::try_from(size * 8).unwrap_or(64)));
        }
        let expression = die.expression_at(*value, self.pc, self.budget);
        let expression = expression.ok_or(Fault::OptimizedOut(Why::NotHere))?;
        self.number(die, expression, object, None).map(u64::cast_signed)
    }

    /// Runs an expression of an entry to its end.
    fn pieces(
        &self,
        die: Die<'_, 'i>,
        expression: Expression<Reader<'i>>,
        object: Option<u64>,
        initial: Option<u64>,
    ) -> Result<Vec<Piece<Reader<'i>>>, Fault> {
        const BROKEN: Fault = Fault::Unusable("a location expression that cannot be evaluated");
        let unit = die.unit();
        let mut evaluation = expression.evaluation(unit.encoding());
        evaluation.set_max_iterations(MAX_OPERATIONS);
        if let Some(initial) = initial {
            evaluation.set_initial_value(initial);
        }
        if let Some(object) = object {
            evaluation.set_object_address(object);
        }
        if !self.budget.take(4 + expression.0.len() as u64) {
            return Err(Fault::Limit);
        }
        let mut state = evaluation.evaluate();
        loop {
            // Each turn may be an operation of a loop, which the limit on operations alone bounds.
            if !self.budget.take(2) {
                return Err(Fault::Limit);
            }
            state = match state.map_err(|_| BROKEN)? {
                EvaluationResult::Complete => return Ok(evaluation.result()),
                EvaluationResult::RequiresMemory { address, size, base_type, .. } => {
                    let bytes = self.memory(address, size.into())?;
                    evaluation.resume_with_memory(self.typed(die, base_type, &bytes)?)
                }
                EvaluationResult::RequiresRegister { register, base_type } => {
                    let size = match self.value_type(die, base_type)? {
                        ValueType::Generic => u64::from(unit.encoding().address_size),
                        kind => u64::from(kind.bit_size(u64::MAX) / 8),
                    };
                    let bytes = self.register_bytes(register, size)?;
                    evaluation.resume_with_register(self.typed(die, base_type, &bytes)?)
                }
                EvaluationResult::RequiresFrameBase => evaluation.resume_with_frame_base(self.frame_base()?),
                EvaluationResult::RequiresTls(offset) => {
                    let address = self.context.tls(offset).ok_or(Fault::Unusable("thread-local storage not found"))?;
                    evaluation.resume_with_tls(address)
                }
                EvaluationResult::RequiresCallFrameCfa => {
                    let cfa = self.context.cfa().ok_or(Fault::Unusable("the frame has no canonical address"))?;
                    evaluation.resume_with_call_frame_cfa(cfa)
                }
                EvaluationResult::RequiresAtLocation(reference) => {
                    let target = match reference {
                        gimli::DieReference::UnitRef(offset) => Some(die.sibling(offset)),
                        gimli::DieReference::DebugInfoRef(offset) => die.follow(&AttributeValue::DebugInfoRef(offset)),
                    };
                    let location = target.and_then(|target| {
                        let entry = target.entry(self.budget)?;
                        let (die, value) = target.inherited(&entry, gimli::DW_AT_location, self.budget)?;
                        die.expression_at(value, self.pc, self.budget)
                    });
                    evaluation.resume_with_at_location(location.ok_or(BROKEN)?.0)
                }
                EvaluationResult::RequiresEntryValue(expression) => {
                    let value = self.deeper()?.entry_value(expression, unit.encoding())?;
                    evaluation.resume_with_entry_value(value)
                }
                EvaluationResult::RequiresParameterRef(offset) => {
                    let value = self.deeper()?.passed(die.sibling(offset))?;
                    evaluation.resume_with_parameter_ref(value)
                }
                EvaluationResult::RequiresRelocatedAddress(address) => {
                    evaluation.resume_with_relocated_address(address.wrapping_add(self.context.load_bias()))
                }
                EvaluationResult::RequiresIndexedAddress { index, relocate } => {
                    let address = die.file().dwarf().address(unit, index).map_err(|_| BROKEN)?;
                    let bias = if relocate { self.context.load_bias() } else { 0 };
                    evaluation.resume_with_indexed_address(address.wrapping_add(bias))
                }
                EvaluationResult::RequiresBaseType(offset) => {
                    evaluation.resume_with_base_type(self.value_type(die, offset)?)
                }
            };
        }
    }

    /// `DW_AT_frame_base` of the function (DWARF 5, 3.3.5).
    fn frame_base(&self) -> Result<u64, Fault> {
        const NONE: Fault = Fault::Unusable("the function has no frame base");
        let entry = self.subprogram.entry(self.budget).ok_or(Fault::Limit)?;
        let (die, value) = self.subprogram.inherited(&entry, gimli::DW_AT_frame_base, self.budget).ok_or(NONE)?;
        let expression = die.expression_at(value, self.pc, self.budget).ok_or(NONE)?;
        self.deeper()?.number(die, expression, None, None)
    }

    /// Bytes as an entry of the stack.
    fn typed(&self, die: Die<'_, 'i>, base_type: gimli::UnitOffset, bytes: &[u8]) -> Result<Typed, Fault> {
        let bits = number(bytes, self.big_endian());
        match self.value_type(die, base_type)? {
            ValueType::Generic => Ok(Typed::Generic(bits)),
            ValueType::F32 => Ok(Typed::F32(f32::from_bits(u32::try_from(bits).unwrap_or_default()))),
            ValueType::F64 => Ok(Typed::F64(f64::from_bits(bits))),
            kind => Typed::from_u64(kind, bits).map_err(|_| Fault::Unusable("a typed value")),
        }
    }

    /// The type of a stack entry; the generic one for offset 0.
    fn value_type(&self, die: Die<'_, 'i>, offset: gimli::UnitOffset) -> Result<ValueType, Fault> {
        const UNKNOWN: Fault = Fault::Unusable("arithmetic on a type that is not known");
        if offset.0 == 0 {
            return Ok(ValueType::Generic);
        }
        let entry = die.sibling(offset).entry(self.budget).ok_or(UNKNOWN)?;
        let size = unsigned(&entry, gimli::DW_AT_byte_size).ok_or(UNKNOWN)?;
        let Some(AttributeValue::Encoding(encoding)) = entry.attr_value(gimli::DW_AT_encoding) else {
            return Err(UNKNOWN);
        };
        let encoding = match encoding {
            gimli::DW_ATE_signed_char => gimli::DW_ATE_signed,
            gimli::DW_ATE_unsigned_char | gimli::DW_ATE_boolean | gimli::DW_ATE_address | gimli::DW_ATE_UTF => {
                gimli::DW_ATE_unsigned
            }
            other => other,
        };
        ValueType::from_encoding(encoding, size).ok_or(UNKNOWN)
    }
}

/// Size of a type that says it itself, behind qualifiers and names.
pub(crate) fn byte_size(die: Die<'_, '_>, budget: &Budget) -> Option<u64> {
    let mut die = die;
    for _ in 0..16 {
        let entry = die.entry(budget)?;
        if let Some(size) = unsigned(&entry, gimli::DW_AT_byte_size) {
            return Some(size);
        }
        die = die.reference(&entry, gimli::DW_AT_type)?;
    }
    None
}

/// The bytes that hold these bits.
fn byte_range(from: u64, to: u64) -> std::ops::Range<usize> {
    let byte = |bits: u64| usize::try_from(bits).unwrap_or(usize::MAX);
    byte(from / 8)..byte(to.div_ceil(8))
}

/// Copies bits. Where they are no whole bytes, they count from the lowest bit of the first byte (little endian).
fn copy_bits(target: &mut [u8], at: u64, source: &[u8], skip: u64, bits: u64, big_endian: bool) -> Result<(), Fault> {
    const OUTSIDE: Fault = Fault::Unusable("a piece lies outside of its whole");
    let index = |bit: u64| usize::try_from(bit / 8).map_err(|_| OUTSIDE);
    if (at | skip | bits).is_multiple_of(8) {
        let (to, from, length) = (index(at)?, index(skip)?, index(bits)?);
        let to = target.get_mut(to..to.saturating_add(length)).ok_or(OUTSIDE)?;
        let available = source.get(from..).unwrap_or_default();
        for (to, from) in to.iter_mut().zip(available) {
            *to = *from;
        }
        return Ok(());
    }
    if big_endian {
        return Err(Fault::Unusable("pieces of single bits in big-endian order"));
    }
    for bit in 0..bits.min(MAX_VALUE_BYTES * 8) {
        let from = skip.saturating_add(bit);
        let to = at.saturating_add(bit);
        let is_set = source.get(index(from)?).is_some_and(|byte| byte >> (from % 8) & 1 == 1);
        let byte = target.get_mut(index(to)?).ok_or(OUTSIDE)?;
        *byte = *byte & !(1 << (to % 8)) | u8::from(is_set) << (to % 8);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_copied_to_any_place() {
        let mut target = [0; 3];
        copy_bits(&mut target, 8, &[0xab, 0xcd], 8, 8, false).unwrap();
        assert_eq!(target, [0, 0xcd, 0]);
        copy_bits(&mut target, 4, &[0b1010_0000], 5, 3, false).unwrap();
        assert_eq!(target, [0b0101_0000, 0xcd, 0]);
        assert!(copy_bits(&mut target, 20, &[0xff; 8], 0, 5, false).is_err(), "outside");
        assert!(copy_bits(&mut target, u64::MAX, &[0xff; 8], u64::MAX, 3, false).is_err());
        assert!(copy_bits(&mut target, 1, &[0xff], 0, 3, true).is_err());
    }
}

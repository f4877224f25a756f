//! Bytes of a variable, and why some of them are missing.

use std::{fmt, ops::Range};

use gimli::DebugInfoOffset;

/// Largest variable that is read, in bytes: gdb's `max-value-size`.
pub(crate) const MAX_VALUE_BYTES: u64 = 65_536;

/// Why a value cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The program does not keep it at this place.
    OptimizedOut(Why),
    /// The first address that is neither in the core nor in a file.
    Unreadable(u64),
    /// A pointer to something that has no address but a value (`DW_OP_implicit_pointer`).
    SyntheticPointer { target: DebugInfoOffset, offset: i64 },
    /// More bytes than [`MAX_VALUE_BYTES`].
    TooLarge(u64),
    /// The debug information is broken or beyond what is understood.
    Unusable(&'static str),
    /// The budget of the frame is used up.
    Limit,
}

/// Why the program does not keep a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    NoLocation,
    NotHere,
    NoPiece,
    Register(u16),
    NoCaller,
    NoCallSite,
    OtherCallee,
    NotPassed,
    TailCallsItself,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoLocation => f.write_str("the compiler left no location for it"),
            Self::NotHere => f.write_str("it has no location at this address of the code"),
            Self::NoPiece => f.write_str("this part of it has no location"),
            Self::Register(number) => write!(f, "it was in register {number} (DWARF), which was not kept"),
            Self::NoCaller => f.write_str("only the caller knew it, and the caller is not known for sure"),
            Self::NoCallSite => f.write_str("only the caller knew it, and has no entry for this call"),
            Self::OtherCallee => {
                f.write_str("only the caller knew it, and its call is of another function (a tail call)")
            }
            Self::NotPassed => f.write_str("only the caller knew it, and does not say what it passed"),
            Self::TailCallsItself => {
                f.write_str("only the caller knew it, and the function may have called itself since")
            }
        }
    }
}

/// The bytes of a variable or of what a pointer points to, in the order of the process's memory.
#[derive(Clone, Debug)]
pub(crate) struct Value {
    bytes: Vec<u8>,
    /// Ranges of `bytes` that mean nothing.
    missing: Vec<(Range<usize>, Fault)>,
    /// Where it is in memory; none for a value in registers or without location.
    address: Option<u64>,
}

impl Value {
    pub(crate) fn new(bytes: Vec<u8>, address: Option<u64>) -> Self {
        Self { bytes, missing: Vec::new(), address }
    }

    /// Zeros until its parts are known.
    pub(crate) fn zeroed(size: usize) -> Self {
        Self::new(vec![0; size], None)
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    pub(crate) fn set_missing(&mut self, range: Range<usize>, fault: Fault) {
        self.missing.push((range, fault));
    }

    /// All of it.
    pub(crate) fn part(&self) -> Part<'_> {
        Part { value: self, start: 0 }
    }

    /// Why it is missing from the first to the last byte; none if anything is there.
    pub(crate) fn missing_as_a_whole(&self) -> Option<&Fault> {
        let (range, fault) = self.missing.first()?;
        (range.start == 0 && range.end >= self.bytes.len()).then_some(fault)
    }
}

/// A place in a value: a member, an element.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part<'v> {
    value: &'v Value,
    start: usize,
}

impl<'v> Part<'v> {
    /// The part that begins `offset` bytes behind this one.
    pub(crate) fn at(self, offset: u64) -> Option<Self> {
        let start = self.start.checked_add(usize::try_from(offset).ok()?)?;
        (start <= self.value.bytes.len()).then_some(Self { start, ..self })
    }

    pub(crate) fn bytes(self, size: u64) -> Result<&'v [u8], Fault> {
        let size = usize::try_from(size).map_err(|_| Fault::TooLarge(size))?;
        let end = self.start.checked_add(size).ok_or(Fault::Unusable("a part lies outside of its whole"))?;
        let missing = self.value.missing.iter().find(|(range, _)| range.start < end && self.start < range.end);
        if let Some((_, fault)) = missing {
            return Err(fault.clone());
        }
        self.value.bytes.get(self.start..end).ok_or(Fault::Unusable("a part lies outside of its whole"))
    }

    /// True if nothing of it is there.
    pub(crate) fn is_missing(self, size: u64) -> bool {
        let end = self.start.saturating_add(usize::try_from(size).unwrap_or(usize::MAX));
        self.value.missing.iter().any(|(range, _)| range.start <= self.start && end <= range.end)
    }

    /// Address in the memory of the process.
    pub(crate) fn address(self) -> Option<u64> {
        self.value.address?.checked_add(self.start as u64)
    }
}

/// At most 8 bytes as a number. Zero for no bytes.
pub(crate) fn number(bytes: &[u8], big_endian: bool) -> u64 {
    let fold = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
    if big_endian { bytes.iter().fold(0, fold) } else { bytes.iter().rev().fold(0, fold) }
}

/// The lowest `size` bytes of a number, in memory's order.
pub(crate) fn number_bytes(number: u128, size: usize, big_endian: bool) -> Vec<u8> {
    let mut bytes = number.to_le_bytes().to_vec();
    bytes.resize(size, 0);
    if big_endian {
        bytes.reverse();
    }
    bytes
}

/// The lowest 8 bytes of a number.
pub(crate) fn low_word(number: u128) -> u64 {
    u64::try_from(number & u128::from(u64::MAX)).unwrap_or_default()
}

/// A number of `bits` bits (1 to 64) with its sign extended.
pub(crate) fn sign_extended(number: u64, bits: u32) -> i64 {
    let shift = 64_u32.saturating_sub(bits).min(63);
    (number << shift).cast_signed() >> shift
}

//! What the evaluation of values asks of a frame. The stack walker answers; tests answer from tables.

use gimli::{EndianSlice, Register, RunTimeEndian, Unit, UnitOffset};

use super::Units;

/// How debug information is read: bytes of either order, borrowed from a file.
pub type Reader<'i> = EndianSlice<'i, RunTimeEndian>;

/// Registers, memory and surroundings of one physical frame. Frames inlined into it share it.
///
/// Addresses are those of the process unless a method says otherwise.
pub trait FrameContext<'i> {
    /// Value of a general register when the frame was left: by DWARF number, zero-extended. None if it was not saved.
    fn register(&self, register: Register) -> Option<u64>;

    /// Value that a register has in the innermost frame, if no frame between saved it: the caller's too, if it relied
    /// on its callees not to change it.
    fn unsaved_register(&self, register: Register) -> Option<u64> {
        let _ = register;
        None
    }

    /// All bytes of a register that is wider than 8 bytes or no general one (`xmm0`, `v0`, `st0`), in the byte order
    /// of the process, at most 64. None if the core does not hold it or a callee may have changed it.
    fn wide_register(&self, register: Register) -> Option<Vec<u8>>;

    /// The same of a wide register: its value in the innermost frame.
    fn unsaved_wide_register(&self, register: Register) -> Option<Vec<u8>> {
        let _ = register;
        None
    }

    /// Canonical frame address.
    fn cfa(&self) -> Option<u64>;

    /// Memory of the process: from the core, else from the verified file that was mapped there read-only.
    ///
    /// # Errors
    /// The first address that cannot be read; nothing is promised of `into` then.
    fn read(&self, address: u64, into: &mut [u8]) -> Result<(), Unreadable>;

    /// Difference between addresses in memory and those in the file of the frame's module (wrapping).
    fn load_bias(&self) -> u64;

    /// Address of the thread's copy of the variable at this offset of the module's TLS block.
    fn tls(&self, offset: u64) -> Option<u64>;

    /// The symbol whose range holds the address, data and code of every module.
    fn symbol(&self, address: u64) -> Option<SymbolAt>;

    /// Address of a symbol by its linkage name, the frame's module first: of static members, of functions that have more
    /// than one name.
    fn address_of(&self, linkage_name: &str) -> Option<u64>;

    /// True if floating-point numbers of 10, 12 or 16 bytes are those of the x87 (i686, x86_64).
    fn has_x87_long_double(&self) -> bool {
        true
    }

    /// The frame that called this one, tail-call frames included, if it can be trusted (not found by a guess).
    fn caller(&self) -> Option<Caller<'_, 'i>>;
}

/// The calling frame, for values at the entry of the called function.
#[derive(Clone, Copy)]
pub struct Caller<'a, 'i> {
    /// Its registers and memory.
    pub context: &'a dyn FrameContext<'i>,
    /// Its outermost (not inlined) function, if that has debug information.
    pub function: Option<Function<'a, 'i>>,
    /// Where it goes on, as an address of its file: the call site is the one that returns there.
    pub return_address: u64,
}

/// The entry (`DW_TAG_subprogram`, `DW_TAG_inlined_subroutine`) of a function in the debug information.
#[derive(Clone, Copy)]
pub struct Function<'a, 'i> {
    /// The units of its debug files.
    pub units: &'a Units<'i>,
    /// Its unit: one of `units`, or a split unit of the file that `units` reads.
    pub unit: &'a Unit<Reader<'i>>,
    /// Its entry in the unit.
    pub offset: UnitOffset,
}

/// A symbol near an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SymbolAt {
    /// Its name, demangled.
    pub name: String,
    /// Bytes from its start to the address.
    pub offset: u64,
}

/// Memory that is neither in the core nor in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// The first such address.
    pub address: u64,
}

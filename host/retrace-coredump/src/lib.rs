//! Reads the facts of a crash from an ELF coredump alone, without the files that the process had mapped.
//!
//! [`read_facts`] gives signal, threads with registers, mapped files, and the modules with their build-ids;
//! [`decompress`] unpacks a compressed core into a sparse file first.
//! Promises: a core is hostile input, so every count, size and address in it is bounded by [`Limits`] before it
//! is believed; memory and bytes read do not depend on the size of the core, which is read by offsets and never
//! whole; a truncated core gives the facts that are left. What is missing is said: [`NoBuildId`] for a module,
//! [`CoreFacts::truncation`] and [`CoreFacts::remarks`] for the rest.
//!
//! ```no_run
//! let core = std::fs::File::open("core")?;
//! let facts = retrace_coredump::read_facts(&core, &retrace_coredump::Limits::default())?;
//! for module in &facts.modules {
//!     match &module.build_id {
//!         Ok(build_id) => println!("{} {build_id}", module.path),
//!         Err(reason) => println!("{}: no build-id: {reason}", module.path),
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Not here: unwinding stacks, finding the files of the modules, dumps of a kernel (recognised and refused).

mod decompress;
mod elf;
mod error;
mod facts;
mod limits;
mod link_map;
mod memory;
mod modules;
mod notes;
mod process;
mod process_memory;
mod read;
mod references;
mod registers;
mod remarks;
mod segments;
mod signal;
mod source;
mod stack_code;
mod wide_registers;

pub use decompress::{Compression, DecompressLimits, Decompressed, decompress, is_compressed};
pub use error::{CoreError, KernelDump};
pub use facts::{CoreFacts, FileMapping, LinkMapEntry, Thread, Truncation};
pub use limits::Limits;
pub use memory::Missing;
pub use modules::{Module, ModuleKind, NoBuildId, Part};
pub use process_memory::ProcessMemory;
pub use read::read_facts;
pub use registers::Registers;
pub use signal::Signal;
pub use source::ReadAt;
pub use stack_code::StackCode;
pub use wide_registers::WideRegisters;

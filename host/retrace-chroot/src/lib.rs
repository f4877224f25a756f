//! Environments in which a debugger sees a crash as it was: the files of a core, and a sandbox around the debugger.
//!
//! [`FileCache`] holds unpacked files by build-id, checked before they get their name; [`Sysroot`] is a folder of links
//! into it, laid out as the crashed process knew its files; [`backtrace`] runs gdb on both.
//!
//! Invariants: a file stands in the cache only under the build-id that its own ELF note states, so matching is never
//! left to gdb; no path from a core leads out of the sysroot; gdb runs without network, without anything of the host
//! writable, without environment and capabilities, within limits.
//! Not here: which packages hold the files (`retrace-mirror`), what the frames mean (`retrace-worker`).

mod cache;
mod elf;
mod error;
mod gdb;
mod layout;
mod sandbox;
mod sysroot;

pub use cache::{FileCache, FillRequest};
pub use error::ChrootError;
pub use gdb::{GdbReport, GdbRequest, GdbWarning, RawFrame, RawThread, backtrace};
pub use sandbox::SandboxLimits;
pub use sysroot::{Skipped, Sysroot, SysrootModule};

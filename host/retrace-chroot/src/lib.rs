//! Environments in which a debugger sees a crash as it was: the files of a core, and a sandbox around the debugger.
//!
//! [`Sysroot`] is a folder of links to unpacked files, laid out as the crashed process knew them; [`backtrace`] runs gdb on
//! it.
//!
//! Invariants: no path from a core leads out of the sysroot; gdb runs without network, without anything of the host
//! writable, without environment and capabilities, within limits.
//! Not here: which packages hold the files (`retrace-mirror`), unpacking them and matching them by build-id
//! (`retrace_package::FileCache`), what the frames mean (`retrace-worker`).

mod elf;
mod error;
mod gdb;
mod layout;
mod sandbox;
mod sysroot;

pub use error::ChrootError;
pub use gdb::{GdbReport, GdbRequest, GdbWarning, RawFrame, RawThread, backtrace};
pub use sandbox::{Sandbox, SandboxLimits};
pub use sysroot::{Skipped, Sysroot, SysrootModule};

//! Native backtraces of coredumps: stacks, functions, lines, arguments and locals, without a debugger.
//!
//! [`backtrace`] takes the facts of a core and, from a [`Finder`], the files of its modules. [`values`] evaluates and prints the
//! variables of one frame, [`demangle`] makes names readable.
//! Promises: a core and its debug files are hostile input, so work, memory and depth are bounded by [`Limits`] and not by
//! what they claim; a file is used only if its build-id is the module's; every frame says how it was found
//! ([`Trust`](retrace_types::Trust)), and a guess is called one; nothing here spawns a program or uses the network.

mod backtrace;
mod cfi;
pub mod demangle;
mod image;
mod limits;
mod machine;
mod memory;
mod process;
mod symbols;
mod tail;
pub mod values;
mod walk;

use std::path::PathBuf;

use retrace_coredump::Module;

pub use backtrace::{NativeBacktrace, Options, Remark, RemarkKind, backtrace, text};
pub use image::Refused;
pub use limits::Limits;

/// The files of one module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModuleFiles {
    /// The module itself: without it, nothing tells where a function keeps its caller.
    pub binary: Option<PathBuf>,
    /// Its separate debug information.
    pub debug: Option<PathBuf>,
    /// The supplementary file (dwz, DWARF 5 section 7.3.6) that the debug information refers to.
    pub supplementary: Option<PathBuf>,
    /// The package (`.dwp`, DWARF 5 section 7.3.5) of the split units that the debug information refers to.
    pub package: Option<PathBuf>,
}

/// Where files come from: by build-id, never by name alone. What it gives is checked again.
pub trait Finder: Sync {
    /// What there is for a module.
    fn files(&self, module: &Module) -> ModuleFiles;

    /// The file (`.dwo`, DWARF 5 section 7.3.2) of a split unit of a module that no package holds. `path` is where the
    /// compiler wrote it, and as hostile as the debug information that says so.
    fn split(&self, _module: &Module, _path: &std::path::Path) -> Option<PathBuf> {
        None
    }
}

/// The build-id of a file; none if it has none or is no ELF file. A part of it is read.
#[must_use]
pub fn build_id(file: &std::path::Path) -> Option<retrace_types::BuildId> {
    image::build_id(file)
}

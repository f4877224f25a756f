use retrace_types::Architecture;

use crate::{Module, Registers, Signal, StackCode, WideRegisters};

/// What a core says about the process that it was made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoreFacts {
    /// Architecture of the process, not of the kernel: a 32-bit process on x86_64 is i686.
    pub architecture: Architecture,
    /// True for 64 bit (`ELFCLASS64`).
    pub wide: bool,
    /// True for big endian (`ELFDATA2MSB`).
    pub big_endian: bool,
    /// The signal that ended the process (`NT_SIGINFO`, else the first thread's `NT_PRSTATUS`); none for a core
    /// that a debugger made of a process in good health.
    pub signal: Option<Signal>,
    /// Process id (`NT_PRPSINFO`).
    pub pid: Option<u32>,
    /// Name of the program, at most 15 bytes (`TASK_COMM_LEN`; `NT_PRPSINFO`).
    pub command: Option<String>,
    /// First 79 bytes of the command line, joined by blanks (`ELF_PRARGSZ`; `NT_PRPSINFO`).
    pub arguments: Option<String>,
    /// Path of the program: the mapping that holds `AT_ENTRY` or `AT_PHDR`, else the first mapping.
    pub executable: Option<String>,
    /// Threads in the core's order; the kernel puts the one that took the signal first.
    pub threads: Vec<Thread>,
    /// Auxiliary vector as (`AT_…`, value), without the `AT_NULL` at its end (`NT_AUXV`).
    pub auxv: Vec<(u64, u64)>,
    /// Mapped files, by address (`NT_FILE`).
    pub mappings: Vec<FileMapping>,
    /// Mapped files that hold code, and the vdso, by address.
    pub modules: Vec<Module>,
    /// The dynamic loader's list of modules, in its order, from the memory of the process; empty if it cannot
    /// be read or the program is static.
    pub link_map: Vec<LinkMapEntry>,
    /// What the stack of the first thread points to.
    pub stack_code: StackCode,
    /// Set if the core is shorter than its headers say.
    pub truncation: Option<Truncation>,
    /// What could not be read and why, one sentence each.
    pub remarks: Vec<String>,
}

/// A thread when the core was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thread {
    /// Kernel thread id (`pr_pid`).
    pub tid: u32,
    /// `pr_cursig`. The kernel writes the fatal signal to every thread.
    pub signal: i32,
    /// General registers.
    pub registers: Registers,
    /// Floating-point and vector registers (`NT_PRFPREG`, `NT_PRXFPREG`, `NT_X86_XSTATE`; x86 and aarch64).
    pub wide_registers: WideRegisters,
}

/// A range of memory that a file was mapped to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileMapping {
    /// First address.
    pub start: u64,
    /// Address behind the last one.
    pub end: u64,
    /// Offset of `start` in the file, in bytes.
    pub file_offset: u64,
    /// Path as the kernel knew it, with ` (deleted)` at its end if the file was gone. Bytes that are not UTF-8
    /// are replaced.
    pub path: String,
}

impl FileMapping {
    /// The path without the kernel's ` (deleted)`.
    #[must_use]
    pub fn file_path(&self) -> &str {
        self.path.strip_suffix(" (deleted)").unwrap_or(&self.path)
    }

    pub(crate) fn contains(&self, address: u64) -> bool {
        (self.start..self.end).contains(&address)
    }
}

/// An entry of the dynamic loader's list. Source: `struct link_map` of glibc's `<link.h>`, and musl's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkMapEntry {
    /// Difference between the addresses in memory and those in the file (`l_addr`).
    pub load_bias: u64,
    /// Address of the dynamic section (`l_ld`).
    pub dynamic: u64,
    /// Path as the loader opened it (`l_name`); empty for the program itself, and if it cannot be read.
    pub name: String,
}

/// A core that is shorter than its headers say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Truncation {
    /// Size that the headers ask for, in bytes.
    pub expected_size: u64,
    /// Size of the file, in bytes.
    pub actual_size: u64,
}

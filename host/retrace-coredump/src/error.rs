use std::{fmt, io};

use crate::Compression;

/// Why a core gives no facts at all, or could not be decompressed.
#[derive(Debug, thiserror::Error)]
pub enum CoreError {
    /// The operating system could not read the core.
    #[error("cannot read {what} of the core at offset {offset}")]
    Read {
        /// What was being read.
        what: &'static str,
        /// Offset in the core, in bytes.
        offset: u64,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// The file does not start as an ELF file does.
    #[error("not an ELF core: the file starts with {start}; give the core as the kernel wrote it")]
    NotElf {
        /// First bytes, escaped, at most 16 of them; `nothing` for an empty file.
        start: String,
    },
    /// An ELF file of another type.
    #[error("an ELF file of type {elf_type}, not a core (type 4): give the coredump, not the program")]
    NotCore {
        /// `e_type`: 1 object file, 2 executable, 3 shared object or position-independent executable.
        elf_type: u16,
    },
    /// A dump of a whole kernel.
    #[error("a dump of a kernel ({0}), not of a process: analyse it with crash(8)")]
    Kernel(KernelDump),
    /// The file is compressed.
    #[error("the file is compressed ({0}): decompress it first")]
    Compressed(Compression),
    /// No layout of registers is known for the machine.
    #[error(
        "ELF machine {machine}, {bits} bit, {} endian is not supported: want x86_64, aarch64, i686, armv7l, ppc64, \
         ppc64le, s390x or riscv64",
        if *.big_endian { "big" } else { "little" }
    )]
    Machine {
        /// `e_machine`.
        machine: u16,
        /// 32 or 64, from `EI_CLASS`.
        bits: u8,
        /// From `EI_DATA`.
        big_endian: bool,
    },
    /// The ELF header contradicts itself.
    #[error("the ELF header of the core is damaged: {0}")]
    Header(&'static str),
    /// The core ends before its ELF header does.
    #[error("the core is cut off after {actual_bytes} bytes, within its ELF header: fetch it again")]
    TooShort {
        /// Size of the core.
        actual_bytes: u64,
    },
    /// [`decompress`](crate::decompress()) got something that is not compressed, or not in a known format.
    #[error("the file is not compressed with gzip, xz, zstd, lz4 or bzip2")]
    NotCompressed,
    /// The compressed data is damaged, or needs more memory than allowed.
    #[error("cannot decompress the {compression} data: it is damaged or needs a window above {window_bytes} bytes")]
    Decompress {
        /// Format.
        compression: Compression,
        /// [`DecompressLimits::max_window_bytes`](crate::DecompressLimits::max_window_bytes).
        window_bytes: u64,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// The compressed data holds more than allowed. The output holds the part up to the limit.
    #[error("the core has more than {limit_bytes} bytes when decompressed: raise the limit if it is wanted")]
    TooLarge {
        /// [`DecompressLimits::max_output_bytes`](crate::DecompressLimits::max_output_bytes).
        limit_bytes: u64,
    },
    /// The decompressed core takes more of the disk than allowed, holes left out.
    #[error(
        "the core takes more than {limit_bytes} bytes of the disk when decompressed: raise the limit if it is wanted"
    )]
    TooMuchDisk {
        /// [`DecompressLimits::max_stored_bytes`](crate::DecompressLimits::max_stored_bytes).
        limit_bytes: u64,
    },
    /// The decompressed core could not be written.
    #[error("cannot write the decompressed core: check the space left on its disk")]
    Write(#[source] io::Error),
}

/// Formats that kernel dumps come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KernelDump {
    /// Compressed by makedumpfile: magic `KDUMP   `.
    Kdump,
    /// The older compressed format: magic `DISKDUMP`.
    Diskdump,
    /// Flattened by makedumpfile for a pipe: magic `makedumpfile`.
    Flattened,
    /// ELF as `/proc/vmcore` gives it: a core with the note `VMCOREINFO`.
    Vmcore,
}

impl KernelDump {
    /// Format of a file that starts with these bytes, for those that are not ELF.
    ///
    /// Source: makedumpfile's `diskdump_mod.h` and `makedumpfile.h`.
    pub(crate) fn detect(start: &[u8]) -> Option<Self> {
        let magics: [(&[u8], Self); 3] =
            [(b"KDUMP   ", Self::Kdump), (b"DISKDUMP", Self::Diskdump), (b"makedumpfile", Self::Flattened)];
        magics.into_iter().find(|(magic, _)| start.starts_with(magic)).map(|(_, format)| format)
    }
}

impl fmt::Display for KernelDump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kdump => "kdump-compressed",
            Self::Diskdump => "diskdump",
            Self::Flattened => "flattened by makedumpfile",
            Self::Vmcore => "ELF vmcore",
        })
    }
}

//! Layout of the general registers in `NT_PRSTATUS`, for each architecture.

use retrace_types::Architecture;

use crate::elf::Encoding;

/// General registers of a thread, named as gdb names them, in the order of the core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registers {
    architecture: Architecture,
    /// One for each name of the layout; empty if the note was cut off.
    values: Box<[u64]>,
}

impl Registers {
    /// Program counter. None if the core was cut off within the registers.
    #[must_use]
    pub fn pc(&self) -> Option<u64> {
        self.get(layout(self.architecture).pc)
    }

    /// Stack pointer. None if the core was cut off within the registers.
    #[must_use]
    pub fn sp(&self) -> Option<u64> {
        self.get(layout(self.architecture).sp)
    }

    /// Value of one register: `rip`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<u64> {
        self.iter().find(|(candidate, _)| *candidate == name).map(|(_, value)| value)
    }

    /// Every register with its value.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let names = layout(self.architecture).fields.iter().flat_map(|fields| fields.names);
        names.copied().zip(self.values.iter().copied())
    }

    /// Registers with these values, by name: for tests of those who use facts.
    #[must_use]
    pub fn from_values(architecture: Architecture, value: impl Fn(&str) -> u64) -> Self {
        let names = layout(architecture).fields.iter().flat_map(|fields| fields.names);
        Self { architecture, values: names.map(|name| value(name)).collect() }
    }

    /// Decodes `pr_reg`, which `bytes` start with. No registers at all if there are too few bytes.
    pub(crate) fn parse(architecture: Architecture, encoding: Encoding, bytes: &[u8]) -> Self {
        let layout = layout(architecture);
        let widths = layout.fields.iter().flat_map(|fields| fields.names.iter().map(|_| fields.bytes));
        let mut at = 0;
        let values: Option<Box<[u64]>> = widths
            .map(|width| {
                let value = if width == 8 { encoding.u64(bytes, at) } else { encoding.u32(bytes, at).map(u64::from) };
                at += width;
                value
            })
            .collect();
        Self { architecture, values: values.unwrap_or_default() }
    }
}

/// Most bytes that `pr_reg` takes on any architecture: `ELF_NGREG` is 48 on ppc64.
pub(crate) const MAX_REGISTER_BYTES: usize = 48 * 8;

struct Layout {
    fields: &'static [Fields],
    pc: &'static str,
    sp: &'static str,
}

/// Neighbouring registers of one width.
struct Fields {
    bytes: usize,
    names: &'static [&'static str],
}

fn layout(architecture: Architecture) -> &'static Layout {
    match architecture {
        Architecture::X86_64 => &X86_64,
        Architecture::Aarch64 => &AARCH64,
        Architecture::I686 => &I686,
        Architecture::Armv7l => &ARM,
        Architecture::Ppc64 | Architecture::Ppc64le => &PPC64,
        Architecture::S390x => &S390X,
        Architecture::Riscv64 => &RISCV64,
    }
}

/// Source: `struct user_regs_struct` in the kernel's `arch/x86/include/asm/user_64.h`.
static X86_64: Layout = Layout {
    fields: &[Fields {
        bytes: 8,
        names: &[
            "r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi", "rdi",
            "orig_rax", "rip", "cs", "eflags", "rsp", "ss", "fs_base", "gs_base", "ds", "es", "fs", "gs",
        ],
    }],
    pc: "rip",
    sp: "rsp",
};

/// Source: `struct user_regs_struct` in the kernel's `arch/x86/include/asm/user_32.h`.
static I686: Layout = Layout {
    fields: &[Fields {
        bytes: 4,
        names: &[
            "ebx", "ecx", "edx", "esi", "edi", "ebp", "eax", "ds", "es", "fs", "gs", "orig_eax", "eip", "cs", "eflags",
            "esp", "ss",
        ],
    }],
    pc: "eip",
    sp: "esp",
};

/// Source: `struct user_pt_regs` in the kernel's `arch/arm64/include/uapi/asm/ptrace.h`; gdb's `cpsr` is its `pstate`.
static AARCH64: Layout = Layout {
    fields: &[Fields {
        bytes: 8,
        names: &[
            "x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15",
            "x16", "x17", "x18", "x19", "x20", "x21", "x22", "x23", "x24", "x25", "x26", "x27", "x28", "x29", "x30",
            "sp", "pc", "cpsr",
        ],
    }],
    pc: "pc",
    sp: "sp",
};

/// Source: `ARM_r0` … `ARM_ORIG_r0` in the kernel's `arch/arm/include/uapi/asm/ptrace.h`.
static ARM: Layout = Layout {
    fields: &[Fields {
        bytes: 4,
        names: &[
            "r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11", "r12", "sp", "lr", "pc", "cpsr",
            "orig_r0",
        ],
    }],
    pc: "pc",
    sp: "sp",
};

/// Source: `struct pt_regs` in the kernel's `arch/powerpc/include/uapi/asm/ptrace.h`; gdb's `pc`, `lr` and `cr` are its
/// `nip`, `link` and `ccr`.
static PPC64: Layout = Layout {
    fields: &[Fields {
        bytes: 8,
        names: &[
            "r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
            "r16", "r17", "r18", "r19", "r20", "r21", "r22", "r23", "r24", "r25", "r26", "r27", "r28", "r29", "r30",
            "r31", "pc", "msr", "orig_r3", "ctr", "lr", "xer", "cr", "softe", "trap", "dar", "dsisr", "result",
        ],
    }],
    pc: "pc",
    sp: "r1",
};

/// Source: `s390_regs` in the kernel's `arch/s390/include/uapi/asm/ptrace.h`.
static S390X: Layout = Layout {
    fields: &[
        Fields {
            bytes: 8,
            names: &[
                "pswm", "pswa", "r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11", "r12", "r13",
                "r14", "r15",
            ],
        },
        Fields {
            bytes: 4,
            names: &[
                "acr0", "acr1", "acr2", "acr3", "acr4", "acr5", "acr6", "acr7", "acr8", "acr9", "acr10", "acr11",
                "acr12", "acr13", "acr14", "acr15",
            ],
        },
        Fields { bytes: 8, names: &["orig_r2"] },
    ],
    pc: "pswa",
    sp: "r15",
};

/// Source: `struct user_regs_struct` in the kernel's `arch/riscv/include/uapi/asm/ptrace.h`; gdb's `fp` is its `s0`.
static RISCV64: Layout = Layout {
    fields: &[Fields {
        bytes: 8,
        names: &[
            "pc", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "fp", "s1", "a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7",
            "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "t3", "t4", "t5", "t6",
        ],
    }],
    pc: "pc",
    sp: "sp",
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_have_the_size_of_the_kernel_structures() {
        let cases = [
            (Architecture::X86_64, 216),
            (Architecture::I686, 68),
            (Architecture::Aarch64, 272),
            (Architecture::Armv7l, 72),
            (Architecture::Ppc64, 44 * 8), // ELF_NGREG is 48: the kernel pads with zeros
            (Architecture::Ppc64le, 44 * 8),
            (Architecture::S390x, 216),
            (Architecture::Riscv64, 256),
        ];
        assert_eq!(cases.map(|(architecture, _)| architecture).len(), Architecture::ALL.len());
        for (architecture, want) in cases {
            let layout = layout(architecture);
            let size: usize = layout.fields.iter().map(|fields| fields.bytes * fields.names.len()).sum();
            assert_eq!(size, want, "{architecture}");
            assert!(size <= MAX_REGISTER_BYTES);
            let names: Vec<&str> = layout.fields.iter().flat_map(|fields| fields.names).copied().collect();
            assert!(names.contains(&layout.pc) && names.contains(&layout.sp), "{architecture}");
        }
    }

    #[test]
    fn registers_that_were_cut_off_are_none_at_all() {
        let encoding = Encoding { wide: true, big_endian: false };
        let whole = Registers::parse(Architecture::X86_64, encoding, &[7; 216]);
        assert_eq!(whole.pc(), Some(0x0707_0707_0707_0707));
        assert_eq!(whole.iter().count(), 27);
        let cut = Registers::parse(Architecture::X86_64, encoding, &[7; 215]);
        assert_eq!((cut.pc(), cut.sp(), cut.iter().count()), (None, None, 0));
    }
}

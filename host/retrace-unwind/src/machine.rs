//! What differs between architectures: which registers there are, by DWARF number, and how functions return.
//!
//! Sources: System V psABI x86-64 1.0 (figure 3.36), i386 (table 2.14), DWARF for the Arm 64-bit and 32-bit architectures,
//! Power Architecture 64-Bit ELF V2 ABI (table 2.26), ELF s390x ABI supplement (1.5), RISC-V psABI (DWARF register numbers).

use gimli::Register;
use retrace_coredump::{Registers, WideRegisters};
use retrace_types::Architecture;

/// More registers than any table of unwinding rules names.
pub(crate) const MAX_REGISTERS: usize = 192;

/// The registers of a frame that the walk follows, by DWARF number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RegisterFile(Vec<Option<u64>>);

impl RegisterFile {
    pub(crate) fn get(&self, register: Register) -> Option<u64> {
        self.0.get(usize::from(register.0)).copied().flatten()
    }

    /// Registers beyond those that are followed are forgotten.
    pub(crate) fn set(&mut self, register: Register, value: Option<u64>) {
        let index = usize::from(register.0);
        if index >= self.0.len() && index < MAX_REGISTERS {
            self.0.resize(index + 1, None);
        }
        if let Some(slot) = self.0.get_mut(index) {
            *slot = value;
        }
    }
}

/// How an architecture calls and returns.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) stack_pointer: Register,
    /// The register that code of frame pointers keeps them in.
    pub(crate) frame_pointer: Register,
    /// Holds the return address when a function begins; none: the call pushed it.
    pub(crate) link: Option<Register>,
    /// Where the frame pointer's chain has the caller's frame pointer and the return address, relative to the frame pointer;
    /// then the size of both. None: there is no such chain.
    pub(crate) chain: Option<(i64, i64, u64)>,
    /// Bits of a return address that are an address; the others may be a signature (pointer authentication).
    pub(crate) address_mask: u64,
    pub(crate) word_bytes: u8,
    /// Registers that a function keeps for its caller, by DWARF number: the first and the last of each range.
    kept: &'static [(u16, u16)],
    /// DWARF numbers of the vector registers: that of the first, and how many.
    vectors: (u16, u16),
    /// DWARF number of `st0`.
    x87: Option<u16>,
    /// DWARF numbers of the general registers, by their name in the core.
    names: &'static [(&'static str, u16)],
}

impl Machine {
    pub(crate) fn of(architecture: Architecture) -> &'static Self {
        match architecture {
            Architecture::X86_64 => &X86_64,
            Architecture::I686 => &I686,
            Architecture::Aarch64 => &AARCH64,
            Architecture::Armv7l => &ARM,
            Architecture::Ppc64 | Architecture::Ppc64le => &PPC64,
            Architecture::S390x => &S390X,
            Architecture::Riscv64 => &RISCV64,
        }
    }

    /// True if a called function does not change this register, or puts it back.
    pub(crate) fn keeps(&self, register: Register) -> bool {
        self.kept.iter().any(|(first, last)| (*first..=*last).contains(&register.0))
    }

    /// The bytes of a floating-point or vector register that the kernel stored for a thread.
    pub(crate) fn wide(&self, stored: &WideRegisters, register: Register) -> Option<Vec<u8>> {
        let (first, count) = self.vectors;
        if let Some(index) = register.0.checked_sub(first).filter(|index| *index < count) {
            return stored.vector(index.into());
        }
        let index = register.0.checked_sub(self.x87?).filter(|index| *index < 8)?;
        stored.x87(index.into()).map(Vec::from)
    }

    /// The registers that the kernel stored for a thread.
    pub(crate) fn registers(&self, stored: &Registers) -> RegisterFile {
        let mut file = RegisterFile(Vec::with_capacity(96));
        for (name, number) in self.names {
            file.set(Register(*number), stored.get(name));
        }
        file
    }
}

macro_rules! numbered {
    ($($name:literal $number:literal),* $(,)?) => { &[$(($name, $number)),*] };
}

static X86_64: Machine = Machine {
    stack_pointer: Register(7),
    frame_pointer: Register(6),
    link: None,
    chain: Some((0, 8, 16)),
    address_mask: u64::MAX,
    word_bytes: 8,
    kept: &[(3, 3), (6, 7), (12, 16), (50, 59)],
    vectors: (17, 16),
    x87: Some(33),
    names: numbered![
        "rax" 0, "rdx" 1, "rcx" 2, "rbx" 3, "rsi" 4, "rdi" 5, "rbp" 6, "rsp" 7, "r8" 8, "r9" 9, "r10" 10, "r11" 11,
        "r12" 12, "r13" 13, "r14" 14, "r15" 15, "rip" 16, "eflags" 49, "es" 50, "cs" 51, "ss" 52, "ds" 53, "fs" 54,
        "gs" 55, "fs_base" 58, "gs_base" 59,
    ],
};

static I686: Machine = Machine {
    stack_pointer: Register(4),
    frame_pointer: Register(5),
    link: None,
    chain: Some((0, 4, 8)),
    address_mask: 0xffff_ffff,
    word_bytes: 4,
    kept: &[(3, 8)],
    vectors: (21, 8),
    x87: Some(11),
    names: numbered![
        "eax" 0, "ecx" 1, "edx" 2, "ebx" 3, "esp" 4, "ebp" 5, "esi" 6, "edi" 7, "eip" 8, "eflags" 9,
    ],
};

static AARCH64: Machine = Machine {
    stack_pointer: Register(31),
    frame_pointer: Register(29),
    link: Some(Register(30)),
    chain: Some((0, 8, 16)),
    // User space has 48 bits, 52 with large addresses that programs have to ask for.
    address_mask: (1 << 48) - 1,
    word_bytes: 8,
    kept: &[(19, 32)],
    vectors: (64, 32),
    x87: None,
    names: numbered![
        "x0" 0, "x1" 1, "x2" 2, "x3" 3, "x4" 4, "x5" 5, "x6" 6, "x7" 7, "x8" 8, "x9" 9, "x10" 10, "x11" 11, "x12" 12,
        "x13" 13, "x14" 14, "x15" 15, "x16" 16, "x17" 17, "x18" 18, "x19" 19, "x20" 20, "x21" 21, "x22" 22, "x23" 23,
        "x24" 24, "x25" 25, "x26" 26, "x27" 27, "x28" 28, "x29" 29, "x30" 30, "sp" 31, "pc" 32,
    ],
};

static ARM: Machine = Machine {
    stack_pointer: Register(13),
    frame_pointer: Register(11),
    link: Some(Register(14)),
    chain: None,
    // Bit 0 says that the caller is Thumb code.
    address_mask: 0xffff_fffe,
    word_bytes: 4,
    kept: &[(4, 11), (13, 15)],
    vectors: (0, 0),
    x87: None,
    names: numbered![
        "r0" 0, "r1" 1, "r2" 2, "r3" 3, "r4" 4, "r5" 5, "r6" 6, "r7" 7, "r8" 8, "r9" 9, "r10" 10, "r11" 11, "r12" 12,
        "sp" 13, "lr" 14, "pc" 15,
    ],
};

static PPC64: Machine = Machine {
    stack_pointer: Register(1),
    // The back chain: each frame begins with the address of the one before.
    frame_pointer: Register(1),
    link: Some(Register(65)),
    chain: None,
    address_mask: u64::MAX,
    word_bytes: 8,
    kept: &[(1, 2), (13, 31), (65, 65)],
    vectors: (0, 0),
    x87: None,
    names: numbered![
        "r0" 0, "r1" 1, "r2" 2, "r3" 3, "r4" 4, "r5" 5, "r6" 6, "r7" 7, "r8" 8, "r9" 9, "r10" 10, "r11" 11, "r12" 12,
        "r13" 13, "r14" 14, "r15" 15, "r16" 16, "r17" 17, "r18" 18, "r19" 19, "r20" 20, "r21" 21, "r22" 22, "r23" 23,
        "r24" 24, "r25" 25, "r26" 26, "r27" 27, "r28" 28, "r29" 29, "r30" 30, "r31" 31, "lr" 65, "ctr" 66, "cr" 68,
    ],
};

static S390X: Machine = Machine {
    stack_pointer: Register(15),
    frame_pointer: Register(11),
    link: Some(Register(14)),
    chain: None,
    address_mask: u64::MAX,
    word_bytes: 8,
    kept: &[(6, 15), (64, 65)],
    vectors: (0, 0),
    x87: None,
    names: numbered![
        "r0" 0, "r1" 1, "r2" 2, "r3" 3, "r4" 4, "r5" 5, "r6" 6, "r7" 7, "r8" 8, "r9" 9, "r10" 10, "r11" 11, "r12" 12,
        "r13" 13, "r14" 14, "r15" 15, "pswm" 64, "pswa" 65,
    ],
};

static RISCV64: Machine = Machine {
    stack_pointer: Register(2),
    frame_pointer: Register(8),
    link: Some(Register(1)),
    chain: Some((-16, -8, 0)),
    address_mask: u64::MAX,
    word_bytes: 8,
    kept: &[(1, 4), (8, 9), (18, 27)],
    vectors: (0, 0),
    x87: None,
    names: numbered![
        "ra" 1, "sp" 2, "gp" 3, "tp" 4, "t0" 5, "t1" 6, "t2" 7, "fp" 8, "s1" 9, "a0" 10, "a1" 11, "a2" 12, "a3" 13,
        "a4" 14, "a5" 15, "a6" 16, "a7" 17, "s2" 18, "s3" 19, "s4" 20, "s5" 21, "s6" 22, "s7" 23, "s8" 24, "s9" 25,
        "s10" 26, "s11" 27, "t3" 28, "t4" 29, "t5" 30, "t6" 31,
    ],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_register_of_the_tables_is_one_that_cores_hold() {
        for architecture in Architecture::ALL {
            let machine = Machine::of(architecture);
            let stored = Registers::from_values(architecture, |name| name.len() as u64 + 1);
            let file = machine.registers(&stored);
            for (name, number) in machine.names {
                assert_eq!(file.get(Register(*number)), Some(name.len() as u64 + 1), "{architecture} {name}");
            }
            for register in [Some(machine.stack_pointer), machine.link].into_iter().flatten() {
                assert!(file.get(register).is_some(), "{architecture} {register:?}");
            }
        }
    }
}

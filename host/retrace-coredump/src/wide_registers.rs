//! Floating-point and vector registers of a thread, which are wider than its general ones.
//!
//! Sources: `struct user_fpregs_struct` (x86_64) and `struct user_i387_struct` (i686) in the kernel's
//! `arch/x86/include/asm/user_*.h`, the XSAVE area in Intel's manual (volume 1, 13.4), `struct user_fpsimd_state` in
//! `arch/arm64/include/uapi/asm/ptrace.h`.

use retrace_types::Architecture;

/// Bytes of an x87 register.
const X87_BYTES: usize = 10;
/// Bytes of an XMM register, of a vector register of aarch64.
const VECTOR_BYTES: usize = 16;
/// The area that FXSAVE writes; XSAVE's begins with it.
const FXSAVE_BYTES: usize = 512;
/// `struct user_i387_struct`.
const FSAVE_BYTES: usize = 108;
/// Where XSAVE writes which components it wrote, and the upper halves of the YMM registers. The kernel writes the
/// standard form, in which they are always there.
const XSTATE_BV: usize = 512;
const YMM_UPPER: usize = 576;
/// Component of the upper halves in `XSTATE_BV`.
const AVX: u8 = 1 << 2;

/// Most bytes of a note that are of use: the parts behind are those of wider and rarer registers.
pub(crate) const MAX_WIDE_BYTES: usize = YMM_UPPER + 16 * VECTOR_BYTES;

/// `NT_PRFPREG`, `NT_PRXFPREG` and `NT_X86_XSTATE`.
pub(crate) const NOTES: [u32; 3] = [object::elf::NT_PRFPREG, object::elf::NT_PRXFPREG, object::elf::NT_X86_XSTATE];

/// Floating-point and vector registers of a thread, in the byte order of the process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WideRegisters {
    /// `st0` to `st7`.
    x87: Vec<[u8; X87_BYTES]>,
    /// `xmm0` on, or `v0` on.
    vectors: Vec<[u8; VECTOR_BYTES]>,
    /// Upper halves of `ymm0` on.
    upper: Vec<[u8; VECTOR_BYTES]>,
}

impl WideRegisters {
    /// All bytes of a vector register: 16 of `v0` (aarch64), 32 of `ymm0`, or 16 of `xmm0` where the core has no more.
    #[must_use]
    pub fn vector(&self, index: usize) -> Option<Vec<u8>> {
        let mut bytes = self.vectors.get(index)?.to_vec();
        bytes.extend(self.upper.get(index).into_iter().flatten());
        Some(bytes)
    }

    /// The bytes of a register of the x87's stack (`st0` is 0).
    #[must_use]
    pub fn x87(&self, index: usize) -> Option<[u8; 10]> {
        self.x87.get(index).copied()
    }

    /// Takes what a note of the thread tells. Registers that are cut off are missing.
    pub(crate) fn add(&mut self, architecture: Architecture, kind: u32, bytes: &[u8]) {
        match (architecture, kind) {
            (Architecture::X86_64, object::elf::NT_PRFPREG) => self.fxsave(bytes, 16),
            (Architecture::I686, object::elf::NT_PRXFPREG) => self.fxsave(bytes, 8),
            (Architecture::X86_64, object::elf::NT_X86_XSTATE) => self.xsave(bytes, 16),
            (Architecture::I686, object::elf::NT_X86_XSTATE) => self.xsave(bytes, 8),
            (Architecture::I686, object::elf::NT_PRFPREG) if self.x87.is_empty() => {
                let stack = bytes.get(FSAVE_BYTES - 8 * X87_BYTES..FSAVE_BYTES).unwrap_or_default();
                self.x87 = rows(stack, X87_BYTES);
            }
            (Architecture::Aarch64, object::elf::NT_PRFPREG) => {
                self.vectors = rows(bytes.get(..32 * VECTOR_BYTES).unwrap_or_default(), VECTOR_BYTES);
            }
            _ => {}
        }
    }

    /// 8 registers of the x87 at byte 32, each in 16 bytes, then the XMM registers.
    fn fxsave(&mut self, bytes: &[u8], count: usize) {
        let Some(area) = bytes.get(..FXSAVE_BYTES) else { return };
        self.x87 = rows(area.get(32..160).unwrap_or_default(), 16);
        self.vectors = rows(area.get(160..160 + count * VECTOR_BYTES).unwrap_or_default(), VECTOR_BYTES);
    }

    fn xsave(&mut self, bytes: &[u8], count: usize) {
        self.fxsave(bytes, count);
        let is_written = bytes.get(XSTATE_BV).is_some_and(|components| components & AVX != 0);
        let upper = bytes.get(YMM_UPPER..YMM_UPPER + count * VECTOR_BYTES);
        self.upper = match upper {
            Some(upper) if is_written => rows(upper, VECTOR_BYTES),
            // What XSAVE leaves out is in its first state: zero.
            Some(_) => vec![[0; VECTOR_BYTES]; count],
            None => Vec::new(),
        };
    }
}

/// The first `N` bytes of each row.
fn rows<const N: usize>(bytes: &[u8], distance: usize) -> Vec<[u8; N]> {
    bytes.chunks_exact(distance).filter_map(|row| row.first_chunk().copied()).collect()
}

#[cfg(test)]
mod tests {
    use object::elf::{NT_PRFPREG, NT_PRXFPREG, NT_X86_XSTATE};

    use super::*;

    /// Each byte is the low byte of its offset divided by 16.
    fn area(size: usize) -> Vec<u8> {
        (0..size).map(|at| u8::try_from(at / 16 % 256).unwrap()).collect()
    }

    #[test]
    fn registers_lie_where_the_processor_writes_them() {
        let mut bytes = area(832);
        bytes[XSTATE_BV] = 7;
        let mut x86 = WideRegisters::default();
        x86.add(Architecture::X86_64, NT_PRFPREG, &bytes[..512]);
        assert_eq!(x86.vector(1), Some(vec![11; 16]));
        assert_eq!(x86.x87(7), Some([9; 10]));
        x86.add(Architecture::X86_64, NT_X86_XSTATE, &bytes);
        assert_eq!(x86.vector(15), Some([[25; 16], [51; 16]].concat()));
        assert_eq!((x86.vector(16), x86.x87(8)), (None, None));
        bytes[XSTATE_BV] = 3;
        x86.add(Architecture::X86_64, NT_X86_XSTATE, &bytes);
        assert_eq!(x86.vector(15), Some([[25; 16], [0; 16]].concat()), "not written: zero");

        let mut arm = WideRegisters::default();
        arm.add(Architecture::Aarch64, NT_PRFPREG, &area(528));
        assert_eq!((arm.vector(31), arm.vector(32)), (Some(vec![31; 16]), None));

        let mut i686 = WideRegisters::default();
        i686.add(Architecture::I686, NT_PRFPREG, &area(108));
        assert!(i686.x87(7).is_some() && i686.vector(0).is_none());
        i686.add(Architecture::I686, NT_PRXFPREG, &area(512));
        assert!(i686.vector(7).is_some() && i686.vector(8).is_none());
    }

    #[test]
    fn registers_that_are_cut_off_are_missing() {
        for architecture in Architecture::ALL {
            for kind in NOTES {
                for size in [0, 1, 107, 511, 513, 831] {
                    let mut registers = WideRegisters::default();
                    registers.add(architecture, kind, &area(size));
                    assert!(
                        registers.vector(0).is_none_or(|bytes| matches!(bytes.len(), 16 | 32)),
                        "{architecture} {kind} {size}"
                    );
                }
            }
        }
    }
}

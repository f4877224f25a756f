use crate::elf::Encoding;

/// The signal that ended a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signal {
    /// Number.
    pub number: i32,
    /// `si_code`; none if the core has no `NT_SIGINFO`.
    pub code: Option<i32>,
    /// `si_addr`: the address that could not be accessed, or of the instruction that could not be run. Only for
    /// SIGILL, SIGTRAP, SIGBUS, SIGFPE and SIGSEGV raised by the processor; none where the processor does not tell it
    /// (`SI_KERNEL`, as for a non-canonical address on x86_64).
    pub fault_address: Option<u64>,
}

impl Signal {
    /// `SIGSEGV`; `SIG35` for one without a name.
    ///
    /// Source: the kernel's `include/uapi/asm-generic/signal.h`; every supported architecture has these numbers.
    #[must_use]
    pub fn name(&self) -> String {
        let index = usize::try_from(self.number).unwrap_or(0);
        match NAMES.get(index) {
            Some(name) if !name.is_empty() => format!("SIG{name}"),
            _ => format!("SIG{}", self.number),
        }
    }

    /// Decodes `siginfo_t`. None if it is too short or tells of no signal.
    ///
    /// Source: the kernel's `include/uapi/asm-generic/siginfo.h`: number, errno and code as `int`, then a union
    /// aligned as a pointer.
    pub(crate) fn from_siginfo(encoding: Encoding, bytes: &[u8]) -> Option<Self> {
        let number = encoding.i32(bytes, 0).filter(|number| *number != 0)?;
        let code = encoding.i32(bytes, 8)?;
        let raised_by_processor = FAULTS.contains(&number) && code > 0 && code != SI_KERNEL;
        let fault_address =
            if raised_by_processor { encoding.word(bytes, if encoding.wide { 16 } else { 12 }) } else { None };
        Some(Self { number, code: Some(code), fault_address })
    }
}

/// SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV: those whose `siginfo_t` holds an address.
const FAULTS: [i32; 5] = [4, 5, 7, 8, 11];
/// `si_code` of a signal that the kernel raised without saying why.
const SI_KERNEL: i32 = 0x80;

const NAMES: [&str; 32] = [
    "", "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM",
    "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH",
    "IO", "PWR", "SYS",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let cases = [(11, "SIGSEGV"), (6, "SIGABRT"), (31, "SIGSYS"), (35, "SIG35"), (0, "SIG0"), (-1, "SIG-1")];
        for (number, want) in cases {
            assert_eq!(Signal { number, code: None, fault_address: None }.name(), want);
        }
    }

    #[test]
    fn the_fault_address_is_told_only_where_the_processor_raised_the_signal() {
        let little = Encoding { wide: true, big_endian: false };
        let big = Encoding { wide: false, big_endian: true };
        let wide = |number: u8, code: i32| {
            let mut bytes = [0; 128];
            bytes[0] = number;
            bytes[8..12].copy_from_slice(&code.to_le_bytes());
            bytes[16..24].copy_from_slice(&0xdead_beef_u64.to_le_bytes());
            Signal::from_siginfo(little, &bytes).and_then(|signal| signal.fault_address)
        };
        assert_eq!(wide(11, 1), Some(0xdead_beef));
        assert_eq!(wide(7, 2), Some(0xdead_beef));
        assert_eq!(wide(11, 0), None, "sent by kill(2)");
        assert_eq!(wide(11, -6), None, "sent by tgkill(2)");
        assert_eq!(wide(11, 0x80), None, "general protection fault");
        assert_eq!(wide(6, 1), None, "not a fault");

        let mut bytes = [0; 128];
        bytes[3] = 11;
        bytes[11] = 1;
        bytes[12..16].copy_from_slice(&[1, 2, 3, 4]);
        let signal = Signal::from_siginfo(big, &bytes).unwrap();
        assert_eq!((signal.number, signal.code, signal.fault_address), (11, Some(1), Some(0x0102_0304)));
        assert_eq!(Signal::from_siginfo(big, &bytes[..6]), None);
        assert_eq!(Signal::from_siginfo(big, &[0; 128]), None);
    }
}

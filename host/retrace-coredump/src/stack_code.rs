//! Where the crashed thread came from, as far as its stack tells without being unwound.

use retrace_types::Architecture;

use crate::{
    Thread,
    elf::Encoding,
    memory::Memory,
    references::{address_mask, stack},
};

/// Most addresses kept of one stack.
const MAX_ADDRESSES: usize = 1 << 16;

/// Words below this are no addresses on any supported machine.
const LOWEST_ADDRESS: u64 = 1 << 12;

/// The words on a stack that point to code, from the stack pointer on: return addresses, and whatever else looks like one.
/// Two crashes of the same programs with the same words came the same way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StackCode {
    /// The addresses, in the order of the stack.
    pub addresses: Vec<u64>,
    /// True if the whole stack was read, and no limit left out an address.
    pub whole: bool,
}

/// Of the thread that took the signal; at most `max_stack_bytes` of its stack are read.
pub(crate) fn of(
    memory: &Memory<'_>,
    (architecture, encoding): (Architecture, Encoding),
    thread: &Thread,
    max_stack_bytes: usize,
) -> StackCode {
    let Some(sp) = thread.registers.sp() else { return StackCode::default() };
    let word_bytes = encoding.word_bytes();
    let Ok(bytes) = stack(memory, sp, word_bytes, max_stack_bytes) else { return StackCode::default() };
    let start = sp & !(word_bytes as u64 - 1);
    let end = memory.area_end(start).unwrap_or(u64::MAX);
    let mask = address_mask(architecture);
    let words = bytes.chunks_exact(word_bytes).filter_map(|word| encoding.word(word, 0)).map(|word| word & mask);
    let mut found = words.filter(|word| *word >= LOWEST_ADDRESS && memory.is_executable(*word));
    let addresses: Vec<_> = found.by_ref().take(MAX_ADDRESSES).collect();
    let whole = found.next().is_none() && start.saturating_add(bytes.len() as u64) == end;
    StackCode { addresses, whole }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Registers, WideRegisters, memory::Area, source::Source};

    const LITTLE: Encoding = Encoding { wide: true, big_endian: false };

    /// The stack at 0x7000, code at 0x10000.
    fn of_stack(stack: &[u64], limit: usize) -> StackCode {
        let core: Vec<u8> = stack.iter().flat_map(|word| word.to_le_bytes()).collect();
        let size = core.len() as u64;
        let area = |address, size, executable| Area { address, size, offset: 0, dumped: size, executable };
        let code = Area { dumped: 0, ..area(0x10000, 0x1000, true) };
        let memory = Memory::new(Source::new(&core).unwrap(), vec![area(0x7000, size, false), code], 1 << 20);
        let mut values = [0_u64; 27];
        values[19] = 0x7000;
        let values: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let registers = Registers::parse(Architecture::X86_64, LITTLE, &values);
        of(
            &memory,
            (Architecture::X86_64, LITTLE),
            &Thread { tid: 1, signal: 11, registers, wide_registers: WideRegisters::default() },
            limit,
        )
    }

    #[test]
    fn words_that_point_to_code_are_kept_in_order() {
        let want = StackCode { addresses: vec![0x10fff, 0x10000], whole: true };
        assert_eq!(of_stack(&[0, 0x10fff, 0x7008, 0x11000, 0x10000, 1], 1 << 10), want);
    }

    #[test]
    fn a_stack_that_was_not_read_to_its_end_says_so() {
        assert_eq!(of_stack(&[0x10000, 0x10008], 8), StackCode { addresses: vec![0x10000], whole: false });
        let deep = of_stack(&vec![0x10000; MAX_ADDRESSES + 1], 1 << 20);
        assert_eq!((deep.addresses.len(), deep.whole), (MAX_ADDRESSES, false));
    }
}

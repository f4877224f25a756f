//! Which modules the threads refer to.
//!
//! Unwinding a stack and printing its values needs the files that some word on it, or some register, points into; of the
//! hundred libraries of a large program that is a handful. What is marked here is a good guess, not a proof: an address
//! may stand in memory that no stack shows, as on the stack that a signal handler with its own (sigaltstack(2))
//! interrupted.

use retrace_types::Architecture;

use crate::{Missing, Module, Thread, elf::Encoding, memory::Memory};

/// Sets [`Module::referenced`]. At most `max_stack_bytes` of each stack are read, from the stack pointer on; where the
/// limit on memory ends the reading, every module counts as referenced.
pub(crate) fn mark(
    memory: &Memory<'_>,
    (architecture, encoding): (Architecture, Encoding),
    threads: &[Thread],
    modules: &mut [Module],
    max_stack_bytes: usize,
) {
    let mut marker = Marker { modules, mask: address_mask(architecture) };
    for thread in threads {
        thread.registers.iter().for_each(|(_, value)| marker.see(value));
        let Some(sp) = thread.registers.sp() else { continue };
        match stack(memory, sp, encoding.word_bytes(), max_stack_bytes) {
            Ok(bytes) => bytes
                .chunks_exact(encoding.word_bytes())
                .filter_map(|word| encoding.word(word, 0))
                .for_each(|word| marker.see(word)),
            Err(Missing::Limit) => {
                marker.modules.iter_mut().for_each(|module| module.referenced = true);
                return;
            }
            // No debugger can read it either.
            Err(_) => {}
        }
    }
}

/// The stack above the stack pointer, as far as its memory area and the limit go.
pub(crate) fn stack(memory: &Memory<'_>, sp: u64, word_bytes: usize, limit: usize) -> Result<Vec<u8>, Missing> {
    let start = sp & !(word_bytes as u64 - 1);
    let end = memory.area_end(start).ok_or(Missing::NotMapped)?;
    let length = usize::try_from(end.saturating_sub(start)).unwrap_or(usize::MAX).min(limit);
    match memory.read_prefix(start, length) {
        (bytes, None) => Ok(bytes),
        (_, Some(Missing::Limit)) => Err(Missing::Limit),
        (bytes, Some(_)) => Ok(bytes),
    }
}

/// The bits of a word that are an address: on aarch64 the others may hold a tag or the signature of a return address
/// (Arm ARM, "Pointer authentication"; Linux gives user space 48 bits unless it asks for more).
pub(crate) fn address_mask(architecture: Architecture) -> u64 {
    match architecture {
        Architecture::Aarch64 => (1 << 48) - 1,
        _ => u64::MAX,
    }
}

struct Marker<'a> {
    /// By address.
    modules: &'a mut [Module],
    mask: u64,
}

impl Marker<'_> {
    fn see(&mut self, word: u64) {
        let address = word & self.mask;
        let behind = self.modules.partition_point(|module| module.start <= address);
        let module = behind.checked_sub(1).and_then(|index| self.modules.get_mut(index));
        if let Some(module) = module.filter(|module| address < module.end) {
            module.referenced = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ModuleKind, NoBuildId, Registers, WideRegisters, memory::Area, source::Source};

    const LITTLE: Encoding = Encoding { wide: true, big_endian: false };

    fn module(start: u64) -> Module {
        Module {
            path: format!("/lib{start:x}"),
            start,
            end: start + 0x1000,
            kind: ModuleKind::File,
            build_id: Err(NoBuildId::NoNote),
            load_bias: None,
            referenced: false,
        }
    }

    /// Marks modules at 0x10000, 0x20000, … for one thread with this stack at 0x7000 and this word in `rdi` (x0).
    fn marked(architecture: Architecture, stack: &[u64], register: u64, budget: u64, limit: usize) -> Vec<u64> {
        let core: Vec<u8> = stack.iter().flat_map(|word| word.to_le_bytes()).collect();
        let size = core.len() as u64;
        let areas = vec![Area { address: 0x7000, size, offset: 0, dumped: size, executable: false }];
        let memory = Memory::new(Source::new(&core).unwrap(), areas, budget);
        let mut values = [0_u64; 48];
        let (register_at, sp_at) = if architecture == Architecture::Aarch64 { (0, 31) } else { (14, 19) };
        values[register_at] = register;
        values[sp_at] = 0x7003;
        let values: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let registers = Registers::parse(architecture, LITTLE, &values);
        let threads = [Thread { tid: 1, signal: 11, registers, wide_registers: WideRegisters::default() }];
        let mut modules: Vec<_> = (1..5).map(|number| module(number * 0x10000)).collect();
        mark(&memory, (architecture, LITTLE), &threads, &mut modules, limit);
        modules.iter().filter(|module| module.referenced).map(|module| module.start).collect()
    }

    #[test]
    fn a_word_on_the_stack_or_in_a_register_marks_the_module_that_it_points_into() {
        let x86_64 = |stack: &[u64], register| marked(Architecture::X86_64, stack, register, 1 << 20, 1 << 10);
        assert_eq!(x86_64(&[1, 0x10000, 0x20fff, 0x31000], 0), [0x10000, 0x20000]);
        assert_eq!(x86_64(&[0xffff], 0x40008), [0x40000]);
        assert_eq!(x86_64(&[], 0), [0_u64; 0]);
    }

    #[test]
    fn a_signed_return_address_counts_on_aarch64() {
        let signed = 0x0041_0000_0002_0010;
        assert_eq!(marked(Architecture::Aarch64, &[signed], 0, 1 << 20, 1 << 10), [0x20000]);
        assert_eq!(marked(Architecture::X86_64, &[signed], 0, 1 << 20, 1 << 10), [0_u64; 0]);
    }

    #[test]
    fn a_deep_stack_is_read_to_its_limit_and_a_spent_budget_marks_all() {
        assert_eq!(marked(Architecture::X86_64, &[0, 0x10000, 0x20000], 0, 1 << 20, 16), [0x10000]);
        assert_eq!(marked(Architecture::X86_64, &[0x10000], 0, 0, 1 << 10).len(), 4);
    }
}

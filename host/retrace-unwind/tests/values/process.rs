//! A stopped process from its core and its program: memory, symbols, and frames by `.eh_frame`, of the program only.

use std::{cell::OnceCell, collections::BTreeMap};

use gimli::{
    BaseAddresses, CfaRule, Dwarf, EhFrame, EndianSlice, Register, RegisterRule, RunTimeEndian, UnwindContext,
    UnwindSection as _,
};
use object::{Object as _, ObjectSection as _, ObjectSegment as _, ObjectSymbol as _};
use retrace_unwind::{
    demangle::{Style, demangle},
    values::{Caller, FrameContext, Function, Place, Reader, SymbolAt, Units, Unreadable},
};

/// DWARF numbers of x86_64. Source: psABI, figure 3.36.
const REGISTERS: [&str; 17] = [
    "rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "rip",
];
/// Those that a function keeps for its caller.
const KEPT: [usize; 6] = [3, 6, 12, 13, 14, 15];
const RSP: usize = 7;
const RIP: usize = 16;

pub(crate) struct Process<'i> {
    core: Vec<(u64, &'i [u8])>,
    file: object::File<'i>,
    pub(crate) bias: u64,
    symbols: BTreeMap<u64, (u64, String)>,
    by_name: BTreeMap<String, u64>,
    units: &'i Units<'i>,
    xmm: Option<&'i [u8]>,
}

pub(crate) struct Frame<'p, 'i> {
    process: &'p Process<'i>,
    registers: [Option<u64>; 17],
    /// Those of the innermost frame.
    unsaved: [Option<u64>; 17],
    cfa: Option<u64>,
    /// Address of the file to look things up for.
    pub(crate) lookup: u64,
    is_innermost: bool,
    next: OnceCell<Option<Box<Frame<'p, 'i>>>>,
}

impl<'i> Process<'i> {
    pub(crate) fn new(
        core: &'i object::read::elf::ElfFile64<'i>,
        file: object::File<'i>,
        facts: &retrace_coredump::CoreFacts,
        xmm: Option<&'i [u8]>,
        units: &'i Units<'i>,
    ) -> Self {
        let memory = core.segments().filter_map(|segment| Some((segment.address(), segment.data().ok()?))).collect();
        let program = facts.executable.as_deref().unwrap();
        let module = facts.modules.iter().find(|module| module.path == program).unwrap();
        let mut symbols = BTreeMap::new();
        let mut by_name = BTreeMap::new();
        for symbol in file.symbols().filter(|symbol| symbol.is_definition() && symbol.size() > 0) {
            let name = symbol.name().unwrap_or_default().to_owned();
            by_name.insert(name.clone(), symbol.address());
            symbols.insert(symbol.address(), (symbol.size(), name));
        }
        Self { core: memory, file, bias: module.load_bias.unwrap(), symbols, by_name, units, xmm }
    }

    fn read(&self, address: u64, into: &mut [u8]) -> Result<(), Unreadable> {
        for (index, byte) in into.iter_mut().enumerate() {
            let at = address.wrapping_add(index as u64);
            let in_core = self
                .core
                .iter()
                .find_map(|(start, data)| data.get(usize::try_from(at.checked_sub(*start)?).ok()?).copied());
            let in_file = || {
                let at = at.wrapping_sub(self.bias);
                self.file.segments().find_map(|segment| {
                    segment.data().ok()?.get(usize::try_from(at.checked_sub(segment.address())?).ok()?).copied()
                })
            };
            *byte = in_core.or_else(in_file).ok_or(Unreadable { address: at })?;
        }
        Ok(())
    }

    fn word(&self, address: u64) -> Option<u64> {
        let mut bytes = [0; 8];
        self.read(address, &mut bytes).ok()?;
        Some(u64::from_le_bytes(bytes))
    }

    /// The innermost frame of a thread.
    pub(crate) fn frame(&self, registers: &retrace_coredump::Registers) -> Frame<'_, 'i> {
        let registers = REGISTERS.map(|name| registers.get(name));
        self.at(registers, registers, true)
    }

    fn at(&self, registers: [Option<u64>; 17], unsaved: [Option<u64>; 17], is_innermost: bool) -> Frame<'_, 'i> {
        let pc = registers[RIP].unwrap_or(0).wrapping_sub(self.bias);
        let lookup = if is_innermost { pc } else { pc.wrapping_sub(1) };
        let mut frame =
            Frame { process: self, registers, unsaved, cfa: None, lookup, is_innermost, next: OnceCell::new() };
        let next = self.caller(&mut frame);
        let _ = frame.next.set(next.map(|registers| Box::new(self.at(registers, unsaved, false))));
        frame
    }

    /// Sets the frame's canonical address, and gives the registers of its caller.
    fn caller(&self, frame: &mut Frame<'_, 'i>) -> Option<[Option<u64>; 17]> {
        let section = self.file.section_by_name(".eh_frame")?;
        let frames = EhFrame::new(section.data().ok()?, RunTimeEndian::Little);
        let bases = BaseAddresses::default()
            .set_eh_frame(section.address())
            .set_text(self.file.section_by_name(".text")?.address());
        let mut context = UnwindContext::new();
        let row = frames
            .unwind_info_for_address(&bases, &mut context, frame.lookup, |section, bases, offset| {
                section.cie_from_offset(bases, offset)
            })
            .ok()?;
        let CfaRule::RegisterAndOffset { register, offset } = row.cfa() else { return None };
        let cfa = frame.registers[usize::from(register.0)]?.wrapping_add_signed(*offset);
        frame.cfa = Some(cfa);
        let mut caller = [None; 17];
        for kept in KEPT {
            caller[kept] = frame.registers[kept];
        }
        for (register, rule) in row.registers() {
            if let RegisterRule::Offset(offset) = rule {
                caller[usize::from(register.0)] = self.word(cfa.wrapping_add_signed(*offset));
            }
        }
        caller[RSP] = Some(cfa);
        let pc = caller[RIP]?;
        // Only the program's own frames.
        let is_own = self.function(pc.wrapping_sub(1).wrapping_sub(self.bias)).is_some();
        is_own.then_some(caller)
    }

    /// The function that holds an address of the file.
    fn function(&self, address: u64) -> Option<Function<'_, 'i>> {
        self.chain(address).last().map(|place| place.function)
    }

    /// The function that holds an address of the file and those inlined into it, the innermost first.
    pub(crate) fn chain(&self, address: u64) -> Vec<Place<'_, 'i>> {
        let mut headers = self.dwarf().units();
        while let Ok(Some(header)) = headers.next() {
            let start = header.debug_info_offset().unwrap();
            let root = gimli::DebugInfoOffset(start.0 + header.size_of_header());
            let Some((unit, _)) = self.units.at(root) else { continue };
            let holds = |entry: &gimli::DebuggingInformationEntry<Reader<'i>>| {
                let mut ranges = self.dwarf().die_ranges(unit, entry).unwrap();
                std::iter::from_fn(|| ranges.next().unwrap_or(None))
                    .any(|range| (range.begin..range.end).contains(&address))
            };
            let mut places: Vec<Place<'_, 'i>> = Vec::new();
            let mut entries = unit.entries();
            while let Ok(Some(entry)) = entries.next_dfs() {
                let is_function = matches!(entry.tag(), gimli::DW_TAG_subprogram | gimli::DW_TAG_inlined_subroutine);
                if is_function && holds(entry) {
                    let function = Function { units: self.units, unit, offset: entry.offset() };
                    let subprogram = places.first().map_or(function, |place| place.subprogram);
                    places.push(Place { function, subprogram, pc: address });
                }
            }
            if !places.is_empty() {
                places.reverse();
                return places;
            }
        }
        Vec::new()
    }

    fn dwarf(&self) -> &'i Dwarf<Reader<'i>> {
        self.units.dwarf()
    }
}

impl<'p, 'i> Frame<'p, 'i> {
    pub(crate) fn next(&self) -> Option<&Frame<'p, 'i>> {
        self.next.get()?.as_deref()
    }
}

impl<'i> FrameContext<'i> for Frame<'_, 'i> {
    fn register(&self, register: Register) -> Option<u64> {
        self.registers.get(usize::from(register.0)).copied().flatten()
    }

    fn unsaved_register(&self, register: Register) -> Option<u64> {
        self.unsaved.get(usize::from(register.0)).copied().flatten()
    }

    fn wide_register(&self, register: Register) -> Option<Vec<u8>> {
        // XMM registers are 17 to 32; they lie at byte 160 of `struct user_fpregs_struct`.
        let index = usize::from(register.0).checked_sub(17).filter(|index| *index < 16 && self.is_innermost)?;
        Some(self.process.xmm?.get(160 + 16 * index..)?.get(..16)?.to_vec())
    }

    fn cfa(&self) -> Option<u64> {
        self.cfa
    }

    fn read(&self, address: u64, into: &mut [u8]) -> Result<(), Unreadable> {
        self.process.read(address, into)
    }

    fn load_bias(&self) -> u64 {
        self.process.bias
    }

    fn tls(&self, _: u64) -> Option<u64> {
        None
    }

    fn symbol(&self, address: u64) -> Option<SymbolAt> {
        let at = address.wrapping_sub(self.process.bias);
        let (start, (size, name)) = self.process.symbols.range(..=at).next_back()?;
        let name = demangle(name, Style::Full).into_owned();
        (at - start < *size).then(|| SymbolAt { name, offset: at - start })
    }

    fn address_of(&self, linkage_name: &str) -> Option<u64> {
        Some(self.process.by_name.get(linkage_name)?.wrapping_add(self.process.bias))
    }

    fn caller(&self) -> Option<Caller<'_, 'i>> {
        let caller = self.next()?;
        let function = self.process.function(caller.lookup);
        Some(Caller { context: caller, function, return_address: caller.lookup + 1 })
    }
}

/// The debug information of a program, in memory that lives as long as the test.
pub(crate) fn dwarf(file: &object::File<'static>) -> Dwarf<Reader<'static>> {
    let section = |id: gimli::SectionId| -> Result<Reader<'static>, gimli::Error> {
        let data = file.section_by_name(id.name()).and_then(|section| section.data().ok()).unwrap_or_default();
        Ok(EndianSlice::new(data, RunTimeEndian::Little))
    };
    Dwarf::load(section).unwrap()
}

//! Builds cores byte by byte. Shares no code with the reader: every offset here is written down a second time.

use retrace_types::Architecture;

/// A machine that cores are made for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Machine {
    pub(crate) architecture: Architecture,
    pub(crate) e_machine: u16,
    pub(crate) wide: bool,
    pub(crate) big: bool,
    /// `sizeof(struct elf_prstatus)`.
    pub(crate) prstatus_size: usize,
    /// Some registers: name, offset in `pr_reg`, width. The first is the program counter, the second the stack pointer.
    pub(crate) registers: &'static [(&'static str, usize, usize)],
    /// Number of registers.
    pub(crate) register_count: usize,
    /// Width of a user id in `struct elf_prpsinfo`.
    pub(crate) uid_width: usize,
}

const ARM64_REGISTERS: &[(&str, usize, usize)] = &[("pc", 256, 8), ("sp", 248, 8), ("x0", 0, 8), ("cpsr", 264, 8)];
const ARM_REGISTERS: &[(&str, usize, usize)] = &[("pc", 60, 4), ("sp", 52, 4), ("r0", 0, 4), ("orig_r0", 68, 4)];
const POWER_REGISTERS: &[(&str, usize, usize)] =
    &[("pc", 256, 8), ("r1", 8, 8), ("r0", 0, 8), ("lr", 288, 8), ("cr", 304, 8), ("dar", 328, 8)];

pub(crate) const MACHINES: &[Machine] = &[
    Machine {
        architecture: Architecture::X86_64,
        e_machine: 62,
        wide: true,
        big: false,
        prstatus_size: 336,
        registers: &[("rip", 128, 8), ("rsp", 152, 8), ("r15", 0, 8), ("rax", 80, 8), ("gs", 208, 8)],
        register_count: 27,
        uid_width: 4,
    },
    Machine {
        architecture: Architecture::I686,
        e_machine: 3,
        wide: false,
        big: false,
        prstatus_size: 144,
        registers: &[("eip", 48, 4), ("esp", 60, 4), ("ebx", 0, 4), ("ss", 64, 4)],
        register_count: 17,
        uid_width: 2,
    },
    machine_of_two_orders(Architecture::Aarch64, 183, false),
    machine_of_two_orders(Architecture::Aarch64, 183, true),
    machine_of_two_orders(Architecture::Armv7l, 40, false),
    machine_of_two_orders(Architecture::Armv7l, 40, true),
    machine_of_two_orders(Architecture::Ppc64le, 21, false),
    machine_of_two_orders(Architecture::Ppc64, 21, true),
    Machine {
        architecture: Architecture::S390x,
        e_machine: 22,
        wide: true,
        big: true,
        prstatus_size: 336,
        registers: &[("pswa", 8, 8), ("r15", 136, 8), ("pswm", 0, 8), ("acr1", 148, 4), ("orig_r2", 208, 8)],
        register_count: 35,
        uid_width: 4,
    },
    Machine {
        architecture: Architecture::Riscv64,
        e_machine: 243,
        wide: true,
        big: false,
        prstatus_size: 376,
        registers: &[("pc", 0, 8), ("sp", 16, 8), ("fp", 64, 8), ("t6", 248, 8)],
        register_count: 32,
        uid_width: 4,
    },
];

const fn machine_of_two_orders(architecture: Architecture, e_machine: u16, big: bool) -> Machine {
    let (prstatus_size, registers, register_count) = match e_machine {
        183 => (392, ARM64_REGISTERS, 34),
        40 => (148, ARM_REGISTERS, 18),
        _ => (504, POWER_REGISTERS, 44),
    };
    let wide = e_machine != 40;
    let uid_width = if wide { 4 } else { 2 };
    Machine { architecture, e_machine, wide, big, prstatus_size, registers, register_count, uid_width }
}

impl Machine {
    pub(crate) fn x86_64() -> Self {
        MACHINES[0]
    }

    pub(crate) fn out(self) -> Out {
        Out { bytes: Vec::new(), machine: self }
    }

    fn at(self) -> usize {
        if self.wide { 112 } else { 72 }
    }

    /// The byte at offset `at` of `pr_reg` of a thread: any pattern that no two neighbours share.
    fn register_byte(self, tid: u32, at: usize) -> u8 {
        u8::try_from((at * 7 + tid as usize * 13) % 251).unwrap()
    }

    /// Value that the register must be read with.
    pub(crate) fn register(self, tid: u32, offset: usize, width: usize) -> u64 {
        let bytes = (offset..offset + width).map(|at| u64::from(self.register_byte(tid, at)));
        if self.big {
            bytes.fold(0, |value, byte| value << 8 | byte)
        } else {
            bytes.rev().fold(0, |value, byte| value << 8 | byte)
        }
    }
}

fn int(size: usize) -> u32 {
    u32::try_from(size).unwrap()
}

/// Bytes in the order and width of a machine.
#[derive(Clone)]
pub(crate) struct Out {
    pub(crate) bytes: Vec<u8>,
    machine: Machine,
}

impl Out {
    pub(crate) fn number(mut self, value: u64, width: usize) -> Self {
        let little = value.to_le_bytes();
        let mut field = little[..width].to_vec();
        if self.machine.big {
            field.reverse();
        }
        self.bytes.extend(field);
        self
    }

    pub(crate) fn half(self, value: u16) -> Self {
        self.number(value.into(), 2)
    }

    pub(crate) fn int(self, value: u32) -> Self {
        self.number(value.into(), 4)
    }

    pub(crate) fn word(self, value: u64) -> Self {
        let width = if self.machine.wide { 8 } else { 4 };
        self.number(value, width)
    }

    pub(crate) fn raw(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend(bytes);
        self
    }

    /// Zeros up to this size.
    pub(crate) fn to(mut self, size: usize) -> Self {
        assert!(self.bytes.len() <= size, "{} > {size}", self.bytes.len());
        self.bytes.resize(size, 0);
        self
    }

    pub(crate) fn note(self, owner: &[u8], kind: u32, descriptor: &[u8]) -> Self {
        let name = self.int(int(owner.len() + 1)).int(int(descriptor.len())).int(kind).raw(owner).raw(&[0]);
        let padded = name.bytes.len().next_multiple_of(4);
        let whole = name.to(padded).raw(descriptor);
        let padded = whole.bytes.len().next_multiple_of(4);
        whole.to(padded)
    }

    /// `count` of `u16::MAX` is PN_XNUM; `sections` is e_shoff.
    pub(crate) fn elf_header(self, kind: u16, segments: u64, count: u16, sections: u64) -> Self {
        let m = self.machine;
        let (class, header, entry) = if m.wide { (2, 64, 56) } else { (1, 52, 32) };
        let order = if m.big { 2 } else { 1 };
        let ident = self.raw(b"\x7fELF").raw(&[class, order, 1]).raw(&[0; 9]);
        let fields = ident.half(kind).half(m.e_machine).int(1).word(0).word(segments).word(sections);
        fields.int(0).half(header).half(entry).half(count).half(0).half(0).half(0)
    }

    pub(crate) fn segment(self, s: &Segment) -> Self {
        if self.machine.wide {
            let start = self.int(s.kind).int(s.flags);
            start.word(s.offset).word(s.address).word(0).word(s.file_size).word(s.memory_size).word(s.align)
        } else {
            let start = self.int(s.kind).word(s.offset).word(s.address).word(0);
            start.word(s.file_size).word(s.memory_size).int(s.flags).word(s.align)
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Segment {
    pub(crate) kind: u32,
    pub(crate) flags: u32,
    pub(crate) offset: u64,
    pub(crate) address: u64,
    pub(crate) file_size: u64,
    pub(crate) memory_size: u64,
    pub(crate) align: u64,
}

pub(crate) const PAGE: u64 = 4096;
pub(crate) const PAGE_BYTES: usize = 4096;
pub(crate) const R: u32 = 4;
pub(crate) const RX: u32 = 5;
pub(crate) const RW: u32 = 6;

/// A mapping of the sample process.
#[derive(Clone, Debug)]
pub(crate) struct Area {
    pub(crate) address: u64,
    pub(crate) flags: u32,
    pub(crate) size: u64,
    /// What was dumped, from the start of the area.
    pub(crate) dumped: Vec<u8>,
    /// File and offset in pages.
    pub(crate) file: Option<(String, u64)>,
}

/// A core to be.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) machine: Machine,
    pub(crate) threads: Vec<u32>,
    pub(crate) areas: Vec<Area>,
    pub(crate) auxv: Vec<(u64, u64)>,
    /// Signal, code, address.
    pub(crate) siginfo: Option<(u32, i32, u64)>,
    /// Written as PN_XNUM with the count in the first section header.
    pub(crate) extended: bool,
}

impl Sample {
    pub(crate) fn new(machine: Machine) -> Self {
        let siginfo = Some((11, 1, 0xdead));
        Self { machine, threads: vec![100, 101, 102], areas: Vec::new(), auxv: Vec::new(), siginfo, extended: false }
    }

    pub(crate) fn map(
        mut self,
        address: u64,
        flags: u32,
        pages: u64,
        dumped: &[u8],
        file: Option<(&str, u64)>,
    ) -> Self {
        let file = file.map(|(path, page)| (path.to_owned(), page));
        self.areas.push(Area { address, flags, size: pages * PAGE, dumped: dumped.to_vec(), file });
        self
    }

    /// Maps an ELF file as ld.so does: header page read-only, code, data; only the header page is dumped.
    pub(crate) fn map_elf(self, address: u64, path: &str, first_page: &[u8]) -> Self {
        self.map(address, R, 1, first_page, Some((path, 0))).map(address + PAGE, RX, 2, &[], Some((path, 1))).map(
            address + 3 * PAGE,
            RW,
            1,
            &[],
            Some((path, 2)),
        )
    }

    pub(crate) fn auxv(mut self, kind: u64, value: u64) -> Self {
        self.auxv.push((kind, value));
        self
    }

    fn prstatus(&self, tid: u32) -> Vec<u8> {
        let m = self.machine;
        let signal = self.siginfo.map_or(0, |(signal, _, _)| signal);
        let start = m.out().int(signal).int(0).int(0).half(u16::try_from(signal).unwrap()).half(0).word(0).word(0);
        let registers: Vec<u8> = (0..m.prstatus_size - m.at()).map(|at| m.register_byte(tid, at)).collect();
        start.int(tid).int(1).int(1).int(1).to(m.at()).raw(&registers).bytes
    }

    fn psinfo(&self) -> Vec<u8> {
        let m = self.machine;
        let ids = m.out().raw(&[0, b'R', 0, 0]).to(if m.wide { 8 } else { 4 }).word(0).number(1000, m.uid_width);
        let ids = ids.number(1000, m.uid_width).int(100).int(1).int(1).int(1);
        let size = ids.bytes.len();
        ids.raw(b"sample").to(size + 16).raw(b"sample --flag  ").to(size + 96).bytes
    }

    pub(crate) fn file_note(&self) -> Vec<u8> {
        let files: Vec<(&Area, &(String, u64))> =
            self.areas.iter().filter_map(|area| Some((area, area.file.as_ref()?))).collect();
        let mut note = self.machine.out().word(files.len() as u64).word(PAGE);
        for (area, (_, page)) in &files {
            note = note.word(area.address).word(area.address + area.size).word(*page);
        }
        files.iter().fold(note, |note, (_, (path, _))| note.raw(path.as_bytes()).raw(&[0])).bytes
    }

    pub(crate) fn notes(&self) -> Vec<u8> {
        let m = self.machine;
        let mut notes = m.out();
        for (index, tid) in self.threads.iter().enumerate() {
            notes = notes.note(b"CORE", 1, &self.prstatus(*tid));
            if index == 0 {
                notes = notes.note(b"CORE", 3, &self.psinfo());
                if let Some((signal, code, address)) = self.siginfo {
                    let info = m.out().int(signal).int(0).int(code.cast_unsigned()).to(if m.wide { 16 } else { 12 });
                    notes = notes.note(b"CORE", 0x5349_4749, &info.word(address).to(128).bytes);
                }
                let auxv = self.auxv.iter().fold(m.out(), |out, (kind, value)| out.word(*kind).word(*value));
                notes = notes.note(b"CORE", 6, &auxv.word(0).word(0).bytes);
                if self.areas.iter().any(|area| area.file.is_some()) {
                    notes = notes.note(b"CORE", 0x4649_4c45, &self.file_note());
                }
            }
            notes = notes.note(b"CORE", 2, &[0x55; 108]).note(b"LINUX", 0x202, &[0xaa; 64]);
        }
        notes.bytes
    }

    pub(crate) fn build(&self) -> Vec<u8> {
        self.build_with_notes(&self.notes())
    }

    pub(crate) fn build_with_notes(&self, notes: &[u8]) -> Vec<u8> {
        let m = self.machine;
        let (header, entry) = if m.wide { (64, 56) } else { (52, 32) };
        let count = 1 + self.areas.len();
        let notes_at = header + count * entry;
        let mut at = (notes_at + notes.len()).next_multiple_of(PAGE_BYTES) as u64;
        let note =
            Segment { kind: 4, offset: notes_at as u64, file_size: notes.len() as u64, align: 4, ..Segment::default() };
        let mut table = m.out().segment(&note);
        let mut memory = Vec::new();
        for area in &self.areas {
            let dumped = area.dumped.len() as u64;
            table = table.segment(&Segment {
                kind: 1,
                flags: area.flags,
                offset: at,
                address: area.address,
                file_size: dumped,
                memory_size: area.size,
                align: PAGE,
            });
            at += dumped;
            memory.extend(&area.dumped);
        }
        let (claimed, sections) = if self.extended { (0xffff, at) } else { (u16::try_from(count).unwrap(), 0) };
        let start = m.out().elf_header(4, header as u64, claimed, sections).raw(&table.bytes).raw(notes);
        let padded = start.bytes.len().next_multiple_of(PAGE_BYTES);
        let core = start.to(padded).raw(&memory);
        if !self.extended {
            return core.bytes;
        }
        // sh_info of an otherwise empty section header.
        let words = core.int(0).int(0).word(0).word(0).word(0).word(0).int(0);
        words.int(int(count)).word(0).word(0).bytes
    }
}

/// First page of a position-independent ELF file of three loaded segments. The program headers are in the page unless
/// `segments_at` puts them elsewhere in the file; `notes` is the content of its PT_NOTE.
pub(crate) fn first_page(machine: Machine, base: u64, segments_at: Option<u64>, notes: &[u8]) -> Vec<u8> {
    let header = if machine.wide { 64 } else { 52 };
    let table = elf_table(machine, base, notes.len() as u64);
    let out = machine.out().elf_header(3, segments_at.unwrap_or(header), ELF_SEGMENTS, 0);
    let out = if segments_at.is_none() { out.raw(&table) } else { out };
    out.to(NOTES_AT).raw(notes).to(PAGE_BYTES).bytes
}

pub(crate) const ELF_SEGMENTS: u16 = 6;
pub(crate) const NOTES_AT: usize = 1024;
/// Address of the dynamic section above the file's base.
pub(crate) const DYNAMIC_AT: u64 = 3 * PAGE + 256;

/// Program headers of the file that [`first_page`] starts.
pub(crate) fn elf_table(machine: Machine, base: u64, notes: u64) -> Vec<u8> {
    let header = if machine.wide { 64 } else { 52 };
    let load = |page: u64, offset: u64, flags, pages: u64| Segment {
        kind: 1,
        flags,
        offset: offset * PAGE,
        address: base + page * PAGE,
        file_size: pages * PAGE,
        memory_size: pages * PAGE,
        align: PAGE,
    };
    let other = |kind, offset, address, size| Segment {
        kind,
        flags: R,
        offset,
        address: base + address,
        file_size: size,
        memory_size: size,
        align: 4,
    };
    let at = NOTES_AT as u64;
    [
        other(6, header, header, 0),
        load(0, 0, R, 1),
        load(1, 1, RX, 2),
        load(3, 2, RW, 1),
        other(2, 2 * PAGE + 256, DYNAMIC_AT, 64),
        other(4, at, at, notes),
    ]
    .iter()
    .fold(machine.out(), |out, segment| out.segment(segment))
    .bytes
}

/// A build-id note, behind another note of the same owner.
pub(crate) fn build_id_note(machine: Machine, id: &[u8]) -> Vec<u8> {
    machine.out().note(b"GNU", 1, &[0; 16]).note(b"GNU", 3, id).bytes
}

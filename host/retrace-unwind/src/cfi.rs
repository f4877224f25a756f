//! Call frame information of one module: how the caller's registers are found (DWARF 5 section 6.4; LSB 5, `.eh_frame`).

use gimli::{
    BaseAddresses, CfaRule, CieOrFde, DebugFrame, EhFrame, EhFrameHdr, ParsedEhFrameHdr, Register, RegisterRule,
    UnwindContext, UnwindExpression, UnwindSection,
};

use crate::image::{Image, Reader};

/// Most entries of a table that has no index.
const MAX_ENTRIES: usize = 1 << 22;

/// The tables of a module, by addresses of its file.
#[derive(Default)]
pub(crate) struct Cfi<'i> {
    eh_frame: Option<Table<EhFrame<Reader<'i>>>>,
    header: Option<ParsedEhFrameHdr<Reader<'i>>>,
    debug_frame: Option<Table<DebugFrame<Reader<'i>>>>,
    bases: BaseAddresses,
}

struct Table<S> {
    section: S,
    /// First address, address behind the last, place of the entry; by address. Read when there is no index in the file, or
    /// it does not tell.
    index: std::cell::OnceCell<Vec<(u64, u64, usize)>>,
}

/// How registers are restored at one address.
#[derive(Clone, Debug)]
pub(crate) struct Row<'i> {
    pub(crate) cfa: Rule<'i>,
    pub(crate) registers: Vec<(Register, Rule<'i>)>,
    pub(crate) return_address: Register,
    pub(crate) is_signal: bool,
    pub(crate) address_size: u8,
}

/// Where a value is.
#[derive(Clone, Debug)]
pub(crate) enum Rule<'i> {
    Undefined,
    Same,
    /// At the CFA and this.
    AtCfa(i64),
    /// The CFA and this.
    CfaPlus(i64),
    /// A register and this.
    RegisterPlus(Register, i64),
    /// At the address that an expression gives.
    At(gimli::Expression<Reader<'i>>),
    /// What an expression gives.
    Value(gimli::Expression<Reader<'i>>),
    Constant(u64),
}

impl<'i> Cfi<'i> {
    pub(crate) fn of(image: &'i Image) -> Self {
        let (endian, address_size) = image.encoding();
        let reader = |data| gimli::EndianSlice::new(data, endian);
        let mut bases = BaseAddresses::default();
        if let Some((address, _)) = image.section(".text") {
            bases = bases.set_text(address);
        }
        if let Some((address, _)) = image.section(".got") {
            bases = bases.set_got(address);
        }
        let header = image.section(".eh_frame_hdr").map(|(address, data)| {
            bases = std::mem::take(&mut bases).set_eh_frame_hdr(address);
            EhFrameHdr::from(reader(data))
        });
        let eh_frame = image.section(".eh_frame").map(|(address, data)| {
            bases = std::mem::take(&mut bases).set_eh_frame(address);
            let mut section = EhFrame::from(reader(data));
            section.set_address_size(address_size);
            Table { section, index: std::cell::OnceCell::new() }
        });
        let debug_frame = image.section(".debug_frame").map(|(_, data)| {
            let mut section = DebugFrame::from(reader(data));
            section.set_address_size(address_size);
            Table { section, index: std::cell::OnceCell::new() }
        });
        let header = header.and_then(|header| header.parse(&bases, address_size).ok());
        Self { eh_frame, header, debug_frame, bases }
    }

    /// The rules at an address of the file; none if no entry covers it.
    pub(crate) fn row(&self, address: u64) -> Option<Row<'i>> {
        self.eh_row(address).or_else(|| {
            let table = self.debug_frame.as_ref()?;
            let fde = table.fde(address, &self.bases)?;
            row(&table.section, &fde, &self.bases, address)
        })
    }

    fn eh_row(&self, address: u64) -> Option<Row<'i>> {
        let table = self.eh_frame.as_ref()?;
        let indexed = self.header.as_ref().and_then(|header| header.table()).and_then(|index| {
            index.fde_for_address(&table.section, &self.bases, address, EhFrame::cie_from_offset).ok()
        });
        let fde = indexed.or_else(|| if self.header.is_some() { None } else { table.fde(address, &self.bases) })?;
        row(&table.section, &fde, &self.bases, address)
    }
}

impl<'i, S: UnwindSection<Reader<'i>>> Table<S>
where
    S::Offset: gimli::UnwindOffset<usize>,
{
    fn fde(&self, address: u64, bases: &BaseAddresses) -> Option<gimli::FrameDescriptionEntry<Reader<'i>>> {
        let index = self.index.get_or_init(|| self.read_index(bases));
        let behind = index.partition_point(|(start, _, _)| *start <= address);
        let (_, end, offset) = index.get(behind.checked_sub(1)?)?;
        if address >= *end {
            return None;
        }
        self.section.fde_from_offset(bases, S::Offset::from(*offset), S::cie_from_offset).ok()
    }

    fn read_index(&self, bases: &BaseAddresses) -> Vec<(u64, u64, usize)> {
        let mut entries = self.section.entries(bases);
        let mut index = Vec::new();
        for _ in 0..MAX_ENTRIES {
            match entries.next() {
                Ok(Some(CieOrFde::Fde(partial))) => {
                    if let Ok(fde) = partial.parse(S::cie_from_offset)
                        && !fde.is_empty_range()
                    {
                        index.push((fde.initial_address(), fde.end_address(), fde.offset()));
                    }
                }
                Ok(Some(CieOrFde::Cie(_))) => {}
                Ok(None) | Err(_) => break,
            }
        }
        index.sort_unstable();
        index
    }
}

trait EmptyRange {
    fn is_empty_range(&self) -> bool;
}

impl EmptyRange for gimli::FrameDescriptionEntry<Reader<'_>> {
    /// Functions that the linker dropped leave entries at address 0 or without a length.
    fn is_empty_range(&self) -> bool {
        self.len() == 0 || self.initial_address() == 0
    }
}

fn row<'i, S: UnwindSection<Reader<'i>>>(
    section: &S,
    fde: &gimli::FrameDescriptionEntry<Reader<'i>>,
    bases: &BaseAddresses,
    address: u64,
) -> Option<Row<'i>> {
    let mut context = UnwindContext::new();
    let found = fde.unwind_info_for_address(section, bases, &mut context, address).ok()?;
    let expression = |at: UnwindExpression<usize>| at.get(section).ok();
    let cfa = match found.cfa() {
        CfaRule::RegisterAndOffset { register, offset } => Rule::RegisterPlus(*register, *offset),
        CfaRule::Expression(at) => Rule::Value(expression(*at)?),
    };
    let registers = found.registers().map(|(register, rule)| {
        let rule = match rule {
            RegisterRule::Undefined => Rule::Undefined,
            RegisterRule::SameValue | RegisterRule::Architectural => Rule::Same,
            RegisterRule::Offset(offset) => Rule::AtCfa(*offset),
            RegisterRule::ValOffset(offset) => Rule::CfaPlus(*offset),
            RegisterRule::Register(other) => Rule::RegisterPlus(*other, 0),
            RegisterRule::Expression(at) => expression(*at).map_or(Rule::Undefined, Rule::At),
            RegisterRule::ValExpression(at) => expression(*at).map_or(Rule::Undefined, Rule::Value),
            RegisterRule::Constant(value) => Rule::Constant(*value),
        };
        (*register, rule)
    });
    let registers = registers.collect();
    Some(Row {
        cfa,
        registers,
        return_address: fde.cie().return_address_register(),
        is_signal: fde.is_signal_trampoline(),
        address_size: fde.cie().address_size(),
    })
}

//! The crashed process as one backtrace sees it: its stacks, and what the debug information says about each address.

use std::{
    cell::{OnceCell, RefCell},
    collections::HashMap,
    rc::Rc,
};

use gimli::{Dwarf, Register};
use retrace_coredump::WideRegisters;

use crate::{
    Finder,
    demangle::{Style, demangle},
    image::{Image, Reader},
    symbols::{Level, Symbols},
    values::{Caller, FrameContext, Function, SymbolAt, Unreadable, units::Skeleton},
    walk::{PhysicalFrame, Walker},
};

/// Debug information of one module, opened when an address lies in it.
pub(crate) type Opened<'i> = OnceCell<Option<Dwarf<Reader<'i>>>>;

/// The functions at one address, the innermost first.
type Levels = Rc<Vec<Level>>;

/// Modules, their symbols, and the walker of their stacks.
pub(crate) struct Process<'i> {
    pub(crate) walker: Walker<'i>,
    images: &'i [Image],
    finder: &'i dyn Finder,
    opened: &'i [Opened<'i>],
    symbols: Vec<OnceCell<Option<Symbols<'i>>>>,
    /// By module and address.
    levels: RefCell<HashMap<(usize, u64), Levels>>,
    /// Addresses of data and functions by the linker's name, of each module.
    data: Vec<OnceCell<HashMap<&'i str, u64>>>,
    /// The same of code.
    code: Vec<OnceCell<HashMap<&'i str, u64>>>,
    has_x87_long_double: bool,
}

impl<'i> Process<'i> {
    pub(crate) fn new(
        walker: Walker<'i>,
        images: &'i [Image],
        finder: &'i dyn Finder,
        opened: &'i [Opened<'i>],
        has_x87_long_double: bool,
    ) -> Self {
        Self {
            walker,
            images,
            finder,
            opened,
            symbols: images.iter().map(|_| OnceCell::new()).collect(),
            levels: RefCell::default(),
            data: images.iter().map(|_| OnceCell::new()).collect(),
            code: images.iter().map(|_| OnceCell::new()).collect(),
            has_x87_long_double,
        }
    }

    /// Difference between the addresses of a module in memory and in its file.
    pub(crate) fn bias(&self, index: usize) -> Option<u64> {
        self.walker.modules.get(index)?.load_bias
    }

    pub(crate) fn symbols(&self, index: usize) -> Option<&Symbols<'i>> {
        let opened = self.opened.get(index)?;
        let image = self.images.get(index)?;
        let (finder, module) = (self.finder, self.walker.modules.get(index)?);
        let open = || {
            let dwarf = opened.get_or_init(|| image.dwarf()).as_ref()?;
            let split =
                move |skeleton: &Skeleton<'_, 'i>| image.split_dwarf(skeleton, |path| finder.split(module, path));
            Some(Symbols::new(dwarf, Box::new(split)))
        };
        self.symbols.get(index)?.get_or_init(open).as_ref()
    }

    /// What the source calls the place of a frame, the innermost function first; empty if nothing is known.
    pub(crate) fn levels(&self, frame: &PhysicalFrame) -> Levels {
        let found = frame.module.and_then(|index| {
            let address = frame.lookup.wrapping_sub(self.bias(index)?);
            if let Some(known) = self.levels.borrow().get(&(index, address)) {
                return Some(Rc::clone(known));
            }
            let levels = Rc::new(self.symbols(index)?.at(address));
            self.levels.borrow_mut().insert((index, address), Rc::clone(&levels));
            Some(levels)
        });
        found.unwrap_or_default()
    }

    /// The symbol that holds an address of the process, with its start.
    pub(crate) fn symbol(&self, address: u64) -> Option<(&'i str, u64)> {
        let index = self.walker.memory.module_at(address)?;
        let within = address.wrapping_sub(self.bias(index)?);
        let symbol = self.images.get(index)?.symbol(within)?;
        Some((&symbol.name, within - symbol.address))
    }

    /// Where the function of a frame begins: as the debug information says, else its symbol.
    pub(crate) fn function_start(&self, frame: &PhysicalFrame) -> Option<u64> {
        let index = frame.module?;
        let bias = self.bias(index)?;
        let address = frame.lookup.wrapping_sub(bias);
        let known = self.symbols(index).and_then(|symbols| symbols.start(symbols.outermost(address)?));
        let within = known.or_else(|| Some(self.images.get(index)?.symbol(address)?.address))?;
        Some(within.wrapping_add(bias))
    }

    /// Where the function of a linker's name begins, the one of this module first.
    pub(crate) fn code_named(&self, module: usize, name: &str) -> Option<u64> {
        let modules = std::iter::once(module).chain((0..self.images.len()).filter(|index| *index != module));
        let mut found = modules.filter_map(|index| {
            let image = self.images.get(index)?;
            let names = self.code.get(index)?.get_or_init(|| image.code_symbols().collect());
            Some(names.get(name)?.wrapping_add(self.bias(index)?))
        });
        found.next()
    }

    fn data(&self, index: usize) -> Option<&HashMap<&'i str, u64>> {
        let image = self.images.get(index)?;
        Some(self.data.get(index)?.get_or_init(|| image.named_symbols().collect()))
    }
}

/// A frame of a stack, for those who evaluate its variables.
pub(crate) struct At<'a, 'i> {
    process: &'a Process<'i>,
    stack: &'a [PhysicalFrame],
    frame: &'a PhysicalFrame,
    /// Floating-point and vector registers of the thread.
    wide: &'a WideRegisters,
    /// Nothing was called from here but by the kernel: all registers are the frame's own.
    is_whole: bool,
    caller: OnceCell<Option<Box<At<'a, 'i>>>>,
}

impl<'a, 'i> At<'a, 'i> {
    /// The frame of this number; none behind the last.
    pub(crate) fn new(
        process: &'a Process<'i>,
        stack: &'a [PhysicalFrame],
        wide: &'a WideRegisters,
        number: usize,
    ) -> Option<Self> {
        let callee = number.checked_sub(1).and_then(|callee| stack.get(callee));
        let is_whole = callee.is_none_or(|callee| callee.is_signal);
        let stack = stack.get(number..)?;
        Some(Self { process, stack, frame: stack.first()?, wide, is_whole, caller: OnceCell::new() })
    }

    /// True for the frame that runs: what the kernel stored of the thread is its own.
    fn is_innermost(&self) -> bool {
        self.frame.trust == retrace_types::Trust::Context
    }
}

impl<'i> FrameContext<'i> for At<'_, 'i> {
    fn register(&self, register: Register) -> Option<u64> {
        let is_known = self.is_whole || self.process.walker.machine.keeps(register);
        self.frame.registers.get(register).filter(|_| is_known)
    }

    fn unsaved_register(&self, register: Register) -> Option<u64> {
        self.frame.registers.get(register)
    }

    fn wide_register(&self, register: Register) -> Option<Vec<u8>> {
        self.unsaved_wide_register(register).filter(|_| self.is_innermost())
    }

    fn unsaved_wide_register(&self, register: Register) -> Option<Vec<u8>> {
        self.process.walker.machine.wide(self.wide, register)
    }

    fn cfa(&self) -> Option<u64> {
        self.frame.cfa
    }

    fn read(&self, address: u64, into: &mut [u8]) -> Result<(), Unreadable> {
        self.process.walker.memory.read(address, into)
    }

    fn load_bias(&self) -> u64 {
        self.frame.module.and_then(|index| self.process.bias(index)).unwrap_or_default()
    }

    fn tls(&self, _offset: u64) -> Option<u64> {
        None
    }

    fn symbol(&self, address: u64) -> Option<SymbolAt> {
        let (name, offset) = self.process.symbol(address)?;
        Some(SymbolAt { name: demangle(name, Style::Full).into_owned(), offset })
    }

    fn address_of(&self, linkage_name: &str) -> Option<u64> {
        let own = self.frame.module;
        let modules = own.into_iter().chain((0..self.process.images.len()).filter(|index| Some(*index) != own));
        let mut found = modules.filter_map(|index| {
            let address = self.process.data(index)?.get(linkage_name)?;
            Some(address.wrapping_add(self.process.bias(index)?))
        });
        found.next()
    }

    fn has_x87_long_double(&self) -> bool {
        self.process.has_x87_long_double
    }

    fn caller(&self) -> Option<Caller<'_, 'i>> {
        let caller =
            self.caller.get_or_init(|| At::new(self.process, self.stack, self.wide, 1).map(Box::new)).as_deref()?;
        if self.frame.is_signal || caller.frame.trust == retrace_types::Trust::Scan {
            return None;
        }
        let index = caller.frame.module?;
        let levels = self.process.levels(caller.frame);
        let entity = levels.last().and_then(|level| level.entity);
        let function: Option<Function<'_, 'i>> =
            entity.and_then(|entity| self.process.symbols(index)?.function(entity));
        let return_address = caller.frame.pc.wrapping_sub(self.process.bias(index)?);
        Some(Caller { context: caller, function, return_address })
    }
}

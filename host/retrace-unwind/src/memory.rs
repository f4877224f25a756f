//! Memory of the process: from the core, else from the file that was mapped there. Blocks are kept.

use std::{cell::RefCell, collections::HashMap};

use gimli::RunTimeEndian;
use retrace_coredump::{Module, ProcessMemory};

use crate::{image::Image, values::Unreadable};

/// What is read at once: stacks are read word by word.
const BLOCK_BYTES: u64 = 4096;
/// Blocks that are kept; then all are forgotten.
const MAX_BLOCKS: usize = 1024;

/// Memory as one walk reads it.
pub(crate) struct Memory<'i> {
    core: &'i ProcessMemory<'i>,
    modules: &'i [Module],
    images: &'i [Image],
    pub(crate) endian: RunTimeEndian,
    pub(crate) word_bytes: u8,
    /// By number; shorter where the core has less.
    blocks: RefCell<HashMap<u64, Box<[u8]>>>,
}

impl<'i> Memory<'i> {
    /// `modules` are sorted by address, and each has its image.
    pub(crate) fn new(
        core: &'i ProcessMemory<'i>,
        modules: &'i [Module],
        images: &'i [Image],
        endian: RunTimeEndian,
        word_bytes: u8,
    ) -> Self {
        Self { core, modules, images, endian, word_bytes, blocks: RefCell::default() }
    }

    /// Fills `into`.
    pub(crate) fn read(&self, address: u64, into: &mut [u8]) -> Result<(), Unreadable> {
        let mut done = 0;
        while let Some(rest) = into.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let at = address.checked_add(done as u64).ok_or(Unreadable { address })?;
            let count = self.read_some(at, rest);
            if count == 0 {
                return Err(Unreadable { address: at });
            }
            done += count;
        }
        Ok(())
    }

    /// A number of `bytes` bytes, at most 8.
    pub(crate) fn number(&self, address: u64, bytes: u8) -> Result<u64, Unreadable> {
        let mut buffer = [0; 8];
        let length = usize::from(bytes.min(8));
        let big = self.endian == RunTimeEndian::Big;
        let part = if big { buffer.get_mut(8 - length..) } else { buffer.get_mut(..length) };
        self.read(address, part.unwrap_or_default())?;
        Ok(if big { u64::from_be_bytes(buffer) } else { u64::from_le_bytes(buffer) })
    }

    /// A number as large as an address.
    pub(crate) fn word(&self, address: u64) -> Option<u64> {
        self.number(address, self.word_bytes).ok()
    }

    pub(crate) fn is_mapped(&self, address: u64) -> bool {
        self.core.is_mapped(address)
    }

    /// The module that is mapped around an address.
    pub(crate) fn module_at(&self, address: u64) -> Option<usize> {
        let behind = self.modules.partition_point(|module| module.start <= address);
        let before = self.modules.get(..behind)?;
        // Modules may overlap where a file is mapped twice: the nearest that holds the address.
        before.iter().enumerate().rev().take(8).find(|(_, module)| address < module.end).map(|(index, _)| index)
    }

    /// True if code could be run there: by the core's segments, and by the module's own if one is mapped there.
    pub(crate) fn is_code(&self, address: u64) -> bool {
        if !self.core.is_executable(address) {
            return false;
        }
        let Some(index) = self.module_at(address) else { return true };
        let (module, image) = (self.modules.get(index), self.images.get(index));
        let bias = module.and_then(|module| module.load_bias);
        match (bias, image.filter(|image| image.has_binary())) {
            (Some(bias), Some(image)) => image.is_code(address.wrapping_sub(bias)),
            _ => true,
        }
    }

    fn read_some(&self, address: u64, into: &mut [u8]) -> usize {
        let number = address / BLOCK_BYTES;
        let skip = usize::try_from(address % BLOCK_BYTES).unwrap_or_default();
        let mut blocks = self.blocks.borrow_mut();
        if blocks.len() >= MAX_BLOCKS && !blocks.contains_key(&number) {
            blocks.clear();
        }
        let block = blocks.entry(number).or_insert_with(|| self.block(number * BLOCK_BYTES));
        let source = block.get(skip..).unwrap_or_default();
        let count = source.len().min(into.len());
        if count > 0 {
            if let (Some(into), Some(source)) = (into.get_mut(..count), source.get(..count)) {
                into.copy_from_slice(source);
            }
            return count;
        }
        drop(blocks);
        // An area may begin within a block; what lies in no core may lie in a file.
        self.core.read(address, into).unwrap_or_else(|_| self.read_file(address, into))
    }

    fn block(&self, address: u64) -> Box<[u8]> {
        let mut block = vec![0; usize::try_from(BLOCK_BYTES).unwrap_or_default()];
        let count = self.core.read(address, &mut block).unwrap_or(0);
        block.truncate(count);
        block.into_boxed_slice()
    }

    /// What the file of a module has there. Pages that a process may write are in the core, if it wrote to them.
    fn read_file(&self, address: u64, into: &mut [u8]) -> usize {
        let Some(index) = self.module_at(address) else { return 0 };
        let (Some(module), Some(image)) = (self.modules.get(index), self.images.get(index)) else { return 0 };
        module.load_bias.map_or(0, |bias| image.read(address.wrapping_sub(bias), into))
    }
}

//! The dynamic loader's list of modules, from the memory of the process.
//!
//! `AT_PHDR` leads to the program headers of the program, these to its dynamic section, whose entry `DT_DEBUG` the
//! loader pointed to its `struct r_debug`, which heads the list. Source: glibc's `<link.h>` (musl has the same), and
//! the System V gABI, chapter 5.

use std::collections::BTreeSet;

use object::elf::{DT_DEBUG, DT_NULL, PT_DYNAMIC, PT_PHDR};

use crate::{
    LinkMapEntry, Missing, Module,
    elf::{Encoding, Segment},
    memory::Memory,
};

/// `AT_PHDR`, `AT_PHNUM`: source is the kernel's `include/uapi/linux/auxvec.h`.
pub(crate) const AT_PHDR: u64 = 3;
const AT_PHNUM: u64 = 5;

/// A program of more program headers is not believed.
const MAX_PROGRAM_HEADERS: u64 = 256;
/// Dynamic sections have some 30 entries.
const MAX_DYNAMIC_BYTES: u64 = 64 << 10;
/// `PATH_MAX`.
const MAX_NAME_BYTES: usize = 4096;
/// `struct r_debug` in words: version (padded), head of the list, address of the hook, state (padded), base of the
/// loader; from version 2 on the next `struct r_debug`, of another namespace (dlmopen(3)).
const R_DEBUG_WORDS: usize = 5;

/// Reads the list; at most `limit` entries. An empty list is that of a static program.
///
/// # Errors
/// What stands in the way, as half a sentence.
pub(crate) fn read(
    memory: &Memory<'_>,
    encoding: Encoding,
    auxv: &[(u64, u64)],
    modules: &[Module],
    limit: usize,
) -> Result<Vec<LinkMapEntry>, String> {
    let reader = Reader { memory, encoding };
    let Some(dynamic) = reader.dynamic_section(auxv, modules)? else { return Ok(Vec::new()) };
    let Some(head) = reader.debug_entry(dynamic)? else { return Ok(Vec::new()) };
    reader.lists(head, limit)
}

struct Reader<'a> {
    memory: &'a Memory<'a>,
    encoding: Encoding,
}

impl Reader<'_> {
    /// Address and size of the program's dynamic section; none if it has none.
    fn dynamic_section(&self, auxv: &[(u64, u64)], modules: &[Module]) -> Result<Option<(u64, u64)>, String> {
        let entry = |wanted| auxv.iter().find(|(kind, _)| *kind == wanted).map(|(_, value)| *value);
        let (Some(address), Some(count)) = (entry(AT_PHDR), entry(AT_PHNUM)) else {
            return Err("the auxiliary vector does not tell the program headers".to_owned());
        };
        let size = self.encoding.segment_bytes();
        let count = usize::try_from(count.min(MAX_PROGRAM_HEADERS)).unwrap_or(0);
        let table = self.bytes("program headers", address, count * size)?;
        let segments = Segment::parse_all(self.encoding, &table);
        let Some(dynamic) = segments.iter().find(|segment| segment.kind == PT_DYNAMIC) else { return Ok(None) };

        let own = segments.iter().find(|segment| segment.kind == PT_PHDR).map(|own| address.wrapping_sub(own.address));
        let module = modules.iter().find(|module| (module.start..module.end).contains(&address));
        let bias = own.or_else(|| module.and_then(|module| module.load_bias));
        let bias = bias.ok_or_else(|| "nothing tells where the program was loaded".to_owned())?;
        Ok(Some((self.encoding.wrap(bias.wrapping_add(dynamic.address)), dynamic.memory_size)))
    }

    /// Value of `DT_DEBUG`; none where the loader never ran.
    fn debug_entry(&self, (address, size): (u64, u64)) -> Result<Option<u64>, String> {
        let word = self.encoding.word_bytes();
        let size = usize::try_from(size.min(MAX_DYNAMIC_BYTES)).unwrap_or(0);
        let bytes = self.bytes("dynamic section", address, size)?;
        let field = |pair, at| self.encoding.word(pair, at).unwrap_or(0);
        let mut entries = bytes.chunks_exact(2 * word).map(|pair| (field(pair, 0), field(pair, word)));
        let end = |kind: &u64| *kind == DT_NULL.cast_unsigned();
        let found = entries.find(|(kind, _)| end(kind) || *kind == DT_DEBUG.cast_unsigned());
        Ok(found.filter(|(kind, value)| !end(kind) && *value != 0).map(|(_, value)| value))
    }

    /// The lists of all namespaces, one after the other. No address is visited twice.
    fn lists(&self, mut head: u64, limit: usize) -> Result<Vec<LinkMapEntry>, String> {
        let word = self.encoding.word_bytes();
        let mut entries = Vec::new();
        let mut visited = BTreeSet::new();
        while head != 0 && visited.insert(head) && visited.len() <= limit {
            let debug = self.bytes("list head (struct r_debug)", head, R_DEBUG_WORDS * word)?;
            let mut next = self.encoding.word(&debug, word).unwrap_or(0);
            while next != 0 && visited.insert(next) && entries.len() < limit {
                // l_addr, l_name, l_ld, l_next
                let Ok(map) = self.memory.read(next, 4 * word) else { break };
                let field = |index: usize| self.encoding.word(&map, index * word).unwrap_or(0);
                let name = self.memory.read_string(field(1), MAX_NAME_BYTES).unwrap_or_default();
                let name = String::from_utf8_lossy(&name).into_owned();
                entries.push(LinkMapEntry { load_bias: field(0), dynamic: field(2), name });
                next = field(3);
            }
            let extended = self.encoding.i32(&debug, 0).is_some_and(|version| version >= 2);
            let behind = head.saturating_add((R_DEBUG_WORDS * word) as u64);
            let link = if extended { self.memory.read(behind, word).ok() } else { None };
            head = link.and_then(|link| self.encoding.word(&link, 0)).unwrap_or(0);
        }
        Ok(entries)
    }

    fn bytes(&self, what: &str, address: u64, length: usize) -> Result<Vec<u8>, String> {
        self.memory.read(address, length).map_err(|missing: Missing| format!("the program's {what} are {missing}"))
    }
}

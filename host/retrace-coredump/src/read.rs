use object::elf::{EM_386, EM_AARCH64, EM_ARM, EM_PPC64, EM_RISCV, EM_S390, EM_X86_64, ET_CORE};
use retrace_types::Architecture;

use crate::{
    Compression, CoreError, CoreFacts, FileMapping, KernelDump, Limits, ReadAt, Truncation,
    elf::Header,
    link_map::{self, AT_PHDR},
    memory::Memory,
    modules,
    process::Process,
    references,
    remarks::Remarks,
    segments::Segments,
    source::Source,
    stack_code,
};

/// `AT_ENTRY`, `AT_SYSINFO_EHDR`: source is the kernel's `include/uapi/linux/auxvec.h`.
const AT_ENTRY: u64 = 9;
const AT_SYSINFO_EHDR: u64 = 33;

/// Reads the facts of a core. Takes milliseconds and memory within [`Limits`], whatever the size of the core.
///
/// A truncated or partly damaged core gives what can be had; [`CoreFacts::truncation`] and [`CoreFacts::remarks`] tell
/// what is missing.
///
/// # Errors
/// If this is no core of a process of a known architecture, or it cannot be read.
pub fn read_facts(core: &impl ReadAt, limits: &Limits) -> Result<CoreFacts, CoreError> {
    let source = Source::new(core)?;
    let header = core_header(source)?;
    let encoding = header.encoding;
    let architecture = architecture(&header)?;

    let mut remarks = Remarks::default();
    let segments = Segments::read(source, &header, limits, &mut remarks)?;
    let machine = (architecture, encoding);
    let process = Process::read(source, machine, &segments.notes, limits, &mut remarks)?;
    if process.threads.is_empty() {
        remarks.add("the core holds no thread (NT_PRSTATUS)".to_owned());
    }
    if process.mappings.is_empty() {
        remarks.add("the core holds no list of mapped files (NT_FILE), so only the vdso is a module".to_owned());
    }

    let memory = Memory::new(source, segments.memory, limits.max_memory_bytes);
    let auxiliary = |wanted| process.auxv.iter().find(|(kind, _)| *kind == wanted).map(|(_, value)| *value);
    let vdso = auxiliary(AT_SYSINFO_EHDR);
    let mut modules = modules::find(&memory, &process.mappings, vdso, limits.max_modules, &mut remarks);
    let link_map = link_map::read(&memory, encoding, &process.auxv, &modules, limits.max_modules);
    let link_map = link_map.unwrap_or_else(|reason| {
        remarks.add(format!("the dynamic loader's list of modules cannot be read: {reason}"));
        Vec::new()
    });
    for module in modules.iter_mut().filter(|module| module.load_bias.is_none()) {
        let entry = link_map.iter().find(|entry| (module.start..module.end).contains(&entry.dynamic));
        module.load_bias = entry.map(|entry| entry.load_bias);
    }
    references::mark(&memory, machine, &process.threads, &mut modules, limits.max_stack_bytes);
    let crashed = process.threads.first();
    let stack_code = crashed.map(|thread| stack_code::of(&memory, machine, thread, limits.max_stack_bytes));

    let expected_size = segments.expected_size;
    Ok(CoreFacts {
        architecture,
        wide: encoding.wide,
        big_endian: encoding.big_endian,
        signal: process.signal,
        pid: process.pid,
        command: process.command,
        arguments: process.arguments,
        executable: executable(&process.mappings, auxiliary(AT_ENTRY), auxiliary(AT_PHDR)),
        threads: process.threads,
        auxv: process.auxv,
        mappings: process.mappings,
        modules,
        link_map,
        stack_code: stack_code.unwrap_or_default(),
        truncation: (expected_size > source.size).then_some(Truncation { expected_size, actual_size: source.size }),
        remarks: remarks.into_vec(),
    })
}

fn core_header(source: Source<'_>) -> Result<Header, CoreError> {
    let start = source.bytes("the ELF header", 0, Header::MAX_BYTES)?;
    if let Some(format) = KernelDump::detect(&start) {
        return Err(CoreError::Kernel(format));
    }
    if let Some(compression) = Compression::detect(&start) {
        return Err(CoreError::Compressed(compression));
    }
    let Some(header) = Header::parse(&start) else {
        if start.starts_with(b"\x7fELF") {
            return Err(if start.len() < Header::MAX_BYTES {
                CoreError::TooShort { actual_bytes: source.size }
            } else {
                CoreError::Header("its class, byte order or version is unknown")
            });
        }
        let shown = start.get(..16).unwrap_or(&start);
        let start = if shown.is_empty() { "nothing".to_owned() } else { format!("\"{}\"", shown.escape_ascii()) };
        return Err(CoreError::NotElf { start });
    };
    if header.kind != ET_CORE {
        return Err(CoreError::NotCore { elf_type: header.kind });
    }
    Ok(header)
}

fn architecture(header: &Header) -> Result<Architecture, CoreError> {
    let encoding = header.encoding;
    Ok(match (header.machine, encoding.wide, encoding.big_endian) {
        (EM_X86_64, true, false) => Architecture::X86_64,
        (EM_386, false, false) => Architecture::I686,
        (EM_AARCH64, true, _) => Architecture::Aarch64,
        (EM_ARM, false, _) => Architecture::Armv7l,
        (EM_PPC64, true, true) => Architecture::Ppc64,
        (EM_PPC64, true, false) => Architecture::Ppc64le,
        (EM_S390, true, true) => Architecture::S390x,
        (EM_RISCV, true, false) => Architecture::Riscv64,
        (machine, wide, big_endian) => {
            return Err(CoreError::Machine { machine, bits: if wide { 64 } else { 32 }, big_endian });
        }
    })
}

fn executable(mappings: &[FileMapping], entry: Option<u64>, headers: Option<u64>) -> Option<String> {
    let holding = |address: u64| mappings.iter().find(|mapping| mapping.contains(address));
    let found = entry.and_then(holding).or_else(|| headers.and_then(holding)).or_else(|| mappings.first());
    found.map(|mapping| mapping.file_path().to_owned())
}

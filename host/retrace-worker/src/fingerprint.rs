//! What a crash looks like before its stack is walked, so that one that was seen before need not be retraced.
//!
//! A fingerprint is a digest of everything in the core that decides which frames a debugger would find:
//!
//! - architecture, signal and its code;
//! - the build-id of every mapped file;
//! - program counter, and every register that points to code, each as build-id and offset;
//! - every word on the crashed thread's stack that points to code, in its order, each as build-id and offset: the return
//!   addresses are among them, and so are leftovers of earlier calls, which only make the comparison stricter.
//!
//! Values of variables are not part of it, and no address as such: where files and stacks are loaded differs from process to
//! process. So two crashes with one fingerprint have the same call chain, and may differ in every value.
//!
//! When it could be wrong: where which frame comes next is decided by data alone and not by a return address. Generated code,
//! a stack that a handler ran on beside the one that it interrupted, and a corrupt stack are of this kind. There is no
//! fingerprint if the program counter, or a word on the stack, points to code of no file with a build-id, or if the stack was
//! not read to its end; and a result in which the thread passed through a signal handler, in which a frame is a guess, or
//! which has a gap, is never kept as an answer (see `answer`). What is left is a chain of frames that differs although each
//! return address, in the same order, is the same, of the same builds: a walk that skips a frame in one process and not in
//! the other. No such case is known. The other way round a difference in a leftover costs no more than a retrace.

use retrace_coredump::{CoreFacts, Module, ModuleKind};
use retrace_types::Sha256;
use sha2::{Digest as _, Sha256 as Hasher};

const SCHEMA: &str = "retrace-fingerprint/1";

/// The fingerprint of a crash; none where something is missing that would make it certain.
pub(crate) fn fingerprint(facts: &CoreFacts) -> Option<Sha256> {
    let signal = facts.signal.as_ref()?;
    let thread = facts.threads.first()?;
    if !facts.stack_code.whole || facts.truncation.is_some() {
        return None;
    }
    let mut hasher = Hasher::new();
    let mut line = |text: String| {
        hasher.update(text);
        hasher.update("\n");
    };
    line(format!("{SCHEMA} {} {} {:?}", facts.architecture, signal.number, signal.code));

    let files = facts.modules.iter().filter(|module| module.kind == ModuleKind::File);
    let mut ids = files.map(|module| module.build_id.as_ref().ok()).collect::<Option<Vec<_>>>()?;
    ids.sort();
    ids.dedup();
    ids.iter().for_each(|id| line(format!("file {id}")));

    line(format!("pc {}", place(facts, thread.registers.pc()?)?));
    for (name, value) in thread.registers.iter() {
        if let Some(place) = place(facts, value) {
            line(format!("{name} {place}"));
        }
    }
    for address in &facts.stack_code.addresses {
        let (module, offset) = module_of(facts, *address)?;
        // The kernel tells each process where its vdso begins: no return address.
        if module.kind == ModuleKind::Vdso && offset == 0 {
            continue;
        }
        line(place(facts, *address)?);
    }
    Some(Sha256::from_bytes(hasher.finalize().into()))
}

fn module_of(facts: &CoreFacts, address: u64) -> Option<(&Module, u64)> {
    let behind = facts.modules.partition_point(|module| module.start <= address);
    let module = facts.modules.get(behind.checked_sub(1)?)?;
    (address < module.end).then(|| (module, address - module.start))
}

/// Build-id and offset from the start of the mapping.
fn place(facts: &CoreFacts, address: u64) -> Option<String> {
    let (module, offset) = module_of(facts, address)?;
    let build_id = module.build_id.as_ref().ok()?;
    Some(format!("{build_id}+{offset:x}"))
}

#[cfg(test)]
pub(crate) mod tests {
    use retrace_coredump::{NoBuildId, Registers, Signal, StackCode, Thread};
    use retrace_types::{Architecture, BuildId};

    use super::*;

    /// Facts of a process that crashed at `pc`.
    pub(crate) fn facts(modules: Vec<Module>, pc: u64, stack: &[u64]) -> CoreFacts {
        let registers = Registers::from_values(Architecture::X86_64, |name| if name == "rip" { pc } else { 0 });
        CoreFacts {
            architecture: Architecture::X86_64,
            wide: true,
            big_endian: false,
            signal: Some(Signal { number: 11, code: Some(1), fault_address: Some(pc) }),
            pid: Some(7),
            command: None,
            arguments: None,
            executable: None,
            threads: vec![Thread {
                tid: 7,
                signal: 11,
                registers,
                wide_registers: retrace_coredump::WideRegisters::default(),
            }],
            auxv: Vec::new(),
            mappings: Vec::new(),
            modules,
            link_map: Vec::new(),
            stack_code: StackCode { addresses: stack.to_vec(), whole: true },
            truncation: None,
            remarks: Vec::new(),
        }
    }

    fn module(n: u8, start: u64, kind: ModuleKind) -> Module {
        Module {
            path: format!("/m{n}"),
            start,
            end: start + 0x1000,
            kind,
            build_id: Ok(BuildId::from_bytes(&[n; 20]).unwrap()),
            load_bias: None,
            referenced: true,
        }
    }

    fn modules(shift: u64) -> Vec<Module> {
        let file = |n, start: u64| module(n, start + shift, ModuleKind::File);
        vec![file(1, 0x1000), file(2, 0x5000), module(3, 0x9000 + shift, ModuleKind::Vdso)]
    }

    fn of(shift: u64, pc: u64, stack: &[u64]) -> Option<Sha256> {
        let stack: Vec<_> = stack.iter().map(|address| address + shift).collect();
        fingerprint(&facts(modules(shift), pc + shift, &stack))
    }

    #[test]
    fn the_same_crash_loaded_elsewhere_has_the_same_fingerprint() {
        let stack = [0x5010, 0x1020, 0x9000];
        let first = of(0, 0x1010, &stack);
        assert!(first.is_some());
        assert_eq!(of(0x7000_0000, 0x1010, &stack), first);
        assert_eq!(of(0, 0x1010, &[0x5010, 0x1020]), first, "where the vdso begins is no return address");
    }

    #[test]
    fn anything_that_leads_to_other_frames_changes_it() {
        let stack = [0x5010, 0x1020];
        let first = of(0, 0x1010, &stack).unwrap();
        let others = [
            of(0, 0x1011, &stack),
            of(0, 0x1010, &[0x5010]),
            of(0, 0x1010, &[0x1020, 0x5010]),
            of(0, 0x1010, &[0x5010, 0x1020, 0x9001]),
        ];
        for other in others {
            assert_ne!(other.unwrap(), first);
        }
        let changed = |change: &dyn Fn(&mut CoreFacts)| {
            let mut facts = facts(modules(0), 0x1010, &stack);
            change(&mut facts);
            fingerprint(&facts)
        };
        assert_eq!(changed(&|_| {}), Some(first));
        let update = |facts: &mut CoreFacts| facts.modules[1] = module(9, 0x5000, ModuleKind::File);
        assert_ne!(changed(&update), Some(first), "another build of a library");
        assert_ne!(changed(&|facts| facts.modules.insert(2, module(4, 0x7000, ModuleKind::File))), Some(first));
        assert_ne!(changed(&|facts| facts.signal.as_mut().unwrap().number = 6), Some(first));
    }

    #[test]
    fn what_is_not_certain_has_none() {
        assert_eq!(of(0, 0x3000, &[0x1020]), None, "a wild jump");
        assert_eq!(of(0, 0x1010, &[0x3000]), None, "generated code on the stack");
        let changed = |change: &dyn Fn(&mut CoreFacts)| {
            let mut facts = facts(modules(0), 0x1010, &[0x1020]);
            change(&mut facts);
            fingerprint(&facts)
        };
        assert!(changed(&|_| {}).is_some());
        assert_eq!(changed(&|facts| facts.stack_code.whole = false), None);
        assert_eq!(changed(&|facts| facts.modules[1].build_id = Err(NoBuildId::NoNote)), None);
        assert_eq!(changed(&|facts| facts.signal = None), None);
        assert_eq!(changed(&|facts| facts.threads.clear()), None);
    }
}

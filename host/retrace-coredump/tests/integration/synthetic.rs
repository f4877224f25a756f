//! Each architecture, and each way in which a fact can be there or be missing.

use retrace_coredump::{CoreFacts, FileMapping, Limits, Missing, Module, ModuleKind, NoBuildId, Part, read_facts};

use crate::sample::{
    DYNAMIC_AT, ELF_SEGMENTS, MACHINES, Machine, PAGE, PAGE_BYTES, R, RW, RX, Sample, build_id_note, elf_table,
    first_page,
};

const PROGRAM: u64 = 0x40_0000;
const LIBRARY: u64 = 0x70_0000;
const STACK: u64 = 0x90_0000;
const VDSO: u64 = 0xa0_0000;

fn facts(sample: &Sample) -> CoreFacts {
    read_facts(&sample.build(), &Limits::default()).unwrap()
}

fn elf(machine: Machine, id: &[u8]) -> Vec<u8> {
    first_page(machine, 0, None, &build_id_note(machine, id))
}

fn module<'a>(facts: &'a CoreFacts, path: &str) -> &'a Module {
    facts.modules.iter().find(|module| module.path == path).unwrap_or_else(|| panic!("{path} in {:#?}", facts.modules))
}

fn build_id(facts: &CoreFacts, path: &str) -> Result<String, NoBuildId> {
    module(facts, path).build_id.clone().map(|id| id.to_string())
}

/// A program with a library, a data file, the vdso, and the loader's list with a second namespace.
fn process(machine: Machine) -> Sample {
    let word = if machine.wide { 8 } else { 4 };
    let stack = STACK;
    let header = if machine.wide { 64 } else { 52 };
    let (program, library, other_head, other) = (stack + 256, stack + 512, stack + 768, stack + 1024);
    let link = |bias, name, dynamic, next| machine.out().word(bias).word(name).word(dynamic).word(next).word(0);
    let empty_name = stack + 2048;
    let library_name = empty_name + 1;
    let memory = machine
        .out()
        .int(2)
        .to(word)
        .word(program)
        .word(0)
        .word(0)
        .word(0)
        .word(other_head)
        .to(256)
        .raw(&link(PROGRAM, empty_name, PROGRAM + DYNAMIC_AT, library).bytes)
        .to(512)
        .raw(&link(LIBRARY, library_name, LIBRARY + DYNAMIC_AT, 0).bytes)
        .to(768)
        .int(2)
        .to(768 + word)
        .word(other)
        .word(0)
        .word(0)
        .word(0)
        .word(0)
        .to(1024)
        .raw(&link(LIBRARY, library_name, LIBRARY + DYNAMIC_AT, other).bytes) // ends in a cycle
        .to(2048)
        .raw(b"\0/lib/libsample.so.1\0")
        .to(PAGE_BYTES);
    let dynamic = machine.out().to(256).word(1).word(1).word(21).word(STACK).word(0).word(0).to(PAGE_BYTES);
    let mut sample = Sample::new(machine)
        .map(PROGRAM, R, 1, &elf(machine, &[0xaa; 20]), Some(("/usr/bin/sample", 0)))
        .map(PROGRAM + PAGE, RX, 2, &[], Some(("/usr/bin/sample", 1)))
        .map(PROGRAM + 3 * PAGE, RW, 1, &dynamic.bytes, Some(("/usr/bin/sample", 2)))
        .map_elf(LIBRARY, "/usr/lib/libsample.so.1.2", &elf(machine, &[0xbb; 8]))
        .map(0x80_0000, R, 1, &[], Some(("/usr/lib/locale/locale-archive", 0)))
        .map(STACK, RW, 1, &memory.bytes, None)
        .map(VDSO, RX, 1, &elf(machine, &[0xcc; 20]), None)
        .auxv(33, VDSO)
        .auxv(3, PROGRAM + header)
        .auxv(5, ELF_SEGMENTS.into())
        .auxv(9, PROGRAM + PAGE);
    sample.threads = vec![100, 101, 102];
    sample
}

#[test]
fn every_architecture_gives_every_fact() {
    for machine in MACHINES {
        let sample = process(*machine);
        let facts = facts(&sample);
        let what = format!("{} {}", machine.architecture, if machine.big { "big" } else { "little" });
        assert_eq!(facts.remarks, [""; 0], "{what}");
        assert_eq!(facts.truncation, None, "{what}");
        assert_eq!(
            (facts.architecture, facts.wide, facts.big_endian),
            (machine.architecture, machine.wide, machine.big)
        );

        let signal = facts.signal.unwrap();
        assert_eq!((signal.name().as_str(), signal.code, signal.fault_address), ("SIGSEGV", Some(1), Some(0xdead)));
        assert_eq!(facts.pid, Some(100), "{what}");
        assert_eq!(facts.command.as_deref(), Some("sample"));
        assert_eq!(facts.arguments.as_deref(), Some("sample --flag"));
        assert_eq!(facts.executable.as_deref(), Some("/usr/bin/sample"));
        assert_eq!(facts.auxv, sample.auxv);

        assert_eq!(facts.threads.iter().map(|thread| thread.tid).collect::<Vec<_>>(), [100, 101, 102]);
        for thread in &facts.threads {
            assert_eq!(thread.signal, 11);
            for (name, offset, width) in machine.registers {
                let want = machine.register(thread.tid, *offset, *width);
                assert_eq!(thread.registers.get(name), Some(want), "{what} {name}");
            }
            assert_eq!(thread.registers.pc(), thread.registers.get(machine.registers[0].0));
            assert_eq!(thread.registers.sp(), thread.registers.get(machine.registers[1].0));
            assert_eq!(thread.registers.iter().count(), machine.register_count, "{what}");
        }

        assert_eq!(facts.mappings.len(), 7);
        assert_eq!(
            facts.mappings[1],
            FileMapping {
                start: PROGRAM + PAGE,
                end: PROGRAM + 3 * PAGE,
                file_offset: PAGE,
                path: "/usr/bin/sample".to_owned()
            }
        );
        let modules: Vec<_> = facts
            .modules
            .iter()
            .map(|m| (m.path.as_str(), m.start, m.end, m.kind, m.build_id.as_ref().unwrap().as_str(), m.load_bias))
            .collect();
        let (a, b, c) = ("aa".repeat(20), "bb".repeat(8), "cc".repeat(20));
        assert_eq!(
            modules,
            [
                ("/usr/bin/sample", PROGRAM, PROGRAM + 4 * PAGE, ModuleKind::File, a.as_str(), Some(PROGRAM)),
                ("/usr/lib/libsample.so.1.2", LIBRARY, LIBRARY + 4 * PAGE, ModuleKind::File, b.as_str(), Some(LIBRARY)),
                ("[vdso]", VDSO, VDSO + PAGE, ModuleKind::Vdso, c.as_str(), Some(VDSO)),
            ],
            "{what}"
        );

        let list: Vec<_> = facts.link_map.iter().map(|e| (e.load_bias, e.dynamic, e.name.as_str())).collect();
        let library = (LIBRARY, LIBRARY + DYNAMIC_AT, "/lib/libsample.so.1");
        assert_eq!(list, [(PROGRAM, PROGRAM + DYNAMIC_AT, ""), library, library], "{what}");
    }
}

#[test]
fn a_core_without_signal_information_has_the_signal_of_its_first_thread_or_none() {
    let mut sample = Sample::new(Machine::x86_64());
    sample.siginfo = None;
    assert_eq!(facts(&sample).signal, None, "as a debugger makes it");
}

#[test]
fn the_reason_for_a_missing_build_id_is_told() {
    let m = Machine::x86_64();
    let unreadable = |part, missing| Err(NoBuildId::Unreadable { part, missing });
    let no_notes = first_page(m, 0, None, &m.out().note(b"GNU", 1, &[0; 16]).bytes);
    let short = first_page(m, 0, None, &build_id_note(m, &[1, 2]));
    let mut damaged = elf(m, &[1; 20]);
    damaged[54] = 55; // e_phentsize
    let sample = Sample::new(m)
        .map_elf(0x10_0000, "/not-dumped", &[])
        .map_elf(0x20_0000, "/no-note", &no_notes)
        .map_elf(0x30_0000, "/short", &short)
        .map_elf(0x40_0000, "/damaged", &damaged)
        .map_elf(0x50_0000, "/script", b"#!/bin/sh\n".repeat(10).as_slice())
        .map(0x60_0000, RX, 1, &[], Some(("/no-first-page", 4)))
        .map_elf(0x70_0000, "/elsewhere", &first_page(m, 0, Some(0x10_0000), &[]))
        .map_elf(0x80_0000, "/in-the-code", &first_page(m, 0, Some(PAGE), &[]))
        .map(0x90_0000, R, 1, &[0; 4096], Some(("/data", 0)));
    let facts = facts(&sample);
    let cases = [
        ("/not-dumped", unreadable(Part::ElfHeader, Missing::NotDumped)),
        ("/no-note", Err(NoBuildId::NoNote)),
        ("/short", Err(NoBuildId::Damaged(Part::Notes))),
        ("/damaged", Err(NoBuildId::Damaged(Part::ProgramHeaders))),
        ("/script", Err(NoBuildId::NotElf)),
        ("/no-first-page", unreadable(Part::ElfHeader, Missing::NotMapped)),
        ("/elsewhere", unreadable(Part::ProgramHeaders, Missing::NotMapped)),
        ("/in-the-code", unreadable(Part::ProgramHeaders, Missing::NotDumped)),
    ];
    assert_eq!(facts.modules.len(), cases.len(), "no module of the data file: {:#?}", facts.modules);
    for (path, want) in cases {
        assert_eq!(build_id(&facts, path), want, "{path}");
    }
    let message = module(&facts, "/not-dumped").build_id.as_ref().unwrap_err().to_string();
    assert_eq!(message, "its first bytes (the ELF header) are not dumped (see coredump_filter in core(5))");
}

/// BOLT moves the program headers to a new segment at the end of the file.
#[test]
fn program_headers_outside_the_first_page_are_followed_through_the_mappings() {
    let m = Machine::x86_64();
    let notes = build_id_note(m, &[7; 20]);
    let table = m.out().to(128).raw(&elf_table(m, 0, notes.len() as u64)).to(PAGE_BYTES).bytes;
    let sample = Sample::new(m)
        .map(0x10_0000, R, 1, &first_page(m, 0, Some(9 * PAGE + 128), &notes), Some(("/bolt", 0)))
        .map(0x10_1000, RX, 2, &[], Some(("/bolt", 1)))
        .map(0x20_0000, RW, 1, &table, Some(("/bolt", 9)));
    let facts = facts(&sample);
    assert_eq!(build_id(&facts, "/bolt"), Ok("07".repeat(20)));
    assert_eq!(module(&facts, "/bolt").load_bias, Some(0x10_0000));
}

#[test]
fn the_build_id_of_the_first_page_is_found_without_program_headers() {
    for machine in MACHINES {
        let page = first_page(*machine, 0, Some(PAGE), &build_id_note(*machine, &[7; 20]));
        let facts = facts(&Sample::new(*machine).map_elf(0x10_0000, "/bolt", &page));
        assert_eq!(build_id(&facts, "/bolt"), Ok("07".repeat(20)), "{}", machine.architecture);
        assert_eq!(module(&facts, "/bolt").load_bias, None);
    }
}

#[test]
fn a_library_loaded_twice_is_two_modules_and_a_deleted_one_keeps_its_path() {
    let m = Machine::x86_64();
    let sample = Sample::new(m)
        .map_elf(0x10_0000, "/twice", &elf(m, &[1; 20]))
        .map_elf(0x20_0000, "/gone (deleted)", &elf(m, &[2; 20]))
        .map_elf(0x30_0000, "/twice", &elf(m, &[1; 20]))
        // Without a header page the order of the offsets tells where one ends.
        .map_elf(0x40_0000, "/blind", &[])
        .map_elf(0x50_0000, "/blind", &[]);
    let facts = facts(&sample);
    let got: Vec<_> = facts.modules.iter().map(|m| (m.path.as_str(), m.start, m.end)).collect();
    let size = 4 * PAGE;
    assert_eq!(
        got,
        [
            ("/twice", 0x10_0000, 0x10_0000 + size),
            ("/gone", 0x20_0000, 0x20_0000 + size),
            ("/twice", 0x30_0000, 0x30_0000 + size),
            ("/blind", 0x40_0000, 0x40_0000 + size),
            ("/blind", 0x50_0000, 0x50_0000 + size),
        ]
    );
}

/// What one loading lacks must not be taken from another: they may be of different files.
#[test]
fn a_build_id_is_never_taken_from_another_loading() {
    let m = Machine::x86_64();
    let page = elf(m, &[2; 20]);
    let facts = facts(
        &Sample::new(m)
            .map_elf(0x10_0000, "/replaced (deleted)", &[])
            .map_elf(0x20_0000, "/replaced", &page)
            .map_elf(0x30_0000, "/twice", &[])
            .map_elf(0x40_0000, "/twice", &page),
    );
    let not_dumped = Err(NoBuildId::Unreadable { part: Part::ElfHeader, missing: Missing::NotDumped });
    let found = Ok("02".repeat(20).parse().unwrap());
    let got: Vec<_> = facts.modules.iter().map(|m| (m.path.as_str(), m.build_id.clone())).collect();
    assert_eq!(
        got,
        [("/replaced", not_dumped.clone()), ("/replaced", found.clone()), ("/twice", not_dumped), ("/twice", found),]
    );
}

#[test]
fn a_program_at_a_fixed_address_has_no_bias() {
    for machine in MACHINES {
        let page = first_page(*machine, 0x1_0000, None, &build_id_note(*machine, &[3; 20]));
        let facts = facts(&Sample::new(*machine).map_elf(0x1_0000, "/fixed", &page));
        assert_eq!(module(&facts, "/fixed").load_bias, Some(0), "{}", machine.architecture);
        assert_eq!(facts.executable.as_deref(), Some("/fixed"), "the first mapping, without an auxiliary vector");
    }
}

#[test]
fn more_than_65534_program_headers_are_read_even_if_their_number_was_cut_off() {
    let m = Machine::x86_64();
    let mut sample = Sample::new(m).map_elf(0x10_0000, "/many", &elf(m, &[5; 20]));
    for index in 0..70_000 {
        sample = sample.map(0x1000_0000 + index * 2 * PAGE, RW, 1, &[], None);
    }
    // Last in the table.
    sample = sample.map_elf(0x7000_0000, "/last", &elf(m, &[6; 20]));
    sample.extended = true;
    let core = sample.build();
    let whole = read_facts(&core, &Limits::default()).unwrap();
    assert_eq!(build_id(&whole, "/last"), Ok("06".repeat(20)));
    assert_eq!((whole.truncation, whole.remarks.len()), (None, 1), "{:?}", whole.remarks);

    let cut = read_facts(&core[..core.len() - 64].to_vec(), &Limits::default()).unwrap();
    assert_eq!(cut.modules, whole.modules);
    assert!(cut.truncation.is_some());

    let limits = Limits { max_segments: 10, ..Limits::default() };
    let few = read_facts(&core, &limits).unwrap();
    assert!(few.modules.iter().all(|module| module.path != "/last"), "nothing tells that it holds code");
    assert!(few.remarks.iter().any(|remark| remark.contains("program headers")), "{:?}", few.remarks);
}

#[test]
fn limits_cut_the_result_and_say_so() {
    let m = Machine::x86_64();
    let core = process(m).build();
    let cases: [(Limits, &str); 6] = [
        (Limits { max_threads: 2, ..Limits::default() }, "2 threads"),
        (Limits { max_notes: 3, ..Limits::default() }, "3 notes"),
        (Limits { max_mappings: 2, ..Limits::default() }, "only 2 of 7 mapped files"),
        (Limits { max_modules: 1, ..Limits::default() }, "1 modules"),
        (Limits { max_note_bytes: 16, ..Limits::default() }, "list of mapped files"),
        (Limits { max_memory_bytes: 1024, ..Limits::default() }, "limit on memory"),
    ];
    for (limits, want) in cases {
        let facts = read_facts(&core, &limits).unwrap();
        assert!(facts.remarks.iter().any(|remark| remark.contains(want)), "{want}: {:?}", facts.remarks);
        assert!(facts.threads.len() <= limits.max_threads && facts.modules.len() <= limits.max_modules);
    }
}

//! Truncated, damaged and malicious cores: a clear error or a bounded result, soon, without a panic.

use std::{io, time::Instant};

use proptest::prelude::*;
use retrace_coredump::{
    Compression, CoreError, CoreFacts, KernelDump, Limits, Missing, NoBuildId, Part, ReadAt, read_facts,
};

use crate::{
    sample::{ELF_SEGMENTS, MACHINES, Machine, PAGE, R, RW, RX, Sample, Segment, build_id_note, first_page},
    tools::Counting,
};

fn sample(machine: Machine) -> Sample {
    let page = first_page(machine, 0, None, &build_id_note(machine, &[0xaa; 20]));
    let header = if machine.wide { 64 } else { 52 };
    Sample::new(machine)
        .map_elf(0x10_0000, "/usr/bin/sample", &page)
        .map(0x20_0000, RW, 4, &[0x41; 4 * 4096], None)
        .map_elf(0x30_0000, "/usr/lib/libsample.so", &page)
        .map(0x40_0000, RX, 1, &page, None)
        .auxv(33, 0x40_0000)
        .auxv(3, 0x10_0000 + header)
        .auxv(5, ELF_SEGMENTS.into())
}

fn read(core: &impl ReadAt) -> Result<CoreFacts, CoreError> {
    let start = Instant::now();
    let result = read_facts(core, &Limits::default());
    assert!(start.elapsed().as_secs_f32() < 5.0, "took {:?}", start.elapsed());
    result
}

#[test]
fn a_truncated_core_gives_what_is_left() {
    for machine in MACHINES {
        let core = sample(*machine).build();
        let whole = read(&core).unwrap();
        assert_eq!(whole.truncation, None);
        let header = if machine.wide { 64 } else { 52 };
        // Every byte of the headers and the first notes, then every 97th byte.
        for size in (0..1500).chain((1500..core.len()).step_by(97)) {
            let facts = match read(&core[..size].to_vec()) {
                Ok(facts) => facts,
                Err(error) => {
                    assert!(size < 64, "{size}: {error}");
                    assert!(matches!(error, CoreError::NotElf { .. } | CoreError::TooShort { .. }), "{size}: {error}");
                    continue;
                }
            };
            assert!(size >= header);
            let truncation = facts.truncation.expect("told");
            assert_eq!(truncation.actual_size, size as u64);
            assert!(truncation.expected_size <= core.len() as u64);
            // What the notes hold comes whole or not at all.
            assert!(facts.threads.len() <= whole.threads.len());
            for (thread, want) in facts.threads.iter().zip(&whole.threads) {
                assert_eq!(thread.tid, want.tid);
                assert!(thread.registers == want.registers || thread.registers.iter().count() == 0);
            }
            assert!(facts.mappings.iter().all(|mapping| whole.mappings.contains(mapping)));
            for module in &facts.modules {
                let want = whole.modules.iter().find(|want| want.start == module.start).unwrap();
                assert!(module.build_id == want.build_id || module.build_id.is_err());
            }
        }
    }
}

#[test]
fn a_core_cut_off_behind_its_notes_still_names_its_modules() {
    let sample = sample(Machine::x86_64());
    let core = sample.build();
    let memory = sample.areas.iter().map(|area| area.dumped.len()).sum::<usize>();
    let facts = read(&core[..core.len() - memory].to_vec()).unwrap();
    assert_eq!(facts.threads.len(), 3);
    let reason = NoBuildId::Unreadable { part: Part::ElfHeader, missing: Missing::CutOff };
    let paths: Vec<_> = facts.modules.iter().map(|module| (module.path.as_str(), module.build_id.clone())).collect();
    assert_eq!(
        paths,
        [("/usr/bin/sample", Err(reason)), ("/usr/lib/libsample.so", Err(reason)), ("[vdso]", Err(reason)),]
    );
}

#[test]
fn what_is_no_core_of_a_process_is_named() {
    let m = Machine::x86_64();
    let vmcore = |notes: &[u8]| Sample::new(m).build_with_notes(notes);
    let status = vec![0; m.prstatus_size];
    let with = |at: usize, byte: u8| {
        let mut core = sample(m).build();
        core[at] = byte;
        core
    };
    let kernel_notes = m.out().note(b"CORE", 1, &status).note(b"VMCOREINFO", 0, b"OSRELEASE=6.1.0\n").bytes;
    let cases: [(&str, Vec<u8>, &str); 15] = [
        ("empty", Vec::new(), "starts with nothing"),
        ("text", b"#!/bin/sh\necho\n".to_vec(), "starts with \"#!/bin/sh"),
        ("a program", with(16, 3), "type 3, not a core"),
        ("x86_64 with 32 bit (x32)", with(4, 1), "32 bit"),
        ("a class that does not exist", with(4, 3), "class"),
        ("MIPS", with(18, 8), "ELF machine 8, 64 bit, little endian is not supported"),
        ("program headers of no size", with(54, 0), "program headers"),
        ("start of an ELF header", with(0, 0x7f)[..40].to_vec(), "cut off after 40 bytes"),
        ("kdump", b"KDUMP   \x06\0\0\0".to_vec(), "dump of a kernel (kdump-compressed)"),
        ("diskdump", b"DISKDUMP\x06\0\0\0".to_vec(), "dump of a kernel (diskdump)"),
        ("flattened", b"makedumpfile\0\0\0\0".to_vec(), "dump of a kernel (flattened by makedumpfile)"),
        ("vmcore", vmcore(&kernel_notes), "dump of a kernel (ELF vmcore)"),
        ("gzip", vec![0x1f, 0x8b, 8, 0], "compressed (gzip)"),
        ("xz", b"\xfd7zXZ\0".to_vec(), "compressed (xz)"),
        ("zstd", b"\x28\xb5\x2f\xfd".to_vec(), "compressed (zstd)"),
    ];
    for (what, core, want) in cases {
        let error = read(&core).expect_err(what);
        assert!(error.to_string().contains(want), "{what}: {error}");
    }
    assert!(matches!(read(&vmcore(&kernel_notes)), Err(CoreError::Kernel(KernelDump::Vmcore))));
    assert!(matches!(read(&b"BZh9".to_vec()), Err(CoreError::Compressed(Compression::Bzip2))));
}

/// A core that never ends: `start`, then `period` again and again.
struct Endless {
    start: Vec<u8>,
    period: Vec<u8>,
}

impl ReadAt for Endless {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let Ok(skip) = usize::try_from(offset) else { return Ok(0) };
        if let Some(start) = self.start.get(skip..).filter(|start| !start.is_empty()) {
            return io::Read::read(&mut &*start, buf);
        }
        let phase = (skip - self.start.len()) % self.period.len();
        let mut done = 0;
        while done < buf.len() {
            done += io::Read::read(&mut &self.period[(phase + done) % self.period.len()..], &mut buf[done..])?;
        }
        Ok(buf.len())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(1 << 62)
    }
}

#[test]
fn counts_without_bound_are_cut_at_the_limits_and_told() {
    let m = Machine::x86_64();
    let limits = Limits::default();
    let core = |segment: Segment, period: Vec<u8>| {
        let start = m.out().elf_header(4, 64, 1, 0).segment(&segment).bytes;
        Counting::new(Endless { start, period })
    };
    let notes = Segment { kind: 4, offset: 120, file_size: 1 << 60, ..Segment::default() };
    let status = m.out().note(b"CORE", 1, &vec![0x11; m.prstatus_size]).bytes;

    let endless = core(notes, status);
    let facts = read(&endless).unwrap();
    assert_eq!(facts.threads.len(), limits.max_threads, "2^60 bytes of threads");
    assert!(facts.remarks.iter().any(|remark| remark.contains("threads")), "{:?}", facts.remarks);
    assert!(endless.bytes.get() < 1 << 30, "{} bytes", endless.bytes.get());

    let endless = core(notes, m.out().note(b"", 0, &[]).bytes);
    assert!(read(&endless).unwrap().remarks.iter().any(|remark| remark.contains("notes")), "2^60 bytes of empty notes");

    // Each of the 2^32 - 1 program headers is a PT_LOAD, or a PT_NOTE that holds the whole core.
    for kind in [1, 4] {
        let forever = Segment { kind, file_size: u64::MAX, memory_size: u64::MAX, ..Segment::default() };
        let header = m.out().elf_header(4, 128, 0xffff, 64);
        // sh_info of the first section header is the count.
        let start = header.raw(&[0xff; 64]).bytes;
        let endless = Endless { start, period: m.out().segment(&forever).bytes };
        let facts = read(&endless).unwrap();
        assert_eq!(facts.threads.len(), 0);
        assert_eq!(facts.truncation.map(|truncation| truncation.expected_size), Some(u64::MAX));
        assert!(facts.remarks[0].contains("claims 4294967295 program headers"), "{:?}", facts.remarks);
    }

    // NT_FILE that claims 2^60 mappings, or 4 GiB of descriptor.
    for (count, size) in [(1_u64 << 60, 64_u32), (1 << 60, u32::MAX), (u64::MAX, u32::MAX), (1000, u32::MAX)] {
        let note = m.out().int(5).int(size).int(0x4649_4c45).raw(b"CORE\0\0\0\0").word(count).word(4096);
        let facts = read(&core(notes, note.to(256).bytes)).unwrap();
        assert_eq!(facts.mappings, [], "{count} {size}");
        assert!(facts.remarks.iter().any(|remark| remark.contains("NT_FILE")), "{:?}", facts.remarks);
    }
}

#[test]
fn modules_without_bound_are_cut_at_the_limits() {
    let m = Machine::x86_64();
    // Program headers and notes as large as they are believed to be, in each of 20,000 files.
    let notes = m.out().note(b"GNU", 1, &[0; 2000]).bytes;
    let page = first_page(m, 0, None, &notes);
    let mut many = Sample::new(m);
    for index in 0..20_000_u64 {
        many = many.map(0x1000_0000 + index * 2 * PAGE, R, 1, &[], Some((&format!("/lib/{index}"), 0)));
        many.areas.last_mut().unwrap().dumped = if index % 100 == 0 { page.clone() } else { page[..64].to_vec() };
    }
    let core = Counting::new(many.build());
    let facts = read(&core).unwrap();
    assert_eq!(facts.modules.len(), Limits::default().max_modules);
    assert!(core.bytes.get() < 64 << 20, "{} bytes read", core.bytes.get());
}

#[test]
fn one_file_of_very_many_mappings_takes_no_longer() {
    let m = Machine::x86_64();
    let count = 200_000_u64;
    let offsets: [fn(u64) -> u64; 3] = [|_| 0, |index| 1_000_000 - index, |index| index % 2];
    for offset in offsets {
        let note = (0..count).fold(m.out().word(count).word(PAGE), |note, index| {
            note.word(0x1000_0000 + index * 2 * PAGE).word(0x1000_0000 + (index * 2 + 1) * PAGE).word(offset(index))
        });
        let note = note.raw(&b"/a\0".repeat(200_000)).bytes;
        let sample = Sample::new(m).map(0x1000_0000, RX, 800_000, &[], None);
        let core = sample.build_with_notes(&m.out().note(b"CORE", 0x4649_4c45, &note).bytes);
        let facts = read(&core).unwrap();
        assert_eq!(facts.mappings.len(), 200_000);
        assert!(facts.modules.len() <= Limits::default().max_modules);
    }
}

#[test]
fn the_loaders_list_may_be_a_cycle_or_lead_astray() {
    let m = Machine::x86_64();
    let page = first_page(m, 0, None, &[]);
    let dynamic = m.out().to(256).word(21).word(0x20_0000).word(0).word(0).to(4096).bytes;
    for next in [0x20_0000_u64, 0x20_0100, 0x20_0200, 0x20_0300, u64::MAX, 0xdead_0000, 1] {
        let link = |next: u64| m.out().word(1).word(0x20_0400).word(2).word(next).bytes;
        let memory = m.out().int(2).to(8).word(0x20_0100).to(40).word(next);
        let memory = memory.to(0x100).raw(&link(0x20_0200)).to(0x200).raw(&link(next)).to(0x300).raw(&link(0x20_0300));
        let sample = Sample::new(m)
            .map(0x10_0000, R, 1, &page, Some(("/a", 0)))
            .map(0x10_3000, RW, 1, &dynamic, Some(("/a", 2)))
            .map(0x20_0000, RW, 1, &memory.to(4096).bytes, None)
            .auxv(3, 0x10_0040)
            .auxv(5, 6);
        let facts = read(&sample.build()).unwrap();
        assert!((2..=3).contains(&facts.link_map.len()), "{next:#x}: {:?}", facts.link_map);
    }
}

/// 4 GiB, of which nearly all is a hole: what is read does not depend on the size.
#[test]
fn little_is_read_of_a_large_core() {
    let m = Machine::x86_64();
    let mut sample = sample(m);
    let small = sample.build();
    let file = tempfile::tempfile().unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &small, 0).unwrap();
    file.set_len(4 << 30).unwrap();
    let few = Counting::new(file);
    let facts = read(&few).unwrap();
    assert_eq!(facts.threads.len(), 3);
    assert!(facts.modules.iter().all(|module| module.build_id.is_ok()));
    assert!(few.bytes.get() < 64 << 10, "{} bytes read", few.bytes.get());
    assert!(few.calls.get() < 200, "{} calls", few.calls.get());

    // A thousand threads on 4 GiB of stacks.
    sample.threads = (1..=1000).collect();
    for index in 0..1000 {
        sample = sample.map(0x7000_0000_0000 + index * 0x100_0000, RW, 1024, &[], None);
    }
    let many = Counting::new(sample.build());
    assert_eq!(read(&many).unwrap().threads.len(), 1000);
    assert!(many.bytes.get() < 4 << 20, "{} bytes read", many.bytes.get());
}

fn machines() -> impl Strategy<Value = Machine> {
    (0..MACHINES.len()).prop_map(|index| MACHINES[index])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..5000)) {
        prop_assert!(read(&bytes).is_err());
    }

    #[test]
    fn random_bytes_behind_an_elf_header_do_no_harm(
        machine in machines(),
        count in any::<u16>(),
        sections in any::<u64>(),
        bytes in proptest::collection::vec(any::<u8>(), 0..5000),
    ) {
        let header = if machine.wide { 64 } else { 52 };
        let core = machine.out().elf_header(4, header, count, sections).raw(&bytes).bytes;
        let _ = read(&core);
    }

    #[test]
    fn damaged_cores_do_no_harm(
        machine in machines(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40),
        early in any::<bool>(),
    ) {
        let mut core = sample(machine).build();
        let range = if early { 2500.min(core.len()) } else { core.len() };
        for (index, byte) in damage {
            let at = index.index(range);
            core[at] = byte;
        }
        let _ = read(&core);
    }

    #[test]
    fn extreme_numbers_do_no_harm(
        machine in machines(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), 0..6_usize), 1..12),
    ) {
        let mut core = sample(machine).build();
        for (index, number) in damage {
            let at = index.index(core.len() / 8) * 8;
            let number = [0, 1, u64::MAX, 1 << 63, 1 << 60, u64::from(u32::MAX)][number];
            core[at..at + 8].copy_from_slice(&number.to_le_bytes());
        }
        let _ = read(&core);
    }
}

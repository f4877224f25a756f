//! Cores that were damaged or made up: each gives a clear answer within seconds.

use std::{
    fs,
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    path::Path,
    time::Duration,
};

use retrace_tests::{Cli, Run, rpm};

use crate::view::{copy, explains_itself, sync_rpm};

/// Longest that a hopeless core may take on a busy machine.
const SECONDS: u64 = 20;

#[track_caller]
fn answers_quickly(run: &Run) {
    explains_itself(run);
    assert!(matches!(run.code, Some(0 | 1 | 3)), "{run}");
    assert!(run.duration < Duration::from_secs(SECONDS), "{run}");
    assert!(run.peak_memory_kib < 300 * 1024, "{run}");
}

fn analyze(cli: &Cli, core: &Path) -> Run {
    cli.run(["analyze".as_ref(), core.as_os_str(), "--format".as_ref(), "json".as_ref()])
}

#[test]
fn a_core_cut_at_any_of_twenty_places_is_reported_as_such() {
    let (Some(fixture), Some(cli)) = (rpm(), Cli::new()) else { return };
    sync_rpm(&cli, fixture, "base", "debuginfo").expect_code(0);
    let crash = fixture.crash("will-crash-segv");
    let core = copy(&crash.core, cli.path("core"));
    let size = fs::metadata(&core).unwrap().len();
    // Half of them in the first 64 KiB, where headers and notes are; the longest first, because it only shrinks.
    let places = (1..=10).map(|i| size * i / 11).chain((0..10).map(|i| 64 * 1024 * i / 10));
    let mut places: Vec<_> = places.collect();
    places.sort_unstable_by(|a, b| b.cmp(a));
    for place in places {
        fs::File::options().write(true).open(&core).unwrap().set_len(place).unwrap();
        let run = analyze(&cli, &core);
        answers_quickly(&run);
        assert_ne!(run.code, Some(0), "cut at {place}: {run}");
        if run.code == Some(3) {
            let text = run.stdout.to_lowercase();
            assert!(text.contains("core-truncated"), "cut at {place}: {run}");
        }
    }
}

#[test]
fn what_is_no_core_is_called_so() {
    let Some(cli) = Cli::new() else { return };
    let core = cli.path("core");
    let mut noise = vec![0; 1 << 16];
    fs::File::open("/dev/urandom").unwrap().read_exact(&mut noise).unwrap();
    let elf_noise = [b"\x7fELF\x02\x01\x01".as_slice(), &noise].concat();
    for content in [b"".as_slice(), b"\x7f", &noise, &elf_noise, &[0; 4096], b"KDUMP   ", b"#!/bin/sh\n"] {
        fs::write(&core, content).unwrap();
        let run = analyze(&cli, &core).expect_code(1);
        answers_quickly(&run);
        assert!(!run.stderr.trim().is_empty(), "{run}");
    }
    // A program is ELF, but no core.
    let run = analyze(&cli, Path::new("/bin/sh")).expect_code(1);
    assert!(run.stderr.contains("core"), "{run}");
    let run = analyze(&cli, Path::new("/nonexistent/core"));
    assert!(run.code == Some(1) && run.stderr.contains("/nonexistent/core"), "{run}");
}

/// Offsets in an ELF header and program header for 64 bit, by elf(5).
const E_PHOFF: u64 = 32;
const E_PHNUM: u64 = 56;
const P_FILESZ: u64 = 32;
const P_MEMSZ: u64 = 40;

fn patch(core: &Path, offset: u64, bytes: &[u8]) {
    let mut file = fs::File::options().write(true).open(core).unwrap();
    file.seek(SeekFrom::Start(offset)).unwrap();
    file.write_all(bytes).unwrap();
}

fn number(core: &Path, offset: u64) -> u64 {
    let mut file = fs::File::open(core).unwrap();
    file.seek(SeekFrom::Start(offset)).unwrap();
    let mut bytes = [0; 8];
    file.read_exact(&mut bytes).unwrap();
    u64::from_le_bytes(bytes)
}

/// Where a byte string is in the first MiB.
fn find(core: &Path, needle: &[u8]) -> u64 {
    let mut bytes = Vec::new();
    fs::File::open(core).unwrap().take(1 << 20).read_to_end(&mut bytes).unwrap();
    bytes.windows(needle.len()).position(|window| window == needle).expect("the core holds it") as u64
}

#[test]
fn numbers_beyond_all_reason_are_bounded() {
    let (Some(fixture), Some(cli)) = (rpm(), Cli::new()) else { return };
    let original = fixture.crash("will-crash-segv").core;
    let headers = number(&original, E_PHOFF);
    // The note NT_FILE: owner "CORE", type "FILE" (0x46494c45), then the count and the page size.
    let nt_file = find(&original, b"ELIFCORE\0\0\0\0") + 12;
    let huge = (1_u64 << 60).to_le_bytes();
    let cases: [(&str, u64, &[u8]); 6] = [
        ("size of the notes", headers + P_FILESZ, &huge),
        ("size of the first segment", headers + 56 + P_FILESZ, &huge),
        ("memory of the first segment", headers + 56 + P_MEMSZ, &[0xff; 8]),
        ("count of mappings", nt_file, &huge),
        ("count of segments, to be read elsewhere", E_PHNUM, &[0xff, 0xff]),
        ("offset of the program headers", E_PHOFF, &[0xff; 8]),
    ];
    for (what, offset, bytes) in cases {
        let core = copy(&original, cli.path("core"));
        patch(&core, offset, bytes);
        let run = analyze(&cli, &core);
        answers_quickly(&run);
        assert_ne!(run.code, Some(0), "{what}: {run}");
    }
}

#[test]
fn a_flipped_byte_anywhere_in_the_headers_is_survived() {
    let (Some(fixture), Some(cli)) = (rpm(), Cli::new()) else { return };
    let core = copy(&fixture.crash("will-crash-segv").core, cli.path("core"));
    for offset in (0..4096).step_by(211) {
        let before = number(&core, offset).to_le_bytes()[0];
        patch(&core, offset, &[before ^ 0xff]);
        answers_quickly(&analyze(&cli, &core));
        patch(&core, offset, &[before]);
    }
}

#[test]
fn a_decompression_bomb_stops_at_the_limit() {
    let Some(mut cli) = Cli::new() else { return };
    cli.set("RETRACE_LIMITS_CORE_SIZE_MIB", "64");
    let bomb = cli.path("core.zst");
    let command = format!("head -c 2G /dev/zero | zstd -q -1 -o '{}'", bomb.display());
    assert!(std::process::Command::new("sh").args(["-c", &command]).status().unwrap().success());
    let run = analyze(&cli, &bomb).expect_code(1);
    answers_quickly(&run);
    // Nothing of it is left.
    let left =
        std::process::Command::new("du").args(["-sk", "--apparent-size"]).arg(cli.path("cache")).output().unwrap();
    let left = String::from_utf8(left.stdout).unwrap();
    let kib: u64 = left.split_whitespace().next().unwrap().parse().unwrap();
    assert!(kib < 64 * 1024, "{left}");
}

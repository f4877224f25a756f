//! Cores of a real process, compared with elfutils and gdb.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    path::{Path, PathBuf},
};

use retrace_coredump::{CoreFacts, Limits, Missing, ModuleKind, NoBuildId, Part, read_facts};
use tempfile::TempDir;

use crate::tools::{Counting, have, sh, sh_ok};

const SOURCE: &str = r#"
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static pthread_barrier_t barrier;

static void *wait_forever(void *arg) {
    pthread_barrier_wait(&barrier);
    for (;;) pause();
    return arg;
}

int main(int argc, char **argv) {
    pthread_t thread;
    pthread_barrier_init(&barrier, NULL, 4);
    for (int i = 0; i < 3; i++) pthread_create(&thread, NULL, wait_forever, NULL);
    pthread_barrier_wait(&barrier);
    if (argc > 1 && strcmp(argv[1], "stay") == 0) {
        fclose(fopen("ready", "w"));
        for (;;) pause();
    }
#ifdef RESERVE_BYTES
    /* The kernel leaves out a mapping that was never touched. */
    *(volatile char *)mmap(NULL, RESERVE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) = 1;
#endif
    volatile int *nowhere = (int *)0xdead0000;
    *nowhere = 1;
    return 0;
}
"#;

/// A folder with the program, or nothing where this machine cannot make cores.
fn program(flags: &str) -> Option<TempDir> {
    if !have(&["gcc", "gdb", "gcore", "eu-unstrip"]) {
        return None;
    }
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap_or_default();
    if pattern.starts_with('|') || pattern.contains('/') {
        let required = std::env::var_os("RETRACE_REQUIRE_TOOLS").is_some_and(|value| value == "1");
        assert!(!required, "cores go elsewhere: /proc/sys/kernel/core_pattern is {pattern:?}, want \"core\"");
        eprintln!("skipped: cores go elsewhere: core_pattern is {pattern:?}");
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("crash.c"), SOURCE).unwrap();
    sh_ok(dir.path(), &format!("gcc -g -pthread {flags} -Wl,--build-id -o crash crash.c"));
    Some(dir)
}

/// Without a C library, so that no 32-bit one is needed.
const SOURCE_32: &str = "void _start(void) { *(volatile int *)0xdead0000 = 1; }";

/// Runs the program until it dies and gives the core that the kernel wrote.
fn crash(dir: &Path, filter: Option<&str>) -> PathBuf {
    try_crash(dir, filter).expect("the kernel wrote a core")
}

fn try_crash(dir: &Path, filter: Option<&str>) -> Option<PathBuf> {
    let filter = filter.map(|filter| format!("echo {filter} > /proc/self/coredump_filter &&")).unwrap_or_default();
    sh(dir, &format!("ulimit -c unlimited && {filter} exec ./crash with arguments"));
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut cores =
        entries.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("core")));
    cores.next()
}

fn facts(core: &Path) -> CoreFacts {
    let core = Counting::new(File::open(core).unwrap());
    let facts = read_facts(&core, &Limits::default()).unwrap();
    assert!(core.bytes.get() < 1 << 20, "{} bytes read", core.bytes.get());
    facts
}

/// Start and build-id of each module as elfutils sees them: lines of `0x5…+0x5000 BUILDID@0x5… FILE DEBUGFILE NAME`.
fn elfutils_modules(dir: &Path, core: &Path) -> BTreeSet<(u64, String)> {
    let text = sh_ok(dir, &format!("eu-unstrip -n --core={}", core.display()));
    let lines = text.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    lines
        .filter(|fields| fields[1] != "-")
        .map(|fields| {
            let start = fields[0].split_once('+').unwrap().0.trim_start_matches("0x");
            (u64::from_str_radix(start, 16).unwrap(), fields[1].split('@').next().unwrap().to_owned())
        })
        .collect()
}

fn own_modules(facts: &CoreFacts) -> BTreeSet<(u64, String)> {
    let known =
        facts.modules.iter().filter_map(|module| Some((module.start, module.build_id.as_ref().ok()?.to_string())));
    known.collect()
}

/// Registers by thread id as gdb sees them.
fn gdb_registers(dir: &Path, core: &Path, names: &str) -> BTreeMap<u32, BTreeMap<String, u64>> {
    let command = format!("gdb -nx -batch -ex 'thread apply all info registers {names}' crash {} 2>&1", core.display());
    let mut threads = BTreeMap::<u32, BTreeMap<String, u64>>::new();
    let mut tid = 0;
    for line in sh_ok(dir, &command).lines() {
        if let Some((_, rest)) = line.split_once("LWP ").filter(|_| line.starts_with("Thread ")) {
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            tid = digits.parse().unwrap();
        }
        let mut fields = line.split_whitespace();
        if let (Some(name), Some(value)) = (fields.next(), fields.next())
            && let Some(value) = value.strip_prefix("0x").and_then(|hex| u64::from_str_radix(hex, 16).ok())
            && tid != 0
        {
            threads.entry(tid).or_default().insert(name.to_owned(), value);
        }
    }
    threads
}

#[test]
#[cfg(target_arch = "x86_64")]
fn the_core_of_a_crashed_process_is_read_as_elfutils_and_gdb_read_it() {
    let Some(dir) = program("") else { return };
    let path = crash(dir.path(), None);
    let facts = facts(&path);
    assert_eq!(facts.remarks, [""; 0]);
    assert_eq!(facts.truncation, None);
    assert_eq!(facts.architecture.as_str(), "x86_64");
    let signal = facts.signal.unwrap();
    assert_eq!((signal.name().as_str(), signal.code, signal.fault_address), ("SIGSEGV", Some(1), Some(0xdead_0000)));
    assert_eq!(facts.command.as_deref(), Some("crash"));
    assert_eq!(facts.arguments.as_deref(), Some("./crash with arguments"));
    let executable = dir.path().canonicalize().unwrap().join("crash");
    assert_eq!(facts.executable.as_deref(), executable.to_str());

    assert_eq!(facts.threads.len(), 4);
    assert_eq!(facts.pid, Some(facts.threads[0].tid), "the main thread crashed");
    let names = "rip rsp rax rbx rcx rdx rsi rdi rbp r8 r9 r10 r11 r12 r13 r14 r15 eflags cs ss fs_base gs_base";
    let want = gdb_registers(dir.path(), &path, names);
    assert_eq!(want.len(), 4);
    for thread in &facts.threads {
        assert_eq!(want[&thread.tid].len(), names.split(' ').count());
        for (name, value) in &want[&thread.tid] {
            assert_eq!(thread.registers.get(name), Some(*value), "{} of thread {}", name, thread.tid);
        }
    }

    assert_eq!(own_modules(&facts), elfutils_modules(dir.path(), &path));
    assert_eq!(facts.modules.len(), 4, "program, libc, ld.so, vdso: {:#?}", facts.modules);
    assert!(facts.modules.iter().any(|module| module.kind == ModuleKind::Vdso));
    // The loader's list names each of them but the vdso's image, with the same bias.
    for module in facts.modules.iter().filter(|module| module.kind == ModuleKind::File) {
        let entry = facts.link_map.iter().find(|entry| (module.start..module.end).contains(&entry.dynamic)).unwrap();
        assert_eq!(module.load_bias, Some(entry.load_bias), "{}", module.path);
    }
    assert!(facts.link_map.iter().any(|entry| entry.name.contains("libc.so")), "{:?}", facts.link_map);
}

#[test]
#[cfg(target_arch = "x86_64")]
fn the_core_of_a_32_bit_process_is_read() {
    let Some(dir) = program("") else { return };
    fs::write(dir.path().join("crash.c"), SOURCE_32).unwrap();
    let flags = "-g -m32 -O1 -nostdlib -static -ffreestanding -fno-pic -Wl,--build-id";
    sh_ok(dir.path(), &format!("gcc {flags} -o crash crash.c"));
    let Some(path) = try_crash(dir.path(), None) else {
        eprintln!("skipped: the kernel runs no 32-bit programs");
        return;
    };
    let facts = facts(&path);
    assert_eq!((facts.architecture.as_str(), facts.wide), ("i686", false));
    let signal = facts.signal.unwrap();
    assert_eq!((signal.name().as_str(), signal.code, signal.fault_address), ("SIGSEGV", Some(1), Some(0xdead_0000)));
    assert_eq!(facts.arguments.as_deref(), Some("./crash with arguments"));
    assert_eq!(facts.pid, Some(facts.threads[0].tid));
    assert_eq!(own_modules(&facts), elfutils_modules(dir.path(), &path));
    assert!(facts.modules.iter().any(|module| module.path.ends_with("/crash") && module.build_id.is_ok()));
    let names = "eip esp eax ebx ecx edx esi edi ebp eflags cs ss ds es fs gs";
    let threads = gdb_registers(dir.path(), &path, names);
    assert_eq!(threads.len(), 1);
    for (tid, registers) in threads {
        let thread = facts.threads.iter().find(|thread| thread.tid == tid).unwrap();
        assert_eq!(registers.len(), names.split(' ').count());
        for (name, value) in registers {
            assert_eq!(thread.registers.get(&name), Some(value), "{name}");
        }
    }
}

#[test]
fn cores_of_static_and_fixed_programs_are_read() {
    for flags in ["-static", "-no-pie", "-static-pie", "-Wl,-z,noseparate-code"] {
        let Some(dir) = program(flags) else { return };
        let path = crash(dir.path(), None);
        let facts = facts(&path);
        assert_eq!(facts.threads.len(), 4, "{flags}");
        assert_eq!(own_modules(&facts), elfutils_modules(dir.path(), &path), "{flags}");
        assert_eq!(facts.link_map.is_empty(), flags == "-static", "{flags}");
        assert!(facts.modules.iter().all(|module| module.load_bias.is_some()), "{flags}");
    }
}

#[test]
fn of_a_core_of_4_gib_less_than_a_mib_is_read() {
    let Some(dir) = program("-DRESERVE_BYTES=4294967296") else { return };
    let path = crash(dir.path(), None);
    assert!(fs::metadata(&path).unwrap().len() > 4 << 30);
    let facts = facts(&path);
    assert_eq!(facts.truncation, None);
    assert_eq!(own_modules(&facts), elfutils_modules(dir.path(), &path));
}

#[test]
fn a_core_without_header_pages_gives_paths_and_reasons() {
    let Some(dir) = program("") else { return };
    let facts = facts(&crash(dir.path(), Some("0x23")));
    let without = NoBuildId::Unreadable { part: Part::ElfHeader, missing: Missing::NotDumped };
    let files: Vec<_> = facts.modules.iter().filter(|module| module.kind == ModuleKind::File).collect();
    assert!(files.len() >= 3, "{files:#?}");
    assert!(files.iter().any(|module| module.build_id == Err(without)), "{files:#?}");
    assert!(facts.modules.iter().any(|module| module.kind == ModuleKind::Vdso && module.build_id.is_ok()));
    assert_eq!(facts.threads.len(), 4);
}

#[test]
fn a_core_of_gcore_is_read() {
    let Some(dir) = program("") else { return };
    let script = "./crash stay & pid=$!; while [ ! -e ready ]; do sleep 0.05; done; gcore -o snap $pid; kill $pid; wait; \
                  mv snap.$pid snap";
    let output = sh(dir.path(), script);
    let path = dir.path().join("snap");
    assert!(path.exists(), "{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let facts = facts(&path);
    assert_eq!(facts.threads.len(), 4);
    assert_eq!(own_modules(&facts), elfutils_modules(dir.path(), &path));
    assert_eq!(facts.command.as_deref(), Some("crash"));
    assert!(facts.link_map.len() >= 4, "{:?}", facts.link_map);
    assert_eq!(facts.signal, None, "nothing ended the process");
}

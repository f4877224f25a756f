//! Debug information that is damaged gives other values or none, and always an end.

use std::path::PathBuf;

use object::{Object as _, ObjectSection as _};
use retrace_coredump::Module;
use retrace_unwind::{Finder, Limits, ModuleFiles, Options, backtrace, values};

use crate::tools::{Build, crash, have};

/// Programs that are damaged in each way.
const ROUNDS: u64 = 150;
/// Sections that say what variables are and where.
const SECTIONS: [&str; 6] =
    [".debug_info", ".debug_abbrev", ".debug_loclists", ".debug_loc", ".debug_rnglists", ".debug_str_offsets"];

struct Only(PathBuf);

impl Finder for Only {
    fn files(&self, module: &Module) -> ModuleFiles {
        let is_it = module.path.ends_with("/program");
        ModuleFiles { binary: is_it.then(|| self.0.clone()), ..ModuleFiles::default() }
    }
}

#[test]
fn damaged_debug_information_ends_without_a_panic() {
    if !have(&["gcc", "gdb"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    crash(folder.path(), &Build { compiler: "gcc", flags: "-O2 -g", source: "kinds.c" });
    let core = std::fs::read(folder.path().join("core")).unwrap();
    let facts = retrace_coredump::read_facts(&core, &retrace_coredump::Limits::default()).unwrap();
    let program = std::fs::read(folder.path().join("program")).unwrap();
    let ranges: Vec<(usize, usize)> = {
        let file = object::File::parse(program.as_slice()).unwrap();
        let sections = SECTIONS.iter().filter_map(|name| file.section_by_name(name)?.file_range());
        sections.map(|(start, size)| (usize::try_from(start).unwrap(), usize::try_from(size).unwrap())).collect()
    };
    let options = Options { values: Some(values::Options { max_work: 300_000, ..values::Options::default() }) };
    let variables = |program: &[u8]| {
        let path = folder.path().join("damaged");
        std::fs::write(&path, program).unwrap();
        let result = backtrace(&core, &facts, &Only(path), &Limits::default(), &options).unwrap();
        let frames = result.threads.iter().flat_map(|thread| &thread.frames);
        frames.map(|frame| frame.arguments.len() + frame.locals.len()).sum::<usize>()
    };
    let whole = variables(&program);
    assert!(whole > 20, "{whole}");

    // A xorshift generator: the same damage in every run.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    let mut found = 0;
    for _ in 0..ROUNDS {
        let mut damaged = program.clone();
        for _ in 0..1 + random(40) {
            let (start, size) = ranges[random(ranges.len())];
            let at = start + random(size);
            damaged[at] = match random(3) {
                0 => damaged[at] ^ (1 << random(8)),
                1 => 0xff,
                _ => u8::try_from(random(256)).unwrap(),
            };
        }
        found += variables(&damaged);
    }
    println!("values of {ROUNDS} damaged programs: {found} variables, {whole} in a whole one");
}

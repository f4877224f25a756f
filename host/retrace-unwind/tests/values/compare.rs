//! Both views of a crash, and how far they agree.

use std::{collections::BTreeMap, fmt};

use retrace_types::Variable;
use retrace_unwind::values::{Options, Units, variables};
use serde::Deserialize;

use crate::{
    process::{Process, dwarf},
    tools::{Build, crash},
};

#[derive(Deserialize)]
struct TheirFrame {
    pc: u64,
    function: Option<String>,
    tail: bool,
    arguments: Vec<TheirVariable>,
    locals: Vec<TheirVariable>,
}

#[derive(Deserialize)]
struct TheirVariable {
    name: String,
    scalar: bool,
    value: String,
}

#[derive(Clone, Copy, Default)]
struct Count {
    same: u32,
    all: u32,
}

impl Count {
    fn add(&mut self, same: bool) {
        self.same += u32::from(same);
        self.all += 1;
    }

    fn percent(self) -> f64 {
        100.0 * f64::from(self.same) / f64::from(self.all.max(1))
    }
}

/// How far both agree.
#[derive(Default)]
pub(crate) struct Figures {
    names: Count,
    /// Scalars that gdb has a value of.
    scalars: Count,
    /// Structures, arrays, references.
    others: Count,
    /// Values that gdb says are optimized out, and which are said to be so here.
    gone: Count,
    /// Values that gdb takes from a register that the frame's callees may have changed, or from a caller in the C
    /// library, which is not walked here.
    changed: u32,
    differences: Vec<String>,
}

impl Figures {
    pub(crate) fn add(&mut self, other: &Self) {
        for (count, other) in [
            (&mut self.names, other.names),
            (&mut self.scalars, other.scalars),
            (&mut self.others, other.others),
            (&mut self.gone, other.gone),
        ] {
            count.same += other.same;
            count.all += other.all;
        }
        self.changed += other.changed;
        self.differences.extend(other.differences.iter().cloned());
    }

    pub(crate) fn names(&self) -> f64 {
        self.names.percent()
    }

    pub(crate) fn scalars(&self) -> f64 {
        self.scalars.percent()
    }

    pub(crate) fn others(&self) -> f64 {
        self.others.percent()
    }

    pub(crate) fn differences(&self) -> String {
        self.differences.join("\n")
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let one = |count: Count| format!("{:.1} % ({}/{})", count.percent(), count.same, count.all);
        let (names, scalars) = (one(self.names), one(self.scalars));
        let (others, gone) = (one(self.others), one(self.gone));
        let changed = self.changed;
        write!(f, "names {names}, scalars {scalars}, structures {others}, optimized out {gone}, not kept {changed}")
    }
}

/// Builds, crashes and compares.
pub(crate) fn compare(build: &Build<'_>) -> Figures {
    let folder = tempfile::tempdir().unwrap();
    crash(folder.path(), build);
    // Everything borrows from these files; a test may keep them to its end.
    let leaked = |name: &str| -> &'static [u8] { std::fs::read(folder.path().join(name)).unwrap().leak() };
    let (core, program) = (leaked("core"), leaked("program"));
    let theirs: Vec<TheirFrame> = serde_json::from_slice(leaked("gdb.json")).unwrap();
    let facts = retrace_coredump::read_facts(&core.to_vec(), &retrace_coredump::Limits::default()).unwrap();
    let core_file: &'static _ = Box::leak(Box::new(object::read::elf::ElfFile64::parse(core).unwrap()));
    let file = object::File::parse(program).unwrap();
    let units: &'static Units<'static> = Box::leak(Box::new(Units::new(Box::leak(Box::new(dwarf(&file))))));
    let process = Process::new(core_file, file, &facts, fp_registers(core_file), units);

    let mut ours = Vec::new();
    let innermost = process.frame(&facts.threads[0].registers);
    let mut frame = Some(&innermost);
    while let Some(this) = frame {
        for place in process.chain(this.lookup) {
            let containers = build.source.starts_with("containers");
            ours.push(variables(place, this, &Options { containers, ..Options::default() }));
        }
        frame = this.next();
    }
    let mut figures = Figures::default();
    let theirs: Vec<&TheirFrame> = theirs.iter().filter(|frame| !frame.tail).collect();
    for (ours, theirs) in ours.iter().zip(&theirs) {
        let place = format!(
            "{} {} {:#x} {}",
            build.compiler,
            build.flags,
            theirs.pc,
            theirs.function.as_deref().unwrap_or("?")
        );
        figures.one(&place, &ours.arguments, &theirs.arguments);
        figures.one(&place, &ours.locals, &theirs.locals);
    }
    assert!(ours.len() >= theirs.len().min(3), "{} of {} frames", ours.len(), theirs.len());
    figures
}

/// `NT_FPREGSET` of the first thread.
fn fp_registers(core: &'static object::read::elf::ElfFile64<'static>) -> Option<&'static [u8]> {
    use object::read::elf::ProgramHeader as _;
    let segment =
        core.elf_program_headers().iter().find(|header| header.p_type.get(core.endian()) == object::elf::PT_NOTE)?;
    let mut notes = segment.notes(core.endian(), core.data()).ok()??;
    std::iter::from_fn(|| notes.next().ok()?)
        .find(|note| note.n_type(core.endian()) == object::elf::NT_PRFPREG)
        .map(|note| note.desc())
}

impl Figures {
    fn one(&mut self, place: &str, ours: &[Variable], theirs: &[TheirVariable]) {
        // The same name may be there twice, in two blocks.
        let mut left: BTreeMap<&str, Vec<&Variable>> = BTreeMap::new();
        for variable in ours {
            left.entry(&variable.name).or_default().push(variable);
        }
        for their in theirs {
            let candidates = left.get_mut(their.name.as_str());
            let found = candidates.and_then(|found| {
                let same = found.iter().position(|our| our.value == their.value).unwrap_or(0);
                (!found.is_empty()).then(|| found.remove(same))
            });
            self.names.add(found.is_some());
            let Some(our) = found else {
                self.differences.push(format!("{place}: {}: not found here", their.name));
                continue;
            };
            let same = our.value == their.value;
            let note = our.note.as_deref().unwrap_or_default();
            if note.ends_with("which was not kept") || note.ends_with("is not known for sure") {
                self.changed += 1;
            } else if their.value == "<optimized out>" {
                self.gone.add(same);
            } else if their.scalar {
                self.scalars.add(same);
            } else {
                self.others.add(same);
            }
            if !same {
                let text = format!("{place}: {}:\n    gdb  {}\n    here {} {note}", their.name, their.value, our.value);
                self.differences.push(text);
            }
        }
        for (name, rest) in left.into_iter().filter(|(_, rest)| !rest.is_empty()) {
            self.names.all += u32::try_from(rest.len()).unwrap();
            self.differences.push(format!("{place}: {name}: not found by gdb"));
        }
    }
}

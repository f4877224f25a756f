//! Split debug information: entries in `.dwo` files beside the objects, or in one package of them.

use std::path::{Path, PathBuf};

use retrace_coredump::Module;
use retrace_types::Frame;
use retrace_unwind::{Finder, Limits, ModuleFiles, Options, backtrace, values};

use crate::tools::{Build, crash, have, run};

/// What the program is given.
struct Given {
    program: PathBuf,
    package: Option<PathBuf>,
    /// In place of the file that the debug information names.
    split: Option<PathBuf>,
}

impl Finder for Given {
    fn files(&self, module: &Module) -> ModuleFiles {
        if !module.path.ends_with("/program") {
            return ModuleFiles::default();
        }
        let (binary, package) = (Some(self.program.clone()), self.package.clone());
        ModuleFiles { binary, package, ..ModuleFiles::default() }
    }

    fn split(&self, _module: &Module, path: &Path) -> Option<PathBuf> {
        assert!(path.extension().is_some_and(|extension| extension == "dwo"), "{}", path.display());
        self.split.clone()
    }
}

/// The frames of the program.
fn frames(folder: &Path, package: Option<PathBuf>, split: Option<PathBuf>) -> Vec<Frame> {
    let core = std::fs::read(folder.join("core")).unwrap();
    let facts = retrace_coredump::read_facts(&core, &retrace_coredump::Limits::default()).unwrap();
    let given = Given { program: folder.join("program"), package, split };
    let options = Options { values: Some(values::Options::default()) };
    let result = backtrace(&core, &facts, &given, &Limits::default(), &options).unwrap();
    let frames = result.threads.into_iter().flat_map(|thread| thread.frames);
    frames.filter(|frame| frame.module.as_ref().is_some_and(|module| module.ends_with("/program"))).collect()
}

fn variables(frames: &[Frame]) -> usize {
    frames.iter().map(|frame| frame.arguments.len() + frame.locals.len()).sum()
}

/// The `.dwo` file of the program.
fn split_file(folder: &Path) -> PathBuf {
    let mut files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.find(|path| path.extension().is_some_and(|extension| extension == "dwo")).unwrap()
}

#[test]
fn split_units_are_read_from_their_files() {
    if !have(&["gcc", "gdb"]) {
        return;
    }
    for version in ["-gdwarf-4", "-gdwarf-5"] {
        let split = tempfile::tempdir().unwrap();
        let flags = format!("-O1 {version} -gsplit-dwarf");
        crash(split.path(), &Build { compiler: "gcc", flags: &flags, source: "kinds.c" });
        let file = split_file(split.path());
        let whole = frames(split.path(), None, Some(file.clone()));
        assert!(variables(&whole) > 20, "{version}: {whole:#?}");
        // What is in the skeleton is known without it: the lines.
        let without = frames(split.path(), None, None);
        assert_eq!(variables(&without), 0, "{version}");
        assert_eq!(without.first().unwrap().line, whole.first().unwrap().line, "{version}");

        // The file of another build has another id, and is not believed.
        let other = tempfile::tempdir().unwrap();
        crash(
            other.path(),
            &Build { compiler: "gcc", flags: &format!("-O0 {version} -gsplit-dwarf"), source: "kinds.c" },
        );
        let wrong = frames(split.path(), None, Some(split_file(other.path())));
        assert_eq!(wrong, without, "{version}");
        // Nor is one that is cut off a reason to fail.
        let bytes = std::fs::read(&file).unwrap();
        std::fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
        frames(split.path(), None, Some(file));
    }
}

#[test]
fn split_units_are_read_from_a_package() {
    if !have(&["clang", "llvm-dwp", "gdb"]) {
        return;
    }
    for version in ["-gdwarf-4", "-gdwarf-5"] {
        let folder = tempfile::tempdir().unwrap();
        let flags = format!("-O1 {version} -gsplit-dwarf");
        crash(folder.path(), &Build { compiler: "clang", flags: &flags, source: "kinds.c" });
        let from_file = frames(folder.path(), None, Some(split_file(folder.path())));
        let packed = run(folder.path(), "llvm-dwp", &["-e", "program", "-o", "program.dwp"]);
        assert!(packed.status.success(), "{}", String::from_utf8_lossy(&packed.stderr));
        let from_package = frames(folder.path(), Some(folder.path().join("program.dwp")), None);
        assert!(variables(&from_package) > 20, "{version}");
        assert_eq!(from_package, from_file, "{version}");
    }
}

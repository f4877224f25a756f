//! `backtrace CORE [--debug-dir DIR]... [--root DIR]... [--locals] [--json]`: the native backtrace of a core, from the files of
//! this machine: for the accuracy suite, benchmarks, and those who work on the engine.

use std::{
    error::Error,
    fs::File,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use object::Object as _;
use retrace_coredump::{Module, read_facts};
use retrace_types::BuildId;
use retrace_unwind::{Finder, Limits, ModuleFiles, Options, backtrace, text, values};

/// Modules by their paths below some folders, debug information by build-id or by what `.gnu_debuglink` names.
struct Folders {
    roots: Vec<PathBuf>,
    debug: Vec<PathBuf>,
}

impl Finder for Folders {
    fn files(&self, module: &Module) -> ModuleFiles {
        let path = Path::new(&module.path);
        let build_id = module.build_id.as_ref().ok();
        let below = |root: &PathBuf| root.join(path.strip_prefix("/").unwrap_or(path));
        let mut candidates: Vec<PathBuf> = self.roots.iter().map(below).collect();
        candidates.push(path.to_owned());
        candidates.extend(build_id.into_iter().flat_map(|id| self.by_build_id(id, "")));
        let is_it = |file: &&PathBuf| file.is_file() && build_id.is_none_or(|id| own_id(file).as_ref() == Some(id));
        let binary = candidates.iter().find(is_it).cloned();
        let id = build_id.cloned().or_else(|| own_id(binary.as_ref()?));
        let by_id = id.and_then(|id| self.by_build_id(&id, ".debug").find(|file| file.is_file()));
        let debug = by_id.or_else(|| self.by_link(binary.as_ref()?));
        let named = [debug.as_ref(), binary.as_ref()].into_iter().flatten().find_map(|file| self.supplementary(file));
        let package = |file: &PathBuf| {
            let mut name = file.clone().into_os_string();
            name.push(".dwp");
            Some(PathBuf::from(name)).filter(|file| file.is_file())
        };
        let package = [debug.as_ref(), binary.as_ref()].into_iter().flatten().find_map(package);
        ModuleFiles { binary, debug, supplementary: named, package }
    }

    fn split(&self, _module: &Module, path: &Path) -> Option<PathBuf> {
        path.is_file().then(|| path.to_owned())
    }
}

impl Folders {
    fn by_build_id(&self, id: &BuildId, suffix: &str) -> impl Iterator<Item = PathBuf> {
        let (first, rest) = id.split();
        let name = format!(".build-id/{first}/{rest}{suffix}");
        self.debug.iter().map(move |folder| folder.join(&name))
    }

    /// Source of the places: gdb's manual, "Debugging Information in Separate Files".
    fn by_link(&self, binary: &Path) -> Option<PathBuf> {
        let bytes = std::fs::read(binary).ok()?;
        let (name, _) = object::File::parse(&*bytes).ok()?.gnu_debuglink().ok()??;
        let name = Path::new(std::ffi::OsStr::from_bytes(name));
        let folder = binary.parent()?;
        let beside = [folder.join(name), folder.join(".debug").join(name)];
        let global = self.debug.iter().map(|debug| debug.join(folder.strip_prefix("/").unwrap_or(folder)).join(name));
        beside.into_iter().chain(global).find(|file| file.is_file() && file != binary)
    }

    fn supplementary(&self, file: &Path) -> Option<PathBuf> {
        let bytes = std::fs::read(file).ok()?;
        let (name, id) = object::File::parse(&*bytes).ok()?.gnu_debugaltlink().ok()??;
        let name = Path::new(std::ffi::OsStr::from_bytes(name));
        let id = BuildId::from_bytes(id).ok()?;
        let relative = file.canonicalize().ok()?.parent()?.join(name);
        // Debian's name it by where its package installs it.
        let below = name.strip_prefix("/usr/lib/debug").ok();
        let moved = self.debug.iter().filter_map(|debug| Some(debug.join(below?)));
        let mut all = std::iter::once(relative).chain(moved).chain(self.by_build_id(&id, ".debug"));
        all.find(|file| file.is_file())
    }
}

fn own_id(file: &Path) -> Option<BuildId> {
    retrace_unwind::build_id(file)
}

struct Arguments {
    core: PathBuf,
    folders: Folders,
    locals: bool,
    json: bool,
}

fn arguments() -> Result<Arguments, Box<dyn Error>> {
    let folders = Folders { roots: Vec::new(), debug: vec!["/usr/lib/debug".into()] };
    let mut found = Arguments { core: PathBuf::new(), folders, locals: false, json: false };
    let mut words = std::env::args_os().skip(1);
    while let Some(word) = words.next() {
        let mut folder = || words.next().map(PathBuf::from).ok_or("a folder is missing");
        match word.to_str() {
            Some("--debug-dir") => found.folders.debug.insert(0, folder()?),
            Some("--root") => found.folders.roots.push(folder()?),
            Some("--locals") => found.locals = true,
            Some("--json") => found.json = true,
            Some(option) if option.starts_with("--") => return Err(format!("there is no option {option}").into()),
            _ => found.core = word.into(),
        }
    }
    if found.core.as_os_str().is_empty() {
        return Err("usage: backtrace CORE [--debug-dir DIR]... [--root DIR]... [--locals] [--json]".into());
    }
    Ok(found)
}

fn run() -> Result<(), Box<dyn Error>> {
    let Arguments { core, folders, locals, json } = arguments()?;
    let core = File::open(core)?;
    let facts = read_facts(&core, &retrace_coredump::Limits::default())?;
    // gdb without its printers is what the values are compared with.
    let values = locals.then(|| values::Options { containers: !json, ..values::Options::default() });
    let result = backtrace(&core, &facts, &folders, &Limits::default(), &Options { values })?;
    if json {
        println!("{}", serde_json::json!({ "threads": result.threads }));
    } else {
        print!("{}", text(&result));
        for remark in &result.remarks {
            eprintln!("{}: {:?}", remark.module, remark.kind);
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("backtrace: {error}");
            ExitCode::FAILURE
        }
    }
}

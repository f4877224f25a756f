use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use retrace_types::BuildId;

use crate::{
    ChrootError,
    elf::{self, ElfFacts},
    layout::{self, Layout, ModuleNames},
};

/// A module of the core, and the files that were found for it.
#[derive(Clone, Debug)]
pub struct SysrootModule {
    /// Path as the kernel knew it.
    pub path: String,
    /// Names under which the dynamic linker knows it.
    pub aliases: Vec<String>,
    /// Its build-id.
    pub build_id: BuildId,
    /// The file itself.
    pub executable: Option<PathBuf>,
    /// Its separate debug information.
    pub debuginfo: Option<PathBuf>,
    /// The supplementary file (dwz) that the debug information refers to.
    pub supplementary: Option<PathBuf>,
}

/// The files of a core as the debugger wants them, in a folder of links that the caller removes.
///
/// Below the folder: `root` is the tree as the process knew it; `debug` holds debug information by build-id, as
/// `debug-file-directory` of gdb; `libraries` holds libraries by their last name, as `solib-search-path`.
///
/// A file is a hard link into the cache: it can be followed where the cache is not visible, as in the sandbox, and it
/// stays whole if the cache is cleaned meanwhile. Where the cache lies on another file system, or the kernel refuses a
/// link to a file of another owner (`fs.protected_hardlinks`), it is an absolute symbolic link, and the sandbox shows
/// the file behind it. Nothing is copied: debug information has hundreds of megabytes.
#[derive(Clone, Debug)]
pub struct Sysroot {
    dir: PathBuf,
    modules: Vec<PlacedModule>,
    names: BTreeSet<String>,
    outside: Vec<PathBuf>,
    skipped: Vec<Skipped>,
}

/// A module whose file is in the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlacedModule {
    /// Path as the kernel knew it.
    pub(crate) path: String,
    /// Address less file offset of its first segment.
    pub(crate) base: u64,
}

/// A module that has no place in the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Its path in the core.
    pub path: String,
    /// Why.
    pub reason: &'static str,
}

impl Sysroot {
    /// Links these modules into `dir`, which must be empty or absent. Blocks; a hundred modules take milliseconds.
    ///
    /// A path that leads out of the tree, or that is taken, costs its module the place ([`Sysroot::skipped`]), nothing
    /// more.
    ///
    /// # Errors
    /// [`ChrootError::NotEmpty`] or [`ChrootError::Io`].
    pub fn build(dir: &Path, modules: &[SysrootModule]) -> Result<Self, ChrootError> {
        fs::create_dir_all(dir).map_err(ChrootError::io("create", dir))?;
        if fs::read_dir(dir).map_err(ChrootError::io("read", dir))?.next().is_some() {
            return Err(ChrootError::NotEmpty { path: dir.to_owned() });
        }
        let dir = dir.canonicalize().map_err(ChrootError::io("read", dir))?;
        let read = |module: &SysrootModule| module.executable.as_deref().map(elf::read).unwrap_or_default();
        let facts: Vec<ElfFacts> = modules.iter().map(read).collect();
        let layout = layout::plan(&module_names(modules, &facts));

        let mut builder = Builder { dir, outside: Vec::new() };
        builder.link_tree(modules, &layout)?;
        builder.link_debug(modules)?;
        let Builder { dir, outside } = builder;
        let placed = layout.files.values().filter_map(|index| {
            let (module, facts) = (modules.get(*index)?, facts.get(*index)?);
            Some(PlacedModule { path: module.path.clone(), base: facts.base })
        });
        let skipped = layout
            .skipped
            .iter()
            .filter_map(|(index, reason)| Some(Skipped { path: modules.get(*index)?.path.clone(), reason }));
        let names = modules.iter().flat_map(|module| module.aliases.iter().chain([&module.path])).cloned();
        Ok(Self { dir, modules: placed.collect(), names: names.collect(), outside, skipped: skipped.collect() })
    }

    /// The folder that holds it all.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The tree, as `sysroot` of gdb.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.dir.join(ROOT)
    }

    /// Debug information, as `debug-file-directory` of gdb.
    #[must_use]
    pub fn debug_dir(&self) -> PathBuf {
        self.dir.join(DEBUG)
    }

    /// Libraries by their last name, as `solib-search-path` of gdb.
    #[must_use]
    pub fn libraries_dir(&self) -> PathBuf {
        self.dir.join(LIBRARIES)
    }

    /// Modules that have no place in the tree.
    #[must_use]
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    /// Modules whose file is in the tree.
    pub(crate) fn modules(&self) -> &[PlacedModule] {
        &self.modules
    }

    /// True for a path or further name of a module, present or not.
    pub(crate) fn knows(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// True if the tree holds a file of this name.
    pub(crate) fn holds(&self, path: &str) -> bool {
        // Only a name without `..` can be judged by looking.
        let is_plain = !path.split('/').any(|component| component == "..") && !path.contains(char::is_control);
        path.strip_prefix('/').is_some_and(|relative| is_plain && self.root().join(relative).is_file())
    }

    /// Files that symbolic links of the tree lead to.
    pub(crate) fn outside(&self) -> &[PathBuf] {
        &self.outside
    }
}

/// Names of the folders below [`Sysroot::dir`].
pub(crate) const ROOT: &str = "root";
pub(crate) const DEBUG: &str = "debug";
pub(crate) const LIBRARIES: &str = "libraries";

/// The names of each module; a program's dynamic linker gets the name that the program has for it, too.
fn module_names<'a>(modules: &'a [SysrootModule], facts: &'a [ElfFacts]) -> Vec<ModuleNames<'a>> {
    let interpreters: BTreeSet<&str> = facts.iter().filter_map(|facts| facts.interpreter.as_deref()).collect();
    let names = modules.iter().zip(facts).map(|(module, facts)| {
        let soname = facts.soname.as_deref();
        let is_this = |name: &&&str| Some(last_part(name)) == soname || last_part(name) == last_part(&module.path);
        let mut aliases: Vec<&str> = module.aliases.iter().map(String::as_str).collect();
        if module.executable.is_some() {
            aliases.extend(interpreters.iter().filter(is_this).copied());
        }
        ModuleNames { path: &module.path, aliases, soname, present: module.executable.is_some() }
    });
    names.collect()
}

fn last_part(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

struct Builder {
    dir: PathBuf,
    outside: Vec<PathBuf>,
}

impl Builder {
    fn link_tree(&mut self, modules: &[SysrootModule], layout: &Layout) -> Result<(), ChrootError> {
        let root = self.dir.join(ROOT);
        let libraries = self.dir.join(LIBRARIES);
        for folder in [&root, &libraries, &self.dir.join(DEBUG)] {
            create_dir(folder)?;
        }
        for folder in &layout.folders {
            create_dir(&root.join(folder))?;
        }
        for (path, index) in &layout.files {
            if let Some(executable) = modules.get(*index).and_then(|module| module.executable.as_deref()) {
                self.link(executable, &root.join(path))?;
            }
        }
        for (name, target) in layout.folder_links.iter().chain(&layout.aliases) {
            let up = "../".repeat(name.matches('/').count());
            link_inside(Path::new(&format!("{up}{target}")), &root.join(name))?;
        }
        for (name, target) in &layout.libraries {
            link_inside(Path::new(&format!("../{ROOT}/{target}")), &libraries.join(name))?;
        }
        Ok(())
    }

    /// `.build-id/xx/yyyy.debug` is what gdb looks for; `.build-id/xx/yyyy`, the file itself, is looked for where the
    /// program is not named. A supplementary file is found by its own build-id.
    fn link_debug(&mut self, modules: &[SysrootModule]) -> Result<(), ChrootError> {
        for module in modules {
            let pairs = [(&module.executable, ""), (&module.debuginfo, ".debug")];
            for (file, suffix) in pairs {
                if let Some(file) = file {
                    self.link(file, &self.by_build_id(&module.build_id, suffix))?;
                }
            }
            let supplementary = module.supplementary.as_ref();
            if let Some((file, build_id)) = supplementary.and_then(|file| Some((file, own_build_id(file)?))) {
                self.link(file, &self.by_build_id(&build_id, ".debug"))?;
            }
        }
        Ok(())
    }

    fn by_build_id(&self, build_id: &BuildId, suffix: &str) -> PathBuf {
        let (first, rest) = build_id.split();
        self.dir.join(DEBUG).join(".build-id").join(first).join(format!("{rest}{suffix}"))
    }

    /// Makes `name` stand for the file at `target`; the first of two wins, for both have the same build-id.
    fn link(&mut self, target: &Path, name: &Path) -> Result<(), ChrootError> {
        if let Some(folder) = name.parent() {
            create_dir(folder)?;
        }
        let mut linked = fs::hard_link(target, name);
        if linked.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            // Replaced in this instant, as a file that had been cut is: link(2) found the old one, gone before it had a link.
            linked = fs::hard_link(target, name);
        }
        match linked {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(ChrootError::io("link", target)(error)),
            Err(_) => {
                let target = target.canonicalize().map_err(ChrootError::io("link", target))?;
                symlink(&target, name).map_err(ChrootError::io("link", name))?;
                self.outside.push(target);
                Ok(())
            }
        }
    }
}

fn own_build_id(file: &Path) -> Option<BuildId> {
    retrace_package::elf_build_id(file).ok().flatten()
}

fn link_inside(target: &Path, name: &Path) -> Result<(), ChrootError> {
    if let Some(folder) = name.parent() {
        create_dir(folder)?;
    }
    symlink(target, name).map_err(ChrootError::io("link", name))
}

fn create_dir(folder: &Path) -> Result<(), ChrootError> {
    fs::create_dir_all(folder).map_err(ChrootError::io("create", folder))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    fn build_id(text: &str) -> BuildId {
        text.parse().unwrap()
    }

    fn module(path: &str, executable: &Path) -> SysrootModule {
        SysrootModule {
            path: path.to_owned(),
            aliases: Vec::new(),
            build_id: build_id("aabbcc"),
            executable: Some(executable.to_owned()),
            debuginfo: None,
            supplementary: None,
        }
    }

    #[test]
    fn files_are_hard_links_and_names_are_links_inside_the_tree() {
        let dir = tempfile::tempdir().unwrap();
        let cached = dir.path().join("cached");
        fs::write(&cached, "code").unwrap();
        let mut libc = module("/usr/lib/libc.so.6", &cached);
        libc.aliases = vec!["/lib64/libc.so.6".to_owned(), "libc-alias.so".to_owned()];
        libc.debuginfo = Some(cached.clone());
        let sysroot = Sysroot::build(&dir.path().join("sysroot"), &[libc]).unwrap();

        let root = sysroot.root();
        assert_eq!(fs::metadata(root.join("usr/lib/libc.so.6")).unwrap().ino(), fs::metadata(&cached).unwrap().ino());
        for name in ["lib/libc.so.6", "lib64/libc.so.6"] {
            assert_eq!(root.join(name).canonicalize().unwrap(), root.join("usr/lib/libc.so.6"), "{name}");
        }
        for name in ["libc.so.6", "libc-alias.so"] {
            assert!(sysroot.libraries_dir().join(name).is_file(), "{name}");
        }
        assert!(sysroot.debug_dir().join(".build-id/aa/bbcc.debug").is_file());
        assert!(sysroot.debug_dir().join(".build-id/aa/bbcc").is_file());
        assert!(sysroot.outside().is_empty());
        assert!(sysroot.holds("/lib64/libc.so.6") && !sysroot.holds("/lib64/other"));
        assert!(!sysroot.holds("/../../cached") && !sysroot.holds("usr/lib/libc.so.6"));
    }

    #[test]
    fn a_file_on_another_file_system_becomes_a_symbolic_link() {
        let other = Path::new("/proc/version");
        let dir = tempfile::tempdir().unwrap();
        let sysroot = Sysroot::build(dir.path(), &[module("/usr/bin/x", other)]).unwrap();
        assert_eq!(sysroot.outside()[0], other.canonicalize().unwrap());
        assert!(fs::symlink_metadata(sysroot.root().join("usr/bin/x")).unwrap().is_symlink());
    }

    #[test]
    fn nothing_is_made_outside_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        let cached = dir.path().join("cached");
        fs::write(&cached, "code").unwrap();
        let modules: Vec<_> =
            ["/../escape", "/a/../../escape", "escape", "/x\0y", "", "/"].map(|path| module(path, &cached)).into();
        let sysroot = Sysroot::build(&dir.path().join("a/b"), &modules).unwrap();
        assert_eq!(sysroot.skipped().len(), modules.len());
        assert_eq!(fs::read_dir(sysroot.root()).unwrap().count(), 0);
        let mut names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["a", "cached"]);
    }

    #[test]
    fn a_folder_in_use_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("something"), "").unwrap();
        let error = Sysroot::build(dir.path(), &[]).unwrap_err();
        assert!(matches!(error, ChrootError::NotEmpty { .. }), "{error}");
    }

    #[test]
    fn a_vanished_file_is_an_error_and_no_dangling_link() {
        let dir = tempfile::tempdir().unwrap();
        let gone = dir.path().join("gone");
        let error = Sysroot::build(&dir.path().join("s"), &[module("/a", &gone)]).unwrap_err();
        assert!(error.to_string().contains("gone"), "{error}");
    }
}

//! Decides which names a sysroot holds and which module stands behind each. Pure.
//!
//! Names come from a core and may be hostile: only names that stay inside the tree are planned. A name belongs to at
//! most one module, and names of a module whose file is missing are kept free, so that gdb finds nothing there rather
//! than the file of another module.

use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What the plan needs to know of a module.
#[derive(Clone, Debug, Default)]
pub(crate) struct ModuleNames<'a> {
    /// Path as the kernel knew it.
    pub(crate) path: &'a str,
    /// Further names: of the dynamic linker's list, of the program's `PT_INTERP`.
    pub(crate) aliases: Vec<&'a str>,
    /// `DT_SONAME`.
    pub(crate) soname: Option<&'a str>,
    /// True if the file is at hand.
    pub(crate) present: bool,
}

/// Paths without the leading slash; none has an empty, `.` or `..` component.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Files, with the index of the module.
    pub(crate) files: BTreeMap<String, usize>,
    /// Symbolic links to entries of `files`.
    pub(crate) aliases: BTreeMap<String, String>,
    /// Folders that stand for others: `lib` for `usr/lib`.
    pub(crate) folder_links: BTreeMap<String, String>,
    /// Folders that a name with `..` passes through.
    pub(crate) folders: BTreeSet<String>,
    /// Names without a folder, for `solib-search-path`, with the entry of `files`; only names of one module.
    pub(crate) libraries: BTreeMap<String, String>,
    /// Modules that got no name, by index.
    pub(crate) skipped: Vec<(usize, &'static str)>,
}

/// Folders that are links into `/usr` since the usr-merge. Source: file-hierarchy(7).
const MERGED: [&str; 6] = ["bin", "sbin", "lib", "lib32", "lib64", "libx32"];

/// What the kernel appends to the path of a mapped file that was removed since. Source: `d_path` of Linux.
const DELETED: &str = " (deleted)";

const MAX_PATH_BYTES: usize = 4000;
const MAX_COMPONENT_BYTES: usize = 255;
const MAX_COMPONENTS: usize = 64;

/// The layout for these modules, the more important first.
pub(crate) fn plan(modules: &[ModuleNames<'_>]) -> Layout {
    let mut plan = Plan::default();
    let mut placed = Vec::new();
    for (index, module) in modules.iter().enumerate() {
        match absolute(module.path).and_then(|path| plan.claim(&path, index).map(|()| path)) {
            Ok(path) => placed.push((index, path)),
            Err(reason) => plan.layout.skipped.push((index, reason)),
        }
    }
    plan.link_merged_folders(&placed);
    for (index, path) in &placed {
        let Some(module) = modules.get(*index) else { continue };
        let stripped = module.path.strip_suffix(DELETED);
        for alias in module.aliases.iter().copied().chain(stripped) {
            plan.alias(alias, *index, path);
        }
    }
    for (index, path) in &placed {
        if let Some(toggled) = toggle_usr(path) {
            plan.alias(&format!("/{toggled}"), *index, path);
        }
    }
    plan.layout.libraries = libraries(modules, &placed);
    plan.keep(modules)
}

#[derive(Debug, Default)]
struct Plan {
    layout: Layout,
    /// Owner of every name, taken or kept free.
    owners: HashMap<String, usize>,
    /// Every folder above a claimed name.
    parents: BTreeSet<String>,
}

impl Plan {
    /// Takes a name for a file.
    fn claim(&mut self, path: &str, index: usize) -> Result<(), &'static str> {
        self.take(path, index)?;
        self.layout.files.insert(path.to_owned(), index);
        Ok(())
    }

    fn take(&mut self, path: &str, index: usize) -> Result<(), &'static str> {
        if self.owners.contains_key(path) {
            return Err("another module has the same path");
        }
        if self.parents.contains(path) || ancestors(path).any(|folder| self.owners.contains_key(folder)) {
            return Err("a file of another module has the path of its folder");
        }
        self.parents.extend(ancestors(path).map(str::to_owned));
        self.owners.insert(path.to_owned(), index);
        Ok(())
    }

    /// Makes `lib` a link to `usr/lib` where the core knows only the latter.
    fn link_merged_folders(&mut self, placed: &[(usize, String)]) {
        let has = |folder: &str| {
            placed.iter().any(|(_, path)| path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/')))
        };
        for folder in MERGED {
            let target = format!("usr/{folder}");
            if has(&target) && !has(folder) && !self.owners.contains_key(folder) {
                self.owners.insert(folder.to_owned(), usize::MAX);
                self.layout.folder_links.insert(folder.to_owned(), target);
            }
        }
    }

    /// Takes a further name for the file at `target`, if it is free and stays inside the tree.
    fn alias(&mut self, name: &str, index: usize, target: &str) {
        let Some((path, passed)) = resolved(name) else { return };
        // `..` behind a link leads to /usr, which a reader of the name alone cannot tell.
        let other = if passed.is_empty() { None } else { toggle_usr(&path) };
        for path in [Some(path), other].into_iter().flatten() {
            let path = self.through_links(path);
            if path != target && self.take(&path, index).is_ok() {
                self.layout.aliases.insert(path, target.to_owned());
            }
        }
        for folder in passed {
            let folder = self.through_links(folder);
            let blocked =
                self.owners.contains_key(&folder) || ancestors(&folder).any(|above| self.owners.contains_key(above));
            if !blocked && !folder.is_empty() {
                self.parents.extend(ancestors(&folder).map(str::to_owned));
                self.parents.insert(folder.clone());
                self.layout.folders.insert(folder);
            }
        }
    }

    fn through_links(&self, path: String) -> String {
        let linked = path.split_once('/').and_then(|(top, rest)| Some((self.layout.folder_links.get(top)?, rest)));
        linked.map_or_else(|| path.clone(), |(target, rest)| format!("{target}/{rest}"))
    }

    /// The plan without the names that are only kept free.
    fn keep(mut self, modules: &[ModuleNames<'_>]) -> Layout {
        let present = |index: usize| modules.get(index).is_some_and(|module| module.present);
        self.layout.files.retain(|_, index| present(*index));
        let files = &self.layout.files;
        self.layout.aliases.retain(|_, target| files.contains_key(target));
        self.layout.libraries.retain(|_, target| files.contains_key(target));
        self.layout
    }
}

/// The last components by which gdb may look for a library, each with the file behind it, if it is only one module's.
fn libraries(modules: &[ModuleNames<'_>], placed: &[(usize, String)]) -> BTreeMap<String, String> {
    let mut owners: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
    for (index, module) in modules.iter().enumerate() {
        let path = module.path.strip_suffix(DELETED).unwrap_or(module.path);
        let names = module.aliases.iter().copied().chain([path]).filter_map(|name| name.rsplit('/').next());
        for name in names.chain(module.soname) {
            owners.entry(name).or_default().insert(index);
        }
    }
    let paths: HashMap<usize, &String> = placed.iter().map(|(index, path)| (*index, path)).collect();
    let single = owners.into_iter().filter(|(name, _)| is_component(name)).filter_map(|(name, owners)| {
        let mut owners = owners.into_iter();
        let (owner, None) = (owners.next()?, owners.next()) else { return None };
        Some((name.to_owned(), (*paths.get(&owner)?).clone()))
    });
    single.collect()
}

/// `usr/lib/x` for `lib/x` and the other way round.
fn toggle_usr(path: &str) -> Option<String> {
    let (below_usr, toggled) =
        path.strip_prefix("usr/").map_or_else(|| (path, format!("usr/{path}")), |rest| (rest, rest.to_owned()));
    MERGED.contains(&below_usr.split_once('/')?.0).then_some(toggled)
}

/// The path without its leading slash, if it is one that a kernel gives for a file.
fn absolute(path: &str) -> Result<String, &'static str> {
    let relative = path.strip_prefix('/').ok_or("it is no absolute path")?;
    let is_plain = relative.split('/').all(is_component);
    let is_short = path.len() <= MAX_PATH_BYTES && relative.split('/').count() <= MAX_COMPONENTS;
    (is_plain && is_short).then(|| relative.to_owned()).ok_or("its path is none that a kernel gives for a file")
}

/// The path that a name means, with `.`, `..` and double slashes taken out, and the folders that `..` leaves; none if
/// it leads out of the tree.
fn resolved(name: &str) -> Option<(String, Vec<String>)> {
    let relative = name.strip_prefix('/')?;
    if name.len() > MAX_PATH_BYTES || relative.split('/').count() > MAX_COMPONENTS {
        return None;
    }
    let mut stack: Vec<&str> = Vec::new();
    let mut passed = Vec::new();
    for component in relative.split('/') {
        match component {
            "" | "." => {}
            ".." => {
                passed.push(stack.join("/"));
                stack.pop()?;
            }
            component if is_component(component) => stack.push(component),
            _ => return None,
        }
    }
    (!stack.is_empty()).then(|| (stack.join("/"), passed))
}

/// True for a name that a folder can hold and that no tool mistakes for something else.
fn is_component(name: &str) -> bool {
    !matches!(name, "" | "." | "..")
        && name.len() <= MAX_COMPONENT_BYTES
        && !name.contains('/')
        && !name.chars().any(char::is_control)
}

/// Every folder above `path`, the nearest first.
fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    path.rmatch_indices('/').filter_map(|(at, _)| path.get(..at))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn module<'a>(path: &'a str, aliases: &[&'a str]) -> ModuleNames<'a> {
        ModuleNames { path, aliases: aliases.to_vec(), soname: None, present: true }
    }

    fn pairs(map: &BTreeMap<String, String>) -> Vec<(&str, &str)> {
        map.iter().map(|(name, target)| (name.as_str(), target.as_str())).collect()
    }

    #[test]
    fn names_of_the_dynamic_linker_lead_to_the_files_of_the_kernel() {
        let layout = plan(&[
            module("/usr/bin/prog", &[]),
            module("/usr/lib/x86_64-linux-gnu/libc.so.6", &["/lib/x86_64-linux-gnu/libc.so.6"]),
            module("/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", &["/lib64/ld-linux-x86-64.so.2"]),
            module("/usr/lib64/libfoo.so.1.2", &["/usr/lib/x86_64-linux-gnu/../../lib64/libfoo.so.1"]),
        ]);
        assert_eq!(pairs(&layout.folder_links), [("bin", "usr/bin"), ("lib", "usr/lib"), ("lib64", "usr/lib64")]);
        assert_eq!(
            pairs(&layout.aliases),
            [
                ("usr/lib64/ld-linux-x86-64.so.2", "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"),
                ("usr/lib64/libfoo.so.1", "usr/lib64/libfoo.so.1.2"),
            ]
        );
        assert!(layout.folders.contains("usr/lib/x86_64-linux-gnu"));
    }

    #[test]
    fn without_merged_folders_each_file_gets_its_other_name() {
        let layout = plan(&[module("/lib/libc.so.6", &[]), module("/usr/lib/libz.so.1", &[])]);
        assert!(layout.folder_links.is_empty());
        assert_eq!(
            pairs(&layout.aliases),
            [("lib/libz.so.1", "usr/lib/libz.so.1"), ("usr/lib/libc.so.6", "lib/libc.so.6")]
        );
    }

    #[test]
    fn two_files_whose_names_differ_only_by_usr_keep_their_own() {
        let layout = plan(&[module("/lib/libz.so.1", &[]), module("/usr/lib/libz.so.1", &[])]);
        assert_eq!(layout.files.values().collect::<Vec<_>>(), [&0, &1]);
        assert!(layout.aliases.is_empty() && layout.libraries.is_empty(), "{layout:?}");
    }

    #[test]
    fn a_missing_file_leaves_its_names_free() {
        let missing = ModuleNames { present: false, ..module("/opt/a/libfoo.so.1", &["/usr/lib/libfoo.so.1"]) };
        let other =
            ModuleNames { soname: Some("libfoo.so.1"), ..module("/opt/b/libfoo.so.1", &["/usr/lib/libfoo.so.1"]) };
        let layout = plan(&[missing, other]);
        assert_eq!(layout.files.keys().collect::<Vec<_>>(), ["opt/b/libfoo.so.1"]);
        assert!(layout.aliases.is_empty() && layout.libraries.is_empty(), "{layout:?}");
    }

    #[test]
    fn a_removed_file_is_found_by_its_old_name() {
        let layout = plan(&[module("/usr/lib/libfoo.so.1 (deleted)", &[])]);
        assert_eq!(pairs(&layout.aliases), [("usr/lib/libfoo.so.1", "usr/lib/libfoo.so.1 (deleted)")]);
        assert_eq!(pairs(&layout.libraries), [("libfoo.so.1", "usr/lib/libfoo.so.1 (deleted)")]);
    }

    #[test]
    fn hostile_paths_are_left_out() {
        let long = format!("/{}", "a/".repeat(3000));
        let paths =
            ["", "/", "relative", "//x", "/a/../../etc/passwd", "/a/./b", "/a\0b", "/a\nb", "/..", "/a/", &long];
        for path in paths {
            let layout = plan(&[module(path, &[])]);
            assert_eq!((layout.files.len(), layout.skipped.len()), (0, 1), "input: {path:?}");
        }
        let layout = plan(&[module("/a", &["/../x", "../x", "/x/../../y", "/x\0", "", "/"])]);
        assert!(layout.aliases.is_empty(), "{layout:?}");
    }

    #[test]
    fn a_file_is_never_a_folder() {
        let layout = plan(&[module("/a/b", &[]), module("/a/b/c", &[]), module("/a", &[]), module("/x", &["/a/b/d"])]);
        assert_eq!(layout.files.keys().collect::<Vec<_>>(), ["a/b", "x"]);
        assert_eq!(layout.skipped.len(), 2);
        assert!(layout.aliases.is_empty());
    }

    proptest! {
        #[test]
        fn no_name_leads_out_of_the_tree_or_through_a_file(
            names in proptest::collection::vec(("/?([a-c.]{0,2}/){0,3}(usr/|lib/)?[a-c.]{0,2}", "/(usr/)?(lib/)?(\\.\\./)?[a-c]"), 0..8)
        ) {
            let modules: Vec<_> = names.iter().map(|(path, alias)| module(path, &[alias.as_str()])).collect();
            let layout = plan(&modules);
            let taken: Vec<&String> = layout.files.keys().chain(layout.aliases.keys()).chain(layout.folder_links.keys()).collect();
            for name in taken.iter().copied().chain(&layout.folders) {
                prop_assert!(name.split('/').all(is_component), "{name:?}");
                prop_assert!(!ancestors(name).any(|folder| taken.iter().any(|other| *other == folder)), "{name:?} in {layout:?}");
            }
            prop_assert!(layout.folders.iter().all(|folder| !taken.contains(&folder)));
        }
    }
}

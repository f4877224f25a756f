//! What lies below a folder of a mirror: the package files among it. What a server lists is hostile data.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use crate::{
    MetadataError, MirrorError,
    location::{Base, Location, Pattern},
};

/// Deepest nesting of folders.
const MAX_DEPTH: usize = 16;
/// Most folders that are listed.
const MAX_FOLDERS: usize = 10_000;

/// What is looked for.
#[derive(Clone, Debug)]
pub(crate) struct Wanted<'a> {
    /// Shown in errors.
    base: &'a Base,
    pattern: Option<&'a Pattern>,
    /// Most packages.
    packages: u64,
}

/// A package file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) location: Location,
    pub(crate) size_bytes: Option<u64>,
    /// Whatever else changes with the file: its time, as the server writes it.
    pub(crate) stamp: String,
}

impl<'a> Wanted<'a> {
    /// The package files below a base that its pattern means, at most `packages`.
    pub(crate) fn packages(base: &'a Base, packages: u64) -> Self {
        Self { base, pattern: base.pattern(), packages }
    }
}

/// Folders that are still to be listed, and what was found.
pub(super) struct Walk<'w> {
    wanted: &'w Wanted<'w>,
    pending: Vec<Option<Location>>,
    folders: usize,
    found: BTreeMap<String, Listed>,
}

impl<'w> Walk<'w> {
    pub(super) fn new(wanted: &'w Wanted<'w>) -> Self {
        Self { wanted, pending: vec![None], folders: 0, found: BTreeMap::new() }
    }

    /// The next folder to be listed, below the base; `Some(None)` is the base itself.
    pub(super) fn next(&mut self) -> Result<Option<Option<Location>>, MirrorError> {
        let Some(folder) = self.pending.pop() else { return Ok(None) };
        self.folders += 1;
        if self.folders > MAX_FOLDERS {
            return Err(self.too_many("folders", MAX_FOLDERS as u64));
        }
        Ok(Some(folder))
    }

    /// Notes a folder in `folder`, unless it lies too deep.
    pub(super) fn folder(&mut self, folder: Option<&Location>, name: &str) {
        let Some(location) = below(folder, name) else { return };
        if location.as_str().split('/').count() < MAX_DEPTH {
            self.pending.push(Some(location));
        }
    }

    /// Notes a file in `folder`, if it is wanted.
    pub(super) fn file(
        &mut self,
        folder: Option<&Location>,
        name: &str,
        size_bytes: Option<u64>,
        stamp: &str,
    ) -> Result<(), MirrorError> {
        let is_package = [".rpm", ".deb"].iter().any(|end| name.ends_with(end));
        let Some(location) = below(folder, name).filter(|_| is_package) else { return Ok(()) };
        if self.wanted.pattern.is_some_and(|pattern| !pattern.matches(&location)) {
            return Ok(());
        }
        if self.found.len() as u64 >= self.wanted.packages {
            return Err(self.too_many("packages", self.wanted.packages));
        }
        let listed = Listed { location: location.clone(), size_bytes, stamp: stamp.chars().take(100).collect() };
        self.found.insert(location.as_str().to_owned(), listed);
        Ok(())
    }

    /// What was found, in order.
    pub(super) fn finish(self) -> Vec<Listed> {
        self.found.into_values().collect()
    }

    fn too_many(&self, what: &'static str, limit: u64) -> MirrorError {
        MirrorError::metadata(self.wanted.base)(MetadataError::Limit { what, limit })
    }
}

/// A name that holds no `/`, or a path of several such, below a folder.
fn below(folder: Option<&Location>, name: &str) -> Option<Location> {
    let location = match folder {
        Some(folder) => format!("{}/{name}", folder.as_str()),
        None => name.to_owned(),
    };
    Location::parse(&location).ok()
}

/// The package files below a local folder.
pub(super) async fn local(root: PathBuf, wanted: &Wanted<'_>) -> Result<Vec<Listed>, MirrorError> {
    let wanted = (wanted.base.clone(), wanted.packages);
    let listing = tokio::task::spawn_blocking(move || local_now(&root, &Wanted::packages(&wanted.0, wanted.1)));
    listing.await.map_err(|source| MirrorError::StepLost { step: "list a folder", source })?
}

fn local_now(root: &Path, wanted: &Wanted<'_>) -> Result<Vec<Listed>, MirrorError> {
    let mut walk = Walk::new(wanted);
    while let Some(folder) = walk.next()? {
        let path = folder.as_ref().map_or_else(|| root.to_owned(), |folder| root.join(folder.as_str()));
        for entry in std::fs::read_dir(&path).map_err(MirrorError::file("read", &path))? {
            let entry = entry.map_err(MirrorError::file("read", &path))?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            // A link to a folder may lead in a circle; a link to a package does not.
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                walk.folder(folder.as_ref(), name);
                continue;
            }
            let Ok(metadata) = std::fs::metadata(entry.path()) else { continue };
            walk.file(folder.as_ref(), name, Some(metadata.len()), &format!("{:?}", metadata.modified().ok()))?;
        }
    }
    Ok(walk.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_wanted_packages_below_the_base_are_noted() {
        let base = Base::parse("/srv/*/*.rpm").unwrap();
        let wanted = Wanted::packages(&base, 2);
        let mut walk = Walk::new(&wanted);
        assert_eq!(walk.next().unwrap(), Some(None));
        walk.folder(None, "a");
        walk.folder(None, "..");
        let a = walk.next().unwrap().unwrap();
        assert_eq!(a.as_ref().map(Location::as_str), Some("a"));
        for name in ["x.rpm", "../../y.rpm", "z.deb", "x.rpm.sig", "x.rpm"] {
            walk.file(a.as_ref(), name, Some(1), "").unwrap();
        }
        walk.file(None, "top.rpm", Some(1), "").unwrap();
        walk.file(a.as_ref(), "y.rpm", None, "").unwrap();
        assert!(walk.file(a.as_ref(), "z.rpm", None, "").unwrap_err().to_string().contains("/srv/*/*.rpm"));
        assert_eq!(walk.next().unwrap(), None);
        let found = walk.finish();
        assert_eq!(found.iter().map(|listed| listed.location.as_str()).collect::<Vec<_>>(), ["a/x.rpm", "a/y.rpm"]);
    }

    #[test]
    fn depth_is_bounded() {
        let base = Base::parse("/srv").unwrap();
        let wanted = Wanted::packages(&base, 2);
        let mut walk = Walk::new(&wanted);
        let mut depth = 0;
        while let Some(folder) = walk.next().unwrap() {
            walk.folder(folder.as_ref(), "d");
            depth += 1;
        }
        assert_eq!(depth, MAX_DEPTH);
    }
}

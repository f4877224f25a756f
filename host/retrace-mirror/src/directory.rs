//! Folders of packages without metadata: the headers of the packages tell what is there.

use std::path::{Path, PathBuf};

use retrace_package::read_header;
use retrace_store::NewPackage;
use retrace_types::{PackageFormat, PackageKind, Role, Sha256};

use crate::{
    Limits, MetadataError, MirrorError, budget::Budget, checksum::Digester, error::chain, location::Location,
    mappable::is_mappable,
};

/// Deepest nesting of folders.
const MAX_DEPTH: usize = 16;

/// A package file, found by its name.
#[derive(Debug)]
pub(crate) struct PackageFile {
    path: PathBuf,
    location: Location,
    size_bytes: u64,
}

/// What the packages of a folder are.
pub(crate) type Contents = (Vec<NewPackage>, Vec<(String, String)>);

/// The package files below a folder, in order, and a digest that changes when one of them does.
pub(crate) fn list(folder: &Path, limits: &Limits) -> Result<(Vec<PackageFile>, Sha256), MirrorError> {
    let mut files = Vec::new();
    let mut pending = vec![(folder.to_owned(), 0)];
    let mut digester = Digester::for_checksum(None);
    while let Some((dir, depth)) = pending.pop() {
        let entries = std::fs::read_dir(&dir).map_err(MirrorError::file("read", &dir))?;
        for entry in entries {
            let entry = entry.map_err(MirrorError::file("read", &dir))?;
            let path = entry.path();
            // A link to a folder may lead in a circle; a link to a package does not.
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                if depth < MAX_DEPTH {
                    pending.push((path, depth + 1));
                }
                continue;
            }
            let is_package = path.extension().is_some_and(|extension| extension == "rpm" || extension == "deb");
            let Some(location) = path.strip_prefix(folder).ok().and_then(Path::to_str).filter(|_| is_package) else {
                continue;
            };
            let Ok(location) = Location::parse(location) else { continue };
            let Ok(metadata) = std::fs::metadata(&path) else { continue };
            if files.len() as u64 >= limits.packages {
                let limit = MetadataError::Limit { what: "packages", limit: limits.packages };
                return Err(MirrorError::metadata(&folder.display())(limit));
            }
            files.push((PackageFile { path, location, size_bytes: metadata.len() }, metadata.modified().ok()));
        }
    }
    files.sort_by(|(a, _), (b, _)| a.location.as_str().cmp(b.location.as_str()));
    for (file, modified) in &files {
        digester.update(format!("{} {} {modified:?}\n", file.location.as_str(), file.size_bytes).as_bytes());
    }
    Ok((files.into_iter().map(|(file, _)| file).collect(), digester.finish().0))
}

/// Reads the headers; a package that cannot be read is told and left out.
pub(crate) fn read(files: Vec<PackageFile>, limits: &Limits) -> Result<Contents, MetadataError> {
    let (mut packages, mut paths) = (Vec::new(), Vec::new());
    let mut budget = Budget::new(limits);
    for file in files {
        let header = match read_header(&file.path) {
            Ok(header) => header,
            Err(error) => {
                tracing::warn!(path = %file.path.display(), error = %chain(&error), "a package is left out");
                continue;
            }
        };
        budget.package()?;
        for member in &header.build_ids {
            budget.text(member.path.as_deref().unwrap_or_default())?;
        }
        let mut has_mappable = false;
        for path in header.files.iter().flatten().filter(|path| is_mappable(path)) {
            budget.text(path)?;
            has_mappable = true;
            if header.kind == PackageKind::Binary {
                paths.push((path.clone(), header.id.name.clone()));
            }
        }
        let no_code = header.id.arch == "noarch" || header.id.arch == "all";
        let complete = match (&header.kind, &header.format) {
            (PackageKind::Binary, PackageFormat::Rpm) => {
                no_code || !has_mappable || header.build_ids.iter().any(|member| member.role == Role::Executable)
            }
            (PackageKind::Binary | PackageKind::DebugInfo, _) => no_code || !header.build_ids.is_empty(),
            _ => true,
        };
        packages.push(NewPackage {
            id: header.id,
            kind: header.kind,
            format: header.format,
            location: file.location.as_str().to_owned(),
            size_bytes: Some(file.size_bytes),
            sha256: None,
            source: header.source,
            exact_depends: header.exact_depends,
            build_ids: header.build_ids,
            complete,
        });
    }
    Ok((packages, paths))
}

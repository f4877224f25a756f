//! Folders of packages without metadata: the headers of the packages tell what is there.

use std::{io::Write as _, sync::Arc};

use retrace_package::{Header, PackageError, read_header};
use retrace_store::{NewPackage, PathKey};
use retrace_types::{PackageFormat, PackageKind, Role, Sha256};

use crate::{
    Limits, MetadataError, MirrorError,
    budget::Budget,
    checksum::Digester,
    error::chain,
    location::{Base, Location, Place},
    mappable::is_mappable,
    transfer::{Listed, Source},
};

/// Bytes of a package that are asked for first; most headers of an .rpm fit.
const FIRST_BYTES: u64 = 128 << 10;
/// Most bytes of a package that its header may take.
const MAX_BYTES: u64 = 64 << 20;

/// What the packages of a folder are.
pub(crate) struct Contents {
    pub(crate) packages: Vec<NewPackage>,
    pub(crate) paths: Vec<(PathKey, Arc<str>)>,
    budget: Budget,
}

/// A digest that changes when one of the files does.
pub(crate) fn digest(files: &[Listed]) -> Sha256 {
    let mut digester = Digester::for_checksum(None);
    for Listed { location, size_bytes, stamp } in files {
        digester.update(format!("{} {size_bytes:?} {stamp}\n", location.as_str()).as_bytes());
    }
    digester.finish().0
}

/// A package whose header was read.
pub(crate) struct Package {
    pub(crate) location: Location,
    pub(crate) size_bytes: Option<u64>,
    pub(crate) header: Header,
}

/// Reads the header of a package, if it is one; of a package on a server as few bytes as it takes.
pub(crate) async fn read_one(source: &Source, base: &Base, file: Listed) -> Result<Option<Package>, MirrorError> {
    let place = base.at(&file.location);
    let Listed { location, size_bytes, .. } = file;
    if let Place::File(path) = &place {
        let path = path.clone();
        let header = parse(move || read_header(&path)).await?;
        return Ok(usable(&place, header).map(|header| Package { location, size_bytes, header }));
    }
    let mut wanted = FIRST_BYTES;
    loop {
        let (data, total) = source.head(&place, wanted).await?;
        let is_all = (data.len() as u64) < wanted || Some(data.len() as u64) == total;
        let folder = source.options().download_dir.join("partial");
        let failed = MirrorError::file("write", folder.clone());
        let header = parse(move || {
            let written = tempfile::NamedTempFile::new_in(&folder).and_then(|mut file| {
                file.write_all(&data)?;
                Ok(file)
            });
            written.map(|file| read_header(file.path()))
        });
        let header = header.await?.map_err(failed)?;
        let is_cut = header.as_ref().is_err_and(|error| !matches!(error, PackageError::NotAPackage { .. }));
        if is_cut && !is_all && wanted < MAX_BYTES {
            wanted = wanted.saturating_mul(8);
            continue;
        }
        let size_bytes = size_bytes.or(total);
        return Ok(usable(&place, header).map(|header| Package { location, size_bytes, header }));
    }
}

async fn parse<T: Send + 'static>(read: impl FnOnce() -> T + Send + 'static) -> Result<T, MirrorError> {
    tokio::task::spawn_blocking(read).await.map_err(|source| MirrorError::StepLost { step: "read a header", source })
}

/// A package that cannot be read is told and left out.
fn usable(place: &Place, header: Result<Header, PackageError>) -> Option<Header> {
    header.inspect_err(|error| tracing::warn!(%place, error = %chain(error), "a package is left out")).ok()
}

impl Contents {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self { packages: Vec::new(), paths: Vec::new(), budget: Budget::new(limits) }
    }

    /// Takes what the index wants of a package.
    pub(crate) fn add(&mut self, package: Package) -> Result<(), MetadataError> {
        let Package { location, size_bytes, header } = package;
        self.budget.package()?;
        for member in &header.build_ids {
            self.budget.text(member.path.as_deref().unwrap_or_default())?;
        }
        let name: Arc<str> = header.id.name.as_str().into();
        let mut has_mappable = false;
        for path in header.files.iter().flatten().filter(|path| is_mappable(path)) {
            self.budget.path()?;
            has_mappable = true;
            if header.kind == PackageKind::Binary {
                self.paths.push((PathKey::of(path), name.clone()));
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
        self.packages.push(NewPackage {
            id: header.id,
            kind: header.kind,
            format: header.format,
            location: location.as_str().to_owned(),
            size_bytes,
            sha256: None,
            source: header.source,
            exact_depends: header.exact_depends,
            build_ids: header.build_ids.into(),
            complete,
        });
        Ok(())
    }
}

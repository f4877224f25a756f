use std::{
    fs::File,
    io::{self, BufReader, Read, Seek},
    path::Path,
};

use retrace_types::{MemberBuildId, PackageFormat, PackageId, PackageKind};

use crate::{
    Limits, PackageError, deb,
    error::Fault,
    rpm,
    rpm_header::{Headers, LEAD_MAGIC},
};

/// What a package says of itself, before any of it is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Format of the file.
    pub format: PackageFormat,
    /// Name, version and architecture.
    pub id: PackageId,
    /// What it carries, by the conventions of its format: the name for .rpm (`-debuginfo`, `-debugsource`), the
    /// field `Auto-Built-Package` or the name for .deb (`-dbgsym`, `-dbg`).
    pub kind: PackageKind,
    /// What it was built from: file name of the source package for .rpm (none for a source package), name of the source
    /// package for .deb.
    pub source: Option<String>,
    /// Packages that must be there in exactly one version: (name, version).
    pub exact_depends: Vec<(String, String)>,
    /// Absolute paths of the members; none for .deb, whose header does not name them.
    pub files: Option<Vec<String>>,
    /// Build-ids of members as the header names them: by paths for .rpm ([`build_id_of_path`]), by the field
    /// `Build-Ids` of debug packages for .deb, which gives no paths.
    ///
    /// [`build_id_of_path`]: crate::build_id_of_path
    pub build_ids: Vec<MemberBuildId>,
}

/// Reads the header of the package at `path`; the payload is not touched. Nothing is verified: use the result to find
/// the package's name, not to trust it.
///
/// # Errors
/// [`PackageError::NotAPackage`], [`PackageError::Malformed`] or [`PackageError::Limit`] with [`Limits::default`].
pub fn read_header(path: &Path) -> Result<Header, PackageError> {
    let limits = Limits::default();
    let (mut file, format) = open(path)?;
    let header = match format {
        PackageFormat::Rpm => Headers::read(&mut file, &limits).and_then(|headers| rpm::header(&headers, &limits)),
        _ => deb::header(&mut file, &limits),
    };
    header.map_err(|fault| fault.at(path))
}

/// Opens a package and tells its format by its first bytes.
pub(crate) fn open(path: &Path) -> Result<(BufReader<File>, PackageFormat), PackageError> {
    let read = |source: io::Error| Fault::Io(source).at(path);
    let mut file = File::open(path).map_err(read)?;
    let mut magic = Vec::new();
    (&mut file).take(8).read_to_end(&mut magic).map_err(read)?;
    file.rewind().map_err(read)?;
    let format = if magic.starts_with(&LEAD_MAGIC) {
        PackageFormat::Rpm
    } else if magic == deb::MAGIC {
        PackageFormat::Deb
    } else {
        return Err(PackageError::NotAPackage { path: path.to_owned() });
    };
    Ok((BufReader::with_capacity(64 << 10, file), format))
}

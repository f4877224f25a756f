//! Opens the payload of a package of either format.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Read as _},
};

use retrace_types::PackageFormat;

use crate::{
    Limits, PackageError, VerifiedPackage,
    archive::{Archive, Format},
    deb,
    decompress::{Compression, decompress},
    error::Fault,
    header::open,
    links::Links,
    rpm_header::{FileTable, Headers, tag},
};

/// The members of a package, and the links that are known before the first one is read.
pub(crate) struct Payload<'a> {
    pub(crate) archive: Archive<'a>,
    /// All links of an RPM package; none of a .deb, where they show up one by one.
    pub(crate) links: Links,
}

impl<'a> Payload<'a> {
    pub(crate) fn open(package: &VerifiedPackage, limits: &'a Limits) -> Result<Self, PackageError> {
        let path = package.path();
        let (file, format) = open(path)?;
        let actual = file.get_ref().metadata().map_err(|source| Fault::Io(source).at(path))?.len();
        let expected = package.size_bytes();
        if actual != expected {
            return Err(PackageError::SizeMismatch { path: path.to_owned(), expected, actual });
        }
        let unpacked_bytes = limits.unpacked_for(actual);
        let payload = match format {
            PackageFormat::Rpm => Self::rpm(file, unpacked_bytes, limits),
            _ => Self::deb(file, unpacked_bytes, limits),
        };
        payload.map_err(|fault| fault.at(path))
    }

    fn rpm(mut file: BufReader<File>, unpacked_bytes: u64, limits: &'a Limits) -> Result<Self, Fault> {
        let headers = Headers::read(&mut file, limits)?;
        let compression = Compression::from_rpm_tag(headers.main.string(tag::PAYLOAD_COMPRESSOR), file.fill_buf()?)?;
        let files = FileTable::read(&headers.main, limits)?;
        let mut links = Links::default();
        for file in files.iter() {
            if let Some(target) = &file.link_target {
                links.insert(&file.path, target);
            }
        }
        let input = decompress(file, compression, unpacked_bytes, limits)?;
        Ok(Self { archive: Archive::new(input, Format::Cpio(files), limits), links })
    }

    fn deb(mut file: BufReader<File>, unpacked_bytes: u64, limits: &'a Limits) -> Result<Self, Fault> {
        let (size, compression) = deb::find_data(&mut file)?;
        let input = decompress(file.take(size), compression, unpacked_bytes, limits)?;
        Ok(Self { archive: Archive::new(input, Format::Tar, limits), links: Links::default() })
    }
}

//! What the control archive of a .deb says, and where its data archive lies.
//!
//! A .deb is an ar archive: `!<arch>\n`, then members with a header of 60 bytes (name of 16, size in decimal at 48, end
//! marker at 58) and data padded to two bytes. In it, in this order: `debian-binary`, `control.tar`, `data.tar`, the
//! latter two with a suffix for their compression. Source: deb(5), deb-control(5).

use std::{
    io::{BufRead, Read},
    path::Path,
};

use deb822_fast::Paragraph;
use retrace_types::{BuildId, MemberBuildId, PackageFormat, PackageId, PackageKind, Role};

use crate::{
    Limits, PackageError,
    archive::{Archive, Format, exactly},
    decompress::{Compression, decompress},
    error::Fault,
    header::{Header, open},
};

pub(crate) const MAGIC: &[u8] = b"!<arch>\n";

/// Members in front of the data archive; dpkg writes two, and allows few more.
const MAX_AR_MEMBERS: usize = 32;

/// The control file of the .deb at `path`, as it is but for what is no UTF-8: the paragraph that repository metadata
/// repeats. Nothing is verified.
///
/// # Errors
/// [`PackageError::NotAPackage`] also for an .rpm; [`PackageError::Malformed`] or [`PackageError::Limit`] with
/// [`Limits::default`].
pub fn read_deb_control(path: &Path) -> Result<String, PackageError> {
    let (mut file, format) = open(path)?;
    if format != PackageFormat::Deb {
        return Err(PackageError::NotAPackage { path: path.to_owned() });
    }
    control(&mut file, &Limits::default()).map_err(|fault| fault.at(path))
}

pub(crate) fn header(input: &mut dyn BufRead, limits: &Limits) -> Result<Header, Fault> {
    parse(&control(input, limits)?)
}

fn control(input: &mut dyn BufRead, limits: &Limits) -> Result<String, Fault> {
    let (size, compression) = find(input, "control.tar")?;
    let archive = decompress(input.take(size), compression, limits.header_bytes, limits)?;
    let mut archive = Archive::new(archive, Format::Tar, limits);
    while let Some(entry) = archive.next()? {
        if entry.path == "/control" {
            let text = exactly(&mut archive, entry.size)?;
            return Ok(String::from_utf8_lossy(&text).into_owned());
        }
    }
    Err(Fault::malformed("its control archive has no file \"control\""))
}

/// Reads up to the first byte of the data archive; its size in bytes and its compression.
pub(crate) fn find_data(input: &mut dyn BufRead) -> Result<(u64, Compression), Fault> {
    find(input, "data.tar")
}

/// Reads up to the first byte of the member with this name.
fn find(input: &mut dyn BufRead, wanted: &str) -> Result<(u64, Compression), Fault> {
    if exactly(input, MAGIC.len() as u64)? != MAGIC {
        return Err(Fault::malformed("it has no archive magic"));
    }
    for _ in 0..MAX_AR_MEMBERS {
        let header = exactly(input, 60)?;
        let (name, size) = member(&header)?;
        if let Some(suffix) = name.strip_prefix(wanted) {
            return Ok((size, Compression::from_suffix(suffix)?));
        }
        skip(input, size.checked_next_multiple_of(2).unwrap_or(size))?;
    }
    Err(Fault::malformed(format!("it has no member {wanted:?} among its first {MAX_AR_MEMBERS}")))
}

fn member(header: &[u8]) -> Result<(&str, u64), Fault> {
    let bad = || Fault::malformed("a member of the outer archive has a damaged header");
    let text = |range: std::ops::Range<usize>| header.get(range).and_then(|bytes| std::str::from_utf8(bytes).ok());
    if text(58..60) != Some("`\n") {
        return Err(bad());
    }
    let name = text(0..16).ok_or_else(bad)?.trim_end();
    let size = text(48..58).and_then(|size| size.trim_end().parse().ok()).ok_or_else(bad)?;
    // GNU ar ends names with a slash.
    Ok((name.strip_suffix('/').unwrap_or(name), size))
}

fn skip(input: &mut dyn BufRead, size: u64) -> Result<(), Fault> {
    let skipped = std::io::copy(&mut input.take(size), &mut std::io::sink())?;
    if skipped == size { Ok(()) } else { Err(Fault::malformed("its outer archive ends early")) }
}

fn parse(control: &str) -> Result<Header, Fault> {
    let fields: Paragraph =
        control.parse().map_err(|error| Fault::malformed(format!("its control file cannot be parsed ({error})")))?;
    let field = |name: &str| fields.get(name).map(str::trim).filter(|value| !value.is_empty());
    let required = |name: &str| {
        field(name).map(str::to_owned).ok_or_else(|| Fault::malformed(format!("its control file has no field {name}")))
    };
    let name = required("Package")?;
    let id = package_id(name.clone(), &required("Version")?, required("Architecture")?)?;
    let is_debug = field("Auto-Built-Package") == Some("debug-symbols")
        || id.name.ends_with("-dbgsym")
        || id.name.ends_with("-dbg")
        || field("Build-Ids").is_some();
    let source = field("Source").and_then(|source| source.split_whitespace().next()).unwrap_or(&name).to_owned();
    let depends = [field("Pre-Depends"), field("Depends")];
    let build_ids = field("Build-Ids").unwrap_or_default().split_whitespace();
    Ok(Header {
        format: PackageFormat::Deb,
        id,
        kind: if is_debug { PackageKind::DebugInfo } else { PackageKind::Binary },
        source: Some(source),
        exact_depends: depends.into_iter().flatten().flat_map(|list| list.split(',')).filter_map(exact).collect(),
        files: None,
        build_ids: build_ids
            .filter_map(|id| id.parse::<BuildId>().ok())
            .map(|build_id| MemberBuildId { build_id, role: Role::Debuginfo, path: None })
            .collect(),
    })
}

/// `[epoch:]upstream[-revision]`. Source: deb-version(7).
fn package_id(name: String, version: &str, arch: String) -> Result<PackageId, Fault> {
    let (epoch, rest) = match version.split_once(':') {
        Some((epoch, rest)) => {
            let bad = |_| Fault::malformed(format!("the epoch of its version {version:?} is no number"));
            (Some(epoch.parse().map_err(bad)?), rest)
        }
        None => (None, version),
    };
    let (version, release) = match rest.rsplit_once('-') {
        Some((version, release)) => (version, Some(release.to_owned())),
        None => (rest, None),
    };
    Ok(PackageId { name, epoch, version: version.to_owned(), release, arch })
}

/// `name (= version)`, possibly `name:arch (= version)`; alternatives are not exact.
fn exact(dependency: &str) -> Option<(String, String)> {
    let (name, rest) = dependency.split_once('(')?;
    let (version, behind) = rest.split_once(')')?;
    let version = version.trim().strip_prefix('=')?.trim();
    let name = name.split(':').next()?.trim();
    (!behind.contains('|') && !name.contains('|') && !name.is_empty()).then(|| (name.to_owned(), version.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_fields_are_read() {
        let header = parse(
            "Package: libc6-dbg\nSource: glibc (2.36-9)\nVersion: 1:2.36-9+deb12u4\nArchitecture: amd64\n\
             Depends: libc6 (= 2.36-9+deb12u4), foo:any (= 1) | bar, baz (>= 2), qux:amd64(=3)\n\
             Description: x\n long\n .\n text\nBuild-Ids: 00112233445566778899aabbccddeeff00112233 junk\n abcdef012345\n",
        )
        .unwrap();
        assert_eq!(header.id.to_string(), "libc6-dbg-1:2.36-9+deb12u4.amd64");
        assert_eq!(header.kind, PackageKind::DebugInfo);
        assert_eq!(header.source.as_deref(), Some("glibc"));
        let depends = [("libc6".to_owned(), "2.36-9+deb12u4".to_owned()), ("qux".to_owned(), "3".to_owned())];
        assert_eq!(header.exact_depends, depends);
        let ids: Vec<&str> = header.build_ids.iter().map(|member| member.build_id.as_str()).collect();
        assert_eq!(ids, ["00112233445566778899aabbccddeeff00112233", "abcdef012345"]);
    }

    #[test]
    fn a_control_file_without_a_name_or_with_junk_is_refused() {
        for text in ["", "Version: 1\nArchitecture: all\n", "\0\0\0", "Package: x\nVersion: a:1\nArchitecture: all\n"] {
            assert!(parse(text).is_err(), "text: {text:?}");
        }
    }
}

//! What the format of a distribution's packages decides about their names: the defaults of the trait.

use alloc::{format, string::String, vec, vec::Vec};

use crate::{CallError, PackageFormat, PackageId, PackageKind, deb, nevra};

/// Reads names of package files: [`nevra::parse`] or [`deb::parse`]; a name that cannot be read is `None`.
///
/// # Errors
/// `Internal` if the format is neither RPM nor Debian's.
pub fn parse_file_names(format: &PackageFormat, names: &[String]) -> Result<Vec<Option<PackageId>>, CallError> {
    let parse = match format {
        PackageFormat::Rpm => nevra::parse,
        PackageFormat::Deb => deb::parse,
        PackageFormat::Other(name) => return Err(no_default(name)),
    };
    Ok(names.iter().map(|name| parse(name)).collect())
}

/// The usual file name of a package: [`nevra::format`] or [`deb::format`].
///
/// # Errors
/// `MalformedInput` if there is no file name for such a package, `Internal` if the format is neither RPM nor Debian's.
pub fn format_file_name(format: &PackageFormat, subject: &PackageId) -> Result<String, CallError> {
    match format {
        PackageFormat::Rpm => nevra::format(subject),
        PackageFormat::Deb => deb::format(subject),
        PackageFormat::Other(name) => return Err(no_default(name)),
    }
    .ok_or_else(|| CallError::MalformedInput(format!("package {} has no file name in this format", subject.name)))
}

/// Debug packages of a binary package, best first: `-debuginfo` and `-debugsource` for RPM, `-dbgsym` and `-dbg` for
/// Debian packages, same version. Empty for other kinds.
///
/// # Errors
/// `Internal` if the format is neither RPM nor Debian's.
pub fn debug_packages(format: &PackageFormat, subject: &PackageId) -> Result<Vec<PackageId>, CallError> {
    let suffixes = match format {
        PackageFormat::Rpm => [("-debuginfo", PackageKind::DebugInfo), ("-debugsource", PackageKind::DebugSource)],
        PackageFormat::Deb => [("-dbgsym", PackageKind::DebugInfo), ("-dbg", PackageKind::DebugInfo)],
        PackageFormat::Other(name) => return Err(no_default(name)),
    };
    if subject.kind != PackageKind::Binary {
        return Ok(vec![]);
    }
    let with = |(suffix, kind)| PackageId { name: format!("{}{suffix}", subject.name), kind, ..subject.clone() };
    Ok(suffixes.into_iter().map(with).collect())
}

fn no_default(format: &str) -> CallError {
    CallError::Internal(format!("the SDK knows no names of format {format}: the plugin has to implement this function"))
}

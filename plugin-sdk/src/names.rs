//! What the format of a distribution's packages decides about their names: the defaults of the trait.

use alloc::{format, string::String, vec, vec::Vec};

use crate::{
    CallError, Confidence, PackageFormat, PackageId, PackageKind, PackageRef, ReleaseEntry, ReleaseGuess, deb, nevra,
};

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
    Ok(suffixes.into_iter().map(with).filter(|package| is_part(&package.name)).collect())
}

/// Most bytes of a part of a package's name.
const MAX_PART_BYTES: usize = 256;

/// Whether the contract lets a text be name, version or release of a package, its characters aside.
pub(crate) fn is_part(text: &str) -> bool {
    (1..=MAX_PART_BYTES).contains(&text.len()) && text != "." && text != ".."
}

/// The release that a tag in the release part of an RPM package names: the number behind the first of `tags` that is
/// there is its version.
///
/// # Errors
/// `UnsupportedRelease` if there is no such release, unless the tag is weak: then it may be somebody else's.
pub fn guess_release(
    tags: &[(&str, Confidence)],
    releases: fn() -> Vec<ReleaseEntry>,
    subject: &PackageRef,
) -> Result<Option<ReleaseGuess>, CallError> {
    if !matches!(subject.format, None | Some(PackageFormat::Rpm)) {
        return Ok(None);
    }
    let found = tags.iter().find_map(|(tag, confidence)| Some((tag, confidence, nevra::dist_tag(&subject.raw, tag)?)));
    let Some((tag, confidence, number)) = found else { return Ok(None) };
    let served = releases().into_iter().find(|entry| entry.release.version == number);
    match served {
        Some(entry) => Ok(Some(ReleaseGuess {
            release: entry.release,
            confidence: *confidence,
            reason: format!("release tag .{tag}{number}"),
        })),
        None if *confidence == Confidence::Weak => Ok(None),
        None => Err(CallError::UnsupportedRelease(format!("release {number}, named by the tag .{tag}{number}"))),
    }
}

fn no_default(format: &str) -> CallError {
    CallError::Internal(format!("the SDK knows no names of format {format}: the plugin has to implement this function"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Release;

    fn releases() -> Vec<ReleaseEntry> {
        let entry = |version| ReleaseEntry::new(Release::new("acme", version).unwrap(), "Acme", &["x86_64"]).unwrap();
        vec![entry("3"), entry("2")]
    }

    #[test]
    fn a_tag_names_the_release() {
        let tags = [("ac", Confidence::Likely), ("el", Confidence::Weak)];
        let cases = [
            ("bash-5.2-1.ac3.x86_64", Ok(Some(("3", Confidence::Likely)))),
            ("bash-5.2-1.el2.x86_64", Ok(Some(("2", Confidence::Weak)))),
            ("bash-5.2-1.el9.x86_64", Ok(None)),
            ("bash-5.2-1.fc40.x86_64", Ok(None)),
            ("bash-5.2-1.ac9.x86_64", Err(())),
        ];
        for (raw, want) in cases {
            let subject = PackageRef { raw: raw.into(), format: None, vendor: None };
            let got = guess_release(&tags, releases, &subject);
            let got =
                got.as_ref().map(|guess| guess.as_ref().map(|one| (one.release.version.as_str(), one.confidence)));
            assert_eq!(got.map_err(|_| ()), want, "name: {raw}");
        }
    }

    #[test]
    fn a_format_that_is_not_known_has_no_names() {
        let other = PackageFormat::Other("apk".into());
        let package = PackageId::new("a", "1", "noarch", PackageKind::Binary).unwrap();
        assert!(matches!(parse_file_names(&other, &[]), Err(CallError::Internal(_))));
        assert!(matches!(format_file_name(&other, &package), Err(CallError::Internal(_))));
        assert!(matches!(debug_packages(&other, &package), Err(CallError::Internal(_))));
        assert!(matches!(format_file_name(&PackageFormat::Rpm, &package), Err(CallError::MalformedInput(_))));
    }
}

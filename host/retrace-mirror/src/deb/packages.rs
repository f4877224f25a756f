//! `Packages`: the packages of a component.

use std::io::BufRead;

use deb822_fast::borrowed::BorrowedParagraph;
use retrace_store::{Members, NewPackage};
use retrace_types::{MemberBuildId, PackageFormat, PackageId, PackageKind, Role};

use crate::{
    MetadataError,
    budget::Budget,
    deb::paragraphs::{self, required, single, words},
    location::Location,
};

/// Reads the packages. Debug packages name the build-ids that they are for; binaries name none.
pub(crate) fn read_packages(
    input: &mut dyn BufRead,
    budget: &mut Budget,
    packages: &mut Vec<NewPackage>,
) -> Result<(), MetadataError> {
    paragraphs::read(input, |paragraph| {
        let package = read_package(paragraph)?;
        budget.package()?;
        for text in [&package.id.name, &package.id.version, &package.location].into_iter().chain(&package.source) {
            budget.text(text)?;
        }
        for (name, version) in &package.exact_depends {
            budget.text(name)?;
            budget.text(version)?;
        }
        for member in package.build_ids.iter() {
            budget.text(member.build_id.as_str())?;
        }
        packages.push(package);
        Ok(())
    })
}

fn read_package(paragraph: &BorrowedParagraph<'_>) -> Result<NewPackage, MetadataError> {
    let name = required(paragraph, "Package")?.to_owned();
    let arch = required(paragraph, "Architecture")?.to_owned();
    let (epoch, version, release) = read_version(required(paragraph, "Version")?)?;
    let filename = required(paragraph, "Filename")?;
    let location = Location::parse(filename)
        .map_err(|_| MetadataError::Invalid { what: "Filename", value: filename.chars().take(200).collect() })?;
    let size = required(paragraph, "Size")?;
    let size_bytes =
        size.parse().map_err(|_| MetadataError::Invalid { what: "Size", value: size.chars().take(40).collect() })?;
    let sha256 = single(paragraph, "SHA256").ok_or_else(|| MetadataError::WeakChecksum("MD5sum or SHA1".to_owned()))?;
    let sha256 = sha256
        .parse()
        .map_err(|_| MetadataError::Invalid { what: "SHA256", value: sha256.chars().take(80).collect() })?;
    // `Source: name (version)` where the source's version is another one.
    let source = single(paragraph, "Source").and_then(|text| text.split_ascii_whitespace().next());
    let source = Some(source.unwrap_or(&name).to_owned());
    let build_ids: Members = words(paragraph, "Build-Ids")
        .into_iter()
        .filter_map(|word| Some(MemberBuildId { build_id: word.parse().ok()?, role: Role::Debuginfo, path: None }))
        .collect();
    // `debug`, or `non-free/debug`.
    let is_debug = single(paragraph, "Section").is_some_and(|section| section.rsplit('/').next() == Some("debug"));
    let kind = if is_debug || !build_ids.is_empty() { PackageKind::DebugInfo } else { PackageKind::Binary };
    let depends = paragraph.get("Depends").unwrap_or_default().join(" ");
    Ok(NewPackage {
        // Packages for all architectures have no machine code.
        complete: arch == "all" || !build_ids.is_empty(),
        id: PackageId { name, epoch, version, release, arch },
        kind,
        format: PackageFormat::Deb,
        location: location.as_str().to_owned(),
        size_bytes: Some(size_bytes),
        sha256: Some(sha256),
        source,
        exact_depends: exact_depends(&depends),
        build_ids,
    })
}

/// The dependencies `name (= version)`; what has an alternative is not exact.
fn exact_depends(depends: &str) -> Vec<(String, String)> {
    let exact = depends.split(',').filter(|part| !part.contains('|')).filter_map(|part| {
        let (name, rest) = part.trim().split_once('(')?;
        let version = rest.strip_suffix(')')?.trim().strip_prefix('=')?.trim();
        let name = name.trim();
        let name = name.split_once(':').map_or(name, |(name, _)| name);
        Some((name.to_owned(), version.to_owned()))
    });
    exact.collect()
}

/// `[epoch:]upstream[-revision]`. Source: deb-version(7).
fn read_version(text: &str) -> Result<(Option<u32>, String, Option<String>), MetadataError> {
    let invalid = || MetadataError::Invalid { what: "version", value: text.chars().take(80).collect() };
    let (epoch, rest) = match text.split_once(':') {
        Some((epoch, rest)) => (Some(epoch.parse().map_err(|_| invalid())?), rest),
        None => (None, text),
    };
    let (version, release) = match rest.rsplit_once('-') {
        Some((version, release)) => (version, Some(release.to_owned())),
        None => (rest, None),
    };
    if version.is_empty() {
        return Err(invalid());
    }
    Ok((epoch, version.to_owned(), release))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Limits;

    fn paragraph(filename: &str) -> String {
        format!(
            "Package: libx-dbg\nSource: x (1.0-2)\nVersion: 1:1.0-2+b1\nArchitecture: amd64\nSection: debug\n\
             Depends: libx (= 1:1.0-2+b1), liby:amd64 (= 3), libz (>= 4), a (= 1) | b,\n\tlibw (= 5)\n\
             Build-Ids: abcdef0123\n 4567890abc junk\nFilename: {filename}\nSize: 12\nSHA256: {}\n\n",
            "ab".repeat(32)
        )
    }

    fn read(text: &str) -> Result<Vec<NewPackage>, MetadataError> {
        let mut packages = Vec::new();
        read_packages(&mut text.as_bytes(), &mut Budget::new(&Limits::default()), &mut packages)?;
        Ok(packages)
    }

    #[test]
    fn debug_packages_name_build_ids_and_exact_dependencies() {
        let packages = read(&paragraph("./pool/x.deb").repeat(2)).unwrap();
        let [package, _] = packages.as_slice() else { panic!("{packages:?}") };
        assert_eq!(package.id.to_string(), "libx-dbg-1:1.0-2+b1.amd64");
        assert_eq!(package.source.as_deref(), Some("x"));
        assert_eq!(package.kind, PackageKind::DebugInfo);
        assert_eq!(package.location, "pool/x.deb");
        assert!(package.complete);
        let ids: Vec<_> = package.build_ids.iter().map(|member| member.build_id.to_string()).collect();
        assert_eq!(ids, ["abcdef0123", "4567890abc"]);
        let want = [("libx", "1:1.0-2+b1"), ("liby", "3"), ("libw", "5")];
        assert_eq!(package.exact_depends, want.map(|(name, version)| (name.to_owned(), version.to_owned())));
    }

    #[test]
    fn packages_that_cannot_be_trusted_are_refused() {
        for filename in ["../x.deb", "/x.deb", "http://h/x.deb"] {
            let error = read(&paragraph(filename)).unwrap_err();
            assert!(matches!(error, MetadataError::Invalid { what: "Filename", .. }), "{filename}: {error}");
        }
        for field in ["Package", "Version", "Architecture", "Size", "SHA256"] {
            let without = paragraph("x.deb").replace(&format!("\n{field}: "), &format!("\nX-{field}: "));
            let without = if field == "Package" { without.replacen("Package", "X-Package", 1) } else { without };
            assert!(read(&without).is_err(), "without {field}");
        }
    }

    #[test]
    fn versions_are_split() {
        for (text, epoch, version, release) in [
            ("1.0", None, "1.0", None),
            ("1:1.0-2", Some(1), "1.0", Some("2")),
            ("0:1.0-rc1-2", Some(0), "1.0-rc1", Some("2")),
        ] {
            let want = (epoch, version.to_owned(), release.map(str::to_owned));
            assert_eq!(read_version(text).unwrap(), want, "version: {text}");
        }
        for text in ["", "x:1", ":1", "-1"] {
            assert!(read_version(text).is_err(), "version: {text:?}");
        }
    }

    proptest! {
        #[test]
        fn damaged_indexes_are_read_or_refused(at in 0_usize..600, byte: u8) {
            let mut bytes = paragraph("x.deb").into_bytes();
            let length = bytes.len();
            bytes[at % length] = byte;
            let _ = read_packages(&mut bytes.as_slice(), &mut Budget::new(&Limits::default()), &mut Vec::new());
        }

        #[test]
        fn a_version_survives(text in "([0-9]{1,5}:)?[0-9a-z.+~]{1,9}(-[0-9a-z.+~]{1,9}){0,2}") {
            let (epoch, version, release) = read_version(&text).unwrap();
            let id = PackageId { name: String::new(), epoch, version, release, arch: String::new() };
            prop_assume!(epoch.is_none_or(|epoch| text.starts_with(&format!("{epoch}:"))));
            prop_assert_eq!(id.full_version(), text);
        }
    }
}

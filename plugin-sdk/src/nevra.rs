//! Names of RPM packages: `name-[epoch:]version-release.arch[.rpm]`.

use alloc::{format, string::String};

use crate::{PackageId, PackageKind};

/// Most bytes in a name that is read.
const MAX_BYTES: usize = 512;

/// Architectures that end the name of an RPM package. Source: rpm's `rpmrc`, without machines that no served
/// distribution has.
const ARCHITECTURES: [&str; 27] = [
    "noarch",
    "x86_64",
    "x86_64_v2",
    "x86_64_v3",
    "x86_64_v4",
    "aarch64",
    "i386",
    "i486",
    "i586",
    "i686",
    "athlon",
    "armv5tel",
    "armv6hl",
    "armv7l",
    "armv7hl",
    "armv7hnl",
    "ia64",
    "loongarch64",
    "mips64el",
    "ppc",
    "ppc64",
    "ppc64le",
    "ppc64p7",
    "riscv64",
    "s390",
    "s390x",
    "sparc64",
];

/// Reads a NEVRA or the name of an RPM file. The epoch may stand before the version or before the name.
///
/// None if a part is missing; a crash report's `name-version-release` has no architecture: see [`dist_tag`].
#[must_use]
pub fn parse(name: &str) -> Option<PackageId> {
    if name.len() > MAX_BYTES || !name.bytes().all(|b| b.is_ascii_graphic() && b != b'/') {
        return None;
    }
    let nevra = name.strip_suffix(".rpm").unwrap_or(name);
    let (nevr, arch) = nevra.rsplit_once('.')?;
    let source = arch == "src" || arch == "nosrc";
    if !source && !ARCHITECTURES.contains(&arch) {
        return None;
    }
    let (nev, release) = nevr.rsplit_once('-')?;
    let (name, version) = nev.rsplit_once('-')?;
    let (epoch, name, version) = match (version.split_once(':'), name.split_once(':')) {
        (Some((epoch, version)), None) => (Some(number(epoch)?), name, version),
        (None, Some((epoch, name))) => (Some(number(epoch)?), name, version),
        (None, None) => (None, name, version),
        (Some(_), Some(_)) => return None,
    };
    let plain = |part: &str| !part.is_empty() && !part.contains(':');
    if !(plain(name) && plain(version) && plain(release)) {
        return None;
    }
    Some(PackageId {
        name: name.into(),
        epoch,
        version: version.into(),
        release: Some(release.into()),
        arch: arch.into(),
        kind: if source { PackageKind::Source } else { kind_of(name) },
    })
}

/// `name-version-release.arch.rpm`; no epoch, which file names never have. None without a release.
#[must_use]
pub fn format(package: &PackageId) -> Option<String> {
    let release = package.release.as_ref()?;
    Some(format!("{}-{}-{release}.{}.rpm", package.name, package.version, package.arch))
}

/// The number behind a distribution tag in a release: `40` for the tag `fc` in `bash-5.2.26-3.fc40.x86_64`.
///
/// The tag starts a dot-separated part, its digits end at `.`, `_`, `~` or the end; the last such part counts. The text may
/// be any name, with or without architecture and `.rpm`.
#[must_use]
pub fn dist_tag<'a>(name: &'a str, tag: &str) -> Option<&'a str> {
    let release = name.rsplit_once('-').map_or(name, |(_, release)| release);
    release.split('.').rev().find_map(|part| {
        let digits = part.strip_prefix(tag)?.split(['_', '~']).next()?;
        (!digits.is_empty() && digits.len() <= 4 && digits.bytes().all(|b| b.is_ascii_digit())).then_some(digits)
    })
}

fn number(text: &str) -> Option<u32> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn kind_of(name: &str) -> PackageKind {
    if name.ends_with("-debuginfo") || name.contains("-debuginfo-common") {
        PackageKind::DebugInfo
    } else if name.ends_with("-debugsource") {
        PackageKind::DebugSource
    } else {
        PackageKind::Binary
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart() {
        let cases = [
            ("bash-5.2.26-3.fc40.x86_64", Some(("bash", None, "5.2.26", "3.fc40", "x86_64", PackageKind::Binary))),
            ("bash-5.2.26-3.fc40.x86_64.rpm", Some(("bash", None, "5.2.26", "3.fc40", "x86_64", PackageKind::Binary))),
            (
                "bind-libs-32:9.18.26-1.fc40.i686",
                Some(("bind-libs", Some(32), "9.18.26", "1.fc40", "i686", PackageKind::Binary)),
            ),
            (
                "32:bind-libs-9.18.26-1.fc40.i686",
                Some(("bind-libs", Some(32), "9.18.26", "1.fc40", "i686", PackageKind::Binary)),
            ),
            (
                "kernel-debuginfo-common-x86_64-6.8.5-301.fc40.x86_64",
                Some(("kernel-debuginfo-common-x86_64", None, "6.8.5", "301.fc40", "x86_64", PackageKind::DebugInfo)),
            ),
            (
                "glibc-debugsource-2.39-2.fc40.s390x",
                Some(("glibc-debugsource", None, "2.39", "2.fc40", "s390x", PackageKind::DebugSource)),
            ),
            ("bash-5.2.26-3.fc40.src.rpm", Some(("bash", None, "5.2.26", "3.fc40", "src", PackageKind::Source))),
            (
                "bash-5.2~rc1^git1-0.1.fc40.noarch",
                Some(("bash", None, "5.2~rc1^git1", "0.1.fc40", "noarch", PackageKind::Binary)),
            ),
            ("bash-5.2.26-3.fc40", None), // no architecture
            ("bash-3.fc40.x86_64", None), // no version
            ("1:bash-2:5-3.fc40.x86_64", None),
            ("x:bash-5-3.fc40.x86_64", None),
            ("bash--3.fc40.x86_64", None),
            ("../bash-5-3.fc40.x86_64", None),
            ("bash-99999999999:5-3.fc40.x86_64", None),
            ("bash_5.2-1_amd64.deb", None),
            ("", None),
        ];
        for (name, want) in cases {
            let got = parse(name);
            let got = got.as_ref().map(|id| {
                let release = id.release.as_deref().unwrap_or_default();
                (id.name.as_str(), id.epoch, id.version.as_str(), release, id.arch.as_str(), id.kind.clone())
            });
            assert_eq!(got, want, "name: {name:?}");
        }
    }

    #[test]
    fn distribution_tags_are_found() {
        let cases = [
            ("bash-5.2.26-3.fc40.x86_64", Some("40")),
            ("bash-5.2.26-3.fc40.x86_64.rpm", Some("40")),
            ("bash-5.2.26-3.fc40", Some("40")),
            ("bash-5.2.26-3.fc40.1.x86_64", Some("40")),
            ("pkg-1-2.fc39.fc40.noarch", Some("40")),
            ("pkg-1-2.fc40_1.noarch", Some("40")),
            ("pkg-1-2.fc40~bootstrap.noarch", Some("40")),
            ("pkg.fc39-1-2.el9.noarch", None), // in the name, not in the release
            ("pkg-1-2.fc40x.noarch", None),
            ("pkg-1-2.fc.noarch", None),
            ("pkg-1-2fc40.noarch", None),
            ("pkg-1-2.fc40404.noarch", None),
        ];
        for (name, want) in cases {
            assert_eq!(dist_tag(name, "fc"), want, "name: {name:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_formatted_is_parsed_back(name in "[a-z][a-z0-9+._-]{0,20}[a-z0-9]", version in "[0-9a-z.~^]{1,10}", release in "[0-9a-z._]{1,10}") {
            let id = PackageId {
                kind: kind_of(&name), name, epoch: None, version, release: Some(release), arch: "aarch64".into(),
            };
            proptest::prop_assert_eq!(parse(&format(&id).unwrap()), Some(id));
        }

        #[test]
        fn any_text_is_read(text in ".*") {
            let _ = (parse(&text), dist_tag(&text, "fc"));
        }
    }
}

//! Names of RPM packages: `name-[epoch:]version-release.arch[.rpm]`.

use alloc::{format, string::String, vec, vec::Vec};

use crate::{PackageId, PackageKind, names::is_part};

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
    let plain = |part: &str| is_part(part) && !part.contains(':');
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

/// `name-version-release.arch.rpm`; no epoch, which file names never have. None without a release, or if it would be
/// longer than the contract allows.
#[must_use]
pub fn format(package: &PackageId) -> Option<String> {
    let release = package.release.as_ref()?;
    let name = format!("{}-{}-{release}.{}.rpm", package.name, package.version, package.arch);
    (name.len() <= MAX_BYTES).then_some(name)
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

/// Most parts that are cut from a name to find the one of its source.
const MAX_CUTS: usize = 8;

/// Packages whose name does not begin with that of their source, and the debug packages of that source.
const FOREIGN_NAMES: [(&str, &[&str]); 16] = [
    ("glibc", &["glibc-debuginfo", "glibc-debuginfo-common"]),
    ("nscd", &["glibc-debuginfo", "glibc-debuginfo-common"]),
    ("libgcc", &["gcc-debuginfo"]),
    ("libstdc++", &["gcc-debuginfo"]),
    ("libgfortran", &["gcc-debuginfo"]),
    ("libgomp", &["gcc-debuginfo"]),
    ("libquadmath", &["gcc-debuginfo"]),
    ("libblkid", &["util-linux-debuginfo", "util-linux-ng-debuginfo", "e2fsprogs-debuginfo"]),
    ("libmount", &["util-linux-debuginfo"]),
    ("libuuid", &["util-linux-debuginfo", "util-linux-ng-debuginfo"]),
    ("libcom_err", &["e2fsprogs-debuginfo"]),
    ("libcurl", &["curl-debuginfo"]),
    ("libgudev1", &["systemd-debuginfo", "udev-debuginfo"]),
    ("libudev", &["udev-debuginfo"]),
    ("device-mapper", &["lvm2-debuginfo"]),
    ("libsmbclient", &["samba-debuginfo"]),
];

/// Debug packages of a binary package where one serves all packages of a source: RPM before 4.14, thus Enterprise Linux 5
/// to 7 and Amazon Linux 2. A name does not tell its source, so these are candidates, best first: the source, where it is
/// well known, then the name itself and what is left when its parts are cut off: `dbus-libs` gives
/// `dbus-libs-debuginfo` and `dbus-debuginfo`. Empty for anything but a binary package.
///
/// Source: <https://fedoraproject.org/wiki/Changes/SubpackageAndSourceDebuginfo>.
#[must_use]
pub fn debug_packages_by_source(package: &PackageId) -> Vec<PackageId> {
    if package.kind != PackageKind::Binary {
        return vec![];
    }
    let name = package.name.as_str();
    let is_foreign =
        |known: &str| name.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
    let foreign = FOREIGN_NAMES.iter().filter(|(known, _)| is_foreign(known)).flat_map(|(_, packages)| packages.iter());
    let mut names: Vec<String> = foreign.map(|name| String::from(*name)).collect();
    let cuts = name.rmatch_indices('-').take(MAX_CUTS).filter_map(|(dash, _)| name.get(..dash));
    for source in core::iter::once(name).chain(cuts).filter(|source| !source.is_empty()) {
        let name = format!("{source}-debuginfo");
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.into_iter().map(|name| PackageId { name, kind: PackageKind::DebugInfo, ..package.clone() }).collect()
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
            ("bash-.-1.fc40.x86_64", None), // no part is a name of folders
            ("bash-1-...x86_64", None),
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

    #[test]
    fn one_debug_package_serves_all_of_a_source() {
        let cases: [(&str, &[&str]); 6] = [
            ("bash", &["bash-debuginfo"]),
            ("dbus-libs", &["dbus-libs-debuginfo", "dbus-debuginfo"]),
            ("java-1.8.0-openjdk", &["java-1.8.0-openjdk-debuginfo", "java-1.8.0-debuginfo", "java-debuginfo"]),
            ("glibc-common", &["glibc-debuginfo", "glibc-debuginfo-common", "glibc-common-debuginfo"]),
            ("libstdc++", &["gcc-debuginfo", "libstdc++-debuginfo"]),
            ("libgccjit", &["libgccjit-debuginfo"]),
        ];
        for (name, want) in cases {
            let package = parse(&format!("{name}-1-2.el7.x86_64")).unwrap();
            let found = debug_packages_by_source(&package);
            assert_eq!(found.iter().map(|package| package.name.as_str()).collect::<Vec<_>>(), want, "name: {name}");
            for package in found {
                assert_eq!(parse(&format(&package).unwrap()), Some(package));
            }
        }
        let source = parse("bash-1-2.el7.src").unwrap();
        assert_eq!(debug_packages_by_source(&source), []);
        let many = PackageId { name: "-".repeat(400), ..parse("bash-1-2.el7.x86_64").unwrap() };
        assert!(debug_packages_by_source(&many).len() <= MAX_CUTS + 1);
    }

    proptest::proptest! {
        #[test]
        fn what_is_formatted_is_parsed_back(name in "[a-z][a-z0-9+._-]{0,20}[a-z0-9]", version in "[0-9][0-9a-z.~^]{0,9}", release in "[0-9][0-9a-z._]{0,9}") {
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

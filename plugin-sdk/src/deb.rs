//! Names of Debian packages: `name_[epoch:]version[-revision]_arch[.deb]`.

use alloc::{format, string::String};

use crate::{PackageId, PackageKind, names::is_part};

/// Most bytes in a name that is read.
const MAX_BYTES: usize = 512;

/// Architectures of the ports that the host can name. Source: dpkg's `cputable` and `tupletable`.
const ARCHITECTURES: [&str; 17] = [
    "all", "amd64", "arm64", "armel", "armhf", "i386", "ia64", "loong64", "mips64el", "mipsel", "powerpc", "ppc64",
    "ppc64el", "riscv64", "s390x", "sparc64", "x32",
];

/// Debian's name of a machine that `uname -m` names otherwise or alike: `amd64` for `x86_64`. Source: dpkg's `cputable`
/// and `tupletable`.
#[must_use]
pub fn architecture(machine: &str) -> Option<&'static str> {
    Some(match machine {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "armv7l" => "armhf",
        "i386" | "i486" | "i586" | "i686" => "i386",
        "ppc64le" => "ppc64el",
        "loongarch64" => "loong64",
        "mips64" => "mips64el",
        same => return ARCHITECTURES.iter().find(|known| **known == same && *known != &"all").copied(),
    })
}

/// Reads the name of a .deb (or .ddeb, .udeb, .dsc) file, with or without the ending. The colon of an epoch may be
/// written `%3a`, as apt does in its cache.
///
/// None if a part is missing or breaks the grammar of Debian Policy 5.6.
#[must_use]
pub fn parse(name: &str) -> Option<PackageId> {
    if name.len() > MAX_BYTES {
        return None;
    }
    if let Some(source) = name.strip_suffix(".dsc") {
        let (name, version) = source.split_once('_')?;
        return package(name, version, "source", PackageKind::Source);
    }
    let stem = [".deb", ".ddeb", ".udeb"].iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(name);
    let (rest, arch) = stem.rsplit_once('_')?;
    let (name, version) = rest.split_once('_')?;
    let is_debug = name.ends_with("-dbgsym") || name.ends_with("-dbg");
    let kind = if is_debug { PackageKind::DebugInfo } else { PackageKind::Binary };
    ARCHITECTURES.contains(&arch).then(|| package(name, version, arch, kind)).flatten()
}

/// `name_version[-revision]_arch.deb`, for a source package `name_version[-revision].dsc`; no epoch, which file names in
/// an archive never have.
#[must_use]
pub fn format(package: &PackageId) -> Option<String> {
    let revision = package.release.as_ref().map(|revision| format!("-{revision}")).unwrap_or_default();
    let stem = format!("{}_{}{revision}", package.name, package.version);
    let name = if package.kind == PackageKind::Source {
        format!("{stem}.dsc")
    } else {
        format!("{stem}_{}.deb", package.arch)
    };
    (name.len() <= MAX_BYTES).then_some(name)
}

fn package(name: &str, version: &str, arch: &str, kind: PackageKind) -> Option<PackageId> {
    let (epoch, version) = split_epoch(version)?;
    let (version, release) = match version.rsplit_once('-') {
        Some((version, revision)) => (version, Some(revision)),
        None => (version, None),
    };
    let name_byte = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.".contains(&b);
    let version_byte = |b: u8| b.is_ascii_alphanumeric() || b".+-~".contains(&b);
    let valid = is_part(name)
        && name.len() >= 2
        && name.bytes().all(name_byte)
        && name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
        && is_part(version)
        && version.bytes().all(version_byte)
        && release.is_none_or(|revision| is_part(revision) && revision.bytes().all(version_byte));
    valid.then(|| PackageId {
        name: name.into(),
        epoch,
        version: version.into(),
        release: release.map(String::from),
        arch: arch.into(),
        kind,
    })
}

/// None if there is an epoch that is no number.
fn split_epoch(version: &str) -> Option<(Option<u32>, &str)> {
    let split = version.split_once(':').or_else(|| version.split_once("%3a")).or_else(|| version.split_once("%3A"));
    let Some((epoch, version)) = split else { return Some((None, version)) };
    let is_number = epoch.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| epoch.parse().ok()).flatten().map(|epoch| (Some(epoch), version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart() {
        let cases = [
            ("bash_5.2.15-2+b7_amd64.deb", Some(("bash", None, "5.2.15", Some("2+b7"), "amd64", PackageKind::Binary))),
            ("bash_5.2.15-2+b7_amd64", Some(("bash", None, "5.2.15", Some("2+b7"), "amd64", PackageKind::Binary))),
            (
                "zlib1g-dbgsym_1%3a1.2.13.dfsg-1_arm64.deb",
                Some(("zlib1g-dbgsym", Some(1), "1.2.13.dfsg", Some("1"), "arm64", PackageKind::DebugInfo)),
            ),
            ("libc6-dbg_2.36-9_i386.deb", Some(("libc6-dbg", None, "2.36", Some("9"), "i386", PackageKind::DebugInfo))),
            ("base-files_12.4_s390x.deb", Some(("base-files", None, "12.4", None, "s390x", PackageKind::Binary))),
            ("g++_4:12.2.0-3_amd64", Some(("g++", Some(4), "12.2.0", Some("3"), "amd64", PackageKind::Binary))),
            ("a1_1.0-rc1-2_all.deb", Some(("a1", None, "1.0-rc1", Some("2"), "all", PackageKind::Binary))),
            ("bash_5.2.15-2.dsc", Some(("bash", None, "5.2.15", Some("2"), "source", PackageKind::Source))),
            ("bash_5.2.15-2_vax.deb", None),
            ("bash_amd64.deb", None),
            ("Bash_1_amd64.deb", None),
            ("bash_1_2_amd64.deb", None),
            ("bash_1-_amd64.deb", None),
            ("bash_x:1-1_amd64.deb", None),
            ("../bash_1-1_amd64.deb", None),
            ("bash-5.2.26-3.fc40.x86_64.rpm", None),
            ("", None),
        ];
        for (name, want) in cases {
            let got = parse(name);
            let got = got.as_ref().map(|id| {
                (
                    id.name.as_str(),
                    id.epoch,
                    id.version.as_str(),
                    id.release.as_deref(),
                    id.arch.as_str(),
                    id.kind.clone(),
                )
            });
            assert_eq!(got, want, "name: {name:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_formatted_is_parsed_back(name in "[a-z0-9][a-z0-9+.-]{1,20}", version in "[0-9][0-9a-z.~+]{0,9}", release in proptest::option::of("[0-9a-z][0-9a-z.~+]{0,7}")) {
            let is_debug = name.ends_with("-dbg") || name.ends_with("-dbgsym");
            let kind = if is_debug { PackageKind::DebugInfo } else { PackageKind::Binary };
            let id = PackageId { name, epoch: None, version, release, arch: "amd64".into(), kind };
            proptest::prop_assert_eq!(parse(&format(&id).unwrap()), Some(id));
        }

        #[test]
        fn any_text_is_read(text in ".*") {
            let _ = parse(&text);
        }
    }
}

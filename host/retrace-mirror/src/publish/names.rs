//! Names in the tree, from what packages and plugins say.
//!
//! Only letters, digits and `._+~^-` are taken over, and a name never starts with a dot: whatever a package calls itself, it
//! gets a plain file below the repository. Names that had to be changed carry a part of the digest, so that two never meet.

use std::collections::HashSet;

use retrace_types::{PackageId, Sha256};
use sha2::Digest as _;

/// Most bytes taken of a name, of a version and of a release, of an architecture: together with the rest less than the 255
/// that a file's name may have.
const NAME_BYTES: usize = 100;
const VERSION_BYTES: usize = 50;
const ARCH_BYTES: usize = 20;
/// Hex digits of the digest in a changed name.
const DIGEST_DIGITS: usize = 12;

/// A package that wants a name.
pub(super) struct Named<'a> {
    pub(super) id: &'a PackageId,
    /// Else it is a .deb.
    pub(super) is_rpm: bool,
    pub(super) source: Option<&'a str>,
    /// Component of a Debian repository; safe already.
    pub(super) component: &'a str,
    pub(super) sha256: Sha256,
}

/// Paths below the repository, all different: `Packages/b/bash-5.2.26-3.fc40.x86_64.rpm` as distributions with rpm have them,
/// `pool/main/b/bash/bash_5.2.15-2_amd64.deb` as Debian does. Of packages with one name, the first keeps it.
pub(super) fn paths<'a>(packages: impl IntoIterator<Item = Named<'a>>) -> Vec<String> {
    let mut taken = HashSet::new();
    let path = |package: Named<'a>| {
        let plain = path(&package, None);
        let path = plain.filter(|path| !taken.contains(path));
        let path = path.or_else(|| path_with_digest(&package)).unwrap_or_default();
        taken.insert(path.clone());
        path
    };
    packages.into_iter().map(path).collect()
}

fn path_with_digest(package: &Named<'_>) -> Option<String> {
    let digest = package.sha256.to_string();
    path(package, digest.get(..DIGEST_DIGITS))
}

/// None if a part would have to be changed and there is no digest to tell the result apart.
fn path(package: &Named<'_>, digest: Option<&str>) -> Option<String> {
    let part = |text: &str, limit| {
        let (part, is_changed) = part(text, limit);
        (!is_changed || digest.is_some()).then_some(part)
    };
    let PackageId { name, version, release, arch, .. } = package.id;
    let (name, arch) = (part(name, NAME_BYTES)?, part(arch, ARCH_BYTES)?);
    let version = match release {
        Some(release) => format!("{}-{}", part(version, VERSION_BYTES)?, part(release, VERSION_BYTES)?),
        None => part(version, VERSION_BYTES)?,
    };
    let digest = digest.map(|digest| format!(".{digest}")).unwrap_or_default();
    if package.is_rpm {
        return Some(format!("Packages/{}/{name}-{version}.{arch}{digest}.rpm", first(&name).to_lowercase()));
    }
    let source = package.source.map_or_else(|| Some(name.clone()), |source| part(source, NAME_BYTES))?;
    let folder = source.strip_prefix("lib").and_then(|rest| rest.chars().next());
    let folder = folder.map_or_else(|| first(&source), |next| format!("lib{next}"));
    Some(format!("pool/{}/{folder}/{source}/{name}_{version}_{arch}{digest}.deb", package.component))
}

fn first(text: &str) -> String {
    text.chars().take(1).collect()
}

/// A folder for this name: itself, or a changed one that no other name has.
pub(super) fn folder(name: &str) -> String {
    match part(name, NAME_BYTES) {
        (part, false) => part,
        (part, true) => {
            let digest = Sha256::from_bytes(sha2::Sha256::digest(name).into()).to_string();
            format!("{part}.{}", digest.get(..DIGEST_DIGITS).unwrap_or_default())
        }
    }
}

/// The name made safe, and whether it had to be changed.
fn part(text: &str, limit: usize) -> (String, bool) {
    let is_safe = |c: char| c.is_ascii_alphanumeric() || "._+~^-".contains(c);
    let mut part: String = text.chars().take(limit).map(|c| if is_safe(c) { c } else { '_' }).collect();
    if !part.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') {
        part.insert(0, '_');
    }
    let is_changed = part != text;
    (part, is_changed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(name: &str, version: &str, release: Option<&str>, arch: &str) -> PackageId {
        PackageId {
            name: name.into(),
            epoch: Some(1),
            version: version.into(),
            release: release.map(Into::into),
            arch: arch.into(),
        }
    }

    fn named(id: &PackageId, is_rpm: bool, digest: u8) -> Named<'_> {
        let sha256 = Sha256::from_bytes([digest; 32]);
        Named { id, is_rpm, source: None, component: "main", sha256 }
    }

    #[test]
    fn names_are_those_that_operators_know() {
        for (package, is_rpm, want) in [
            (id("Box2D", "2.4", Some("1.fc40"), "x86_64"), true, "Packages/b/Box2D-2.4-1.fc40.x86_64.rpm"),
            (id("g++", "4:12", Some("3"), "amd64"), false, "pool/main/g/g++/g++_4_12-3_amd64.070707070707.deb"),
            (id("libc6", "2.36", Some("9"), "amd64"), false, "pool/main/libc/libc6/libc6_2.36-9_amd64.deb"),
            (id("native", "1", None, "all"), false, "pool/main/n/native/native_1_all.deb"),
        ] {
            let names = paths([named(&package, is_rpm, 7)]);
            // A part that was changed marks the whole name, its folder aside.
            assert_eq!(names, [want.to_owned()]);
        }
    }

    #[test]
    fn two_packages_of_one_name_get_two_files() {
        let package = id("a", "1", Some("1"), "noarch");
        let names = paths([named(&package, true, 1), named(&package, true, 2)]);
        assert_eq!(names, ["Packages/a/a-1-1.noarch.rpm", "Packages/a/a-1-1.noarch.020202020202.rpm"]);
    }

    #[test]
    fn folders_of_odd_names_differ() {
        assert_eq!(folder("updates-debuginfo"), "updates-debuginfo");
        for name in ["..", ".", "", "a/b", "-x", ".hidden"] {
            let folder = folder(name);
            assert!(folder.starts_with(|c: char| c == '_' || c.is_ascii_alphanumeric()) && !folder.contains('/'));
        }
        assert_ne!(folder("a/b"), folder("a_b"));
    }

    proptest! {
        #[test]
        fn no_name_leaves_the_repository(
            name in "\\PC{0,200}|[./-]{0,8}", version in "\\PC{0,20}|[./]{0,4}", release in "\\PC{0,20}",
            arch in "\\PC{0,9}|[./]{0,3}", digests in proptest::collection::hash_set(any::<u8>(), 1..5),
        ) {
            let package = id(&name, &version, Some(&release), &arch);
            for is_rpm in [true, false] {
                let digests = digests.iter().map(|digest| named(&package, is_rpm, *digest));
                let paths = paths(digests);
                let different: HashSet<_> = paths.iter().collect();
                prop_assert_eq!(different.len(), paths.len());
                for path in &paths {
                    prop_assert!(path.is_ascii() && path.len() < 600, "{}", path);
                    prop_assert!(path.split('/').all(|part| !part.is_empty() && !part.starts_with('.')), "{}", path);
                    prop_assert!(path.split('/').all(|part| part.len() <= 255), "{}", path);
                }
            }
        }
    }
}

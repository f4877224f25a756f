//! Services that keep what mirrors have dropped, asked last: the builds of a Koji instance, the states of a Debian archive.
//!
//! A repository names them in its settings. What they give is verified like everything else: by the package's own signature,
//! or by the digest in metadata that was signed.
//!
//! Sources: `koji.PathInfo` of Koji (`build`, `rpm`, `signed`); the machine-usable interface of snapshot.debian.org
//! (<https://salsa.debian.org/snapshot-team/snapshot/-/blob/master/API>).

use retrace_store::IndexedPackage;
use retrace_types::{PackageId, PackageKind, RepositorySpec};
use serde::Deserialize;

use crate::{
    MetadataError, MirrorError,
    location::{Base, Location, Place, shown},
    transfer::Source,
};

/// The settings; the value of each is a base URL.
const KOJI: &str = "archive-koji";
const SNAPSHOT: &str = "archive-snapshot";
/// The setting of a registered repository whose mirrors were named for it alone.
const NAMED_MIRRORS: &str = "named-mirrors";
/// Most bytes of an answer that lists the files of one version of one package.
const MAX_LIST_BYTES: u64 = 1 << 20;
/// Most keys whose signed copies are asked for.
const MAX_KEYS: usize = 16;

/// A service, at its base URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Archive {
    pub(crate) base: Base,
    layout: Layout,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    /// Setting `archive-koji`: `<source>/<version>/<release>/<arch>/<file>`, and the copies that a key signed below
    /// `<source>/<version>/<release>/data/signed/<last 8 digits of the key's fingerprint>/<arch>/<file>`.
    Koji,
    /// Setting `archive-snapshot`: `mr/binary/<name>/<version>/binfiles` names the SHA-1 digests of the files, and
    /// `file/<digest>` is one of them.
    Snapshot,
}

/// The archives of a repository with the URL as it names them, in order.
pub(crate) fn archives(spec: &RepositorySpec) -> Vec<(String, Result<Archive, MirrorError>)> {
    let named = spec.config.iter().filter_map(|(key, url)| match key.as_str() {
        KOJI => Some((url, Layout::Koji)),
        SNAPSHOT => Some((url, Layout::Snapshot)),
        _ => None,
    });
    named.map(|(url, layout)| (shown(url), Base::parse(url).map(|base| Archive { base, layout }))).collect()
}

/// A repository with mirrors of the operator's in place of its own. The archives go with those: who gives mirrors of their
/// own wants nothing from elsewhere.
#[must_use]
pub fn with_own_mirrors(spec: &RepositorySpec, mirrors: Vec<String>) -> RepositorySpec {
    let replaced = |key: &str| [KOJI, SNAPSHOT, NAMED_MIRRORS].contains(&key);
    let config = spec.config.iter().filter(|(key, _)| !replaced(key)).cloned().collect();
    RepositorySpec { mirrors, config, ..spec.clone() }
}

/// As [`with_own_mirrors`], noted in the index: the next sync uses these mirrors again, whatever plugin and rules say.
#[must_use]
pub fn with_named_mirrors(spec: &RepositorySpec, mirrors: Vec<String>) -> RepositorySpec {
    let mut spec = with_own_mirrors(spec, mirrors);
    spec.config.push((NAMED_MIRRORS.to_owned(), "yes".to_owned()));
    spec
}

/// Whether [`with_named_mirrors`] made this.
#[must_use]
pub fn has_named_mirrors(spec: &RepositorySpec) -> bool {
    spec.config.iter().any(|(key, _)| key == NAMED_MIRRORS)
}

impl Archive {
    /// Where the package may lie, best first. `fingerprints` are those of the keys that may sign it.
    pub(crate) async fn places(
        &self,
        source: &Source,
        package: &IndexedPackage,
        fingerprints: &[String],
    ) -> Result<Vec<Place>, MirrorError> {
        let locations = match self.layout {
            Layout::Koji => koji(package, fingerprints)?,
            Layout::Snapshot => {
                let list = self.base.at(&Location::parse(&snapshot_list(&package.id))?);
                let Some(data) = source.small(&list, MAX_LIST_BYTES).await? else {
                    return Err(MirrorError::NotFound { url: list.to_string() });
                };
                snapshot(&data, &package.id.arch).map_err(MirrorError::metadata(&list))?
            }
        };
        Ok(locations.iter().map(|location| self.base.at(location)).collect())
    }
}

fn koji(package: &IndexedPackage, fingerprints: &[String]) -> Result<Vec<Location>, MirrorError> {
    let id = &package.id;
    let (name, version, release) = match (&package.source, &package.kind) {
        (Some(source), _) => source_build(source),
        (None, PackageKind::Source) => {
            Some((id.name.as_str(), id.version.as_str(), id.release.as_deref().unwrap_or_default()))
        }
        (None, _) => None,
    }
    .ok_or_else(|| MirrorError::NoSource { package: id.to_string() })?;
    let file = package.location.rsplit('/').next().unwrap_or_default();
    let build = format!("{name}/{version}/{release}");
    let key = |fingerprint: &String| fingerprint.get(fingerprint.len().checked_sub(8)?..).map(str::to_ascii_lowercase);
    let signed = fingerprints.iter().take(MAX_KEYS).filter_map(key);
    let signed = signed.map(|key| format!("{build}/data/signed/{key}/{}/{file}", id.arch));
    let all: Vec<_> = signed.chain([format!("{build}/{}/{file}", id.arch)]).collect();
    all.iter().map(|text| Location::parse(text)).collect()
}

/// Name, version and release of `bash-5.2.26-3.fc40.src.rpm`.
fn source_build(file: &str) -> Option<(&str, &str, &str)> {
    let build = file.strip_suffix(".rpm")?;
    let build = build.strip_suffix(".src").or_else(|| build.strip_suffix(".nosrc"))?;
    let (rest, release) = build.rsplit_once('-')?;
    let (name, version) = rest.rsplit_once('-')?;
    let is_plain = |part: &&str| !part.is_empty() && !part.contains('/');
    [name, version, release].iter().all(is_plain).then_some((name, version, release))
}

fn snapshot_list(id: &PackageId) -> String {
    format!("mr/binary/{}/{}/binfiles", id.name, id.full_version())
}

/// The files of an architecture in an answer.
fn snapshot(data: &[u8], arch: &str) -> Result<Vec<Location>, MetadataError> {
    #[derive(Deserialize)]
    struct Answer {
        result: Vec<File>,
    }
    #[derive(Deserialize)]
    struct File {
        hash: String,
        architecture: String,
    }
    let invalid =
        |error: &serde_json::Error| MetadataError::Invalid { what: "list of files", value: error.to_string() };
    let answer: Answer = serde_json::from_slice(data).map_err(|error| invalid(&error))?;
    let is_digest = |text: &str| text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let files = answer.result.iter().filter(|file| file.architecture == arch && is_digest(&file.hash));
    let found: Vec<_> = files.filter_map(|file| Location::parse(&format!("file/{}", file.hash)).ok()).collect();
    if found.is_empty() { Err(MetadataError::Missing("a file of the package's architecture")) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_source_package_names_its_build() {
        for (file, want) in [
            ("bash-5.2.26-3.fc40.src.rpm", Some(("bash", "5.2.26", "3.fc40"))),
            ("java-17-openjdk-17.0.9.0.9-3.fc40.src.rpm", Some(("java-17-openjdk", "17.0.9.0.9", "3.fc40"))),
            ("firmware-1-2.nosrc.rpm", Some(("firmware", "1", "2"))),
            ("bash-5.2.26-3.fc40.x86_64.rpm", None),
            ("bash.src.rpm", None),
            ("a-1.src.rpm", None),
            ("../x-1-2.src.rpm", None),
            ("--.src.rpm", None),
            ("", None),
        ] {
            assert_eq!(source_build(file), want, "{file}");
        }
    }

    #[test]
    fn an_answer_of_the_snapshot_service_names_files_by_digest() {
        let digest = "0123456789abcdef0123456789abcdef01234567";
        let entry = |hash: &str, arch: &str| format!(r#"{{"hash":"{hash}","architecture":"{arch}"}}"#);
        let answer = |entries: &[String]| format!(r#"{{"_comment":"x","result":[{}]}}"#, entries.join(","));
        let of = |text: &str| {
            snapshot(text.as_bytes(), "amd64").map(|found| found.iter().map(|l| l.as_str().to_owned()).collect())
        };
        let found: Vec<String> = of(&answer(&[entry("f", "i386"), entry(digest, "amd64")])).unwrap();
        assert_eq!(found, [format!("file/{digest}")]);
        for bad in ["", "{}", "[]", r#"{"result":[]}"#, &answer(&[entry("../../etc/passwd", "amd64")])] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn versions_are_asked_for_as_debian_writes_them() {
        let id = |epoch, release: Option<&str>| PackageId {
            name: "libc6".into(),
            epoch,
            version: "2.36".into(),
            release: release.map(Into::into),
            arch: "amd64".into(),
        };
        assert_eq!(snapshot_list(&id(Some(1), Some("9+deb12u4"))), "mr/binary/libc6/1:2.36-9+deb12u4/binfiles");
        assert_eq!(snapshot_list(&id(None, None)), "mr/binary/libc6/2.36/binfiles");
    }

    proptest! {
        #[test]
        fn any_answer_gives_digests_or_an_error(data in proptest::collection::vec(any::<u8>(), 0..256)) {
            let _ = snapshot(&data, "amd64");
        }
    }
}

//! `/checkpackage`: is this package of this release known here?

use axum::http::{HeaderMap, StatusCode};
use retrace_store::{IndexedPackage, Scope, Store};
use retrace_types::{Architecture, ReleaseId};

use crate::ApiError;

/// Longest header that is looked at.
const MAX_HEADER_BYTES: usize = 256;

/// 302 without a `Location` header, which clients would follow: known. 404: unknown.
pub(crate) async fn check(store: &Store, headers: &HeaderMap) -> Result<StatusCode, ApiError> {
    let Asked { nvr, arch, release } = Asked::read(headers)?;
    let scopes = match release {
        Some(id) => parse_release(id).into_iter().collect(),
        None => {
            let mirrored = store.releases_mirrored().await?;
            mirrored.into_iter().map(|(release, architecture)| Scope { release, architecture }).collect::<Vec<_>>()
        }
    };
    for scope in scopes {
        for (name, version) in splits(nvr) {
            let packages = store.find_packages(&scope, name).await?;
            if packages.iter().any(|package| is_version(package, &version) && fits(package, arch)) {
                return Ok(StatusCode::FOUND);
            }
        }
    }
    Ok(StatusCode::NOT_FOUND)
}

/// What a client asks.
struct Asked<'h> {
    nvr: &'h str,
    arch: &'h str,
    release: Option<&'h str>,
}

impl<'h> Asked<'h> {
    fn read(headers: &'h HeaderMap) -> Result<Self, ApiError> {
        let nvr = text(headers, "X-Package-NVR", is_package)?.ok_or(ApiError::InvalidHeader("X-Package-NVR"))?;
        let arch = text(headers, "X-Package-Arch", is_word)?.ok_or(ApiError::InvalidHeader("X-Package-Arch"))?;
        Ok(Self { nvr, arch, release: text(headers, "X-OS-Release", is_release)? })
    }
}

/// For the fuzz target.
#[cfg(any(test, fuzzing))]
pub(crate) fn read_headers(headers: &HeaderMap) {
    if let Ok(Asked { nvr, release, .. }) = Asked::read(headers) {
        assert!(splits(nvr).count() <= 3);
        let _ = release.and_then(parse_release);
    }
}

/// The header's text; none if it is absent; an error if it is not well-formed.
fn text<'h>(headers: &'h HeaderMap, name: &'static str, rule: fn(&str) -> bool) -> Result<Option<&'h str>, ApiError> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let text = value.to_str().ok().filter(|text| text.len() <= MAX_HEADER_BYTES && rule(text));
    text.map(Some).ok_or(ApiError::InvalidHeader(name))
}

/// What names, versions, epochs and releases of RPM and Debian packages consist of.
fn is_package(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.+-:~^".contains(&b))
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn is_release(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)) && text.matches('-').count() >= 2
}

/// `fedora-40-x86_64`; none for one that cannot be mirrored here.
fn parse_release(id: &str) -> Option<Scope> {
    let (release, architecture) = id.rsplit_once('-')?;
    Some(Scope { release: release.parse::<ReleaseId>().ok()?, architecture: architecture.parse().ok()? })
}

/// Every way to cut a text into name and version. An epoch may stand before the version.
fn splits(nvr: &str) -> impl Iterator<Item = (&str, String)> {
    let without_epoch = |version: &str| {
        let epoch = version.split_once(':').filter(|(epoch, _)| epoch.bytes().all(|b| b.is_ascii_digit()));
        epoch.map_or(version, |(_, rest)| rest).to_owned()
    };
    let cuts = nvr.rmatch_indices('-').take(3);
    cuts.filter_map(move |(at, _)| Some((nvr.get(..at)?, without_epoch(nvr.get(at + 1..)?))))
}

fn is_version(package: &IndexedPackage, version: &str) -> bool {
    let release = package.id.release.as_ref().map(|release| format!("-{release}")).unwrap_or_default();
    format!("{}{release}", package.id.version) == version
}

/// Packages without an architecture fit all; names of one family (i386, i686) are equal.
fn fits(package: &IndexedPackage, arch: &str) -> bool {
    let of_package = package.id.arch.as_str();
    let family = |name: &str| name.parse::<Architecture>().ok();
    matches!(of_package, "noarch" | "all")
        || of_package == arch
        || family(of_package).is_some_and(|of_package| family(arch) == Some(of_package))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_name_may_hold_dashes_and_an_epoch() {
        let all: Vec<_> = splits("will-crash-1:0.13-5.fc40").collect();
        assert_eq!(
            all,
            [
                ("will-crash-1:0.13", "5.fc40".to_owned()),
                ("will-crash", "0.13-5.fc40".to_owned()),
                ("will", "crash-1:0.13-5.fc40".to_owned()),
            ]
        );
        assert_eq!(splits("bash").count(), 0);
        assert_eq!(splits("-").count(), 1);
    }

    #[test]
    fn the_rules_accept_what_clients_send() {
        for good in ["will-crash-0.13.3-5.fc38", "a-1:2~rc1-3", "libstdc++-13.2^git1-1"] {
            assert!(is_package(good), "{good}");
        }
        for bad in ["", "a b", "a/b", "a\u{e9}-1-1"] {
            assert!(!is_package(bad), "{bad}");
        }
        for (id, good) in [
            ("fedora-38-x86_64", true),
            ("fedora-rawhide-x86_64", true),
            ("opensuse-leap-15.6-x86_64", true),
            ("Red Hat Enterprise Linux 8-8.4-x86_64", false),
            ("fedora-38", false),
        ] {
            assert_eq!(is_release(id), good, "{id}");
        }
    }
}

//! Where things are: bases of mirrors, and locations below them that a repository names.

use std::{fmt, path::PathBuf};

use url::Url;

use crate::MirrorError;

/// Most bytes of a location.
const MAX_LOCATION_BYTES: usize = 1024;

/// A path below the base of a mirror. Holding one means that it does not leave the base.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Location(String);

impl Location {
    /// Reads what a repository says. It is a plain path, not a URL reference: `%` and `?` stand for themselves.
    pub(crate) fn parse(text: &str) -> Result<Self, MirrorError> {
        let refused = |reason| MirrorError::UnsafeLocation { location: text.chars().take(200).collect(), reason };
        if text.len() > MAX_LOCATION_BYTES {
            return Err(refused("it is longer than 1024 bytes"));
        }
        if text.starts_with('/') {
            return Err(refused("it is absolute"));
        }
        if text.contains("://") {
            return Err(refused("it names another server"));
        }
        if text.chars().any(|c| c.is_control() || c == '\\') {
            return Err(refused("it holds a control character or a backslash"));
        }
        let parts: Vec<_> = text.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        if parts.contains(&"..") {
            return Err(refused("it holds `..`"));
        }
        if parts.is_empty() {
            return Err(refused("it is empty"));
        }
        Ok(Self(parts.join("/")))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Base of a mirror.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Base {
    Folder(PathBuf),
    Http(Url),
}

/// One file of a mirror.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    File(PathBuf),
    Http(Url),
}

impl Base {
    /// Reads a mirror of a repository: an absolute folder, or a URL.
    pub(crate) fn parse(mirror: &str) -> Result<Self, MirrorError> {
        let refused = |reason| MirrorError::InvalidMirror { mirror: mirror.chars().take(200).collect(), reason };
        if mirror.starts_with('/') {
            return Ok(Self::Folder(PathBuf::from(mirror)));
        }
        let url = Url::parse(mirror).map_err(|_| refused("it is neither an absolute folder nor a URL"))?;
        match url.scheme() {
            "file" => url.to_file_path().map(Self::Folder).map_err(|()| refused("it names no local folder")),
            "http" | "https" if url.query().is_some() || url.fragment().is_some() => {
                Err(refused("a base has neither query nor fragment"))
            }
            "http" | "https" => Ok(Self::Http(url)),
            _ => Err(refused("its scheme is not supported: want a folder, file://, http:// or https://")),
        }
    }

    pub(crate) fn at(&self, location: &Location) -> Place {
        match self {
            Self::Folder(folder) => Place::File(folder.join(location.as_str())),
            Self::Http(base) => {
                let mut url = base.clone();
                if let Ok(mut parts) = url.path_segments_mut() {
                    parts.pop_if_empty().extend(location.as_str().split('/'));
                }
                Place::Http(url)
            }
        }
    }
}

impl fmt::Display for Place {
    /// Without a password that stands in the URL.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Http(url) => without_password(url).fmt(f),
        }
    }
}

impl fmt::Display for Base {
    /// Without a password that stands in the URL.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => path.display().fmt(f),
            Self::Http(url) => without_password(url).fmt(f),
        }
    }
}

fn without_password(url: &Url) -> Url {
    let mut url = url.clone();
    // Neither can fail: the URL has a host.
    let _ = url.set_password(None);
    let _ = url.set_username("");
    url
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn locations_that_leave_the_base_are_refused() {
        for (text, want) in [
            ("Packages/a-1.rpm", Some("Packages/a-1.rpm")),
            ("./pool//a.deb", Some("pool/a.deb")),
            ("a/..b/c..", Some("a/..b/c..")),
            ("../etc/passwd", None),
            ("a/../../b", None),
            ("a/..", None),
            ("/etc/passwd", None),
            ("//host/x", None),
            ("http://host/x", None),
            ("..\\x", None),
            ("a\nb", None),
            ("a\0b", None),
            ("", None),
            ("./.", None),
        ] {
            assert_eq!(Location::parse(text).ok().as_ref().map(Location::as_str), want, "location: {text:?}");
        }
        assert!(Location::parse(&"a".repeat(1025)).is_err());
    }

    #[test]
    fn places_are_below_the_base_and_names_are_taken_literally() {
        let http = Base::parse("http://h/base/").unwrap();
        let place = http.at(&Location::parse("pool/a_1%3a2?x#y%2e%2e/z").unwrap());
        assert_eq!(place.to_string(), "http://h/base/pool/a_1%253a2%3Fx%23y%252e%252e/z");
        let folder = Base::parse("file:///srv/a%20b").unwrap();
        assert_eq!(folder.at(&Location::parse("x").unwrap()).to_string(), "/srv/a b/x");
    }

    #[test]
    fn bases_are_folders_or_http() {
        for (mirror, valid) in [
            ("/srv/x", true),
            ("https://h/x", true),
            ("http://h/x?y", false),
            ("srv/x", false),
            ("ftp://h/x", false),
            ("rsync://h/x", false),
            ("", false),
        ] {
            assert_eq!(Base::parse(mirror).is_ok(), valid, "mirror: {mirror}");
        }
        assert_eq!(Base::parse("http://me:secret@h/x").unwrap().to_string(), "http://h/x");
    }

    proptest! {
        #[test]
        fn no_location_leaves_the_base(text in ".*") {
            if let Ok(location) = Location::parse(&text) {
                let place = Base::parse("http://h/base").unwrap().at(&location).to_string();
                prop_assert!(place.starts_with("http://h/base/"), "{}", place);
                prop_assert!(!location.as_str().split('/').any(|part| part == ".."));
            }
        }
    }
}

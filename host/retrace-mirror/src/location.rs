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

/// Base of a mirror: everything that its repository names lies below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Base {
    root: Place,
    pattern: Option<Pattern>,
}

/// A file or a folder of a mirror.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    File(PathBuf),
    Remote(Remote),
}

/// Something on a server. The URL's path holds no control characters, encoded ones included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Remote {
    pub(crate) scheme: Scheme,
    pub(crate) url: Url,
}

/// How a server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// `http://`, `https://`.
    Http,
    /// `ftp://`; `ftps://` for TLS by `AUTH TLS` (RFC 4217).
    Ftp,
    /// `rsync://`; `rsync+ssh://[user@]host[:port]/absolute/path` by the remote shell.
    Rsync,
}

/// Glob pattern below a base: `*/*.rpm`. A `*` stands for any characters but `/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern(Vec<String>);

impl Base {
    /// Reads a mirror of a repository: an absolute folder, or a URL. From the first part that holds a `*` on it is a pattern.
    pub(crate) fn parse(mirror: &str) -> Result<Self, MirrorError> {
        let refused = |reason| MirrorError::InvalidMirror { mirror: shown(mirror), reason };
        let (mirror, pattern) = split_pattern(mirror);
        if mirror.starts_with('/') {
            return Ok(Self { root: Place::File(PathBuf::from(mirror)), pattern });
        }
        let url = Url::parse(mirror).map_err(|_| refused("it is neither an absolute folder nor a URL"))?;
        if url.scheme() == "file" {
            let folder = url.to_file_path().map_err(|()| refused("it names no local folder"))?;
            return Ok(Self { root: Place::File(folder), pattern });
        }
        let scheme = match url.scheme() {
            "http" | "https" => Scheme::Http,
            "ftp" | "ftps" => Scheme::Ftp,
            "rsync" | "rsync+ssh" => Scheme::Rsync,
            _ => {
                return Err(refused(
                    "its scheme is not supported: want a folder, file, http, https, ftp, ftps, rsync or rsync+ssh",
                ));
            }
        };
        if url.query().is_some() || url.fragment().is_some() {
            return Err(refused("a base has neither query nor fragment"));
        }
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
        let host = url.host_str().unwrap_or_default();
        if host.is_empty() || host.starts_with('-') || !host.chars().all(is_plain) {
            return Err(refused("its host is no host name or address"));
        }
        let user = decoded(url.username());
        if user.starts_with('-') || user.chars().any(|c| c.is_control() || "@:/ ".contains(c)) {
            return Err(refused("its user name cannot be one"));
        }
        let path = decoded(url.path());
        if path.chars().any(char::is_control) || path.split('/').any(|part| part == "..") {
            return Err(refused("its path holds a control character or `..`"));
        }
        Ok(Self { root: Place::Remote(Remote { scheme, url }), pattern })
    }

    /// The place of a location below the base.
    pub(crate) fn at(&self, location: &Location) -> Place {
        self.root.join(location)
    }

    /// The base itself, up to its pattern.
    pub(crate) fn root(&self) -> &Place {
        &self.root
    }

    pub(crate) fn pattern(&self) -> Option<&Pattern> {
        self.pattern.as_ref()
    }

    pub(crate) fn is_local(&self) -> bool {
        matches!(self.root, Place::File(_))
    }
}

impl Place {
    pub(crate) fn join(&self, location: &Location) -> Self {
        match self {
            Self::File(folder) => Self::File(folder.join(location.as_str())),
            Self::Remote(remote) => {
                let mut url = remote.url.clone();
                if let Ok(mut parts) = url.path_segments_mut() {
                    parts.pop_if_empty().extend(location.as_str().split('/'));
                }
                Self::Remote(Remote { scheme: remote.scheme, url })
            }
        }
    }

    /// The server: `http://host:port`. None for a local one.
    pub(crate) fn server(&self) -> Option<String> {
        match self {
            Self::File(_) => None,
            Self::Remote(remote) => Some(remote.server()),
        }
    }
}

impl Remote {
    pub(crate) fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    pub(crate) fn server(&self) -> String {
        let port = self.url.port_or_known_default().map(|port| format!(":{port}")).unwrap_or_default();
        format!("{}://{}{port}", self.url.scheme(), self.host())
    }

    /// The path with its percent-encoding resolved.
    pub(crate) fn path(&self) -> String {
        decoded(self.url.path())
    }
}

impl Pattern {
    /// Whether a location below the base is meant.
    pub(crate) fn matches(&self, location: &Location) -> bool {
        let parts: Vec<_> = location.as_str().split('/').collect();
        parts.len() == self.0.len() && self.0.iter().zip(parts).all(|(pattern, part)| part_matches(pattern, part))
    }
}

/// Whether a name matches a pattern of one folder level.
fn part_matches(pattern: &str, name: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(mut rest) = pieces.next().and_then(|first| name.strip_prefix(first)) else { return false };
    let Some(last) = pieces.next_back() else { return rest.is_empty() };
    for piece in pieces {
        // The earliest place leaves the most for what follows.
        let Some((_, behind)) = rest.split_once(piece) else { return false };
        rest = behind;
    }
    rest.ends_with(last)
}

fn split_pattern(mirror: &str) -> (&str, Option<Pattern>) {
    let Some(star) = mirror.find('*') else { return (mirror, None) };
    let (before, _) = mirror.split_at(star);
    let start = before.rfind('/').map_or(0, |slash| slash + 1);
    let (root, pattern) = mirror.split_at(start);
    (root, Some(Pattern(pattern.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect())))
}

fn decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// The beginning of a text that somebody else wrote; no password that stands in a URL.
pub(crate) fn shown(mirror: &str) -> String {
    let hidden = Url::parse(mirror).ok().filter(|url| url.password().is_some() || !url.username().is_empty());
    let text = hidden.map_or_else(|| mirror.to_owned(), |url| without_password(&url).to_string());
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

impl fmt::Display for Place {
    /// Without a password that stands in the URL.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Remote(remote) => remote.fmt(f),
        }
    }
}

impl fmt::Display for Remote {
    /// Without a password that stands in the URL.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        without_password(&self.url).fmt(f)
    }
}

impl fmt::Display for Base {
    /// Without a password that stands in the URL.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.root.fmt(f)?;
        self.pattern.as_ref().map_or(Ok(()), |pattern| f.write_str(&pattern.0.join("/")))
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
    fn bases_are_folders_or_servers() {
        for (mirror, valid) in [
            ("/srv/x", true),
            ("https://h/x", true),
            ("http://h/x?y", false),
            ("srv/x", false),
            ("ftp://h/x", true),
            ("ftps://h:2121/x", true),
            ("rsync://h/x", true),
            ("rsync+ssh://me@h:2222/srv/x", true),
            ("rsync://-oProxyCommand=x/y", false),
            ("rsync+ssh://-oProxyCommand=x@h/y", false),
            ("ftp://h/a%0d%0aDELE x", false),
            ("ftp://h/a/%2e%2e/b", true), // resolved by the URL's own rules
            ("rsync:///x", false),
            ("gopher://h/x", false),
            ("", false),
        ] {
            assert_eq!(Base::parse(mirror).is_ok(), valid, "mirror: {mirror}");
        }
        for (mirror, want) in [
            ("http://me:secret@h/x", "http://h/x"),
            ("rsync+ssh://me@h:2222/srv/x", "rsync+ssh://h:2222/srv/x"),
            ("ftp://me:secret@h/x", "ftp://h/x"),
        ] {
            assert_eq!(Base::parse(mirror).unwrap().to_string(), want);
        }
        assert!(!shown("gopher://me:secret@h/x").contains("secret"));
    }

    #[test]
    fn a_pattern_begins_at_the_first_part_with_a_star() {
        let base = Base::parse("rsync://h/module/40/Packages/*/*.rpm").unwrap();
        assert_eq!(base.root().to_string(), "rsync://h/module/40/Packages/");
        assert_eq!(base.to_string(), "rsync://h/module/40/Packages/*/*.rpm");
        let matches = |text: &str| base.pattern().unwrap().matches(&Location::parse(text).unwrap());
        for (location, want) in
            [("a/a-1.rpm", true), ("b/.rpm", true), ("a-1.rpm", false), ("a/b/c.rpm", false), ("a/a-1.rpm.sig", false)]
        {
            assert_eq!(matches(location), want, "location: {location}");
        }
        for (pattern, name, want) in [
            ("a*b*c", "abc", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "ac", false),
            ("*", "", true),
            ("a*a", "a", false),
            ("plain", "plain", true),
            ("plain", "plainer", false),
        ] {
            assert_eq!(part_matches(pattern, name), want, "{pattern} {name}");
        }
        assert_eq!(Base::parse("/srv/x/*.deb").unwrap().root(), &Place::File("/srv/x/".into()));
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

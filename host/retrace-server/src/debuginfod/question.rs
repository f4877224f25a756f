//! What a client asks for: the path of its request.

use percent_encoding::percent_decode_str;
use retrace_types::{BuildId, Role};

/// Longest name of a source file or section; `PATH_MAX` of Linux.
const MAX_NAME_BYTES: usize = 4096;

/// A question that is well-formed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Question {
    pub(super) build_id: BuildId,
    pub(super) wanted: Wanted,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Wanted {
    File(Role),
    /// Absolute path as the debug information has it, without dot segments.
    Source(String),
    /// Name of a section.
    Section(String),
}

/// Why a path is no question; the text is for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Invalid {
    BuildId,
    Kind,
    Name,
}

impl Invalid {
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::BuildId => "the build-id is invalid: want 6 to 128 hex digits, an even number of them",
            Self::Kind => "want /buildid/ID/debuginfo, /executable, /source/PATH or /section/NAME",
            Self::Name => "the name is invalid: want UTF-8 without NUL, at most 4096 bytes, percent-encoded",
        }
    }
}

impl Question {
    /// Reads `/buildid/<id>/…` as it came: percent-encoded, with dot segments where the debug information has them.
    pub(super) fn parse(path: &str) -> Result<Self, Invalid> {
        let rest = path.strip_prefix("/buildid/").ok_or(Invalid::Kind)?;
        let (build_id, rest) = rest.split_once('/').ok_or(Invalid::Kind)?;
        let build_id = build_id.parse().map_err(|_| Invalid::BuildId)?;
        let wanted = match rest.split_once('/') {
            None if rest == "debuginfo" => Wanted::File(Role::Debuginfo),
            None if rest == "executable" => Wanted::File(Role::Executable),
            Some(("source", path)) => Wanted::Source(without_dots(&decode(path)?)),
            Some(("section", name)) => Wanted::Section(decode(name)?),
            _ => return Err(Invalid::Kind),
        };
        Ok(Self { build_id, wanted })
    }

    /// Of the metrics.
    pub(super) fn kind(&self) -> &'static str {
        match self.wanted {
            Wanted::File(Role::Debuginfo) => "debuginfo",
            Wanted::File(Role::Executable) => "executable",
            Wanted::Source(_) => "source",
            Wanted::Section(_) => "section",
        }
    }

    pub(super) fn section(&self) -> Option<&str> {
        match &self.wanted {
            Wanted::Section(name) => Some(name),
            Wanted::File(_) | Wanted::Source(_) => None,
        }
    }

    /// The path of this question on another server; the name, decoded, is the second part.
    pub(super) fn tail(&self) -> (String, Option<&str>) {
        let (kind, name) = match &self.wanted {
            Wanted::File(_) => (self.kind(), None),
            Wanted::Source(path) => ("source", Some(path.trim_start_matches('/'))),
            Wanted::Section(name) => ("section", Some(name.as_str())),
        };
        (format!("buildid/{}/{kind}", self.build_id), name)
    }
}

fn decode(name: &str) -> Result<String, Invalid> {
    let decoded = percent_decode_str(name).decode_utf8().map_err(|_| Invalid::Name)?;
    let fits = !decoded.is_empty() && decoded.len() <= MAX_NAME_BYTES && !decoded.contains('\0');
    if fits { Ok(decoded.into_owned()) } else { Err(Invalid::Name) }
}

/// RFC 3986, 5.2.4, with several slashes as one: what debuginfod does to paths.
fn without_dots(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            segment => segments.push(segment),
        }
    }
    format!("/{}", segments.join("/"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "8713b9c3fb8a720137a4a08b325905c7aaf8429d";

    #[test]
    fn questions_are_read_as_clients_send_them() {
        let source = |path: &str| Ok(Wanted::Source(path.to_owned()));
        let cases = [
            ("debuginfo", Ok(Wanted::File(Role::Debuginfo))),
            ("executable", Ok(Wanted::File(Role::Executable))),
            ("section/.gdb_index", Ok(Wanted::Section(".gdb_index".to_owned()))),
            ("source/usr/include/stdio.h", source("/usr/include/stdio.h")),
            ("source//usr//include/./stdio.h", source("/usr/include/stdio.h")),
            ("source/zoo//../bar/foo.c", source("/bar/foo.c")),
            ("source/zoo/%2e%2e/bar/a%20b%2B%2b.c", source("/bar/a b++.c")),
            ("source/../../../etc/passwd", source("/etc/passwd")),
            ("source/a%2fb", source("/a/b")),
            ("source/%00", Err(Invalid::Name)),
            ("source/%ff", Err(Invalid::Name)),
            ("source/", Err(Invalid::Name)),
            ("source", Err(Invalid::Kind)),
            ("section/", Err(Invalid::Name)),
            ("debuginfo/", Err(Invalid::Kind)),
            ("debuginfo/x", Err(Invalid::Kind)),
            ("", Err(Invalid::Kind)),
        ];
        for (path, want) in cases {
            let got = Question::parse(&format!("/buildid/{ID}/{path}")).map(|question| question.wanted);
            assert_eq!(got, want, "input: {path}");
        }
        let long = format!("/buildid/{ID}/source/{}", "a".repeat(5000));
        assert_eq!(Question::parse(&long), Err(Invalid::Name));
    }

    #[test]
    fn build_ids_that_are_none_are_refused() {
        for id in ["", "..", "abc", "abcd", "xyzxyz", "%61bcdef", &"ab".repeat(65), "ab cd ef"] {
            let parsed = Question::parse(&format!("/buildid/{id}/debuginfo"));
            assert_eq!(parsed, Err(Invalid::BuildId), "input: {id:?}");
        }
        assert_eq!(Question::parse("/buildid/ABCDEF/debuginfo").unwrap().build_id.as_str(), "abcdef");
        assert_eq!(Question::parse("/buildid/abcdef"), Err(Invalid::Kind));
    }

    proptest! {
        #[test]
        fn a_source_path_never_has_dots_left(path in "[a./%2e]{0,40}") {
            if let Ok(Question { wanted: Wanted::Source(path), .. }) = Question::parse(&format!("/buildid/{ID}/source/{path}")) {
                prop_assert!(path.starts_with('/'));
                prop_assert!(!path.split('/').any(|segment| segment == "." || segment == ".."), "{path}");
            }
        }
    }
}

//! What a client says of a crash besides the core.
//!
//! As parameters of the query: `curl -T core 'http://…/tasks?package=bash-5.2'` is then all it takes, with any tool, while the
//! body is the core alone and can be streamed, cut and continued.

use std::{fs, io, path::Path};

use axum::http::{HeaderMap, header};
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use super::document::Kind;
use crate::{
    api::{ApiResult, Problem, ProblemKind},
    archive::Format,
};

/// Longest os-release text, in bytes; what a worker reads of it.
const MAX_OS_RELEASE_BYTES: usize = 4096;
const MAX_PACKAGE_BYTES: usize = 256;
const MAX_EXECUTABLE_BYTES: usize = 4096;

/// Media types of a bare core. What it is compressed with is seen from its first bytes.
const CORE_TYPES: [&str; 6] = [
    "application/octet-stream",
    "application/x-coredump",
    "application/gzip",
    "application/x-xz",
    "application/zstd",
    "application/x-zstd",
];

/// The first bytes of what a worker can open: ELF, gzip, xz, zstd, lz4, bzip2.
const MAGICS: [&[u8]; 6] = [b"\x7fELF", b"\x1f\x8b", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18", b"BZh"];

/// Enough of a core to know it.
pub(crate) const MAGIC_BYTES: usize = 8;

/// What is said of a crash. Where an archive tells the same, the archive counts.
#[derive(Clone, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Metadata {
    /// What the task is asked to do; `coredump` where it is absent.
    #[param(inline)]
    pub(crate) kind: Option<Kind>,
    /// The text of the file `os-release` of the machine that crashed, or its name and version: `Fedora release 40 (Forty)`.
    os_release: Option<String>,
    /// The crashed package: `bash-5.2.26-3.fc40`.
    package: Option<String>,
    /// Path of the crashed program.
    executable: Option<String>,
    /// A higher number comes first, -100 to 100; needs the role `operate`.
    #[param(minimum = -100, maximum = 100)]
    pub(crate) priority: Option<i32>,
}

/// What the body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Content {
    /// Which archive, by its media type: the name is kept with an upload in parts.
    Archive(ArchiveType),
    Core,
}

/// An archive type, as it is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ArchiveType(pub(crate) Format);

impl Serialize for ArchiveType {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.content_type())
    }
}

impl<'de> Deserialize<'de> for ArchiveType {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let found = Format::ALL.into_iter().find(|format| format.content_type() == name);
        found.map(Self).ok_or_else(|| serde::de::Error::custom("unknown archive type"))
    }
}

impl Metadata {
    /// # Errors
    /// A text is too long, or no line of text; the priority is out of range.
    pub(crate) fn check(&self) -> ApiResult<()> {
        for (name, text, max_bytes, lines) in [
            ("os_release", &self.os_release, MAX_OS_RELEASE_BYTES, true),
            ("package", &self.package, MAX_PACKAGE_BYTES, false),
            ("executable", &self.executable, MAX_EXECUTABLE_BYTES, false),
        ] {
            let Some(text) = text else { continue };
            if text.len() > max_bytes {
                return Err(Problem::invalid(format!("{name}: at most {max_bytes} bytes")));
            }
            if text.chars().any(|c| c.is_control() && !(lines && matches!(c, '\n' | '\r' | '\t'))) {
                return Err(Problem::invalid(format!("{name}: control characters are not allowed")));
            }
        }
        let priority = self.priority.unwrap_or_default();
        if !retrace_store::PRIORITIES.contains(&priority) {
            return Err(Problem::invalid("priority: want a number from -100 to 100"));
        }
        Ok(())
    }

    /// Writes what the archive did not bring into the folder of the input. Blocking.
    pub(crate) fn write(&self, dir: &Path) -> io::Result<()> {
        for (name, text) in
            [("os_release", &self.os_release), ("package", &self.package), ("executable", &self.executable)]
        {
            let Some(text) = text else { continue };
            let path = dir.join(name);
            let is_told = path.exists() || (name == "os_release" && dir.join("os_release_in_rootdir").exists());
            if !is_told {
                fs::write(&path, text)?;
                fs::File::open(&path)?.sync_all()?;
            }
        }
        Ok(())
    }

    /// Name of the file that holds the core.
    pub(crate) fn core_name(&self) -> &'static str {
        if self.kind == Some(Kind::Vmcore) { "vmcore" } else { "coredump" }
    }
}

impl Content {
    /// By the headers. Without a type it is a core, as `curl -T` sends it.
    pub(crate) fn of(headers: &HeaderMap) -> ApiResult<Self> {
        let refused = |what: &str| Problem::new(ProblemKind::UnsupportedMediaType, what);
        if headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
            return Err(refused("Content-Encoding is not taken: send a compressed core as it is"));
        }
        let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(Self::Core) };
        let essence = value.to_str().ok().and_then(|value| value.split(';').next()).unwrap_or_default().trim();
        if let Some(format) = Format::ALL.into_iter().find(|format| format.content_type().eq_ignore_ascii_case(essence))
        {
            return Ok(Self::Archive(ArchiveType(format)));
        }
        if CORE_TYPES.iter().any(|known| known.eq_ignore_ascii_case(essence)) {
            return Ok(Self::Core);
        }
        Err(refused(
            "Content-Type: want one of the archive types that /api/v1 lists, or application/octet-stream for a bare core",
        ))
    }
}

/// # Errors
/// What begins like this is neither a core nor compressed.
pub(crate) fn check_core(first_bytes: &[u8]) -> ApiResult<()> {
    if MAGICS.iter().any(|magic| first_bytes.starts_with(magic)) {
        return Ok(());
    }
    Err(Problem::new(
        ProblemKind::UnsupportedMediaType,
        "this is no core: want an ELF file, plain or compressed with gzip, xz, zstd, lz4 or bzip2; archives are named by \
         Content-Type",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_bounded_and_printable() {
        let with = |package: &str| Metadata { package: Some(package.to_owned()), ..Metadata::default() };
        assert!(with("bash-5.2").check().is_ok());
        for wrong in ["a\nb", "a\0", &"x".repeat(300)] {
            assert!(with(wrong).check().is_err(), "{wrong:?}");
        }
        let os_release = Some("ID=fedora\nVERSION_ID=40\n".to_owned());
        assert!(Metadata { os_release, ..Metadata::default() }.check().is_ok());
        assert!(Metadata { priority: Some(101), ..Metadata::default() }.check().is_err());
    }

    #[test]
    fn what_the_archive_brought_counts() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("package"), "from-the-archive").unwrap();
        let both = Metadata {
            package: Some("other".to_owned()),
            executable: Some("/bin/x".to_owned()),
            ..Metadata::default()
        };
        both.write(dir.path()).unwrap();
        assert_eq!(fs::read_to_string(dir.path().join("package")).unwrap(), "from-the-archive");
        assert_eq!(fs::read_to_string(dir.path().join("executable")).unwrap(), "/bin/x");
    }
}

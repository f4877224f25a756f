//! Everything that the header of an .rpm says and repository metadata repeats.

use std::path::Path;

use retrace_types::{PackageFormat, PackageId};

use crate::{
    Limits, PackageError,
    archive::NameBudget,
    error::Fault,
    header::open,
    rpm,
    rpm_header::{FileTable, HeaderBlob, Headers, tag},
};

/// What rpm-md metadata tells of a package, taken from the package itself. Texts are as the header has them, with what is
/// no UTF-8 replaced: they may hold control characters and whatever else a hostile package puts there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RpmFacts {
    /// Name.
    pub name: String,
    /// Epoch; none is as 0.
    pub epoch: Option<u32>,
    /// Version.
    pub version: String,
    /// Release.
    pub release: String,
    /// Architecture; `src` for source packages.
    pub arch: String,
    /// One line.
    pub summary: String,
    /// Several lines.
    pub description: String,
    /// Who packaged it.
    pub packager: String,
    /// Home page.
    pub url: String,
    /// Licence.
    pub license: String,
    /// Vendor.
    pub vendor: String,
    /// Group.
    pub group: String,
    /// Machine that built it.
    pub build_host: String,
    /// File name of the source package.
    pub source_rpm: String,
    /// When it was built, seconds since 1970.
    pub build_time: u64,
    /// Sum of its files' sizes.
    pub installed_bytes: u64,
    /// Size of the payload after decompression.
    pub archive_bytes: u64,
    /// First byte of the header in the file, and the byte behind its end.
    pub header_range: (u64, u64),
    /// What it provides.
    pub provides: Vec<Dependency>,
    /// What it requires, `rpmlib(…)` aside.
    pub requires: Vec<Dependency>,
    /// What it conflicts with.
    pub conflicts: Vec<Dependency>,
    /// What it replaces.
    pub obsoletes: Vec<Dependency>,
    /// What it is better with.
    pub recommends: Vec<Dependency>,
    /// What it may be used with.
    pub suggests: Vec<Dependency>,
    /// What is better with it.
    pub supplements: Vec<Dependency>,
    /// What may be used with it.
    pub enhances: Vec<Dependency>,
    /// Its files and folders, in the header's order.
    pub files: Vec<PackagedFile>,
    /// Its changes, newest first, at most [`MAX_CHANGES`].
    pub changes: Vec<Change>,
}

/// Changes that are read of a package; what repository metadata usually has.
pub const MAX_CHANGES: usize = 10;

/// A capability that a package provides or wants.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Dependency {
    /// Name, or a boolean dependency in parentheses.
    pub name: String,
    /// How versions compare; none if any version will do.
    pub comparison: Option<Comparison>,
    /// `[epoch:]version[-release]`; empty without a comparison.
    pub version: String,
    /// True if it must be there before the package's scripts run.
    pub pre: bool,
}

/// How the version of a dependency is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// Less.
    Less,
    /// Less or equal.
    LessOrEqual,
    /// Equal.
    Equal,
    /// Greater or equal.
    GreaterOrEqual,
    /// Greater.
    Greater,
}

/// A file of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackagedFile {
    /// Absolute path.
    pub path: String,
    /// What it is.
    pub kind: FileKind,
}

/// What a file of a package is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file, a link, a device.
    File,
    /// A folder.
    Folder,
    /// Owned by the package, but not in its payload.
    Ghost,
}

/// An entry of the changelog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Who, usually with address and version.
    pub author: String,
    /// When, in seconds since 1970.
    pub time: u64,
    /// What.
    pub text: String,
}

/// Reads what repository metadata tells of the .rpm at `path`; the payload is not touched. Nothing is verified.
///
/// # Errors
/// [`PackageError::NotAPackage`] also for a .deb; [`PackageError::Malformed`], [`PackageError::UnsafeName`] or
/// [`PackageError::Limit`] with [`Limits::default`].
pub fn read_rpm_facts(path: &Path) -> Result<RpmFacts, PackageError> {
    let limits = Limits::default();
    let (mut file, format) = open(path)?;
    if format != PackageFormat::Rpm {
        return Err(PackageError::NotAPackage { path: path.to_owned() });
    }
    Headers::read(&mut file, &limits).and_then(|headers| facts(&headers, &limits)).map_err(|fault| fault.at(path))
}

fn facts(headers: &Headers, limits: &Limits) -> Result<RpmFacts, Fault> {
    let header = &headers.main;
    let mut texts = Texts { header, budget: NameBudget::new(limits), limits };
    let (PackageId { name, epoch, version, release, arch }, source_rpm) = rpm::identity(header)?;
    let header_end = headers.main_offset.saturating_add(header.bytes.len() as u64);
    let number = |blob: &HeaderBlob, tags: &[u32]| {
        tags.iter().find_map(|tag| blob.integers(*tag).first().copied()).unwrap_or_default()
    };
    Ok(RpmFacts {
        arch: if source_rpm.is_none() { "src".to_owned() } else { arch },
        name,
        epoch,
        version,
        release: release.unwrap_or_default(),
        summary: texts.one(tag::SUMMARY)?,
        description: texts.one(tag::DESCRIPTION)?,
        packager: texts.one(tag::PACKAGER)?,
        url: texts.one(tag::URL)?,
        license: texts.one(tag::LICENSE)?,
        vendor: texts.one(tag::VENDOR)?,
        group: texts.one(tag::GROUP)?,
        build_host: texts.one(tag::BUILD_HOST)?,
        source_rpm: source_rpm.unwrap_or_default(),
        build_time: number(header, &[tag::BUILD_TIME]),
        installed_bytes: number(header, &[tag::LONG_SIZE, tag::SIZE]),
        archive_bytes: Some(number(header, &[tag::LONG_ARCHIVE_SIZE, tag::ARCHIVE_SIZE]))
            .filter(|bytes| *bytes > 0)
            .unwrap_or_else(|| {
                number(&headers.signature, &[tag::signature::LONG_PAYLOAD_SIZE, tag::signature::PAYLOAD_SIZE])
            }),
        header_range: (headers.main_offset, header_end),
        provides: texts.dependencies(tag::PROVIDE_NAME, tag::PROVIDE_FLAGS, tag::PROVIDE_VERSION)?,
        requires: {
            let mut requires = texts.dependencies(tag::REQUIRE_NAME, tag::REQUIRE_FLAGS, tag::REQUIRE_VERSION)?;
            // What rpm itself must be able to do.
            requires.retain(|dependency| !dependency.name.starts_with("rpmlib("));
            requires
        },
        conflicts: texts.dependencies(tag::CONFLICT_NAME, tag::CONFLICT_FLAGS, tag::CONFLICT_VERSION)?,
        obsoletes: texts.dependencies(tag::OBSOLETE_NAME, tag::OBSOLETE_FLAGS, tag::OBSOLETE_VERSION)?,
        recommends: texts.dependencies(tag::RECOMMEND_NAME, tag::RECOMMEND_FLAGS, tag::RECOMMEND_VERSION)?,
        suggests: texts.dependencies(tag::SUGGEST_NAME, tag::SUGGEST_FLAGS, tag::SUGGEST_VERSION)?,
        supplements: texts.dependencies(tag::SUPPLEMENT_NAME, tag::SUPPLEMENT_FLAGS, tag::SUPPLEMENT_VERSION)?,
        enhances: texts.dependencies(tag::ENHANCE_NAME, tag::ENHANCE_FLAGS, tag::ENHANCE_VERSION)?,
        changes: texts.changes()?,
        files: files(header, limits)?,
    })
}

/// Reads texts of a header within one budget: tags may share bytes, so that the header's size bounds nothing.
struct Texts<'a> {
    header: &'a HeaderBlob,
    budget: NameBudget,
    limits: &'a Limits,
}

impl Texts<'_> {
    fn take(&mut self, bytes: &[u8]) -> Result<String, Fault> {
        let text = String::from_utf8_lossy(bytes);
        self.budget.take(&[&text])?;
        Ok(text.into_owned())
    }

    fn one(&mut self, tag: u32) -> Result<String, Fault> {
        let header = self.header;
        let first = header.strings(tag).next().unwrap_or_default();
        self.take(first)
    }

    /// Dependencies without repetitions. Flags and bits: RPM manual, "Dependency tags"; rpm's `rpmds.h`.
    fn dependencies(&mut self, names: u32, flags: u32, versions: u32) -> Result<Vec<Dependency>, Fault> {
        const SENSE_PRE: u64 = 1 << 6 | 1 << 9 | 1 << 10; // prerequisite, pre-install script, post-install script
        let header = self.header;
        let flags = header.integers(flags);
        let mut versions = header.strings(versions);
        let mut seen = std::collections::HashSet::new();
        let mut found = Vec::new();
        for (i, name) in header.strings(names).enumerate() {
            if i as u64 >= self.limits.entries {
                return Err(Fault::Limit { what: "dependencies", limit: self.limits.entries });
            }
            let flags = flags.get(i).copied().unwrap_or_default();
            let comparison = match flags >> 1 & 7 {
                0b001 => Some(Comparison::Less),
                0b101 => Some(Comparison::LessOrEqual),
                0b100 => Some(Comparison::Equal),
                0b110 => Some(Comparison::GreaterOrEqual),
                0b010 => Some(Comparison::Greater),
                _ => None,
            };
            let version = versions.next().unwrap_or_default();
            let comparison = comparison.filter(|_| !version.is_empty());
            let version = if comparison.is_some() { self.take(version)? } else { String::new() };
            let dependency = Dependency { name: self.take(name)?, comparison, version, pre: flags & SENSE_PRE != 0 };
            if !dependency.name.is_empty() && seen.insert(dependency.clone()) {
                found.push(dependency);
            }
        }
        Ok(found)
    }

    fn changes(&mut self) -> Result<Vec<Change>, Fault> {
        let header = self.header;
        let authors = header.strings(tag::CHANGELOG_NAME).zip(header.strings(tag::CHANGELOG_TEXT));
        let mut changes = Vec::new();
        for ((author, text), time) in authors.zip(header.integers(tag::CHANGELOG_TIME)).take(MAX_CHANGES) {
            changes.push(Change { author: self.take(author)?, time, text: self.take(text)? });
        }
        Ok(changes)
    }
}

fn files(header: &HeaderBlob, limits: &Limits) -> Result<Vec<PackagedFile>, Fault> {
    const TYPE_MASK: u16 = 0o170_000;
    const FOLDER: u16 = 0o040_000;
    const GHOST: u64 = 1 << 6;
    let table = FileTable::read(header, limits)?;
    let flags = header.integers(tag::FILE_FLAGS).into_iter().chain(std::iter::repeat(0));
    let files = table.iter().zip(flags).map(|(file, flags)| {
        let kind = match () {
            () if file.mode & TYPE_MASK == FOLDER => FileKind::Folder,
            () if flags & GHOST != 0 => FileKind::Ghost,
            () => FileKind::File,
        };
        PackagedFile { path: file.path.clone(), kind }
    });
    Ok(files.collect())
}

//! `primary.xml`: the packages.

use std::{borrow::Cow, io::BufRead};

use retrace_store::{Members, NewPackage};
use retrace_types::{MemberBuildId, PackageFormat, PackageId, PackageKind, Role};

use crate::{
    MetadataError,
    checksum::Checksum,
    location::Location,
    rpm_md::{
        Index,
        repomd::{number, push},
        xml::{self, Element, Node},
    },
};

/// Most entries that are kept of one package's provides or requires.
const MAX_ENTRIES: usize = 100_000;

/// Reads the packages into an index that is empty yet. Build-ids of debug packages stand in their provides.
pub(crate) fn read_primary(input: impl BufRead, index: &mut Index) -> Result<(), MetadataError> {
    let mut parsed = Parsed::default();
    let mut text = String::new();
    xml::read(input, |node, depth| {
        match node {
            Node::Start(element) => {
                text.clear();
                match depth {
                    1 if element.name() != "metadata" => return Err(MetadataError::Missing("the element metadata")),
                    2 => parsed = Parsed::default(),
                    3 => parsed.start_field(&element)?,
                    4 => parsed.list = List::of(element.name()),
                    5 if element.name() == "entry" => parsed.entry(&element)?,
                    _ => {}
                }
            }
            Node::Text(piece) if depth >= 3 => push(&mut text, &piece)?,
            Node::End(name) => match (depth, name) {
                (3, "name") => parsed.name = Some(text.trim().to_owned()),
                (3, "arch") => parsed.arch = Some(text.trim().to_owned()),
                (3, "checksum") => parsed.checksum = Some(text.trim().to_owned()),
                (4, "sourcerpm") => parsed.source = Some(text.trim().to_owned()),
                (4, _) => parsed.list = List::Other,
                (2, "package") => std::mem::take(&mut parsed).finish(index)?,
                _ => {}
            },
            Node::Text(_) => {}
        }
        Ok(())
    })
}

/// A package on its way.
#[derive(Default)]
struct Parsed {
    name: Option<String>,
    arch: Option<String>,
    version: Option<(Option<u32>, String, String)>,
    checksum_kind: String,
    checksum: Option<String>,
    size: Option<u64>,
    location: Option<String>,
    source: Option<String>,
    list: List,
    exact_depends: Vec<(String, String)>,
    build_ids: Members,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum List {
    Provides,
    Requires,
    #[default]
    Other,
}

impl List {
    fn of(name: &str) -> Self {
        match name {
            "provides" => Self::Provides,
            "requires" => Self::Requires,
            _ => Self::Other,
        }
    }
}

impl Parsed {
    fn start_field(&mut self, element: &Element<'_>) -> Result<(), MetadataError> {
        match element.name() {
            "version" => {
                let [epoch, version, release] = element.attributes(["epoch", "ver", "rel"])?;
                let version = version.ok_or(MetadataError::Missing("ver"))?.into_owned();
                let release = release.ok_or(MetadataError::Missing("rel"))?.into_owned();
                self.version = Some((read_epoch(&epoch.unwrap_or_default())?, version, release));
            }
            "checksum" => self.checksum_kind = element.required("type")?.into_owned(),
            "size" => self.size = element.attribute("package")?.map(|text| number(&text)).transpose()?,
            "location" => self.location = element.attribute("href")?.map(Cow::into_owned),
            _ => {}
        }
        Ok(())
    }

    /// `<rpm:entry name="debuginfo(build-id)" flags="EQ" ver="…"/>`.
    fn entry(&mut self, element: &Element<'_>) -> Result<(), MetadataError> {
        if self.list == List::Other {
            return Ok(());
        }
        let [name, flags, epoch, version, release] = element.attributes(["name", "flags", "epoch", "ver", "rel"])?;
        let name = name.ok_or(MetadataError::Missing("name"))?;
        let (Some("EQ"), Some(version)) = (flags.as_deref(), version) else { return Ok(()) };
        if self.build_ids.len() >= MAX_ENTRIES || self.exact_depends.len() >= MAX_ENTRIES {
            return Err(MetadataError::Limit { what: "entries of one package", limit: MAX_ENTRIES as u64 });
        }
        match self.list {
            List::Provides if name == "debuginfo(build-id)" => {
                // A provide that is no build-id harms nobody.
                if let Ok(build_id) = version.parse() {
                    self.build_ids.push(&MemberBuildId { build_id, role: Role::Debuginfo, path: None });
                }
            }
            // `rpmlib(…)`, `config(…)` and the like are no packages; `name(x86-64)` is.
            List::Requires if !name.starts_with("rpmlib(") && !name.starts_with("config(") => {
                let epoch = read_epoch(&epoch.unwrap_or_default())?;
                let name = name.split('(').next().unwrap_or_default().to_owned();
                let (version, release) = (version.into_owned(), release.map(Cow::into_owned));
                let id = PackageId { name, epoch, version, release, arch: String::new() };
                let version = id.full_version();
                self.exact_depends.push((id.name, version));
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(self, index: &mut Index) -> Result<(), MetadataError> {
        let missing = MetadataError::Missing;
        let (epoch, version, release) = self.version.ok_or(missing("version"))?;
        let name = self.name.filter(|name| !name.is_empty()).ok_or(missing("name"))?;
        let arch = self.arch.ok_or(missing("arch"))?;
        let checksum_text = self.checksum.ok_or(missing("checksum"))?;
        let checksum = Checksum::parse(&self.checksum_kind, &checksum_text)?;
        let location = self.location.ok_or(missing("location"))?;
        let location = Location::parse(&location)
            .map_err(|_| MetadataError::Invalid { what: "location", value: location.chars().take(200).collect() })?;

        index.budget.package()?;
        for text in [&name, &version, &release, &arch, &checksum_text].into_iter().chain(&self.source) {
            index.budget.text(text)?;
        }
        index.budget.text(location.as_str())?;
        for (name, version) in &self.exact_depends {
            index.budget.text(name)?;
            index.budget.text(version)?;
        }
        for member in self.build_ids.iter() {
            index.budget.text(member.build_id.as_str())?;
        }
        let kind = kind_of(&name, &arch);
        // Until the file lists say that the package has files which a process can map.
        let complete = matches!(kind, PackageKind::Source | PackageKind::DebugSource) || arch == "noarch";
        index.positions.insert(checksum_text, index.packages.len());
        index.packages.push(NewPackage {
            id: PackageId { name, epoch, version, release: Some(release), arch },
            kind,
            format: PackageFormat::Rpm,
            location: location.as_str().to_owned(),
            size_bytes: self.size,
            sha256: checksum.sha256(),
            source: self.source.filter(|source| !source.is_empty()),
            exact_depends: self.exact_depends,
            complete: complete || !self.build_ids.is_empty(),
            build_ids: self.build_ids,
        });
        Ok(())
    }
}

/// What rpmbuild's `%debug_package` and `-debugsource` subpackages are called.
fn kind_of(name: &str, arch: &str) -> PackageKind {
    match () {
        () if arch == "src" || arch == "nosrc" => PackageKind::Source,
        () if name.ends_with("-debuginfo") || name.contains("-debuginfo-") => PackageKind::DebugInfo,
        () if name.ends_with("-debugsource") => PackageKind::DebugSource,
        () => PackageKind::Binary,
    }
}

/// An epoch of 0 and none are the same to rpm; the metadata always writes one.
fn read_epoch(text: &str) -> Result<Option<u32>, MetadataError> {
    if text.is_empty() {
        return Ok(None);
    }
    let epoch =
        text.parse().map_err(|_| MetadataError::Invalid { what: "epoch", value: text.chars().take(40).collect() })?;
    Ok(Some(epoch).filter(|epoch| *epoch != 0))
}

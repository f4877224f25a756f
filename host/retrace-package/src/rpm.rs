//! What the header of an RPM package says.

use retrace_types::{PackageFormat, PackageId, PackageKind};

use crate::{
    Limits,
    build_ids::build_id_of_path,
    error::Fault,
    header::Header,
    rpm_header::{FileTable, HeaderBlob, Headers, tag},
};

/// Bits of `REQUIREFLAGS`: less, greater, equal. Source: RPM manual, "Dependency tags".
const COMPARE_MASK: u64 = 0x0e;
const EQUAL: u64 = 0x08;

pub(crate) fn header(headers: &Headers, limits: &Limits) -> Result<Header, Fault> {
    let main = &headers.main;
    let (id, source) = identity(main)?;
    // Only source packages have no SOURCERPM.
    let kind = match () {
        () if source.is_none() => PackageKind::Source,
        () if id.name.ends_with("-debuginfo") => PackageKind::DebugInfo,
        () if id.name.ends_with("-debugsource") => PackageKind::DebugSource,
        () => PackageKind::Binary,
    };
    let files: Vec<String> = FileTable::read(main, limits)?.iter().map(|file| file.path.clone()).collect();
    Ok(Header {
        format: PackageFormat::Rpm,
        build_ids: files.iter().filter_map(|path| build_id_of_path(path)).collect(),
        exact_depends: exact_depends(main),
        files: Some(files),
        id,
        kind,
        source,
    })
}

/// Name, version and architecture, and the file name of the source package.
pub(crate) fn identity(main: &HeaderBlob) -> Result<(PackageId, Option<String>), Fault> {
    let text = |tag, what: &str| {
        let text = main.string(tag).filter(|text| !text.is_empty());
        text.map(str::to_owned).ok_or_else(|| Fault::malformed(format!("its header has no {what}")))
    };
    let id = PackageId {
        name: text(tag::NAME, "name")?,
        epoch: main.integers(tag::EPOCH).first().and_then(|epoch| u32::try_from(*epoch).ok()),
        version: text(tag::VERSION, "version")?,
        release: Some(text(tag::RELEASE, "release")?),
        arch: main.string(tag::ARCH).unwrap_or("noarch").to_owned(),
    };
    let source = main.string(tag::SOURCE_RPM).filter(|name| !name.is_empty()).map(str::to_owned);
    Ok((id, source))
}

/// Requirements of the form `name = version`; `name(x86-64)` is `name`.
fn exact_depends(header: &HeaderBlob) -> Vec<(String, String)> {
    let flags = header.integers(tag::REQUIRE_FLAGS);
    let text = |bytes| std::str::from_utf8(bytes).ok();
    let names = header.strings(tag::REQUIRE_NAME).zip(header.strings(tag::REQUIRE_VERSION)).zip(flags);
    let exact = names.filter(|(_, flags)| flags & COMPARE_MASK == EQUAL).filter_map(|((name, version), _)| {
        let name = text(name)?;
        let name = name
            .strip_suffix("-64)")
            .or(name.strip_suffix("-32)"))
            .map_or(name, |start| start.rsplit_once('(').map_or(name, |(name, _)| name));
        // rpmlib(...) and config(...) name no package.
        (!name.is_empty() && !name.ends_with(')')).then(|| Some((name.to_owned(), text(version)?.to_owned())))?
    });
    exact.collect()
}

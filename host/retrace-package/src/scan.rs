use retrace_types::{BuildId, MemberBuildId, Role};

use crate::{
    Limits, PackageError, VerifiedPackage,
    archive::{Archive, Entry, Kind, NameBudget},
    elf::{Elf, Growing},
    error::Fault,
    payload::Payload,
};

/// Smallest ELF file: a 32-bit header.
const SMALLEST_ELF_BYTES: u64 = 52;

/// The build-ids of all members, from their ELF notes. Streams the payload once and writes nothing to disk.
///
/// Members without a build-id are left out. A build-id that several members carry comes once for each, but files that
/// are links of each other come once.
///
/// # Errors
/// Any of a damaged, hostile or too large package.
pub fn scan_build_ids(package: &VerifiedPackage, limits: &Limits) -> Result<Vec<MemberBuildId>, PackageError> {
    let scan = |mut archive: Archive<'_>| {
        let mut found = Vec::new();
        let mut budget = NameBudget::new(limits);
        while let Some(entry) = archive.next()? {
            let Some((build_id, role)) = identify(&entry, &mut archive, limits)?.found else { continue };
            budget.take(&[&entry.path, build_id.as_str()])?;
            found.push(MemberBuildId { build_id, role, path: Some(entry.path) });
        }
        Ok(found)
    };
    scan(Payload::open(package, limits)?.archive).map_err(|fault: Fault| fault.at(package.path()))
}

/// What [`identify`] found out about a member.
#[derive(Default)]
pub(crate) struct Identity {
    /// Build-id and role, if it is an ELF file that has one.
    pub(crate) found: Option<(BuildId, Role)>,
    /// The bytes that had to be read of it.
    pub(crate) read: Vec<u8>,
}

/// Looks for the build-id of the present member.
pub(crate) fn identify(entry: &Entry, archive: &mut Archive<'_>, limits: &Limits) -> Result<Identity, Fault> {
    if !matches!(entry.kind, Kind::File { .. }) || entry.size < SMALLEST_ELF_BYTES {
        return Ok(Identity::default());
    }
    let mut bytes = Growing::new(archive, limits.elf_buffer_bytes);
    let mut found = None;
    if let Some(elf) = Elf::parse(&mut bytes)?
        && let Some(build_id) = elf.build_id(&mut bytes)?
    {
        found = Some((build_id, elf.role(&entry.path, &mut bytes)?));
    }
    Ok(Identity { found, read: bytes.into_read() })
}

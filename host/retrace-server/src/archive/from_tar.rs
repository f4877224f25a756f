//! Members of a tar archive.

use std::{
    io::{self, Read, Write as _},
    path::Path,
};

use tar::{Archive, EntryType, PaxExtensions};

use super::{
    ArchiveError, MIB,
    members::{BLOCK_BYTES, Members, SparseFile, finish, member_error},
    printable,
};

/// Largest pax header that is read; those that are harmless have some hundred bytes.
const MAX_PAX_BYTES: u64 = 64 * 1024;

pub(super) fn unpack(reader: impl Read, members: &mut Members<'_>) -> Result<(), ArchiveError> {
    // Headers and padding come on top of the members; whatever the archive claims, no more than this is decompressed.
    let mut archive = Archive::new(reader.take(members.left().saturating_add(MIB)));
    // Raw: the library would read headers of any length into memory, to apply what they say.
    let entries = archive.entries().map_err(ArchiveError::Damaged)?.raw(true);
    for entry in entries {
        let mut entry = entry.map_err(|error| damaged_or_cut(error, members))?;
        members.count()?;
        let path = entry.path_bytes().into_owned();
        match entry.header().entry_type() {
            EntryType::Directory if is_root(&path) => continue,
            EntryType::XHeader | EntryType::XGlobalHeader => {
                check_pax_header(&mut entry)?;
                continue;
            }
            EntryType::GNULongName => return Err(ArchiveError::NotAllowed("a long name".to_owned())),
            EntryType::GNUSparse => return Err(ArchiveError::Unsupported("sparse files".to_owned())),
            EntryType::Regular | EntryType::Continuous => {}
            _ => return Err(ArchiveError::NotAFile(printable(&path))),
        }
        let size = entry.size();
        let target = members.admit(&path, size)?;
        write(&mut entry, &target, size).map_err(|error| member_error(error, &path))?;
    }
    // Behind the last member: a stream that was cut, or whose checksum is wrong, says so only at its end.
    let mut rest = archive.into_inner();
    io::copy(&mut rest, &mut io::sink()).map_err(ArchiveError::Damaged)?;
    if rest.limit() == 0 { Err(members.too_large()) } else { Ok(()) }
}

/// `.`, which some programs pack as a folder.
fn is_root(path: &[u8]) -> bool {
    path.iter().all(|byte| matches!(byte, b'.' | b'/'))
}

/// A stream that ends at our own bound is too large, not damaged.
fn damaged_or_cut(error: io::Error, members: &Members<'_>) -> ArchiveError {
    if members.left() == 0 { members.too_large() } else { ArchiveError::Damaged(error) }
}

/// Some programs write times or attributes in pax headers, which nobody needs. Those that would change which bytes are
/// whose are refused, rather than read in another way than the sender meant.
fn check_pax_header(header: &mut impl Read) -> Result<(), ArchiveError> {
    const CHANGING: [&str; 4] = ["path", "linkpath", "size", "GNU.sparse."];
    let mut content = Vec::new();
    header.take(MAX_PAX_BYTES + 1).read_to_end(&mut content).map_err(ArchiveError::Damaged)?;
    if content.len() as u64 > MAX_PAX_BYTES {
        return Err(ArchiveError::Unsupported("a large pax header".to_owned()));
    }
    for record in PaxExtensions::new(&content) {
        let key = record.map_err(ArchiveError::Damaged)?.key_bytes().to_owned();
        if CHANGING.iter().any(|changing| key.starts_with(changing.as_bytes())) {
            return Err(ArchiveError::Unsupported(format!("pax {}", printable(&key))));
        }
    }
    Ok(())
}

fn write(member: &mut impl Read, path: &Path, size: u64) -> io::Result<()> {
    let mut file = SparseFile::create(path)?;
    let mut block = vec![0; BLOCK_BYTES];
    let mut written = 0;
    while written < size {
        let wanted = usize::try_from(size - written).unwrap_or(BLOCK_BYTES).min(BLOCK_BYTES);
        let Some(chunk) = block.get_mut(..wanted) else { break };
        member.read_exact(chunk)?;
        file.write_all(chunk)?;
        written += wanted as u64;
    }
    finish(path, size)
}

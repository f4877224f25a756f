//! Members of a RAR archive, versions 1.5 to 7, of one volume, without a password.

use std::{
    error::Error as _,
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use rars::{ArchiveMemberMeta, ArchiveReadOptions, ArchiveReader, ErrorKind, ExtractionDecision};

use super::{
    ArchiveError, DICTIONARY_BYTES, MIB,
    members::{MAX_MEMBERS, Members, SparseFile, finish, member_error},
    printable,
};

/// How every RAR archive since version 1.5 begins. One behind a program, which unpacks itself, is not taken.
pub(super) const MAGIC: &[u8] = b"Rar!\x1a\x07";

/// Headers of all members together; ours have some hundred bytes each.
const MAX_HEADER_BYTES: u64 = MIB;

/// Larger members are decompressed as they are written.
const MAX_BUFFERED_BYTES: u64 = 16 * MIB;

pub(super) fn unpack(archive: &Path, members: &mut Members<'_>) -> Result<(), ArchiveError> {
    let mut begin = Vec::new();
    let head = File::open(archive).map_err(ArchiveError::Write)?.take(MAGIC.len() as u64).read_to_end(&mut begin);
    head.map_err(ArchiveError::Write)?;
    if begin != MAGIC {
        return Err(ArchiveError::Damaged(io::ErrorKind::InvalidData.into()));
    }
    let options = ArchiveReadOptions::new()
        // The archive's own headers come beside those of its members.
        .with_max_header_count(MAX_MEMBERS as u64 + 16)
        .with_max_header_bytes(MAX_HEADER_BYTES)
        .with_max_total_output_bytes(members.left())
        .with_max_reader_workspace_bytes(2 * DICTIONARY_BYTES)
        .with_rar50_dictionary_size_limit(DICTIONARY_BYTES)
        .with_rar50_buffered_decode_limit(MAX_BUFFERED_BYTES);
    let opened = ArchiveReader::read_path_with_options(archive, options).map_err(|error| failed(error, &[]))?;
    let mut refused = None;
    let mut written: Vec<(PathBuf, u64)> = Vec::new();
    let mut last = Vec::new();
    let done = opened.extract_with_control(options, |member| {
        last.clone_from(&member.meta.name);
        match begin_member(&member.meta, members) {
            Ok((path, file)) => {
                written.push((path, member.meta.unpacked_size));
                Ok(ExtractionDecision::Extract(Box::new(file)))
            }
            Err(error) => {
                refused = Some(error);
                Ok(ExtractionDecision::Stop)
            }
        }
    });
    if let Some(error) = refused {
        return Err(error);
    }
    done.map_err(|error| failed(error, &last))?;
    for (path, size) in written {
        finish(&path, size).map_err(|error| member_error(error, &last))?;
    }
    Ok(())
}

fn begin_member(meta: &ArchiveMemberMeta, members: &mut Members<'_>) -> Result<(PathBuf, SparseFile), ArchiveError> {
    members.count()?;
    if meta.is_directory || meta.is_redirection {
        return Err(ArchiveError::NotAFile(printable(&meta.name)));
    }
    if meta.is_encrypted {
        return Err(ArchiveError::Unsupported("a password".to_owned()));
    }
    if meta.is_split_before || meta.is_split_after {
        return Err(ArchiveError::Unsupported("several volumes".to_owned()));
    }
    let path = members.admit(&meta.name, meta.unpacked_size)?;
    let file = SparseFile::create(&path).map_err(|error| member_error(error, &meta.name))?;
    Ok((path, file))
}

/// What the library's error means for whoever sent the archive.
fn failed(error: rars::Error, member: &[u8]) -> ArchiveError {
    match error.kind() {
        ErrorKind::ResourceLimit => ArchiveError::Unsupported("more members or memory than a task needs".to_owned()),
        ErrorKind::PasswordRequired | ErrorKind::BadPassword => ArchiveError::Unsupported("a password".to_owned()),
        ErrorKind::UnsupportedFeature => ArchiveError::Unsupported("a kind of RAR archive".to_owned()),
        ErrorKind::Io => {
            let kind = error.source().and_then(|source| source.downcast_ref::<io::Error>()).map(io::Error::kind);
            member_error(io::Error::new(kind.unwrap_or(io::ErrorKind::Other), error), member)
        }
        _ => ArchiveError::Damaged(io::Error::new(io::ErrorKind::InvalidData, error)),
    }
}

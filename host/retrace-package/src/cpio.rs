//! The payload of an RPM package: cpio in the `newc` format, or rpm's stripped variant of it for large files.
//!
//! `newc` has 110 bytes of header: the magic `070701` (`070702` with check sums) and thirteen numbers of eight hex
//! digits, then name and data, each padded to four bytes. Source: cpio(5) of libarchive. The stripped variant has the
//! magic `07070X` and one number, the index of the file in the package header, which holds name, mode and size.
//!
//! Of files that are hard links of each other only the last one written carries the data; the others have size 0.

use std::io::{BufRead, Read};

use crate::{
    Limits,
    archive::{Entry, Kind, LinkGroup, exactly},
    error::Fault,
    links::member_path,
    rpm_header::FileTable,
};

const TRAILER: &[u8] = b"TRAILER!!!";

/// File type bits of a mode, and three of their values. Source: inode(7).
const TYPE_MASK: u32 = 0o170_000;
const REGULAR: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;

/// The next member, and how many bytes of padding follow its data; none behind the last one.
pub(crate) fn next(input: &mut dyn BufRead, files: &FileTable, limits: &Limits) -> Result<Option<(Entry, u64)>, Fault> {
    let magic = exactly(input, 6)?;
    match magic.as_slice() {
        b"070701" | b"070702" => newc(input, limits),
        b"07070X" => stripped(input, files, limits),
        _ => Err(Fault::malformed("a member of the payload has no cpio header")),
    }
}

fn newc(input: &mut dyn BufRead, limits: &Limits) -> Result<Option<(Entry, u64)>, Fault> {
    let header = exactly(input, 104)?;
    let mut fields = [0u32; 13];
    for (field, digits) in fields.iter_mut().zip(header.chunks_exact(8)) {
        *field = hex(digits)?;
    }
    let [inode, mode, _, _, link_count, _, size, device_major, device_minor, _, _, name_size, _] = fields;
    let name_size = u64::from(name_size);
    if name_size == 0 || name_size > limits.path_bytes as u64 + 3 {
        return Err(Fault::Limit { what: "a path with bytes", limit: limits.path_bytes as u64 });
    }
    let mut name = exactly(input, name_size)?;
    if name.pop() != Some(0) {
        return Err(Fault::malformed("a name in the payload does not end in a NUL byte"));
    }
    skip_padding(input, 110 + name_size)?;
    if name == TRAILER {
        return Ok(None);
    }
    let size = u64::from(size);
    let device = u64::from(device_major) << 32 | u64::from(device_minor);
    let group = (link_count > 1).then_some(LinkGroup { device, inode: u64::from(inode) });
    entry(input, member_path(&name, limits)?, mode, size, group, limits).map(Some)
}

fn stripped(input: &mut dyn BufRead, files: &FileTable, limits: &Limits) -> Result<Option<(Entry, u64)>, Fault> {
    let index = hex(&exactly(input, 8)?)?;
    skip_padding(input, 14)?;
    let file = usize::try_from(index)
        .ok()
        .and_then(|index| files.get(index))
        .ok_or_else(|| Fault::malformed(format!("the payload names file {index}, which the header does not have")))?;
    entry(input, file.path.clone(), u32::from(file.mode), file.stored_size, file.group, limits).map(Some)
}

fn entry(
    input: &mut dyn BufRead,
    path: String,
    mode: u32,
    size: u64,
    group: Option<LinkGroup>,
    limits: &Limits,
) -> Result<(Entry, u64), Fault> {
    let padding = size.next_multiple_of(4) - size;
    match mode & TYPE_MASK {
        REGULAR => Ok((Entry { path, kind: Kind::File { group }, size }, padding)),
        SYMLINK => {
            if size > limits.path_bytes as u64 {
                return Err(Fault::Limit { what: "a link target with bytes", limit: limits.path_bytes as u64 });
            }
            let target = exactly(input, size)?;
            skip_padding(input, size)?;
            let target = String::from_utf8_lossy(&target).into_owned();
            Ok((Entry { path, kind: Kind::Symlink(target), size: 0 }, 0))
        }
        _ => Ok((Entry { path, kind: Kind::Other, size }, padding)),
    }
}

/// Reads the padding behind `length` bytes.
fn skip_padding(input: &mut dyn BufRead, length: u64) -> Result<(), Fault> {
    exactly(&mut input.take(3), length.next_multiple_of(4) - length).map(drop)
}

fn hex(digits: &[u8]) -> Result<u32, Fault> {
    let all_hex = digits.iter().all(u8::is_ascii_hexdigit);
    let text = std::str::from_utf8(digits).ok().filter(|_| all_hex);
    text.and_then(|text| u32::from_str_radix(text, 16).ok())
        .ok_or_else(|| Fault::malformed("a number in a cpio header is no hexadecimal"))
}

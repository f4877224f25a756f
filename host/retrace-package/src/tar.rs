//! The archives inside a .deb: tar as POSIX.1-1988 (ustar) has it, with GNU's long names and pax records.
//!
//! Source: tar(5) of libarchive, deb(5). Blocks have 512 bytes; a header block holds the name at 0, the size at 124,
//! the check sum at 148, the type at 156, the link's target at 157, the magic at 257 and the name's start at 345.

use std::io::BufRead;

use crate::{
    Limits,
    archive::{Entry, Kind, exactly},
    error::Fault,
    links::{absolute_path, member_path},
};

const BLOCK: u64 = 512;
/// Bytes of pax records before one member that are read.
const MAX_PAX_BYTES: u64 = 64 << 10;
/// Records with long names that may stand before one member.
const MAX_EXTENSIONS: usize = 16;

/// The next member, and how many bytes of padding follow its data; none behind the last one.
pub(crate) fn next(input: &mut dyn BufRead, limits: &Limits) -> Result<Option<(Entry, u64)>, Fault> {
    let mut long = Extensions::default();
    for _ in 0..MAX_EXTENSIONS {
        let block = exactly(input, BLOCK)?;
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        check_sum(&block)?;
        let size = number(field(&block, 124, 12))?;
        match field(&block, 156, 1) {
            b"L" => long.name = Some(extension(input, size, limits.path_bytes as u64 + 1)?),
            b"K" => long.target = Some(extension(input, size, limits.path_bytes as u64 + 1)?),
            b"x" => long.read_pax(&extension(input, size, MAX_PAX_BYTES)?)?,
            b"g" => drop(extension(input, size, MAX_PAX_BYTES)?),
            kind => return member(&block, kind, long, size, limits).map(Some),
        }
    }
    Err(Fault::Limit { what: "long name records before one member", limit: MAX_EXTENSIONS as u64 })
}

/// Name, target and size that do not fit into a header block.
#[derive(Default)]
struct Extensions {
    name: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
    size: Option<u64>,
}

impl Extensions {
    /// Reads records of the form `length key=value\n`.
    fn read_pax(&mut self, mut records: &[u8]) -> Result<(), Fault> {
        let bad = || Fault::malformed("a pax record in the archive is damaged");
        while !records.is_empty() {
            let space = records.iter().position(|byte| *byte == b' ').ok_or_else(bad)?;
            let digits = records.get(..space).and_then(|digits| std::str::from_utf8(digits).ok()).ok_or_else(bad)?;
            let length: usize = digits.parse().map_err(|_| bad())?;
            let record = records.get(space + 1..length).ok_or_else(bad)?;
            let record = record.strip_suffix(b"\n").ok_or_else(bad)?;
            let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(bad)?;
            let (key, value) = record.split_at(equals);
            let value = value.get(1..).unwrap_or_default();
            match key {
                b"path" => self.name = Some(value.to_vec()),
                b"linkpath" => self.target = Some(value.to_vec()),
                b"size" => {
                    let text = std::str::from_utf8(value).map_err(|_| bad())?;
                    self.size = Some(text.parse().map_err(|_| bad())?);
                }
                _ => {}
            }
            records = records.get(length..).unwrap_or_default();
        }
        Ok(())
    }
}

fn member(block: &[u8], kind: &[u8], long: Extensions, size: u64, limits: &Limits) -> Result<(Entry, u64), Fault> {
    let name = long.name.unwrap_or_else(|| {
        let (prefix, name) = (text(field(block, 345, 155)), text(field(block, 0, 100)));
        let is_ustar = field(block, 257, 6) == b"ustar\0";
        if is_ustar && !prefix.is_empty() { [prefix, b"/", name].concat() } else { name.to_vec() }
    });
    let path = member_path(&name, limits)?;
    let target = long.target.unwrap_or_else(|| text(field(block, 157, 100)).to_vec());
    if target.len() > limits.path_bytes {
        return Err(Fault::Limit { what: "a link target with bytes", limit: limits.path_bytes as u64 });
    }
    // Links, devices and folders have no data, whatever their size field says.
    let size = long.size.unwrap_or(size);
    let (kind, size) = match kind {
        b"0" | b"\0" | b"7" => (Kind::File { group: None }, size),
        b"1" => (Kind::Hardlink(absolute_path(&target, limits)?), 0),
        b"2" if target.contains(&0) => return Err(Fault::unsafe_name(&target, "it holds a NUL byte")),
        b"2" => (Kind::Symlink(String::from_utf8_lossy(&target).into_owned()), 0),
        b"3" | b"4" | b"5" | b"6" => (Kind::Other, 0),
        _ => (Kind::Other, size),
    };
    let padding = size.checked_next_multiple_of(BLOCK).ok_or_else(|| Fault::malformed("a member is too large"))? - size;
    Ok((Entry { path, kind, size }, padding))
}

fn extension(input: &mut dyn BufRead, size: u64, limit: u64) -> Result<Vec<u8>, Fault> {
    if size > limit {
        return Err(Fault::Limit { what: "a long name record with bytes", limit });
    }
    let mut data = exactly(input, size)?;
    exactly(input, size.next_multiple_of(BLOCK) - size)?;
    if data.last() == Some(&0) {
        data.pop();
    }
    Ok(data)
}

fn field(block: &[u8], start: usize, length: usize) -> &[u8] {
    block.get(start..start + length).unwrap_or_default()
}

/// A text field up to its first NUL.
fn text(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// Octal digits, or GNU's base 256 when the first bit is set.
fn number(field: &[u8]) -> Result<u64, Fault> {
    let bad = || Fault::malformed("a number in a tar header cannot be read");
    if let [first, rest @ ..] = field
        && first & 0x80 != 0
    {
        let start = u64::from(first & 0x7f);
        return rest
            .iter()
            .try_fold(start, |n, byte| n.checked_mul(256)?.checked_add(u64::from(*byte)))
            .ok_or_else(bad);
    }
    let digits = std::str::from_utf8(text(field)).map_err(|_| bad())?.trim();
    if digits.is_empty() {
        return Ok(0);
    }
    u64::from_str_radix(digits, 8).map_err(|_| bad())
}

fn check_sum(block: &[u8]) -> Result<(), Fault> {
    let recorded = number(field(block, 148, 8))?;
    let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
    let own: u64 = field(block, 148, 8).iter().map(|byte| u64::from(*byte)).sum();
    if sum - own + 8 * u64::from(b' ') == recorded {
        Ok(())
    } else {
        Err(Fault::malformed("a tar header has a wrong check sum"))
    }
}

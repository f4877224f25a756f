//! One reader for the archives of both formats: members in order, data on demand.

use std::io::{self, BufRead, Read};

use crate::{Limits, cpio, error::Fault, rpm_header::FileTable, tar};

/// A member of an archive, without its data.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Absolute path in the installed system.
    pub(crate) path: String,
    pub(crate) kind: Kind,
    /// Bytes of data that follow.
    pub(crate) size: u64,
}

#[derive(Debug)]
pub(crate) enum Kind {
    /// A regular file. Files of one group are hard links of each other; only one of them has data.
    File { group: Option<LinkGroup> },
    /// A symbolic link to this target, as it is written.
    Symlink(String),
    /// Another name of the member with this absolute path.
    Hardlink(String),
    /// A folder, a device or what else has no bytes that anybody wants.
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct LinkGroup {
    pub(crate) device: u64,
    pub(crate) inode: u64,
}

pub(crate) enum Format {
    Cpio(FileTable),
    Tar,
}

/// Reads members in order. [`Read`] gives the data of the member that [`Self::next`] returned last.
pub(crate) struct Archive<'a> {
    input: Box<dyn BufRead + 'a>,
    format: Format,
    limits: &'a Limits,
    entries: u64,
    /// Bytes of data of the present member that were not read.
    left: u64,
    padding: u64,
}

impl<'a> Archive<'a> {
    pub(crate) fn new(input: Box<dyn BufRead + 'a>, format: Format, limits: &'a Limits) -> Self {
        Self { input, format, limits, entries: 0, left: 0, padding: 0 }
    }

    /// The next member; none behind the last one. What was not read of the present one is skipped.
    pub(crate) fn next(&mut self) -> Result<Option<Entry>, Fault> {
        let rest = self.left.saturating_add(self.padding);
        skip(&mut *self.input, rest)?;
        (self.left, self.padding) = (0, 0);
        let next = match &self.format {
            Format::Cpio(files) => cpio::next(&mut *self.input, files, self.limits)?,
            Format::Tar => tar::next(&mut *self.input, self.limits)?,
        };
        let Some((entry, padding)) = next else { return Ok(None) };
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(Fault::Limit { what: "members", limit: self.limits.entries });
        }
        (self.left, self.padding) = (entry.size, padding);
        Ok(Some(entry))
    }
}

impl Read for Archive<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let room = usize::try_from(self.left).unwrap_or(usize::MAX).min(buf.len());
        if room == 0 {
            return Ok(0);
        }
        match self.input.read(buf.get_mut(..room).unwrap_or_default())? {
            0 => Err(ends_early()),
            n => {
                self.left = self.left.saturating_sub(n as u64);
                Ok(n)
            }
        }
    }
}

/// Reads exactly `n` bytes. Memory grows with the bytes that are there, not with the number.
pub(crate) fn exactly(input: &mut dyn Read, n: u64) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    input.take(n).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == n { Ok(bytes) } else { Err(Fault::Io(ends_early())) }
}

/// What may be remembered of a package: paths and link targets.
pub(crate) struct NameBudget {
    left: u64,
    limit: u64,
}

impl NameBudget {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self { left: limits.names_bytes, limit: limits.names_bytes }
    }

    /// Takes the bytes of these texts, and a little for what holds them.
    pub(crate) fn take(&mut self, texts: &[&str]) -> Result<(), Fault> {
        let bytes = texts.iter().map(|text| text.len() as u64 + 32).sum();
        let too_many = Fault::Limit { what: "bytes of names", limit: self.limit };
        self.left = self.left.checked_sub(bytes).ok_or(too_many)?;
        Ok(())
    }
}

fn skip(input: &mut dyn BufRead, mut n: u64) -> Result<(), Fault> {
    while n > 0 {
        let available = match input.fill_buf() {
            Ok(buffer) => buffer.len(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        };
        if available == 0 {
            return Err(Fault::Io(ends_early()));
        }
        let step = usize::try_from(n).unwrap_or(usize::MAX).min(available);
        input.consume(step);
        n -= step as u64;
    }
    Ok(())
}

fn ends_early() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the archive ends before its last member")
}

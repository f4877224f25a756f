//! A metadata file while it is made: collected in a file without a name, then written with its head, end and compression.
//! Memory does not grow with the repository.

use std::{
    fs::File,
    io::{self, BufWriter, Read as _, Seek as _, Write},
    path::Path,
};

use retrace_types::Sha256;
use sha2::Digest as _;

const CHUNK_BYTES: usize = 256 << 10;

/// How a metadata file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    None,
    Gzip,
    Xz,
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) sha256: Sha256,
    pub(super) size_bytes: u64,
    pub(super) open_sha256: Sha256,
    pub(super) open_size_bytes: u64,
}

/// The middle of a file.
pub(super) struct Spool(BufWriter<File>);

impl Spool {
    /// An empty one; its bytes lie in this folder, under no name.
    pub(super) fn new(folder: &Path) -> io::Result<Self> {
        Ok(Self(BufWriter::with_capacity(CHUNK_BYTES, tempfile::tempfile_in(folder)?)))
    }

    pub(super) fn push(&mut self, text: &str) -> io::Result<()> {
        self.0.write_all(text.as_bytes())
    }

    /// Writes head, middle and end to a new file, which is on the disk when this returns. The same content gives the same
    /// bytes.
    pub(super) fn write(&mut self, path: &Path, head: &str, end: &str, packing: Packing) -> io::Result<Written> {
        self.0.flush()?;
        let file = self.0.get_mut();
        file.rewind()?;
        let out = Hashing::new(BufWriter::with_capacity(CHUNK_BYTES, File::create_new(path)?));
        let (out, (open_sha256, open_size_bytes)) = match packing {
            Packing::None => {
                let mut writer = Hashing::new(out);
                copy(file, head, end, &mut writer)?;
                writer.end()
            }
            Packing::Gzip => {
                let encoder = flate2::write::GzEncoder::new(out, flate2::Compression::default());
                let mut writer = Hashing::new(encoder);
                copy(file, head, end, &mut writer)?;
                let (encoder, open) = writer.end();
                (encoder.finish()?, open)
            }
            Packing::Xz => {
                let mut writer = Hashing::new(liblzma::write::XzEncoder::new(out, 6));
                copy(file, head, end, &mut writer)?;
                let (encoder, open) = writer.end();
                (encoder.finish()?, open)
            }
        };
        let (mut out, (sha256, size_bytes)) = out.end();
        out.flush()?;
        out.get_ref().sync_all()?;
        Ok(Written { sha256, size_bytes, open_sha256, open_size_bytes })
    }
}

fn copy(file: &mut File, head: &str, end: &str, out: &mut impl Write) -> io::Result<()> {
    out.write_all(head.as_bytes())?;
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match file.read(&mut chunk) {
            Ok(0) => break,
            Ok(n) => out.write_all(chunk.get(..n).unwrap_or_default())?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    out.write_all(end.as_bytes())
}

/// Digests and counts what passes.
struct Hashing<W> {
    inner: W,
    digest: sha2::Sha256,
    bytes: u64,
}

impl<W> Hashing<W> {
    fn new(inner: W) -> Self {
        Self { inner, digest: sha2::Sha256::new(), bytes: 0 }
    }

    fn end(self) -> (W, (Sha256, u64)) {
        (self.inner, (Sha256::from_bytes(self.digest.finalize().into()), self.bytes))
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(bytes)?;
        self.digest.update(bytes.get(..n).unwrap_or_default());
        self.bytes += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unpack::{self, Compression};

    #[test]
    fn what_is_written_reads_as_announced() {
        let dir = tempfile::tempdir().unwrap();
        let mut spool = Spool::new(dir.path()).unwrap();
        let middle = "middle\n".repeat(100_000);
        spool.push(&middle).unwrap();
        let want = format!("head\n{middle}end\n");
        let mut open = Vec::new();
        for (packing, name, compression) in [
            (Packing::None, "plain", Compression::None),
            (Packing::Gzip, "gz", Compression::Gzip),
            (Packing::Xz, "xz", Compression::Xz),
        ] {
            let path = dir.path().join(name);
            let written = spool.write(&path, "head\n", "end\n", packing).unwrap();
            let bytes = std::fs::read(&path).unwrap();
            assert_eq!(written.size_bytes, bytes.len() as u64);
            assert_eq!(written.sha256, crate::checksum::sha256(&bytes));
            let mut text = String::new();
            unpack::open(&path, compression, 1 << 30).unwrap().read_to_string(&mut text).unwrap();
            assert_eq!(text, want, "{packing:?}");
            assert_eq!(written.open_size_bytes, want.len() as u64);
            open.push(written.open_sha256);
        }
        assert!(open.windows(2).all(|pair| pair[0] == pair[1]));
    }
}

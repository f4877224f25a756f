//! Decompression of metadata, as a bounded stream.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
};

/// Memory that the xz decoder may use, in bytes; `xz -9` needs 65 MiB.
const XZ_MEMORY_BYTES: u64 = 256 << 20;
/// Largest window of the zstd decoder, as a power of two; `zstd --ultra -22` needs 27.
const ZSTD_WINDOW_LOG: u32 = 27;

/// Compression of a metadata file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
    Xz,
    Zstd,
    Bzip2,
}

impl Compression {
    /// Told by the end of the file's name.
    pub(crate) fn of_name(name: &str) -> Self {
        match name.rsplit_once('.').map(|(_, extension)| extension) {
            Some("gz") => Self::Gzip,
            Some("xz") => Self::Xz,
            Some("zst") => Self::Zstd,
            Some("bz2") => Self::Bzip2,
            _ => Self::None,
        }
    }
}

/// Opens a file for reading what it decompresses to; reading more than `limit_bytes` of it is an error.
pub(crate) fn open(path: &Path, compression: Compression, limit_bytes: u64) -> io::Result<Box<dyn BufRead + Send>> {
    let file = BufReader::with_capacity(1 << 16, File::open(path)?);
    let unpacked: Box<dyn Read + Send> = match compression {
        Compression::None => Box::new(file),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(file)),
        Compression::Xz => {
            let stream = liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY_BYTES, liblzma::stream::CONCATENATED)?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(file, stream))
        }
        Compression::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(file)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG)?;
            Box::new(decoder)
        }
        Compression::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(file)),
    };
    Ok(Box::new(BufReader::with_capacity(1 << 16, Bounded { inner: unpacked, left: limit_bytes, limit: limit_bytes })))
}

/// Ends in an error, not in an early end of file, when there is more than allowed.
struct Bounded<R> {
    inner: R,
    left: u64,
    limit: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buf)?;
        match self.left.checked_sub(length as u64) {
            Some(left) => self.left = left,
            None => {
                let message = format!("it decompresses to more than the allowed {} bytes", self.limit);
                return Err(io::Error::other(message));
            }
        }
        Ok(length)
    }
}

/// Reads one line without its end into `line`; false at the end of the input. A line beyond the limit is an error.
pub(crate) fn read_line(reader: &mut dyn BufRead, line: &mut Vec<u8>, limit_bytes: usize) -> io::Result<bool> {
    line.clear();
    let limit = u64::try_from(limit_bytes).unwrap_or(u64::MAX);
    let length = reader.take(limit.saturating_add(1)).read_until(b'\n', line)?;
    if line.last() == Some(&b'\n') {
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
    } else if line.len() > limit_bytes {
        return Err(io::Error::other(format!("a line has more than {limit_bytes} bytes")));
    }
    Ok(length > 0)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn packed(name: &str, data: &[u8]) -> Vec<u8> {
        match Compression::of_name(name) {
            Compression::None => data.to_vec(),
            Compression::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(data).unwrap();
                encoder.finish().unwrap()
            }
            Compression::Xz => {
                let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
                encoder.write_all(data).unwrap();
                encoder.finish().unwrap()
            }
            Compression::Zstd => zstd::encode_all(data, 1).unwrap(),
            Compression::Bzip2 => {
                let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
                encoder.write_all(data).unwrap();
                encoder.finish().unwrap()
            }
        }
    }

    #[test]
    fn every_compression_is_read_and_bounded() {
        let data = vec![7; 300_000];
        let dir = tempfile::tempdir().unwrap();
        for name in ["x", "x.gz", "x.xz", "x.zst", "x.bz2"] {
            let path = dir.path().join(name);
            std::fs::write(&path, packed(name, &data)).unwrap();
            let read = |limit| {
                let mut out = Vec::new();
                open(&path, Compression::of_name(name), limit).unwrap().read_to_end(&mut out).map(|_| out)
            };
            assert_eq!(read(300_000).unwrap(), data, "{name}");
            assert!(read(299_999).unwrap_err().to_string().contains("299999"), "{name}");
        }
    }

    #[test]
    fn lines_are_bounded() {
        let mut input = io::Cursor::new(b"one\r\ntwo\nthree".to_vec());
        let mut line = Vec::new();
        for want in ["one", "two", "three"] {
            assert!(read_line(&mut input, &mut line, 5).unwrap());
            assert_eq!(line, want.as_bytes());
        }
        assert!(!read_line(&mut input, &mut line, 5).unwrap());
        let mut input = io::Cursor::new(b"123456\n".to_vec());
        assert!(read_line(&mut input, &mut line, 5).is_err());
    }
}

//! Decompressors with bounded memory and bounded output.

use std::io::{self, BufRead, BufReader, Read};

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use liblzma::{
    bufread::XzDecoder,
    stream::{CONCATENATED, IGNORE_CHECK, Stream},
};

use crate::{
    Limits,
    error::{Fault, LimitReached},
};

/// Size of the buffers in front of and behind a decompressor.
const BUFFER_BYTES: usize = 256 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
    Bzip2,
    Xz,
    Lzma,
    Zstd,
}

impl Compression {
    /// By the value of an RPM header's `PAYLOADCOMPRESSOR`. Without the tag the payload is gzip or nothing, which
    /// `start`, its first bytes, tells.
    pub(crate) fn from_rpm_tag(name: Option<&str>, start: &[u8]) -> Result<Self, Fault> {
        Ok(match name {
            None if start.starts_with(&[0x1f, 0x8b]) => Self::Gzip,
            None => Self::None,
            Some("gzip") => Self::Gzip,
            Some("bzip2") => Self::Bzip2,
            Some("xz") => Self::Xz,
            Some("lzma") => Self::Lzma,
            Some("zstd") => Self::Zstd,
            Some("none" | "identity" | "") => Self::None,
            Some(other) => return Err(Fault::Compression(other.chars().take(40).collect())),
        })
    }

    /// By what follows `.tar` in the name of a .deb member. Source: deb(5).
    pub(crate) fn from_suffix(suffix: &str) -> Result<Self, Fault> {
        Ok(match suffix {
            "" => Self::None,
            ".gz" => Self::Gzip,
            ".bz2" => Self::Bzip2,
            ".xz" => Self::Xz,
            ".lzma" => Self::Lzma,
            ".zst" => Self::Zstd,
            other => return Err(Fault::Compression(other.chars().take(40).collect())),
        })
    }
}

/// Reads what `input` holds compressed, at most `unpacked_bytes` of it: the rest is an error that names the limit.
pub(crate) fn decompress<'a>(
    input: impl Read + 'a,
    compression: Compression,
    unpacked_bytes: u64,
    limits: &Limits,
) -> Result<Box<dyn BufRead + 'a>, Fault> {
    let memory = limits.decoder_memory_bytes;
    let input = BufReader::with_capacity(BUFFER_BYTES, input);
    let decoder: Box<dyn Read + 'a> = match compression {
        Compression::None => Box::new(input),
        Compression::Gzip => Box::new(MultiGzDecoder::new(input)),
        Compression::Bzip2 => Box::new(MultiBzDecoder::new(input)),
        Compression::Xz => {
            // The package's own digest was checked when it came in: checking the payload's once more costs a twentieth.
            let flags = CONCATENATED | IGNORE_CHECK;
            Box::new(XzDecoder::new_stream(input, Stream::new_stream_decoder(memory, flags).map_err(lzma)?))
        }
        Compression::Lzma => Box::new(XzDecoder::new_stream(input, Stream::new_lzma_decoder(memory).map_err(lzma)?)),
        Compression::Zstd => {
            let mut decoder = zstd::Decoder::with_buffer(input)?;
            decoder.window_log_max(memory.checked_ilog2().unwrap_or_default().clamp(10, 30))?;
            Box::new(decoder)
        }
    };
    let bounded = Bounded { inner: decoder, left: unpacked_bytes, limit: unpacked_bytes };
    Ok(Box::new(BufReader::with_capacity(BUFFER_BYTES, bounded)))
}

fn lzma(error: liblzma::stream::Error) -> Fault {
    Fault::Io(error.into())
}

struct Bounded<R> {
    inner: R,
    left: u64,
    limit: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            // The end of the data may be just here.
            return match self.inner.read(&mut [0])? {
                0 => Ok(0),
                _ => Err(LimitReached { what: "unpacked bytes", limit: self.limit }.into()),
            };
        }
        let room = usize::try_from(self.left).unwrap_or(usize::MAX).min(buf.len());
        let n = self.inner.read(buf.get_mut(..room).unwrap_or_default())?;
        self.left = self.left.saturating_sub(n as u64);
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(compression: Compression, bytes: &[u8], limit: u64) -> Result<Vec<u8>, Fault> {
        let mut out = Vec::new();
        decompress(bytes, compression, limit, &Limits::default())?.read_to_end(&mut out)?;
        Ok(out)
    }

    #[test]
    fn output_ends_at_the_limit() {
        let data = vec![7; 1000];
        assert_eq!(read(Compression::None, &data, 1000).unwrap(), data);
        assert!(matches!(read(Compression::None, &data, 999), Err(Fault::Limit { limit: 999, .. })));
    }

    #[test]
    fn a_window_beyond_the_memory_limit_is_refused() {
        let data = vec![7; 5 << 20];
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(27).unwrap();
        io::copy(&mut data.as_slice(), &mut encoder).unwrap();
        let packed = encoder.finish().unwrap();
        assert_eq!(read(Compression::Zstd, &packed, 5 << 20).unwrap(), data);
        let tight = Limits { decoder_memory_bytes: 1 << 20, ..Limits::default() };
        let mut out = Vec::new();
        assert!(decompress(&*packed, Compression::Zstd, 5 << 20, &tight).unwrap().read_to_end(&mut out).is_err());
    }
}

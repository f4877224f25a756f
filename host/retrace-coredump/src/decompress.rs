use std::{
    fmt,
    fs::File,
    io::{self, BufRead, BufReader, Read},
    os::unix::fs::FileExt,
};

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use liblzma::{bufread::XzDecoder, stream::Stream};
use lz4_flex::frame::FrameDecoder;

use crate::CoreError;

/// Formats that cores are compressed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// gzip. Source: RFC 1952.
    Gzip,
    /// xz. Source: the .xz file format, tukaani.org.
    Xz,
    /// Zstandard. Source: RFC 8878.
    Zstd,
    /// LZ4 frame. Source: `lz4_Frame_format.md` of lz4.
    Lz4,
    /// bzip2.
    Bzip2,
}

impl Compression {
    /// Format of data that starts with these bytes.
    #[must_use]
    pub fn detect(start: &[u8]) -> Option<Self> {
        let magics: [(&[u8], Self); 5] = [
            (&[0x1f, 0x8b], Self::Gzip),
            (&[0xfd, b'7', b'z', b'X', b'Z', 0], Self::Xz),
            (&[0x28, 0xb5, 0x2f, 0xfd], Self::Zstd),
            (&[0x04, 0x22, 0x4d, 0x18], Self::Lz4),
            (b"BZh", Self::Bzip2),
        ];
        magics.into_iter().find(|(magic, _)| start.starts_with(magic)).map(|(_, format)| format)
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
            Self::Lz4 => "lz4",
            Self::Bzip2 => "bzip2",
        })
    }
}

/// Longest magic number.
const MAGIC_BYTES: usize = 6;

/// Whether a file that starts with these bytes is compressed in a format that [`decompress`] knows. 6 bytes suffice.
#[must_use]
pub fn is_compressed(start: &[u8]) -> bool {
    Compression::detect(start).is_some()
}

/// Bounds of [`decompress`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecompressLimits {
    /// Most bytes of output, holes included. Default 16 GiB.
    pub max_output_bytes: u64,
    /// Most bytes of output that are written to the disk: holes do not count. Default 16 GiB.
    pub max_stored_bytes: u64,
    /// Most memory for the window (dictionary) that xz and zstd data asks for. Default 128 MiB, which is what
    /// `xz -9` and `zstd -19` need and what zstd(1) accepts; the other formats need below 10 MiB.
    pub max_window_bytes: u64,
}

impl Default for DecompressLimits {
    fn default() -> Self {
        Self { max_output_bytes: 16 << 30, max_stored_bytes: 16 << 30, max_window_bytes: 128 << 20 }
    }
}

/// What [`decompress`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decompressed {
    /// Format of the input.
    pub compression: Compression,
    /// Size of the output, holes included, in bytes.
    pub size_bytes: u64,
    /// Bytes written; the rest are holes.
    pub stored_bytes: u64,
    /// True if the input ended too early. The output holds what came before.
    pub truncated: bool,
}

/// Decompresses a core into `output`, which is emptied first; blocks of zeros become holes. The format is told by the
/// first bytes. Memory does not depend on the sizes; the cursor of `output` is not moved.
///
/// # Errors
/// [`CoreError::NotCompressed`], [`CoreError::Decompress`], [`CoreError::TooLarge`], [`CoreError::TooMuchDisk`],
/// [`CoreError::Write`], or [`CoreError::Read`] if the first bytes cannot be had. `output` then holds what was decompressed before, and is of
/// no use.
pub fn decompress(input: impl Read, output: &mut File, limits: &DecompressLimits) -> Result<Decompressed, CoreError> {
    let mut input = BufReader::with_capacity(BUFFER_BYTES, input);
    let mut start = Vec::new();
    let read = input.by_ref().take(MAGIC_BYTES as u64).read_to_end(&mut start);
    read.map_err(|source| CoreError::Read { what: "the first bytes", offset: 0, source })?;
    let compression = Compression::detect(&start).ok_or(CoreError::NotCompressed)?;
    let broken = |source| CoreError::Decompress { compression, window_bytes: limits.max_window_bytes, source };
    let mut decoder = decoder(compression, start.chain(input), limits).map_err(broken)?;

    let mut sparse = SparseWriter::new(output)?;
    let mut buffer = vec![0; BUFFER_BYTES];
    let truncated = loop {
        let (filled, end) = fill(&mut decoder, &mut buffer);
        let block = buffer.get(..filled).unwrap_or_default();
        if sparse.size.saturating_add(block.len() as u64) > limits.max_output_bytes {
            return Err(CoreError::TooLarge { limit_bytes: limits.max_output_bytes });
        }
        sparse.append(block)?;
        if sparse.stored > limits.max_stored_bytes {
            return Err(CoreError::TooMuchDisk { limit_bytes: limits.max_stored_bytes });
        }
        match end {
            None => {}
            Some(Ok(())) => break false,
            Some(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => break true,
            Some(Err(error)) => return Err(broken(error)),
        }
    };
    sparse.finish()?;
    Ok(Decompressed { compression, size_bytes: sparse.size, stored_bytes: sparse.stored, truncated })
}

/// Bytes read and written at once; a multiple of [`HOLE_BYTES`].
const BUFFER_BYTES: usize = 256 << 10;
/// Smallest hole: the block size of the usual file systems.
const HOLE_BYTES: usize = 4096;
static ZEROS: [u8; HOLE_BYTES] = [0; HOLE_BYTES];

fn decoder<'a>(
    compression: Compression,
    input: impl BufRead + 'a,
    limits: &DecompressLimits,
) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match compression {
        Compression::Gzip => Box::new(MultiGzDecoder::new(input)),
        Compression::Xz => {
            let stream = Stream::new_stream_decoder(limits.max_window_bytes, liblzma::stream::CONCATENATED)?;
            Box::new(XzDecoder::new_stream(input, stream))
        }
        Compression::Zstd => {
            let mut decoder = zstd::Decoder::with_buffer(input)?;
            decoder.window_log_max(limits.max_window_bytes.max(1).ilog2())?;
            Box::new(decoder)
        }
        Compression::Lz4 => Box::new(Lz4Frames { decoder: Some(FrameDecoder::new(Watched::new(input))) }),
        Compression::Bzip2 => Box::new(MultiBzDecoder::new(input)),
    })
}

/// Reads until the buffer is full; tells how the data ended if it did.
fn fill(decoder: &mut dyn Read, buffer: &mut [u8]) -> (usize, Option<io::Result<()>>) {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match decoder.read(rest) {
            Ok(0) => return (filled, Some(Ok(()))),
            Ok(count) => filled += count.min(rest.len()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (filled, Some(Err(error))),
        }
    }
    (filled, None)
}

/// Appends to a file and leaves out blocks of zeros.
struct SparseWriter<'a> {
    file: &'a File,
    size: u64,
    stored: u64,
}

impl<'a> SparseWriter<'a> {
    fn new(file: &'a File) -> Result<Self, CoreError> {
        file.set_len(0).map_err(CoreError::Write)?;
        Ok(Self { file, size: 0, stored: 0 })
    }

    /// Every call but the last must bring a multiple of [`HOLE_BYTES`], so that blocks match those of the file system.
    fn append(&mut self, bytes: &[u8]) -> Result<(), CoreError> {
        let is_zero = |block: &[u8]| ZEROS.get(..block.len()).is_some_and(|zeros| zeros == block);
        let mut rest = bytes;
        while !rest.is_empty() {
            let zero = is_zero(rest.get(..HOLE_BYTES).unwrap_or(rest));
            let blocks = rest.chunks(HOLE_BYTES).take_while(|block| is_zero(block) == zero);
            let (run, behind) = rest.split_at(blocks.map(<[u8]>::len).sum());
            if !zero {
                self.file.write_all_at(run, self.size).map_err(CoreError::Write)?;
                self.stored += run.len() as u64;
            }
            self.size += run.len() as u64;
            rest = behind;
        }
        Ok(())
    }

    /// Gives the file its size, which a hole at the end has not.
    fn finish(&self) -> Result<(), CoreError> {
        self.file.set_len(self.size).map_err(CoreError::Write)
    }
}

/// Concatenated LZ4 frames. The decoder of a frame takes an end of the input between two blocks for the end of the
/// frame, so the input is watched to tell a truncated frame from a whole one.
struct Lz4Frames<R: Read> {
    /// Always there between two calls; one for each frame, since they may differ in block size.
    decoder: Option<FrameDecoder<Watched<R>>>,
}

impl<R: Read> Read for Lz4Frames<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while let Some(decoder) = &mut self.decoder {
            let count = decoder.read(buf)?;
            if count > 0 || buf.is_empty() {
                return Ok(count);
            }
            let input = decoder.get_ref();
            match (input.at_end, input.frame_bytes) {
                (true, 0) => break,
                (true, _) => return Err(io::ErrorKind::UnexpectedEof.into()),
                (false, _) => {
                    let input = self.decoder.take().map(FrameDecoder::into_inner);
                    self.decoder = input.map(|input| FrameDecoder::new(Watched::new(input.inner)));
                }
            }
        }
        Ok(0)
    }
}

struct Watched<R> {
    inner: R,
    /// Bytes read for this frame.
    frame_bytes: u64,
    /// Whether the decoder asked for more than there was.
    at_end: bool,
}

impl<R> Watched<R> {
    fn new(inner: R) -> Self {
        Self { inner, frame_bytes: 0, at_end: false }
    }
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buf)?;
        self.at_end |= count == 0 && !buf.is_empty();
        self.frame_bytes += count as u64;
        Ok(count)
    }
}

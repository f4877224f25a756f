//! Opens a core, decompressing it into the work folder where that is needed.

use std::{
    fs::File,
    io::{self, Read, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

use retrace_coredump::{CoreFacts, DecompressLimits, Limits};
use tokio_util::sync::CancellationToken;

use crate::AnalyzeError;

/// Bytes that decide whether a file is compressed.
const MAGIC_BYTES: u64 = 16;

/// A plain core on disk and what it tells.
pub(crate) struct Intake {
    /// The core, decompressed.
    pub(crate) core: PathBuf,
    pub(crate) facts: CoreFacts,
    /// How the core was compressed, for the story.
    pub(crate) decompressed_bytes: Option<u64>,
}

/// Reads the facts of the core at `path`. Blocking.
pub(crate) fn open(
    path: &Path,
    work_dir: &Path,
    limits: &DecompressLimits,
    stop: &CancellationToken,
) -> Result<Intake, AnalyzeError> {
    let unreadable = |source| AnalyzeError::Open { path: path.to_owned(), source };
    let unusable = |source| AnalyzeError::Core { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(unreadable)?;
    let mut magic = Vec::new();
    (&mut file).take(MAGIC_BYTES).read_to_end(&mut magic).map_err(unreadable)?;
    file.seek(SeekFrom::Start(0)).map_err(unreadable)?;

    let (core, file, decompressed_bytes) = if retrace_coredump::is_compressed(&magic) {
        let plain_path = work_dir.join("core");
        let in_work_dir = |source| AnalyzeError::WorkDir { path: plain_path.clone(), source };
        let mut plain =
            File::options().read(true).write(true).create_new(true).open(&plain_path).map_err(in_work_dir)?;
        let input = UntilStopped { file, stop };
        let decompressed = retrace_coredump::decompress(input, &mut plain, limits).map_err(unusable)?;
        (plain_path, plain, Some(decompressed.size_bytes))
    } else {
        // Other processes get this path: it has to mean the same in any working folder.
        (std::path::absolute(path).map_err(unreadable)?, file, None)
    };
    let facts = retrace_coredump::read_facts(&file, &Limits::default()).map_err(unusable)?;
    Ok(Intake { core, facts, decompressed_bytes })
}

/// A file that cannot be read any more once nobody waits for it.
struct UntilStopped<'a> {
    file: File,
    stop: &'a CancellationToken,
}

impl Read for UntilStopped<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.stop.is_cancelled() {
            return Err(io::Error::other("the job was stopped"));
        }
        self.file.read(buffer)
    }
}

//! How a file gets its name in the cache, and whether one that has a name is whole.

use std::{
    fs::{self, File, FileTimes},
    io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use tempfile::NamedTempFile;

use super::CacheError;
use crate::elf::{Extent, extent};

/// A use is not written down again within this time.
const USE_PRECISION: Duration = Duration::from_secs(300);

/// A file of the cache, open: it can be read to its end whatever becomes of its name.
#[derive(Debug)]
pub struct Cached {
    /// Its name.
    pub path: PathBuf,
    /// The file.
    pub file: File,
}

/// The ELF file with this name, if all of it is there. Notes that it is used.
pub(super) fn whole_elf(path: PathBuf) -> Option<Cached> {
    let mut file = File::open(&path).ok()?;
    if extent(&mut file) == Extent::Cut {
        return None;
    }
    note_use(&file);
    Some(Cached { path, file })
}

/// The file with this name, which was on disk before it got it. Notes that it is used.
pub(super) fn whole_file(path: PathBuf) -> Option<Cached> {
    let file = File::open(&path).ok()?;
    note_use(&file);
    Some(Cached { path, file })
}

/// Sets the time of the last access, which file systems are often told not to keep: [`shrink`](super::FileCache::shrink)
/// goes by it.
fn note_use(file: &File) {
    let now = SystemTime::now();
    let fresh = |metadata: fs::Metadata| {
        let age = metadata.accessed().ok().and_then(|used| now.duration_since(used).ok());
        age.is_some_and(|age| age < USE_PRECISION)
    };
    if !file.metadata().is_ok_and(fresh) {
        // It would only be taken for older than it is.
        let _ = file.set_times(FileTimes::new().set_accessed(now));
    }
}

/// Gives a checked ELF file its names.
///
/// A power failure may leave the beginning of a file under its name. Such a file is taken for absent, as its own headers
/// tell; only one without a section table has to be on disk before it gets a name. Waiting for the disk after each file
/// would cost a tenth of a first retrace.
pub(super) fn name_elf(mut file: NamedTempFile, places: &[PathBuf]) -> Result<(), CacheError> {
    let Some((first, others)) = places.split_first() else { return Ok(()) };
    if extent(file.as_file_mut()) == Extent::Unknown {
        file.as_file().sync_data().map_err(CacheError::io("create", first))?;
    }
    let is_cut = |path: &Path| File::open(path).map_or(Extent::Cut, |mut file| extent(&mut file)) == Extent::Cut;
    name(file, first, is_cut)?;
    for place in others {
        make_folder(place)?;
        match fs::hard_link(first, place) {
            // Another process was first with the same file.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            linked => linked.map_err(CacheError::io("link", place))?,
        }
    }
    Ok(())
}

/// Gives a file its name that cannot tell whether all of it is there.
pub(super) fn name_file(file: NamedTempFile, place: &Path) -> Result<(), CacheError> {
    file.as_file().sync_data().map_err(CacheError::io("create", place))?;
    name(file, place, |_| false)
}

/// `is_broken` says of a file that has the name already whether it must give way.
fn name(mut file: NamedTempFile, place: &Path, is_broken: impl Fn(&Path) -> bool) -> Result<(), CacheError> {
    /// The folder may be removed between making and using it, if it was empty for long.
    const TRIES: usize = 3;
    let mut failure = None;
    for _ in 0..TRIES {
        make_folder(place)?;
        let error = match file.persist_noclobber(place) {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        file = error.file;
        match error.error.kind() {
            // Another process was first with the same file. It stays: replacing it would pull it away from whoever is about
            // to link it, and link(2) then says that it is not there.
            io::ErrorKind::AlreadyExists if !is_broken(place) => return Ok(()),
            io::ErrorKind::AlreadyExists => {
                let replaced = file.persist(place);
                return replaced.map(drop).map_err(|error| CacheError::io("create", place)(error.error));
            }
            io::ErrorKind::NotFound => failure = Some(error.error),
            _ => return Err(CacheError::io("create", place)(error.error)),
        }
    }
    Err(CacheError::io("create", place)(failure.unwrap_or_else(|| io::ErrorKind::NotFound.into())))
}

fn make_folder(place: &Path) -> Result<(), CacheError> {
    let folder = place.parent().unwrap_or(place);
    fs::create_dir_all(folder).map_err(CacheError::io("create", folder))
}

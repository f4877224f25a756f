//! Files that were unpacked from packages, by what they are.
//!
//! ```text
//! <xx>/<rest>/{executable,debuginfo,supplementary}   files with a build-id; xx is its first byte
//! src/<xx>/<rest>/<digest of its path>               source files, by the digest of their package
//! lock/<digits>                                      held while a package is unpacked
//! tmp/                                               files that have no name yet
//! ```
//!
//! What came out of a package that nobody verified has names of its own (`debuginfo.unverified`): it is never taken for what
//! a verified package with the same build-id holds.

mod error;
mod place;
mod shrink;
mod unpack;

use std::{
    cmp::Reverse,
    collections::HashMap,
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use retrace_types::{BuildId, Role, Sha256, SignatureState};
use sha2::{Digest as _, Sha256 as Hasher};
use tempfile::NamedTempFile;
use tokio::sync::Semaphore;

use crate::{VerifiedPackage, elf_build_id};

pub use error::CacheError;
pub use place::Cached;
pub use shrink::Shrunk;

/// Unpacked files, each under what it is. Processes of one machine may share the folder.
///
/// A file gets its name, by renaming, after its own ELF note has shown the build-id; a fill that is killed leaves
/// nothing that is taken for a file. Of many that want files of one package, in this process or others, one unpacks while
/// the others wait. A supplementary file (dwz) stands beside each debug file that refers to it, as hard links to one file.
#[derive(Clone, Debug)]
pub struct FileCache {
    dir: Arc<Path>,
}

/// A file to unpack.
#[derive(Clone, Debug)]
pub struct FillRequest {
    /// The package that holds it.
    pub package: VerifiedPackage,
    /// Its build-id.
    pub build_id: BuildId,
    /// What it is for.
    pub role: Role,
    /// Its path in the installed system, where the index names one; it is searched by build-id otherwise.
    pub member: Option<String>,
}

/// Whether anything vouches for the package that a file came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Trust {
    /// A signature or a digest in signed metadata.
    Verified,
    /// The operator switched verification off for its repository.
    Unverified,
}

impl Trust {
    /// What a signature says.
    #[must_use]
    pub fn of(signature: &SignatureState) -> Self {
        match signature {
            SignatureState::Package { .. } | SignatureState::Metadata { .. } => Self::Verified,
            SignatureState::Off => Self::Unverified,
        }
    }
}

/// Names of the files in a build-id's folder.
const EXECUTABLE: &str = "executable";
const DEBUGINFO: &str = "debuginfo";
const SUPPLEMENTARY: &str = "supplementary";
/// Folders that no build-id's first byte is the name of.
const UNNAMED: &str = "tmp";
const SOURCES: &str = "src";
const LOCKS: &str = "lock";

impl FileCache {
    /// A cache in this folder, which is created if absent. It must only be written by Retrace.
    ///
    /// # Errors
    /// [`CacheError::Io`] if it cannot be created.
    pub fn new(dir: &Path) -> Result<Self, CacheError> {
        for name in [UNNAMED, SOURCES, LOCKS] {
            let folder = dir.join(name);
            fs::create_dir_all(&folder).map_err(CacheError::io("create", &folder))?;
        }
        let dir = dir.canonicalize().map_err(CacheError::io("read", dir))?;
        Ok(Self { dir: dir.into() })
    }

    /// The file with this build-id.
    #[must_use]
    pub fn find(&self, build_id: &BuildId, role: Role, trust: Trust) -> Option<Cached> {
        place::whole_elf(self.place(build_id, file_name(role), trust))
    }

    /// The supplementary file (dwz) that the debug information of this build-id refers to.
    #[must_use]
    pub fn supplementary(&self, build_id: &BuildId, trust: Trust) -> Option<Cached> {
        place::whole_elf(self.place(build_id, SUPPLEMENTARY, trust))
    }

    /// The source file with this absolute path, without dots, in the package with this digest.
    #[must_use]
    pub fn source(&self, package: &Sha256, path: &str) -> Option<Cached> {
        place::whole_file(self.source_place(package, path))
    }

    /// Unpacks files, each package in one pass and packages in parallel; one result per request, in order. A file that
    /// is there already is not unpacked again. The supplementary file of debug information comes along if it is in the
    /// same package; where it is not, the log says so.
    pub async fn fill(&self, requests: &[FillRequest]) -> Vec<Result<PathBuf, CacheError>> {
        let mut packages: HashMap<&Path, Vec<usize>> = HashMap::new();
        for (index, request) in requests.iter().enumerate() {
            packages.entry(request.package.path()).or_default().push(index);
        }
        // Decompression is bound by the processor: more tasks than processors would only share them.
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let turns = Arc::new(Semaphore::new(processors));
        // The largest first: begun last, one alone would keep the others waiting at the end.
        let size = |indices: &Vec<usize>| {
            indices.first().and_then(|index| requests.get(*index)).map_or(0, |request| request.package.size_bytes())
        };
        let mut packages: Vec<_> = packages.into_values().collect();
        packages.sort_by_key(|indices| Reverse(size(indices)));
        let mut tasks = Vec::with_capacity(packages.len());
        for indices in packages {
            let wanted: Vec<FillRequest> = indices.iter().filter_map(|index| requests.get(*index).cloned()).collect();
            let turn = Arc::clone(&turns).acquire_owned().await;
            let cache = self.clone();
            let task = tokio::task::spawn_blocking(move || {
                let unpacked = cache.unpack(&wanted);
                drop(turn);
                unpacked
            });
            tasks.push((indices, task));
        }

        let mut results: HashMap<usize, Result<PathBuf, CacheError>> = HashMap::new();
        for (indices, task) in tasks {
            let done = task.await.unwrap_or_default();
            results.extend(indices.into_iter().zip(done));
        }
        let lost = |request: &FillRequest| Err(CacheError::Lost { package: request.package.path().to_owned() });
        let in_order = requests.iter().enumerate();
        in_order.map(|(index, request)| results.remove(&index).unwrap_or_else(|| lost(request))).collect()
    }

    /// Unpacks the source file with this absolute path, without dots; at most 64 MiB. Links of the package are followed.
    ///
    /// # Errors
    /// [`CacheError::NoMember`] if the package has no such file; else as [`fill`](Self::fill).
    pub async fn fill_source(&self, package: &VerifiedPackage, path: &str) -> Result<Cached, CacheError> {
        let (cache, unpacking, path) = (self.clone(), package.clone(), path.to_owned());
        let unpacked = tokio::task::spawn_blocking(move || cache.unpack_source(&unpacking, &path)).await;
        unpacked.unwrap_or_else(|_| Err(CacheError::Lost { package: package.path().to_owned() }))
    }

    /// A file on the cache's file system that has no name yet, for [`adopt`](Self::adopt); it goes when it is dropped.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn unnamed(&self) -> io::Result<NamedTempFile> {
        let file = tempfile::Builder::new().prefix("unpack-").tempfile_in(self.dir.join(UNNAMED))?;
        file.as_file().set_permissions(fs::Permissions::from_mode(0o644))?;
        Ok(file)
    }

    /// Takes in a file that came from elsewhere than a package, as an unverified one, if its own note shows the build-id.
    ///
    /// # Errors
    /// [`CacheError::WrongBuildId`], naming `origin`; [`CacheError::Io`].
    pub fn adopt(
        &self,
        file: NamedTempFile,
        build_id: &BuildId,
        role: Role,
        origin: &str,
    ) -> Result<Cached, CacheError> {
        let found = elf_build_id(file.path()).ok().flatten();
        let place = self.place(build_id, file_name(role), Trust::Unverified);
        if found.as_ref() == Some(build_id) {
            place::name_elf(file, std::slice::from_ref(&place))?;
            if let Some(cached) = place::whole_elf(place) {
                return Ok(cached);
            }
        }
        Err(CacheError::WrongBuildId {
            package: origin.into(),
            member: file_name(role).to_owned(),
            wanted: build_id.clone(),
            found: match found {
                Some(id) if id == *build_id => "this build-id but not all of its sections".to_owned(),
                Some(id) => format!("build-id {id}"),
                None => "no build-id".to_owned(),
            },
        })
    }

    /// Takes in what has no build-id of its own, such as a source file, beside the files with this build-id.
    ///
    /// # Errors
    /// [`CacheError::Io`].
    pub fn adopt_beside(&self, file: NamedTempFile, build_id: &BuildId, name: &str) -> Result<Cached, CacheError> {
        let place = self.beside(build_id, name);
        place::name_file(file, &place)?;
        place::whole_file(place.clone()).ok_or_else(|| CacheError::io("read", place)(io::ErrorKind::NotFound.into()))
    }

    /// What was [taken in](Self::adopt_beside) under this name.
    #[must_use]
    pub fn find_beside(&self, build_id: &BuildId, name: &str) -> Option<Cached> {
        place::whole_file(self.beside(build_id, name))
    }

    fn place(&self, build_id: &BuildId, name: &str, trust: Trust) -> PathBuf {
        let (first, rest) = build_id.split();
        let suffix = match trust {
            Trust::Verified => "",
            Trust::Unverified => ".unverified",
        };
        self.dir.join(first).join(rest).join(format!("{name}{suffix}"))
    }

    /// Names are digested: they come from clients.
    fn beside(&self, build_id: &BuildId, name: &str) -> PathBuf {
        self.place(build_id, &digest(name), Trust::Unverified)
    }

    fn source_place(&self, package: &Sha256, path: &str) -> PathBuf {
        let package = package.to_string();
        let (first, rest) = package.split_at_checked(2).unwrap_or_default();
        self.dir.join(SOURCES).join(first).join(rest).join(digest(path))
    }
}

fn digest(text: &str) -> String {
    Sha256::from_bytes(Hasher::digest(text).into()).to_string()
}

fn file_name(role: Role) -> &'static str {
    match role {
        Role::Executable => EXECUTABLE,
        Role::Debuginfo => DEBUGINFO,
    }
}

#[cfg(test)]
mod tests;

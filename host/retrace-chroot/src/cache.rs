use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
    fs,
    io::{self, BufWriter, Read, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use retrace_package::{AltLink, Limits, PackageError, Sink, VerifiedPackage, Wanted};
use retrace_types::{BuildId, Role};
use tempfile::NamedTempFile;
use tokio::sync::Semaphore;

use crate::{
    ChrootError,
    elf::{self, Extent},
};

/// Unpacked files by build-id: `<dir>/<xx>/<rest>/{executable,debuginfo,supplementary}`, where `xx` is the first byte.
///
/// A file gets its name, by renaming, after its own ELF note has shown the build-id; a fill that is killed leaves
/// nothing that is taken for a file, and fills of the same file by many processes at once end in the same content. A
/// supplementary file (dwz) stands beside each debug file that refers to it, as hard links to one file.
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

/// Bytes written at once.
const WRITE_BYTES: usize = 256 * 1024;
/// Names of the files in a build-id's folder.
const EXECUTABLE: &str = "executable";
const DEBUGINFO: &str = "debuginfo";
const SUPPLEMENTARY: &str = "supplementary";
/// Folder for files that have no name yet; no build-id has such a first byte.
const UNNAMED: &str = "tmp";

impl FileCache {
    /// A cache in this folder, which is created if absent. It must only be written by Retrace.
    ///
    /// # Errors
    /// [`ChrootError::Io`] if it cannot be created.
    pub fn new(dir: &Path) -> Result<Self, ChrootError> {
        let unnamed = dir.join(UNNAMED);
        fs::create_dir_all(&unnamed).map_err(ChrootError::io("create", &unnamed))?;
        let dir = dir.canonicalize().map_err(ChrootError::io("read", dir))?;
        Ok(Self { dir: dir.into() })
    }

    /// The mapped file, a program or library, with this build-id.
    #[must_use]
    pub fn executable(&self, build_id: &BuildId) -> Option<PathBuf> {
        self.existing(build_id, EXECUTABLE)
    }

    /// The separate debug information of the file with this build-id.
    #[must_use]
    pub fn debuginfo(&self, build_id: &BuildId) -> Option<PathBuf> {
        self.existing(build_id, DEBUGINFO)
    }

    /// The supplementary file (dwz) that the debug information of this build-id refers to.
    #[must_use]
    pub fn supplementary(&self, build_id: &BuildId) -> Option<PathBuf> {
        self.existing(build_id, SUPPLEMENTARY)
    }

    /// Unpacks files, each package in one pass and packages in parallel; one result per request, in order. A file that
    /// is there already is not unpacked again. The supplementary file of debug information comes along if it is in the
    /// same package; where it is not, gdb says so ([`GdbWarning::MissingSupplementary`]).
    ///
    /// [`GdbWarning::MissingSupplementary`]: crate::GdbWarning::MissingSupplementary
    pub async fn fill(&self, requests: &[FillRequest]) -> Vec<Result<PathBuf, ChrootError>> {
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

        let mut results: HashMap<usize, Result<PathBuf, ChrootError>> = HashMap::new();
        for (indices, task) in tasks {
            let done = task.await.unwrap_or_default();
            results.extend(indices.into_iter().zip(done));
        }
        let lost = |request: &FillRequest| Err(ChrootError::Lost { package: request.package.path().to_owned() });
        let in_order = requests.iter().enumerate();
        in_order.map(|(index, request)| results.remove(&index).unwrap_or_else(|| lost(request))).collect()
    }

    /// Unpacks files of one package; one result per request, in order.
    fn unpack(&self, requests: &[FillRequest]) -> Vec<Result<PathBuf, ChrootError>> {
        let mut seen = HashSet::new();
        let absent = requests.iter().filter(|request| self.filled(request).is_none());
        let absent: Vec<_> = absent.filter(|request| seen.insert((&request.build_id, request.role))).collect();
        let mut failures = self.unpack_absent(&absent);
        let mut results = Vec::with_capacity(requests.len());
        for request in requests {
            let failure = failures.remove(&(&request.build_id, request.role));
            let filled = self.filled(request);
            results.push(
                filled.ok_or_else(|| failure.unwrap_or_else(|| not_in_package(&request.package, &request.build_id))),
            );
        }
        results
    }

    fn unpack_absent<'r>(&self, requests: &[&'r FillRequest]) -> HashMap<(&'r BuildId, Role), ChrootError> {
        let Some(package) = requests.first().map(|request| &request.package) else { return HashMap::new() };
        let wanted: Vec<Wanted> = requests
            .iter()
            .map(|request| match &request.member {
                Some(path) => Wanted::Path(path.clone()),
                None => Wanted::BuildId { build_id: request.build_id.clone(), role: request.role },
            })
            .collect();
        // The package was verified when it came in; a disk may have lost bytes since, and decompressors do not look.
        let (unpacked, outcome) = match package.check_bytes() {
            Ok(()) => self.extract(package, &wanted),
            Err(error) => (Vec::new(), Err(Arc::new(error))),
        };
        let mut failures = HashMap::new();
        let mut references = Vec::new();
        let mut answered = HashSet::new();
        for file in unpacked {
            // What came out whole before an error is as good as any.
            answered.extend(file.wanted.iter().copied());
            let of_file: Vec<_> = file.wanted.iter().filter_map(|index| requests.get(*index).copied()).collect();
            failures.extend(self.admit(package, file, &of_file, &mut references));
        }
        for (_, request) in requests.iter().enumerate().filter(|(index, _)| !answered.contains(index)) {
            let failure = match &outcome {
                Ok(()) => not_in_package(package, &request.build_id),
                Err(source) => ChrootError::Unpack { package: package.path().to_owned(), source: Arc::clone(source) },
            };
            failures.insert((&request.build_id, request.role), failure);
        }
        if !references.is_empty()
            && let Err(error) = self.add_supplementary(package, &references)
        {
            tracing::warn!(%error, package = %package.path().display(), "supplementary debug information is left out");
        }
        failures
    }

    /// The wanted members, and whether the package could be read as far as needed.
    fn extract(&self, package: &VerifiedPackage, wanted: &[Wanted]) -> (Vec<Unpacked>, Result<(), Arc<PackageError>>) {
        let mut collector = Collector { dir: self.dir.join(UNNAMED), files: Vec::new() };
        let outcome = retrace_package::extract(package, wanted, &mut collector, &Limits::default());
        (collector.files, outcome.map(|_| ()).map_err(Arc::new))
    }

    /// Gives an unpacked file the name of each request that it satisfies; returns why it does not satisfy the others.
    fn admit<'r>(
        &self,
        package: &VerifiedPackage,
        unpacked: Unpacked,
        requests: &[&'r FillRequest],
        references: &mut Vec<Reference>,
    ) -> Vec<((&'r BuildId, Role), ChrootError)> {
        let own = retrace_package::elf_build_id(unpacked.file.path()).ok().flatten();
        let (good, bad): (Vec<&FillRequest>, Vec<&FillRequest>) =
            requests.iter().partition(|request| own.as_ref() == Some(&request.build_id));
        let refused = |request: &'r FillRequest| {
            let error = ChrootError::WrongBuildId {
                package: package.path().to_owned(),
                member: unpacked.member.clone(),
                wanted: request.build_id.clone(),
                found: own.as_ref().map_or_else(|| "no build-id".to_owned(), |id| format!("build-id {id}")),
            };
            ((&request.build_id, request.role), error)
        };
        let mut failures: Vec<_> = bad.into_iter().map(refused).collect();
        if let Some(request) = good.iter().find(|request| request.role == Role::Debuginfo)
            && let Ok(Some(link)) = retrace_package::gnu_debugaltlink(unpacked.file.path())
        {
            references.push(Reference { from: request.build_id.clone(), member: unpacked.member.clone(), link });
        }
        let places: Vec<_> =
            good.iter().map(|request| self.place(&request.build_id, file_name(request.role))).collect();
        if let (Err(error), Some(request)) = (name(unpacked.file, &places), good.first()) {
            failures.push(((&request.build_id, request.role), error));
        }
        failures
    }

    /// Unpacks the supplementary files that these debug files refer to, each once.
    fn add_supplementary(&self, package: &VerifiedPackage, references: &[Reference]) -> Result<(), ChrootError> {
        let wanted: Vec<Wanted> = references.iter().map(|reference| Wanted::Path(reference.target())).collect();
        let (unpacked, outcome) = self.extract(package, &wanted);
        for Unpacked { wanted, file, .. } in unpacked {
            let own = retrace_package::elf_build_id(file.path()).ok().flatten();
            let of_file = wanted.iter().filter_map(|index| references.get(*index));
            let matching = of_file.filter(|reference| own.as_ref() == Some(&reference.link.build_id));
            let places: Vec<_> = matching.map(|reference| self.place(&reference.from, SUPPLEMENTARY)).collect();
            name(file, &places)?;
        }
        for reference in references.iter().filter(|reference| self.supplementary(&reference.from).is_none()) {
            let Reference { from, link, .. } = reference;
            tracing::warn!(
                package = %package.path().display(),
                build_id = %from,
                "the package does not hold the supplementary debug information {}", link.path
            );
        }
        outcome.map_err(|source| ChrootError::Unpack { package: package.path().to_owned(), source })
    }

    fn filled(&self, request: &FillRequest) -> Option<PathBuf> {
        self.existing(&request.build_id, file_name(request.role))
    }

    fn existing(&self, build_id: &BuildId, name: &str) -> Option<PathBuf> {
        Some(self.place(build_id, name)).filter(|path| elf::extent(path) != Extent::Cut)
    }

    fn place(&self, build_id: &BuildId, name: &str) -> PathBuf {
        let (first, rest) = build_id.split();
        self.dir.join(first).join(rest).join(name)
    }
}

fn file_name(role: Role) -> &'static str {
    match role {
        Role::Executable => EXECUTABLE,
        Role::Debuginfo => DEBUGINFO,
    }
}

fn not_in_package(package: &VerifiedPackage, build_id: &BuildId) -> ChrootError {
    ChrootError::NotInPackage { package: package.path().to_owned(), build_id: build_id.clone() }
}

/// Gives a checked file its names.
///
/// A power failure may leave the beginning of a file under its name. Such a file is taken for absent, as its own headers
/// tell; only one without a section table has to be on disk before it gets a name. Waiting for the disk after each file
/// would cost a tenth of a first retrace.
fn name(file: NamedTempFile, places: &[PathBuf]) -> Result<(), ChrootError> {
    let Some((first, others)) = places.split_first() else { return Ok(()) };
    for folder in places.iter().filter_map(|place| place.parent()) {
        fs::create_dir_all(folder).map_err(ChrootError::io("create", folder))?;
    }
    if elf::extent(file.path()) == Extent::Unknown {
        file.as_file().sync_data().map_err(ChrootError::io("create", first))?;
    }
    match file.persist_noclobber(first) {
        // Another process was first with the same file. It stays: replacing it would pull it away from whoever is about to
        // link it, and link(2) then says that it is not there.
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists && elf::extent(first) != Extent::Cut => {}
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
            error.file.persist(first).map_err(|error| ChrootError::io("create", first)(error.error))?;
        }
        named => {
            named.map_err(|error| ChrootError::io("create", first)(error.error))?;
        }
    }
    for place in others {
        match fs::hard_link(first, place) {
            // Another process was first with the same file.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            linked => linked.map_err(ChrootError::io("link", place))?,
        }
    }
    Ok(())
}

/// A debug file that refers to a supplementary one.
#[derive(Debug)]
struct Reference {
    /// Build-id of the debug file.
    from: BuildId,
    /// Path of the debug file in the package.
    member: String,
    link: AltLink,
}

impl Reference {
    /// Path of the supplementary file: a relative one starts at the folder of the debug file.
    fn target(&self) -> String {
        let path = &self.link.path;
        if path.starts_with('/') {
            return path.clone();
        }
        let folder = self.member.trim_start_matches('.').rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut stack: Vec<&str> = Vec::new();
        for component in folder.split('/').chain(path.split('/')) {
            match component {
                "" | "." => {}
                ".." => {
                    stack.pop();
                }
                component => stack.push(component),
            }
        }
        format!("/{}", stack.join("/"))
    }
}

/// A member that was unpacked and has no name yet; it is removed when dropped.
#[derive(Debug)]
struct Unpacked {
    /// Indexes of what it answers.
    wanted: Vec<usize>,
    member: String,
    file: NamedTempFile,
}

/// Receives members into files without a name.
struct Collector {
    dir: PathBuf,
    files: Vec<Unpacked>,
}

impl Sink for Collector {
    fn member(&mut self, wanted: &[usize], path: &str, _size: u64, data: &mut dyn Read) -> io::Result<()> {
        let mut file = tempfile::Builder::new().prefix("unpack-").tempfile_in(&self.dir)?;
        file.as_file().set_permissions(fs::Permissions::from_mode(0o644))?;
        let mut buffered = BufWriter::with_capacity(WRITE_BYTES, file.as_file_mut());
        io::copy(data, &mut buffered)?;
        buffered.flush()?;
        drop(buffered);
        self.files.push(Unpacked { wanted: wanted.to_vec(), member: path.to_owned(), file });
        Ok(())
    }
}

#[cfg(test)]
mod tests;

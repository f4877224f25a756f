//! Unpacking members of a package into the cache.

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    io::{self, BufWriter, Read, Write as _},
    path::PathBuf,
    sync::Arc,
};

use retrace_types::{BuildId, Role};
use tempfile::NamedTempFile;

use super::{CacheError, Cached, DEBUGINFO, FileCache, FillRequest, LOCKS, SUPPLEMENTARY, Trust, file_name, place};
use crate::{AltLink, Limits, PackageError, Sink, VerifiedPackage, Wanted, elf_build_id, extract, gnu_debugaltlink};

/// Bytes written at once.
const WRITE_BYTES: usize = 256 * 1024;
/// Largest source file.
const MAX_SOURCE_BYTES: u64 = 64 << 20;

impl FileCache {
    /// Unpacks files of one package; one result per request, in order.
    pub(super) fn unpack(&self, requests: &[FillRequest]) -> Vec<Result<PathBuf, CacheError>> {
        let is_absent = |request: &&FillRequest| self.filled(request).is_none();
        let mut failures = HashMap::new();
        if let Some(FillRequest { package, .. }) = requests.iter().find(is_absent) {
            // Whoever unpacks the package now may be unpacking just this. Without a lock the work is done twice, no more.
            let _lock = self.lock(package).inspect_err(|error| tracing::warn!(%error, "unpacking without a lock"));
            let mut seen = HashSet::new();
            let absent = requests.iter().filter(is_absent);
            let absent: Vec<_> = absent.filter(|request| seen.insert((&request.build_id, request.role))).collect();
            failures = self.unpack_absent(&absent);
        }
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

    fn unpack_absent<'r>(&self, requests: &[&'r FillRequest]) -> HashMap<(&'r BuildId, Role), CacheError> {
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
            Ok(()) => self.extract(package, &wanted, &Limits::default()),
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
                Err(source) => CacheError::Unpack { package: package.path().to_owned(), source: Arc::clone(source) },
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
    fn extract(
        &self,
        package: &VerifiedPackage,
        wanted: &[Wanted],
        limits: &Limits,
    ) -> (Vec<Unpacked>, Result<(), Arc<PackageError>>) {
        let mut collector = Collector { cache: self, files: Vec::new() };
        let outcome = extract(package, wanted, &mut collector, limits);
        (collector.files, outcome.map(|_| ()).map_err(Arc::new))
    }

    /// Gives an unpacked file the name of each request that it satisfies; returns why it does not satisfy the others.
    fn admit<'r>(
        &self,
        package: &VerifiedPackage,
        unpacked: Unpacked,
        requests: &[&'r FillRequest],
        references: &mut Vec<Reference>,
    ) -> Vec<((&'r BuildId, Role), CacheError)> {
        let own = elf_build_id(unpacked.file.path()).ok().flatten();
        let (good, bad): (Vec<&FillRequest>, Vec<&FillRequest>) =
            requests.iter().partition(|request| own.as_ref() == Some(&request.build_id));
        let refused = |request: &'r FillRequest| {
            let error = CacheError::WrongBuildId {
                package: package.path().to_owned(),
                member: unpacked.member.clone(),
                wanted: request.build_id.clone(),
                found: own.as_ref().map_or_else(|| "no build-id".to_owned(), |id| format!("build-id {id}")),
            };
            ((&request.build_id, request.role), error)
        };
        let mut failures: Vec<_> = bad.into_iter().map(refused).collect();
        if let Some(request) = good.iter().find(|request| request.role == Role::Debuginfo)
            && let Ok(Some(link)) = gnu_debugaltlink(unpacked.file.path())
        {
            references.push(Reference { from: request.build_id.clone(), member: unpacked.member.clone(), link });
        }
        let trust = Trust::of(package.signature());
        let places: Vec<_> =
            good.iter().map(|request| self.place(&request.build_id, file_name(request.role), trust)).collect();
        if let (Err(error), Some(request)) = (place::name_elf(unpacked.file, &places), good.first()) {
            failures.push(((&request.build_id, request.role), error));
        }
        failures
    }

    /// Unpacks the supplementary files that these debug files refer to, each once.
    fn add_supplementary(&self, package: &VerifiedPackage, references: &[Reference]) -> Result<(), CacheError> {
        let wanted: Vec<Wanted> = references.iter().map(|reference| Wanted::Path(reference.target())).collect();
        let trust = Trust::of(package.signature());
        let (unpacked, outcome) = self.extract(package, &wanted, &Limits::default());
        for Unpacked { wanted, file, .. } in unpacked {
            let own = elf_build_id(file.path()).ok().flatten();
            let of_file = wanted.iter().filter_map(|index| references.get(*index));
            let matching = of_file.filter(|reference| own.as_ref() == Some(&reference.link.build_id));
            // Also under its own build-id: debuginfod's clients ask for it so.
            let places = matching.flat_map(|Reference { from, link, .. }| {
                [self.place(from, SUPPLEMENTARY, trust), self.place(&link.build_id, DEBUGINFO, trust)]
            });
            let places: Vec<_> = places.collect();
            place::name_elf(file, &places)?;
        }
        for reference in references.iter().filter(|reference| self.supplementary(&reference.from, trust).is_none()) {
            let Reference { from, link, .. } = reference;
            tracing::warn!(
                package = %package.path().display(),
                build_id = %from,
                "the package does not hold the supplementary debug information {}", link.path
            );
        }
        outcome.map_err(|source| CacheError::Unpack { package: package.path().to_owned(), source })
    }

    /// Unpacks one source file; the path is an absolute one without dots.
    pub(super) fn unpack_source(&self, package: &VerifiedPackage, path: &str) -> Result<Cached, CacheError> {
        let failed = |source| CacheError::Unpack { package: package.path().to_owned(), source };
        let _lock = self.lock(package).inspect_err(|error| tracing::warn!(%error, "unpacking without a lock"));
        if let Some(found) = self.source(&package.sha256(), path) {
            return Ok(found);
        }
        package.check_bytes().map_err(|error| failed(Arc::new(error)))?;
        let limits = Limits { member_bytes: MAX_SOURCE_BYTES, ..Limits::default() };
        let (unpacked, outcome) = self.extract(package, &[Wanted::Path(path.to_owned())], &limits);
        let absent = || CacheError::NoMember { package: package.path().to_owned(), member: path.to_owned() };
        let Some(unpacked) = unpacked.into_iter().next() else {
            outcome.map_err(failed)?;
            return Err(absent());
        };
        place::name_file(unpacked.file, &self.source_place(&package.sha256(), path))?;
        self.source(&package.sha256(), path).ok_or_else(absent)
    }

    /// Held by whoever unpacks a package, in whatever process. The lock goes with the file, and so with the process.
    fn lock(&self, package: &VerifiedPackage) -> Result<File, CacheError> {
        /// Digits of the package's digest: two packages with the same ones wait for each other without need.
        const DIGITS: usize = 3;
        let digest = package.sha256().to_string();
        let path = self.dir.join(LOCKS).join(digest.get(..DIGITS).unwrap_or_default());
        let locked = File::options().create(true).append(true).open(&path).and_then(|file| file.lock().map(|()| file));
        locked.map_err(CacheError::io("lock", &path))
    }

    fn filled(&self, request: &FillRequest) -> Option<PathBuf> {
        let found = self.find(&request.build_id, request.role, Trust::of(request.package.signature()));
        found.map(|found| found.path)
    }
}

fn not_in_package(package: &VerifiedPackage, build_id: &BuildId) -> CacheError {
    CacheError::NotInPackage { package: package.path().to_owned(), build_id: build_id.clone() }
}

/// A debug file that refers to a supplementary one.
#[derive(Debug)]
pub(super) struct Reference {
    /// Build-id of the debug file.
    pub(super) from: BuildId,
    /// Path of the debug file in the package.
    pub(super) member: String,
    pub(super) link: AltLink,
}

impl Reference {
    /// Path of the supplementary file: a relative one starts at the folder of the debug file.
    pub(super) fn target(&self) -> String {
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
struct Collector<'c> {
    cache: &'c FileCache,
    files: Vec<Unpacked>,
}

impl Sink for Collector<'_> {
    fn member(&mut self, wanted: &[usize], path: &str, _size: u64, data: &mut dyn Read) -> io::Result<()> {
        let mut file = self.cache.unnamed()?;
        let mut buffered = BufWriter::with_capacity(WRITE_BYTES, file.as_file_mut());
        io::copy(data, &mut buffered)?;
        buffered.flush()?;
        drop(buffered);
        self.files.push(Unpacked { wanted: wanted.to_vec(), member: path.to_owned(), file });
        Ok(())
    }
}

//! Rows of packages: what is new, what changed, what is as it was.

use std::{
    collections::{BTreeSet, HashMap},
    hash::{BuildHasher as _, RandomState},
};

use retrace_types::{PackageFormat, PackageId, PackageKind};
use sqlx::{Any, AssertSqlSafe, Row as _, Transaction};

use crate::{
    FileIdentity, Incident, NewPackage, RepositoryKey, StoreError,
    database::Dialect,
    incidents::MAX_INCIDENTS,
    index::names::{Builds, Names, Source},
    lookup::read_package,
    rows,
};

/// Packages of a repository, compared with its new metadata.
#[derive(Default)]
pub(super) struct Changes<'p> {
    /// Row of each package of the metadata.
    pub(super) keyed: Vec<(i64, &'p NewPackage)>,
    /// Rows to be written, and whether they are there already.
    written: Vec<(i64, &'p NewPackage, bool)>,
    /// No longer listed with the bytes that are known.
    dropped: Vec<i64>,
    /// Listed with other bytes than are known, and so not taken.
    pub(super) incidents: Vec<Incident>,
}

/// A package that the index has.
struct Known {
    id: i64,
    file: FileIdentity,
    upstream: bool,
    /// Hash of everything that metadata says.
    content: u64,
    listed: bool,
}

impl<'p> Changes<'p> {
    /// Compares `packages`, of which the later one counts where two have one location.
    pub(super) async fn read(
        transaction: &mut Transaction<'_, Any>,
        repository: RepositoryKey,
        packages: &'p [NewPackage],
    ) -> Result<Self, StoreError> {
        // Random keys: nobody can make metadata whose change is not seen.
        let hasher = RandomState::new();
        let mut known = known_packages(transaction, repository, &hasher).await?;
        let mut next_id: i64 = sqlx::query_scalar("SELECT coalesce(max(id), 0) + 1 FROM packages")
            .fetch_one(&mut **transaction)
            .await
            .map_err(StoreError::database("read the packages of a repository"))?;
        let mut changes = Self::default();
        let mut new: Vec<_> = by_location(packages).collect();
        // The order of the indexes, which then grow at their ends.
        new.sort_by(|a, b| (&a.id.name, &a.location).cmp(&(&b.id.name, &b.location)));
        let keys: Vec<_> = new.iter().map(|package| Name::of(&hasher, package)).collect();
        let names = files_by_name(&known, &keys);
        for (package, key) in new.into_iter().zip(keys) {
            let offered = FileIdentity { sha256: package.sha256, size_bytes: package.size_bytes };
            if let Some(old) = known.get_mut(&key) {
                if old.file.differs(offered) {
                    changes.incident(repository, package, old.file, offered);
                    continue;
                }
                old.listed = true;
                changes.keyed.push((old.id, package));
                if !old.upstream || old.content != content(&hasher, package) {
                    changes.written.push((old.id, package, true));
                }
                continue;
            }
            // A file that is known may have moved; then its bytes are the same.
            let of_name = names.get(&key.package).map(Vec::as_slice).unwrap_or_default();
            match of_name.first() {
                Some(known) if of_name.iter().all(|known| known.differs(offered)) => {
                    changes.incident(repository, package, *known, offered);
                }
                _ => {
                    changes.keyed.push((next_id, package));
                    changes.written.push((next_id, package, false));
                    next_id += 1;
                }
            }
        }
        changes.dropped = known.into_values().filter(|old| old.upstream && !old.listed).map(|old| old.id).collect();
        Ok(changes)
    }

    fn incident(
        &mut self,
        repository: RepositoryKey,
        package: &NewPackage,
        known: FileIdentity,
        offered: FileIdentity,
    ) {
        if self.incidents.len() < MAX_INCIDENTS {
            let (name, location) = (package.id.to_string(), package.location.clone());
            self.incidents.push(Incident::new(repository, name, location, known, offered));
        }
    }

    /// Writes what differs.
    pub(super) async fn write(
        &self,
        transaction: &mut Transaction<'_, Any>,
        dialect: Dialect,
        repository: RepositoryKey,
    ) -> Result<(), StoreError> {
        if !self.dropped.is_empty() {
            let drop = format!("UPDATE packages SET upstream = 0 WHERE id IN {}", dialect.numbers("$1"));
            let query = sqlx::query(AssertSqlSafe(drop)).bind(rows::to_json(&self.dropped));
            let done = query.execute(&mut **transaction).await;
            done.map_err(StoreError::database("mark dropped packages"))?;
        }
        self.write_rows(transaction, dialect, repository).await
    }

    async fn write_rows(
        &self,
        transaction: &mut Transaction<'_, Any>,
        dialect: Dialect,
        repository: RepositoryKey,
    ) -> Result<(), StoreError> {
        let places: Vec<_> = self.written.iter().map(|(_, package, _)| Place::of(package)).collect();
        let packages = || self.written.iter().map(|(_, package, _)| *package);
        let sources = || packages().map(|package| Source::of(&package.id, package.source.as_deref()));
        // Architectures and folders first: they are many packages' and so get the small numbers.
        let often: BTreeSet<_> =
            packages().map(|p| p.id.arch.as_str()).chain(places.iter().map(|place| place.folder)).collect();
        let often = Names::intern(transaction, dialect, &often).await?;
        let names = packages().map(|p| p.id.name.as_str()).chain(sources().map(Source::name)).collect();
        let names = Names::intern(transaction, dialect, &names).await?;
        let mut source_ids = BTreeSet::new();
        for source in sources() {
            source_ids.insert(names.get(source.name())?);
        }
        let mut builds = Builds::read(transaction, dialect, &source_ids).await?;
        let mut numbered = Vec::with_capacity(self.written.len());
        for ((id, package, is_there), place) in self.written.iter().zip(places) {
            let source = Source::of(&package.id, package.source.as_deref());
            numbered.push(Numbered {
                id: *id,
                name: names.get(&package.id.name)?,
                build: builds.intern(names.get(source.name())?, source.form(), &package.id),
                arch: often.get(&package.id.arch)?,
                folder: often.get(place.folder)?,
                file: place.file,
                package,
                is_there: *is_there,
            });
        }
        builds.write(transaction, dialect).await?;
        write_numbered(transaction, dialect, repository, &numbered).await
    }
}

/// A package whose names are numbers.
struct Numbered<'p> {
    id: i64,
    name: i64,
    build: i64,
    arch: i64,
    folder: i64,
    file: Option<&'p str>,
    package: &'p NewPackage,
    is_there: bool,
}

async fn write_numbered(
    transaction: &mut Transaction<'_, Any>,
    dialect: Dialect,
    repository: RepositoryKey,
    packages: &[Numbered<'_>],
) -> Result<(), StoreError> {
    const COLUMNS: usize = 15;
    let columns =
        "(id, repository_id, name_id, build_id, arch_id, folder_id, file, kind, format, other, size_bytes, sha256,
        exact_depends, complete, upstream) ";
    // A package that was scanned stays complete; a digest that is known stays known when the metadata no longer tells it.
    let update = " ON CONFLICT (id) DO UPDATE SET name_id = excluded.name_id, build_id = excluded.build_id,
        arch_id = excluded.arch_id, folder_id = excluded.folder_id, file = excluded.file, kind = excluded.kind,
        format = excluded.format, other = excluded.other,
        size_bytes = coalesce(excluded.size_bytes, packages.size_bytes), sha256 = coalesce(excluded.sha256, packages.sha256),
        exact_depends = excluded.exact_depends, upstream = 1,
        complete = CASE WHEN packages.complete = 1 THEN 1 ELSE excluded.complete END";
    for alike in packages.chunk_by(|a, b| a.is_there == b.is_there) {
        for chunk in alike.chunks(rows::MAX_PARAMETERS / COLUMNS) {
            let values = dialect.values(chunk.len(), COLUMNS);
            let on_conflict = if chunk.iter().any(|numbered| numbered.is_there) { update } else { "" };
            let mut query =
                sqlx::query(AssertSqlSafe(format!("INSERT INTO packages {columns} VALUES {values}{on_conflict}")));
            for numbered in chunk {
                let package = numbered.package;
                let (kind, format, other) = kind_to_row(&package.kind, &package.format);
                let depends = Some(&package.exact_depends).filter(|depends| !depends.is_empty());
                query = query
                    .bind(numbered.id)
                    .bind(repository.0)
                    .bind(numbered.name)
                    .bind(numbered.build)
                    .bind(numbered.arch)
                    .bind(numbered.folder)
                    .bind(numbered.file)
                    .bind(kind)
                    .bind(format)
                    .bind(other)
                    .bind(package.size_bytes.map(rows::size_to_row))
                    .bind(package.sha256.map(|sha256| sha256.as_bytes().to_vec()))
                    .bind(depends.map(rows::to_json))
                    .bind(i64::from(package.complete))
                    .bind(1_i64);
            }
            let done = query.execute(&mut **transaction).await;
            done.map_err(StoreError::database("insert packages"))?;
        }
    }
    Ok(())
}

async fn known_packages(
    transaction: &mut Transaction<'_, Any>,
    repository: RepositoryKey,
    hasher: &RandomState,
) -> Result<HashMap<Name, Known>, StoreError> {
    let found = sqlx::query("SELECT * FROM indexed_packages WHERE repository_id = $1")
        .bind(repository.0)
        .fetch_all(&mut **transaction)
        .await
        .map_err(StoreError::database("read the packages of a repository"))?;
    let read = |row| {
        let old = read_package(row)?;
        let local = old.local.as_ref();
        let file = FileIdentity {
            sha256: old.sha256.or_else(|| local.map(|copy| copy.sha256)),
            size_bytes: old.size_bytes.or_else(|| local.map(|copy| copy.size_bytes)),
        };
        let new = NewPackage {
            id: old.id,
            kind: old.kind,
            format: old.format,
            location: old.location,
            size_bytes: old.size_bytes,
            sha256: old.sha256,
            source: old.source,
            exact_depends: old.exact_depends,
            build_ids: crate::Members::default(),
            complete: old.complete,
        };
        let upstream = row.get::<i64, _>("upstream") != 0;
        let known = Known { id: old.key.0, file, upstream, content: content(hasher, &new), listed: false };
        Ok((Name::of(hasher, &new), known))
    };
    found.iter().map(read).collect()
}

/// What a row says but for the build-ids, and but for being complete, which a scan may have made it.
fn content(hasher: &RandomState, package: &NewPackage) -> u64 {
    let NewPackage { id, kind, format, location, size_bytes, sha256, source, exact_depends, .. } = package;
    let sha256 = sha256.map(|sha256| *sha256.as_bytes());
    hasher.hash_one((id, kind, format, location, size_bytes, sha256, source, exact_depends))
}

/// What a package is known by, as hashes: its location, and the package itself. Another package at a location that names no
/// version is an update; other bytes of one package are an incident.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Name {
    location: u64,
    package: u64,
}

impl Name {
    fn of(hasher: &RandomState, package: &NewPackage) -> Self {
        Self { location: hasher.hash_one(&package.location), package: hasher.hash_one((&package.id, &package.kind)) }
    }
}

/// The known files of packages that are listed at a location where they are not known.
fn files_by_name(known: &HashMap<Name, Known>, listed: &[Name]) -> HashMap<u64, Vec<FileIdentity>> {
    let elsewhere = listed.iter().filter(|name| !known.contains_key(name));
    let mut files: HashMap<u64, Vec<FileIdentity>> = elsewhere.map(|name| (name.package, Vec::new())).collect();
    for (name, known) in known {
        if let Some(files) = files.get_mut(&name.package) {
            files.push(known.file);
        }
    }
    files
}

/// One package for each location.
fn by_location(packages: &[NewPackage]) -> impl Iterator<Item = &NewPackage> {
    let last: HashMap<_, _> = packages.iter().enumerate().map(|(n, package)| (&package.location, n)).collect();
    packages.iter().enumerate().filter(move |(n, package)| last.get(&package.location) == Some(n)).map(|(_, p)| p)
}

/// Where a file lies; its name, where it is not what the format's convention says.
struct Place<'p> {
    folder: &'p str,
    file: Option<&'p str>,
}

impl<'p> Place<'p> {
    fn of(package: &'p NewPackage) -> Self {
        let location = package.location.as_str();
        let at = location.rfind('/').map_or(0, |slash| slash + 1);
        let (folder, file) = location.split_at_checked(at).unwrap_or(("", location));
        Self {
            folder,
            file: Some(file).filter(|file| usual_file(&package.id, &package.format).as_deref() != Some(file)),
        }
    }
}

/// The name that rpmbuild and dpkg-deb give a file.
pub(crate) fn usual_file(id: &PackageId, format: &PackageFormat) -> Option<String> {
    let PackageId { name, version, arch, .. } = id;
    let release = id.release.as_ref().map(|release| format!("-{release}")).unwrap_or_default();
    match format {
        PackageFormat::Rpm => Some(format!("{name}-{version}{release}.{arch}.rpm")),
        PackageFormat::Deb => Some(format!("{name}_{version}{release}_{arch}.deb")),
        PackageFormat::Other(_) => None,
    }
}

/// The columns `kind`, `format` and `other`.
fn kind_to_row(kind: &PackageKind, format: &PackageFormat) -> (i64, i64, Option<String>) {
    let kind_number = match kind {
        PackageKind::Binary => 0,
        PackageKind::DebugInfo => 1,
        PackageKind::DebugSource => 2,
        PackageKind::Source => 3,
        PackageKind::Other(_) => 4,
    };
    let format_number = match format {
        PackageFormat::Rpm => 0,
        PackageFormat::Deb => 1,
        PackageFormat::Other(_) => 2,
    };
    let is_other = kind_number == 4 || format_number == 2;
    (kind_number, format_number, is_other.then(|| rows::to_json(&(kind, format))))
}

/// What the columns `kind`, `format` and `other` say.
pub(crate) fn read_kind(
    kind: i64,
    format: i64,
    other: Option<&str>,
) -> Result<(PackageKind, PackageFormat), StoreError> {
    if let Some(other) = other {
        return rows::from_json("kind and format", other);
    }
    let kind = match kind {
        0 => PackageKind::Binary,
        1 => PackageKind::DebugInfo,
        2 => PackageKind::DebugSource,
        3 => PackageKind::Source,
        _ => return Err(StoreError::invalid("kind", kind)),
    };
    match format {
        0 => Ok((kind, PackageFormat::Rpm)),
        1 => Ok((kind, PackageFormat::Deb)),
        _ => Err(StoreError::invalid("format", format)),
    }
}

//! Asking the index: packages by build-id, by path, by name.

mod whole;

use std::collections::HashMap;

use retrace_types::{
    Architecture, BuildId, PackageFormat, PackageId, PackageKind, ReleaseId, Role, Sha256, SignatureState,
};
use sqlx::{
    Any, AssertSqlSafe, Row as _,
    any::{AnyArguments, AnyRow},
    query::Query,
};

use crate::{
    PathKey, RepositoryKey, Store, StoreError,
    index::{read_kind, read_owner, read_source, split_source_rpm, usual_file},
    repositories::{read_architecture, read_release},
    rows,
};

// Packages of a scope, `o`: the first two parameters are release and architecture. A CROSS JOIN keeps its order in SQLite,
// which would rather read a whole repository.
const BY_NAME: &str = "FROM repositories r CROSS JOIN names n CROSS JOIN packages o
    WHERE r.release = $1 AND r.architecture = $2 AND n.name = $3 AND o.repository_id = r.id AND o.name_id = n.id";
const BY_PATH: &str = "FROM repositories r CROSS JOIN paths f CROSS JOIN packages o
    WHERE r.release = $1 AND r.architecture = $2 AND f.repository_id = r.id AND f.path = $3
        AND o.repository_id = r.id AND o.name_id = f.name_id";
const BY_SOURCE: &str = "FROM names n CROSS JOIN builds b CROSS JOIN packages o CROSS JOIN repositories r
    WHERE r.release = $1 AND r.architecture = $2 AND o.repository_id = r.id AND o.build_id = b.id AND b.source_id = n.id
        AND n.name IN ($3, $4) AND (b.source_form = 1 AND n.name = $3
                                    OR b.source_form = 2 AND n.name = $4 AND b.version = $5 AND b.release = $6)";
const UNSCANNED: &str = "FROM repositories r CROSS JOIN packages o
    WHERE r.release = $1 AND r.architecture = $2 AND o.repository_id = r.id AND o.complete = 0 LIMIT $3";
const LOCAL: &str = "FROM repositories r CROSS JOIN packages o
    WHERE r.release = $1 AND r.architecture = $2 AND o.repository_id = r.id AND o.local_sha256 IS NOT NULL";

/// A package's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackageKey(pub(crate) i64);

/// The release and architecture that a look-up is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Release.
    pub release: ReleaseId,
    /// Architecture.
    pub architecture: Architecture,
}

/// A package of the index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexedPackage {
    /// Its row.
    pub key: PackageKey,
    /// Repository that it came from.
    pub repository: RepositoryKey,
    /// The package.
    pub id: PackageId,
    /// What it carries.
    pub kind: PackageKind,
    /// Format of its file.
    pub format: PackageFormat,
    /// Path of its file below the mirror's base.
    pub location: String,
    /// Size of its file, as the metadata says.
    pub size_bytes: Option<u64>,
    /// Digest of its file, as the metadata says.
    pub sha256: Option<Sha256>,
    /// Source package.
    pub source: Option<String>,
    /// Dependencies on exact versions: name and version.
    pub exact_depends: Vec<(String, String)>,
    /// True if every build-id of the package is in the index.
    pub complete: bool,
    /// The verified copy in the artifact store.
    pub local: Option<LocalCopy>,
}

/// A verified copy of a package in the artifact store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalCopy {
    /// Its digest: its name in the store.
    pub sha256: Sha256,
    /// Its size.
    pub size_bytes: u64,
    /// What verified it.
    pub signature: SignatureState,
}

/// A package that ships a file with a build-id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// The package.
    pub package: IndexedPackage,
    /// What the file is for.
    pub role: Role,
    /// Path of the file, where the metadata names it.
    pub path: Option<String>,
}

impl Store {
    /// The packages that ship files with these build-ids, of a release and architecture or of all.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::InvalidRow`].
    pub async fn find_build_ids(
        &self,
        scope: Option<&Scope>,
        build_ids: &[BuildId],
    ) -> Result<HashMap<BuildId, Vec<Provider>>, StoreError> {
        if let Some(reader) = &self.database.reader {
            return reader.find(scope, build_ids).await;
        }
        let mut found: HashMap<BuildId, Vec<Provider>> = HashMap::new();
        for chunk in build_ids.chunks(rows::MAX_PARAMETERS) {
            let mut statement = "SELECT p.*, b.build_id, b.owner, b.path FROM build_ids b
                                 JOIN indexed_packages p ON p.id = b.owner >> 2
                                 WHERE b.build_id IN ("
                .to_owned();
            self.database.dialect.push_parameters(&mut statement, 1, chunk.len());
            statement.push(')');
            if scope.is_some() {
                statement.push_str(
                    " AND p.repository_id IN (SELECT id FROM repositories WHERE (release, architecture) IN ((",
                );
                self.database.dialect.push_parameters(&mut statement, chunk.len() + 1, 2);
                statement.push_str(")))");
            }
            statement.push_str(" ORDER BY b.owner");
            let mut query = sqlx::query(AssertSqlSafe(statement));
            for id in chunk {
                query = query.bind(id.to_bytes());
            }
            if let Some(scope) = scope {
                query = query.bind(scope.release.to_string()).bind(scope.architecture.as_str());
            }
            let rows = query.fetch_all(&self.database.pool).await;
            for row in rows.map_err(StoreError::database("look up build-ids"))? {
                let bytes: &[u8] = row.get("build_id");
                let id = BuildId::from_bytes(bytes).map_err(|_| StoreError::invalid("build-id", hex::encode(bytes)))?;
                let (role, path) = read_owner(row.get("owner"), row.get("path"), &id);
                found.entry(id).or_default().push(Provider { package: read_package(&row)?, role, path });
            }
        }
        Ok(found)
    }

    /// A package of the index.
    ///
    /// # Errors
    /// [`StoreError::Database`], also if there is none; [`StoreError::InvalidRow`].
    pub async fn package(&self, key: PackageKey) -> Result<IndexedPackage, StoreError> {
        let row = sqlx::query("SELECT * FROM indexed_packages WHERE id = $1").bind(key.0);
        let row = row.fetch_one(&self.database.pool).await;
        read_package(&row.map_err(StoreError::database("read a package"))?)
    }

    /// How many of these build-ids belong to each mirrored release; releases without one are left out.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::InvalidRow`].
    pub async fn releases_of_build_ids(
        &self,
        build_ids: &[BuildId],
    ) -> Result<Vec<(ReleaseId, Architecture, u64)>, StoreError> {
        let mut counts: HashMap<(ReleaseId, Architecture), u64> = HashMap::new();
        for chunk in build_ids.chunks(rows::MAX_PARAMETERS) {
            let mut statement = "SELECT r.release, r.architecture, count(DISTINCT b.build_id) FROM build_ids b
                                 JOIN packages p ON p.id = b.owner >> 2 JOIN repositories r ON r.id = p.repository_id
                                 WHERE b.build_id IN ("
                .to_owned();
            self.database.dialect.push_parameters(&mut statement, 1, chunk.len());
            statement.push_str(") GROUP BY r.release, r.architecture");
            let mut query = sqlx::query(AssertSqlSafe(statement));
            for id in chunk {
                query = query.bind(id.to_bytes());
            }
            let rows = query.fetch_all(&self.database.pool).await;
            for row in rows.map_err(StoreError::database("count build-ids"))? {
                let key = (read_release(row.get(0))?, read_architecture(row.get(1))?);
                *counts.entry(key).or_default() += rows::size_from_row(row.get(2))?;
            }
        }
        let mut counts: Vec<_> = counts.into_iter().map(|((release, arch), count)| (release, arch, count)).collect();
        counts.sort();
        Ok(counts)
    }

    /// The packages whose metadata says that they own a path, in every version that is known; see [`PathKey`].
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::InvalidRow`].
    pub async fn find_path(&self, scope: &Scope, path: &str) -> Result<Vec<IndexedPackage>, StoreError> {
        self.packages_where(scope, BY_PATH, |query| query.bind(PathKey::of(path).to_row())).await
    }

    /// The packages of this name, in every version that is known.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::InvalidRow`].
    pub async fn find_packages(&self, scope: &Scope, name: &str) -> Result<Vec<IndexedPackage>, StoreError> {
        self.packages_where(scope, BY_NAME, |query| query.bind(name)).await
    }

    /// The packages of this source package, in every version that is known.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::InvalidRow`].
    pub async fn find_by_source(&self, scope: &Scope, source: &str) -> Result<Vec<IndexedPackage>, StoreError> {
        let (name, version, release) = split_source_rpm(source).unwrap_or_default();
        self.packages_where(scope, BY_SOURCE, |query| query.bind(source).bind(name).bind(version).bind(release)).await
    }

    /// At most `limit` of the packages whose build-ids are not all in the index; their files have to be scanned.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::InvalidRow`].
    pub async fn unscanned_packages(&self, scope: &Scope, limit: usize) -> Result<Vec<IndexedPackage>, StoreError> {
        self.packages_where(scope, UNSCANNED, |query| query.bind(rows::size_to_row(limit as u64))).await
    }

    /// The packages with a verified copy in the artifact store, in every version that is known.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::InvalidRow`].
    pub async fn local_packages(&self, scope: &Scope) -> Result<Vec<IndexedPackage>, StoreError> {
        self.packages_where(scope, LOCAL, |query| query).await
    }

    /// The packages `o` that a clause chooses, by their ids first: the view is then asked for these alone.
    async fn packages_where<'q>(
        &self,
        scope: &Scope,
        chosen: &'static str,
        bind: impl FnOnce(Prepared<'q>) -> Prepared<'q>,
    ) -> Result<Vec<IndexedPackage>, StoreError> {
        let statement = format!(
            "SELECT p.* FROM (SELECT DISTINCT o.id {chosen}) w CROSS JOIN indexed_packages p WHERE p.id = w.id
             ORDER BY p.id"
        );
        let query = sqlx::query(AssertSqlSafe(statement));
        let query = query.bind(scope.release.to_string()).bind(scope.architecture.as_str());
        let rows = bind(query).fetch_all(&self.database.pool).await;
        rows.map_err(StoreError::database("look up packages"))?.iter().map(read_package).collect()
    }
}

type Prepared<'q> = Query<'q, Any, AnyArguments>;

/// A row of the view `indexed_packages`.
#[derive(Debug)]
pub(crate) struct PackageRow {
    id: i64,
    repository_id: i64,
    name: String,
    epoch: Option<i64>,
    version: String,
    release: Option<String>,
    arch: String,
    source_name: String,
    source_form: i64,
    folder: String,
    file: Option<String>,
    kind: i64,
    format: i64,
    other: Option<String>,
    size_bytes: Option<i64>,
    sha256: Option<Vec<u8>>,
    exact_depends: Option<String>,
    complete: i64,
    local_sha256: Option<Vec<u8>>,
    local_bytes: Option<i64>,
    local_signature: Option<String>,
}

/// Reads a row that begins with the columns of the view, by a method that all rows have under some name. By number: to find
/// a column by its name costs as much as to read it.
macro_rules! columns {
    ($row:expr, $get:ident) => {
        Self {
            id: $row.$get(0)?,
            repository_id: $row.$get(1)?,
            name: $row.$get(2)?,
            epoch: $row.$get(3)?,
            version: $row.$get(4)?,
            release: $row.$get(5)?,
            arch: $row.$get(6)?,
            source_name: $row.$get(7)?,
            source_form: $row.$get(8)?,
            folder: $row.$get(9)?,
            file: $row.$get(10)?,
            kind: $row.$get(11)?,
            format: $row.$get(12)?,
            other: $row.$get(13)?,
            size_bytes: $row.$get(14)?,
            sha256: $row.$get(15)?,
            exact_depends: $row.$get(16)?,
            complete: $row.$get(17)?,
            local_sha256: $row.$get(19)?,
            local_bytes: $row.$get(20)?,
            local_signature: $row.$get(21)?,
        }
    };
}

impl PackageRow {
    pub(crate) fn of_sqlite(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Ok(columns!(row, get))
    }

    fn of_any(row: &AnyRow) -> sqlx::Result<Self> {
        Ok(columns!(row, try_get))
    }

    pub(crate) fn into_package(self) -> Result<IndexedPackage, StoreError> {
        let epoch = |epoch| u32::try_from(epoch).map_err(|_| StoreError::invalid("epoch", epoch));
        let id = PackageId {
            epoch: self.epoch.map(epoch).transpose()?,
            name: self.name,
            version: self.version,
            release: self.release,
            arch: self.arch,
        };
        let (kind, format) = read_kind(self.kind, self.format, self.other.as_deref())?;
        let file = self.file.or_else(|| usual_file(&id, &format)).unwrap_or_default();
        let depends = |text: String| rows::from_json("dependencies", &text);
        let local = match (self.local_sha256, self.local_bytes, self.local_signature) {
            (Some(sha256), Some(size_bytes), Some(signature)) => Some(LocalCopy {
                sha256: rows::digest(&sha256)?,
                size_bytes: rows::size_from_row(size_bytes)?,
                signature: rows::from_json("signature", &signature)?,
            }),
            _ => None,
        };
        Ok(IndexedPackage {
            key: PackageKey(self.id),
            repository: RepositoryKey(self.repository_id),
            location: self.folder + &file,
            size_bytes: self.size_bytes.map(rows::size_from_row).transpose()?,
            sha256: self.sha256.as_deref().map(rows::digest).transpose()?,
            source: read_source(self.source_form, self.source_name, &id)?,
            exact_depends: self.exact_depends.map_or_else(|| Ok(Vec::new()), depends)?,
            complete: self.complete != 0,
            local,
            id,
            kind,
            format,
        })
    }
}

pub(crate) fn read_package(row: &AnyRow) -> Result<IndexedPackage, StoreError> {
    PackageRow::of_any(row).map_err(StoreError::database("read a package"))?.into_package()
}

#[cfg(test)]
mod tests;

//! Asking the index: packages by build-id, by path, by name.

use std::collections::HashMap;

use retrace_types::{
    Architecture, BuildId, PackageFormat, PackageId, PackageKind, ReleaseId, Role, Sha256, SignatureState,
};
use sqlx::{
    QueryBuilder, Row as _, Sqlite,
    query::Query,
    sqlite::{SqliteArguments, SqliteRow},
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
    WHERE r.release = ? AND r.architecture = ? AND n.name = ? AND o.repository_id = r.id AND o.name_id = n.id";
const BY_PATH: &str = "FROM repositories r CROSS JOIN paths f CROSS JOIN packages o
    WHERE r.release = ? AND r.architecture = ? AND f.repository_id = r.id AND f.path = ?
        AND o.repository_id = r.id AND o.name_id = f.name_id";
const BY_SOURCE: &str = "FROM names n CROSS JOIN builds b CROSS JOIN packages o CROSS JOIN repositories r
    WHERE r.release = ? AND r.architecture = ? AND o.repository_id = r.id AND o.build_id = b.id AND b.source_id = n.id
        AND n.name IN (?, ?) AND (b.source_form = 1 AND n.name = ?
                                  OR b.source_form = 2 AND n.name = ? AND b.version = ? AND b.release = ?)";
const UNSCANNED: &str = "FROM repositories r CROSS JOIN packages o
    WHERE r.release = ? AND r.architecture = ? AND o.repository_id = r.id AND o.complete = 0 LIMIT ?";
const LOCAL: &str = "FROM repositories r CROSS JOIN packages o
    WHERE r.release = ? AND r.architecture = ? AND o.repository_id = r.id AND o.local_sha256 IS NOT NULL";

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
        let mut found: HashMap<BuildId, Vec<Provider>> = HashMap::new();
        for chunk in build_ids.chunks(rows::MAX_PARAMETERS) {
            let mut query = QueryBuilder::new(
                "SELECT b.build_id, b.owner, b.path, p.* FROM build_ids b JOIN indexed_packages p ON p.id = b.owner >> 2
                 WHERE b.build_id IN (",
            );
            let mut ids = query.separated(", ");
            for id in chunk {
                ids.push_bind(id.to_bytes());
            }
            query.push(") ");
            if let Some(scope) = scope {
                query.push("AND p.repository_id IN (SELECT id FROM repositories WHERE release = ");
                query.push_bind(scope.release.to_string()).push(" AND architecture = ");
                query.push_bind(scope.architecture.as_str()).push(")");
            }
            query.push(" ORDER BY b.owner >> 2");
            let rows = query.build().fetch_all(&self.pool).await;
            for row in rows.map_err(StoreError::database("look up build-ids"))? {
                let bytes: &[u8] = row.get("build_id");
                let id = BuildId::from_bytes(bytes).map_err(|_| StoreError::invalid("build-id", hex::encode(bytes)))?;
                let (role, path) = read_owner(row.get("owner"), row.get("path"), &id);
                found.entry(id).or_default().push(Provider { package: read_package(&row)?, role, path });
            }
        }
        Ok(found)
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
            let mut query = QueryBuilder::new(
                "SELECT r.release, r.architecture, count(DISTINCT b.build_id) FROM build_ids b
                 JOIN packages p ON p.id = b.owner >> 2 JOIN repositories r ON r.id = p.repository_id
                 WHERE b.build_id IN (",
            );
            let mut ids = query.separated(", ");
            for id in chunk {
                ids.push_bind(id.to_bytes());
            }
            query.push(") GROUP BY r.release, r.architecture");
            let rows = query.build().fetch_all(&self.pool).await;
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
        self.packages_where(scope, BY_SOURCE, |query| {
            query.bind(source).bind(name).bind(source).bind(name).bind(version).bind(release)
        })
        .await
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
        let query = sqlx::query(sqlx::AssertSqlSafe(statement));
        let query = query.bind(scope.release.to_string()).bind(scope.architecture.as_str());
        let rows = bind(query).fetch_all(&self.pool).await;
        rows.map_err(StoreError::database("look up packages"))?.iter().map(read_package).collect()
    }
}

type Prepared<'q> = Query<'q, Sqlite, SqliteArguments>;

pub(crate) fn read_package(row: &SqliteRow) -> Result<IndexedPackage, StoreError> {
    let epoch: Option<i64> = row.get("epoch");
    let size_bytes: Option<i64> = row.get("size_bytes");
    let sha256: Option<&[u8]> = row.get("sha256");
    let id = PackageId {
        name: row.get("name"),
        epoch: epoch.map(|e| u32::try_from(e).map_err(|_| StoreError::invalid("epoch", e))).transpose()?,
        version: row.get("version"),
        release: row.get("release"),
        arch: row.get("arch"),
    };
    let (kind, format) = read_kind(row.get("kind"), row.get("format"), row.get("other"))?;
    let file: Option<String> = row.get("file");
    let file = file.or_else(|| usual_file(&id, &format)).unwrap_or_default();
    let exact_depends: Option<&str> = row.get("exact_depends");
    Ok(IndexedPackage {
        key: PackageKey(row.get("id")),
        repository: RepositoryKey(row.get("repository_id")),
        location: row.get::<String, _>("folder") + &file,
        size_bytes: size_bytes.map(rows::size_from_row).transpose()?,
        sha256: sha256.map(rows::digest).transpose()?,
        source: read_source(row.get("source_form"), row.get("source_name"), &id)?,
        exact_depends: exact_depends.map_or_else(|| Ok(Vec::new()), |text| rows::from_json("dependencies", text))?,
        complete: row.get("complete"),
        local: read_local(row)?,
        id,
        kind,
        format,
    })
}

fn read_local(row: &SqliteRow) -> Result<Option<LocalCopy>, StoreError> {
    let sha256: Option<&[u8]> = row.get("local_sha256");
    let size_bytes: Option<i64> = row.get("local_bytes");
    let signature: Option<&str> = row.get("local_signature");
    let (Some(sha256), Some(size_bytes), Some(signature)) = (sha256, size_bytes, signature) else { return Ok(None) };
    Ok(Some(LocalCopy {
        sha256: rows::digest(sha256)?,
        size_bytes: rows::size_from_row(size_bytes)?,
        signature: rows::from_json("signature", signature)?,
    }))
}

#[cfg(test)]
mod tests;

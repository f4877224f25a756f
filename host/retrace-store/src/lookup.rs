//! Asking the index: packages by build-id, by path, by name.

use std::collections::HashMap;

use retrace_types::{
    Architecture, BuildId, PackageFormat, PackageId, PackageKind, ReleaseId, Role, Sha256, SignatureState,
};
use sqlx::{QueryBuilder, Row as _, sqlite::SqliteRow};

use crate::{
    RepositoryKey, Store, StoreError,
    repositories::{read_architecture, read_release},
    rows,
};

/// Columns of a package; `packages` and `repositories` are joined.
const PACKAGE: &str = "SELECT p.* FROM packages p JOIN repositories r ON r.id = p.repository_id ";

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
                "SELECT b.build_id, b.role AS member_role, b.path AS member_path, p.* FROM build_ids b
                 JOIN packages p ON p.id = b.package_id JOIN repositories r ON r.id = p.repository_id
                 WHERE b.build_id IN (",
            );
            let mut ids = query.separated(", ");
            for id in chunk {
                ids.push_bind(id.to_bytes());
            }
            query.push(") ");
            if let Some(scope) = scope {
                query.push("AND r.release = ").push_bind(scope.release.to_string());
                query.push(" AND r.architecture = ").push_bind(scope.architecture.as_str());
            }
            query.push(" ORDER BY p.id");
            let rows = query.build().fetch_all(&self.pool).await;
            for row in rows.map_err(StoreError::database("look up build-ids"))? {
                let bytes: &[u8] = row.get("build_id");
                let id = BuildId::from_bytes(bytes).map_err(|_| StoreError::invalid("build-id", hex::encode(bytes)))?;
                let path: String = row.get("member_path");
                found.entry(id).or_default().push(Provider {
                    package: read_package(&row)?,
                    role: read_role(row.get("member_role"))?,
                    path: (!path.is_empty()).then_some(path),
                });
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
                 JOIN packages p ON p.id = b.package_id JOIN repositories r ON r.id = p.repository_id
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

    /// The packages whose metadata says that they own a path, in every version that is known.
    ///
    /// `/lib/x` and `/usr/lib/x` are one path, likewise below `bin`, `sbin`, `lib32`, `lib64`: a system with merged
    /// `/usr` shows files under the other name than the package that ships them.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::InvalidRow`].
    pub async fn find_path(&self, scope: &Scope, path: &str) -> Result<Vec<IndexedPackage>, StoreError> {
        let mut query = QueryBuilder::new(
            "SELECT DISTINCT p.* FROM paths f
             JOIN packages p ON p.repository_id = f.repository_id AND p.name = f.package
             JOIN repositories r ON r.id = p.repository_id WHERE f.path IN (",
        );
        let mut paths = query.separated(", ");
        for path in usr_merge_aliases(path) {
            paths.push_bind(path);
        }
        query.push(") AND r.release = ").push_bind(scope.release.to_string());
        query.push(" AND r.architecture = ").push_bind(scope.architecture.as_str()).push(" ORDER BY p.id");
        let rows = query.build().fetch_all(&self.pool).await;
        rows.map_err(StoreError::database("look up a path"))?.iter().map(read_package).collect()
    }

    /// The packages of this name, in every version that is known.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::InvalidRow`].
    pub async fn find_packages(&self, scope: &Scope, name: &str) -> Result<Vec<IndexedPackage>, StoreError> {
        self.packages_where(scope, "AND p.name = ", Some(name)).await
    }

    /// The packages of this source package, in every version that is known.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::InvalidRow`].
    pub async fn find_by_source(&self, scope: &Scope, source: &str) -> Result<Vec<IndexedPackage>, StoreError> {
        self.packages_where(scope, "AND p.source = ", Some(source)).await
    }

    /// The packages whose build-ids are not all in the index; their files have to be scanned.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::InvalidRow`].
    pub async fn unscanned_packages(&self, scope: &Scope) -> Result<Vec<IndexedPackage>, StoreError> {
        self.packages_where(scope, "AND p.complete = 0", None).await
    }

    async fn packages_where(
        &self,
        scope: &Scope,
        condition: &'static str,
        value: Option<&str>,
    ) -> Result<Vec<IndexedPackage>, StoreError> {
        let mut query = QueryBuilder::new(PACKAGE);
        query.push("WHERE r.release = ").push_bind(scope.release.to_string());
        query.push(" AND r.architecture = ").push_bind(scope.architecture.as_str());
        query.push(" ").push(condition);
        if let Some(value) = value {
            query.push_bind(value);
        }
        query.push(" ORDER BY p.id");
        let rows = query.build().fetch_all(&self.pool).await;
        rows.map_err(StoreError::database("look up packages"))?.iter().map(read_package).collect()
    }
}

/// The two names of a path on a system with merged `/usr`.
fn usr_merge_aliases(path: &str) -> Vec<String> {
    const MERGED: [&str; 5] = ["bin", "sbin", "lib", "lib32", "lib64"];
    let is_merged = |rest: &str| rest.split('/').next().is_some_and(|first| MERGED.contains(&first));
    let alias = match path.strip_prefix("/usr/") {
        Some(rest) if is_merged(rest) => Some(format!("/{rest}")),
        Some(_) => None,
        None => path.strip_prefix('/').filter(|rest| is_merged(rest)).map(|rest| format!("/usr/{rest}")),
    };
    std::iter::once(path.to_owned()).chain(alias).collect()
}

fn read_role(number: i64) -> Result<Role, StoreError> {
    match number {
        0 => Ok(Role::Executable),
        1 => Ok(Role::Debuginfo),
        _ => Err(StoreError::invalid("role", number)),
    }
}

fn read_package(row: &SqliteRow) -> Result<IndexedPackage, StoreError> {
    let epoch: Option<i64> = row.get("epoch");
    let size_bytes: Option<i64> = row.get("size_bytes");
    let sha256: Option<&[u8]> = row.get("sha256");
    Ok(IndexedPackage {
        key: PackageKey(row.get("id")),
        repository: RepositoryKey(row.get("repository_id")),
        id: PackageId {
            name: row.get("name"),
            epoch: epoch.map(|e| u32::try_from(e).map_err(|_| StoreError::invalid("epoch", e))).transpose()?,
            version: row.get("version"),
            release: row.get("release"),
            arch: row.get("arch"),
        },
        kind: rows::from_json("kind", row.get("kind"))?,
        format: rows::from_json("format", row.get("format"))?,
        location: row.get("location"),
        size_bytes: size_bytes.map(rows::size_from_row).transpose()?,
        sha256: sha256.map(rows::digest).transpose()?,
        source: row.get("source"),
        exact_depends: rows::from_json("dependencies", row.get("exact_depends"))?,
        complete: row.get("complete"),
        local: read_local(row)?,
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

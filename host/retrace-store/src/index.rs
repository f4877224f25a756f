//! Filling the index: metadata of a repository in one transaction, packages as they are fetched and scanned.

use std::collections::HashMap;

use retrace_types::{MemberBuildId, PackageFormat, PackageId, PackageKind, Role, Sha256, SignatureState};
use sqlx::{QueryBuilder, Row as _, Sqlite, Transaction, sqlite::SqliteRow};

use crate::{PackageKey, RepositoryKey, Store, StoreError, rows};

/// A package as repository metadata describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPackage {
    /// The package.
    pub id: PackageId,
    /// What it carries.
    pub kind: PackageKind,
    /// Format of its file.
    pub format: PackageFormat,
    /// Path of its file below the mirror's base; unique within the repository.
    pub location: String,
    /// Size of its file.
    pub size_bytes: Option<u64>,
    /// Digest of its file.
    pub sha256: Option<Sha256>,
    /// Source package.
    pub source: Option<String>,
    /// Dependencies on exact versions: name and version.
    pub exact_depends: Vec<(String, String)>,
    /// Build-ids that the metadata names.
    pub build_ids: Vec<MemberBuildId>,
    /// True if the metadata names every build-id of the package.
    pub complete: bool,
}

impl Store {
    /// Replaces what is known of a repository by new metadata, in one transaction.
    ///
    /// A package that the metadata no longer lists stays. One whose digest changed loses its local copy and its scanned
    /// build-ids. Of two packages with one location the later one counts. `paths` are (path, package name) pairs for
    /// repositories whose metadata names no build-ids.
    ///
    /// # Errors
    /// [`StoreError::Database`]; the old index is untouched then.
    pub async fn replace_metadata(
        &self,
        repository: RepositoryKey,
        revision: &str,
        packages: &[NewPackage],
        paths: &[(String, String)],
    ) -> Result<(), StoreError> {
        const ACTION: &str = "replace the metadata of a repository";
        let failed = StoreError::database;
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(failed(ACTION))?;
        let known = known_packages(&mut transaction, repository).await?;
        sqlx::query("UPDATE packages SET upstream = 0 WHERE repository_id = ?")
            .bind(repository.0)
            .execute(&mut *transaction)
            .await
            .map_err(failed(ACTION))?;
        let mut next_id: i64 = sqlx::query_scalar("SELECT coalesce(max(id), 0) + 1 FROM packages")
            .fetch_one(&mut *transaction)
            .await
            .map_err(failed(ACTION))?;

        let mut keyed = Vec::with_capacity(packages.len());
        for package in by_location(packages) {
            let id = match known.get(&package.location) {
                Some(old) => {
                    if !old.is_same_file(package) {
                        forget_content(&mut transaction, old.id).await?;
                    }
                    old.id
                }
                None => next_id,
            };
            next_id += i64::from(id == next_id);
            keyed.push((id, package));
        }
        insert_packages(&mut transaction, repository, &keyed).await?;
        let build_ids = keyed.iter().flat_map(|(id, package)| package.build_ids.iter().map(|member| (*id, member)));
        insert_build_ids(&mut transaction, build_ids.collect()).await?;
        replace_paths(&mut transaction, repository, paths).await?;
        sqlx::query("UPDATE repositories SET revision = ?, synced_at = ? WHERE id = ?")
            .bind(revision)
            .bind(rows::now_ms())
            .bind(repository.0)
            .execute(&mut *transaction)
            .await
            .map_err(failed(ACTION))?;
        transaction.commit().await.map_err(failed(ACTION))
    }

    /// Notes that a verified copy of a package lies in the artifact store. A copy of a file that the metadata replaced in
    /// the meantime is not noted.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn record_local_copy(
        &self,
        package: PackageKey,
        sha256: &Sha256,
        size_bytes: u64,
        signature: &SignatureState,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE packages SET local_sha256 = ?1, local_bytes = ?2, local_signature = ?3
             WHERE id = ?4 AND (sha256 IS NULL OR sha256 = ?1)",
        )
        .bind(sha256.as_bytes().as_slice())
        .bind(rows::size_to_row(size_bytes))
        .bind(rows::to_json(signature))
        .bind(package.0)
        .execute(&self.pool)
        .await
        .map_err(StoreError::database("note a fetched package"))?;
        Ok(())
    }

    /// Adds the build-ids that a scan of the package's files found; the package counts as complete from now on.
    ///
    /// # Errors
    /// [`StoreError::Database`]; nothing is added then.
    pub async fn add_build_ids(&self, package: PackageKey, found: &[MemberBuildId]) -> Result<(), StoreError> {
        const ACTION: &str = "add build-ids";
        let failed = StoreError::database;
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(failed(ACTION))?;
        insert_build_ids(&mut transaction, found.iter().map(|member| (package.0, member)).collect()).await?;
        sqlx::query("UPDATE packages SET complete = 1 WHERE id = ?")
            .bind(package.0)
            .execute(&mut *transaction)
            .await
            .map_err(failed(ACTION))?;
        transaction.commit().await.map_err(failed(ACTION))
    }
}

/// A package that the index has.
struct Known {
    id: i64,
    size_bytes: Option<u64>,
    sha256: Option<Sha256>,
}

impl Known {
    /// Where the metadata gives no digests, the size has to do.
    fn is_same_file(&self, new: &NewPackage) -> bool {
        self.sha256 == new.sha256 && (new.sha256.is_some() || self.size_bytes == new.size_bytes)
    }
}

async fn known_packages(
    transaction: &mut Transaction<'_, Sqlite>,
    repository: RepositoryKey,
) -> Result<HashMap<String, Known>, StoreError> {
    let found = sqlx::query("SELECT location, id, size_bytes, sha256 FROM packages WHERE repository_id = ?")
        .bind(repository.0)
        .fetch_all(&mut **transaction)
        .await
        .map_err(StoreError::database("read the packages of a repository"))?;
    let read = |row: &SqliteRow| {
        let size_bytes = row.get::<Option<i64>, _>(2).map(rows::size_from_row).transpose()?;
        let sha256 = row.get::<Option<&[u8]>, _>(3).map(rows::digest).transpose()?;
        Ok((row.get(0), Known { id: row.get(1), size_bytes, sha256 }))
    };
    found.iter().map(read).collect()
}

/// One package for each location, in the order of the metadata.
fn by_location(packages: &[NewPackage]) -> impl Iterator<Item = &NewPackage> {
    let last: HashMap<_, _> = packages.iter().enumerate().map(|(n, package)| (&package.location, n)).collect();
    packages.iter().enumerate().filter(move |(n, package)| last.get(&package.location) == Some(n)).map(|(_, p)| p)
}

/// The file behind a location is another one now: what was learned from the old one is void.
async fn forget_content(transaction: &mut Transaction<'_, Sqlite>, package: i64) -> Result<(), StoreError> {
    const STATEMENTS: [&str; 2] = [
        "DELETE FROM build_ids WHERE package_id = ?",
        "UPDATE packages SET complete = 0, local_sha256 = NULL, local_bytes = NULL, local_signature = NULL WHERE id = ?",
    ];
    for statement in STATEMENTS {
        sqlx::query(statement)
            .bind(package)
            .execute(&mut **transaction)
            .await
            .map_err(StoreError::database("forget a replaced package"))?;
    }
    Ok(())
}

async fn insert_packages(
    transaction: &mut Transaction<'_, Sqlite>,
    repository: RepositoryKey,
    packages: &[(i64, &NewPackage)],
) -> Result<(), StoreError> {
    const COLUMNS: usize = 16;
    for chunk in packages.chunks(rows::MAX_PARAMETERS / COLUMNS) {
        let mut query = QueryBuilder::new(
            "INSERT INTO packages (id, repository_id, name, epoch, version, release, arch, kind, format, location,
             size_bytes, sha256, source, exact_depends, complete, upstream) ",
        );
        query.push_values(chunk, |mut row, (id, package)| {
            row.push_bind(*id)
                .push_bind(repository.0)
                .push_bind(&package.id.name)
                .push_bind(package.id.epoch.map(i64::from))
                .push_bind(&package.id.version)
                .push_bind(package.id.release.as_deref())
                .push_bind(&package.id.arch)
                .push_bind(rows::to_json(&package.kind))
                .push_bind(rows::to_json(&package.format))
                .push_bind(&package.location)
                .push_bind(package.size_bytes.map(rows::size_to_row))
                .push_bind(package.sha256.map(|sha256| sha256.as_bytes().to_vec()))
                .push_bind(package.source.as_deref())
                .push_bind(rows::to_json(&package.exact_depends))
                .push_bind(package.complete)
                .push_bind(true);
        });
        // A package that was scanned stays complete.
        query.push(
            " ON CONFLICT (repository_id, location) DO UPDATE SET name = excluded.name, epoch = excluded.epoch,
             version = excluded.version, release = excluded.release, arch = excluded.arch, kind = excluded.kind,
             format = excluded.format, size_bytes = excluded.size_bytes, sha256 = excluded.sha256,
             source = excluded.source, exact_depends = excluded.exact_depends,
             complete = max(complete, excluded.complete), upstream = 1",
        );
        let done = query.build().execute(&mut **transaction).await;
        done.map_err(StoreError::database("insert packages"))?;
    }
    Ok(())
}

async fn insert_build_ids(
    transaction: &mut Transaction<'_, Sqlite>,
    mut members: Vec<(i64, &MemberBuildId)>,
) -> Result<(), StoreError> {
    const COLUMNS: usize = 4;
    // In the order of the table: each of its pages is then written once, however large it is.
    members.sort_unstable_by(|(_, a), (_, b)| a.build_id.cmp(&b.build_id));
    for chunk in members.chunks(rows::MAX_PARAMETERS / COLUMNS) {
        let mut query = QueryBuilder::new("INSERT INTO build_ids (build_id, package_id, role, path) ");
        query.push_values(chunk, |mut row, (package, member)| {
            row.push_bind(member.build_id.to_bytes())
                .push_bind(*package)
                .push_bind(role_to_row(member.role))
                .push_bind(member.path.as_deref().unwrap_or_default());
        });
        query.push(" ON CONFLICT DO NOTHING");
        let done = query.build().execute(&mut **transaction).await;
        done.map_err(StoreError::database("insert build-ids"))?;
    }
    Ok(())
}

async fn replace_paths(
    transaction: &mut Transaction<'_, Sqlite>,
    repository: RepositoryKey,
    paths: &[(String, String)],
) -> Result<(), StoreError> {
    const COLUMNS: usize = 3;
    const ACTION: &str = "replace the paths of a repository";
    sqlx::query("DELETE FROM paths WHERE repository_id = ?")
        .bind(repository.0)
        .execute(&mut **transaction)
        .await
        .map_err(StoreError::database(ACTION))?;
    for chunk in paths.chunks(rows::MAX_PARAMETERS / COLUMNS) {
        let mut query = QueryBuilder::new("INSERT INTO paths (path, repository_id, package) ");
        query.push_values(chunk, |mut row, (path, package)| {
            row.push_bind(path).push_bind(repository.0).push_bind(package);
        });
        query.push(" ON CONFLICT DO NOTHING");
        let done = query.build().execute(&mut **transaction).await;
        done.map_err(StoreError::database(ACTION))?;
    }
    Ok(())
}

pub(crate) fn role_to_row(role: Role) -> i64 {
    match role {
        Role::Executable => 0,
        Role::Debuginfo => 1,
    }
}

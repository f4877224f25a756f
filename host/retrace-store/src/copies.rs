//! The copies of packages as files: which there are, replacing and removing them.
//!
//! A row names a copy; a file that no row names is an orphan. Both removals take the file inside the transaction that looks
//! whether it is needed. Whoever is killed between file and commit leaves a row whose file is gone: readers fetch such a
//! package again, and the next removal finishes the work. The other order would leave a moment in which a reader sees a
//! file that is about to go; here it has either noted its use before, and the file stays, or finds no file and fetches it.

use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use futures_util::TryStreamExt as _;
use jiff::Timestamp;
use object_store::path::Path as ObjectPath;
use retrace_types::Sha256;
use sqlx::{Any, Executor as _, Row as _, Transaction};

use crate::{
    IndexedPackage, PackageKey, Store, StoreError,
    artifacts::{PACKAGES, Place, failed as artifact_failed},
    database::Dialect,
    lookup::read_package,
    package_files::remove,
    package_use::PRECISION,
    rows,
};

/// A file in the folder of packages, or an object in their bucket, that no row names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Orphan {
    /// Its path, or its address.
    pub path: PathBuf,
    /// What its name says that it holds; none for what is left of a write that was interrupted.
    pub sha256: Option<Sha256>,
    /// Its size.
    pub size_bytes: u64,
    /// How long ago it was last written.
    pub age: Duration,
}

/// What became of a copy that was to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// The package has no copy any more; so many bytes are free: none if another package has the same file.
    Removed(u64),
    /// A retrace uses it, or a core referenced it; it stays.
    InUse,
}

impl Store {
    /// At most `limit` of the packages with a local copy, of all repositories, in the order of their rows: those after
    /// `after`. Asking again with the last one until none comes gives all of them, in memory that does not grow.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::InvalidRow`].
    pub async fn local_copies(
        &self,
        after: Option<PackageKey>,
        limit: usize,
    ) -> Result<Vec<IndexedPackage>, StoreError> {
        let found = sqlx::query(
            "SELECT p.* FROM (SELECT id FROM packages WHERE local_sha256 IS NOT NULL AND id > $1 ORDER BY id LIMIT $2) w
             CROSS JOIN indexed_packages p WHERE p.id = w.id ORDER BY p.id",
        )
        .bind(after.map_or(i64::MIN, |key| key.0))
        .bind(rows::size_to_row(limit as u64))
        .fetch_all(&self.database.pool)
        .await;
        found.map_err(StoreError::database("list the local copies"))?.iter().map(read_package).collect()
    }

    /// Takes the local copy of a package out of service: it is fetched anew when it is needed. Its file stays, but not a copy
    /// of it in the cache, which would pass for it. The row stays as it is if the package has another copy by now.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn forget_local_copy(&self, package: PackageKey, sha256: &Sha256) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE packages SET local_sha256 = NULL, local_bytes = NULL, local_signature = NULL
             WHERE id = $1 AND local_sha256 = $2",
        )
        .bind(package.0)
        .bind(sha256.as_bytes().as_slice())
        .execute(&self.database.pool)
        .await
        .map_err(StoreError::database("forget a local copy"))?;
        if let Some(bucket) = self.artifacts.bucket() {
            bucket.cache.forget(sha256);
        }
        Ok(())
    }

    /// Forgets the copy of a package, and removes its file if no other package has the same. A package that a core ever
    /// referenced, or that a retrace used at `used_from` or later, keeps it. A copy that is gone already is no error.
    ///
    /// # Errors
    /// [`StoreError::Database`]; [`StoreError::Remove`] if the file cannot be removed: the copy stays then.
    pub async fn remove_copy(
        &self,
        package: PackageKey,
        sha256: &Sha256,
        used_from: Timestamp,
    ) -> Result<Removal, StoreError> {
        const ACTION: &str = "forget the copy of a package";
        let failed = StoreError::database;
        let digest = sha256.as_bytes().as_slice();
        let precision = i64::try_from(PRECISION.as_millis()).unwrap_or(i64::MAX);
        let mut transaction = self.database.begin(ACTION).await?;
        if self.database.dialect == Dialect::Postgres {
            // SQLite has one writer anyway.
            let locked = transaction.execute("LOCK TABLE package_use IN EXCLUSIVE MODE").await;
            locked.map_err(failed(ACTION))?;
        }
        let user: Option<i64> = sqlx::query_scalar(
            "SELECT p.id FROM packages p JOIN package_use u ON u.package_id = p.id
             WHERE p.local_sha256 = $1 AND (u.used_at >= $2 OR p.id = $3 AND u.referenced_at IS NOT NULL) LIMIT 1",
        )
        .bind(digest)
        .bind(used_from.as_millisecond().saturating_sub(precision))
        .bind(package.0)
        .fetch_optional(&mut *transaction)
        .await
        .map_err(failed(ACTION))?;
        if user.is_some() {
            return Ok(Removal::InUse);
        }
        sqlx::query(
            "UPDATE packages SET local_sha256 = NULL, local_bytes = NULL, local_signature = NULL
             WHERE id = $1 AND local_sha256 = $2",
        )
        .bind(package.0)
        .bind(digest)
        .execute(&mut *transaction)
        .await
        .map_err(failed(ACTION))?;
        let shared = has_owner(&mut transaction, sha256).await?;
        let bytes = if shared { 0 } else { self.remove_package_file(sha256).await? };
        transaction.commit().await.map_err(failed(ACTION))?;
        Ok(Removal::Removed(bytes))
    }

    /// The files in the folder of packages that no row names: of runs that were killed, and of packages that changed. A
    /// file that is being fetched is among them.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::InvalidRow`]; [`StoreError::Folder`] if the folder cannot be read.
    pub async fn orphans(&self) -> Result<Vec<Orphan>, StoreError> {
        // First the files, then the rows: what is noted meanwhile is no orphan.
        let mut files = match &self.artifacts.place {
            Place::Folder(dir) => {
                let dir = dir.join(PACKAGES);
                let folder = |source| StoreError::Folder { path: dir.clone(), source };
                let listing = dir.clone();
                let files = tokio::task::spawn_blocking(move || list(&listing)).await;
                files.map_err(io::Error::other).flatten().map_err(folder)?
            }
            Place::Bucket(_) => self.list_objects().await?,
        };
        let named = self.local_digests().await?;
        files.retain(|file| file.sha256.is_none_or(|sha256| !named.contains(&sha256)));
        Ok(files)
    }

    /// Removes a file unless a row names it meanwhile, and returns the bytes that are free.
    ///
    /// # Errors
    /// [`StoreError::Database`]; [`StoreError::Remove`].
    pub async fn remove_orphan(&self, orphan: &Orphan) -> Result<u64, StoreError> {
        const ACTION: &str = "remove a file that no package has";
        let Some(sha256) = &orphan.sha256 else { return remove(&orphan.path) };
        let mut transaction = self.database.begin(ACTION).await?;
        let bytes =
            if has_owner(&mut transaction, sha256).await? { 0 } else { self.remove_package_file(sha256).await? };
        transaction.commit().await.map_err(StoreError::database(ACTION))?;
        Ok(bytes)
    }

    /// The packages in the bucket. What an interrupted upload left is no object: the bucket's own rules remove that.
    async fn list_objects(&self) -> Result<Vec<Orphan>, StoreError> {
        let all = ObjectPath::from(PACKAGES);
        let mut found = self.artifacts.objects.list(Some(&all));
        let mut files = Vec::new();
        while let Some(object) = found.try_next().await.map_err(artifact_failed("list", PACKAGES))? {
            let Some(sha256) = object.location.filename().and_then(|name| name.parse::<Sha256>().ok()) else {
                continue;
            };
            let age = Timestamp::now().as_millisecond().saturating_sub(object.last_modified.timestamp_millis());
            files.push(Orphan {
                path: self.artifacts.location(&object.location),
                sha256: Some(sha256),
                size_bytes: object.size,
                // One from the future is new.
                age: Duration::from_millis(u64::try_from(age).unwrap_or(0)),
            });
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(files)
    }

    async fn local_digests(&self) -> Result<HashSet<Sha256>, StoreError> {
        let mut found = sqlx::query("SELECT DISTINCT local_sha256 FROM packages WHERE local_sha256 IS NOT NULL")
            .fetch(&self.database.pool);
        let mut digests = HashSet::new();
        while let Some(row) = found.try_next().await.map_err(StoreError::database("list the local copies"))? {
            digests.insert(rows::digest(row.get(0))?);
        }
        Ok(digests)
    }
}

async fn has_owner(transaction: &mut Transaction<'_, Any>, sha256: &Sha256) -> Result<bool, StoreError> {
    let owner: Option<i64> = sqlx::query_scalar("SELECT id FROM packages WHERE local_sha256 = $1 LIMIT 1")
        .bind(sha256.as_bytes().as_slice())
        .fetch_optional(&mut **transaction)
        .await
        .map_err(StoreError::database("look whose copy a file is"))?;
    Ok(owner.is_some())
}

/// `ab/abcd…`: what the store wrote. Anything else in the folder is not ours.
fn list(dir: &Path) -> io::Result<Vec<Orphan>> {
    let mut found = Vec::new();
    for folder in read(dir)? {
        if folder.file_type()?.is_dir() {
            for entry in read(&folder.path())? {
                found.extend(file(&entry)?);
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

fn read(dir: &Path) -> io::Result<Vec<fs::DirEntry>> {
    match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        entries => entries?.collect(),
    }
}

fn file(entry: &fs::DirEntry) -> io::Result<Option<Orphan>> {
    let name = entry.file_name();
    let name = name.to_string_lossy();
    // The object store writes to `<name>#<number>` first.
    let (name, is_part) = name.split_once('#').map_or((name.as_ref(), false), |(name, _)| (name, true));
    let Ok(sha256) = name.parse::<Sha256>() else { return Ok(None) };
    let metadata = match entry.metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        metadata => metadata?,
    };
    if !metadata.is_file() {
        return Ok(None);
    }
    // A file from the future is new.
    let age = SystemTime::now().duration_since(metadata.modified()?).unwrap_or_default();
    let sha256 = (!is_part).then_some(sha256);
    Ok(Some(Orphan { path: entry.path(), sha256, size_bytes: metadata.len(), age }))
}

#[cfg(test)]
mod tests;

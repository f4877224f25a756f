//! The copies that the artifact store keeps: to be looked at one after the other, taken out of service, replaced.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use futures_util::TryStreamExt as _;
use jiff::Timestamp;
use object_store::{ObjectMeta, ObjectStore as _, path::Path as ObjectPath};
use retrace_types::Sha256;
use sqlx::Row as _;

use crate::{
    IndexedPackage, PackageKey, Store, StoreError,
    artifacts::{PACKAGES, package_name},
    lookup::read_package,
    rows,
};

/// A package file of the artifact store that no package of the index has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrphanedArtifact {
    /// The digest that it is named by.
    pub sha256: Sha256,
    /// Its size.
    pub size_bytes: u64,
    /// Where it lies.
    pub path: PathBuf,
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

    /// Takes the local copy of a package out of service: it is fetched anew when it is needed. Its file stays. Nothing
    /// happens if the package has another copy by now.
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
        Ok(())
    }

    /// As [`put_package_file`](Self::put_package_file), but a file that is there already is replaced, by a rename: who has
    /// it open, or a link to it, keeps the old one.
    ///
    /// # Errors
    /// [`StoreError::DigestMismatch`] if the file has another digest; what is there stays then.
    pub async fn replace_package_file(&self, path: &Path, sha256: &Sha256) -> Result<PathBuf, StoreError> {
        self.write_package_file(path, sha256).await?;
        self.package_path(sha256)
    }

    /// The package files that no package of the index has as its copy, in the order of their digests. Files that were
    /// written after `before` are left out: who wrote them may be about to note them. Needs 32 bytes of memory for each
    /// file of the store.
    ///
    /// # Errors
    /// [`StoreError::Artifact`], [`StoreError::Database`], [`StoreError::InvalidRow`].
    pub async fn orphaned_artifacts(&self, before: Timestamp) -> Result<Vec<OrphanedArtifact>, StoreError> {
        let name = ObjectPath::from(PACKAGES);
        let failed = |source| StoreError::Artifact { action: "list", name: PACKAGES.to_owned(), source };
        let known = self.local_digests().await?;
        let mut orphans = Vec::new();
        let mut listed = self.artifacts.list(Some(&name));
        while let Some(file) = listed.try_next().await.map_err(failed)? {
            let ObjectMeta { location, last_modified, size, .. } = file;
            let Some(sha256) = location.filename().and_then(|name| name.parse::<Sha256>().ok()) else { continue };
            let is_recent = last_modified.timestamp_millis() > before.as_millisecond();
            if is_recent || known.contains(&sha256) || package_name(&sha256) != location {
                continue;
            }
            orphans.push(OrphanedArtifact { path: self.package_path(&sha256)?, sha256, size_bytes: size });
        }
        if !orphans.is_empty() {
            // Somebody may have found a use for one in the meantime.
            let known = self.local_digests().await?;
            orphans.retain(|orphan| !known.contains(&orphan.sha256));
        }
        orphans.sort_by_key(|orphan| orphan.sha256);
        Ok(orphans)
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

#[cfg(test)]
mod tests {
    use jiff::ToSpan as _;
    use retrace_types::SignatureState;

    use super::*;
    use crate::{
        status::tests::{filled, package},
        testing::{Test, on_both_databases},
    };

    on_both_databases!(copies_are_listed_in_pages_and_taken_out_of_service, files_that_nobody_has_are_told);

    /// Stores this text as a package file.
    async fn stored(test: &Test, text: &str) -> Sha256 {
        use sha2::Digest as _;
        let sha256 = Sha256::from_bytes(sha2::Sha256::digest(text).into());
        let file = test.dir.path().join("file");
        std::fs::write(&file, text).unwrap();
        test.store.put_package_file(&file, &sha256).await.unwrap();
        sha256
    }

    async fn copies_are_listed_in_pages_and_taken_out_of_service(test: Test) {
        let mut packages: Vec<_> = (0..5).map(|n| package(&format!("p{n}"), &[])).collect();
        packages.iter_mut().for_each(|package| package.sha256 = None);
        filled(&test.store, "fedora-40", "releases", &packages[..3]).await;
        filled(&test.store, "fedora-41", "updates", &packages[3..]).await;
        let sha256 = stored(&test, "x").await;
        let mut keys = Vec::new();
        for (release, name) in [("fedora-40", "p0"), ("fedora-40", "p2"), ("fedora-41", "p3"), ("fedora-41", "p4")] {
            let scope = crate::Scope { release: release.parse().unwrap(), architecture: "x86_64".parse().unwrap() };
            let found = test.store.find_packages(&scope, name).await.unwrap();
            keys.push(found[0].key);
            test.store.record_local_copy(found[0].key, &sha256, 1, &SignatureState::Off).await.unwrap();
        }
        let (mut listed, mut last) = (Vec::new(), None);
        loop {
            let page = test.store.local_copies(last, 3).await.unwrap();
            let Some(end) = page.last() else { break };
            last = Some(end.key);
            listed.extend(page.iter().map(|package| package.key));
        }
        assert_eq!(listed, keys);

        let other = Sha256::from_bytes([1; 32]);
        test.store.forget_local_copy(keys[0], &other).await.unwrap();
        assert_eq!(test.store.local_copies(None, 9).await.unwrap().len(), 4, "it has another copy");
        test.store.forget_local_copy(keys[0], &sha256).await.unwrap();
        assert_eq!(test.store.local_copies(None, 9).await.unwrap().len(), 3);
        assert!(test.store.package_path(&sha256).unwrap().is_file());
    }

    async fn files_that_nobody_has_are_told(test: Test) {
        let kept = stored(&test, "kept").await;
        let orphan = stored(&test, "orphan").await;
        std::fs::write(test.dir.path().join("artifacts/packages/readme"), "no package").unwrap();
        filled(&test.store, "fedora-40", "releases", &[crate::NewPackage { sha256: None, ..package("p", &[]) }]).await;
        let scope = crate::Scope { release: "fedora-40".parse().unwrap(), architecture: "x86_64".parse().unwrap() };
        let found = test.store.find_packages(&scope, "p").await.unwrap();
        test.store.record_local_copy(found[0].key, &kept, 4, &SignatureState::Off).await.unwrap();
        let soon = Timestamp::now() + 1.minute();
        let found = test.store.orphaned_artifacts(soon).await.unwrap();
        let path = test.store.package_path(&orphan).unwrap();
        assert_eq!(found, [OrphanedArtifact { sha256: orphan, size_bytes: 6, path }]);
        let earlier = Timestamp::now() - 1.minute();
        assert_eq!(test.store.orphaned_artifacts(earlier).await.unwrap(), []);
    }

    #[tokio::test]
    async fn a_file_is_replaced_and_links_to_it_keep_the_old_one() {
        let test = Test::sqlite().await;
        let sha256 = stored(&test, "content").await;
        let path = test.store.package_path(&sha256).unwrap();
        let link = test.dir.path().join("link");
        std::fs::hard_link(&path, &link).unwrap();
        std::fs::write(&path, "damaged").unwrap();
        let good = test.dir.path().join("file");
        assert_eq!(test.store.put_package_file(&good, &sha256).await.unwrap(), path);
        assert_eq!(std::fs::read(&path).unwrap(), b"damaged", "what is there is left");
        assert_eq!(test.store.replace_package_file(&good, &sha256).await.unwrap(), path);
        assert_eq!(std::fs::read(&path).unwrap(), b"content");
        assert_eq!(std::fs::read(&link).unwrap(), b"damaged");

        std::fs::write(&good, "other").unwrap();
        let error = test.store.replace_package_file(&good, &sha256).await.unwrap_err();
        assert!(matches!(error, StoreError::DigestMismatch { .. }), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), b"content");
    }
}

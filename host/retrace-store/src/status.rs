//! What is there of each repository, and what went wrong with it.

use std::collections::HashMap;

use jiff::Timestamp;
use retrace_types::{Architecture, ReleaseId};
use sqlx::{Any, Row as _, Transaction};

use crate::{
    PackageKey, RepositoryKey, Store, StoreError,
    repositories::{read_architecture, read_release},
    rows,
};

/// What the index and the artifact store have of a repository.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RepositoryCounts {
    /// Packages of the index, in every version.
    pub packages: u64,
    /// Of these, listed by the newest metadata.
    pub upstream: u64,
    /// Of these, with build-ids that are not known before the package is fetched and searched.
    pub unscanned: u64,
    /// Of these, with a verified copy in the artifact store.
    pub local: u64,
    /// Size of the copies, in bytes. One that two repositories have counts in both.
    pub local_bytes: u64,
    /// Files with build-ids.
    pub build_ids: u64,
}

/// A repository whose last sync failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncFailure {
    /// Release of the repository.
    pub release: ReleaseId,
    /// Architecture of the repository.
    pub architecture: Architecture,
    /// Id of the repository. It may be in no index: the first sync failed.
    pub repository: String,
    /// The first failure that no success followed.
    pub since: Timestamp,
    /// The last failure.
    pub failed_at: Timestamp,
    /// What went wrong then, with its causes, in one line.
    pub message: String,
}

impl Store {
    /// The counts of each repository that is registered. Reads every package, but no build-id.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::InvalidRow`].
    pub async fn repository_counts(&self) -> Result<HashMap<RepositoryKey, RepositoryCounts>, StoreError> {
        const COUNT: &str = "SELECT r.id, r.build_ids, coalesce(p.packages, 0), coalesce(p.upstream, 0),
                coalesce(p.unscanned, 0), coalesce(p.local, 0), coalesce(p.local_bytes, 0)
            FROM repositories r LEFT JOIN (
                SELECT repository_id, count(*) AS packages, CAST(sum(upstream) AS BIGINT) AS upstream,
                    CAST(sum(1 - complete) AS BIGINT) AS unscanned, count(local_sha256) AS local,
                    CAST(sum(coalesce(local_bytes, 0)) AS BIGINT) AS local_bytes
                FROM packages GROUP BY repository_id
            ) p ON p.repository_id = r.id";
        let found = sqlx::query(COUNT).fetch_all(&self.database.pool).await;
        let mut counts = HashMap::new();
        for row in found.map_err(StoreError::database("count packages"))? {
            let number = |column: usize| rows::size_from_row(row.get(column));
            let of_one = RepositoryCounts {
                build_ids: number(1)?,
                packages: number(2)?,
                upstream: number(3)?,
                unscanned: number(4)?,
                local: number(5)?,
                local_bytes: number(6)?,
            };
            counts.insert(RepositoryKey(row.get(0)), of_one);
        }
        Ok(counts)
    }

    /// Notes that a repository could not be synced, and why.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn note_sync_failure(
        &self,
        release: &ReleaseId,
        architecture: Architecture,
        repository: &str,
        message: &str,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO sync_failures (release, architecture, name, since, failed_at, message)
             VALUES ($1, $2, $3, $4, $4, $5)
             ON CONFLICT (release, architecture, name)
             DO UPDATE SET failed_at = excluded.failed_at, message = excluded.message",
        )
        .bind(release.to_string())
        .bind(architecture.as_str())
        .bind(repository)
        .bind(rows::now_ms())
        .bind(message.replace('\0', ""))
        .execute(&self.database.pool)
        .await
        .map_err(StoreError::database("note a failed sync"))?;
        Ok(())
    }

    /// Notes that a repository could be synced: its failure is history.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn clear_sync_failure(
        &self,
        release: &ReleaseId,
        architecture: Architecture,
        repository: &str,
    ) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM sync_failures WHERE release = $1 AND architecture = $2 AND name = $3")
            .bind(release.to_string())
            .bind(architecture.as_str())
            .bind(repository)
            .execute(&self.database.pool)
            .await
            .map_err(StoreError::database("forget a failed sync"))?;
        Ok(())
    }

    /// The repositories whose last sync failed.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::InvalidRow`].
    pub async fn sync_failures(&self) -> Result<Vec<SyncFailure>, StoreError> {
        let found = sqlx::query(
            "SELECT release, architecture, name, since, failed_at, message FROM sync_failures
             ORDER BY release, architecture, name",
        )
        .fetch_all(&self.database.pool)
        .await;
        let found = found.map_err(StoreError::database("list the failed syncs"))?;
        let read = |row: &sqlx::any::AnyRow| {
            Ok(SyncFailure {
                release: read_release(row.get(0))?,
                architecture: read_architecture(row.get(1))?,
                repository: row.get(2),
                since: rows::timestamp(row.get(3))?,
                failed_at: rows::timestamp(row.get(4))?,
                message: row.get(5),
            })
        };
        found.iter().map(read).collect()
    }
}

/// Counts the build-ids that a transaction has written.
pub(crate) async fn count_build_ids(
    transaction: &mut Transaction<'_, Any>,
    repository: RepositoryKey,
    written: u64,
) -> Result<(), StoreError> {
    let done = sqlx::query("UPDATE repositories SET build_ids = build_ids + $1 WHERE id = $2")
        .bind(rows::size_to_row(written))
        .bind(repository.0)
        .execute(&mut **transaction)
        .await;
    done.map(drop).map_err(StoreError::database("count build-ids"))
}

/// As [`count_build_ids`], for the repository of a package.
pub(crate) async fn count_scanned(
    transaction: &mut Transaction<'_, Any>,
    package: PackageKey,
    written: u64,
) -> Result<(), StoreError> {
    let done = sqlx::query(
        "UPDATE repositories SET build_ids = build_ids + $1
         WHERE id = (SELECT repository_id FROM packages WHERE id = $2)",
    )
    .bind(rows::size_to_row(written))
    .bind(package.0)
    .execute(&mut **transaction)
    .await;
    done.map(drop).map_err(StoreError::database("count build-ids"))
}

#[cfg(test)]
pub(crate) mod tests {
    use retrace_types::{BuildId, MemberBuildId, PackageFormat, PackageId, PackageKind, Role, Sha256, SignatureState};

    use super::*;
    use crate::{
        NewPackage,
        testing::{Test, on_both_databases, repository},
    };

    on_both_databases!(a_repository_is_counted, a_failure_stays_until_a_success);

    pub(crate) fn member(n: u8) -> MemberBuildId {
        let path = n.is_multiple_of(2).then(|| format!("/usr/bin/{n}"));
        MemberBuildId { build_id: BuildId::from_bytes(&[n; 20]).unwrap(), role: Role::Executable, path }
    }

    pub(crate) fn package(name: &str, build_ids: &[u8]) -> NewPackage {
        NewPackage {
            id: PackageId {
                name: name.into(),
                epoch: None,
                version: "1".into(),
                release: Some("1".into()),
                arch: "x86_64".into(),
            },
            kind: PackageKind::Binary,
            format: PackageFormat::Rpm,
            location: format!("{name}-1-1.x86_64.rpm"),
            size_bytes: Some(7),
            sha256: Some(Sha256::from_bytes([3; 32])),
            source: None,
            exact_depends: Vec::new(),
            build_ids: build_ids.iter().map(|n| member(*n)).collect(),
            complete: !build_ids.is_empty(),
        }
    }

    pub(crate) async fn filled(store: &Store, release: &str, name: &str, packages: &[NewPackage]) -> RepositoryKey {
        let mut new = repository();
        new.release = release.parse().unwrap();
        new.spec.id = name.into();
        let key = store.register_repository(&new).await.unwrap();
        store.replace_metadata(key, "r1", packages, &[]).await.unwrap();
        key
    }

    async fn a_repository_is_counted(test: Test) {
        let store = &test.store;
        let packages = [package("a", &[1, 2]), package("b", &[2, 3, 4]), package("silent", &[])];
        let key = filled(store, "fedora-40", "releases", &packages).await;
        let other = filled(store, "fedora-40", "updates", &[package("a", &[1])]).await;
        let empty = filled(store, "fedora-41", "releases", &[]).await;
        let want = RepositoryCounts { packages: 3, upstream: 3, unscanned: 1, build_ids: 5, ..Default::default() };
        let of = async |key| store.repository_counts().await.unwrap()[&key];
        assert_eq!(of(key).await, want);
        assert_eq!(of(empty).await, RepositoryCounts::default());

        // The same again, then a package dropped, one with other bytes, which is not taken, and one searched and kept.
        store.replace_metadata(key, "r2", &packages, &[]).await.unwrap();
        assert_eq!(of(key).await, want);
        let replaced = NewPackage { sha256: Some(Sha256::from_bytes([4; 32])), ..package("b", &[5]) };
        store.replace_metadata(key, "r3", &[replaced, package("silent", &[])], &[]).await.unwrap();
        let want = RepositoryCounts { upstream: 1, ..want };
        assert_eq!(of(key).await, want, "what was dropped or changed stays known");
        let silent = store.find_packages(&crate::testing::scope(), "silent").await.unwrap().remove(0);
        for _ in 0..2 {
            store.add_build_ids(silent.key, &[member(8), member(9)]).await.unwrap();
        }
        let sha256 = silent.sha256.unwrap();
        store.record_local_copy(silent.key, &sha256, 11, &SignatureState::Off).await.unwrap();
        assert_eq!(of(key).await, RepositoryCounts { unscanned: 0, local: 1, local_bytes: 11, build_ids: 7, ..want });
        assert_eq!(of(other).await.build_ids, 1);
    }

    async fn a_failure_stays_until_a_success(test: Test) {
        let store = &test.store;
        let release: ReleaseId = "fedora-40".parse().unwrap();
        let note = async |message| {
            store.note_sync_failure(&release, Architecture::X86_64, "updates", message).await.unwrap();
            store.sync_failures().await.unwrap().remove(0)
        };
        let first = note("first").await;
        assert_eq!((first.repository.as_str(), first.since), ("updates", first.failed_at));
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        let second = note("sec\0ond").await;
        assert_eq!((second.message.as_str(), second.since), ("second", first.since));
        assert!(second.failed_at > first.failed_at);
        store.note_sync_failure(&release, Architecture::Aarch64, "updates", "x").await.unwrap();
        store.clear_sync_failure(&release, Architecture::X86_64, "updates").await.unwrap();
        let left = store.sync_failures().await.unwrap();
        assert_eq!(left.iter().map(|failure| failure.architecture).collect::<Vec<_>>(), [Architecture::Aarch64]);
    }
}

//! Groups: crashes with one signature, and a result that is kept for them.
//!
//! A group counts what was seen and is not changed when a task is deleted. Its result is a copy of its own in the artifact
//! store, `groups/<group>/<stack>.json`, so that it outlives the task that it came from; whoever writes it leaves out what
//! belongs to one process alone. The copy is written before the transaction that names it, and one that nothing names is
//! removed by [`Store::trim_groups`].

use std::{collections::HashSet, time::Duration};

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use jiff::Timestamp;
use object_store::{ObjectStoreExt as _, PutPayload, path::Path as ObjectPath};
use retrace_types::{SIGNATURE_SCHEMA, Sha256};
use sqlx::{Any, AssertSqlSafe, Row as _, Transaction, any::AnyRow};

use crate::{
    Finding, Store, StoreError,
    artifacts::failed,
    findings::{bytes, tidy, to_ms},
    rows,
};

/// Folder of the kept results among the artifacts.
const GROUPS: &str = "groups";

/// Kept results of one group, the newest: builds differ, and so do stacks that lead to the same functions.
const MAX_ANSWERS: i64 = 64;

/// How old a result without a row must be to be removed: its writer may be about to make the row.
const ORPHAN_AGE: Duration = Duration::from_secs(3600);

/// A group.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Its signature: of functions, or of addresses where no function is known.
    pub id: Sha256,
    /// The functions, `file!function`, the innermost first; empty if none is known.
    pub frames: Vec<String>,
    /// Signal of the last crash.
    pub signal: Option<String>,
    /// Program of the last crash.
    pub executable: Option<String>,
    /// When the first crash was finished.
    pub first_seen: Timestamp,
    /// When the last one was.
    pub last_seen: Timestamp,
    /// How many there were, deleted ones included.
    pub crashes: u64,
    /// How many of these were answered from the group.
    pub answered: u64,
    /// Name of the newest result that is kept; none if there never was one.
    pub result: Option<Sha256>,
}

/// A release and package that a group was seen in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupPackage {
    /// Release; none if it was not known.
    pub release: Option<String>,
    /// Package with version; none if it was not known.
    pub package: Option<String>,
    /// How many crashes.
    pub crashes: u64,
    /// The first one.
    pub first_seen: Timestamp,
    /// The last one.
    pub last_seen: Timestamp,
}

/// The order of a list of groups, and the last one of the page before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupOrder {
    /// The newest first. Stable: what comes in later stands before the first page.
    Newest(Option<(i64, Sha256)>),
    /// The most frequent first. A group that is seen meanwhile may move before the page.
    Frequent(Option<(i64, Sha256)>),
}

/// The result that answers a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptResult {
    /// Its group.
    pub group: Sha256,
    /// Its name.
    pub stack: Sha256,
}

impl Store {
    /// A group; none if there is no such group.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::InvalidRow`].
    pub async fn group(&self, id: &Sha256) -> Result<Option<Group>, StoreError> {
        let found = sqlx::query("SELECT * FROM crash_groups WHERE id = $1").bind(bytes(id));
        let found = found.fetch_optional(&self.database.pool).await.map_err(StoreError::database("read a group"))?;
        found.as_ref().map(read_group).transpose()
    }

    /// The group that a signature of addresses, or of functions, belongs to.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::InvalidRow`].
    pub async fn group_of_signature(&self, signature: &Sha256) -> Result<Option<Group>, StoreError> {
        let found = sqlx::query(
            "SELECT * FROM crash_groups WHERE id = coalesce(
                 (SELECT group_id FROM group_addresses WHERE addresses = $1), $1)",
        )
        .bind(bytes(signature))
        .fetch_optional(&self.database.pool)
        .await;
        found.map_err(StoreError::database("look for a group"))?.as_ref().map(read_group).transpose()
    }

    /// At most `limit` groups, in order.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::InvalidRow`].
    pub async fn groups(&self, order: GroupOrder, limit: u32) -> Result<Vec<Group>, StoreError> {
        let (column, after) = match order {
            GroupOrder::Newest(after) => ("first_seen_at", after),
            GroupOrder::Frequent(after) => ("crashes", after),
        };
        let statement = match after {
            Some(_) => format!(
                "SELECT * FROM crash_groups WHERE ({column}, id) < ($2, $3) ORDER BY {column} DESC, id DESC LIMIT $1"
            ),
            None => format!("SELECT * FROM crash_groups ORDER BY {column} DESC, id DESC LIMIT $1"),
        };
        let mut query = sqlx::query(AssertSqlSafe(statement)).bind(i64::from(limit));
        if let Some((value, id)) = &after {
            query = query.bind(*value).bind(bytes(id));
        }
        let found = query.fetch_all(&self.database.pool).await.map_err(StoreError::database("list the groups"))?;
        found.iter().map(read_group).collect()
    }

    /// The releases and packages that a group was seen in, the last seen first; at most `limit`.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::InvalidRow`].
    pub async fn group_packages(&self, id: &Sha256, limit: u32) -> Result<Vec<GroupPackage>, StoreError> {
        let found = sqlx::query(
            "SELECT release, package, crashes, first_seen_at, last_seen_at FROM group_packages WHERE group_id = $1
             ORDER BY last_seen_at DESC, release, package LIMIT $2",
        )
        .bind(bytes(id))
        .bind(i64::from(limit))
        .fetch_all(&self.database.pool)
        .await;
        let read = |row: &AnyRow| {
            let text = |column: usize| Some(row.get::<String, _>(column)).filter(|text| !text.is_empty());
            Ok(GroupPackage {
                release: text(0),
                package: text(1),
                crashes: rows::size_from_row(row.get(2))?,
                first_seen: rows::timestamp(row.get(3))?,
                last_seen: rows::timestamp(row.get(4))?,
            })
        };
        found.map_err(StoreError::database("list the packages of a group"))?.iter().map(read).collect()
    }

    /// The result that is kept for crashes that look like this before their stack is walked.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::InvalidRow`].
    pub async fn kept_result(&self, fingerprint: &Sha256) -> Result<Option<KeptResult>, StoreError> {
        let found = sqlx::query("SELECT group_id, stack FROM group_answers WHERE fingerprint = $1")
            .bind(bytes(fingerprint))
            .fetch_optional(&self.database.pool)
            .await;
        let read = |row: AnyRow| Ok(KeptResult { group: rows::digest(row.get(0))?, stack: rows::digest(row.get(1))? });
        found.map_err(StoreError::database("look for a kept result"))?.map(read).transpose()
    }

    /// Keeps a result for a group. The same name has the same content, whoever writes it.
    ///
    /// # Errors
    /// [`StoreError::Artifact`].
    pub async fn keep_result(&self, kept: KeptResult, document: Vec<u8>) -> Result<(), StoreError> {
        let name = result_name(kept);
        let payload = PutPayload::from_bytes(Bytes::from(document));
        self.artifacts.objects.put(&name, payload).await.map(drop).map_err(failed("write", name))
    }

    /// A result that is kept for a group; none if it is gone.
    ///
    /// # Errors
    /// [`StoreError::Artifact`], also if it has more than `max_bytes`.
    pub async fn read_kept_result(&self, kept: KeptResult, max_bytes: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let name = result_name(kept);
        let found = match self.artifacts.objects.get(&name).await {
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            found => found.map_err(failed("read", &name))?,
        };
        if found.meta.size > max_bytes {
            let source = format!("it has {} bytes, more than {max_bytes}", found.meta.size).into();
            return Err(failed("read", &name)(object_store::Error::Generic { store: "groups", source }));
        }
        Ok(Some(found.bytes().await.map_err(failed("read", &name))?.into()))
    }

    /// Forgets groups that were last seen before a time, and removes kept results that no group names any more; returns how
    /// many groups that were.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Artifact`].
    pub async fn trim_groups(&self, unseen_since: Timestamp) -> Result<u64, StoreError> {
        const ACTION: &str = "forget old groups";
        let done = sqlx::query("DELETE FROM crash_groups WHERE last_seen_at < $1")
            .bind(to_ms(unseen_since))
            .execute(&self.database.pool)
            .await
            .map_err(StoreError::database(ACTION))?;
        let named = sqlx::query(
            "SELECT group_id, stack FROM group_answers UNION
             SELECT id, result_stack FROM crash_groups WHERE result_stack IS NOT NULL",
        )
        .fetch_all(&self.database.pool)
        .await
        .map_err(StoreError::database(ACTION))?;
        let name = |row: &AnyRow| {
            Ok(result_name(KeptResult { group: rows::digest(row.get(0))?, stack: rows::digest(row.get(1))? }))
        };
        let named = named.iter().map(name).collect::<Result<HashSet<_>, StoreError>>()?;
        let folder = ObjectPath::from(GROUPS);
        let oldest_ms = rows::now_ms().saturating_sub(i64::try_from(ORPHAN_AGE.as_millis()).unwrap_or(i64::MAX));
        let found: Vec<_> =
            self.artifacts.objects.list(Some(&folder)).try_collect().await.map_err(failed("list", &folder))?;
        for result in found {
            if !named.contains(&result.location) && result.last_modified.timestamp_millis() < oldest_ms {
                self.artifacts.remove(&result.location).await?;
            }
        }
        Ok(done.rows_affected())
    }
}

/// Adds a crash to its group; one that `is_new` not was counted there before.
pub(crate) async fn count(
    transaction: &mut Transaction<'_, Any>,
    group: &Sha256,
    finding: &Finding,
    seen_at: i64,
    is_new: bool,
) -> Result<(), StoreError> {
    let refused = || StoreError::database("count a crash in its group");
    let functions = finding.signature.as_ref().and_then(|signature| signature.functions.as_ref());
    let frames = functions.map(|functions| functions.frames.as_slice()).unwrap_or_default();
    sqlx::query(
        "INSERT INTO crash_groups (id, schema, frames, signal, executable, first_seen_at, last_seen_at, crashes, answered,
             result_stack)
         VALUES ($1, $2, $3, $4, $5, $6, $6, $9, $7, $8)
         ON CONFLICT (id) DO UPDATE SET signal = excluded.signal, executable = excluded.executable,
             last_seen_at = excluded.last_seen_at, crashes = crash_groups.crashes + excluded.crashes,
             answered = crash_groups.answered + excluded.answered,
             result_stack = coalesce(excluded.result_stack, crash_groups.result_stack)",
    )
    .bind(bytes(group))
    .bind(SIGNATURE_SCHEMA)
    .bind(rows::to_json(&frames))
    .bind(finding.signal.as_deref())
    .bind(finding.executable.as_deref())
    .bind(seen_at)
    .bind(i64::from(finding.from_group))
    .bind(finding.answer.as_ref().map(|answer| bytes(&answer.stack)))
    .bind(i64::from(is_new))
    .execute(&mut **transaction)
    .await
    .map_err(refused())?;
    sqlx::query(
        "INSERT INTO group_packages (group_id, release, package, crashes, first_seen_at, last_seen_at)
         VALUES ($1, $2, $3, $5, $4, $4) ON CONFLICT (group_id, release, package)
         DO UPDATE SET crashes = group_packages.crashes + excluded.crashes, last_seen_at = excluded.last_seen_at",
    )
    .bind(bytes(group))
    .bind(finding.release.as_ref().map(ToString::to_string).unwrap_or_default())
    .bind(finding.package.as_deref().map(tidy).unwrap_or_default())
    .bind(seen_at)
    .bind(i64::from(is_new))
    .execute(&mut **transaction)
    .await
    .map_err(refused())?;
    if let Some(addresses) = finding.signature.as_ref().and_then(|signature| signature.addresses) {
        // The newest wins: symbols that were missing before may have been found.
        sqlx::query(
            "INSERT INTO group_addresses (addresses, group_id) VALUES ($1, $2)
             ON CONFLICT (addresses) DO UPDATE SET group_id = excluded.group_id",
        )
        .bind(bytes(&addresses))
        .bind(bytes(group))
        .execute(&mut **transaction)
        .await
        .map_err(refused())?;
    }
    if let Some(answer) = &finding.answer
        && let Some(fingerprint) = &answer.fingerprint
    {
        sqlx::query(
            "INSERT INTO group_answers (fingerprint, group_id, stack, seen_at) VALUES ($1, $2, $3, $4)
             ON CONFLICT (fingerprint) DO UPDATE SET group_id = excluded.group_id, stack = excluded.stack,
                 seen_at = excluded.seen_at",
        )
        .bind(bytes(fingerprint))
        .bind(bytes(group))
        .bind(bytes(&answer.stack))
        .bind(seen_at)
        .execute(&mut **transaction)
        .await
        .map_err(refused())?;
        sqlx::query(
            "DELETE FROM group_answers WHERE fingerprint IN (
                 SELECT fingerprint FROM group_answers WHERE group_id = $1
                 ORDER BY seen_at DESC, fingerprint LIMIT 1000 OFFSET $2)",
        )
        .bind(bytes(group))
        .bind(MAX_ANSWERS)
        .execute(&mut **transaction)
        .await
        .map_err(refused())?;
    }
    Ok(())
}

fn result_name(kept: KeptResult) -> ObjectPath {
    ObjectPath::from_iter([GROUPS.to_owned(), kept.group.to_string(), format!("{}.json", kept.stack)])
}

fn read_group(row: &AnyRow) -> Result<Group, StoreError> {
    let result: Option<Vec<u8>> = row.get("result_stack");
    Ok(Group {
        id: rows::digest(row.get("id"))?,
        frames: rows::from_json("frames", row.get("frames"))?,
        signal: row.get("signal"),
        executable: row.get("executable"),
        first_seen: rows::timestamp(row.get("first_seen_at"))?,
        last_seen: rows::timestamp(row.get("last_seen_at"))?,
        crashes: rows::size_from_row(row.get("crashes"))?,
        answered: rows::size_from_row(row.get("answered"))?,
        result: result.as_deref().map(rows::digest).transpose()?,
    })
}

//! What is counted of finished tasks, for good: deleting a task takes nothing back.
//!
//! Counts are kept by day, release, architecture, package, reason of failure and class of duration, so that a question is
//! one sum over the days that it asks for. Durations are kept in classes of an eighth of an octave: a median or percentile
//! is told to within 7 %.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use retrace_types::{BuildId, Role};
use sqlx::{Any, AssertSqlSafe, Row as _, Transaction, any::AnyRow};

use crate::{
    Finding, Store, StoreError,
    findings::{Times, tidy, to_ms},
    rows,
};

const ACTION: &str = "count a task";
const READ: &str = "read the statistics";

const MS_PER_DAY: i64 = 24 * 60 * 60 * 1000;

/// Missing build-ids and packages of one task that are counted; a core may claim thousands.
const MAX_PER_TASK: usize = 64;

/// Missing build-ids that are kept, those seen last.
const MAX_MISSING: i64 = 100_000;

/// The most rows of one answer.
pub const MAX_STATISTICS: u32 = 1000;

/// What tasks are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CountBy {
    /// The whole time together.
    Nothing,
    /// Each day.
    Day,
    /// Each week; it is named by its Monday.
    Week,
    /// Release.
    Release,
    /// Architecture.
    Architecture,
    /// Name of the package.
    Package,
}

/// Tasks of one day, week, release, architecture or package.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskStatistics {
    /// Its name; empty if it is unknown. Days and weeks are days since the Unix epoch.
    pub key: String,
    /// Finished tasks.
    pub tasks: u64,
    /// Of these, failed ones, by reason.
    pub failures: BTreeMap<String, u64>,
    /// Half of the tasks took less than so many milliseconds; none if none was worked on.
    pub median_ms: Option<u64>,
    /// 95 % of the tasks took less.
    pub p95_ms: Option<u64>,
}

impl TaskStatistics {
    /// Failed tasks.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failures.values().sum()
    }
}

/// A file that no package was found for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingCount {
    /// Its build-id.
    pub build_id: BuildId,
    /// The file, or its debug information.
    pub role: Role,
    /// Path of the file, where it was seen last.
    pub path: String,
    /// Release of the last task; empty if it was not known.
    pub release: String,
    /// Tasks that missed it.
    pub tasks: u64,
    /// When it was missed last.
    pub last_seen: Timestamp,
}

/// A package that retraces took files from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequiredPackage {
    /// Its name.
    pub name: String,
    /// How many versions of it.
    pub versions: u64,
    /// Tasks that took files from it.
    pub tasks: u64,
}

impl Store {
    /// Tasks that were finished from one day to another, both included, in days since the Unix epoch: by day and week the
    /// last first, else the most frequent first; at most [`MAX_STATISTICS`].
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::InvalidRow`].
    pub async fn task_statistics(&self, by: CountBy, from: i64, to: i64) -> Result<Vec<TaskStatistics>, StoreError> {
        let key = match by {
            CountBy::Nothing => "''",
            CountBy::Day => "CAST(day AS TEXT)",
            // Day 4 was a Monday.
            CountBy::Week => "CAST((day + 3) / 7 * 7 - 3 AS TEXT)",
            CountBy::Release => "release",
            CountBy::Architecture => "architecture",
            CountBy::Package => "package",
        };
        // Only the keys that the answer has room for: of packages there may be many thousands.
        let order = match by {
            CountBy::Day | CountBy::Week => "max(day) DESC",
            _ => "sum(tasks) DESC, 1",
        };
        let statement = format!(
            "SELECT k.key, d.reason, d.bucket, CAST(sum(d.tasks) AS BIGINT) FROM (
                 SELECT {key} AS key, reason, bucket, tasks FROM daily_tasks WHERE day BETWEEN $1 AND $2
             ) d JOIN (
                 SELECT {key} AS key FROM daily_tasks WHERE day BETWEEN $1 AND $2 GROUP BY 1 ORDER BY {order} LIMIT $3
             ) k ON k.key = d.key GROUP BY k.key, d.reason, d.bucket ORDER BY d.bucket"
        );
        let found = sqlx::query(AssertSqlSafe(statement))
            .bind(from)
            .bind(to)
            .bind(i64::from(MAX_STATISTICS))
            .fetch_all(&self.database.pool)
            .await
            .map_err(StoreError::database(READ))?;
        let mut counted: BTreeMap<String, (TaskStatistics, Vec<(i64, u64)>)> = BTreeMap::new();
        for row in &found {
            let (key, reason, tasks): (String, String, _) = (row.get(0), row.get(1), rows::size_from_row(row.get(3))?);
            let (statistics, buckets) = counted.entry(key.clone()).or_default();
            statistics.key = key;
            statistics.tasks += tasks;
            if !reason.is_empty() {
                *statistics.failures.entry(reason).or_default() += tasks;
            }
            buckets.push((row.get(2), tasks));
        }
        let mut all: Vec<_> =
            counted.into_values().map(|(statistics, buckets)| with_durations(statistics, &buckets)).collect();
        match by {
            CountBy::Day | CountBy::Week => {
                all.sort_by_key(|statistics| std::cmp::Reverse(statistics.key.parse::<i64>().unwrap_or(0)));
            }
            _ => all.sort_by_key(|statistics| std::cmp::Reverse(statistics.tasks)),
        }
        Ok(all)
    }

    /// The build-ids that were missed most often; at most `limit`.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::InvalidRow`].
    pub async fn missing_build_ids(&self, limit: u32) -> Result<Vec<MissingCount>, StoreError> {
        let found = sqlx::query(
            "SELECT build_id, role, path, release, tasks, last_seen_at FROM missing_build_ids
             ORDER BY tasks DESC LIMIT $1",
        )
        .bind(i64::from(limit.min(MAX_STATISTICS)))
        .fetch_all(&self.database.pool)
        .await;
        let read = |row: &AnyRow| {
            let id: Vec<u8> = row.get(0);
            Ok(MissingCount {
                build_id: BuildId::from_bytes(&id).map_err(|_| StoreError::invalid("build-id", hex::encode(&id)))?,
                role: if row.get::<i64, _>(1) == 0 { Role::Executable } else { Role::Debuginfo },
                path: row.get(2),
                release: row.get(3),
                tasks: rows::size_from_row(row.get(4))?,
                last_seen: rows::timestamp(row.get(5))?,
            })
        };
        found.map_err(StoreError::database(READ))?.iter().map(read).collect()
    }

    /// The packages that retraces took files from most often; at most `limit`.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::InvalidRow`].
    pub async fn required_packages(&self, limit: u32) -> Result<Vec<RequiredPackage>, StoreError> {
        let found = sqlx::query(
            "SELECT name, count(*), CAST(sum(tasks) AS BIGINT) FROM required_packages GROUP BY name
             ORDER BY sum(tasks) DESC, name LIMIT $1",
        )
        .bind(i64::from(limit.min(MAX_STATISTICS)))
        .fetch_all(&self.database.pool)
        .await;
        let read = |row: &AnyRow| {
            Ok(RequiredPackage {
                name: row.get(0),
                versions: rows::size_from_row(row.get(1))?,
                tasks: rows::size_from_row(row.get(2))?,
            })
        };
        found.map_err(StoreError::database(READ))?.iter().map(read).collect()
    }

    /// Counts requests that were refused because the queue was full.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn count_denials(&self, requests: u64) -> Result<(), StoreError> {
        let done = sqlx::query(
            "INSERT INTO daily_denials (day, requests) VALUES ($1, $2)
             ON CONFLICT (day) DO UPDATE SET requests = daily_denials.requests + excluded.requests",
        )
        .bind(day(rows::now_ms()))
        .bind(rows::size_to_row(requests))
        .execute(&self.database.pool)
        .await;
        done.map(drop).map_err(StoreError::database("count refused requests"))
    }

    /// Requests that were refused because the queue was full, from one day to another.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::InvalidRow`].
    pub async fn denials(&self, from: i64, to: i64) -> Result<u64, StoreError> {
        let sum = sqlx::query_scalar(
            "SELECT CAST(coalesce(sum(requests), 0) AS BIGINT) FROM daily_denials WHERE day BETWEEN $1 AND $2",
        );
        let sum = sum.bind(from).bind(to).fetch_one(&self.database.pool).await;
        rows::size_from_row(sum.map_err(StoreError::database(READ))?)
    }

    /// The first and the last day that a task was finished at, in days since the Unix epoch.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn statistics_days(&self) -> Result<Option<(i64, i64)>, StoreError> {
        let row = sqlx::query("SELECT min(day), max(day) FROM daily_tasks").fetch_one(&self.database.pool).await;
        let row = row.map_err(StoreError::database(READ))?;
        Ok(row.get::<Option<i64>, _>(0).zip(row.get(1)))
    }

    /// Forgets missing build-ids that were not missed since a time, and those beyond 100,000.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn trim_statistics(&self, unseen_since: Timestamp) -> Result<(), StoreError> {
        const ACTION: &str = "forget old statistics";
        let newest = sqlx::query_scalar(
            "SELECT last_seen_at FROM missing_build_ids ORDER BY last_seen_at DESC LIMIT 1 OFFSET $1",
        );
        let over: Option<i64> =
            newest.bind(MAX_MISSING).fetch_optional(&self.database.pool).await.map_err(StoreError::database(ACTION))?;
        let before = over.map_or(to_ms(unseen_since), |over| to_ms(unseen_since).max(over.saturating_add(1)));
        let done = sqlx::query("DELETE FROM missing_build_ids WHERE last_seen_at < $1")
            .bind(before)
            .execute(&self.database.pool)
            .await;
        done.map(drop).map_err(StoreError::database(ACTION))
    }
}

/// Days since the Unix epoch, of a time in milliseconds.
pub(crate) fn day(ms: i64) -> i64 {
    ms.div_euclid(MS_PER_DAY)
}

/// Counts a finished task.
pub(crate) async fn count(
    transaction: &mut Transaction<'_, Any>,
    finding: &Finding,
    times: &Times,
) -> Result<(), StoreError> {
    let failed = || StoreError::database(ACTION);
    let release = finding.release.as_ref().map(ToString::to_string).unwrap_or_default();
    sqlx::query(
        "INSERT INTO daily_tasks (day, release, architecture, package, reason, bucket, tasks)
         VALUES ($1, $2, $3, $4, $5, $6, 1) ON CONFLICT (day, release, architecture, package, reason, bucket)
         DO UPDATE SET tasks = daily_tasks.tasks + 1",
    )
    .bind(day(times.finished_at))
    .bind(&release)
    .bind(finding.architecture.map(|architecture| architecture.as_str()).unwrap_or_default())
    .bind(finding.package_name().unwrap_or_default())
    .bind(finding.reason.map(|reason| reason.as_str()).unwrap_or_default())
    .bind(times.duration_ms().map_or(-1, bucket))
    .execute(&mut **transaction)
    .await
    .map_err(failed())?;
    // In one order: of two that count the same, one waits, and neither waits for the other.
    let missing: BTreeSet<_> = finding.missing.iter().take(MAX_PER_TASK).collect();
    for missing in missing {
        sqlx::query(
            "INSERT INTO missing_build_ids (build_id, role, path, release, tasks, last_seen_at)
             VALUES ($1, $2, $3, $4, 1, $5) ON CONFLICT (build_id, role) DO UPDATE SET path = excluded.path,
                 release = excluded.release, tasks = missing_build_ids.tasks + 1, last_seen_at = excluded.last_seen_at",
        )
        .bind(missing.build_id.to_bytes())
        .bind(i64::from(missing.role == Role::Debuginfo))
        .bind(tidy(&missing.path))
        .bind(&release)
        .bind(times.finished_at)
        .execute(&mut **transaction)
        .await
        .map_err(failed())?;
    }
    let required: BTreeSet<_> = finding.required.iter().take(MAX_PER_TASK).collect();
    for (name, version) in required {
        sqlx::query(
            "INSERT INTO required_packages (name, version, tasks) VALUES ($1, $2, 1)
             ON CONFLICT (name, version) DO UPDATE SET tasks = required_packages.tasks + 1",
        )
        .bind(tidy(name))
        .bind(tidy(version))
        .execute(&mut **transaction)
        .await
        .map_err(failed())?;
    }
    Ok(())
}

/// The class of a duration in milliseconds: below 8 the number itself, then eight to an octave.
fn bucket(ms: i64) -> i64 {
    if ms < 8 {
        return ms.max(0);
    }
    let octave = i64::from(ms.ilog2());
    octave * 8 + ((ms >> (octave - 3)) & 7)
}

/// The middle of a class.
fn middle(bucket: i64) -> u64 {
    let (octave, eighth) = (bucket / 8, bucket % 8);
    if octave < 3 {
        return u64::try_from(bucket).unwrap_or(0);
    }
    let width = 1_i64.checked_shl(u32::try_from(octave - 3).unwrap_or(u32::MAX)).unwrap_or(i64::MAX);
    u64::try_from((8 + eighth).saturating_mul(width).saturating_add(width / 2)).unwrap_or(0)
}

fn with_durations(statistics: TaskStatistics, buckets: &[(i64, u64)]) -> TaskStatistics {
    let mut worked: Vec<_> = buckets.iter().copied().filter(|(bucket, _)| *bucket >= 0).collect();
    worked.sort_unstable();
    let total: u64 = worked.iter().map(|(_, tasks)| tasks).sum();
    let percentile = |percent: u64| {
        let rank = (total * percent).div_ceil(100);
        let mut seen = 0;
        let found = worked.iter().find(|(_, tasks)| {
            seen += tasks;
            seen >= rank
        });
        found.map(|(bucket, _)| middle(*bucket))
    };
    TaskStatistics { median_ms: percentile(50), p95_ms: percentile(95), ..statistics }
}

#[cfg(test)]
mod tests;

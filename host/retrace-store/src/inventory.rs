//! The plugins of the workers: the server runs none, so each worker says what it has.

use std::time::Duration;

use jiff::Timestamp;
use retrace_types::Sha256;
use sqlx::{Row as _, any::AnyRow};

use crate::{
    Store, StoreError,
    findings::{bytes, tidy},
    rows,
};

/// A worker that was silent for so long is forgotten.
const FORGET_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// Most plugins of one worker, and rows of the answer.
const MAX_PLUGINS: usize = 1000;
const MAX_ROWS: i64 = 10_000;

/// A plugin of a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginReport {
    /// Its id; of one that does not serve, the name of its file.
    pub plugin: String,
    /// Its version; empty where it is not known.
    pub version: String,
    /// Digest of its component.
    pub sha256: Option<Sha256>,
    /// `serving`, `replaced`, `warming` or `broken`.
    pub state: String,
    /// Distributions that it answers for.
    pub distributions: Vec<String>,
    /// Why it does not serve.
    pub message: Option<String>,
}

/// What a worker said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerPlugin {
    /// The worker: host and process.
    pub worker: String,
    /// When it said so last.
    pub reported_at: Timestamp,
    /// What it said.
    pub report: PluginReport,
}

impl Store {
    /// Replaces what a worker said of its plugins, and forgets workers that were silent for a day.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn report_plugins(&self, worker: &str, plugins: &[PluginReport]) -> Result<(), StoreError> {
        const ACTION: &str = "note a worker's plugins";
        let failed = StoreError::database;
        let now = rows::now_ms();
        let oldest = now.saturating_sub(i64::try_from(FORGET_AFTER.as_millis()).unwrap_or(i64::MAX));
        let mut transaction = self.database.begin(ACTION).await?;
        sqlx::query("DELETE FROM worker_plugins WHERE worker = $1 OR reported_at < $2")
            .bind(worker)
            .bind(oldest)
            .execute(&mut *transaction)
            .await
            .map_err(failed(ACTION))?;
        for plugin in plugins.iter().take(MAX_PLUGINS) {
            sqlx::query(
                "INSERT INTO worker_plugins (worker, plugin, version, sha256, state, distributions, message, reported_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
            )
            .bind(worker)
            .bind(tidy(&plugin.plugin))
            .bind(tidy(&plugin.version))
            .bind(plugin.sha256.as_ref().map(bytes))
            .bind(&plugin.state)
            .bind(rows::to_json(&plugin.distributions))
            .bind(plugin.message.as_deref().map(tidy))
            .bind(now)
            .execute(&mut *transaction)
            .await
            .map_err(failed(ACTION))?;
        }
        transaction.commit().await.map_err(failed(ACTION))
    }

    /// Forgets a worker that ends.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn forget_worker(&self, worker: &str) -> Result<(), StoreError> {
        let done = sqlx::query("DELETE FROM worker_plugins WHERE worker = $1").bind(worker);
        done.execute(&self.database.pool).await.map(drop).map_err(StoreError::database("forget a worker"))
    }

    /// What the workers said of their plugins.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::InvalidRow`].
    pub async fn worker_plugins(&self) -> Result<Vec<WorkerPlugin>, StoreError> {
        let found = sqlx::query("SELECT * FROM worker_plugins ORDER BY plugin, worker LIMIT $1")
            .bind(MAX_ROWS)
            .fetch_all(&self.database.pool)
            .await;
        let read = |row: &AnyRow| {
            let sha256: Option<Vec<u8>> = row.get("sha256");
            Ok(WorkerPlugin {
                worker: row.get("worker"),
                reported_at: rows::timestamp(row.get("reported_at"))?,
                report: PluginReport {
                    plugin: row.get("plugin"),
                    version: row.get("version"),
                    sha256: sha256.as_deref().map(rows::digest).transpose()?,
                    state: row.get("state"),
                    distributions: rows::from_json("distributions", row.get("distributions"))?,
                    message: row.get("message"),
                },
            })
        };
        found.map_err(StoreError::database("list the workers' plugins"))?.iter().map(read).collect()
    }
}

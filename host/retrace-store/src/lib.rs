//! The only SQL and the only artifact store: what is mirrored, which package has which build-id, and the tasks.
//!
//! [`Store`] opens one folder: a database, SQLite there or PostgreSQL elsewhere, and an object store for artifacts, there or
//! in a bucket. The task row is the queue entry: a worker holds a [`Lease`] on it, renews it, and finishes the task exactly
//! once; [`Changes`] and [`Work`] tell who waits.
//!
//! Promises: metadata of a repository is replaced in one transaction, so that a reader sees the old index or the new one;
//! a package is never forgotten because upstream dropped it, nor replaced because upstream changed it under its name; a lease that was taken over can neither change nor finish its
//! task; artifacts are written whole or not at all; whoever is killed leaves nothing that is not found and removed later.
//!
//! Not here: where packages come from (`retrace-mirror`), what a task does (`retrace-worker`).

mod artifacts;
mod changes;
mod control;
mod copies;
mod database;
mod error;
mod findings;
mod finished;
mod gauges;
mod groups;
mod idempotency;
mod incidents;
mod index;
mod input;
mod inventory;
mod jobs;
mod locks;
mod lookup;
mod outbox;
mod package_cache;
mod package_files;
mod package_use;
mod parts;
mod progress;
mod reader;
mod repositories;
mod results;
mod rows;
mod s3;
mod schema;
mod search;
mod statistics;
mod status;
mod store;
mod tasks;
mod terms;
#[cfg(test)]
mod testing;
mod tokens;
mod uploads;
mod wishes;

pub use changes::{Change, Changes, Work};
pub use control::{PRIORITIES, QueuePlace, TaskControl};
pub use copies::{Orphan, Removal};
pub use error::StoreError;
pub use findings::{Answer, Finding, Known, MissingBuildId};
pub use finished::{Abandoned, FinishedPlace, Running, TaskFile};
pub use gauges::QueueAge;
pub use groups::{Group, GroupOrder, GroupPackage, KeptResult};
pub use idempotency::{KEY_LIFETIME, KeyState};
pub use incidents::{FileIdentity, Incident, IncidentKind};
pub use index::{Members, NewPackage, PathKey};
pub use inventory::{PluginReport, WorkerPlugin};
pub use jobs::JobLock;
pub use locks::{LockHolder, RepositoryLock};
pub use lookup::{IndexedPackage, LocalCopy, PackageKey, Provider, Scope};
pub use outbox::{Message, NewMessage, OutboxCounts};
pub use package_cache::CACHE_GRACE;
pub use package_files::PackageFile;
pub use parts::PartialUpload;
pub use progress::{MAX_STEPS, Step};
pub use repositories::{NewRepository, Repository, RepositoryKey};
pub use results::TaskResult;
pub use s3::S3Options;
pub use schema::SchemaStatus;
pub use search::{FoundTask, MAX_TERMS, Pending, TaskPosition, TaskSearch};
pub use statistics::{CountBy, MAX_STATISTICS, MissingCount, RequiredPackage, TaskStatistics};
pub use status::{RepositoryCounts, SyncFailure};
pub use store::{Store, StoreOptions};
pub use tasks::{Lease, MAX_ATTEMPTS, NewTask, Outcome, Task, TaskCounts};
pub use terms::Term;
pub use tokens::{MAX_TOKEN_NAME_BYTES, Role, TOKEN_PREFIX, Token};
pub use uploads::UPLOAD_LEASE;
pub use wishes::{Wish, WishLease, WishState};

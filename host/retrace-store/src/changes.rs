//! Who waits is told: a worker of work, a server of tasks that changed.
//!
//! PostgreSQL tells by LISTEN and NOTIFY, which triggers on the table of tasks send whoever changed a row. SQLite tells
//! nothing, but a number of its own changes when another connection has written: one ticker in the process looks at it.
//! Either runs only once somebody waits, and ends with the last clone of the [`Store`].
//!
//! Nothing hangs on it alone. A message that is lost (a connection broke, the database restarted, a receiver was slow) becomes
//! [`Change::Any`], and a worker asks by itself from time to time.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use retrace_types::TaskId;
use rusqlite::{Connection, OpenFlags};
use sqlx::postgres::PgListener;
use tokio::sync::{broadcast, watch};
use tokio_util::task::AbortOnDropHandle;

use crate::Store;

/// Channels of the triggers; see `migrations/postgres/0010_results.sql`.
const TASKS: &str = "retrace_tasks";
const QUEUE: &str = "retrace_queue";

/// How often SQLite is looked at.
const TICK: Duration = Duration::from_millis(250);

/// Messages that wait for a slow receiver; with more it is told that anything may have changed.
const WAITING: usize = 1024;

/// How often an idle worker asks by itself where the database tells it: leases expire without a message.
const RARELY: Duration = Duration::from_secs(5);

/// Pauses between tries to listen.
const PAUSES: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(5)];

/// A silent connection is tried after this time; the other machine may be gone.
const SILENCE: Duration = Duration::from_secs(60);
const ANSWER: Duration = Duration::from_secs(10);

/// What changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// This task: it was made, changed its status or its place, or was deleted.
    Task(TaskId),
    /// Any task may have changed: look at all that matter.
    Any,
}

/// Changes of tasks, from the moment it was asked for.
#[derive(Debug)]
pub struct Changes {
    receiver: broadcast::Receiver<Change>,
    _hub: Arc<Hub>,
}

impl Changes {
    /// The next change, as soon as there is one. May be dropped at any time: nothing is lost.
    pub async fn next(&mut self) -> Change {
        match self.receiver.recv().await {
            Ok(change) => change,
            Err(broadcast::error::RecvError::Lagged(_)) => Change::Any,
            // The sender lives as long as the hub.
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// Tells a worker when to ask for a task.
#[derive(Debug)]
pub struct Work {
    receiver: watch::Receiver<()>,
    hub: Arc<Hub>,
}

impl Work {
    /// Everything until now is known: to be called before the worker asks for a task, so that what comes after is not missed.
    pub fn mark_seen(&mut self) {
        self.receiver.mark_unchanged();
    }

    /// Waits until there may be work: the database said so, or it is time to ask. That is after `poll`, or some seconds
    /// where the database tells.
    pub async fn wait(&mut self, poll: Duration) {
        let poll = if self.hub.shared.listening.load(Ordering::Relaxed) { poll.max(RARELY) } else { poll };
        // An error: nobody tells any more.
        let told = async {
            if self.receiver.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let _ = tokio::time::timeout(poll, told).await;
    }
}

impl Store {
    /// Watches all tasks.
    #[must_use]
    pub fn changes(&self) -> Changes {
        self.hub.start();
        Changes { receiver: self.hub.shared.tasks.subscribe(), _hub: Arc::clone(&self.hub) }
    }

    /// Watches the queue.
    #[must_use]
    pub fn work(&self) -> Work {
        self.hub.start();
        Work { receiver: self.hub.shared.queue.subscribe(), hub: Arc::clone(&self.hub) }
    }
}

/// One for all who wait in a process.
#[derive(Debug)]
pub(crate) struct Hub {
    source: Source,
    shared: Arc<Shared>,
    running: OnceLock<AbortOnDropHandle<()>>,
}

#[derive(Clone, Debug)]
enum Source {
    Sqlite(PathBuf),
    Postgres(Url),
}

/// Holds a password.
#[derive(Clone)]
struct Url(String);

impl std::fmt::Debug for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Url(…)")
    }
}

#[derive(Debug)]
struct Shared {
    tasks: broadcast::Sender<Change>,
    queue: watch::Sender<()>,
    /// The database tells at this moment.
    listening: AtomicBool,
}

impl Shared {
    fn tell_any(&self) {
        // An error: nobody waits.
        let _ = self.tasks.send(Change::Any);
        self.queue.send_replace(());
    }
}

impl Hub {
    pub(crate) fn sqlite(path: &Path) -> Self {
        Self::new(Source::Sqlite(path.to_owned()))
    }

    pub(crate) fn postgres(url: &str) -> Self {
        Self::new(Source::Postgres(Url(url.to_owned())))
    }

    fn new(source: Source) -> Self {
        let shared = Shared {
            tasks: broadcast::Sender::new(WAITING),
            queue: watch::Sender::new(()),
            listening: AtomicBool::new(false),
        };
        Self { source, shared: Arc::new(shared), running: OnceLock::new() }
    }

    fn start(&self) {
        self.running.get_or_init(|| {
            let shared = Arc::clone(&self.shared);
            AbortOnDropHandle::new(match self.source.clone() {
                Source::Sqlite(path) => tokio::spawn(watch_sqlite(path, shared)),
                Source::Postgres(url) => tokio::spawn(watch_postgres(url, shared)),
            })
        });
    }
}

async fn watch_sqlite(path: PathBuf, shared: Arc<Shared>) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut connection, mut last) = (None, None);
    loop {
        ticks.tick().await;
        if shared.tasks.receiver_count() + shared.queue.receiver_count() == 0 {
            continue;
        }
        let version = data_version(&path, &mut connection);
        if version.is_none() || version != last {
            shared.tell_any();
        }
        last = version;
    }
}

/// A number that changes when another connection has changed the database; none if it cannot be read. A read of one page in
/// memory. Source: <https://www.sqlite.org/pragma.html#pragma_data_version>.
fn data_version(path: &Path, connection: &mut Option<Connection>) -> Option<i64> {
    if connection.is_none() {
        *connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).ok();
    }
    connection.as_ref()?.pragma_query_value(None, "data_version", |row| row.get(0)).ok()
}

async fn watch_postgres(url: Url, shared: Arc<Shared>) {
    let [mut pause, longest] = PAUSES;
    loop {
        let error = listen(&url, &shared).await;
        if shared.listening.swap(false, Ordering::Relaxed) {
            tracing::warn!(%error, "the database tells nothing of tasks any more; listening again");
            [pause, _] = PAUSES;
        } else {
            tracing::debug!(%error, "cannot listen to the database");
        }
        shared.tell_any();
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(longest);
    }
}

/// Passes messages on until the connection breaks.
async fn listen(url: &Url, shared: &Shared) -> sqlx::Error {
    let mut listener = match PgListener::connect(&url.0).await {
        Ok(listener) => listener,
        Err(error) => return error,
    };
    listener.eager_reconnect(false);
    if let Err(error) = listener.listen_all([TASKS, QUEUE]).await {
        return error;
    }
    shared.listening.store(true, Ordering::Relaxed);
    // Whatever happened before.
    shared.tell_any();
    loop {
        let message = match tokio::time::timeout(SILENCE, listener.try_recv()).await {
            Ok(Ok(Some(message))) => message,
            Ok(Ok(None)) => return sqlx::Error::Io(std::io::ErrorKind::ConnectionAborted.into()),
            Ok(Err(error)) => return error,
            Err(_) => match tokio::time::timeout(ANSWER, sqlx::query("SELECT 1").execute(&mut listener)).await {
                Ok(Ok(_)) => continue,
                Ok(Err(error)) => return error,
                Err(_) => return sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()),
            },
        };
        if message.channel() == QUEUE {
            shared.queue.send_replace(());
        } else {
            let task = message.payload().parse::<TaskId>();
            let _ = shared.tasks.send(task.map_or(Change::Any, Change::Task));
        }
    }
}

#[cfg(test)]
mod tests;

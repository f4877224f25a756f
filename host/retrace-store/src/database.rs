//! The database behind the store: a SQLite file in the store's folder, or PostgreSQL by URL.
//!
//! The statements are the same for both, with parameters `$1`, `$2`, …; what differs stands here.

use std::{fmt::Write as _, io, path::Path, sync::Once, time::Duration};

use sqlx::{
    Any, AnyConnection, AnyPool, AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, Transaction,
    any::{AnyConnectOptions, AnyPoolOptions},
    migrate::Migrator,
    postgres::PgConnectOptions,
    sqlite::SqliteConnectOptions,
};

use crate::{StoreError, index, reader::Reader};

/// Longest wait for another process that writes to SQLite.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Longest wait for a connection to PostgreSQL: as long as a restart of its server takes, and no longer than a client waits.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// Connections of one process. SQLite has one writer and many readers.
const MAX_CONNECTIONS: u32 = 8;

const OPEN: &str = "open the database";

pub(crate) static SQLITE_MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");
static POSTGRES_MIGRATIONS: Migrator = sqlx::migrate!("migrations/postgres");

/// An open database, brought up to date.
#[derive(Clone, Debug)]
pub(crate) struct Database {
    pub(crate) pool: AnyPool,
    pub(crate) dialect: Dialect,
    /// Look-ups that go around the pool: SQLite only.
    pub(crate) reader: Option<Reader>,
}

/// Where the databases differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    Postgres,
}

impl Database {
    /// Opens the SQLite database in a file that is there.
    pub(crate) async fn sqlite(path: &Path) -> Result<Self, StoreError> {
        let name = || path.display().to_string();
        let options = sqlite_options(path, false)?;
        let settings = format!(
            "PRAGMA busy_timeout = {}; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;
             PRAGMA cache_size = -16384",
            PATIENCE.as_millis()
        );
        try_connection(&options, Some(&settings)).await?;
        // A file needs no test whether it is still there.
        let pool = pool(PATIENCE).test_before_acquire(false).after_connect(move |connection, _| {
            let settings = AssertSqlSafe(settings.clone());
            Box::pin(async move { connection.execute(settings).await.map(drop) })
        });
        let pool = pool.connect_lazy_with(options);
        SQLITE_MIGRATIONS.run(&pool).await.map_err(|source| StoreError::migration(name(), source))?;
        let database = Self { pool, dialect: Dialect::Sqlite, reader: Some(Reader::new(path)) };
        index::convert_old(&database).await?;
        Ok(database)
    }

    /// Connects to a PostgreSQL database: `postgres://user:password@host:port/database?sslmode=verify-full`.
    pub(crate) async fn postgres(url: &str) -> Result<Self, StoreError> {
        let (name, options) = (postgres_name(url)?, postgres_options(url)?);
        try_connection(&options, None).await?;
        let pool = pool(CONNECT_PATIENCE).connect_lazy_with(options);
        POSTGRES_MIGRATIONS.run(&pool).await.map_err(|source| StoreError::migration(name, source))?;
        Ok(Self { pool, dialect: Dialect::Postgres, reader: None })
    }

    /// Begins a transaction that writes.
    pub(crate) async fn begin(&self, action: &'static str) -> Result<Transaction<'static, Any>, StoreError> {
        let statement = match self.dialect {
            // Else two that read first and write then would stand in each other's way.
            Dialect::Sqlite => "BEGIN IMMEDIATE",
            Dialect::Postgres => "BEGIN",
        };
        self.pool.begin_with(statement).await.map_err(StoreError::database(action))
    }

    /// Begins a transaction that gives out numbers of packages and builds: one at a time.
    pub(crate) async fn begin_numbering(&self, action: &'static str) -> Result<Transaction<'static, Any>, StoreError> {
        let mut transaction = self.begin(action).await?;
        if self.dialect == Dialect::Postgres {
            let locked = transaction.execute("LOCK TABLE builds, packages IN EXCLUSIVE MODE").await;
            locked.map_err(StoreError::database(action))?;
        }
        Ok(transaction)
    }
}

impl Dialect {
    pub(crate) fn migrations(self) -> &'static Migrator {
        match self {
            Self::Sqlite => &SQLITE_MIGRATIONS,
            Self::Postgres => &POSTGRES_MIGRATIONS,
        }
    }

    /// The texts in a parameter that is a JSON array, as a table with the column `value`.
    pub(crate) fn texts(self, parameter: &str) -> String {
        match self {
            Self::Sqlite => format!("(SELECT value FROM json_each({parameter}))"),
            Self::Postgres => format!("(SELECT value FROM json_array_elements_text({parameter}::json))"),
        }
    }

    /// The numbers in a parameter that is a JSON array, as a table with the column `value`.
    pub(crate) fn numbers(self, parameter: &str) -> String {
        match self {
            Self::Sqlite => self.texts(parameter),
            Self::Postgres => format!("(SELECT value::bigint FROM json_array_elements_text({parameter}::json))"),
        }
    }

    /// Parameters of `rows` rows with `columns` columns each: `($1, $2), ($3, $4)`.
    pub(crate) fn values(self, rows: usize, columns: usize) -> String {
        let mut text = String::with_capacity(rows * columns * 8);
        for row in 0..rows {
            text.push_str(if row == 0 { "(" } else { ", (" });
            self.push_parameters(&mut text, row * columns + 1, columns);
            text.push(')');
        }
        text
    }

    /// Appends `count` parameters, of which the `first` one is the next that the statement has not used: `$3, $4`.
    pub(crate) fn push_parameters(self, text: &mut String, first: usize, count: usize) {
        for number in first..first + count {
            if number > first {
                text.push_str(", ");
            }
            match self {
                // `$3` is a name to SQLite, which it looks for among all others: with thousands that takes minutes.
                Self::Sqlite => text.push('?'),
                // Writing to a String cannot fail.
                Self::Postgres => drop(write!(text, "${number}")),
            }
        }
    }

    /// What lets a subselect pass over rows that another worker is about to take.
    pub(crate) fn skip_locked(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => "FOR UPDATE SKIP LOCKED",
        }
    }
}

fn drivers() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(sqlx::any::install_default_drivers);
}

fn pool(patience: Duration) -> AnyPoolOptions {
    drivers();
    AnyPoolOptions::new().max_connections(MAX_CONNECTIONS).acquire_timeout(patience)
}

/// How a SQLite database is opened whose file is there.
pub(crate) fn sqlite_options(path: &Path, read_only: bool) -> Result<AnyConnectOptions, StoreError> {
    if path.to_str().is_none() {
        let source = io::Error::new(io::ErrorKind::InvalidInput, "the path is not UTF-8");
        return Err(StoreError::Folder { path: path.to_owned(), source });
    }
    let url = SqliteConnectOptions::new().filename(path).read_only(read_only).to_url_lossy();
    AnyConnectOptions::from_url(&url).map_err(StoreError::database(OPEN))
}

pub(crate) fn postgres_options(url: &str) -> Result<AnyConnectOptions, StoreError> {
    url.parse().map_err(|source| StoreError::InvalidUrl { source })
}

/// Name and server of a database, for people.
pub(crate) fn postgres_name(url: &str) -> Result<String, StoreError> {
    let options: PgConnectOptions = url.parse().map_err(|source| StoreError::InvalidUrl { source })?;
    let database = options.get_database().unwrap_or("(default)");
    Ok(format!("{database} on {}:{}", options.get_host(), options.get_port()))
}

/// A connection of its own.
pub(crate) async fn connect(options: &AnyConnectOptions) -> Result<AnyConnection, StoreError> {
    drivers();
    options.connect().await.map_err(StoreError::database(OPEN))
}

/// Connects once: a pool would try again and again, and say only that it had no luck.
async fn try_connection(options: &AnyConnectOptions, settings: Option<&str>) -> Result<(), StoreError> {
    let failed = || StoreError::database(OPEN);
    let mut connection = connect(options).await?;
    if let Some(settings) = settings {
        connection.execute(AssertSqlSafe(settings)).await.map_err(failed())?;
    }
    connection.close().await.map_err(failed())
}

//! Stores for tests: each test of what both databases must do runs on SQLite and on a real PostgreSQL.

use std::{
    io,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use retrace_types::{Architecture, RepositoryContent, RepositoryLayout, RepositorySpec, SignaturePolicy};
use sqlx::{Connection as _, Executor as _, PgConnection};
use tempfile::TempDir;

use crate::{NewRepository, Scope, Store, StoreOptions};

/// An empty store, and what it needs to be opened again.
pub(crate) struct Test {
    pub(crate) dir: TempDir,
    pub(crate) store: Store,
    options: StoreOptions,
}

impl Test {
    pub(crate) async fn sqlite() -> Self {
        Self::open(None).await
    }

    /// None where there is no PostgreSQL and none is required: the test is skipped, and says so.
    pub(crate) async fn postgres() -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let server = match server() {
            Ok(server) => server,
            Err(reason) if std::env::var_os("RETRACE_REQUIRE_TOOLS").is_some() => panic!("{reason}"),
            Err(reason) => {
                println!("skipped: {reason}");
                return None;
            }
        };
        let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let mut connection = PgConnection::connect(server).await.unwrap();
        connection.execute(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.unwrap();
        connection.close().await.unwrap();
        let (base, _) = server.rsplit_once('/').unwrap();
        Some(Self::open(Some(format!("{base}/{name}"))).await)
    }

    async fn open(url: Option<String>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = StoreOptions { postgres_url: url, artifacts: None };
        let store = Store::open_with(dir.path(), &options).await.unwrap();
        Self { dir, store, options }
    }

    pub(crate) fn options(&self) -> &StoreOptions {
        &self.options
    }

    /// Another process's view of the same store.
    pub(crate) async fn open_again(&self) -> Store {
        Store::open_with(self.dir.path(), &self.options).await.unwrap()
    }
}

pub(crate) fn scope() -> Scope {
    Scope { release: "fedora-40".parse().unwrap(), architecture: Architecture::X86_64 }
}

pub(crate) fn repository() -> NewRepository {
    NewRepository {
        release: scope().release,
        architecture: scope().architecture,
        spec: RepositorySpec {
            id: "releases".into(),
            title: "Releases".into(),
            layout: RepositoryLayout::RpmMd,
            content: RepositoryContent::Packages,
            mirrors: vec!["/srv".into()],
            signatures: SignaturePolicy { metadata: true, packages: true },
            keys: Vec::new(),
            config: Vec::new(),
        },
        keys_armored: "keys".into(),
    }
}

/// Makes two tests of each function, which takes a [`Test`].
macro_rules! on_both_databases {
    ($($name:ident),+ $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name($crate::testing::Test::sqlite().await).await;
            })+
        }
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                if let Some(test) = $crate::testing::Test::postgres().await {
                    super::$name(test).await;
                }
            })+
        }
    };
}
pub(crate) use on_both_databases;

/// Address of a server that all tests of this process share. It ends when the process does: the pipe to it closes.
fn server() -> Result<&'static str, &'static str> {
    static SERVER: OnceLock<Result<String, String>> = OnceLock::new();
    let started = SERVER.get_or_init(|| start().map_err(|error| format!("no PostgreSQL for the tests: {error}")));
    started.as_deref().map_err(String::as_str)
}

fn start() -> io::Result<String> {
    // The server's user must get there, and the script makes and removes the folder.
    let dir = std::env::temp_dir().join(format!("retrace-postgres-{}", std::process::id()));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/scripts/postgres.sh");
    #[expect(clippy::disallowed_methods, reason = "a server for the tests, ended with them")]
    let mut command = std::process::Command::new(script);
    let mut child = command.arg(&dir).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    wait_for(&dir.join("url"), &mut child)
}

fn wait_for(url: &PathBuf, child: &mut std::process::Child) -> io::Result<String> {
    let start = Instant::now();
    loop {
        if let Ok(url) = std::fs::read_to_string(url) {
            // Not waited for and not dropped: its standard input closes when this process ends.
            std::mem::forget(child.stdin.take());
            return Ok(url);
        }
        if child.try_wait()?.is_some() || start.elapsed() > Duration::from_secs(60) {
            let mut text = String::new();
            if let Some(mut stderr) = child.stderr.take() {
                io::Read::read_to_string(&mut stderr, &mut text)?;
            }
            return Err(io::Error::other(text));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

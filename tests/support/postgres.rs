use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{checkout, skip};

/// A PostgreSQL server of the test's own, on a free port of 127.0.0.1; it ends and its files go when this is dropped.
#[derive(Debug)]
pub struct Postgres {
    child: Child,
    dir: PathBuf,
    url: String,
}

impl Postgres {
    /// Starts one; [`skip`]s and gives nothing where the programs are missing.
    ///
    /// # Panics
    /// The server does not start.
    pub fn start(name: &str) -> Option<Self> {
        if !fs::read_dir("/usr/lib/postgresql").is_ok_and(|mut versions| versions.next().is_some()) {
            skip("there is no PostgreSQL below /usr/lib/postgresql: run `make setup`");
            return None;
        }
        // Not in the test's folder: the server's user must get there.
        let dir = std::env::temp_dir().join(format!("retrace-{name}-{}", std::process::id()));
        let script = checkout().join("tests/scripts/postgres.sh");
        let mut child = Command::new(script).arg(&dir).stdin(Stdio::piped()).spawn().expect("the script runs");
        let start = Instant::now();
        let url = loop {
            if let Ok(url) = fs::read_to_string(dir.join("url")) {
                break url;
            }
            let ended = child.try_wait().expect("a child of ours");
            assert!(
                ended.is_none() && start.elapsed() < Duration::from_secs(60),
                "PostgreSQL does not start: {ended:?}"
            );
            thread::sleep(Duration::from_millis(20));
        };
        Some(Self { child, dir, url })
    }

    /// `postgres://…` of an empty database.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // The end of its input tells the script to stop the server.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use crate::{service::Service, skip};

/// A PostgreSQL server of the test's own, on a free port of 127.0.0.1; it ends and its files go when this is dropped.
#[derive(Debug)]
pub struct Postgres {
    service: Service,
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
        Some(Self { service: Service::start("postgres.sh", name) })
    }

    /// `postgres://…` of an empty database.
    #[must_use]
    pub fn url(&self) -> &str {
        self.service.url()
    }

    /// Kills the server (SIGKILL, its main process and so all of it) and returns once it runs again, on the same port and
    /// folder.
    ///
    /// # Panics
    /// It does not come back.
    pub fn kill_and_restart(&self) {
        let pid_file = self.service.dir().join("data/postmaster.pid");
        let read = || fs::read_to_string(&pid_file).ok().and_then(|text| text.lines().next()?.parse::<u32>().ok());
        let killed = read().expect("the server runs");
        crate::signal("KILL", killed);
        let start = Instant::now();
        let ready = self.service.dir().join("ready");
        // The script notices, starts it again, and says which process is ready.
        while fs::read_to_string(&ready)
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .is_none_or(|pid: u32| pid == killed)
        {
            assert!(start.elapsed() < Duration::from_secs(60), "PostgreSQL does not come back");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

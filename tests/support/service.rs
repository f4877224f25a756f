//! A script of `tests/scripts/` that runs a server until its standard input ends, and writes its address into a file.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::checkout;

/// It ends, and its files go, when this is dropped.
#[derive(Debug)]
pub(crate) struct Service {
    child: Child,
    dir: PathBuf,
    url: String,
}

impl Service {
    /// Starts `script DIR`, with DIR in the system's folder for temporary files: a server with a user of its own has to get
    /// there.
    pub(crate) fn start(script: &str, name: &str) -> Self {
        let kind = script.trim_end_matches(".sh");
        let dir = std::env::temp_dir().join(format!("retrace-{kind}-{name}-{}", std::process::id()));
        let program = checkout().join("tests/scripts").join(script);
        let mut child = Command::new(program).arg(&dir).stdin(Stdio::piped()).spawn().expect("the script runs");
        let start = Instant::now();
        let url = loop {
            if let Ok(url) = fs::read_to_string(dir.join("url")) {
                break url;
            }
            let ended = child.try_wait().expect("a child of ours");
            assert!(
                ended.is_none() && start.elapsed() < Duration::from_secs(60),
                "{script} does not start a server: {ended:?}"
            );
            thread::sleep(Duration::from_millis(20));
        };
        Self { child, dir, url }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // The end of its input tells the script to stop the server.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

//! Progress of long work, on a terminal only.

use std::{io::IsTerminal as _, time::Duration};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use retrace_mirror::{AheadProgress, Progress};
use retrace_worker::Observer;

/// A spinner with a message, and a bar while bytes are counted. Silent where standard error is no terminal.
pub(crate) struct TerminalProgress {
    bar: ProgressBar,
}

impl TerminalProgress {
    pub(crate) fn new() -> Self {
        if !std::io::stderr().is_terminal() {
            return Self { bar: ProgressBar::hidden() };
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
        bar.set_style(ProgressStyle::default_spinner());
        bar.enable_steady_tick(Duration::from_millis(100));
        Self { bar }
    }
}

impl Drop for TerminalProgress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

impl Progress for TerminalProgress {
    fn step(&self, message: &str) {
        self.bar.set_message(message.to_owned());
    }

    fn bytes(&self, done: u64, total: Option<u64>) {
        let template = match total {
            Some(total) => {
                self.bar.set_length(total);
                "{spinner} {msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {eta}"
            }
            None => "{spinner} {msg} {bytes} {bytes_per_sec}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style);
        }
        self.bar.set_position(done);
    }
}

impl AheadProgress for TerminalProgress {
    fn ahead(&self, packages: u64, of: u64, bytes: u64, of_bytes: u64) {
        self.bar.set_message(format!("Fetching packages: {packages} of {of}"));
        self.bytes(bytes, Some(of_bytes));
    }
}

impl Observer for TerminalProgress {}

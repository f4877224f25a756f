//! One module for each group of commands.

pub(crate) mod analyze;
pub(crate) mod config;
pub(crate) mod docs;
pub(crate) mod gc;
pub(crate) mod mirror;
pub(crate) mod plugin;
pub(crate) mod serve;
pub(crate) mod store;
pub(crate) mod token;

use std::io::{self, Write as _};

use anyhow::Result;
use serde::Serialize;

/// Prints a text; a reader that went away (`| head`) is no error.
pub(crate) fn print(text: &str) -> Result<()> {
    ignore_broken_pipe(io::stdout().lock().write_all(text.as_bytes()))
}

/// Prints a document.
pub(crate) fn print_json(document: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_string_pretty(document)?;
    text.push('\n');
    print(&text)
}

fn ignore_broken_pipe(result: io::Result<()>) -> Result<()> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// An error and its causes, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

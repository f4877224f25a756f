//! `retrace plugin`: lists the commands and dispatches to them, one file for each.
//!
//! A command's file holds its arguments ([`clap::Args`]), whose doc comment and `after_help` are its help, and `run`.

mod list;
mod show;

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

use crate::{USAGE, config::Config};

/// What every command's help ends with.
pub(crate) const EXIT_CODES: &str = "Exit codes:\n  0  done\n  1  the answer is no: a check or a test failed, something was refused\n  \
                                     2  wrong usage, or a file cannot be read or written\n  3  no plugin that can be loaded";

#[derive(Debug, Subcommand)]
#[command(after_help = EXIT_CODES)]
pub(crate) enum PluginCommand {
    List(list::Args),
    Show(show::Args),
}

pub(crate) async fn run(config: &Config, command: &PluginCommand) -> Result<ExitCode> {
    let done = match command {
        PluginCommand::List(args) => list::run(config, args),
        PluginCommand::Show(args) => show::run(config, args),
    };
    // What a command cannot say by its exit code is usage or I/O.
    done.or_else(|error| {
        eprintln!("error: {error:#}");
        Ok(ExitCode::from(USAGE))
    })
}

//! `retrace plugin __compile`: the child process that compiles a component. Not for people.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::ValueEnum;
use retrace_plugin_host::{EngineMode, compile_child};

use crate::{FAILED, commands};

/// Compile a component in a child process; called by Retrace itself
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(long, value_enum)]
    mode: Mode,

    /// Part of the settings of compiled code
    #[arg(long)]
    memory_bytes: usize,

    /// Folder with the component
    staging: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Mode {
    Production,
    Measured,
}

/// Needs no configuration: there is no environment to find it.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let mode = match args.mode {
        Mode::Production => EngineMode::Production,
        Mode::Measured => EngineMode::Measured,
    };
    match compile_child(&args.staging, mode, args.memory_bytes) {
        Ok(done) => {
            commands::print(&format!("{done}\n"))?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            commands::print(&format!("{error}\n"))?;
            Ok(ExitCode::from(FAILED))
        }
    }
}

//! The `retrace` command: reads arguments and configuration, wires the crates, prints results.
//!
//! Decisions live in the libraries; here is what a person sees: text, JSON, progress, exit codes.

mod args;
mod commands;
mod config;
mod progress;
mod render;
mod wiring;

use std::{io::IsTerminal as _, process::ExitCode};

use anyhow::Result;
use clap::Parser as _;
use tracing_subscriber::EnvFilter;

use crate::{
    args::{Args, Command, ConfigCommand, LogFormat},
    commands::plugin::PluginCommand,
    config::Config,
};

/// Exit code: failed.
const FAILED: u8 = 1;
/// Exit code: wrong usage or configuration. clap uses the same.
const USAGE: u8 = 2;
/// Exit code: a backtrace with gaps.
const WITH_GAPS: u8 = 3;

fn main() -> ExitCode {
    let args = Args::parse();
    start_logging(args.verbose, args.log_format);
    match run(args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(FAILED)
        }
    }
}

fn run(args: Args) -> Result<ExitCode> {
    match &args.command {
        Command::Completions { shell } => return commands::docs::completions(*shell),
        Command::Man { dir } => return commands::docs::man(dir),
        // It is how one gets a configuration.
        Command::Config(ConfigCommand::Import(arguments)) => return commands::config::import::run(arguments),
        Command::Plugin(PluginCommand::Compile(arguments)) => return commands::plugin::compile::run(arguments),
        _ => {}
    }
    let config = match Config::load(args.config.as_deref()) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("error: {error:#}");
            return Ok(ExitCode::from(USAGE));
        }
    };
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        match args.command {
            Command::Analyze(arguments) => commands::analyze::run(&config, &arguments).await,
            Command::Mirror(command) => commands::mirror::run(&config, &command).await,
            Command::Plugin(command) => commands::plugin::run(&config, &command).await,
            Command::Token(command) => commands::token::run(&config, &command).await,
            Command::Config(command) => commands::config::run(&config, &command),
            Command::Gc(arguments) => commands::gc::run(&config, &arguments).await,
            Command::Store(command) => commands::store::run(&config, &command).await,
            Command::Serve { no_worker } => {
                let worker = match no_worker {
                    true => None,
                    false => {
                        Some(commands::serve::worker_invocation(args.config.as_deref(), args.verbose, args.log_format)?)
                    }
                };
                commands::serve::serve(&config, worker).await
            }
            Command::Worker { exit_with_parent } => commands::serve::worker(&config, exit_with_parent).await,
            Command::Completions { .. } | Command::Man { .. } => Ok(ExitCode::SUCCESS),
        }
    })
}

/// Logs go to standard error; results to standard output.
fn start_logging(verbose: u8, format: LogFormat) {
    let default = match verbose {
        0 => "warn,retrace=info,retrace_server=info,retrace_worker=info",
        1 => "info",
        _ => "debug",
    };
    let filter = EnvFilter::try_from_env("RETRACE_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => {
            let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            log.with_ansi(colours).init();
        }
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
}

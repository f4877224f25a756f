//! `retrace plugin`: lists the commands and dispatches to them, one file for each.
//!
//! A command's file holds its arguments ([`clap::Args`]), whose doc comment and `after_help` are its help, and `run`.

mod bench;
mod build;
mod call;
mod change;
pub(crate) mod check;
pub(crate) mod compile;
mod component;
mod dev;
mod explain;
mod fuzz;
mod inspect;
mod install;
mod keygen;
mod limits;
mod list;
mod new;
mod outcome;
mod pack;
mod reload;
pub(crate) mod secret;
mod show;
mod sign;
mod subject;
mod test;
mod verify;
mod warm;
mod wit;

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

use crate::{USAGE, config::Config};

/// What every command's help ends with.
pub(crate) const EXIT_CODES: &str = "Exit codes:\n  0  done\n  1  the answer is no: a check or a test failed, something was refused\n  \
                                     2  wrong usage, or a file cannot be read or written\n  3  no plugin that can be loaded";

/// Exit code: the answer is no.
pub(crate) const NO: u8 = 1;
/// Exit code: no plugin that can be loaded.
pub(crate) const NOT_LOADABLE: u8 = 3;

#[derive(Debug, Subcommand)]
#[command(after_help = EXIT_CODES)]
pub(crate) enum PluginCommand {
    Test(Box<test::Args>),
    Fuzz(fuzz::Args),
    Keygen(keygen::Args),
    Sign(sign::Args),
    Verify(verify::Args),
    Pack(pack::Args),
    Install(install::Args),
    New(new::Args),
    Build(build::Args),
    Inspect(inspect::Args),
    Call(call::Args),
    Bench(bench::Args),
    Limits(limits::Args),
    Check(check::Args),
    Explain(explain::Args),
    Wit(wit::Args),
    #[command(name = "__compile", hide = true)]
    Compile(compile::Args),
    List(list::Args),
    Show(show::Args),
    Enable(change::EnableArgs),
    Disable(change::DisableArgs),
    Remove(change::RemoveArgs),
    Rollback(change::RollbackArgs),
    Reload(reload::Args),
    Warm(warm::Args),
    Dev(dev::Args),
}

pub(crate) async fn run(config: &Config, command: &PluginCommand) -> Result<ExitCode> {
    let done = match command {
        PluginCommand::Test(args) => test::run(config, args),
        PluginCommand::Fuzz(args) => fuzz::run(config, args),
        PluginCommand::Keygen(args) => keygen::run(args),
        PluginCommand::Sign(args) => sign::run(args),
        PluginCommand::Verify(args) => verify::run(config, args),
        PluginCommand::Pack(args) => pack::run(config, args),
        PluginCommand::Install(args) => install::run(config, args),
        PluginCommand::New(args) => new::run(args),
        PluginCommand::Build(args) => build::run(args).await,
        PluginCommand::Inspect(args) => inspect::run(config, args),
        PluginCommand::Call(args) => call::run(config, args),
        PluginCommand::Bench(args) => bench::run(config, args),
        PluginCommand::Limits(args) => limits::run(config, args),
        PluginCommand::Check(args) => check::run(config, args).await,
        PluginCommand::Explain(args) => explain::run(config, args),
        PluginCommand::Wit(args) => wit::run(args),
        PluginCommand::Compile(args) => compile::run(args),
        PluginCommand::List(args) => list::run(config, args),
        PluginCommand::Show(args) => show::run(config, args),
        PluginCommand::Enable(args) => change::enable(config, args),
        PluginCommand::Disable(args) => change::disable(config, args),
        PluginCommand::Remove(args) => change::remove(config, args),
        PluginCommand::Rollback(args) => change::rollback(config, args),
        PluginCommand::Reload(args) => reload::run(config, args),
        PluginCommand::Warm(args) => warm::run(config, args),
        PluginCommand::Dev(args) => dev::run(config, args).await,
    };
    // What a command cannot say by its exit code is usage or I/O.
    done.or_else(|error| {
        eprintln!("error: {error:#}");
        Ok(ExitCode::from(USAGE))
    })
}

//! `retrace plugin enable`, `disable`, `remove`, `rollback`, `reload`: what changes the library in one step.

use std::process::ExitCode;

use anyhow::Result;
use retrace_types::DistroId;
use serde::Serialize;

use super::{EXIT_CODES, NO, outcome};
use crate::{args::Format, commands, config::Config, wiring};

/// Switch a plugin on again
#[derive(Debug, clap::Args)]
#[command(after_help = format!("Example: retrace plugin enable acme\n\n{EXIT_CODES}"))]
pub(crate) struct EnableArgs {
    #[command(flatten)]
    common: Common,
}

/// Switch a plugin off, installed or bundled, until `enable`
#[derive(Debug, clap::Args)]
#[command(after_help = format!("Example: retrace plugin disable acme\n\n{EXIT_CODES}"))]
pub(crate) struct DisableArgs {
    #[command(flatten)]
    common: Common,
}

/// Remove an installed plugin, or one of its versions
///
/// A bundled plugin with the same id serves again. To switch off a bundled one, use `disable`.
#[derive(Debug, clap::Args)]
#[command(after_help = format!("Examples:\n  retrace plugin remove acme\n  retrace plugin remove acme --version 1.0.0\n\n{EXIT_CODES}"))]
pub(crate) struct RemoveArgs {
    #[command(flatten)]
    common: Common,
    /// Only this version, which must not be in force
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,
}

/// Put an earlier version of an installed plugin in force
#[derive(Debug, clap::Args)]
#[command(after_help = format!("Examples:\n  retrace plugin rollback acme                 (to the version before)\n  \
    retrace plugin rollback acme --to 1.0.0      (to any installed version, newer ones too)\n\n{EXIT_CODES}"))]
pub(crate) struct RollbackArgs {
    #[command(flatten)]
    common: Common,
    /// The version; one with the same number as another is named as in `list --format json`, with @DIGITS
    #[arg(long, value_name = "VERSION")]
    to: Option<String>,
}

#[derive(Debug, clap::Args)]
struct Common {
    /// The plugin, such as acme
    id: DistroId,
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Serialize)]
struct ChangeDocument {
    ok: bool,
    id: String,
    changed: bool,
    versions: Vec<String>,
}

pub(crate) fn enable(config: &Config, args: &EnableArgs) -> Result<ExitCode> {
    let Common { id, format } = &args.common;
    match wiring::library(config).enable(id, &wiring::bundled(config)?) {
        Ok(true) => print(id, *format, true, &[], &format!("{id} is on; workers take it up within seconds")),
        Ok(false) => print(id, *format, false, &[], &format!("{id} was not switched off")),
        Err(error) => outcome::fail(error, *format),
    }
}

pub(crate) fn disable(config: &Config, args: &DisableArgs) -> Result<ExitCode> {
    let Common { id, format } = &args.common;
    let library = wiring::library(config);
    let known = library.contains(id) || wiring::bundled(config)?.iter().any(|plugin| plugin.id == *id);
    if !known {
        let message = format!("there is no plugin {id}: `retrace plugin list` shows those that there are");
        eprintln!("error: {message}");
        return Ok(ExitCode::from(NO));
    }
    match library.disable(id) {
        Ok(true) => print(id, *format, true, &[], &format!("{id} is off; workers drop it within seconds")),
        Ok(false) => print(id, *format, false, &[], &format!("{id} was off already")),
        Err(error) => outcome::fail(error, *format),
    }
}

pub(crate) fn remove(config: &Config, args: &RemoveArgs) -> Result<ExitCode> {
    let Common { id, format } = &args.common;
    match wiring::library(config).remove(id, args.version.as_deref()) {
        Ok(removed) => {
            let versions: Vec<_> = removed.iter().map(ToString::to_string).collect();
            print(id, *format, true, &versions, &format!("{id} {} removed", versions.join(", ")))
        }
        Err(error) => outcome::fail(error, *format),
    }
}

pub(crate) fn rollback(config: &Config, args: &RollbackArgs) -> Result<ExitCode> {
    let Common { id, format } = &args.common;
    match wiring::library(config).rollback(id, args.to.as_deref(), &wiring::bundled(config)?) {
        Ok(folder) => print(id, *format, true, &[folder.to_string()], &format!("{id} {folder} is in force")),
        Err(error) => outcome::fail(error, *format),
    }
}

fn print(id: &DistroId, format: Format, changed: bool, versions: &[String], text: &str) -> Result<ExitCode> {
    match format {
        Format::Json => commands::print_json(&ChangeDocument {
            ok: true,
            id: id.to_string(),
            changed,
            versions: versions.to_vec(),
        })?,
        Format::Text => commands::print(&format!("{text}\n"))?,
    }
    Ok(ExitCode::SUCCESS)
}

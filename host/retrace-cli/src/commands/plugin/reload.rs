use std::{fmt::Write as _, process::ExitCode};

use anyhow::Result;
use serde::Serialize;

use super::{EXIT_CODES, NO, outcome};
use crate::{args::Format, commands, config::Config, wiring};

/// Make the running workers read the plugins anew
///
/// Workers look at the plugins every few seconds by themselves and take up what was installed, rolled back, switched on
/// or off. This is for the rest: it counts up STATE/plugins/reload, upon which each worker loads every plugin anew, tries
/// those again that failed to load, and forgets which plugins failed too often. Running calls end on the old version.
/// The command loads the plugins itself, too, and tells what the workers will find.
#[derive(Debug, clap::Args)]
#[command(after_help = format!("Example: retrace plugin reload\n\n{EXIT_CODES}"))]
pub(crate) struct Args {
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Serialize)]
struct ReloadDocument {
    ok: bool,
    loaded: Vec<String>,
    refused: Vec<String>,
}

pub(crate) fn run(config: &Config, args: &Args) -> Result<ExitCode> {
    let library = wiring::library(config);
    if let Err(error) = library.reload() {
        return outcome::fail(error, args.format);
    }
    let loaded = wiring::load(config)?;
    let inventory = library.inventory()?;
    let faults = loaded.faults.iter().map(|fault| format!("{}: {}", fault.path.display(), fault.reason));
    let refused = inventory.refused.iter().map(|refused| format!("{}: {}", refused.id, refused.reason));
    let document = ReloadDocument {
        loaded: loaded.serving.iter().map(|plugin| format!("{} {}", plugin.id, plugin.version)).collect(),
        refused: refused.chain(faults).collect(),
        ok: loaded.faults.is_empty() && inventory.refused.is_empty(),
    };
    match args.format {
        Format::Json => commands::print_json(&document)?,
        Format::Text => {
            let mut text = String::new();
            writeln!(text, "Loads: {}", document.loaded.join(", "))?;
            for refused in &document.refused {
                writeln!(text, "Refused: {refused}")?;
            }
            commands::print(&text)?;
        }
    }
    Ok(if document.ok { ExitCode::SUCCESS } else { ExitCode::from(NO) })
}

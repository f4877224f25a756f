use std::{fmt::Write as _, process::ExitCode};

use anyhow::Result;
use serde::Serialize;

use super::{EXIT_CODES, NO};
use crate::{args::Format, commands, config::Config, wiring};

/// Compile all plugins into the cache, so that workers start at once
///
/// For the build of a container image, and after an upgrade of Retrace: compiled code fits one version and one kind of
/// processor. What is compiled already is left as it is.
#[derive(Debug, clap::Args)]
#[command(after_help = format!("Example: retrace plugin warm\n\n{EXIT_CODES}"))]
pub(crate) struct Args {
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Serialize)]
struct WarmDocument {
    ok: bool,
    plugins: Vec<WarmPlugin>,
    refused: Vec<String>,
}

#[derive(Serialize)]
struct WarmPlugin {
    id: String,
    version: String,
    /// False: it was in the cache.
    compiled: bool,
    milliseconds: f64,
}

pub(crate) fn run(config: &Config, args: &Args) -> Result<ExitCode> {
    let loaded = wiring::load(config)?;
    let plugins = loaded.serving.iter().map(|plugin| WarmPlugin {
        id: plugin.id.to_string(),
        version: plugin.version.clone(),
        compiled: !plugin.from_cache,
        milliseconds: plugin.load_time.as_secs_f64() * 1000.0,
    });
    let plugins: Vec<_> = plugins.collect();
    let faults = loaded.faults.iter().map(|fault| format!("{}: {}", fault.path.display(), fault.reason));
    let refused: Vec<_> = faults.collect();
    let document = WarmDocument { ok: refused.is_empty(), plugins, refused };
    match args.format {
        Format::Json => commands::print_json(&document)?,
        Format::Text => {
            let mut text = String::new();
            for plugin in &document.plugins {
                let what = if plugin.compiled { "compiled" } else { "was in the cache" };
                writeln!(text, "{:<16} {:<10} {what} ({:.1} ms)", plugin.id, plugin.version, plugin.milliseconds)?;
            }
            for refused in &document.refused {
                writeln!(text, "refused: {refused}")?;
            }
            commands::print(&text)?;
        }
    }
    Ok(if document.ok { ExitCode::SUCCESS } else { ExitCode::from(NO) })
}

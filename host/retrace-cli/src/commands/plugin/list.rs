use std::{fmt::Write as _, process::ExitCode};

use anyhow::Result;
use serde::Serialize;

use crate::{args::Format, commands, config::Config, wiring};

/// List the plugins
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  retrace plugin list\n  retrace plugin list --format json")]
pub(crate) struct Args {
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Serialize)]
struct PluginDocument {
    id: String,
    aliases: Vec<String>,
    name: String,
    version: String,
    sha256: String,
    file: String,
}

pub(crate) fn run(config: &Config, args: &Args) -> Result<ExitCode> {
    let host = wiring::plugins(config)?;
    let documents: Vec<_> = host
        .plugins()
        .map(|plugin| PluginDocument {
            id: plugin.id.to_string(),
            aliases: plugin.aliases.iter().map(ToString::to_string).collect(),
            name: plugin.name.clone(),
            version: plugin.version.clone(),
            sha256: plugin.sha256.to_string(),
            file: plugin.path.display().to_string(),
        })
        .collect();
    match args.format {
        Format::Json => commands::print_json(&documents)?,
        Format::Text if documents.is_empty() => {
            commands::print(&format!("No plugin in {}. `make plugins` builds them.\n", config.plugin_dir.display()))?;
        }
        Format::Text => {
            let mut text = String::new();
            for plugin in documents {
                let digest: String = plugin.sha256.chars().take(12).collect();
                writeln!(text, "{:<16} {:<10} {digest}  {}", plugin.id, plugin.version, plugin.name)?;
            }
            commands::print(&text)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

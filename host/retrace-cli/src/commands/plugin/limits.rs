use std::{fmt::Write as _, process::ExitCode};

use anyhow::Result;

use crate::{args::Format, commands, config::Config};

/// Print what a plugin may cost, with the reason for each limit
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  retrace plugin limits\n  retrace plugin limits --format json\n\n\
                        The limits in force are printed; `[plugins.limits]` of the configuration changes those that are not marked as fixed\n\
                        by the contract.\n\nExit codes: 0 done, 2 wrong usage or configuration.")]
pub(crate) struct Args {
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub(crate) fn run(config: &Config, args: &Args) -> Result<ExitCode> {
    let rows = config.plugins.limits.table();
    match args.format {
        Format::Json => commands::print_json(&rows)?,
        Format::Text => {
            let mut text = String::new();
            for row in rows {
                let fixed = if row.configurable { "" } else { " (fixed by the contract)" };
                writeln!(text, "{:<26} {:>12} {:<10} {}{fixed}", row.name, row.value, row.unit, row.why)?;
            }
            commands::print(&text)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

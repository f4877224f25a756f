use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result};
use retrace_plugin_kit::contract;
use serde::Serialize;

use crate::{args::Format, commands};

/// Print the contract between Retrace and a plugin, in WIT
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  retrace plugin wit | less\n  retrace plugin wit --out wit\n  retrace plugin wit --bindings c --out bindings\n\n\
                        Exit codes: 0 done, 2 wrong usage, or the folder cannot be written."
)]
pub(crate) struct Args {
    /// Write the files into this folder instead, which may exist
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Write bindings for a language made from the contract, not the contract; needs --out
    #[arg(long, value_enum, requires = "out")]
    bindings: Option<Bindings>,
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Languages that bindings can be made for; the tools of the others make their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Bindings {
    /// plugin.h, plugin.c and plugin_component_type.o
    C,
}

#[derive(Serialize)]
struct Document {
    package: &'static str,
    world: &'static str,
    files: Vec<File>,
}

#[derive(Serialize)]
struct File {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'static str>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let package = contract::package();
    let Some(dir) = &args.out else {
        match args.format {
            Format::Json => {
                let file = |(name, text): &(&str, &'static str)| File { name: (*name).to_owned(), text: Some(text) };
                let files = contract::FILES.iter().map(file).collect();
                commands::print_json(&Document { package, world: contract::WORLD, files })?;
            }
            Format::Text => {
                for (_, text) in contract::FILES {
                    commands::print(text)?;
                }
            }
        }
        return Ok(ExitCode::SUCCESS);
    };
    let files = match args.bindings {
        Some(Bindings::C) => contract::c_bindings()?,
        None => contract::FILES.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect(),
    };
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let mut names = Vec::new();
    for (name, bytes) in files {
        let path = dir.join(name);
        fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
        names.push(path.display().to_string());
    }
    match args.format {
        Format::Json => {
            let files = names.into_iter().map(|name| File { name, text: None }).collect();
            commands::print_json(&Document { package, world: contract::WORLD, files })?;
        }
        Format::Text => commands::print(&names.iter().map(|name| format!("{name}\n")).collect::<String>())?,
    }
    Ok(ExitCode::SUCCESS)
}

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use retrace_plugin_kit::build::{self, BuildOptions, Built};
use serde::Serialize;

use super::NO;
use crate::{args::Format, commands};

/// Build a plugin in Rust, C, JavaScript or Python into a component
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  retrace plugin build\n  retrace plugin build plugins/acme --out acme.wasm\n\n\
                        The folder's main file tells the language: Cargo.toml, distribution.c, distribution.js or distribution.py.\n\
                        The compiler of the language does the work (cargo, clang, jco, componentize-py) and sees your environment;\n\
                        bindings for C and the step from core module to component are built in.\n\
                        A crate for another target than wasm32-wasip2 says so in Cargo.toml:\n    \
                        [package.metadata.retrace]\n    target = \"wasm32-unknown-unknown\"\n\n\
                        The component lands in build/plugin.wasm of the plugin's folder, unless --out says otherwise.\n\n\
                        Exit codes: 0 built, 1 the source does not build, 2 a tool or file is missing, 3 the result is no plugin.")]
pub(crate) struct Args {
    /// The plugin's folder
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// Where to put the component [default: build/plugin.wasm in the plugin's folder]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Cargo's profile for a plugin in Rust
    #[arg(long, default_value = "release")]
    profile: String,
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Serialize)]
struct Document {
    file: String,
    language: String,
    size_bytes: u64,
    seconds: f64,
    commands: Vec<String>,
}

pub(crate) async fn run(args: &Args) -> Result<ExitCode> {
    let options = BuildOptions { out: args.out.clone(), profile: args.profile.clone() };
    let built = match build::build(&args.dir, &options).await {
        Ok(built) => built,
        Err(error) if error.is_about_the_source() => {
            eprintln!("error: {:#}", anyhow::Error::from(error));
            return Ok(ExitCode::from(NO));
        }
        Err(error) => return Err(error.into()),
    };
    match args.format {
        Format::Json => commands::print_json(&document(&built))?,
        Format::Text => commands::print(&text(&built))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn document(built: &Built) -> Document {
    Document {
        file: built.path.display().to_string(),
        language: built.language.to_string(),
        size_bytes: built.size_bytes,
        seconds: built.duration.as_secs_f64(),
        commands: built.commands.clone(),
    }
}

fn text(built: &Built) -> String {
    let Built { path, size_bytes, duration, language, .. } = built;
    format!("{}: {size_bytes} bytes, built from {language} in {:.1} s\n", path.display(), duration.as_secs_f64())
}

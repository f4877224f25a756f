use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Result, bail};
use retrace_plugin_host::{
    Limits,
    library::{Companions, LibraryError, Submission},
};
use retrace_types::DistroId;
use serde::Serialize;

use super::{EXIT_CODES, outcome, secret};
use crate::{args::Format, commands, config::Config, wiring};

/// Put a plugin, its signature and its metadata into one file for sites without a network
///
/// The file is a tar that is the same, byte for byte, whenever it is made from the same plugin; `retrace plugin install`
/// takes it. A signature belongs to the plugin and not to the tar, so whoever installs it checks it as ever.
#[derive(Debug, clap::Args)]
#[command(after_help = format!("Examples:\n  retrace plugin pack acme.wasm\n  retrace plugin pack acme --out /media/usb/acme.tar   (as it is installed here)\n  \
    retrace plugin install /media/usb/acme.tar\n\n{EXIT_CODES}"))]
pub(crate) struct Args {
    /// A plugin's file, or the id of an installed plugin
    plugin: PathBuf,
    /// The signature of a file [default: FILE.asc]
    #[arg(long, value_name = "FILE")]
    signature: Option<PathBuf>,
    /// What the author wrote about it [default: plugin.toml beside a file]
    #[arg(long, value_name = "FILE")]
    metadata: Option<PathBuf>,
    /// The pack [default: NAME.tar for a file, ID-VERSION.tar for an installed plugin, here]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Serialize)]
struct PackDocument {
    pack: PathBuf,
    bytes: usize,
    signed: bool,
}

pub(crate) fn run(config: &Config, args: &Args) -> Result<ExitCode> {
    let (submission, name) = match read(config, args) {
        Ok(Some(found)) => found,
        Ok(None) => bail!(
            "{} is neither a file nor an installed plugin: `retrace plugin list` shows those",
            args.plugin.display()
        ),
        Err(error) => return outcome::fail(error, args.format),
    };
    let bytes = match submission.pack() {
        Ok(bytes) => bytes,
        Err(error) => return outcome::fail(error, args.format),
    };
    let pack = args.out.clone().unwrap_or(name);
    secret::write_over(&pack, &bytes)?;
    let document = PackDocument { pack, bytes: bytes.len(), signed: submission.signature.is_some() };
    match args.format {
        Format::Json => commands::print_json(&document)?,
        Format::Text => {
            let note = if document.signed { "" } else { " (it is not signed: `retrace plugin sign` it first)" };
            commands::print(&format!("{}: {} bytes{note}\n", document.pack.display(), document.bytes))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The plugin and the usual name of its pack.
fn read(config: &Config, args: &Args) -> Result<Option<(Submission, PathBuf)>, LibraryError> {
    if args.plugin.is_file() {
        let companions = Companions { signature: args.signature.as_deref(), metadata: args.metadata.as_deref() };
        let submission = Submission::read(&args.plugin, companions, Limits::default().file_bytes)?;
        let name = Path::new(args.plugin.file_stem().unwrap_or_default()).with_extension("tar");
        return Ok(Some((submission, name)));
    }
    let id = args.plugin.to_str().and_then(|text| text.parse::<DistroId>().ok());
    let Some(id) = id else { return Ok(None) };
    let found = wiring::library(config).submission(&id)?;
    Ok(found.map(|(submission, record)| (submission, format!("{}-{}.tar", record.id, record.version).into())))
}

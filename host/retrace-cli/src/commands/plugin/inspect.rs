use std::{fmt::Write as _, path::PathBuf, process::ExitCode};

use anyhow::Result;
use retrace_plugin_host::{
    Inspection, inspect,
    library::{Companions, LibraryError, Submission},
};
use serde::Serialize;

use super::{NOT_LOADABLE, component};
use crate::{args::Format, commands, config::Config, wiring};

/// Show what a component is, without running any of it
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  retrace plugin inspect build/plugin.wasm\n  retrace plugin inspect acme.wasm --format json\n\n\
                        Nothing of the file is compiled or run. The signer is found in FILE.asc and the trust folder.\n\n\
                        Exit codes: 0 it can be a plugin, 2 the file cannot be read, 3 it cannot be a plugin; the reasons are printed."
)]
pub(crate) struct Args {
    /// The component
    file: PathBuf,
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Serialize)]
struct Document {
    file: String,
    #[serde(flatten)]
    inspection: Option<Inspection>,
    /// Why nothing more can be said.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    signature: Signature,
}

/// What `FILE.asc` proves.
#[derive(Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
enum Signature {
    /// There is none.
    None,
    /// A trusted key made it.
    Good { fingerprint: String, key_file: String },
    /// It proves nothing here.
    Bad { why: String },
}

pub(crate) fn run(config: &Config, args: &Args) -> Result<ExitCode> {
    let limits = &config.plugins.limits;
    let bytes = component::read(&args.file, limits)?;
    let (inspection, error) = match inspect(&bytes, limits) {
        Ok(inspection) => (Some(inspection), None),
        Err(error) => (None, Some(error.to_string())),
    };
    let accepted = inspection.as_ref().is_some_and(|inspection| inspection.violations.is_empty());
    let document =
        Document { file: args.file.display().to_string(), inspection, error, signature: signature(config, args) };
    match args.format {
        Format::Json => commands::print_json(&document)?,
        Format::Text => commands::print(&text(&document)?)?,
    }
    Ok(if accepted { ExitCode::SUCCESS } else { ExitCode::from(NOT_LOADABLE) })
}

fn signature(config: &Config, args: &Args) -> Signature {
    let submission = Submission::read(&args.file, Companions::default(), config.plugins.limits.file_bytes);
    let verified = submission.and_then(|submission| submission.verify(&wiring::trust(config)?));
    match verified {
        Ok(signer) => Signature::Good { fingerprint: signer.fingerprint, key_file: signer.key_file },
        Err(LibraryError::Unsigned { .. }) => Signature::None,
        Err(error) => Signature::Bad { why: format!("{:#}", anyhow::Error::from(error)) },
    }
}

fn text(document: &Document) -> Result<String> {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| writeln!(text, "{name:<12} {value}");
    line("file", &document.file)?;
    if let Some(error) = &document.error {
        line("no plugin", error)?;
    }
    if let Some(inspection) = &document.inspection {
        let counts = &inspection.counts;
        line("sha256", &inspection.sha256.to_string())?;
        line("size", &format!("{} bytes", inspection.size_bytes))?;
        line("contract", inspection.contract.as_deref().unwrap_or("none"))?;
        line("metadata", &inspection.metadata.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string))?;
        line("features", &inspection.features.join(", "))?;
        line(
            "code",
            &format!(
                "{} functions (the largest has {} bytes, at most {} locals) in {} modules",
                counts.functions, counts.largest_function_bytes, counts.most_locals, counts.modules
            ),
        )?;
        for import in &inspection.imports {
            line("import", import)?;
        }
        for export in &inspection.exports {
            line("export", &export.name)?;
            for function in &export.functions {
                line("", &format!("{}: {}", function.name, function.signature))?;
            }
        }
        for violation in &inspection.violations {
            line("violation", &violation.to_string())?;
        }
    }
    match &document.signature {
        Signature::None => line("signature", "none")?,
        Signature::Good { fingerprint, key_file } => {
            line("signature", &format!("good, by {fingerprint} ({key_file})"))?
        }
        Signature::Bad { why } => line("signature", &format!("not good: {why}"))?,
    }
    Ok(text)
}

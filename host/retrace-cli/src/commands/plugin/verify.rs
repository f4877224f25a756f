use std::{fmt::Write as _, path::PathBuf, process::ExitCode};

use anyhow::Result;
use retrace_plugin_host::{
    Limits,
    library::{Companions, Signer, Submission, Trust},
};
use serde::Serialize;

use super::{EXIT_CODES, NO, outcome};
use crate::{args::Format, commands, config::Config, wiring};

/// Check the signature of a plugin, or look at all installed ones again
///
/// A signature counts if a key of the trust folder made it that is neither expired nor revoked today.
#[derive(Debug, clap::Args)]
#[command(after_help = format!("Examples:\n  retrace plugin verify acme.wasm\n  retrace plugin verify acme.wasm --key acme.asc\n  \
    retrace plugin verify acme-1.0.0.tar\n  retrace plugin verify --installed\n\n{EXIT_CODES}"))]
pub(crate) struct Args {
    /// The plugin, or a pack
    #[arg(required_unless_present = "installed")]
    file: Option<PathBuf>,
    /// The signature [default: FILE.asc]
    #[arg(long, value_name = "FILE")]
    signature: Option<PathBuf>,
    /// Public keys that count, instead of those of the trust folder
    #[arg(long = "key", value_name = "FILE")]
    keys: Vec<PathBuf>,
    /// Look at every installed plugin: digest of its file, and signature by today's keys
    #[arg(long, conflicts_with_all = ["file", "signature"])]
    installed: bool,
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Serialize)]
struct VerifiedDocument {
    ok: bool,
    signer: String,
    key_file: String,
}

#[derive(Serialize)]
struct InstalledDocument {
    id: String,
    version: String,
    ok: bool,
    signer: Option<String>,
    problems: Vec<String>,
}

pub(crate) fn run(config: &Config, args: &Args) -> Result<ExitCode> {
    let trust = if args.keys.is_empty() { wiring::trust(config) } else { Trust::of_files(&args.keys) };
    let trust = match trust {
        Ok(trust) => trust,
        Err(error) => return outcome::fail(error, args.format),
    };
    match &args.file {
        None => installed(config, &trust, args.format),
        Some(file) => {
            let companions = Companions { signature: args.signature.as_deref(), metadata: None };
            let verified = Submission::read(file, companions, Limits::default().file_bytes)
                .and_then(|submission| submission.verify(&trust));
            match verified {
                Ok(signer) => print_signer(signer, args.format),
                Err(error) => outcome::fail(error, args.format),
            }
        }
    }
}

fn print_signer(signer: Signer, format: Format) -> Result<ExitCode> {
    match format {
        Format::Json => {
            let Signer { fingerprint, key_file } = signer;
            commands::print_json(&VerifiedDocument { ok: true, signer: fingerprint, key_file })?;
        }
        Format::Text => {
            commands::print(&format!("Good signature by {} ({})\n", signer.fingerprint, signer.key_file))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn installed(config: &Config, trust: &Trust, format: Format) -> Result<ExitCode> {
    let found = match wiring::library(config).verify(trust) {
        Ok(found) => found,
        Err(error) => return outcome::fail(error, format),
    };
    let documents: Vec<_> = found
        .into_iter()
        .map(|plugin| {
            let mut problems = Vec::new();
            problems.extend(plugin.file.err().map(|refusal| refusal.to_string()));
            let signer = match plugin.signature {
                Ok(signer) => signer.map(|signer| signer.fingerprint),
                Err(error) => {
                    problems.push(format!("{:#}", anyhow::Error::from(error)));
                    None
                }
            };
            let (id, version, ok) = (plugin.id.to_string(), plugin.version, problems.is_empty());
            InstalledDocument { id, version, ok, signer, problems }
        })
        .collect();
    let all_good = documents.iter().all(|document| document.ok);
    match format {
        Format::Json => commands::print_json(&documents)?,
        Format::Text if documents.is_empty() => commands::print("No plugin is installed.\n")?,
        Format::Text => {
            let mut text = String::new();
            for plugin in documents {
                let signer = plugin.signer.as_deref().unwrap_or("unsigned");
                let verdict = if plugin.ok { "good" } else { "BAD" };
                writeln!(text, "{:<16} {:<10} {verdict:<5} {signer}", plugin.id, plugin.version)?;
                for problem in plugin.problems {
                    writeln!(text, "    {problem}")?;
                }
            }
            commands::print(&text)?;
        }
    }
    Ok(if all_good { ExitCode::SUCCESS } else { ExitCode::from(NO) })
}

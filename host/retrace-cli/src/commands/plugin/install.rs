use std::{fmt::Write as _, fs, path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result, bail};
use retrace_plugin_host::{
    Limits,
    library::{Companions, InstallOptions, InstallRecord, Installation, PluginsLock, Submission},
};
use serde::Serialize;

use super::{EXIT_CODES, outcome};
use crate::{args::Format, commands, config::Config, wiring};

/// Install plugins and put them in force
///
/// In this order: the size; the signature, by a key of the trust folder; the static checks; compiling, within limits; the
/// conformance suite (quick); that no other plugin has the same id or alias. Then one step puts the plugin in force, and
/// running workers take it up within seconds. Whatever fails, what was in force before stays.
#[derive(Debug, clap::Args)]
#[command(after_help = format!("Examples:\n  retrace plugin install acme.wasm                  (with its signature in acme.wasm.asc)\n  \
    retrace plugin install acme-1.0.0.tar             (as `retrace plugin pack` made it)\n  \
    retrace plugin install --allow-unsigned acme.wasm\n  \
    retrace plugin install --lock plugins.lock packs/*.tar\n\n{EXIT_CODES}"))]
pub(crate) struct Args {
    /// Plugins or packs
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// The signature [default: FILE.asc]
    #[arg(long, value_name = "FILE")]
    signature: Option<PathBuf>,
    /// What the author wrote about the plugin [default: plugin.toml beside it]
    #[arg(long, value_name = "FILE")]
    metadata: Option<PathBuf>,
    /// Take plugins that have no signature; `list`, and every result made with one, says so. A wrong signature is refused
    /// all the same
    #[arg(long)]
    allow_unsigned: bool,
    /// Take other bytes under a version number that is installed; the old ones stay for `rollback`
    #[arg(long)]
    replace: bool,
    /// Take only what this plugins.lock names: id, version, digest and signer
    #[arg(long, value_name = "FILE")]
    lock: Option<PathBuf>,
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Serialize)]
struct InstalledDocument<'a> {
    ok: bool,
    unchanged: bool,
    replaced: Option<String>,
    folder: String,
    missing_keys: &'a [String],
    #[serde(flatten)]
    record: &'a InstallRecord,
}

pub(crate) fn run(config: &Config, args: &Args) -> Result<ExitCode> {
    if args.files.len() > 1 && (args.signature.is_some() || args.metadata.is_some()) {
        bail!("--signature and --metadata belong to one plugin: install them one by one");
    }
    let lock = match &args.lock {
        None => None,
        Some(path) => {
            let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            Some(PluginsLock::parse(&text).with_context(|| format!("in {}", path.display()))?)
        }
    };
    let trust = match wiring::trust(config) {
        Ok(trust) => trust,
        Err(error) => return outcome::fail(error, args.format),
    };
    let bundled = wiring::bundled(config)?;
    let options = InstallOptions {
        allow_unsigned: args.allow_unsigned,
        replace: args.replace,
        lock: lock.as_ref(),
        ..wiring::install_options(config, &trust, &bundled)
    };
    let library = wiring::library(config);
    for file in &args.files {
        let companions = Companions { signature: args.signature.as_deref(), metadata: args.metadata.as_deref() };
        let installed = Submission::read(file, companions, Limits::default().file_bytes)
            .and_then(|submission| library.install(&submission, &options));
        match installed {
            Ok(installation) => print(config, &installation, args.format)?,
            Err(error) => return outcome::fail(error, args.format),
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Tells what was installed.
pub(super) fn print(config: &Config, installation: &Installation, format: Format) -> Result<()> {
    let Installation { record, folder, replaced, unchanged, report, missing_keys } = installation;
    match format {
        Format::Json => commands::print_json(&InstalledDocument {
            ok: true,
            unchanged: *unchanged,
            replaced: replaced.as_ref().map(ToString::to_string),
            folder: folder.to_string(),
            missing_keys,
            record,
        }),
        Format::Text => {
            let mut text = String::new();
            let what = match replaced {
                _ if *unchanged => "is in force already".to_owned(),
                Some(replaced) => format!("installed; it takes the place of {replaced}"),
                None => "installed".to_owned(),
            };
            let signer = match &record.signer {
                Some(signer) => format!("signed by {} ({})", signer.fingerprint, signer.key_file),
                None => "NOT SIGNED: every result made with it will say so".to_owned(),
            };
            writeln!(text, "{} {} ({}) {what}\n  {signer}", record.id, record.version, record.name)?;
            let summary = report.summary;
            writeln!(
                text,
                "  conformance: {} must, {} should passed, {} should failed, {} skipped",
                summary.must.pass, summary.should.pass, summary.should.fail, summary.skipped
            )?;
            for check in report.failures() {
                writeln!(text, "    {} {}: {}", check.id, check.title, check.message.as_deref().unwrap_or(""))?;
            }
            if !missing_keys.is_empty() {
                writeln!(text, "  before the first sync, put its keys into {}:", config.keys_dir.display())?;
                for key in missing_keys {
                    writeln!(text, "    {key}")?;
                }
            }
            commands::print(&text)
        }
    }
}

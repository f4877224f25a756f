use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result};
use retrace_plugin_host::{Limits, library};
use serde::Serialize;

use super::{EXIT_CODES, secret};
use crate::{args::Format, commands};

/// Sign a plugin
///
/// Writes a detached, armoured OpenPGP signature over the exact bytes of the file, as `gpg --armor --detach-sign` does.
#[derive(Debug, clap::Args)]
#[command(after_help = format!("Examples:\n  retrace plugin sign acme.wasm --key acme.key\n  \
    gpg --armor --detach-sign acme.wasm        (the same with a key of GnuPG)\n\n{EXIT_CODES}"))]
pub(crate) struct Args {
    /// The plugin
    file: PathBuf,
    /// The secret key, as `retrace plugin keygen` or `gpg --export-secret-keys` wrote it
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Where the signature goes [default: FILE.asc]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    passphrase: secret::PassphraseArgs,
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Serialize)]
struct SignatureDocument {
    file: PathBuf,
    signature: PathBuf,
    fingerprint: String,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let bytes = secret::read(&args.file, Limits::default().file_bytes)?;
    let key = secret::read(&args.key, library::MAX_SECRET_KEY_BYTES)?;
    let signature = library::sign(&key, args.passphrase.read()?.as_deref(), &bytes)
        .with_context(|| format!("cannot sign with {}", args.key.display()))?;
    let out = args.out.clone().unwrap_or_else(|| {
        let mut path = args.file.clone().into_os_string();
        path.push(".asc");
        path.into()
    });
    secret::write_over(&out, signature.armored.as_bytes())?;
    let document = SignatureDocument { file: args.file.clone(), signature: out, fingerprint: signature.fingerprint };
    match args.format {
        Format::Json => commands::print_json(&document)?,
        Format::Text => commands::print(&format!(
            "{}: signature of {} by {}\n",
            document.signature.display(),
            document.file.display(),
            document.fingerprint
        ))?,
    }
    Ok(ExitCode::SUCCESS)
}

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, Result};
use retrace_plugin_host::library;
use serde::Serialize;

use super::{EXIT_CODES, secret};
use crate::{args::Format, commands};

/// Make a key pair that signs plugins
///
/// Writes the secret key to OUT.key, readable by you alone, and the public key to OUT.asc, which you give to those who
/// install your plugins. The keys are OpenPGP (EdDSA, Curve25519); GnuPG reads them, and keys of GnuPG sign as well.
#[derive(Debug, clap::Args)]
#[command(after_help = format!("Examples:\n  retrace plugin keygen --name 'Acme plugins <plugins@acme.example>' --out acme\n  \
    RETRACE_SIGNING_PASSPHRASE=... retrace plugin keygen --name Acme --out acme --expires-days 730\n  \
    gpg --import acme.key\n\n{EXIT_CODES}"))]
pub(crate) struct Args {
    /// Name in the key, usually with an address
    #[arg(long)]
    name: String,
    /// Path of the two files, without their endings
    #[arg(long, value_name = "PATH", default_value = "plugin-signing")]
    out: PathBuf,
    /// Days until the key expires; without this it does not
    #[arg(long, value_name = "DAYS")]
    expires_days: Option<u32>,
    #[command(flatten)]
    passphrase: secret::PassphraseArgs,
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Serialize)]
struct KeyDocument {
    fingerprint: String,
    secret_key: PathBuf,
    public_key: PathBuf,
    protected: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let passphrase = args.passphrase.read()?;
    let lifetime = args.expires_days.map(|days| Duration::from_secs(u64::from(days).saturating_mul(24 * 60 * 60)));
    let key = library::generate_key(&args.name, passphrase.as_deref(), lifetime)?;
    let (secret_key, public_key) = (with_ending(&args.out, "key"), with_ending(&args.out, "asc"));
    // The secret key first: a public key without it would be of no use.
    secret::write_private(&secret_key, key.secret.as_bytes())?;
    secret::write_public(&public_key, key.public.as_bytes())
        .with_context(|| format!("the secret key {} was written all the same: remove it", secret_key.display()))?;
    let protected = passphrase.is_some();
    let document = KeyDocument { fingerprint: key.fingerprint, secret_key, public_key, protected };
    match args.format {
        Format::Json => commands::print_json(&document)?,
        Format::Text => commands::print(&format!(
            "Fingerprint  {}\nSecret key   {}{}\nPublic key   {}\n\nSign with: retrace plugin sign PLUGIN.wasm --key {}\n\
             Those who install your plugins put {} into their folder trust/plugins/ and compare the fingerprint.\n",
            document.fingerprint,
            document.secret_key.display(),
            if document.protected { "" } else { " (without a passphrase: keep it safe)" },
            document.public_key.display(),
            document.secret_key.display(),
            document.public_key.display(),
        ))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(".");
    path.push(ending);
    path.into()
}

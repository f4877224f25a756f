//! Files and variables that hold secrets.

use std::{
    env,
    fs::{self, File},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

/// Where a passphrase comes from when no file is named. No argument takes one: others can read arguments.
pub(crate) const VARIABLE: &str = "RETRACE_SIGNING_PASSPHRASE";

/// Bytes of a file with a passphrase.
const MAX_PASSPHRASE_BYTES: u64 = 4096;

/// Where the passphrase of the secret key is.
#[derive(Debug, clap::Args)]
pub(super) struct PassphraseArgs {
    /// File whose first line is the passphrase of the secret key [default: the variable RETRACE_SIGNING_PASSPHRASE]
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

impl PassphraseArgs {
    pub(super) fn read(&self) -> Result<Option<String>> {
        passphrase(self.passphrase_file.as_deref())
    }
}

/// The passphrase in the first line of this file, else the one in [`VARIABLE`], if there is one.
pub(crate) fn passphrase(file: Option<&Path>) -> Result<Option<String>> {
    let Some(path) = file else {
        return match env::var(VARIABLE) {
            Ok(passphrase) => Ok(Some(passphrase)),
            Err(env::VarError::NotPresent) => Ok(None),
            Err(env::VarError::NotUnicode(_)) => bail!("{VARIABLE} is not UTF-8"),
        };
    };
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(MAX_PASSPHRASE_BYTES).read_to_string(&mut text));
    read.with_context(|| format!("cannot read the passphrase in {}", path.display()))?;
    let line = text.lines().next().unwrap_or_default().to_owned();
    if line.is_empty() {
        bail!("the first line of {} is empty: it should be the passphrase", path.display());
    }
    Ok(Some(line))
}

/// A file of at most `limit` bytes.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(limit.saturating_add(1)).read_to_end(&mut bytes));
    read.with_context(|| format!("cannot read {}", path.display()))?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > limit {
        bail!("{} has more than {limit} bytes", path.display());
    }
    Ok(bytes)
}

/// Writes a new file that its owner alone can read. An existing one is never overwritten: it may be a key.
pub(super) fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    write_new(path, bytes, 0o600)
}

/// Writes a new file that everybody can read.
pub(super) fn write_public(path: &Path, bytes: &[u8]) -> Result<()> {
    write_new(path, bytes, 0o644)
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let written = File::options().write(true).create_new(true).mode(mode).open(path).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.with_context(|| format!("cannot write {}: choose another --out if it is there already", path.display()))
}

/// Writes or replaces a file in one step.
pub(super) fn write_over(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}.new", std::process::id()));
    let temporary = PathBuf::from(temporary);
    let write = || -> io::Result<()> {
        let mut file = File::options().write(true).create_new(true).mode(0o644).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    let written = write();
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written.with_context(|| format!("cannot write {}", path.display()))
}

//! `retrace mirror publish`.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use anyhow::{Context as _, Result, bail};
use retrace_mirror::{KEY_FILE, Publication, PublishError, PublishOptions, Signer};
use retrace_store::Repository;
use retrace_types::{Architecture, ReleaseId};
use serde::Serialize;

use crate::{
    FAILED, WITH_GAPS,
    args::Format,
    commands::{self, plugin::secret},
    config::Config,
    progress::TerminalProgress,
    wiring,
};

/// Packages left out that the text names.
const SHOWN: usize = 5;
/// Largest file with a secret key, in bytes.
const MAX_KEY_BYTES: u64 = 1 << 20;

pub(crate) const HELP: &str = "\
The folder of a repository is DIR/DISTRIBUTION/VERSION/ARCHITECTURE/REPOSITORY: hard links to every kept version of its
packages, and metadata (rpm-md or Debian) that makes it a repository. With a key, metadata is signed and the public key
lies in DIR/retrace-tree-key.asc. Nothing is written where nothing has changed.

Examples:
  retrace mirror publish
  retrace mirror publish fedora-40 debian-12 --dir /srv/mirror --key /etc/retrace/tree.key
  retrace plugin keygen --name 'Acme mirror <mirror@acme.example>' --out tree    (makes tree.key)

Exit codes: 0 done, or there was nothing to do; 3 done, but packages were left out: the result says which and why;
1 a repository was not published; 2 wrong usage or configuration.";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Releases, such as debian-12 [default: all that are mirrored]
    #[arg(value_name = "RELEASE")]
    releases: Vec<ReleaseId>,

    /// Only this architecture
    #[arg(long, value_name = "ARCH")]
    arch: Option<Architecture>,

    /// Only this repository; may be given again
    #[arg(long = "repository", value_name = "ID")]
    repositories: Vec<String>,

    /// Folder of the tree [default: publish.dir of the configuration, else `tree` of state_dir]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,

    /// OpenPGP secret key that signs the metadata [default: publish.key of the configuration]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,

    /// How to print the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub(crate) async fn run(config: &Config, args: &Args) -> Result<ExitCode> {
    let options = Arc::new(options(config, args)?);
    let store = wiring::store(config).await?;
    let repositories = chosen(args, store.repositories(None, args.arch).await.context("cannot read the index")?)?;
    let mut documents = Vec::new();
    {
        let progress = TerminalProgress::new();
        for repository in &repositories {
            let done = retrace_mirror::publish(&store, repository, &options, &progress).await;
            documents.push(RepositoryDocument::new(&options.dir, repository, done));
        }
    }
    let document = Document {
        dir: options.dir.clone(),
        key: options.signer.as_ref().map(|signer| KeyDocument {
            fingerprint: signer.fingerprint().to_owned(),
            file: options.dir.join(KEY_FILE),
        }),
        repositories: documents,
    };
    match args.format {
        Format::Json => commands::print_json(&document)?,
        Format::Text => commands::print(&document.text())?,
    }
    Ok(document.exit_code())
}

fn options(config: &Config, args: &Args) -> Result<PublishOptions> {
    let configured = |path: &Path| (!path.as_os_str().is_empty()).then(|| path.to_owned());
    let dir = args.dir.clone().or_else(|| configured(&config.publish.dir));
    let dir = dir.unwrap_or_else(|| config.state_dir.join("tree"));
    let dir = std::path::absolute(&dir).with_context(|| format!("cannot use the folder {}", dir.display()))?;
    let signer = match args.key.clone().or_else(|| configured(&config.publish.key)) {
        Some(key) => {
            let passphrase = secret::passphrase(configured(&config.publish.passphrase_file).as_deref())?;
            let signer = Signer::new(&secret::read(&key, MAX_KEY_BYTES)?, passphrase.as_deref());
            Some(signer.with_context(|| format!("cannot sign with {}", key.display()))?)
        }
        None => None,
    };
    Ok(PublishOptions { dir, signer })
}

/// The repositories that the arguments choose; an argument that chooses none is a mistake.
fn chosen(args: &Args, mut repositories: Vec<Repository>) -> Result<Vec<Repository>> {
    if repositories.is_empty() && args.arch.is_none() {
        bail!("nothing is mirrored yet: start with `retrace mirror sync DISTRIBUTION VERSION ARCH`");
    }
    for release in &args.releases {
        if !repositories.iter().any(|repository| repository.release == *release) {
            bail!("release {release} is not mirrored: `retrace mirror list` shows what is");
        }
    }
    repositories.retain(|repository| args.releases.is_empty() || args.releases.contains(&repository.release));
    for id in &args.repositories {
        if !repositories.iter().any(|repository| repository.spec.id == *id) {
            bail!("there is no repository {id}: `retrace mirror list` shows those that there are");
        }
    }
    repositories.retain(|repository| args.repositories.is_empty() || args.repositories.contains(&repository.spec.id));
    if repositories.is_empty() {
        bail!("no repository of this architecture is mirrored: `retrace mirror list` shows those that are");
    }
    Ok(repositories)
}

#[derive(Serialize)]
struct Document {
    dir: PathBuf,
    key: Option<KeyDocument>,
    repositories: Vec<RepositoryDocument>,
}

#[derive(Serialize)]
struct KeyDocument {
    fingerprint: String,
    file: PathBuf,
}

#[derive(Serialize)]
struct RepositoryDocument {
    release: String,
    architecture: String,
    repository: String,
    folder: PathBuf,
    outcome: &'static str,
    error: Option<String>,
    packages: u64,
    linked: u64,
    copied: u64,
    removed: u64,
    metadata_bytes: u64,
    left_out: Vec<LeftOutDocument>,
    milliseconds: f64,
}

#[derive(Serialize)]
struct LeftOutDocument {
    package: String,
    reason: String,
}

impl RepositoryDocument {
    fn new(dir: &Path, repository: &Repository, done: Result<Publication, PublishError>) -> Self {
        let (outcome, error, done) = match done {
            Ok(done) if done.is_unchanged() => ("unchanged", None, done),
            Ok(done) => ("published", None, done),
            Err(error) => ("failed", Some(format!("{:#}", anyhow::Error::new(error))), Publication::default()),
        };
        let left_out = done.left_out.into_iter();
        Self {
            release: repository.release.to_string(),
            architecture: repository.architecture.to_string(),
            repository: repository.spec.id.clone(),
            folder: retrace_mirror::folder_of(dir, repository),
            outcome,
            error,
            packages: done.packages,
            linked: done.linked,
            copied: done.copied,
            removed: done.removed,
            metadata_bytes: done.metadata_bytes,
            left_out: left_out
                .map(|package| LeftOutDocument { package: package.package, reason: package.reason })
                .collect(),
            milliseconds: done.duration.as_secs_f64() * 1000.0,
        }
    }
}

impl Document {
    fn exit_code(&self) -> ExitCode {
        if self.repositories.iter().any(|repository| repository.error.is_some()) {
            ExitCode::from(FAILED)
        } else if self.repositories.iter().any(|repository| !repository.left_out.is_empty()) {
            ExitCode::from(WITH_GAPS)
        } else {
            ExitCode::SUCCESS
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for repository in &self.repositories {
            repository.write(&mut text);
        }
        // Writing to a String cannot fail.
        let _ = match &self.key {
            Some(key) => writeln!(text, "Signed by {}; its public key is {}", key.fingerprint, key.file.display()),
            None => {
                writeln!(text, "Not signed: apt and dnf have to be told to trust the tree, or give a key with --key")
            }
        };
        text
    }
}

impl RepositoryDocument {
    fn write(&self, text: &mut String) {
        let Self { release, architecture, repository, outcome, packages, linked, copied, removed, .. } = self;
        let what = match &self.error {
            Some(error) => error.clone(),
            None => {
                let mut what = format!("{packages} packages");
                for (count, name) in [
                    (*linked, "new"),
                    (*copied, "copied: the store is on another file system or allows no links"),
                    (*removed, "files removed"),
                    (self.left_out.len() as u64, "left out"),
                ] {
                    if count > 0 {
                        let _ = write!(what, ", {count} {name}");
                    }
                }
                let (folder, milliseconds) = (self.folder.display(), self.milliseconds);
                format!("{what} in {folder} ({} KiB of metadata, {milliseconds:.0} ms)", self.metadata_bytes / 1024)
            }
        };
        let _ = writeln!(text, "{release:<16} {architecture:<9} {repository:<20} {outcome:<9} {what}");
        for LeftOutDocument { package, reason } in self.left_out.iter().take(SHOWN) {
            let _ = writeln!(text, "  left out: {package}: {reason}");
        }
        if self.left_out.len() > SHOWN {
            let _ = writeln!(text, "  and {} more: --format json names them all", self.left_out.len() - SHOWN);
        }
    }
}

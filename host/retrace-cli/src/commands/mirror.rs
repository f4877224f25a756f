//! `retrace mirror`.

pub(crate) mod find;
mod incident;
pub(crate) mod prune;
pub(crate) mod publish;
pub(crate) mod status;
mod sync;
pub(crate) mod verify;

use std::{fmt::Write as _, process::ExitCode};

use anyhow::{Context as _, Result};
use retrace_types::SignaturePolicy;
use serde::Serialize;

use crate::{
    args::{Format, MirrorCommand},
    commands::plugin,
    config::Config,
    wiring,
};

/// What is said of a repository whose policy checks nothing.
const NOT_VERIFIED: &str = "NOT VERIFIED: no signature of this repository is checked, by its policy";
const NOTHING: &str = "Nothing is mirrored yet. Start with: retrace mirror sync DISTRIBUTION VERSION ARCH\n";

pub(crate) async fn run(config: &Config, command: &MirrorCommand) -> Result<ExitCode> {
    match command {
        MirrorCommand::Sync(args) => sync::run(config, args).await,
        MirrorCommand::Find(args) => find::run(config, args).await,
        MirrorCommand::Publish(args) => publish::run(config, args).await,
        MirrorCommand::Prune(args) => prune::run(config, args).await,
        MirrorCommand::Check(args) => plugin::check::run(config, args).await,
        MirrorCommand::Status(args) => status::run(config, args).await,
        MirrorCommand::Verify(args) => verify::run(config, args).await,
        MirrorCommand::List { format } => list(config, *format).await,
    }
}

/// What a policy has verified.
fn verified(policy: SignaturePolicy) -> Vec<&'static str> {
    let parts = [(policy.packages, "packages"), (policy.metadata, "metadata")];
    parts.into_iter().filter(|(wanted, _)| *wanted).map(|(_, name)| name).collect()
}

#[derive(Serialize)]
struct MirroredDocument {
    release: String,
    architecture: String,
    repository: String,
    mirrors: Vec<String>,
    verified: Vec<&'static str>,
    synced_at: Option<String>,
}

async fn list(config: &Config, format: Format) -> Result<ExitCode> {
    let repositories = wiring::store(config).await?.repositories(None, None).await.context("cannot read the index")?;
    let documents: Vec<_> = repositories
        .into_iter()
        .map(|repository| MirroredDocument {
            release: repository.release.to_string(),
            architecture: repository.architecture.to_string(),
            repository: repository.spec.id,
            verified: verified(repository.spec.signatures),
            mirrors: repository.spec.mirrors,
            synced_at: repository.synced_at.map(|at| at.to_string()),
        })
        .collect();
    match format {
        Format::Json => super::print_json(&documents)?,
        Format::Text if documents.is_empty() => {
            super::print(NOTHING)?;
        }
        Format::Text => {
            let mut text = String::new();
            for document in documents {
                let MirroredDocument { release, architecture, repository, mirrors, verified, synced_at } = document;
                let unverified = if verified.is_empty() { "  NOT VERIFIED" } else { "" };
                let synced = synced_at.unwrap_or_else(|| "never".to_owned());
                let mirrors = mirrors.join(" ");
                writeln!(
                    text,
                    "{release:<16} {architecture:<9} {repository:<20} synced {synced}  {mirrors}{unverified}"
                )?;
            }
            super::print(&text)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

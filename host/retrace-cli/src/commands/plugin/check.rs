use std::{fmt::Write as _, process::ExitCode};

use anyhow::{Error, Result};
use retrace_mirror::{MirrorReach, RepositoryReach, reach};
use retrace_types::{Architecture, DistroId, RepositorySpec};
use serde::Serialize;

use super::NO;
use crate::{args::Format, commands, config::Config, wiring};

/// Reach the mirrors of a release, as its plugin names them
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  retrace plugin check debian 12 x86_64\n  \
                        retrace mirror check fedora 40 x86_64 --only-invalid\n\n\
                        Each mirror is asked for the file that its metadata starts with (repodata/repomd.xml, dists/SUITE/InRelease).\n\
                        Nothing is kept, and signatures are not checked; `retrace mirror sync` does both.\n\n\
                        Exit codes: 0 every repository has a mirror that answers, 1 one has none, 2 wrong usage, or no such plugin,\n\
                        release or architecture.")]
pub(crate) struct Args {
    /// Distribution, such as debian
    distribution: DistroId,
    /// Version or code name of the release, such as 12
    version: String,
    /// Architecture, such as x86_64
    architecture: Architecture,
    /// Print only the addresses that answer
    #[arg(long, conflicts_with_all = ["only_invalid", "first_valid"])]
    only_valid: bool,
    /// Print only the addresses that do not answer
    #[arg(long, conflicts_with = "first_valid")]
    only_invalid: bool,
    /// Print only the first address of each repository that answers
    #[arg(long)]
    first_valid: bool,
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Serialize)]
struct Document {
    release: String,
    architecture: String,
    reachable: bool,
    repositories: Vec<Repository>,
}

#[derive(Serialize)]
struct Repository {
    id: String,
    title: String,
    reachable: bool,
    mirrors: Vec<Mirror>,
}

#[derive(Serialize)]
struct Mirror {
    mirror: String,
    reachable: bool,
    /// What answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    found: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

pub(crate) async fn run(config: &Config, args: &Args) -> Result<ExitCode> {
    let plugins = wiring::plugins(config)?;
    let release = plugins.release_by_version(&args.distribution, &args.version)?;
    let specs = plugins.repositories(&release, args.architecture)?;
    let reached = reach(&wiring::mirror_options(config), &args.distribution, &specs).await?;

    let repositories: Vec<_> = specs.iter().zip(reached).map(|(spec, reach)| repository(spec, reach, args)).collect();
    let reachable = repositories.iter().all(|repository| repository.reachable);
    let document = Document {
        release: release.id.to_string(),
        architecture: args.architecture.to_string(),
        reachable,
        repositories,
    };
    let only_addresses = args.only_valid || args.only_invalid || args.first_valid;
    match args.format {
        Format::Json => commands::print_json(&document)?,
        Format::Text if only_addresses => commands::print(&addresses(&document))?,
        Format::Text => commands::print(&text(&document)?)?,
    }
    Ok(if document.reachable { ExitCode::SUCCESS } else { ExitCode::from(NO) })
}

fn repository(spec: &RepositorySpec, reach: RepositoryReach, args: &Args) -> Repository {
    let reachable = reach.is_reachable();
    let mirror = |MirrorReach { mirror, outcome }: MirrorReach| {
        let (found, error) = match outcome {
            Ok(found) => (Some(found), None),
            Err(error) => (None, Some(format!("{:#}", Error::from(error)))),
        };
        Mirror { mirror, reachable: found.is_some(), found, error }
    };
    let wanted = |mirror: &Mirror| {
        if args.only_invalid { !mirror.reachable } else { mirror.reachable || !(args.only_valid || args.first_valid) }
    };
    let at_most = if args.first_valid { 1 } else { usize::MAX };
    let mirrors = reach.mirrors.into_iter().map(mirror).filter(wanted).take(at_most).collect();
    Repository { id: spec.id.clone(), title: spec.title.clone(), reachable, mirrors }
}

fn addresses(document: &Document) -> String {
    let mirrors = document.repositories.iter().flat_map(|repository| &repository.mirrors);
    mirrors.map(|mirror| format!("{}\n", mirror.mirror)).collect()
}

fn text(document: &Document) -> Result<String> {
    let mut text = String::new();
    for repository in &document.repositories {
        let state = if repository.reachable { "OK" } else { "FAIL" };
        writeln!(text, "{state:<5} {:<24} {}", repository.id, repository.title)?;
        for Mirror { mirror, error, .. } in &repository.mirrors {
            match error {
                None => writeln!(text, "      OK    {mirror}")?,
                Some(error) => writeln!(text, "      FAIL  {mirror}\n            {error}")?,
            }
        }
    }
    let failed = document.repositories.iter().filter(|repository| !repository.reachable).count();
    let Document { release, architecture, repositories, .. } = document;
    match failed {
        0 => writeln!(text, "{release} {architecture}: all {} repositories can be reached", repositories.len())?,
        _ => writeln!(
            text,
            "{release} {architecture}: {failed} of {} repositories cannot be reached",
            repositories.len()
        )?,
    }
    Ok(text)
}

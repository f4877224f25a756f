use std::{fmt::Write as _, process::ExitCode};

use anyhow::Result;
use retrace_types::{Architecture, DistroId, RepositorySpec};
use serde::Serialize;

use crate::{args::Format, commands, config::Config, wiring};

/// Show a plugin's releases, and a release's repositories
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  retrace plugin show debian\n  retrace plugin show fedora 40 --arch aarch64")]
pub(crate) struct Args {
    /// Plugin, such as debian
    id: DistroId,
    /// Release, to see its repositories
    version: Option<String>,
    /// Architecture of the repositories
    #[arg(long, default_value = "x86_64")]
    arch: Architecture,
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub(crate) fn run(config: &Config, args: &Args) -> Result<ExitCode> {
    match &args.version {
        None => releases(config, &args.id, args.format)?,
        Some(version) => repositories(config, &args.id, version, args.arch, args.format)?,
    }
    Ok(ExitCode::SUCCESS)
}

#[derive(Serialize)]
struct ReleaseDocument {
    version: String,
    title: String,
    codename: Option<String>,
    architectures: Vec<String>,
    end_of_life: Option<String>,
}

fn releases(config: &Config, id: &DistroId, format: Format) -> Result<()> {
    let registry = wiring::plugins(config)?;
    let documents: Vec<_> = registry
        .releases(id)?
        .into_iter()
        .map(|entry| ReleaseDocument {
            version: entry.release.id.version.to_string(),
            title: entry.title,
            codename: entry.release.codename,
            architectures: entry.architectures.iter().map(ToString::to_string).collect(),
            end_of_life: entry.end_of_life,
        })
        .collect();
    match format {
        Format::Json => commands::print_json(&documents),
        Format::Text => {
            let mut text = String::new();
            for release in documents {
                let end = release.end_of_life.map(|date| format!(", until {date}")).unwrap_or_default();
                let architectures = release.architectures.join(" ");
                writeln!(text, "{:<10} {}{end}: {architectures}", release.version, release.title)?;
            }
            commands::print(&text)
        }
    }
}

fn repositories(config: &Config, id: &DistroId, version: &str, arch: Architecture, format: Format) -> Result<()> {
    let registry = wiring::plugins(config)?;
    let release = registry.release_by_version(id, version)?;
    let repositories = registry.repositories(&release, arch)?;
    match format {
        Format::Json => commands::print_json(&repositories),
        Format::Text => commands::print(&repositories_text(&repositories)?),
    }
}

fn repositories_text(repositories: &[RepositorySpec]) -> Result<String> {
    let mut text = String::new();
    for repository in repositories {
        writeln!(text, "{:<20} {}", repository.id, repository.title)?;
        for mirror in &repository.mirrors {
            writeln!(text, "    mirror {mirror}")?;
        }
        for key in &repository.keys {
            writeln!(text, "    key    {}", key.path)?;
        }
    }
    Ok(text)
}

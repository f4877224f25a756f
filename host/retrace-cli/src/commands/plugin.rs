//! `retrace plugin`.

use std::{fmt::Write as _, process::ExitCode};

use anyhow::Result;
use retrace_types::{Architecture, DistroId, RepositorySpec};
use serde::Serialize;

use crate::{
    args::{Format, PluginCommand},
    config::Config,
    wiring,
};

pub(crate) fn run(config: &Config, command: &PluginCommand) -> Result<ExitCode> {
    match command {
        PluginCommand::List { format } => list(config, *format)?,
        PluginCommand::Show { id, version: None, format, .. } => show(config, id, *format)?,
        PluginCommand::Show { id, version: Some(version), arch, format } => {
            show_repositories(config, id, version, *arch, *format)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

#[derive(Serialize)]
struct PluginDocument {
    id: String,
    aliases: Vec<String>,
    name: String,
    version: String,
    sha256: String,
    file: String,
}

fn list(config: &Config, format: Format) -> Result<()> {
    let host = wiring::plugins(config)?;
    let documents: Vec<_> = host
        .plugins()
        .map(|plugin| PluginDocument {
            id: plugin.id.to_string(),
            aliases: plugin.aliases.iter().map(ToString::to_string).collect(),
            name: plugin.name.clone(),
            version: plugin.version.clone(),
            sha256: plugin.sha256.to_string(),
            file: plugin.path.display().to_string(),
        })
        .collect();
    match format {
        Format::Json => super::print_json(&documents),
        Format::Text if documents.is_empty() => {
            super::print(&format!("No plugin in {}. `make plugins` builds them.\n", config.plugin_dir.display()))
        }
        Format::Text => {
            let mut text = String::new();
            for plugin in documents {
                let digest: String = plugin.sha256.chars().take(12).collect();
                writeln!(text, "{:<16} {:<10} {digest}  {}", plugin.id, plugin.version, plugin.name)?;
            }
            super::print(&text)
        }
    }
}

#[derive(Serialize)]
struct ReleaseDocument {
    version: String,
    title: String,
    codename: Option<String>,
    architectures: Vec<String>,
    end_of_life: Option<String>,
}

fn show(config: &Config, id: &DistroId, format: Format) -> Result<()> {
    let host = wiring::plugins(config)?;
    let documents: Vec<_> = host
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
        Format::Json => super::print_json(&documents),
        Format::Text => {
            let mut text = String::new();
            for release in documents {
                let end = release.end_of_life.map(|date| format!(", until {date}")).unwrap_or_default();
                let architectures = release.architectures.join(" ");
                writeln!(text, "{:<10} {}{end}: {architectures}", release.version, release.title)?;
            }
            super::print(&text)
        }
    }
}

fn show_repositories(config: &Config, id: &DistroId, version: &str, arch: Architecture, format: Format) -> Result<()> {
    let host = wiring::plugins(config)?;
    let release = host.release_by_version(id, version)?;
    let repositories = host.repositories(&release, arch)?;
    match format {
        Format::Json => super::print_json(&repositories),
        Format::Text => super::print(&repositories_text(&repositories)?),
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

use std::{fmt::Write as _, process::ExitCode};

use anyhow::Result;
use retrace_plugin_host::{
    HostStatus, PluginInfo,
    library::{InstallRecord, Trust},
};
use retrace_types::DistroId;
use serde::Serialize;

use super::EXIT_CODES;
use crate::{args::Format, commands, config::Config, wiring};

/// List the plugins: where each comes from, who signed it, and how it fares
///
/// States: ready; warming (being compiled); degraded (failed too often: not asked for a while); disabled; refused (there,
/// but not loaded, with the reason). What running workers say counts; without workers, what this command finds itself.
#[derive(Debug, clap::Args)]
#[command(after_help = format!("Examples:\n  retrace plugin list\n  retrace plugin list --format json | jq '.[] | select(.state != \"ready\")'\n\n{EXIT_CODES}"))]
pub(crate) struct Args {
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Serialize)]
struct PluginDocument {
    id: String,
    version: Option<String>,
    name: Option<String>,
    aliases: Vec<String>,
    /// `bundled` or `installed`.
    source: &'static str,
    /// An installed plugin that takes the place of a bundled one.
    replaces_bundled: bool,
    state: &'static str,
    /// Why it is not ready.
    reason: Option<String>,
    /// How long it stays degraded.
    seconds_left: Option<u64>,
    contract: Option<String>,
    size_bytes: Option<u64>,
    sha256: Option<String>,
    unsigned: bool,
    development: bool,
    signer: Option<String>,
    /// File of the trust folder that held the signer's key when it was installed.
    key_file: Option<String>,
    /// Whether that key is in the trust folder today.
    signer_trusted: Option<bool>,
    installed_at: Option<String>,
    /// Folder of the version in force, and of those to which `rollback` goes.
    folder: Option<String>,
    earlier: Vec<String>,
    file: Option<String>,
}

pub(crate) fn run(config: &Config, args: &Args) -> Result<ExitCode> {
    let documents = documents(config)?;
    match args.format {
        Format::Json => commands::print_json(&documents)?,
        Format::Text if documents.is_empty() => {
            commands::print(&format!(
                "No plugin in {}, none installed. `retrace plugin install` installs one, `make plugins` builds those of \
                 Retrace.\n",
                config.plugin_dir.display()
            ))?;
        }
        Format::Text => commands::print(&text(&documents)?)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// What a running worker says of the same versions.
fn mark(documents: &mut [PluginDocument], status: &HostStatus) {
    for document in documents.iter_mut().filter(|document| document.state == "ready") {
        let sha256 = document.sha256.as_deref();
        let same = status.plugins.iter().find(|plugin| sha256 == Some(plugin.sha256.to_string().as_str()));
        if let Some((plugin, until)) = same.and_then(|plugin| Some((plugin, plugin.degraded_until?))) {
            document.state = "degraded";
            document.seconds_left = Some(until.saturating_sub(status.written_at));
            document.reason = Some(format!(
                "{} of {} calls failed in worker {}; its log says how to repeat them",
                plugin.failures, plugin.calls, status.pid
            ));
        }
    }
}

fn documents(config: &Config) -> Result<Vec<PluginDocument>> {
    let library = wiring::library(config);
    let inventory = library.inventory()?;
    let trust = wiring::trust(config)?;
    let loaded = wiring::load(config)?;
    let mut documents = Vec::new();

    for plugin in &loaded.serving {
        let installed = inventory.plugins.iter().find(|known| known.path == plugin.path);
        let mut document = match installed {
            Some(known) => PluginDocument {
                replaces_bundled: loaded.replaced.contains(&plugin.id),
                folder: Some(known.folder.to_string()),
                earlier: known.earlier.iter().map(ToString::to_string).collect(),
                ..of_record(&known.record, &trust)
            },
            None => of_bundled(plugin),
        };
        document.file = Some(plugin.path.display().to_string());
        documents.push(document);
    }
    for plugin in inventory.plugins.iter().filter(|plugin| inventory.disabled.contains(&plugin.record.id)) {
        documents.push(PluginDocument {
            state: "disabled",
            reason: Some(format!("`retrace plugin enable {}` switches it on", plugin.record.id)),
            folder: Some(plugin.folder.to_string()),
            file: Some(plugin.path.display().to_string()),
            ..of_record(&plugin.record, &trust)
        });
    }
    let installed: Vec<&DistroId> = inventory.plugins.iter().map(|plugin| &plugin.record.id).collect();
    for id in inventory.disabled.iter().filter(|id| !installed.contains(id)) {
        let reason = Some(format!("`retrace plugin enable {id}` switches it on"));
        documents.push(PluginDocument { state: "disabled", reason, ..PluginDocument::new(id.as_str(), "bundled") });
    }
    for refused in inventory.refused {
        documents.push(PluginDocument {
            version: refused.version,
            state: "refused",
            reason: Some(refused.reason.to_string()),
            ..PluginDocument::new(refused.id.as_str(), "installed")
        });
    }
    for fault in loaded.faults {
        let known = inventory.plugins.iter().find(|known| known.path == fault.path);
        let document = match known {
            Some(known) => of_record(&known.record, &trust),
            None => PluginDocument::new(&fault.path.file_stem().unwrap_or_default().to_string_lossy(), "bundled"),
        };
        documents.push(PluginDocument {
            state: "refused",
            reason: Some(fault.reason),
            file: Some(fault.path.display().to_string()),
            ..document
        });
    }
    for status in HostStatus::read_all(&config.cache_dir.join("plugins"))? {
        mark(&mut documents, &status);
    }
    documents.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(documents)
}

impl PluginDocument {
    fn new(id: &str, source: &'static str) -> Self {
        Self {
            id: id.to_owned(),
            version: None,
            name: None,
            aliases: Vec::new(),
            source,
            replaces_bundled: false,
            state: "ready",
            reason: None,
            seconds_left: None,
            contract: None,
            size_bytes: None,
            sha256: None,
            unsigned: false,
            development: false,
            signer: None,
            key_file: None,
            signer_trusted: None,
            installed_at: None,
            folder: None,
            earlier: Vec::new(),
            file: None,
        }
    }
}

fn of_bundled(plugin: &PluginInfo) -> PluginDocument {
    PluginDocument {
        version: Some(plugin.version.clone()),
        name: Some(plugin.name.clone()),
        aliases: plugin.aliases.iter().map(ToString::to_string).collect(),
        size_bytes: Some(plugin.size_bytes),
        sha256: Some(plugin.sha256.to_string()),
        ..PluginDocument::new(plugin.id.as_str(), "bundled")
    }
}

fn of_record(record: &InstallRecord, trust: &Trust) -> PluginDocument {
    let signer = record.signer.as_ref();
    PluginDocument {
        version: Some(record.version.clone()),
        name: Some(record.name.clone()),
        aliases: record.aliases.iter().map(ToString::to_string).collect(),
        contract: Some(record.contract.clone()),
        size_bytes: Some(record.size_bytes),
        sha256: Some(record.sha256.to_string()),
        unsigned: record.unsigned,
        development: record.development,
        signer: signer.map(|signer| signer.fingerprint.clone()),
        key_file: signer.map(|signer| signer.key_file.clone()),
        signer_trusted: signer.map(|signer| trust.signers().any(|known| known.fingerprint == signer.fingerprint)),
        installed_at: Some(record.installed_at.clone()),
        ..PluginDocument::new(record.id.as_str(), "installed")
    }
}

fn text(documents: &[PluginDocument]) -> Result<String> {
    let mut text = String::new();
    let header = ["ID", "VERSION", "SOURCE", "CONTRACT", "SIZE", "STATE", "SIGNER"];
    let [id, version, source, contract, size, state, signer] = header;
    writeln!(text, "{id:<16} {version:<10} {source:<10} {contract:<9} {size:>9}  {state:<9} {signer}")?;
    for plugin in documents {
        let dash = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
        let size = plugin.size_bytes.map_or_else(|| "-".to_owned(), |bytes| format!("{} KiB", bytes.div_ceil(1024)));
        let signer = match (&plugin.signer, &plugin.key_file) {
            (Some(signer), Some(file)) => {
                let short: String = signer.chars().skip(signer.len().saturating_sub(16)).collect();
                let gone = if plugin.signer_trusted == Some(false) { ", no longer trusted" } else { "" };
                format!("{short} ({file}{gone})")
            }
            _ if plugin.development => "UNSIGNED (plugin dev)".to_owned(),
            _ if plugin.unsigned => "UNSIGNED".to_owned(),
            _ => "-".to_owned(),
        };
        let PluginDocument { id, source, state, .. } = plugin;
        let (version, contract) = (dash(&plugin.version), dash(&plugin.contract));
        writeln!(text, "{id:<16} {version:<10} {source:<10} {contract:<9} {size:>9}  {state:<9} {signer}")?;
        if plugin.replaces_bundled {
            writeln!(text, "    takes the place of the bundled plugin")?;
        }
        match (&plugin.reason, plugin.seconds_left) {
            (Some(reason), Some(left)) => writeln!(text, "    {reason}: not asked for another {left} s")?,
            (Some(reason), None) => writeln!(text, "    {reason}")?,
            _ => {}
        }
    }
    Ok(text)
}

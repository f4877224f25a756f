//! `retrace mirror sync --all`: every release that is mirrored, one after the other.

use std::{collections::BTreeMap, fmt::Write as _, process::ExitCode};

use anyhow::{Context as _, Result};
use retrace_mirror::{Mirror, has_named_mirrors, with_named_mirrors};
use retrace_plugin_host::Registry;
use retrace_store::{Repository, Scope, Store};
use retrace_types::{Architecture, ReleaseId, RepositorySpec};
use serde::Serialize;

use super::{NOTHING, SyncDocument, Synced, Wish};
use crate::{
    FAILED,
    args::{Format, SyncArgs},
    commands,
    config::Config,
    progress::TerminalProgress,
};

#[derive(Serialize)]
struct Document {
    releases: Vec<ReleaseDocument>,
}

#[derive(Serialize)]
struct ReleaseDocument {
    release: String,
    architecture: String,
    /// Why nothing could be tried; none otherwise.
    error: Option<String>,
    #[serde(flatten)]
    sync: Option<SyncDocument>,
}

pub(super) async fn run(
    config: &Config,
    args: &SyncArgs,
    plugins: &Registry,
    mirror: &Mirror,
    store: &Store,
) -> Result<ExitCode> {
    let mut releases: BTreeMap<(ReleaseId, Architecture), Vec<Repository>> = BTreeMap::new();
    for repository in store.repositories(None, None).await.context("cannot read the index")? {
        let key = (repository.release.clone(), repository.architecture);
        releases.entry(key).or_default().push(repository);
    }
    let (mut documents, mut text, mut code) = (Vec::new(), String::new(), 0);
    let progress = TerminalProgress::new();
    for ((release, architecture), repositories) in releases {
        let scope = Scope { release, architecture };
        let synced = sync(config, args, plugins, mirror, &scope, &repositories, &progress).await;
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{} {architecture}", scope.release);
        let (sync, error) = match synced {
            Ok(synced) => {
                code = worse(code, synced.code());
                text += &synced.text();
                (Some(SyncDocument::from(synced)), None)
            }
            Err(error) => {
                code = FAILED;
                let error = format!("{error:#}");
                let _ = writeln!(text, "{:<20} failed    {error}", "");
                (None, Some(error))
            }
        };
        let (release, architecture) = (scope.release.to_string(), architecture.to_string());
        documents.push(ReleaseDocument { release, architecture, error, sync });
    }
    drop(progress);
    match args.format {
        Format::Json => commands::print_json(&Document { releases: documents })?,
        Format::Text if documents.is_empty() => commands::print(NOTHING)?,
        Format::Text => commands::print(&text)?,
    }
    Ok(ExitCode::from(code))
}

async fn sync(
    config: &Config,
    args: &SyncArgs,
    plugins: &Registry,
    mirror: &Mirror,
    scope: &Scope,
    repositories: &[Repository],
    progress: &TerminalProgress,
) -> Result<Synced> {
    let ReleaseId { distro, version } = &scope.release;
    let release = plugins.release_by_version(distro, version.as_str())?;
    let known = plugins.repositories(&release, scope.architecture)?;
    let wish = Wish { rules: &config.repository, release: &release, architecture: scope.architecture };
    let specs = specs(repositories, known, wish)?;
    super::sync_release(args.dry_run, mirror, &release, scope, &specs, Vec::new(), progress).await
}

/// Of a release that is read from the mirrors of plugin and rules: all that is on. Of one for which mirrors were named: just
/// the repositories that they were named for, as the plugin describes them now.
fn specs(repositories: &[Repository], known: Vec<RepositorySpec>, wish: Wish<'_>) -> Result<Vec<RepositorySpec>> {
    if !repositories.iter().any(|repository| has_named_mirrors(&repository.spec)) {
        return wish.chosen(known, |policy| policy.enabled);
    }
    let described = repositories.iter().map(|repository| {
        let known = known.iter().find(|spec| spec.id == repository.spec.id);
        known.unwrap_or(&repository.spec).clone()
    });
    // Each was asked for by name once: only a rule switches it off.
    let chosen = wish.chosen(described.collect(), |policy| policy.enabled || policy.off_by_default.is_some())?;
    let with_names = chosen.into_iter().map(|spec| {
        let registered = repositories.iter().find(|repository| repository.spec.id == spec.id);
        match registered.filter(|repository| has_named_mirrors(&repository.spec)) {
            Some(repository) => with_named_mirrors(&spec, repository.spec.mirrors.clone()),
            None => spec,
        }
    });
    Ok(with_names.collect())
}

/// A repository that failed is worse than a package.
fn worse(a: u8, b: u8) -> u8 {
    if a == FAILED || b == FAILED { FAILED } else { a.max(b) }
}

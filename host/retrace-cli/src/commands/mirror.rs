//! `retrace mirror`.

mod ahead;
pub(crate) mod find;
pub(crate) mod publish;
pub(crate) mod status;
pub(crate) mod verify;

use std::{fmt::Write as _, process::ExitCode};

use anyhow::{Context as _, Result, bail};
use retrace_mirror::{AheadReport, Outcome, Policy, SyncReport, expand_mirror, with_own_mirrors};
use retrace_store::{Incident, Scope};
use retrace_types::{RepositorySpec, SignaturePolicy};
use serde::Serialize;

use crate::{
    FAILED,
    args::{Format, MirrorCommand, SyncArgs},
    commands::plugin,
    config::Config,
    progress::TerminalProgress,
    render::clean,
    wiring,
};
use ahead::AheadDocument;

/// Exit code: the index is up to date, but packages that a policy wants could not be had.
const INCOMPLETE: u8 = 3;

pub(crate) async fn run(config: &Config, command: &MirrorCommand) -> Result<ExitCode> {
    match command {
        MirrorCommand::Sync(args) => sync(config, args).await,
        MirrorCommand::Find(args) => find::run(config, args).await,
        MirrorCommand::Publish(args) => publish::run(config, args).await,
        MirrorCommand::Check(args) => plugin::check::run(config, args).await,
        MirrorCommand::Status(args) => status::run(config, args).await,
        MirrorCommand::Verify(args) => verify::run(config, args).await,
        MirrorCommand::List { format } => list(config, *format).await,
    }
}

async fn sync(config: &Config, args: &SyncArgs) -> Result<ExitCode> {
    let plugins = wiring::plugins(config)?;
    let release = plugins.release_by_version(&args.distribution, args.version.as_str())?;
    let specs = plugins.repositories(&release, args.architecture)?;
    let expand = |mirror: &String| expand_mirror(mirror, &release, args.architecture);
    let mirrors: Vec<_> = args.mirrors.iter().map(expand).collect::<Result<_, _>>()?;
    let policy = |spec: &RepositorySpec| Policy::of(&config.repository, &release.id, args.architecture, spec);
    let off = if mirrors.is_empty() { off(&specs, policy) } else { Vec::new() };
    let specs = with_mirrors(specs, &mirrors, policy)?;

    let mut with_keys = config.clone();
    with_keys.mirror.operator_keys.extend(args.keys.iter().cloned());
    let mirror = wiring::mirror(&with_keys, wiring::store(config).await?)?;
    let progress = TerminalProgress::new();
    let report = mirror.sync(&release, args.architecture, &specs, &progress).await?;
    let scope = Scope { release: release.id.clone(), architecture: args.architecture };
    let ahead = mirror.plan_ahead(&scope, &config.repository).await?;
    let fetched = if args.dry_run { AheadReport::default() } else { mirror.fetch_ahead(&ahead, &progress).await? };
    drop(progress);
    let packages = AheadDocument::new(args.dry_run, &ahead, &fetched);
    match args.format {
        Format::Json => {
            super::print_json(&SyncDocument { off, packages: Some(packages), ..SyncDocument::from(&report) })?
        }
        Format::Text => super::print(&(sync_text(SyncDocument::from(&report)) + &off_text(&off) + &packages.text()))?,
    }
    let failed = report.repositories.iter().any(|repository| matches!(repository.outcome, Outcome::Failed(_)));
    Ok(match (failed, fetched.failed.is_empty()) {
        (true, _) => ExitCode::from(FAILED),
        (false, false) => ExitCode::from(INCOMPLETE),
        (false, true) => ExitCode::SUCCESS,
    })
}

/// The repositories that are not read, and why.
fn off(specs: &[RepositorySpec], policy: impl Fn(&RepositorySpec) -> Policy) -> Vec<OffDocument> {
    let why = |spec: &RepositorySpec| {
        let policy = policy(spec);
        let why = policy.off_by_default.unwrap_or("a rule of the configuration says so");
        (!policy.enabled).then(|| OffDocument { id: spec.id.clone(), by_default: policy.off_by_default.is_some(), why })
    };
    specs.iter().filter_map(why).collect()
}

/// The repositories that the mirrors name, with those mirrors, whether they are on or not; where no mirror is named, all
/// that are on. What must be signed is what the operator says.
fn with_mirrors(
    specs: Vec<RepositorySpec>,
    mirrors: &[String],
    policy: impl Fn(&RepositorySpec) -> Policy,
) -> Result<Vec<RepositorySpec>> {
    let mut specs: Vec<_> = specs
        .into_iter()
        .map(|spec| {
            let policy = policy(&spec);
            (policy.applied_to(spec), policy)
        })
        .collect();
    if mirrors.is_empty() {
        specs.retain(|(_, policy)| policy.enabled);
        specs.sort_by_key(|(_, policy)| policy.priority);
        return Ok(specs.into_iter().map(|(spec, _)| spec).collect());
    }
    let specs: Vec<_> = specs.into_iter().map(|(spec, _)| spec).collect();
    let mut chosen: Vec<RepositorySpec> = Vec::new();
    for argument in mirrors {
        let (id, url) = split_mirror(argument);
        let spec = match id {
            Some(id) => specs.iter().find(|spec| spec.id == id),
            None => specs.first(),
        };
        let Some(spec) = spec else {
            let ids: Vec<_> = specs.iter().map(|spec| spec.id.as_str()).collect();
            bail!("--mirror {argument}: the release has no such repository; it has {}", ids.join(", "));
        };
        match chosen.iter_mut().find(|known| known.id == spec.id) {
            Some(known) => known.mirrors.push(url.to_owned()),
            None => chosen.push(with_own_mirrors(spec, vec![url.to_owned()])),
        }
    }
    Ok(chosen)
}

/// `id=url`; a text whose part before the first `=` looks like a URL or a path is all URL.
fn split_mirror(argument: &str) -> (Option<&str>, &str) {
    match argument.split_once('=') {
        Some((id, url)) if !id.contains(['/', ':', '.']) => (Some(id), url),
        _ => (None, argument),
    }
}

/// Incidents of a repository that are printed one by one; JSON has them all.
const MAX_INCIDENTS_SHOWN: usize = 10;

#[derive(Serialize)]
struct SyncDocument {
    repositories: Vec<RepositoryDocument>,
    /// Repositories of the release that are not mirrored.
    off: Vec<OffDocument>,
    /// What was fetched ahead, or would have been.
    packages: Option<AheadDocument>,
}

#[derive(Serialize)]
struct OffDocument {
    id: String,
    /// No rule said so.
    by_default: bool,
    why: &'static str,
}

#[derive(Serialize)]
struct RepositoryDocument {
    id: String,
    outcome: &'static str,
    error: Option<String>,
    packages: Option<u64>,
    build_ids: Option<u64>,
    mirror: Option<String>,
    /// Mirrors that failed before another one answered.
    failed_mirrors: Vec<FailedMirror>,
    /// What is verified: `packages`, `metadata`, both, or none.
    verified: Vec<&'static str>,
    /// Packages that changed under their names, and were not taken.
    incidents: Vec<IncidentDocument>,
    notes: Vec<String>,
    bytes: u64,
    milliseconds: f64,
}

#[derive(Clone, Serialize)]
struct IncidentDocument {
    package: String,
    location: String,
    kind: &'static str,
    known_sha256: Option<String>,
    offered_sha256: Option<String>,
    finding: Option<String>,
    first_seen: String,
    #[serde(skip)]
    text: String,
}

impl From<&Incident> for IncidentDocument {
    fn from(incident: &Incident) -> Self {
        Self {
            package: incident.package.clone(),
            location: incident.location.clone(),
            kind: incident.kind.as_str(),
            known_sha256: incident.known.sha256.map(|sha256| sha256.to_string()),
            offered_sha256: incident.offered.sha256.map(|sha256| sha256.to_string()),
            finding: incident.finding.clone(),
            first_seen: incident.first_seen.to_string(),
            text: incident.to_string(),
        }
    }
}

/// What a policy has verified.
fn verified(policy: SignaturePolicy) -> Vec<&'static str> {
    let parts = [(policy.packages, "packages"), (policy.metadata, "metadata")];
    parts.into_iter().filter(|(wanted, _)| *wanted).map(|(_, name)| name).collect()
}

#[derive(Serialize)]
struct FailedMirror {
    mirror: String,
    error: String,
}

impl From<&SyncReport> for SyncDocument {
    fn from(report: &SyncReport) -> Self {
        let repositories = report.repositories.iter().map(|repository| {
            let (outcome, error, packages, build_ids) = match &repository.outcome {
                Outcome::Updated { packages, build_ids } => ("updated", None, Some(*packages), Some(*build_ids)),
                Outcome::Unchanged => ("unchanged", None, None, None),
                Outcome::Failed(error) => ("failed", Some(chain(error)), None, None),
            };
            let failed = repository.failed_mirrors.iter();
            let failed = failed.map(|(mirror, error)| FailedMirror { mirror: mirror.clone(), error: chain(error) });
            RepositoryDocument {
                id: repository.id.clone(),
                outcome,
                error,
                packages,
                build_ids,
                mirror: repository.mirror.clone(),
                failed_mirrors: failed.collect(),
                verified: verified(repository.verified),
                incidents: repository.incidents.iter().map(IncidentDocument::from).collect(),
                notes: repository.notes.clone(),
                bytes: repository.bytes,
                milliseconds: repository.duration.as_secs_f64() * 1000.0,
            }
        });
        Self { repositories: repositories.collect(), off: Vec::new(), packages: None }
    }
}

fn sync_text(document: SyncDocument) -> String {
    let mut text = String::new();
    for repository in document.repositories {
        let from = repository.mirror.map(|mirror| format!(" from {mirror}")).unwrap_or_default();
        let what = match (repository.packages, repository.build_ids, repository.error) {
            (Some(packages), Some(build_ids), _) => format!("{packages} packages, {build_ids} build-ids{from}"),
            (_, _, Some(error)) => error,
            _ => format!("no news{from}"),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{:<20} {:<9} {what} ({} KiB, {:.0} ms)",
            repository.id,
            repository.outcome,
            repository.bytes / 1024,
            repository.milliseconds
        );
        for FailedMirror { mirror, error } in repository.failed_mirrors {
            let _ = writeln!(text, "{:<20} failed    {mirror}: {error}", "");
        }
        if repository.verified.is_empty() {
            let what = "NOT VERIFIED: no signature of this repository is checked, by its policy";
            let _ = writeln!(text, "{:<20} warning   {what}", "");
        }
        for incident in repository.incidents.iter().take(MAX_INCIDENTS_SHOWN) {
            let _ = writeln!(text, "{:<20} INCIDENT  {}", "", clean(&incident.text));
        }
        match repository.incidents.len() {
            0 => {}
            count => {
                let _ = writeln!(
                    text,
                    "{:<20} INCIDENT  {count} packages changed under their names and were not taken; what is known of them \
                     stays: ask the distribution why it replaced files",
                    ""
                );
            }
        }
        for note in repository.notes {
            let _ = writeln!(text, "{:<20} note      {note}", "");
        }
    }
    text
}

fn off_text(off: &[OffDocument]) -> String {
    off.iter().map(|repository| format!("{:<20} off       {}\n", repository.id, repository.why)).collect()
}

/// An error and its causes, in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
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
            super::print("Nothing is mirrored yet. Start with: retrace mirror sync DISTRIBUTION VERSION ARCH\n")?;
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

#[cfg(test)]
mod tests {
    use retrace_mirror::{RepositoryReport, Rule, Signatures};
    use retrace_types::{RepositoryContent, RepositoryLayout};

    use super::*;

    fn spec(id: &str) -> RepositorySpec {
        RepositorySpec {
            id: id.into(),
            title: id.into(),
            layout: RepositoryLayout::RpmMd,
            content: RepositoryContent::Packages,
            mirrors: vec!["https://upstream.example/".into()],
            signatures: SignaturePolicy { metadata: true, packages: true },
            keys: Vec::new(),
            config: Vec::new(),
        }
    }

    fn policy_of(rules: &[Rule]) -> impl Fn(&RepositorySpec) -> Policy + use<'_> {
        move |spec| Policy::of(rules, &"fedora-40".parse().unwrap(), retrace_types::Architecture::X86_64, spec)
    }

    #[test]
    fn rules_switch_repositories_and_order_them() {
        let specs = || vec![spec("releases"), spec("updates"), spec("updates-testing")];
        let rule = |pattern: &str, rule: Rule| Rule { repository: Some(pattern.parse().unwrap()), ..rule };
        let rules = [
            rule("updates*", Rule { priority: Some(10), signatures: Some(Signatures::None), ..Rule::default() }),
            rule("releases", Rule { enabled: Some(false), ..Rule::default() }),
        ];
        let chosen = with_mirrors(specs(), &[], policy_of(&rules)).unwrap();
        let [updates] = chosen.as_slice() else { panic!("{chosen:?}") };
        assert_eq!((updates.id.as_str(), updates.signatures), ("updates", SignaturePolicy::OFF));
        let off: Vec<_> = off(&specs(), policy_of(&rules)).into_iter().map(|off| (off.id, off.by_default)).collect();
        assert_eq!(off, [("releases".to_owned(), false), ("updates-testing".to_owned(), true)]);

        let on = [
            rule("updates*", Rule { priority: Some(10), ..Rule::default() }),
            rule("*-testing", Rule { enabled: Some(true), priority: Some(5), ..Rule::default() }),
        ];
        let ids: Vec<_> = with_mirrors(specs(), &[], policy_of(&on)).unwrap().into_iter().map(|spec| spec.id).collect();
        assert_eq!(ids, ["updates-testing", "updates", "releases"]);
    }

    #[test]
    fn mirrors_choose_repositories() {
        let source = RepositorySpec { content: RepositoryContent::Sources, ..spec("source") };
        let specs = || vec![spec("releases"), spec("updates"), spec("debug"), source.clone()];
        let chosen = |mirrors: &[&str]| {
            let mirrors: Vec<_> = mirrors.iter().map(|m| (*m).to_owned()).collect();
            with_mirrors(specs(), &mirrors, policy_of(&[]))
                .map(|specs| specs.into_iter().map(|spec| (spec.id, spec.mirrors.join(" "))).collect::<Vec<_>>())
        };
        let pair = |id: &str, url: &str| (id.to_owned(), url.to_owned());
        assert_eq!(chosen(&[]).unwrap().len(), 3, "no source packages unless asked for");
        assert_eq!(chosen(&["source=http://h/"]).unwrap(), [pair("source", "http://h/")]);
        assert_eq!(chosen(&["http://h/x?a=b"]).unwrap(), [pair("releases", "http://h/x?a=b")]);
        assert_eq!(chosen(&["/srv/a=b"]).unwrap(), [pair("releases", "/srv/a=b")]);
        assert_eq!(
            chosen(&["debug=/srv/d", "updates=http://h/", "debug=/srv/e"]).unwrap(),
            [pair("debug", "/srv/d /srv/e"), pair("updates", "http://h/")]
        );
        let error = chosen(&["testing=http://h/"]).unwrap_err().to_string();
        assert!(error.contains("releases, updates, debug"), "{error}");
    }
    #[test]
    fn mirrors_of_the_operators_own_stand_alone() {
        let mut named = spec("releases");
        named.config =
            vec![("archive-koji".into(), "https://builds.example/".into()), ("mirror-list".into(), "list".into())];
        let upstream = with_mirrors(vec![named.clone()], &[], policy_of(&[])).unwrap();
        assert_eq!(upstream[0].config, named.config);
        let own = with_mirrors(vec![named], &["/srv/copy".to_owned()], policy_of(&[])).unwrap();
        assert_eq!(own[0].config, [("mirror-list".to_owned(), "list".to_owned())]);
    }

    #[test]
    fn what_was_not_verified_and_what_changed_is_told() {
        let report = |verified, incidents| RepositoryReport {
            id: "releases".into(),
            outcome: Outcome::Unchanged,
            mirror: None,
            failed_mirrors: Vec::new(),
            incidents,
            verified,
            notes: Vec::new(),
            bytes: 0,
            duration: std::time::Duration::ZERO,
        };
        let text = |policy, incidents: &[IncidentDocument]| {
            let mut document = SyncDocument::from(&SyncReport { repositories: vec![report(policy, Vec::new())] });
            document.repositories[0].incidents = incidents.iter().map(IncidentDocument::clone).collect();
            sync_text(document)
        };
        let both = SignaturePolicy { packages: true, metadata: true };
        assert!(!text(both, &[]).contains("NOT VERIFIED"));
        assert!(text(SignaturePolicy::OFF, &[]).contains("NOT VERIFIED"));
        let incident = IncidentDocument {
            package: "bash-5-1.x86_64".into(),
            location: "bash.rpm".into(),
            kind: "changed",
            known_sha256: None,
            offered_sha256: None,
            finding: None,
            first_seen: "2026-01-01T00:00:00Z".into(),
            text: "bash-5-1.x86_64 was changed\u{1b}[2J".into(),
        };
        let told = text(both, &vec![incident; 30]);
        assert!(told.contains("INCIDENT  bash-5-1.x86_64 was changed\u{fffd}[2J"), "{told}");
        assert_eq!(told.matches("INCIDENT").count(), MAX_INCIDENTS_SHOWN + 1);
        assert!(told.contains("30 packages"), "{told}");
    }
}

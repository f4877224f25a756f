//! `retrace mirror verify`.

use std::{fmt::Write as _, path::PathBuf, process::ExitCode};

use anyhow::{Result, bail};
use retrace_mirror::{Fault, Finding, Repair, VerifyOptions, VerifyReport};
use retrace_types::{Architecture, ReleaseId};
use serde::Serialize;

use crate::{FAILED, args::Format, commands, config::Config, progress::TerminalProgress, render::size, wiring};

pub(crate) const HELP: &str = "\
Reads every package that is kept and compares its SHA-256; where its repository wants packages signed, its signature is
checked with the keys of the last sync. `damaged` is another content, `missing` no file, `unreadable` what the disk refuses,
`refused` a good file that keys and policy do not vouch for any more. Orphans are files that no package of the index has:
they do no harm, and without --release, --arch and --repository they are told.

With --repair such a package is fetched again from its mirrors and archives and verified like any other. Where that is not
possible, it counts as not fetched, and what is left of its file stays. Links of the published tree are replaced by the next
`retrace mirror publish`.

Examples:
  retrace mirror verify
  retrace mirror verify --release debian-12 --repair
  retrace mirror verify --repository updates --format json

Exit codes: 0 everything is good, or has been replaced by a good one; 1 damage was found, and none of it was repaired;
3 some was repaired and some could not be; 2 wrong usage or configuration.";

/// Exit code: repaired in part.
const PARTLY: u8 = 3;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Fetch what is damaged or missing again
    #[arg(long)]
    repair: bool,

    /// Only this release, such as debian-12
    #[arg(long, value_name = "RELEASE")]
    release: Option<ReleaseId>,

    /// Only this architecture
    #[arg(long, value_name = "ARCH")]
    arch: Option<Architecture>,

    /// Only this repository; may be given again
    #[arg(long = "repository", value_name = "ID")]
    repositories: Vec<String>,

    /// How to print the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub(crate) async fn run(config: &Config, args: &Args) -> Result<ExitCode> {
    let store = wiring::store(config).await?;
    let known = store.repositories(args.release.as_ref(), args.arch).await?;
    if known.is_empty() && (args.release.is_some() || args.arch.is_some()) {
        bail!("no such release is mirrored: `retrace mirror list` shows what is");
    }
    if let Some(id) = args.repositories.iter().find(|id| !known.iter().any(|known| known.spec.id == **id)) {
        bail!("there is no repository {id}: `retrace mirror list` shows those that there are");
    }
    let mirror = wiring::mirror(config, store)?;
    let options = VerifyOptions {
        release: args.release.clone(),
        architecture: args.arch,
        repositories: args.repositories.clone(),
        repair: args.repair,
    };
    let report = {
        let progress = TerminalProgress::new();
        mirror.verify(&options, &progress).await?
    };
    let document = Document::new(&report);
    match args.format {
        Format::Json => commands::print_json(&document)?,
        Format::Text => commands::print(&document.text())?,
    }
    Ok(document.exit_code())
}

#[derive(Serialize)]
struct Document {
    packages: u64,
    bytes: u64,
    good: u64,
    damaged: u64,
    missing: u64,
    unreadable: u64,
    refused: u64,
    repaired: u64,
    findings: Vec<FindingDocument>,
    /// None if only some repositories were verified.
    orphans: Option<Vec<OrphanDocument>>,
    milliseconds: f64,
}

#[derive(Serialize)]
struct FindingDocument {
    package: String,
    release: String,
    architecture: String,
    repository: String,
    path: PathBuf,
    fault: &'static str,
    detail: Option<String>,
    /// `replaced`, `out-of-service`, or none if no repair was wanted.
    repair: Option<&'static str>,
    repair_error: Option<String>,
}

#[derive(Serialize)]
struct OrphanDocument {
    path: PathBuf,
    bytes: u64,
}

impl FindingDocument {
    fn new(finding: &Finding) -> Self {
        let Finding { repository, package, path, fault, repair } = finding;
        let (fault, detail) = match fault {
            Fault::Missing => ("missing", None),
            Fault::Damaged(detail) => ("damaged", Some(detail.clone())),
            Fault::Unreadable(detail) => ("unreadable", Some(detail.clone())),
            Fault::Refused(detail) => ("refused", Some(detail.clone())),
        };
        let (repair, repair_error) = match repair {
            None => (None, None),
            Some(Repair::Replaced) => (Some("replaced"), None),
            Some(Repair::OutOfService(error)) => (Some("out-of-service"), Some(error.clone())),
        };
        Self {
            package: package.id.to_string(),
            release: repository.release.to_string(),
            architecture: repository.architecture.to_string(),
            repository: repository.spec.id.clone(),
            path: path.clone(),
            fault,
            detail,
            repair,
            repair_error,
        }
    }

    fn write(&self, text: &mut String) {
        let Self { package, release, architecture, repository, fault, path, .. } = self;
        let detail = self.detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{release} {architecture} {repository}: {package} is {fault}{detail}");
        let _ = match (self.repair, &self.repair_error) {
            (None, _) => writeln!(text, "  {}", path.display()),
            (Some(_), None) => writeln!(text, "  a good one is in its place"),
            (Some(_), Some(error)) => writeln!(text, "  out of service until it can be fetched: {error}"),
        };
    }
}

impl Document {
    fn new(report: &VerifyReport) -> Self {
        let findings: Vec<_> = report.findings.iter().map(FindingDocument::new).collect();
        let count = |fault: &str| findings.iter().filter(|finding| finding.fault == fault).count() as u64;
        let repaired = findings.iter().filter(|finding| finding.repair == Some("replaced")).count() as u64;
        let orphans = report.orphans.as_ref().map(|orphans| {
            let document =
                |orphan: &retrace_store::Orphan| OrphanDocument { path: orphan.path.clone(), bytes: orphan.size_bytes };
            orphans.iter().map(document).collect()
        });
        Self {
            packages: report.packages,
            bytes: report.bytes,
            good: report.good,
            damaged: count("damaged"),
            missing: count("missing"),
            unreadable: count("unreadable"),
            refused: count("refused"),
            repaired,
            findings,
            orphans,
            milliseconds: report.duration.as_secs_f64() * 1000.0,
        }
    }

    fn exit_code(&self) -> ExitCode {
        match (self.findings.len() as u64, self.repaired) {
            (found, repaired) if found == repaired => ExitCode::SUCCESS,
            (_, 0) => ExitCode::from(FAILED),
            _ => ExitCode::from(PARTLY),
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        self.findings.iter().for_each(|finding| finding.write(&mut text));
        let Self { packages, bytes, good, damaged, missing, unreadable, refused, repaired, .. } = self;
        let _ = write!(text, "{packages} packages ({}) read: {good} good", size(*bytes));
        for (count, name) in [
            (*damaged, "damaged"),
            (*missing, "missing"),
            (*unreadable, "unreadable"),
            (*refused, "refused"),
            (*repaired, "replaced by good ones"),
        ] {
            if count > 0 {
                let _ = write!(text, ", {count} {name}");
            }
        }
        let _ = writeln!(text, " ({:.1} s)", self.milliseconds / 1000.0);
        if let Some(orphans) = self.orphans.as_ref().filter(|orphans| !orphans.is_empty()) {
            let bytes = orphans.iter().map(|orphan| orphan.bytes).sum();
            let _ = writeln!(text, "{} files ({}) belong to no package of the index", orphans.len(), size(bytes));
        }
        if self.findings.iter().any(|finding| finding.repair.is_none()) {
            let _ = writeln!(text, "To fetch them again: retrace mirror verify --repair");
        }
        text
    }
}

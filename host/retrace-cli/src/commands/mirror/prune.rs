//! `retrace mirror prune`.

use std::{fmt::Write as _, process::ExitCode};

use anyhow::Result;
use retrace_mirror::{PrunePlan, PruneReport, Unwanted};
use serde::Serialize;

use crate::{FAILED, args::Format, commands, config::Config, render::size, wiring};

/// Packages that are named in the text.
const SHOWN: usize = 20;

pub(crate) const HELP: &str = "Examples:\n  retrace mirror prune --dry-run\n  retrace mirror prune --format json\n\n\
    Removed are copies of packages that a `[[repository]]` rule with mode = \"filtered\" no longer wants, and files of the\n\
    store that no package has and that are older than an hour. The index keeps every version: what was removed is fetched\n\
    again when a core needs it and a mirror or an archive still has it.\n\n\
    Kept for ever: everything of repositories in the modes metadata and full, or without a rule; what a core ever referenced,\n\
    with its debug packages. What a running task reads stays until the task has ended. Files that a published tree links\n\
    to take their space until the next `retrace mirror publish`.\n\n\
    Exit codes: 0 done, or nothing to do; 1 something could not be removed, or the store failed; 2 wrong usage.";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only say what would be removed
    #[arg(long)]
    dry_run: bool,

    /// How to print the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Serialize)]
struct Document {
    dry_run: bool,
    /// Copies that no rule wants.
    packages: Vec<Package>,
    /// Files that no package has.
    orphans: Vec<Orphan>,
    /// Bytes of both; a file that several packages have counts for each.
    bytes: u64,
    /// Copies that stay in the releases that a filter is for, and files too young to be judged.
    kept: u64,
    young: u64,
    /// What was done; none in a dry run.
    done: Option<Done>,
}

#[derive(Serialize)]
struct Package {
    package: String,
    release: String,
    architecture: String,
    repository: String,
    bytes: u64,
}

#[derive(Serialize)]
struct Orphan {
    file: String,
    bytes: u64,
}

#[derive(Serialize)]
struct Done {
    packages: u64,
    orphans: u64,
    /// Bytes that are free now.
    bytes: u64,
    /// Packages that a retrace came to use meanwhile.
    in_use: u64,
    failed: Vec<Failed>,
}

#[derive(Serialize)]
struct Failed {
    what: String,
    error: String,
}

pub(crate) async fn run(config: &Config, args: &Args) -> Result<ExitCode> {
    let mirror = wiring::mirror(config, wiring::store(config).await?)?;
    let plan = mirror.plan_prune().await?;
    let done = if args.dry_run { None } else { Some(mirror.prune(&plan).await?) };
    let document = Document::new(args.dry_run, &plan, done.as_ref());
    match args.format {
        Format::Json => commands::print_json(&document)?,
        Format::Text => commands::print(&document.text())?,
    }
    let failed = done.is_some_and(|done| !done.failed.is_empty());
    Ok(if failed { ExitCode::from(FAILED) } else { ExitCode::SUCCESS })
}

impl Document {
    fn new(dry_run: bool, plan: &PrunePlan, done: Option<&PruneReport>) -> Self {
        let package = |unwanted: &Unwanted| Package {
            package: unwanted.id.to_string(),
            release: unwanted.scope.release.to_string(),
            architecture: unwanted.scope.architecture.to_string(),
            repository: unwanted.repository.clone(),
            bytes: unwanted.copy.size_bytes,
        };
        let orphans = plan.orphans.iter();
        Self {
            dry_run,
            packages: plan.packages.iter().map(package).collect(),
            orphans: orphans
                .map(|orphan| Orphan { file: orphan.path.display().to_string(), bytes: orphan.size_bytes })
                .collect(),
            bytes: plan.bytes(),
            kept: plan.kept,
            young: plan.young,
            done: done.map(|done| Done {
                packages: done.packages,
                orphans: done.orphans,
                bytes: done.bytes,
                in_use: done.in_use,
                failed: done
                    .failed
                    .iter()
                    .map(|(what, error)| Failed { what: what.clone(), error: commands::chain(error) })
                    .collect(),
            }),
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        if self.packages.is_empty() && self.orphans.is_empty() {
            return "Nothing to remove.\n".to_owned();
        }
        // Writing to a String cannot fail.
        for Package { package, release, architecture, repository, bytes } in self.packages.iter().take(SHOWN) {
            let _ = writeln!(text, "  {package} ({}) of {release} {architecture} {repository}", size(*bytes));
        }
        if self.packages.len() > SHOWN {
            let _ = writeln!(text, "  and {} more; --format json names all", self.packages.len() - SHOWN);
        }
        let (packages, orphans, bytes) = (self.packages.len(), self.orphans.len(), size(self.bytes));
        let Some(done) = &self.done else {
            let _ = writeln!(text, "Would remove {packages} packages and {orphans} files of no package ({bytes})");
            return text;
        };
        let Done { packages, orphans, bytes, in_use, failed } = done;
        let bytes = size(*bytes);
        let _ = writeln!(text, "Removed {packages} packages and {orphans} files of no package ({bytes} are free)");
        if *in_use > 0 {
            let _ = writeln!(text, "{in_use} packages stay: a retrace came to use them");
        }
        for Failed { what, error } in failed {
            let _ = writeln!(text, "{what} could not be removed: {error}");
        }
        text
    }
}

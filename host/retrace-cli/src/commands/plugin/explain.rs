use std::{fmt::Write as _, fs, path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result};
use retrace_plugin_host::{Candidate, Outcome, PackageRef, ReleaseError, ReleaseSource, Selection};
use serde::Serialize;

use super::NO;
use crate::{args::Format, commands, config::Config, wiring};

/// Show what every plugin says of a text or a package, and whose word counts
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  retrace plugin explain --os-release /etc/os-release\n  \
                        retrace plugin explain --release-line \"Fedora release 40 (Forty)\"\n  \
                        retrace plugin explain --package bash-5.2.26-3.el9.x86_64\n\n\
                        All plugins are asked; the highest confidence wins. Where two releases are claimed alike, the retrace asks the\n\
                        index of build-ids, and `--os-release` of `retrace analyze` settles it.\n\n\
                        Exit codes: 0 one release is meant, 1 none, or more than one, 2 wrong usage, or a file cannot be read.")]
pub(crate) struct Args {
    #[command(flatten)]
    question: Question,
    /// Vendor tag of the package, such as "Fedora Project"
    #[arg(long, value_name = "TEXT", requires = "package")]
    vendor: Option<String>,
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// What is asked: one of these.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Question {
    /// The os-release file of a machine
    #[arg(long, value_name = "FILE")]
    os_release: Option<PathBuf>,
    /// A line as abrt and /etc/redhat-release have it
    #[arg(long, value_name = "TEXT")]
    release_line: Option<String>,
    /// A package as a crash report names it
    #[arg(long, value_name = "NEVRA")]
    package: Option<String>,
}

#[derive(Serialize)]
struct Document {
    function: &'static str,
    answers: Vec<Answer>,
    release: Option<String>,
    /// What decided: the only claim, the highest confidence, the operator's priority.
    #[serde(skip_serializing_if = "Option::is_none")]
    decided_by: Option<&'static str>,
    /// Why no release is meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Problem>,
}

#[derive(Serialize)]
struct Answer {
    plugin: String,
    version: String,
    answer: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    release: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    confidence: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

#[derive(Serialize)]
struct Problem {
    kind: &'static str,
    message: String,
    candidates: Vec<String>,
}

pub(crate) fn run(config: &Config, args: &Args) -> Result<ExitCode> {
    let plugins = wiring::plugins(config)?;
    let Question { os_release, release_line, package } = &args.question;
    let (function, selection) = match (os_release, release_line, package) {
        (Some(path), _, _) => {
            let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            ("parse-release", plugins.select_by_text(&ReleaseSource::OsRelease(text)))
        }
        (_, Some(line), _) => ("parse-release", plugins.select_by_text(&ReleaseSource::ReleaseLine(line.clone()))),
        (_, _, package) => {
            let raw = package.clone().unwrap_or_default();
            let subject = PackageRef { raw, format: None, vendor: args.vendor.clone() };
            ("guess-release", plugins.select_by_package(&subject))
        }
    };
    let document = document(function, &selection);
    match args.format {
        Format::Json => commands::print_json(&document)?,
        Format::Text => commands::print(&text(&document)?)?,
    }
    Ok(if document.release.is_some() { ExitCode::SUCCESS } else { ExitCode::from(NO) })
}

fn document(function: &'static str, selection: &Selection) -> Document {
    let (release, error) = match &selection.decision {
        Ok(claim) => (Some(claim.release.id.to_string()), None),
        Err(error) => (None, Some(problem(error))),
    };
    let answers = selection.candidates.iter().map(answer).collect();
    Document { function, answers, release, decided_by: selection.decided_by, error }
}

fn problem(error: &ReleaseError) -> Problem {
    let (kind, candidates) = match error {
        ReleaseError::None => ("none", vec![]),
        ReleaseError::Ambiguous { candidates } => ("ambiguous", candidates.iter().map(ToString::to_string).collect()),
        ReleaseError::Refused { .. } => ("refused", vec![]),
        ReleaseError::Failed(_) => ("failed", vec![]),
        ReleaseError::Degraded(_) => ("degraded", vec![]),
    };
    Problem { kind, message: error.to_string(), candidates }
}

fn answer(candidate: &Candidate) -> Answer {
    let (plugin, version) = (candidate.plugin.to_string(), candidate.version.clone());
    let other = |answer, reason| Answer { plugin, version, answer, release: None, confidence: None, reason };
    match &candidate.outcome {
        Outcome::None => other("none", None),
        Outcome::Claim(claim) => Answer {
            release: Some(claim.release.id.to_string()),
            confidence: Some(format!("{:?}", claim.confidence).to_ascii_lowercase()),
            ..other("claim", Some(claim.reason.clone()))
        },
        Outcome::Refused(error) => other("refused", Some(error.to_string())),
        Outcome::Failed(failure) => other("failed", Some(failure.kind.to_string())),
        Outcome::Degraded(why) => other("degraded", Some(why.clone())),
    }
}

fn text(document: &Document) -> Result<String> {
    let mut text = format!("{:<16} {:<20} {:<10} reason\n", "plugin", "answer", "confidence");
    for Answer { plugin, answer, release, confidence, reason, .. } in &document.answers {
        let said = release.as_deref().unwrap_or(answer);
        let confidence = confidence.as_deref().unwrap_or("-");
        writeln!(text, "{plugin:<16} {said:<20} {confidence:<10} {}", reason.as_deref().unwrap_or("-"))?;
    }
    match (&document.release, &document.error) {
        (Some(release), _) => {
            writeln!(text, "\nrelease: {release} ({})", document.decided_by.unwrap_or("the only claim"))?;
        }
        (None, Some(Problem { kind: "ambiguous", candidates, .. })) => {
            writeln!(text, "\nAmbiguousRelease: {}", candidates.join(", "))?;
            writeln!(
                text,
                "`plugins.priority` of the configuration, an os-release file, or the build-ids of mirrored releases decide."
            )?;
        }
        (None, Some(problem)) => writeln!(text, "\nno release: {}", problem.message)?,
        (None, None) => {}
    }
    Ok(text)
}

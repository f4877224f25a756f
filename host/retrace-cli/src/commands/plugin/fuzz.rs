use std::{fmt::Write as _, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Result;
use retrace_plugin_host::{
    Function,
    conformance::{self, ConformanceError, Fixtures, FuzzOptions, FuzzReport, Options, Seed},
};

use super::subject::{read, suite_options};
use crate::{args::Format, commands, config::Config};

/// Ask a plugin random questions for a while
///
/// Looks for traps, calls over their deadline or memory, invalid values, and answers that depend on earlier calls. The inputs
/// are changed real texts; each finding is made small and stored in the folder of --counter-examples.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  retrace plugin fuzz acme.wasm --seconds 60\n  retrace plugin fuzz acme.wasm --function parse-release --seed 7\n\n\
                        Exit codes:\n  0  nothing was found\n  1  a defect was found\n  2  wrong usage, or a file cannot be read or written\n  \
                        3  no plugin that can be loaded"
)]
pub(crate) struct Args {
    /// The component
    file: PathBuf,
    /// How long to look
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// Where the random inputs start
    #[arg(long, default_value_t)]
    seed: Seed,
    /// One function, such as parse-release; default: all
    #[arg(long)]
    function: Option<Function>,
    /// Folder with fixtures, whose inputs are changed as well
    #[arg(long, value_name = "DIR")]
    fixtures: Option<PathBuf>,
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Folder for the smallest inputs that fail
    #[arg(long, value_name = "DIR", default_value = "counter-examples")]
    counter_examples: PathBuf,
}

pub(crate) fn run(config: &Config, args: &Args) -> Result<ExitCode> {
    let component = read(config, &args.file)?;
    let base = Options { time_limit: Duration::from_secs(args.seconds), seed: args.seed, ..Options::default() };
    let options =
        FuzzOptions { run: suite_options(config, &args.file, &args.counter_examples, base)?, function: args.function };
    let fixtures = Fixtures { dir: args.fixtures.clone(), ..Fixtures::default() };
    let report = match conformance::fuzz(&component, &fixtures, &options) {
        Ok(report) => report,
        Err(error @ ConformanceError::NotLoadable { .. }) => {
            eprintln!("error: {error}");
            return Ok(ExitCode::from(super::NOT_LOADABLE));
        }
        Err(error) => return Err(error.into()),
    };
    match args.format {
        Format::Json => commands::print_json(&report)?,
        Format::Text => commands::print(&text(&report)?)?,
    }
    Ok(if report.findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(super::NO) })
}

fn text(report: &FuzzReport) -> Result<String> {
    let mut text = String::new();
    for finding in &report.findings {
        writeln!(text, "{} {}: {}", finding.function, finding.kind, finding.message)?;
        writeln!(text, "    input: {}", finding.input)?;
        writeln!(text, "    again: {}", finding.rerun)?;
    }
    let cases: Vec<_> = report.cases.iter().map(|(function, cases)| format!("{function} {cases}")).collect();
    let total: u64 = report.cases.values().sum();
    writeln!(
        text,
        "{} findings in {total} questions, seed {} ({})",
        report.findings.len(),
        report.seed,
        cases.join(", ")
    )?;
    Ok(text)
}

use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use retrace_plugin_host::conformance::{
    self, Companion, Fixtures, Options, Profile, Report, ReportFormat, Seed, Verdict,
};

use super::subject::{read, suite_options};
use crate::{commands, config::Config};

/// Test a plugin against the contract: the conformance suite
///
/// Every check has a page in plugin-sdk/docs/checks. A failing input is stored in the folder of --counter-examples, and the
/// report says the command that shows it again.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  retrace plugin test target/wasm32-wasip2/plugin/retrace_plugin_acme.wasm --fixtures fixtures --gpg gpg\n  \
                        retrace plugin test acme.wasm --with fedora.wasm --with debian.wasm\n  \
                        retrace plugin test acme.wasm --format junit --out report.xml\n  \
                        retrace plugin test acme.wasm --fixtures fixtures --bless\n\nExit codes:\n  0  every check of level must holds\n  \
                        1  one does not\n  2  wrong usage, or a file cannot be read or written\n  3  no plugin that can be loaded"
)]
pub(crate) struct Args {
    /// The component
    file: PathBuf,
    /// Folder with the author's fixtures (*.toml); default: `fixtures` beside the file, if it is there
    #[arg(long, value_name = "DIR")]
    fixtures: Option<PathBuf>,
    /// Folder with keys, as the host has it: ID/KEY-FILE
    #[arg(long, value_name = "DIR")]
    gpg: Option<PathBuf>,
    /// A plugin that will be installed beside it; may be given again
    #[arg(long = "with", value_name = "OTHER.wasm")]
    with: Vec<PathBuf>,
    /// How thorough
    #[arg(long, value_enum, default_value_t = ProfileArg::Full)]
    profile: ProfileArg,
    /// Where the random inputs start; the report says it
    #[arg(long, default_value_t)]
    seed: Seed,
    /// Rewrite the answers of the fixtures to what the plugin says, before the test
    #[arg(long)]
    bless: bool,
    /// How to print the report
    #[arg(long, value_enum, default_value_t = FormatArg::Text)]
    format: FormatArg,
    /// Write the report to this file instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Budgets of fuel in percent of the published ones
    #[arg(long, value_name = "PERCENT", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    fuel_budget: u32,
    /// Folder for the smallest inputs that fail
    #[arg(long, value_name = "DIR", default_value = "counter-examples")]
    counter_examples: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ProfileArg {
    Quick,
    Full,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FormatArg {
    Text,
    Json,
    Junit,
}

pub(crate) fn run(config: &Config, args: &Args) -> Result<ExitCode> {
    let component = read(config, &args.file)?;
    let beside = args.file.with_file_name("fixtures");
    let fixtures = Fixtures {
        dir: args.fixtures.clone().or_else(|| beside.is_dir().then_some(beside)),
        keys_dir: args.gpg.clone(),
        keys_may_come_later: false,
    };
    let options = options(config, args)?;
    if args.bless {
        let dir = fixtures.dir.as_deref().context("name the folder of fixtures with --fixtures")?;
        for path in conformance::bless(&component, dir, &options)? {
            eprintln!("rewrote {}: read the change before you commit it", path.display());
        }
    }
    let report = conformance::run(&component, &fixtures, &options)?;
    print(args, &report)?;
    Ok(match report.verdict() {
        Verdict::Passed => ExitCode::SUCCESS,
        Verdict::Failed => ExitCode::from(super::NO),
        Verdict::NotLoadable => ExitCode::from(super::NOT_LOADABLE),
    })
}

fn options(config: &Config, args: &Args) -> Result<Options> {
    let companions = args
        .with
        .iter()
        .map(|path| Ok::<_, anyhow::Error>(Companion { file: path.clone(), bytes: read(config, path)? }));
    let base = match args.profile {
        ProfileArg::Quick => Options { profile: Profile::Quick, ..Options::quick() },
        ProfileArg::Full => Options::default(),
    };
    Ok(Options {
        companions: companions.collect::<Result<_>>()?,
        fuel_budget_percent: args.fuel_budget,
        seed: args.seed,
        ..suite_options(config, &args.file, &args.counter_examples, base)?
    })
}

fn print(args: &Args, report: &Report) -> Result<()> {
    let text = report.render(match args.format {
        FormatArg::Text => ReportFormat::Text,
        FormatArg::Json => ReportFormat::Json,
        FormatArg::Junit => ReportFormat::Junit,
    });
    match &args.out {
        None => commands::print(&text),
        Some(path) => fs::write(path, text).with_context(|| format!("cannot write {}", path.display())),
    }
}

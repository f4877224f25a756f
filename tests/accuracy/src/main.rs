//! The accuracy suite's judge: compares the native engine's backtraces of many cores with gdb's, frame by frame.
//!
//! `tests/scripts/accuracy.sh` makes cores and backtraces and then runs this. Agreement is counted by [`compare`],
//! names and values are made comparable by [`names`] and [`values`], each disagreement needs an explanation
//! ([`explained`]), no figure may fall below its recorded floor ([`figures`]), and the table in the docs has to be
//! current ([`document`]).
//! Not here: reading cores or debug information; what this compares are two JSON files for each case.

mod cases;
mod compare;
mod document;
mod explained;
mod figures;
mod names;
mod values;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Parser;

use crate::cases::{Case, Tier};
use crate::compare::Disagreement;
use crate::figures::Figures;

/// Compares backtraces of the native engine with gdb's.
#[derive(Parser)]
struct Options {
    /// Lists of cases, as make_cases.py writes them.
    #[arg(required = true)]
    cases: Vec<PathBuf>,
    /// Folder of the engine's backtraces, CASE.json, as run_cases.py writes them.
    #[arg(long)]
    native: PathBuf,
    /// Only cases whose name begins with one of these; prints every disagreement, and judges nothing.
    #[arg(long)]
    only: Vec<String>,
    /// Explanations of disagreements.
    #[arg(long)]
    explained: PathBuf,
    /// Goals and floors of the figures.
    #[arg(long)]
    floors: PathBuf,
    /// The document that holds the table.
    #[arg(long)]
    document: PathBuf,
    /// Where every disagreement is listed.
    #[arg(long)]
    list: PathBuf,
    /// Records the measured figures as floors, and writes the table.
    #[arg(long)]
    update: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    let mut cases = Vec::new();
    for list in &options.cases {
        cases.extend(cases::read_list(list)?);
    }
    if cases.is_empty() {
        bail!("no case to compare");
    }
    if !options.only.is_empty() {
        let wanted = |case: &&Case| options.only.iter().any(|beginning| case.name.starts_with(beginning));
        return show(&options.native, cases.iter().filter(wanted));
    }
    let text = read(&options.explained)?;
    let mut explanations = explained::parse(&text).with_context(|| options.explained.display().to_string())?;
    let text = read(&options.floors)?;
    let mut limits = figures::parse_limits(&text).with_context(|| options.floors.display().to_string())?;
    let mut document = read(&options.document)?;
    let (mut all, mut problems) = (Vec::new(), Vec::new());
    for tier in [Tier::Own, Tier::Debian] {
        let cases: Vec<_> = cases.iter().filter(|case| case.tier == tier).collect();
        if cases.is_empty() {
            continue;
        }
        let (mut figures, mut disagreements) = measure(&options.native, cases.iter().copied())?;
        explained::assign(&mut explanations, &mut disagreements);
        figures.silently_wrong = explained::silently_wrong(&explanations, &disagreements);
        if options.update {
            figures.raise_floors(&mut limits);
        }
        problems.extend(figures.print_and_judge(tier, &limits));
        let mut table = document::table(&cases, &figures, &limits);
        if tier == Tier::Own {
            table += "\n";
            table += &document::explanations(&explanations);
        }
        let new = document::replace(&document, tier, &table).with_context(|| options.document.display().to_string())?;
        if !options.update && !document::is_current(&document, &new) {
            problems.push(format!("{} is not current; fix: make accuracy UPDATE=1", options.document.display()));
        }
        document = new;
        all.extend(disagreements);
    }
    if options.update {
        write(&options.floors, &figures::limits_text(&limits))?;
        write(&options.document, &document)?;
    }
    write_list(&options.list, &all, &explanations)?;
    problems.extend(unexplained(&all, &options.list));
    for problem in &problems {
        eprintln!("accuracy: {problem}");
    }
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Compares the backtraces of each case.
fn measure<'a>(native: &Path, cases: impl Iterator<Item = &'a Case>) -> anyhow::Result<(Figures, Vec<Disagreement>)> {
    let (mut figures, mut disagreements) = (Figures::default(), Vec::new());
    for case in cases {
        let (referee, native) = case.read(native)?;
        let result = compare::compare(case, &referee, &native);
        figures.add(case, &result.counts);
        disagreements.extend(result.disagreements);
    }
    Ok((figures, disagreements))
}

/// Prints what differs in some cases, and judges nothing.
fn show<'a>(native: &Path, cases: impl Iterator<Item = &'a Case>) -> anyhow::Result<ExitCode> {
    let (figures, disagreements) = measure(native, cases)?;
    disagreements.iter().for_each(|found| println!("{found}"));
    figures.print_plain();
    Ok(ExitCode::SUCCESS)
}

/// Disagreements that nobody has explained are a problem.
fn unexplained(disagreements: &[Disagreement], list: &Path) -> Option<String> {
    let counts = disagreements.iter().filter(|found| found.explanation.is_none()).map(|found| found.count);
    let (kinds, total) = counts.fold((0_u64, 0_u64), |(kinds, total), count| (kinds + 1, total + count));
    let text = || {
        format!(
            "{kinds} kinds of disagreement ({total} in all) have no explanation in explained.toml; \
             they are listed first in {}",
            list.display()
        )
    };
    (kinds > 0).then(text)
}

/// Every disagreement, those without explanation first, then by explanation.
fn write_list(
    path: &Path,
    disagreements: &[Disagreement],
    explanations: &[explained::Explanation],
) -> anyhow::Result<()> {
    let mut order: Vec<_> = disagreements.iter().collect();
    order.sort_by_key(|found| (found.explanation, found.kind));
    let mut text = String::new();
    for found in order {
        let why = found.explanation.and_then(|index| explanations.get(index));
        let why = why.map_or_else(|| "UNEXPLAINED".to_owned(), |why| format!("{} is right: {}", why.right, why.why));
        text.push_str(&format!("{found}\n    {why}\n"));
    }
    write(path, &text)
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

//! The table in the documentation, between two marks.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::cases::{Case, Tier};
use crate::compare::{Metric, Tally};
use crate::explained::Explanation;
use crate::figures::{Figures, Limits, percent};

/// Which threads there are and where they wait differs a little between runs, and figures with it, in percent.
const TOLERANCE: f64 = 0.5;

const COLUMNS: [(&str, Metric); 7] = [
    ("addresses", Metric::Addresses),
    ("frames", Metric::Frames),
    ("bare functions", Metric::Symbols),
    ("inline chains", Metric::InlineChains),
    ("names", Metric::Names),
    ("scalars", Metric::Scalars),
    ("value texts", Metric::Texts),
];

/// The marks that a tier's table lies between.
fn marks(tier: Tier) -> (String, String) {
    let name = tier.name();
    (
        format!("<!-- accuracy {name}: begin, written by `make accuracy UPDATE=1` -->\n"),
        format!("<!-- accuracy {name}: end -->"),
    )
}

/// The table of a tier.
pub(crate) fn table(cases: &[&Case], figures: &Figures, limits: &Limits) -> String {
    let mut text = format!("{} cores.\n\n| figure | goal % | agreement % |\n| --- | --- | --- |\n", cases.len());
    for (name, tally) in &figures.tallies {
        let goal = limits.get(name).map_or_else(|| "-".to_owned(), |limit| limit.goal.to_string());
        let _ = writeln!(text, "| {name} | {goal} | {:.2} |", percent(*tally));
    }
    let mut sizes = BTreeMap::<&str, u64>::new();
    for case in cases {
        *sizes.entry(&case.class).or_default() += 1;
    }
    head(&mut text, "debug information | cores");
    for (class, size) in &sizes {
        let _ = write!(text, "| {class} | {size} |");
        cells(&mut text, |metric| figures.classes.get(&((*class).to_owned(), metric)).copied());
    }
    head(&mut text, "language of the source");
    let languages: std::collections::BTreeSet<_> = figures.languages.keys().map(|(language, _)| *language).collect();
    for language in languages.into_iter().filter(|language| !language.is_empty()) {
        let _ = write!(text, "| {language} |");
        cells(&mut text, |metric| figures.languages.get(&(language, metric)).copied());
    }
    text
}

/// The table of all explanations.
pub(crate) fn explanations(explanations: &[Explanation]) -> String {
    let mut text = "| disagreement | right | evidence |\n| --- | --- | --- |\n".to_owned();
    for explanation in explanations {
        let _ = writeln!(text, "| {} | {} | {} |", explanation.why, explanation.right, explanation.evidence);
    }
    text
}

fn head(text: &mut String, first: &str) {
    let names: Vec<_> = COLUMNS.iter().map(|(name, _)| *name).collect();
    let columns = first.split('|').count() + COLUMNS.len();
    let _ = writeln!(text, "\n| {first} | {} |\n|{}", names.join(" | "), " --- |".repeat(columns));
}

fn cells(text: &mut String, tally: impl Fn(Metric) -> Option<Tally>) {
    for (_, metric) in COLUMNS {
        match tally(metric) {
            Some(tally) => {
                let _ = write!(text, " {:.2} |", percent(tally));
            }
            None => text.push_str(" - |"),
        }
    }
    text.push('\n');
}

/// The document with a new table of a tier. An error if a mark is missing.
pub(crate) fn replace(document: &str, tier: Tier, table: &str) -> anyhow::Result<String> {
    let (begin, end) = marks(tier);
    let parts =
        document.split_once(&begin).and_then(|(head, rest)| rest.split_once(&end).map(|(_, tail)| (head, tail)));
    let (head, tail) = parts.ok_or_else(|| anyhow::anyhow!("the marks `{}` and `{end}` are missing", begin.trim()))?;
    Ok(format!("{head}{begin}{table}{end}{tail}"))
}

/// True if both texts are the same, but for figures that differ a little or are better than the old text says.
pub(crate) fn is_current(old: &str, new: &str) -> bool {
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let (old, new) = (words(old), words(new));
    let same = |one: &str, other: &str| match (one.parse::<f64>(), other.parse::<f64>()) {
        (Ok(one), Ok(other)) => one - other <= TOLERANCE,
        _ => one == other,
    };
    old.len() == new.len() && old.iter().zip(&new).all(|(one, other)| same(one, other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_part_between_the_marks_is_written() {
        let (begin, end) = marks(Tier::Own);
        let old = format!("head\n{begin}old\n{end}\ntail\n");
        let new = replace(&old, Tier::Own, "new\n").unwrap();
        assert_eq!(new, format!("head\n{begin}new\n{end}\ntail\n"));
        assert!(replace(&old, Tier::Debian, "new").is_err());
    }

    #[test]
    fn a_table_is_current_while_its_rows_are_and_its_figures_nearly_are() {
        assert!(is_current("| a | 99.8 |", "| a | 99.9 |"));
        assert!(is_current("| a | 90.8 |", "| a | 99.9 |"));
        assert!(!is_current("| a | 99.8 |", "| a | 98.9 |"));
        assert!(!is_current("| a | 99.8 |", "| b | 99.8 |"));
        assert!(!is_current("| a | 99.8 |", "| a | 99.8 | 1 |"));
    }
}

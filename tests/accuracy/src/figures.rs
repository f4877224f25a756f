//! The figures: agreement in percent, their goals, and the floors that they may not fall below.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::cases::{Case, Tier};
use crate::compare::{Counts, Metric, Tally};

/// Classes of cases that lack call frame information, DWARF, or files that are known to be the right ones.
const WITHOUT: [&str; 7] =
    ["symbols only", "stripped", "MiniDebugInfo", "no CFI", "damaged stack", "replaced files", "no build-ids"];

/// Floors lie so far, in percent, below what was measured: which threads there are, and where, differs between runs.
const MARGIN: f64 = 0.3;

/// Everything that was counted.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    /// By name of the figure.
    pub(crate) tallies: BTreeMap<String, Tally>,
    /// By class of case and metric: the table.
    pub(crate) classes: BTreeMap<(String, Metric), Tally>,
    /// By language of the frame's source and metric, of cases with call frame information and DWARF.
    pub(crate) languages: BTreeMap<(&'static str, Metric), Tally>,
    /// Frames that the engine claims to know and that are wrong.
    pub(crate) silently_wrong: u64,
}

/// What a figure has to reach.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Limit {
    /// What is wanted, in percent.
    pub(crate) goal: f64,
    /// What was reached; less is a regression.
    pub(crate) floor: f64,
}

/// Limits by name of the figure.
pub(crate) type Limits = BTreeMap<String, Limit>;

/// Reads floors.toml.
pub(crate) fn parse_limits(text: &str) -> Result<Limits, toml::de::Error> {
    toml::from_str(text)
}

/// What floors.toml holds.
pub(crate) fn limits_text(limits: &Limits) -> String {
    let head = "# Goals, and the agreement that was reached and may not fall. Percent. Written by `make accuracy UPDATE=1`, which\n\
                # only raises floors; goals are set by hand.\n";
    let entry = |(name, limit): (&String, &Limit)| {
        format!("\n[\"{name}\"]\ngoal = {:.1}\nfloor = {:.2}\n", limit.goal, limit.floor)
    };
    head.to_owned() + &limits.iter().map(entry).collect::<String>()
}

/// In percent, rounded down to a hundredth, so that 100 means all.
pub(crate) fn percent(tally: Tally) -> f64 {
    if tally.total == 0 {
        return 100.0;
    }
    // Counts of frames and values: far below 2^52.
    #[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    let hundredths = (tally.agreed as f64 * 10_000.0 / tally.total as f64).floor();
    hundredths / 100.0
}

impl Figures {
    /// Adds the counts of a case.
    pub(crate) fn add(&mut self, case: &Case, counts: &Counts) {
        let with = !WITHOUT.contains(&case.class.as_str());
        for ((metric, language), tally) in counts {
            add(self.classes.entry((case.class.clone(), *metric)).or_default(), *tally);
            if with {
                add(self.languages.entry((language, *metric)).or_default(), *tally);
            }
            for name in names_of(case, *metric, language, with) {
                add(self.tallies.entry(case.tier.prefix().to_owned() + &name).or_default(), *tally);
            }
        }
    }

    /// Prints each figure without judging it.
    pub(crate) fn print_plain(&self) {
        for ((class, metric), tally) in &self.classes {
            println!("{class} {metric:?}: {:.2} % ({} of {})", percent(*tally), tally.agreed, tally.total);
        }
    }

    /// Prints each figure with its goal; returns what is wrong.
    pub(crate) fn print_and_judge(&self, tier: Tier, limits: &Limits) -> Vec<String> {
        let mut problems = Vec::new();
        for (name, tally) in &self.tallies {
            let value = percent(*tally);
            let Some(limit) = limits.get(name) else {
                problems.push(format!("{name} has no limit; fix: make accuracy UPDATE=1"));
                continue;
            };
            let verdict = if value >= limit.goal { "met" } else { "missed" };
            println!("accuracy {name}: {value:.2} %, goal >= {} %: {verdict}", limit.goal);
            if value < limit.floor {
                problems.push(format!("{name} fell to {value:.2} %, the floor is {} %", limit.floor));
            }
        }
        let verdict = if self.silently_wrong == 0 { "met" } else { "missed" };
        println!(
            "accuracy {}silently-wrong: {} frames, goal <= 0 frames: {verdict}",
            tier.prefix(),
            self.silently_wrong
        );
        problems
    }

    /// Raises floors to nearly what was measured. A figure without limit gets one, with what was measured as goal too.
    pub(crate) fn raise_floors(&self, limits: &mut Limits) {
        for (name, tally) in &self.tallies {
            let value = percent(*tally);
            let floor = (value - MARGIN).max(0.0);
            let limit = limits.entry(name.clone()).or_insert(Limit { goal: value, floor });
            limit.floor = limit.floor.max(floor);
        }
    }
}

fn add(sum: &mut Tally, tally: Tally) {
    sum.agreed += tally.agreed;
    sum.total += tally.total;
}

/// The figures that a count belongs to.
fn names_of(case: &Case, metric: Metric, language: &str, with: bool) -> Vec<String> {
    let of_class = format!("class-{}", case.class.replace([' ', '_'], "-").to_lowercase());
    let of_language = (!matches!(language, "" | "other" | "assembler"))
        .then(|| format!("language-{}", language.replace("C++", "cpp").to_lowercase()));
    match metric {
        Metric::Frames if with => ["frames".to_owned(), of_class].into_iter().chain(of_language).collect(),
        // Without DWARF the frames are what there is to agree on; without symbols too.
        Metric::Addresses if !with => vec![of_class],
        Metric::Symbols if case.class == "symbols only" || case.class == "MiniDebugInfo" => {
            vec![format!("{of_class}-functions")]
        }
        Metric::Addresses if with => vec!["addresses".to_owned()],
        Metric::InlineChains if with => vec!["inline-chains".to_owned()],
        Metric::Names if with => vec!["names".to_owned()],
        Metric::Scalars if with => vec!["scalars".to_owned()],
        Metric::Texts if with => vec!["value-texts".to_owned()],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_percent_is_all() {
        let cases = [((1, 1), 100.0), ((99_999, 100_000), 99.99), ((0, 3), 0.0), ((0, 0), 100.0)];
        for ((agreed, total), want) in cases {
            assert!((percent(Tally { agreed, total }) - want).abs() < 1e-9, "{agreed} of {total}");
        }
    }

    #[test]
    fn a_figure_below_its_floor_is_a_problem_and_one_below_its_goal_is_not() {
        let mut figures = Figures::default();
        figures.tallies.insert("frames".into(), Tally { agreed: 97, total: 100 });
        let limits = |floor: f64| Limits::from([("frames".to_owned(), Limit { goal: 99.8, floor })]);
        assert!(figures.print_and_judge(Tier::Own, &limits(97.0)).is_empty());
        assert_eq!(figures.print_and_judge(Tier::Own, &limits(97.5)).len(), 1);
        assert_eq!(figures.print_and_judge(Tier::Own, &Limits::new()).len(), 1);
    }

    #[test]
    fn floors_are_raised_and_never_lowered() {
        let mut figures = Figures::default();
        figures.tallies.insert("frames".into(), Tally { agreed: 97, total: 100 });
        let mut limits = parse_limits("[frames]\ngoal = 99.8\nfloor = 98.0\n").unwrap();
        figures.raise_floors(&mut limits);
        assert!((limits["frames"].floor - 98.0).abs() < 1e-9);
        figures.tallies.insert("frames".into(), Tally { agreed: 99, total: 100 });
        figures.raise_floors(&mut limits);
        assert_eq!(parse_limits(&limits_text(&limits)).unwrap()["frames"].floor.to_string(), "98.7");
    }
}

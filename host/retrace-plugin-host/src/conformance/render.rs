use std::fmt::Write as _;

use super::{
    catalogue,
    junit::junit,
    report::{CheckResult, Level, Report, Status, Tally, Verdict},
};

/// Form of a printed report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReportFormat {
    /// For people.
    #[default]
    Text,
    /// The report itself.
    Json,
    /// JUnit XML, for CI systems.
    Junit,
}

impl Report {
    /// The report as text, ending in a new line.
    #[must_use]
    pub fn render(&self, format: ReportFormat) -> String {
        match format {
            ReportFormat::Text => text(self),
            // Neither can fail: the report is plain data, and the writer writes to memory.
            ReportFormat::Json => serde_json::to_string_pretty(self).map(|json| json + "\n").unwrap_or_default(),
            ReportFormat::Junit => junit(self).unwrap_or_default(),
        }
    }
}

fn text(report: &Report) -> String {
    let plugin = &report.plugin;
    let mut lines = String::new();
    let digest: String = plugin.sha256.chars().take(12).collect();
    let (id, version) =
        (plugin.id.as_deref().unwrap_or("(no id)"), plugin.version.as_deref().unwrap_or("(no version)"));
    line(&mut lines, &format!("{id} {version}, {} bytes, sha256 {digest}, seed {}", plugin.size, report.seed));
    for check in &report.checks {
        line(&mut lines, &summary_line(check));
        if check.status == Status::Fail {
            failure(&mut lines, check);
        }
    }
    for cost in &report.costs {
        line(
            &mut lines,
            &format!(
                "  cost {:<16} {:>9} fuel of {:>9}, {:>5} KiB of {:>5}",
                cost.function,
                cost.fuel,
                cost.fuel_budget,
                cost.peak_memory >> 10,
                cost.peak_memory_budget >> 10
            ),
        );
    }
    let summary = &report.summary;
    let tally =
        |name: &str, tally: Tally| format!("{name} {} of {}", tally.pass, tally.pass.saturating_add(tally.fail));
    let counts = [tally("must", summary.must), tally("should", summary.should), tally("info", summary.info)].join(", ");
    let verdict = match report.verdict() {
        Verdict::Passed => "passed",
        Verdict::Failed => "failed",
        Verdict::NotLoadable => "not a loadable plugin",
    };
    line(&mut lines, &format!("{verdict}: {counts}, skipped {}", summary.skipped));
    lines
}

fn summary_line(check: &CheckResult) -> String {
    let status = match (check.status, check.level) {
        (Status::Pass, _) => "ok",
        (Status::Fail, Level::Must) => "FAIL",
        (Status::Fail, Level::Should) => "WARN",
        (Status::Fail, Level::Info) => "note",
        (Status::Skip, _) => "skip",
    };
    let mut text = format!("  {status:<4} {:<4} {}", check.id, check.title);
    let why = check.message.as_deref().filter(|_| check.status == Status::Skip);
    if let Some(why) = why {
        text.push_str(&format!(" ({why})"));
    } else if check.cases > 1 {
        text.push_str(&format!(" ({} cases)", check.cases));
    }
    text
}

fn failure(lines: &mut String, check: &CheckResult) {
    let fix = catalogue::find(&check.id).map(|check| check.fix);
    let page = format!("plugin-sdk/docs/checks/{}.md", check.id);
    let details = [
        ("", check.message.as_deref()),
        ("input: ", check.input.as_deref()),
        ("again: ", check.rerun.as_deref()),
        ("fix:   ", fix),
        ("more:  ", Some(page.as_str())),
    ];
    for (name, value) in details {
        if let Some(value) = value {
            line(lines, &format!("            {name}{value}"));
        }
    }
}

fn line(lines: &mut String, text: &str) {
    // Writing to a string does not fail.
    let _ = writeln!(lines, "{text}");
}

//! `retrace mirror status`.

use std::{
    io::IsTerminal as _,
    process::ExitCode,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result};
use retrace_mirror::{LastFailure, Mode, Policy, RepositoryStatus, Rule};
use retrace_store::Repository;
use retrace_types::{Architecture, ReleaseId};
use serde::Serialize;

use super::{
    NOT_VERIFIED, NOTHING,
    incident::{self, IncidentDocument},
    verified,
};
use crate::{args::Format, commands, config::Config, render::size, wiring};

pub(crate) const HELP: &str = "\
KNOWN are the packages of the index, in every version; UPSTREAM those that the newest metadata lists; LOCAL those with a
verified copy here; UNSCANNED those whose build-ids are not known before they are fetched. MADE is when the metadata was made.

Examples:
  retrace mirror status
  retrace mirror status --release debian-12 --format json
  retrace mirror status --max-age 36h || mail -s 'mirror' operator@example.org < /dev/null

Exit codes: 0 every repository is as it should be; 3 the last sync of one failed, or with --max-age is older or never was;
1 the index cannot be read; 2 wrong usage or configuration.";

/// Exit code: something wants attention.
const ATTENTION: u8 = 3;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only this release, such as debian-12
    #[arg(long, value_name = "RELEASE")]
    release: Option<ReleaseId>,

    /// Only this architecture
    #[arg(long, value_name = "ARCH")]
    arch: Option<Architecture>,

    /// Oldest last sync that is well, such as 36h or 7d
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    max_age: Option<Duration>,

    /// How to print the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// A whole number with a unit: `90s`, `15min`, `36h`, `7d`, `2w`.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let seconds: u64 = match unit.trim() {
        "s" => 1,
        "m" | "min" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        "w" => 7 * 24 * 60 * 60,
        _ => return Err("want a whole number with s, min, h, d or w behind it, such as 36h".to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| "want a whole number in front of the unit".to_owned())?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(|| "it is too long".to_owned())
}

pub(crate) async fn run(config: &Config, args: &Args) -> Result<ExitCode> {
    let store = wiring::store(config).await?;
    let all = retrace_mirror::status(&store, args.release.as_ref(), args.arch).await;
    let all = all.context("cannot read the index")?;
    let now = SystemTime::now();
    let rows: Vec<_> = all.iter().map(|status| Row::new(status, &config.repository, now, args.max_age)).collect();
    match args.format {
        Format::Json => commands::print_json(&rows)?,
        Format::Text if rows.is_empty() => {
            commands::print(NOTHING)?;
        }
        Format::Text => commands::print(&text(&rows, is_coloured()))?,
    }
    let is_well = rows.iter().all(|row| row.error.is_none() && !row.too_old);
    Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::from(ATTENTION) })
}

/// On a terminal, unless NO_COLOR is set (<https://no-color.org>).
fn is_coloured() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

#[derive(Serialize)]
struct Row {
    release: String,
    architecture: String,
    repository: String,
    synced_at: Option<String>,
    age_seconds: Option<u64>,
    /// Older than `--max-age`.
    too_old: bool,
    /// When the metadata was made.
    made_at: Option<String>,
    packages: u64,
    packages_upstream: u64,
    packages_local: u64,
    packages_unscanned: u64,
    local_bytes: u64,
    build_ids: u64,
    /// What is verified: `packages`, `metadata`, both, or none.
    verified: Vec<&'static str>,
    /// Which packages are fetched ahead.
    mode: &'static str,
    /// Packages that changed under their names, and were not taken.
    incidents: Vec<IncidentDocument>,
    /// Why the last sync failed.
    error: Option<Failure>,
}

#[derive(Serialize)]
struct Failure {
    since: String,
    at: String,
    message: String,
}

impl Row {
    fn new(status: &RepositoryStatus, rules: &[Rule], now: SystemTime, max_age: Option<Duration>) -> Self {
        // A clock that was set back makes it fresh.
        let age = status.synced_at.map(|at| now.duration_since(at.into()).unwrap_or_default());
        let counts = status.counts;
        let failure = |LastFailure { since, failed_at, message }: &LastFailure| Failure {
            since: since.to_string(),
            at: failed_at.to_string(),
            message: message.clone(),
        };
        Self {
            release: status.release.to_string(),
            architecture: status.architecture.to_string(),
            repository: status.id.clone(),
            synced_at: status.synced_at.map(|at| at.to_string()),
            age_seconds: age.map(|age| age.as_secs()),
            too_old: max_age.is_some_and(|most| age.is_none_or(|age| age > most)),
            made_at: status.made_at.map(|at| at.to_string()),
            packages: counts.packages,
            packages_upstream: counts.upstream,
            packages_local: counts.local,
            packages_unscanned: counts.unscanned,
            local_bytes: counts.local_bytes,
            build_ids: counts.build_ids,
            verified: status.repository.as_ref().map(|known| verified(known.spec.signatures)).unwrap_or_default(),
            mode: status.repository.as_ref().map_or(Mode::default(), |known| mode(rules, known)).as_str(),
            incidents: status.incidents.iter().map(IncidentDocument::from).collect(),
            error: status.failure.as_ref().map(failure),
        }
    }

    fn cells(&self) -> [String; 11] {
        let date = |text: &Option<String>| text.as_deref().and_then(|text| text.get(..10)).unwrap_or("-").to_owned();
        let synced = match self.age_seconds {
            Some(age) => format!("{} ago{}", short(age), if self.too_old { " !" } else { "" }),
            None => "never".to_owned(),
        };
        [
            self.release.clone(),
            self.architecture.clone(),
            self.repository.clone(),
            synced,
            date(&self.made_at),
            self.packages.to_string(),
            self.packages_upstream.to_string(),
            self.packages_local.to_string(),
            size(self.local_bytes),
            self.build_ids.to_string(),
            self.packages_unscanned.to_string(),
        ]
    }
}

const HEADER: [&str; 11] =
    ["RELEASE", "ARCH", "REPOSITORY", "SYNCED", "MADE", "KNOWN", "UPSTREAM", "LOCAL", "SIZE", "BUILD-IDS", "UNSCANNED"];
/// Columns from here on are numbers.
const FIRST_NUMBER: usize = 5;

fn text(rows: &[Row], coloured: bool) -> String {
    let paint = |code: &str, text: &str| if coloured { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() };
    let table: Vec<_> = rows.iter().map(Row::cells).collect();
    let mut widths = HEADER.map(str::len);
    for cells in &table {
        for (width, cell) in widths.iter_mut().zip(cells) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &[&str]| {
        let cell = |(column, (cell, width)): (usize, (&&str, &usize))| match column {
            FIRST_NUMBER.. => format!("{cell:>width$}"),
            _ => format!("{cell:<width$}"),
        };
        cells.iter().zip(&widths).enumerate().map(cell).collect::<Vec<_>>().join("  ")
    };
    let mut text = paint("1", &line(&HEADER)) + "\n";
    for (row, cells) in rows.iter().zip(&table) {
        let cells: Vec<_> = cells.iter().map(String::as_str).collect();
        let line = line(&cells);
        let is_well = row.error.is_none() && !row.too_old;
        text += &if is_well { line } else { paint("33", &line) };
        text.push('\n');
        if row.verified.is_empty() && row.synced_at.is_some() {
            text += &paint("33", &format!("  {NOT_VERIFIED}"));
            text.push('\n');
        }
        for line in incident::lines(&row.incidents) {
            text += &paint("31", &format!("  INCIDENT {line}"));
            text.push('\n');
        }
        if let Some(error) = &row.error {
            text += &paint("31", &format!("  failed {} (since {}): {}", error.at, error.since, error.message));
            text.push('\n');
        }
    }
    text
}

fn mode(rules: &[Rule], repository: &Repository) -> Mode {
    Policy::of(rules, &repository.release, repository.architecture, &repository.spec).mode
}

/// A duration in its largest unit.
fn short(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(repository: &str, error: Option<&str>) -> Row {
        Row {
            release: "debian-12".into(),
            architecture: "x86_64".into(),
            repository: repository.into(),
            synced_at: Some("2026-05-01T10:00:00Z".into()),
            age_seconds: Some(7200),
            too_old: false,
            made_at: None,
            packages: 63_440,
            packages_upstream: 63_000,
            packages_local: 12,
            packages_unscanned: 0,
            local_bytes: 5 << 20,
            build_ids: 1_000_000,
            verified: vec!["metadata"],
            mode: "metadata",
            incidents: Vec::new(),
            error: error.map(|message| Failure {
                since: "yesterday".into(),
                at: "today".into(),
                message: message.into(),
            }),
        }
    }

    #[test]
    fn columns_are_aligned_and_colours_are_optional() {
        let rows = [row("main", None), row("security-debug", Some("HTTP 404"))];
        let plain = text(&rows, false);
        let lines: Vec<_> = plain.lines().collect();
        assert_eq!(lines.len(), 4, "{plain}");
        assert_eq!(lines[0].len(), lines[1].len(), "{plain}");
        assert_eq!(lines[1].len(), lines[2].len(), "{plain}");
        assert!(lines[1].contains("2 h ago") && lines[1].contains("5.0 MiB"), "{plain}");
        assert_eq!(lines[3], "  failed today (since yesterday): HTTP 404");
        assert!(!plain.contains("NOT VERIFIED"));
        let unverified = Row { verified: Vec::new(), ..row("own", None) };
        assert!(text(&[unverified], false).contains("NOT VERIFIED"));
        assert!(!plain.contains('\x1b') && text(&rows, true).contains("\x1b[31m"));
    }

    #[test]
    fn durations_are_read_and_shown() {
        for (input, want) in [("90s", Some(90)), ("15min", Some(900)), ("36h", Some(129_600)), ("7d", Some(604_800))] {
            assert_eq!(parse_duration(input).ok().map(|d| d.as_secs()), want, "{input}");
        }
        for bad in ["", "h", "1.5h", "-1h", "5", "5y", "99999999999999999999s", "9999999999999999999w"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
        for (seconds, want) in [(5, "5 s"), (600, "10 min"), (7200, "2 h"), (259_200, "3 d")] {
            assert_eq!(short(seconds), want);
        }
    }
}

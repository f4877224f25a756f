//! `retrace gc`.

use std::{fmt::Write as _, process::ExitCode};

use anyhow::Result;
use retrace_worker::{GcAction, GcFailure, GcItem, GcReport, GcTotal};

use crate::{FAILED, args::Format, commands, config::Config, progress::TerminalProgress, render::size, wiring};

/// Things that are named in the text.
const SHOWN: usize = 20;

pub(crate) const HELP: &str = "Examples:\n  retrace gc --dry-run\n  retrace gc --format json\n\n\
    What goes: tasks older than gc.delete_task_after, failed ones older than gc.delete_failed_task_after, those older than\n\
    gc.archive_task_after into an archive (hours since they ended; 0: never); tasks that a worker has had for longer than\n\
    worker.task_timeout_s are finished as failed; uploads that nobody continues; folders of jobs whose process is gone; unpacked\n\
    files beyond gc.max_file_cache_mib, those not used for longest first. Never a task that waits or is worked on.\n\n\
    Workers do the same every gc.interval_s seconds. Packages: see `retrace mirror prune`.\n\n\
    Exit codes: 0 done, or nothing to do; 1 something could not be removed, the store failed, or another process does it;\n\
    2 wrong usage.";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only say what would be removed
    #[arg(long)]
    dry_run: bool,

    /// How to print the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub(crate) async fn run(config: &Config, args: &Args) -> Result<ExitCode> {
    let gc = wiring::gc(config, wiring::store(config).await?)?;
    let report = {
        let progress = TerminalProgress::new();
        gc.run(args.dry_run, &progress).await?
    };
    match args.format {
        Format::Json => commands::print_json(&report)?,
        Format::Text => commands::print(&text(&report))?,
    }
    Ok(if report.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

fn text(report: &GcReport) -> String {
    let mut text = String::new();
    let verb = if report.dry_run { "Would " } else { "" };
    // Writing to a String cannot fail.
    for action in GcAction::ALL {
        let items = || report.items.iter().filter(|item| item.action == action);
        let (count, bytes) = items().fold((0, 0_u64), |(n, bytes), item| (n + 1, bytes.saturating_add(item.bytes)));
        if count == 0 {
            continue;
        }
        let (now, done) = words(action);
        let heading = if report.dry_run { now } else { done };
        let _ = writeln!(text, "{verb}{heading}: {count} ({})", size(bytes));
        for GcItem { subject, reason, bytes, .. } in items().take(SHOWN) {
            let _ = writeln!(text, "  {subject} ({}): {reason}", size(*bytes));
        }
        if count > SHOWN {
            let _ = writeln!(text, "  and {} more; --format json names them", count - SHOWN);
        }
    }
    let GcTotal { count, bytes } = report.total;
    if count == 0 && report.failed.is_empty() {
        text.push_str("Nothing to remove.\n");
    } else {
        let done = if report.dry_run { "would be free" } else { "are free" };
        let _ = writeln!(text, "{count} in all, {} {done}", size(bytes));
    }
    if report.spared > 0 {
        let _ = writeln!(text, "{} tasks stay: they were taken up again meanwhile", report.spared);
    }
    for GcFailure { subject, error } in &report.failed {
        let _ = writeln!(text, "{subject} could not be removed: {error}");
    }
    text
}

/// What would be done, and what was.
fn words(action: GcAction) -> (&'static str, &'static str) {
    match action {
        GcAction::EndTask => ("end tasks that run too long", "Ended tasks that ran too long"),
        GcAction::RemoveUpload => ("remove abandoned uploads", "Removed abandoned uploads"),
        GcAction::ArchiveTask => ("archive and delete tasks", "Archived and deleted tasks"),
        GcAction::DeleteTask => ("delete tasks", "Deleted tasks"),
        GcAction::RemoveWorkFolder => ("remove folders of jobs that are gone", "Removed folders of jobs that are gone"),
        GcAction::RemoveCachedFiles => ("remove cached files", "Removed cached files"),
        GcAction::ForgetMessages => ("forget notifications", "Forgot notifications"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(dry_run: bool, count: usize) -> GcReport {
        let item = |n| GcItem {
            action: if n == 0 { GcAction::ArchiveTask } else { GcAction::DeleteTask },
            subject: format!("{}", 100_000_000 + n),
            reason: "finished 50 h ago, delete_task_after is 24 h".to_owned(),
            bytes: 1 << 20,
        };
        let total = GcTotal { count: count as u64, bytes: (count as u64) << 20 };
        GcReport { dry_run, items: (0..count).map(item).collect(), total, ..GcReport::default() }
    }

    #[test]
    fn each_kind_has_its_sum_and_the_first_things_are_named() {
        let shown = text(&report(true, 30));
        assert!(
            shown.starts_with("Would archive and delete tasks: 1 (1.0 MiB)\n  100000000 (1.0 MiB): finished"),
            "{shown}"
        );
        assert!(shown.contains("Would delete tasks: 29") && shown.contains("  and 9 more"), "{shown}");
        assert!(shown.ends_with("30 in all, 30.0 MiB would be free\n"), "{shown}");
        assert!(text(&report(false, 3)).contains("Deleted tasks: 2"));
        assert_eq!(text(&report(false, 0)), "Nothing to remove.\n");
    }

    #[test]
    fn what_fails_is_told() {
        let failed = vec![GcFailure { subject: "123456789".to_owned(), error: "no space".to_owned() }];
        let shown = text(&GcReport { failed, spared: 2, ..report(false, 0) });
        assert_eq!(
            shown,
            "0 in all, 0 B are free\n2 tasks stay: they were taken up again meanwhile\n123456789 could not be removed: no space\n"
        );
    }
}

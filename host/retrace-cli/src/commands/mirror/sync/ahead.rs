//! What `retrace mirror sync` fetches ahead, as the rules of the configuration want it.

use std::fmt::Write as _;

use retrace_mirror::{Ahead, AheadReport};
use serde::Serialize;

use crate::{commands::chain, render::size};

/// Packages that are named where a plan is only shown.
const SHOWN: usize = 20;

#[derive(Serialize)]
pub(super) struct AheadDocument {
    dry_run: bool,
    /// Packages that were wanted and not here, and their bytes as far as metadata tells.
    wanted: usize,
    wanted_bytes: u64,
    /// The first of them.
    first: Vec<String>,
    fetched: u64,
    fetched_bytes: u64,
    kept: usize,
    failed: Vec<Failed>,
    /// Packages that were not tried, because too many of their repository failed one after the other.
    skipped: u64,
}

#[derive(Serialize)]
struct Failed {
    package: String,
    error: String,
}

impl AheadDocument {
    pub(super) fn new(dry_run: bool, ahead: &Ahead, report: &AheadReport) -> Self {
        let names = ahead.plan.fetch.iter().filter_map(|n| ahead.candidates.get(*n));
        let failed = report.failed.iter();
        Self {
            dry_run,
            wanted: ahead.plan.fetch.len(),
            wanted_bytes: ahead.plan.fetch_bytes(&ahead.candidates),
            first: names.take(SHOWN).map(|candidate| candidate.id.to_string()).collect(),
            fetched: report.fetched,
            fetched_bytes: report.bytes,
            kept: ahead.plan.keep.len(),
            failed: failed.map(|(id, error)| Failed { package: id.to_string(), error: chain(error) }).collect(),
            skipped: report.skipped,
        }
    }

    pub(super) fn is_incomplete(&self) -> bool {
        !self.failed.is_empty()
    }

    /// Nothing, where no rule wants anything ahead.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        if self.wanted == 0 {
            return text;
        }
        let (wanted, bytes) = (self.wanted, size(self.wanted_bytes));
        // Writing to a String cannot fail.
        if self.dry_run {
            let _ = writeln!(text, "Would fetch {wanted} packages ({bytes}); {} are here already:", self.kept);
            for package in &self.first {
                let _ = writeln!(text, "  {package}");
            }
            if wanted > self.first.len() {
                let _ = writeln!(text, "  and {} more", wanted - self.first.len());
            }
            return text;
        }
        let _ = writeln!(text, "Fetched {} of {wanted} packages ({})", self.fetched, size(self.fetched_bytes));
        for Failed { package, error } in &self.failed {
            let _ = writeln!(text, "  {package} could not be had: {error}");
        }
        if self.skipped > 0 {
            let _ =
                writeln!(text, "  {} more were not tried: their repository failed too often in a row", self.skipped);
        }
        text
    }
}

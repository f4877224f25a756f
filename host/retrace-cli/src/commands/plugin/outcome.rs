//! How the commands of the library end: exit codes, and errors as text or JSON.

use std::process::ExitCode;

use anyhow::Result;
use retrace_plugin_host::library::{LibraryError, Verdict};
use serde::Serialize;

use super::{NO, NOT_LOADABLE};
use crate::{USAGE, args::Format, commands};

#[derive(Serialize)]
struct ErrorDocument {
    ok: bool,
    error: String,
}

/// Tells an error: on standard error for people, and as a document where one was asked for.
pub(super) fn fail(error: LibraryError, format: Format) -> Result<ExitCode> {
    let code = match error.verdict() {
        Verdict::Refused => NO,
        Verdict::NotLoadable => NOT_LOADABLE,
        Verdict::Failed => USAGE,
    };
    let failed_checks: Vec<String> = match &error {
        LibraryError::NotConformant { report, .. } => report
            .failures()
            .map(|check| format!("  {} {}: {}", check.id, check.title, check.message.as_deref().unwrap_or("")))
            .collect(),
        _ => Vec::new(),
    };
    let error = format!("{:#}", anyhow::Error::from(error));
    eprintln!("error: {error}");
    for line in failed_checks {
        eprintln!("{line}");
    }
    if format == Format::Json {
        commands::print_json(&ErrorDocument { ok: false, error })?;
    }
    Ok(ExitCode::from(code))
}

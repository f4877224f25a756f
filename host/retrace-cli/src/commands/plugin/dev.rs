use std::{
    fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::Result;
use retrace_plugin_host::library::{Companions, InstallOptions, Installation, LibraryError, Submission, Verdict};
use retrace_plugin_kit::build::{self, BuildOptions};
use serde::Serialize;

use super::{EXIT_CODES, NO, NOT_LOADABLE, install};
use crate::{FAILED, USAGE, args::Format, commands, config::Config, wiring};

/// How often the folder is looked at.
const POLL: Duration = Duration::from_millis(300);
/// Files that are looked at; a larger folder is no plugin.
const MAX_FILES: usize = 20_000;
/// Folders with results, not sources.
const NO_SOURCES: [&str; 5] = ["target", "build", "node_modules", "__pycache__", "counter-examples"];

/// Build a plugin, test it and put it in force, again after every save
///
/// The conformance suite runs in its quick profile, with the fixtures of the folder. The plugin is installed unsigned and
/// marked so; workers that run take it up within seconds, and a build that fails leaves the version before in force. Ends
/// with Ctrl-C; `retrace plugin remove ID` clears up.
#[derive(Debug, clap::Args)]
#[command(after_help = format!("Examples:\n  retrace plugin dev\n  RETRACE_STATE_DIR=/tmp/try retrace plugin dev plugins/acme   (away from the installed plugins)\n  \
    retrace plugin dev --once\n\n{EXIT_CODES}"))]
pub(crate) struct Args {
    /// The plugin's folder
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// End after the first round
    #[arg(long)]
    once: bool,
    /// Cargo's profile for a plugin in Rust
    #[arg(long, default_value = "release")]
    profile: String,
    /// How to print the results: json gives one line for each round
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Serialize)]
struct RoundDocument {
    ok: bool,
    id: Option<String>,
    version: Option<String>,
    sha256: Option<String>,
    failed_checks: Vec<String>,
    error: Option<String>,
}

/// How a round ended.
enum Round {
    Installed(Box<Installation>),
    Refused(LibraryError),
    /// The source does not build, or a tool is missing.
    NotBuilt {
        code: u8,
        error: String,
    },
}

pub(crate) async fn run(config: &Config, args: &Args) -> Result<ExitCode> {
    loop {
        // Before the build: what is saved meanwhile counts for the next round.
        let seen = fingerprint(&args.dir);
        let round = tokio::select! {
            round = round(config, args) => round?,
            signal = tokio::signal::ctrl_c() => return signal.map(|()| ExitCode::SUCCESS).map_err(Into::into),
        };
        tell(config, &round, args.format)?;
        if args.once {
            return Ok(code(&round));
        }
        if args.format == Format::Text {
            eprintln!("waiting for a change in {} (Ctrl-C ends)", args.dir.display());
        }
        tokio::select! {
            () = change(&args.dir, seen) => {}
            signal = tokio::signal::ctrl_c() => return signal.map(|()| ExitCode::SUCCESS).map_err(Into::into),
        }
    }
}

async fn round(config: &Config, args: &Args) -> Result<Round> {
    let options = BuildOptions { profile: args.profile.clone(), ..BuildOptions::default() };
    let built = match build::build(&args.dir, &options).await {
        Ok(built) => built,
        Err(error) => {
            let code = if error.is_about_the_source() { FAILED } else { USAGE };
            return Ok(Round::NotBuilt { code, error: format!("{:#}", anyhow::Error::from(error)) });
        }
    };
    let (config, dir) = (config.clone(), args.dir.clone());
    let install = move || -> Result<Round> {
        let (trust, bundled) = (wiring::trust(&config)?, wiring::bundled(&config)?);
        let fixtures = dir.join("fixtures");
        let options = InstallOptions {
            allow_unsigned: true,
            replace: true,
            development: true,
            fixtures_dir: fixtures.is_dir().then_some(fixtures),
            ..wiring::install_options(&config, &trust, &bundled)
        };
        let metadata = dir.join("plugin.toml");
        let companions = Companions { signature: None, metadata: metadata.is_file().then_some(metadata.as_path()) };
        let installed = Submission::read(&built.path, companions, options.limits.file_bytes)
            // A signature that lies beside the build is of an older one.
            .map(|submission| Submission { signature: None, ..submission })
            .and_then(|submission| wiring::library(&config).install(&submission, &options));
        Ok(match installed {
            Ok(installation) => Round::Installed(Box::new(installation)),
            Err(error) => Round::Refused(error),
        })
    };
    tokio::task::spawn_blocking(install).await?
}

fn tell(config: &Config, round: &Round, format: Format) -> Result<()> {
    if format == Format::Json {
        let mut line = serde_json::to_string(&document(round))?;
        line.push('\n');
        return commands::print(&line);
    }
    match round {
        Round::Installed(installation) => install::print(config, installation, format)?,
        Round::Refused(_) | Round::NotBuilt { .. } => {
            let document = document(round);
            eprintln!("error: {}", document.error.unwrap_or_default());
            for check in document.failed_checks {
                eprintln!("  {check}");
            }
        }
    }
    Ok(())
}

fn document(round: &Round) -> RoundDocument {
    let checks = |report: &retrace_plugin_host::conformance::Report| {
        let line = |check: &retrace_plugin_host::conformance::CheckResult| {
            format!("{} {}: {}", check.id, check.title, check.message.as_deref().unwrap_or(""))
        };
        report.failures().map(line).collect()
    };
    let nothing =
        RoundDocument { ok: false, id: None, version: None, sha256: None, failed_checks: Vec::new(), error: None };
    match round {
        Round::Installed(installation) => RoundDocument {
            ok: true,
            id: Some(installation.record.id.to_string()),
            version: Some(installation.record.version.clone()),
            sha256: Some(installation.record.sha256.to_string()),
            failed_checks: checks(&installation.report),
            error: None,
        },
        Round::Refused(error) => RoundDocument {
            failed_checks: match error {
                LibraryError::NotConformant { report, .. } => checks(report),
                _ => Vec::new(),
            },
            error: Some(commands::chain(error)),
            ..nothing
        },
        Round::NotBuilt { error, .. } => RoundDocument { error: Some(error.clone()), ..nothing },
    }
}

fn code(round: &Round) -> ExitCode {
    match round {
        Round::Installed(_) => ExitCode::SUCCESS,
        Round::Refused(error) => ExitCode::from(match error.verdict() {
            Verdict::Refused => NO,
            Verdict::NotLoadable => NOT_LOADABLE,
            Verdict::Failed => USAGE,
        }),
        Round::NotBuilt { code, .. } => ExitCode::from(*code),
    }
}

/// Returns when the folder's sources differ from what was seen.
async fn change(dir: &Path, seen: u64) {
    loop {
        tokio::time::sleep(POLL).await;
        if fingerprint(dir) != seen {
            return;
        }
    }
}

/// Stands for names, sizes and times of the folder's sources.
fn fingerprint(dir: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    let (mut folders, mut files) = (vec![dir.to_owned()], 0_usize);
    while let Some(folder) = folders.pop() {
        // A folder that vanishes between two looks is a change, not an error.
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        let mut entries: Vec<_> = entries.flatten().collect();
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let Ok(data) = entry.metadata() else { continue };
            files = files.saturating_add(1);
            if files > MAX_FILES {
                return hasher.finish();
            }
            if data.is_dir() && !name.starts_with('.') && !NO_SOURCES.contains(&name.as_ref()) {
                folders.push(entry.path());
            } else if data.is_file() && !name.starts_with('.') && !name.ends_with('~') {
                (entry.path(), data.len(), data.modified().ok()).hash(&mut hasher);
            }
        }
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saved_source_is_a_change_and_a_result_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let seen = |what: &str, change: bool, act: &dyn Fn()| {
            let before = fingerprint(dir.path());
            act();
            assert_eq!(fingerprint(dir.path()) != before, change, "{what}");
        };
        let path = |name: &str| dir.path().join(name);
        seen("nothing", false, &|| {});
        seen("a new file", true, &|| fs::write(path("a.rs"), "1").unwrap());
        seen("other content", true, &|| fs::write(path("a.rs"), "12").unwrap());
        seen("a folder with a file", true, &|| {
            fs::create_dir(path("src")).unwrap();
            fs::write(path("src/lib.rs"), "").unwrap();
        });
        for results in ["target", "build", ".git"] {
            seen(results, false, &|| {
                fs::create_dir(path(results)).unwrap();
                fs::write(path(results).join("x"), "").unwrap();
            });
        }
        seen("an editor's copy", false, &|| fs::write(path("a.rs~"), "").unwrap());
        seen("a removed file", true, &|| fs::remove_file(path("a.rs")).unwrap());
    }
}

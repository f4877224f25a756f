//! `retrace analyze`.

use std::{io::IsTerminal as _, io::Read as _, path::Path, process::ExitCode};

use anyhow::{Context as _, Result, bail};
use retrace_worker::{Analysis, AnalyzeRequest};

use crate::{
    WITH_GAPS,
    args::{AnalyzeArgs, Format},
    config::Config,
    progress::TerminalProgress,
    render::{self, Style},
    wiring,
};

/// os-release files have less than a kilobyte.
const MAX_OS_RELEASE_BYTES: u64 = 64 * 1024;

pub(crate) async fn run(config: &Config, args: &AnalyzeArgs) -> Result<ExitCode> {
    if !args.core.is_file() {
        bail!("there is no core {}", args.core.display());
    }
    let request = AnalyzeRequest {
        core: args.core.clone(),
        os_release: args.os_release.as_deref().map(read_os_release).transpose()?,
        package: args.package.clone(),
        executable: args.executable.clone(),
        keep_sysroot: args.keep_sysroot.clone(),
        answer_from_group: false,
        engine: args.engine.into(),
    };
    let analyzer = wiring::analyzer(config).await?;
    let analysis = {
        let progress = TerminalProgress::new();
        analyzer.analyze(&request, &progress).await?
    };
    if let Some(dir) = &args.out {
        write_files(dir, &analysis)?;
    }
    match args.format {
        Format::Json => super::print_json(&analysis.backtrace)?,
        Format::Text => super::print(&render::backtrace(&analysis.backtrace, style()))?,
    }
    Ok(if analysis.backtrace.complete { ExitCode::SUCCESS } else { ExitCode::from(WITH_GAPS) })
}

fn read_os_release(path: &Path) -> Result<String> {
    let unreadable = || format!("cannot read {}", path.display());
    let file = std::fs::File::open(path).with_context(unreadable)?;
    let mut bytes = Vec::new();
    file.take(MAX_OS_RELEASE_BYTES + 1).read_to_end(&mut bytes).with_context(unreadable)?;
    if bytes.len() as u64 > MAX_OS_RELEASE_BYTES {
        bail!("{} has more than {MAX_OS_RELEASE_BYTES} bytes: it is no os-release file", path.display());
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn write_files(dir: &Path, analysis: &Analysis) -> Result<()> {
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let document = serde_json::to_string_pretty(&analysis.backtrace)? + "\n";
    let files = [("backtrace.json", &document), ("backtrace.txt", &analysis.text), ("log", &analysis.story)];
    for (name, text) in files {
        let path = dir.join(name);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Colours on a terminal, unless NO_COLOR is set (<https://no-color.org>).
fn style() -> Style {
    let coloured = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    if coloured { Style::Coloured } else { Style::Plain }
}

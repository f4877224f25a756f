use std::{
    fmt::Write as _,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use retrace_plugin_host::{CallReport, EngineMode, Function, Guest};
use serde::Serialize;
use serde_json::{Value, json};

use super::component::Component;
use crate::{args::Format, commands, config::Config};

/// Measure a plugin: load, calls and fuel
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  retrace plugin bench build/plugin.wasm\n  retrace plugin bench build/plugin.wasm --calls 1000 --format json\n\n\
                        Times are medians on this machine; a fresh call makes an instance of its own, as production does, a warm call reuses one.\n\
                        Fuel counts instructions and is the same everywhere: compare that between versions.\n\n\
                        Exit codes: 0 measured, 2 wrong usage, or a file cannot be read, 3 no plugin that can be loaded."
)]
pub(crate) struct Args {
    /// The component
    file: PathBuf,
    /// Calls of each function, fresh and warm each
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    calls: u32,
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Serialize)]
struct Document {
    file: String,
    size_bytes: usize,
    /// Checks, and compiling unless it was compiled before.
    first_load_us: u64,
    /// From the cache, checks included.
    cached_load_us: u64,
    functions: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    function: &'static str,
    /// The contract's error is an answer too, and costs what it costs.
    answer: &'static str,
    fresh_us: u64,
    warm_us: u64,
    fuel: Option<u64>,
    peak_memory_bytes: usize,
}

pub(crate) fn run(config: &Config, args: &Args) -> Result<ExitCode> {
    let started = Instant::now();
    let component = match Component::load(config, &args.file, EngineMode::Production) {
        Ok(component) => component,
        Err(error) => return error.tell(),
    };
    let first_load = started.elapsed();
    let mut loads = Vec::new();
    for _ in 0..args.calls.min(20) {
        let started = Instant::now();
        component.load_again(&args.file)?;
        loads.push(started.elapsed());
    }
    let measured = match Component::load(config, &args.file, EngineMode::Measured) {
        Ok(measured) => measured,
        Err(error) => return error.tell(),
    };
    let functions = questions(&component.guest)
        .into_iter()
        .map(|(function, input)| row(&component, &measured.guest, function, &input, args.calls))
        .collect::<Result<_>>()?;
    let document = Document {
        file: args.file.display().to_string(),
        size_bytes: component.size_bytes(),
        first_load_us: microseconds(first_load),
        cached_load_us: median(loads),
        functions,
    };
    match args.format {
        Format::Json => commands::print_json(&document)?,
        Format::Text => commands::print(&text(&document)?)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// One question for each function that it exports, about its own newest release where one is needed.
fn questions(guest: &Guest) -> Vec<(Function, Value)> {
    let releases = guest.call(Function::Releases, &json!({})).answer.unwrap_or_default();
    let newest = releases.get(0).cloned().unwrap_or_default();
    let release =
        newest.get("release").cloned().unwrap_or_else(|| json!({ "distro": "none", "version": "0", "rolling": false }));
    let arch = newest.pointer("/architectures/0").cloned().unwrap_or_else(|| json!("x86_64"));
    let word = |key: &str| release.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (id, version) = (word("distro"), word("version"));
    let os_release = format!("NAME=\"Linux\"\nID={}\nVERSION_ID=\"{}\"\nPRETTY_NAME=\"Linux\"\n", id, version);
    let package = json!({ "name": "bash", "version": "5.2.26", "release": "3", "arch": arch, "kind": "binary" });
    let names: Vec<_> = (0..1000).map(|i| format!("package{i}-1.{i}-1.x86_64.rpm")).collect();
    let input = |function| match function {
        Function::Describe | Function::Releases => json!({}),
        Function::ParseRelease => json!({ "source": { "os-release": os_release } }),
        Function::GuessRelease => json!({ "subject": { "raw": "bash-5.2.26-3.x86_64" } }),
        Function::Repositories | Function::DebuggerFor => json!({ "release": release, "arch": arch }),
        Function::ParseFileNames => json!({ "names": names }),
        Function::FormatFileName | Function::DebugPackages => json!({ "subject": package }),
        Function::KernelFor => json!({ "version": "6.8.5-301.x86_64", "arch": arch }),
        Function::ExtraPackages => json!({ "release": release, "arch": arch, "wanted": ["bash"] }),
    };
    let exported = Function::ALL.into_iter().filter(|function| guest.exports(*function));
    exported.map(|function| (function, input(function))).collect()
}

fn row(component: &Component, measured: &Guest, function: Function, input: &Value, calls: u32) -> Result<Row> {
    let guest = &component.guest;
    let mut job = guest.job();
    let (mut fresh, mut warm) = (Vec::new(), Vec::new());
    // The first call of an instance is not a warm one.
    checked(function, job.call(function, input))?;
    for _ in 0..calls {
        fresh.push(checked(function, guest.call(function, input))?.stats.duration);
        warm.push(checked(function, job.call(function, input))?.stats.duration);
    }
    let once = checked(function, measured.call(function, input))?;
    let is_error = once.answer.as_ref().is_ok_and(|answer| answer.get("err").is_some());
    Ok(Row {
        function: function.name(),
        answer: if is_error { "err" } else { "ok" },
        fresh_us: median(fresh),
        warm_us: median(warm),
        fuel: once.stats.fuel,
        peak_memory_bytes: once.stats.peak_memory_bytes,
    })
}

fn checked(function: Function, report: CallReport) -> Result<CallReport> {
    if let Err(failure) = &report.answer {
        return Err(failure.clone())
            .with_context(|| format!("{function} has no answer to measure; `retrace plugin test` says more"));
    }
    Ok(report)
}

fn median(mut times: Vec<Duration>) -> u64 {
    times.sort_unstable();
    times.get(times.len() / 2).copied().map_or(0, microseconds)
}

fn microseconds(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn text(document: &Document) -> Result<String> {
    let Document { file, size_bytes, first_load_us, cached_load_us, functions } = document;
    let mut text =
        format!("{file}: {size_bytes} bytes; first load {first_load_us} µs, from the cache {cached_load_us} µs\n\n");
    writeln!(
        text,
        "{:<18} {:>6} {:>10} {:>10} {:>12} {:>10}",
        "function", "answer", "fresh, µs", "warm, µs", "fuel", "memory"
    )?;
    for Row { function, answer, fresh_us, warm_us, fuel, peak_memory_bytes } in functions {
        let fuel = fuel.map_or_else(|| "-".to_owned(), |fuel| fuel.to_string());
        let memory = peak_memory_bytes / 1024;
        writeln!(text, "{function:<18} {answer:>6} {fresh_us:>10} {warm_us:>10} {fuel:>12} {memory:>6} KiB")?;
    }
    text.push_str("\nparse-file-names reads 1,000 names\n");
    Ok(text)
}

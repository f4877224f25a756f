use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result, bail};
use retrace_plugin_host::{CallFailure, CallStats, EngineMode, Function};
use serde::Serialize;
use serde_json::{Value, json};

use super::{NO, component::Component};
use crate::{args::Format, commands, config::Config};

/// Most bytes of an input from a file.
const MAX_INPUT_BYTES: u64 = 16 << 20;

/// Ask one function of a plugin; print the answer and what it cost
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  retrace plugin call build/plugin.wasm describe\n  \
                        retrace plugin call build/plugin.wasm parse-release --json '{\"source\": {\"release-line\": \"Acme Linux release 2\"}}'\n  \
                        retrace plugin call build/plugin.wasm parse-release --json @repro.json\n\n\
                        The input is an object with the parameters by the names of the contract (`retrace plugin wit`), or a list of them. A record is\n\
                        an object, a variant a text or an object of one key, flags a list of texts, an absent option null or left out.\n\
                        Fuel counts instructions: the same on every machine.\n\n\
                        Exit codes: 0 answered, even if the answer is the contract's error; 1 the plugin broke: a trap, its deadline, its memory;\n\
                        2 wrong usage or input; 3 no plugin that can be loaded.")]
pub(crate) struct Args {
    /// The component
    file: PathBuf,
    /// Function of the contract, such as parse-release
    function: Function,
    /// The input: JSON, or @FILE
    #[arg(long, value_name = "JSON", default_value = "{}")]
    json: String,
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Serialize)]
struct Document {
    function: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
    #[serde(flatten)]
    stats: CallStats,
}

pub(crate) fn run(config: &Config, args: &Args) -> Result<ExitCode> {
    let input = input(&args.json)?;
    let component = match Component::load(config, &args.file, EngineMode::Measured) {
        Ok(component) => component,
        Err(error) => return error.tell(),
    };
    let report = component.guest.call(args.function, &input);
    let (answer, failure) = match report.answer {
        Ok(answer) => (Some(answer), None),
        Err(CallFailure::Plugin(kind)) => (None, Some(kind.to_string())),
        Err(error @ (CallFailure::Input(_) | CallFailure::NotExported(_))) => return Err(error.into()),
    };
    let failed = failure.is_some();
    let document = Document { function: args.function.name(), answer, failure, stats: report.stats };
    match args.format {
        Format::Json => commands::print_json(&document)?,
        Format::Text => commands::print(&text(&document)?)?,
    }
    Ok(if failed { ExitCode::from(NO) } else { ExitCode::SUCCESS })
}

fn input(text: &str) -> Result<Value> {
    let (text, from) = match text.strip_prefix('@') {
        None => (text.to_owned(), "--json".to_owned()),
        Some(path) => {
            let size = fs::metadata(path).with_context(|| format!("cannot read {path}"))?.len();
            if size > MAX_INPUT_BYTES {
                bail!("{path} has {size} bytes, more than {MAX_INPUT_BYTES}: no function takes that much");
            }
            (fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?, path.to_owned())
        }
    };
    let value: Value = serde_json::from_str(&text).with_context(|| format!("{from} is no JSON"))?;
    Ok(if value.is_null() { json!({}) } else { value })
}

fn text(document: &Document) -> Result<String> {
    let mut text = match (&document.answer, &document.failure) {
        (Some(answer), _) => serde_json::to_string_pretty(answer)?,
        (None, failure) => format!("the plugin broke: {}", failure.as_deref().unwrap_or_default()),
    };
    let CallStats { fuel, peak_memory_bytes, log, log_lines_dropped, duration } = &document.stats;
    let fuel = fuel.map_or_else(|| "no".to_owned(), |fuel| fuel.to_string());
    text.push_str(&format!(
        "\n\n{fuel} fuel, {} KiB of memory, {} µs with a fresh instance\n",
        peak_memory_bytes / 1024,
        duration.as_micros()
    ));
    for line in log {
        text.push_str(&format!("log {:<5} {}\n", line.level, line.text));
    }
    if *log_lines_dropped > 0 {
        text.push_str(&format!("log       {log_lines_dropped} more lines were dropped\n"));
    }
    Ok(text)
}

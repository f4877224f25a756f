//! `retrace config import`: the predecessor's configuration becomes one for Retrace.
//!
//! [`convert`] is pure. What has no counterpart is listed with the reason; nothing is left out in silence.

mod ini;
mod options;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs::File,
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result, bail, ensure};
use retrace_worker::HookEvent;
use toml::Value as Toml;

use self::{
    ini::Entry,
    options::{Becomes, OPTIONS, OldOption, Value},
};

pub(crate) const HELP: &str = "Examples:\n  retrace config import /etc/retrace-server/retrace-server.conf --output retrace.toml\n  \
    retrace config import retrace-server.conf retrace-server-hooks.conf hooks/*.conf > retrace.toml\n\n\
    The new configuration goes to the file or to standard output; options without a counterpart, unknown ones and values that\n\
    cannot be read are listed on standard error, each with the reason.\n\n\
    Exit codes: 0 done; 1 a file cannot be read, or is none of the predecessor's; 2 wrong usage.";

/// Where the predecessor looks for hooks.
const OLD_HOOK_DIR: &str = "/usr/libexec/retrace-server/hooks";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// retrace-server.conf, and the files that configure its hooks
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Write the new configuration into this file, which must not exist
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// What came of a configuration.
#[derive(Debug, Default, PartialEq)]
struct Converted {
    /// TOML with comments.
    text: String,
    /// What was not taken over, one sentence for each thing.
    remarks: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let mut entries = Vec::new();
    for path in &args.files {
        let named = || path.display().to_string();
        entries.extend(ini::parse(&read(path)?).with_context(named)?);
    }
    ensure!(!entries.is_empty(), "there is no option in what was given: is it the predecessor's configuration?");
    let converted = convert(&entries);
    match &args.output {
        None => super::super::print(&converted.text)?,
        Some(path) => {
            let cannot = || format!("cannot write {}", path.display());
            let mut file = File::create_new(path).with_context(cannot)?;
            file.write_all(converted.text.as_bytes()).with_context(cannot)?;
        }
    }
    for remark in &converted.remarks {
        eprintln!("{remark}");
    }
    Ok(ExitCode::SUCCESS)
}

fn read(path: &Path) -> Result<String> {
    let unreadable = || format!("cannot read {}", path.display());
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(ini::MAX_BYTES + 1).read_to_end(&mut bytes)).with_context(unreadable)?;
    ensure!(bytes.len() as u64 <= ini::MAX_BYTES, "{} has more than {} bytes", path.display(), ini::MAX_BYTES);
    String::from_utf8(bytes).with_context(unreadable)
}

/// A key of the new configuration with its value and where it came from.
struct Line {
    key: &'static str,
    value: Toml,
    comment: String,
}

fn convert(entries: &[Entry]) -> Converted {
    let mut remarks = Vec::new();
    let mut sections: BTreeMap<&str, Vec<Line>> = BTreeMap::new();
    // The last one counts, as with the predecessor.
    let mut latest: BTreeMap<(String, String), &Entry> = BTreeMap::new();
    for entry in entries {
        latest.insert((entry.section.to_ascii_lowercase(), entry.name.to_ascii_lowercase()), entry);
    }
    let mut in_order: Vec<&Entry> = latest.into_values().collect();
    in_order.sort_by_key(|entry| entry.line);

    for entry in in_order.iter().filter(|entry| entry.section.eq_ignore_ascii_case("retrace")) {
        let Entry { name, value, line, .. } = *entry;
        let Some(OldOption { name, becomes, note }) =
            OPTIONS.iter().find(|option| option.name.eq_ignore_ascii_case(name))
        else {
            remarks.push(format!("unknown option: {name} = {value} (line {line})"));
            continue;
        };
        match becomes {
            Becomes::Nothing => remarks.push(format!("no counterpart: {name} = {}: {note}", shown(name, value))),
            Becomes::Key(key, kind) => match new_value(*kind, value) {
                Ok(new) => {
                    let (section, key) = key.rsplit_once('.').unwrap_or(("", key));
                    let comment = if note.is_empty() { (*name).to_owned() } else { format!("{name}: {note}") };
                    sections.entry(section).or_default().push(Line { key, value: new, comment });
                }
                Err(error) => remarks.push(format!("cannot be read: {name} = {value} (line {line}): {error}")),
            },
        }
    }
    for entry in in_order.iter().filter(|entry| entry.section.eq_ignore_ascii_case("archhosts")) {
        let Entry { name, value, .. } = *entry;
        let why = OPTIONS.iter().find(|option| option.name == "[archhosts]").map_or("", |option| option.note);
        remarks.push(format!("no counterpart: [archhosts] {name} = {value}: {why}"));
    }
    let others = in_order
        .iter()
        .filter(|entry| !["retrace", "archhosts"].iter().any(|section| entry.section.eq_ignore_ascii_case(section)));
    let hooks = hooks(&others.copied().collect::<Vec<_>>(), &mut remarks);

    let mut text = String::from("# Made by `retrace config import` from a configuration of retrace-server.\n");
    if let Some(dir) = &hooks.dir {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n# HookDir: programs in <hook_dir>/<event>/\nhook_dir = {}\n", Toml::from(dir.as_str()));
    }
    for (section, lines) in sections {
        let _ = write!(text, "\n[{section}]\n");
        for Line { key, value, comment } in lines {
            let _ = writeln!(text, "# {comment}\n{key} = {value}");
        }
    }
    for hook in &hooks.hooks {
        text.push_str(hook);
    }
    Converted { text, remarks }
}

/// In one line; a password does not go to a terminal.
fn shown(name: &str, value: &str) -> String {
    if name == "FTPPass" { "…".to_owned() } else { value.replace('\n', " ") }
}

fn new_value(kind: Value, old: &str) -> Result<Toml> {
    Ok(match kind {
        Value::Number => {
            let number: i64 = old.trim().parse().context("want a number")?;
            Toml::from(number.clamp(0, i64::from(u32::MAX)))
        }
        // As configparser has it.
        Value::Switch => Toml::from(match old.trim().to_ascii_lowercase().as_str() {
            "1" | "yes" | "true" | "on" => true,
            "0" | "no" | "false" | "off" => false,
            _ => bail!("want yes or no"),
        }),
        Value::Text => Toml::from(old.trim()),
        Value::Sender => Toml::from(format!("Retrace <{}>", old.trim())),
    })
}

/// What the files for hooks gave.
#[derive(Default)]
struct ConvertedHooks {
    dir: Option<String>,
    /// `[[hooks]]` tables.
    hooks: Vec<String>,
}

/// `[main]`, `[<event>]` and `[<event>.<program>]` of the predecessor's files for hooks.
fn hooks(entries: &[&Entry], remarks: &mut Vec<String>) -> ConvertedHooks {
    let find = |section: &str, name: &str| {
        let found =
            entries.iter().find(|e| e.section.eq_ignore_ascii_case(section) && e.name.eq_ignore_ascii_case(name));
        found.map(|entry| entry.value.as_str())
    };
    let mut converted = ConvertedHooks::default();
    let dir = find("main", "HookDir").map(|dir| dir.trim_end_matches('/').to_owned());
    let base = dir.clone().unwrap_or_else(|| OLD_HOOK_DIR.to_owned());
    converted.dir = dir;
    let mut programs = BTreeSet::new();
    for entry in entries {
        let Entry { section, name, value, line } = *entry;
        let known = match name.to_ascii_lowercase().as_str() {
            "hookdir" | "timeout" if section.eq_ignore_ascii_case("main") => true,
            "timeout" | "cmdline" => event_of(section).is_some(),
            _ => false,
        };
        match section.split_once('.') {
            _ if !known => remarks.push(format!("unknown option: [{section}] {name} = {value} (line {line})")),
            Some((event, program)) => {
                programs.insert((event, program));
            }
            // For all programs of an event, which only the folder names.
            None if event_of(section).is_some() => remarks.push(format!(
                "no counterpart: [{section}] {name} = {value}: write a `[[hooks]]` entry for each program that needs it"
            )),
            None if name.eq_ignore_ascii_case("timeout") => {
                let why =
                    OPTIONS.iter().find(|option| option.name == "[main] Timeout").map_or("", |option| option.note);
                remarks.push(format!("no counterpart: [main] {name} = {value}: {why}"));
            }
            None => {}
        }
    }
    for (old_event, program) in programs {
        let Some(event) = event_of(old_event) else { continue };
        let section = format!("{old_event}.{program}");
        let inherited =
            |name: &str| find(&section, name).or_else(|| find(old_event, name)).or_else(|| find("main", name));
        let path = format!("{base}/{old_event}/{program}");
        let mut hook = format!(
            "\n# [{section}]\n[[hooks]]\nevent = {}\nprogram = {}\n",
            Toml::from(event.as_str()),
            Toml::from(path)
        );
        if let Some(cmdline) = inherited("cmdline") {
            let words = cmdline.split_whitespace().map(|word| {
                let word = word.replace("{hook_name}", event.as_str()).replace("{task_results_dir}", "/retrace/results");
                if word.contains("{taskid}") {
                    remarks.push(format!(
                        "no counterpart: {{taskid}} in the cmdline of [{section}]: the hook finds it in its environment, as RETRACE_TASK_ID"
                    ));
                }
                Toml::from(word)
            });
            let words = Toml::Array(words.collect());
            // Writing to a String cannot fail.
            let _ = writeln!(hook, "args = {words}");
        }
        match inherited("timeout").map(|text| (text, text.trim().parse::<u32>())) {
            Some((_, Ok(seconds))) => drop(writeln!(hook, "timeout_s = {seconds}")),
            Some((text, Err(_))) => {
                remarks.push(format!("cannot be read: [{section}] timeout = {text}: want a number"))
            }
            None => {}
        }
        converted.hooks.push(hook);
    }
    converted
}

/// The event that a section is of: `success`, `success.program`.
fn event_of(section: &str) -> Option<HookEvent> {
    let name = section.split('.').next().unwrap_or_default().to_ascii_lowercase();
    // Nothing lies between the two.
    let name = if name == "pre_start" { "start" } else { name.as_str() };
    HookEvent::ALL.into_iter().find(|event| event.as_str() == name)
}

#[cfg(test)]
mod tests;

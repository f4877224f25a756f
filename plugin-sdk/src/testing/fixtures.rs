//! Golden fixtures: questions and the answers that the author wants for them (`docs/fixtures.md`).

use alloc::{borrow::ToOwned, format, string::String, vec::Vec};
use std::{fs, path::Path};

use serde_json::Value;

use super::{Native, value::from_toml};

/// Most cases of a file.
const MAX_CASES: usize = 4096;

/// One question of a fixture.
#[derive(Clone, Debug)]
pub struct Case {
    /// File and name: `releases.toml, a workstation`.
    pub name: String,
    /// As the contract names it.
    pub function: String,
    /// The parameters; texts of files are read in.
    pub input: Value,
    /// What is wanted.
    pub wanted: Wanted,
}

/// What an answer is compared with.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// The whole answer.
    All(Value),
    /// What is written; the rest may be anything.
    Part(Value),
}

/// Asks every case of a folder.
///
/// # Panics
/// If an answer differs, a fixture cannot be read, or there is none: the text says which, wanted and got.
#[expect(clippy::panic, reason = "an assertion for tests")]
pub fn check(plugin: &Native, folder: impl AsRef<Path>) {
    let cases = match load(folder.as_ref()) {
        Ok(cases) => cases,
        Err(error) => panic!("{error}"),
    };
    assert!(!cases.is_empty(), "{}: no fixtures", folder.as_ref().display());
    let wrong: Vec<_> = cases.iter().filter_map(|case| difference(plugin, case)).collect();
    assert!(wrong.is_empty(), "{} of {} fixtures differ\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

/// What is wrong with the answer to a case; none if nothing is.
#[must_use]
pub fn difference(plugin: &Native, case: &Case) -> Option<String> {
    let got = match plugin.call(&case.function, &case.input) {
        Ok(got) => got,
        Err(error) => return Some(format!("{}: {error}", case.name)),
    };
    let (wanted, same) = match &case.wanted {
        Wanted::All(wanted) => (wanted, matches(wanted, &got, true)),
        Wanted::Part(wanted) => (wanted, matches(wanted, &got, false)),
    };
    (!same).then(|| format!("{}\n  wanted {wanted}\n  got    {got}", case.name))
}

/// The cases of all `*.toml` files of a folder, by name of the file.
///
/// # Errors
/// A file cannot be read or is no fixture: which, and why.
pub fn load(folder: &Path) -> Result<Vec<Case>, String> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| format!("{}: {error}", folder.display()))?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            paths.push(path);
        }
    }
    paths.sort();
    let mut cases = Vec::new();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).map_err(|error| format!("{name}: {error}"))?;
        cases.extend(parse(&name, &text, folder)?);
    }
    Ok(cases)
}

/// The cases of one file.
fn parse(file: &str, text: &str, folder: &Path) -> Result<Vec<Case>, String> {
    let document: toml::Table = text.parse().map_err(|error| format!("{file}: {error}"))?;
    if let Some(other) = document.keys().find(|key| *key != "case") {
        return Err(format!("{file}: {other}: a fixture holds [[case]] and nothing else"));
    }
    let cases = document.get("case").and_then(toml::Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if cases.len() > MAX_CASES {
        return Err(format!("{file}: {} cases, more than {MAX_CASES}", cases.len()));
    }
    cases.iter().enumerate().map(|(i, case)| parse_case(file, i, &from_toml(case), folder)).collect()
}

fn parse_case(file: &str, index: usize, case: &Value, folder: &Path) -> Result<Case, String> {
    let number = index.saturating_add(1);
    let place = format!("{file}: case {number}");
    let Value::Object(fields) = case else { return Err(format!("{place}: want [[case]]")) };
    let known = ["name", "function", "input", "expect", "contains"];
    if let Some(unknown) = fields.keys().find(|key| !known.contains(&key.as_str())) {
        return Err(format!("{place}: {unknown}: unknown key; known are {}", known.join(", ")));
    }
    let text = |key: &str| fields.get(key).and_then(Value::as_str);
    let function = text("function").ok_or_else(|| format!("{place}: want function = \"…\""))?;
    let name = text("name").map_or_else(|| format!("case {number}"), ToOwned::to_owned);
    let wanted = match (fields.get("expect"), fields.get("contains")) {
        (Some(wanted), None) => Wanted::All(wanted.clone()),
        (None, Some(wanted)) => Wanted::Part(wanted.clone()),
        _ => return Err(format!("{place}: want either expect or contains")),
    };
    let input = fields.get("input").cloned().unwrap_or_default();
    let input = with_files(input, folder).map_err(|error| format!("{place}: {error}"))?;
    Ok(Case { name: format!("{file}, {name}"), function: function.to_owned(), input, wanted })
}

/// Replaces `{ file = "name" }` by the text of the file.
fn with_files(value: Value, folder: &Path) -> Result<Value, String> {
    Ok(match value {
        Value::Object(fields) => match (fields.len(), fields.get("file")) {
            (1, Some(Value::String(name))) => {
                if name.is_empty() || name.contains(['/', '\\']) || name == ".." {
                    return Err(format!("file {name:?}: want the name of a file beside the fixture"));
                }
                let text = fs::read_to_string(folder.join(name)).map_err(|error| format!("file {name:?}: {error}"))?;
                Value::String(text)
            }
            _ => {
                let fields = fields.into_iter().map(|(key, value)| Ok((key, with_files(value, folder)?)));
                Value::Object(fields.collect::<Result<_, String>>()?)
            }
        },
        Value::Array(values) => {
            values.into_iter().map(|value| with_files(value, folder)).collect::<Result<_, String>>()?
        }
        other => other,
    })
}

/// Whether an answer is what is wanted; `whole`: in every field.
#[must_use]
pub fn matches(wanted: &Value, got: &Value, whole: bool) -> bool {
    match (wanted, got) {
        (Value::String(text), Value::Null) => text == "none",
        (Value::Object(wanted), Value::Object(got)) => {
            // An error may be named by its case alone.
            if let (1, Some(Value::String(name)), Some(Value::Object(error))) =
                (wanted.len(), wanted.get("err"), got.get("err"))
            {
                return error.contains_key(name);
            }
            let none = Value::Null;
            let fits = |(key, value): (&String, &Value)| matches(value, got.get(key).unwrap_or(&none), whole);
            wanted.iter().all(fits)
                && (!whole || got.iter().all(|(key, value)| value.is_null() || wanted.contains_key(key)))
        }
        (Value::Array(wanted), Value::Array(got)) if whole => {
            wanted.len() == got.len() && wanted.iter().zip(got).all(|(wanted, got)| matches(wanted, got, true))
        }
        (Value::Array(wanted), Value::Array(got)) => {
            let mut rest = got.iter();
            wanted.iter().all(|wanted| rest.any(|got| matches(wanted, got, false)))
        }
        (wanted, got) => wanted == got,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn answers_are_compared_whole_or_in_part() {
        let got = json!({ "ok": { "distro": "acme", "version": "3", "rolling": false } });
        let repositories = json!({ "ok": [{ "id": "base", "keys": [] }, { "id": "debug", "keys": [1] }] });
        let cases = [
            (json!({ "ok": { "distro": "acme", "version": "3", "rolling": false } }), &got, true, true),
            (json!({ "ok": { "distro": "acme", "version": "3" } }), &got, true, false),
            (json!({ "ok": { "distro": "acme", "version": "3" } }), &got, false, true),
            (json!({ "ok": { "distro": "acme", "minor": "1" } }), &got, false, false),
            (json!({ "ok": { "distro": "acme", "minor": "none" } }), &got, false, true),
            (json!({ "err": "malformed-input" }), &got, true, false),
            (json!({ "err": "malformed-input" }), &json!({ "err": { "malformed-input": "x" } }), true, true),
            (json!({ "err": "internal" }), &json!({ "err": { "malformed-input": "x" } }), true, false),
            (json!({ "err": { "internal": "y" } }), &json!({ "err": { "internal": "x" } }), true, false),
            (json!({ "ok": "none" }), &json!({ "ok": null }), true, true),
            (json!({ "ok": "none" }), &json!({ "ok": "none of it" }), true, false),
            (json!({ "ok": [{ "id": "debug" }] }), &repositories, false, true),
            (json!({ "ok": [{ "id": "debug" }] }), &repositories, true, false),
            (json!({ "ok": [{ "id": "debug" }, { "id": "base" }] }), &repositories, false, false),
        ];
        for (wanted, got, whole, want) in cases {
            assert_eq!(matches(&wanted, got, whole), want, "wanted: {wanted}, got: {got}, whole: {whole}");
        }
    }

    #[test]
    fn a_fixture_that_is_none_is_named() {
        let cases = [
            ("[[case]]\nfunction = \"describe\"", "a.toml: case 1: want either expect or contains"),
            ("[[case]]\nexpect = {}", "a.toml: case 1: want function"),
            ("[[case]]\nfunction = \"describe\"\nexpects = {}", "a.toml: case 1: expects: unknown key"),
            ("[[cases]]\n", "a.toml: cases: a fixture holds [[case]]"),
            (
                "[[case]]\nfunction = \"f\"\nexpect = {}\ninput = { a = { file = \"../x\" } }",
                "a.toml: case 1: file \"../x\": want the name of a file",
            ),
            ("[[case]", "a.toml: TOML parse error"),
        ];
        for (text, want) in cases {
            let error = parse("a.toml", text, Path::new("/nowhere")).unwrap_err();
            assert!(error.starts_with(want), "{error}");
        }
    }
}

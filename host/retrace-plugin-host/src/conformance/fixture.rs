//! The author's fixtures: reading, comparing, rewriting. The format is that of `plugin-sdk/docs/fixtures.md`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::ConformanceError;
use crate::Function;

/// Most cases in one file.
const MAX_CASES: usize = 4096;
/// Most bytes of one file of fixtures or of a text beside it.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// A question and the answer that its author wants.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Case {
    pub(super) file: PathBuf,
    /// Place in the file, from 0.
    pub(super) index: usize,
    pub(super) name: String,
    pub(super) function: Function,
    pub(super) input: Value,
    pub(super) wanted: Wanted,
}

/// How the answer is compared.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Wanted {
    /// With the whole answer.
    Whole(Value),
    /// With what is written.
    Part(Value),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    case: Vec<RawCase>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCase {
    name: Option<String>,
    function: String,
    input: Option<toml::Table>,
    expect: Option<toml::Value>,
    contains: Option<toml::Value>,
}

/// The files of a folder that end in `.toml`, sorted.
pub(super) fn files(dir: &Path) -> Result<Vec<PathBuf>, ConformanceError> {
    let failed = |source| ConformanceError::Io { path: dir.to_owned(), source };
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The cases of every file of a folder.
pub(super) fn read_dir(dir: &Path) -> Result<Vec<Case>, ConformanceError> {
    let mut cases = Vec::new();
    for path in files(dir)? {
        cases.extend(read(&path, &text(&path)?)?);
    }
    Ok(cases)
}

pub(super) fn text(path: &Path) -> Result<String, ConformanceError> {
    let failed = |source| ConformanceError::Io { path: path.to_owned(), source };
    if fs::metadata(path).map_err(failed)?.len() > MAX_FILE_BYTES {
        return Err(failed(std::io::Error::other(format!("larger than {MAX_FILE_BYTES} bytes"))));
    }
    fs::read_to_string(path).map_err(failed)
}

pub(super) fn read(path: &Path, text: &str) -> Result<Vec<Case>, ConformanceError> {
    let invalid = |why: String| ConformanceError::Fixture { path: path.to_owned(), why };
    let file: File = toml::from_str(text).map_err(|error| invalid(error.to_string()))?;
    if file.case.len() > MAX_CASES {
        return Err(invalid(format!("it has {} cases, more than {MAX_CASES}", file.case.len())));
    }
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut cases = Vec::new();
    for (index, raw) in file.case.into_iter().enumerate() {
        let name = raw.name.unwrap_or_else(|| format!("case {}", index.saturating_add(1)));
        let invalid = |why: String| invalid(format!("{name}: {why}"));
        let function: Function = raw.function.parse().map_err(|error| invalid(format!("{error}")))?;
        let input = with_files(json(toml::Value::Table(raw.input.unwrap_or_default())), dir)
            .map_err(|error| invalid(error.to_string()))?;
        let wanted = match (raw.expect, raw.contains) {
            (Some(whole), None) => Wanted::Whole(json(whole)),
            (None, Some(part)) => Wanted::Part(json(part)),
            _ => return Err(invalid("want exactly one of `expect` and `contains`".to_owned())),
        };
        cases.push(Case { file: path.to_owned(), index, name, function, input, wanted });
    }
    Ok(cases)
}

/// Puts a new text in the place of a file, whole or not at all.
pub(super) fn replace(path: &Path, text: &str) -> Result<(), ConformanceError> {
    let failed = |source| ConformanceError::Io { path: path.to_owned(), source };
    let new = path.with_extension("toml.new");
    fs::write(&new, text).and_then(|()| fs::rename(&new, path)).map_err(failed)
}

fn json(value: toml::Value) -> Value {
    match value {
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => number.into(),
        toml::Value::Boolean(value) => value.into(),
        toml::Value::Datetime(date) => date.to_string().into(),
        toml::Value::Array(values) => values.into_iter().map(json).collect(),
        toml::Value::Table(table) => {
            Value::Object(table.into_iter().map(|(name, value)| (name, json(value))).collect())
        }
    }
}

/// Puts the text of a file in the place of `{ file = "name" }`.
fn with_files(value: Value, dir: &Path) -> Result<Value, ConformanceError> {
    Ok(match value {
        Value::Array(values) => {
            Value::Array(values.into_iter().map(|value| with_files(value, dir)).collect::<Result<_, _>>()?)
        }
        Value::Object(object) => match (object.len(), object.get("file").and_then(Value::as_str)) {
            (1, Some(name)) => {
                let path = dir.join(name);
                if name.is_empty() || name.contains('/') || name == ".." {
                    let why = format!("the file {name:?} must lie beside the fixture");
                    return Err(ConformanceError::Fixture { path: dir.to_owned(), why });
                }
                text(&path)?.into()
            }
            _ => {
                let convert = |(name, value)| Ok::<_, ConformanceError>((name, with_files(value, dir)?));
                Value::Object(object.into_iter().map(convert).collect::<Result<Map<_, _>, _>>()?)
            }
        },
        other => other,
    })
}

impl Wanted {
    /// Where the answer is not the wanted one; none if it is.
    pub(super) fn difference(&self, answer: &Value) -> Option<String> {
        let (wanted, whole) = match self {
            Self::Whole(wanted) => (wanted, true),
            Self::Part(wanted) => (wanted, false),
        };
        // The name of an error alone leaves its text open.
        if let (Some(Value::String(name)), Some(Value::Object(error))) = (wanted.get("err"), answer.get("err"))
            && error.contains_key(name)
        {
            return None;
        }
        difference("", wanted, answer, whole)
    }
}

fn difference(path: &str, wanted: &Value, answer: &Value, whole: bool) -> Option<String> {
    let differs = || {
        let path = if path.is_empty() { "the answer" } else { path };
        Some(format!("{path}: want {wanted}, got {answer}"))
    };
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match (wanted, answer) {
        (Value::Null, Value::Null) => None,
        (Value::String(text), Value::Null) if text == "none" => None,
        (Value::Object(wanted), Value::Object(answer)) => {
            if let Some(name) = wanted.keys().find(|name| !answer.contains_key(*name)) {
                return Some(format!("{}: not in the answer", below(name)));
            }
            answer.iter().find_map(|(name, answer)| match wanted.get(name) {
                Some(wanted) => difference(&below(name), wanted, answer, whole),
                None if whole && !answer.is_null() => Some(format!("{}: want none, got {answer}", below(name))),
                None => None,
            })
        }
        (Value::Array(wanted), Value::Array(answer)) if whole => {
            if wanted.len() != answer.len() {
                return Some(format!("{path}: want {} elements, got {}", wanted.len(), answer.len()));
            }
            let pairs = wanted.iter().zip(answer).enumerate();
            pairs
                .into_iter()
                .find_map(|(i, (wanted, answer))| difference(&format!("{path}[{i}]"), wanted, answer, whole))
        }
        (Value::Array(wanted), Value::Array(answer)) => {
            let mut rest = answer.iter();
            wanted.iter().find_map(|wanted| {
                let found = rest.any(|answer| difference("", wanted, answer, whole).is_none());
                (!found).then(|| format!("{path}: no element like {wanted} (in this order)"))
            })
        }
        (wanted, answer) if wanted == answer => None,
        _ => differs(),
    }
}

/// The file with `expect` of these cases (place in the file, answer) rewritten; everything else stays byte for byte.
pub(super) fn blessed(path: &Path, text: &str, answers: &[(usize, Value)]) -> Result<String, ConformanceError> {
    let invalid = |why: String| ConformanceError::Fixture { path: path.to_owned(), why };
    let mut document: toml_edit::DocumentMut = text.parse().map_err(|error| invalid(format!("{error}")))?;
    let cases = document.get_mut("case").and_then(toml_edit::Item::as_array_of_tables_mut);
    let cases = cases.ok_or_else(|| invalid("write the cases as [[case]]".to_owned()))?;
    for (index, answer) in answers {
        let case = cases.get_mut(*index).ok_or_else(|| invalid(format!("case {index} vanished")))?;
        case.insert("expect", toml_edit::value(edit(answer)));
    }
    Ok(document.to_string())
}

fn edit(value: &Value) -> toml_edit::Value {
    match value {
        Value::Null => "none".into(),
        Value::Bool(value) => (*value).into(),
        Value::Number(number) => number.as_i64().map_or_else(|| number.to_string().into(), Into::into),
        Value::String(text) => text.as_str().into(),
        Value::Array(values) => toml_edit::Value::Array(values.iter().map(edit).collect()),
        Value::Object(object) => {
            let table: toml_edit::InlineTable = match object.len() {
                // A result or a variant, whose value may be none.
                1 => object.iter().map(|(name, value)| (name, edit(value))).collect(),
                _ => object
                    .iter()
                    .filter(|(_, value)| !value.is_null())
                    .map(|(name, value)| (name, edit(value)))
                    .collect(),
            };
            toml_edit::Value::InlineTable(table)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn answers_are_compared_whole_or_in_part() {
        let release = json!({ "ok": { "distro": "acme", "version": "1", "minor": null, "rolling": false } });
        let whole = |wanted: Value| Wanted::Whole(wanted).difference(&release);
        let part = |wanted: Value| Wanted::Part(wanted).difference(&release);
        assert_eq!(whole(json!({ "ok": { "distro": "acme", "version": "1", "rolling": false } })), None);
        assert_eq!(
            whole(json!({ "ok": { "distro": "acme", "version": "1" } })).unwrap(),
            "ok.rolling: want none, got false"
        );
        assert_eq!(part(json!({ "ok": { "version": "1" } })), None);
        assert_eq!(part(json!({ "ok": { "version": "2" } })).unwrap(), "ok.version: want \"2\", got \"1\"");
        assert_eq!(part(json!({ "ok": { "colour": "2" } })).unwrap(), "ok.colour: not in the answer");
        assert!(whole(json!({ "err": "internal" })).is_some());
        assert!(whole(json!({ "ok": "none" })).is_some());
        assert_eq!(Wanted::Whole(json!({ "ok": "none" })).difference(&json!({ "ok": null })), None);

        let error = json!({ "err": { "unsupported-release": "Acme 9" } });
        assert_eq!(Wanted::Whole(json!({ "err": "unsupported-release" })).difference(&error), None);
        assert_eq!(Wanted::Whole(json!({ "err": { "unsupported-release": "Acme 9" } })).difference(&error), None);
        assert!(Wanted::Whole(json!({ "err": "internal" })).difference(&error).is_some());
        assert!(Wanted::Whole(json!({ "err": { "unsupported-release": "x" } })).difference(&error).is_some());

        let list = json!({ "ok": ["a", "b", "c"] });
        assert_eq!(Wanted::Part(json!({ "ok": ["a", "c"] })).difference(&list), None);
        assert!(Wanted::Part(json!({ "ok": ["c", "a"] })).difference(&list).is_some());
        assert!(Wanted::Whole(json!({ "ok": ["a", "c"] })).difference(&list).is_some());
    }

    #[test]
    fn fixtures_are_read_with_the_files_beside_them() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("acme.os-release"), "ID=acme\n").unwrap();
        let path = dir.path().join("a.toml");
        let text = "[[case]]\nfunction = \"parse-release\"\ninput = { source = { os-release = { file = \"acme.os-release\" } } }\n\
                    expect = { ok = \"none\" }\n";
        fs::write(&path, text).unwrap();
        let cases = read_dir(dir.path()).unwrap();
        assert_eq!(cases[0].name, "case 1");
        assert_eq!(cases[0].input, json!({ "source": { "os-release": "ID=acme\n" } }));

        let bad = [
            "[[case]]\nfunction = \"explode\"\nexpect = 1\n",
            "[[case]]\nfunction = \"describe\"\n",
            "[[case]]\nfunction = \"describe\"\nexpect = 1\ncontains = 1\n",
            "[[case]]\nfunction = \"describe\"\nexpect = 1\ncolour = 1\n",
            "[[case]]\nfunction = \"parse-release\"\ninput = { source = { os-release = { file = \"../x\" } } }\nexpect = 1\n",
            "nonsense",
        ];
        for text in bad {
            fs::write(&path, text).unwrap();
            assert!(matches!(read_dir(dir.path()), Err(ConformanceError::Fixture { .. })), "text: {text}");
        }
    }

    #[test]
    fn blessing_changes_the_answer_and_nothing_else() {
        let text = "# Why this matters.\n[[case]]\nname = \"a\"   # first\nfunction = \"parse-release\"\nexpect = { ok = \"none\" }\n\n\
                    [[case]]\nfunction = \"describe\"\nexpect = { }\n";
        let answer = json!({ "ok": { "distro": "acme", "minor": null, "rolling": true } });
        let got = blessed(Path::new("a.toml"), text, &[(0, answer)]).unwrap();
        let want = text.replace("{ ok = \"none\" }", "{ ok = { distro = \"acme\", rolling = true } }");
        assert_eq!(got, want);
    }
}

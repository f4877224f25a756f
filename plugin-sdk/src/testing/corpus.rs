//! Real texts that name a release (`corpus/README.md`).

use alloc::{borrow::ToOwned, collections::BTreeMap, format, string::String, vec::Vec};
use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::{Native, value::from_toml};

/// A text of the corpus, and what it means.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Folder and place in its index: `fedora, release-line 3`.
    pub name: String,
    /// The function that is asked about it, `parse-release` or `guess-release`.
    pub function: &'static str,
    /// Its input.
    pub input: Value,
    /// The distribution that it is from.
    pub distro: String,
    /// The release; none: its plugin does not serve it, or (packages) the name does not tell.
    pub version: Option<String>,
    /// Point release.
    pub minor: Option<String>,
    /// The least that the plugin has to be sure of, for packages.
    pub confidence: Option<String>,
}

/// All texts of a folder.
#[derive(Clone, Debug, Default)]
pub struct Corpus {
    /// In the order of folders and indices.
    pub entries: Vec<Entry>,
}

impl Corpus {
    /// The corpus that comes with this crate.
    ///
    /// # Panics
    /// If it cannot be read.
    #[must_use]
    #[expect(clippy::panic, reason = "an assertion for tests")]
    pub fn shipped() -> Self {
        match Self::load(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/corpus"))) {
            Ok(corpus) => corpus,
            Err(error) => panic!("{error}"),
        }
    }

    /// Reads a corpus: one folder for each distribution.
    ///
    /// # Errors
    /// A file cannot be read, or an index breaks a rule: which, and why.
    pub fn load(folder: &Path) -> Result<Self, String> {
        let mut folders: Vec<PathBuf> = Vec::new();
        for entry in fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))? {
            let path = entry.map_err(|error| format!("{}: {error}", folder.display()))?.path();
            if path.is_dir() {
                folders.push(path);
            }
        }
        folders.sort();
        let mut corpus = Self::default();
        for folder in folders {
            let index = folder.join("index.toml");
            let text = fs::read_to_string(&index).map_err(|error| format!("{}: {error}", index.display()))?;
            corpus.read_index(&folder, &text).map_err(|error| format!("{}: {error}", index.display()))?;
        }
        Ok(corpus)
    }

    fn read_index(&mut self, folder: &Path, text: &str) -> Result<(), String> {
        let index: BTreeMap<String, Vec<BTreeMap<String, toml::Value>>> =
            toml::from_str(text).map_err(|error| format!("{error}"))?;
        let of = folder.file_name().unwrap_or_default().to_string_lossy();
        for (kind, entries) in &index {
            for (i, fields) in entries.iter().enumerate() {
                let place = format!("{kind} {}", i.saturating_add(1));
                let entry = read_entry(folder, kind, fields).map_err(|error| format!("{place}: {error}"))?;
                self.entries.push(Entry { name: format!("{of}, {place}"), ..entry });
            }
        }
        Ok(())
    }

    /// Asks the plugin about every text: its own ones must be recognised, foreign ones must not.
    ///
    /// # Panics
    /// If an answer is wrong: the text says which.
    pub fn check(&self, plugin: &Native) {
        let wrong = self.wrong(plugin);
        assert!(wrong.is_empty(), "{} answers are wrong\n{}", wrong.len(), wrong.join("\n"));
    }

    /// What is wrong with the plugin's answers.
    #[must_use]
    pub fn wrong(&self, plugin: &Native) -> Vec<String> {
        let own = own_distros(plugin);
        self.entries.iter().filter_map(|entry| wrong_answer(plugin, entry, own.contains(&entry.distro))).collect()
    }

    /// The plugin's answers to every text, as `[{"function", "input", "answer"}]`: what the component has to answer too.
    /// `repositories`, `debugger-for` and the functions without input are asked for every release and architecture.
    #[must_use]
    pub fn answers(&self, plugin: &Native) -> Value {
        let mut questions: Vec<(&str, Value)> = ["describe", "releases"].map(|name| (name, json!({}))).into();
        questions.extend(self.entries.iter().map(|entry| (entry.function, entry.input.clone())));
        let releases = plugin.call("releases", &Value::Null).unwrap_or_default();
        for entry in releases.as_array().into_iter().flatten() {
            let release = entry.get("release").cloned().unwrap_or_default();
            for arch in entry.get("architectures").and_then(Value::as_array).into_iter().flatten() {
                let input = json!({ "release": release, "arch": arch });
                questions.extend([("repositories", input.clone()), ("debugger-for", input)]);
            }
        }
        let answer = |(function, input): (&str, Value)| {
            let answer = plugin.call(function, &input);
            answer.ok().map(|answer| json!({ "function": function, "input": input, "answer": answer }))
        };
        questions.into_iter().filter_map(answer).collect()
    }
}

/// The plugin's `id` and aliases.
fn own_distros(plugin: &Native) -> Vec<String> {
    let description = plugin.call("describe", &Value::Null).unwrap_or_default();
    let aliases = description.get("aliases").and_then(Value::as_array).into_iter().flatten();
    let own = aliases.filter_map(Value::as_str).chain([plugin.id]);
    own.map(ToOwned::to_owned).collect()
}

fn read_entry(folder: &Path, kind: &str, fields: &BTreeMap<String, toml::Value>) -> Result<Entry, String> {
    let known: &[&str] = match kind {
        "os-release" => &["file", "distro", "version", "minor", "source"],
        "release-line" => &["text", "distro", "version", "minor", "source"],
        "named-file" => &["name", "text", "distro", "version", "minor", "source"],
        "package" => &["text", "vendor", "distro", "version", "minor", "confidence", "source"],
        _ => return Err("want os-release, release-line, named-file or package".to_owned()),
    };
    if let Some(unknown) = fields.keys().find(|key| !known.contains(&key.as_str())) {
        return Err(format!("{unknown}: unknown key; known are {}", known.join(", ")));
    }
    let text = |key: &str| match fields.get(key).map(from_toml) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("{key}: want a text")),
    };
    let needed = |key: &str| text(key)?.ok_or_else(|| format!("{key} is missing"));
    needed("source")?;
    let (function, input) = match kind {
        "os-release" => {
            let file = needed("file")?;
            let content = fs::read_to_string(folder.join(&file)).map_err(|error| format!("{file}: {error}"))?;
            ("parse-release", json!({ "source": { "os-release": content } }))
        }
        "release-line" => ("parse-release", json!({ "source": { "release-line": needed("text")? } })),
        "named-file" => ("parse-release", json!({ "source": { "named": [needed("name")?, needed("text")?] } })),
        _ => {
            let mut subject = json!({ "raw": needed("text")? });
            if let (Some(vendor), Value::Object(fields)) = (text("vendor")?, &mut subject) {
                fields.insert("vendor".to_owned(), Value::String(vendor));
            }
            ("guess-release", json!({ "subject": subject }))
        }
    };
    let (version, confidence) = (text("version")?, text("confidence")?);
    if kind == "package" && version.is_some() != confidence.is_some() {
        return Err("want both version and confidence, or neither".to_owned());
    }
    if confidence.as_deref().is_some_and(|word| strength(word).is_none()) {
        return Err("confidence: want weak, likely or certain".to_owned());
    }
    Ok(Entry {
        name: String::new(),
        function,
        input,
        distro: needed("distro")?,
        version,
        minor: text("minor")?,
        confidence,
    })
}

fn strength(confidence: &str) -> Option<u8> {
    match confidence {
        "weak" => Some(0),
        "likely" => Some(1),
        "certain" => Some(2),
        _ => None,
    }
}

fn wrong_answer(plugin: &Native, entry: &Entry, is_own: bool) -> Option<String> {
    let answer = match plugin.call(entry.function, &entry.input) {
        Ok(answer) => answer,
        Err(error) => return Some(format!("{}: {error}", entry.name)),
    };
    let found = answer.get("ok").filter(|found| !found.is_null());
    let release = if entry.function == "parse-release" { found } else { found.and_then(|guess| guess.get("release")) };
    let field = |name: &str| release.and_then(|release| release.get(name)).and_then(Value::as_str);
    let sure = found.and_then(|guess| guess.get("confidence")).and_then(Value::as_str).and_then(strength);
    let right = match (entry.function, is_own, &entry.version) {
        ("parse-release", false, _) => answer.get("ok").is_some_and(Value::is_null),
        (_, false, _) => sure.is_none_or(|sure| sure == 0),
        ("parse-release", true, None) => release.is_none(),
        (_, true, None) => true,
        (_, true, Some(version)) => {
            let wanted = entry.confidence.as_deref().and_then(strength);
            field("distro") == Some(&entry.distro)
                && field("version") == Some(version)
                && field("minor") == entry.minor.as_deref()
                && wanted.is_none_or(|wanted| sure.is_some_and(|sure| sure >= wanted))
        }
    };
    (!right).then(|| {
        let whose = if is_own { "own" } else { "foreign" };
        let wanted = json!({ "distro": entry.distro, "version": entry.version, "minor": entry.minor });
        format!("{} ({whose}): {}\n  wanted {wanted}\n  got    {answer}", entry.name, entry.input)
    })
}

//! The platform's corpus of real texts, `plugin-sdk/corpus`, built in.

use serde::Deserialize;

use super::ConformanceError;
use super::question::Question;
use crate::bindings::exports::retrace::distro::distribution as wit;

/// One folder of the corpus: name, `index.toml`, and the other files by name.
struct Folder {
    name: &'static str,
    index: &'static str,
    files: &'static [(&'static str, &'static str)],
}

include!(concat!(env!("OUT_DIR"), "/corpus.rs"));

/// A real text, and what it means.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// For messages: `fedora/fedora-40.os-release`.
    pub(super) origin: String,
    /// How a plugin is asked about it.
    pub(super) question: Question,
    /// The distribution.
    pub(super) distro: String,
    /// What the plugin of that distribution has to answer.
    pub(super) want: Want,
}

/// What the plugin of the distribution has to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Want {
    /// This release, from a text.
    Release { version: String, minor: Option<String> },
    /// A release that it does not serve: an error or none.
    NotServed,
    /// This release, from a package, at least this sure.
    Guess { version: String, minor: Option<String>, confidence: u8 },
    /// The package does not tell.
    Silent,
}

impl Want {
    pub(super) fn version(&self) -> Option<&str> {
        match self {
            Self::Release { version, .. } | Self::Guess { version, .. } => Some(version),
            Self::NotServed | Self::Silent => None,
        }
    }
}

/// Rank of a confidence: more is surer.
pub(super) fn rank(confidence: wit::Confidence) -> u8 {
    match confidence {
        wit::Confidence::Weak => 0,
        wit::Confidence::Likely => 1,
        wit::Confidence::Certain => 2,
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Index {
    #[serde(default)]
    os_release: Vec<OsRelease>,
    #[serde(default)]
    release_line: Vec<Line>,
    #[serde(default)]
    named_file: Vec<Named>,
    #[serde(default)]
    package: Vec<Package>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OsRelease {
    file: String,
    distro: String,
    version: Option<String>,
    minor: Option<String>,
    #[serde(rename = "source")]
    _source: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    text: String,
    distro: String,
    version: Option<String>,
    minor: Option<String>,
    #[serde(rename = "source")]
    _source: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    name: String,
    text: String,
    distro: String,
    version: Option<String>,
    minor: Option<String>,
    #[serde(rename = "source")]
    _source: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Package {
    text: String,
    vendor: Option<String>,
    distro: String,
    version: Option<String>,
    minor: Option<String>,
    confidence: Option<String>,
    #[serde(rename = "source")]
    _source: String,
}

/// Every entry, in the order of folders and files.
///
/// # Errors
/// An index is not as `plugin-sdk/corpus/README.md` says; a test of this crate finds that first.
pub(super) fn corpus() -> Result<Vec<Entry>, ConformanceError> {
    let mut entries = Vec::new();
    for folder in FOLDERS {
        let failed = |why: String| ConformanceError::Corpus { folder: folder.name.to_owned(), why };
        let index: Index = toml::from_str(folder.index).map_err(|error| failed(error.to_string()))?;
        read(folder, index, &mut entries).map_err(failed)?;
    }
    Ok(entries)
}

fn read(folder: &Folder, index: Index, entries: &mut Vec<Entry>) -> Result<(), String> {
    let named = |what: &str| format!("{}/{what}", folder.name);
    for item in index.os_release {
        let found = folder.files.iter().find(|(name, _)| *name == item.file);
        let (_, text) = found.ok_or_else(|| format!("there is no file {}", item.file))?;
        let want = want(item.version, item.minor);
        let question = Question::os_release(*text);
        entries.push(Entry { origin: named(&item.file), question, distro: item.distro, want });
    }
    for item in index.release_line {
        let (origin, want) = (named(&format!("{:?}", item.text)), want(item.version, item.minor));
        entries.push(Entry { origin, question: Question::release_line(item.text), distro: item.distro, want });
    }
    for item in index.named_file {
        let (origin, want) = (named(&item.name), want(item.version, item.minor));
        let question = Question::named(item.name, item.text);
        entries.push(Entry { origin, question, distro: item.distro, want });
    }
    for item in index.package {
        let confidence = match item.confidence.as_deref() {
            None | Some("weak") => 0,
            Some("likely") => 1,
            Some("certain") => 2,
            Some(other) => return Err(format!("{:?} is no confidence", other)),
        };
        let minor = item.minor;
        let want = item.version.map_or(Want::Silent, |version| Want::Guess { version, minor, confidence });
        let origin = named(&item.text);
        let subject = wit::PackageRef { raw: item.text, format: None, vendor: item.vendor };
        entries.push(Entry { origin, question: Question::GuessRelease(subject), distro: item.distro, want });
    }
    Ok(())
}

fn want(version: Option<String>, minor: Option<String>) -> Want {
    version.map_or(Want::NotServed, |version| Want::Release { version, minor })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corpus_is_as_its_readme_says() {
        let entries = corpus().unwrap();
        let count = |matches: fn(&Question) -> bool| entries.iter().filter(|entry| matches(&entry.question)).count();
        assert!(count(|question| matches!(question, Question::ParseRelease(wit::ReleaseSource::OsRelease(_)))) >= 8);
        for folder in FOLDERS {
            for (name, _) in folder.files {
                let origin = format!("{}/{name}", folder.name);
                assert!(entries.iter().any(|entry| entry.origin == origin), "{origin} is not in the index");
            }
        }
    }
}

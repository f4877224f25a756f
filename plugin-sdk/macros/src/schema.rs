//! The form of the file, before anything but its form is checked. What each key means: `docs/declarative.md`.

use std::collections::BTreeMap;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};

pub(crate) type Texts = Vec<String>;
pub(crate) type Table = BTreeMap<String, String>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Schema {
    pub(crate) plugin: Plugin,
    #[serde(default)]
    pub(crate) architectures: BTreeMap<String, Texts>,
    #[serde(default)]
    pub(crate) basearch: Table,
    #[serde(default)]
    pub(crate) defaults: Defaults,
    #[serde(default)]
    pub(crate) release: Vec<Release>,
    #[serde(default)]
    pub(crate) os_release: OsRelease,
    #[serde(default)]
    pub(crate) release_line: ReleaseLine,
    #[serde(default)]
    pub(crate) files: BTreeMap<String, FileKind>,
    #[serde(default)]
    pub(crate) guess: Vec<Guess>,
    #[serde(default)]
    pub(crate) keys: BTreeMap<String, Key>,
    #[serde(default)]
    pub(crate) mirrors: BTreeMap<String, Vec<Mirror>>,
    #[serde(default)]
    pub(crate) repository: Vec<Repository>,
    #[serde(default)]
    pub(crate) debugger: Vec<Debugger>,
    #[serde(default)]
    pub(crate) debug_package: Vec<DebugPackage>,
    #[serde(default)]
    pub(crate) kernel: Vec<Kernel>,
    #[serde(default)]
    pub(crate) environment_advice: Vec<Advice>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Plugin {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) aliases: Texts,
    pub(crate) name: String,
    pub(crate) format: Format,
    #[serde(default)]
    pub(crate) annotations: Table,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Format {
    Rpm,
    Deb,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Defaults {
    pub(crate) architectures: Option<Texts>,
    #[serde(default)]
    pub(crate) minors: bool,
    pub(crate) keys: Option<Texts>,
    pub(crate) signatures: Option<Vec<Signature>>,
    pub(crate) title: Option<String>,
    #[serde(default)]
    pub(crate) config: Table,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Release {
    pub(crate) version: String,
    pub(crate) distro: Option<String>,
    pub(crate) codename: Option<String>,
    #[serde(default)]
    pub(crate) rolling: bool,
    pub(crate) minors: Option<bool>,
    pub(crate) title: Option<String>,
    pub(crate) architectures: Option<Texts>,
    pub(crate) end_of_life: Option<String>,
    pub(crate) keys: Option<Texts>,
    #[serde(default)]
    pub(crate) vars: Table,
    #[serde(default)]
    pub(crate) annotations: Table,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct OsRelease {
    pub(crate) version_keys: Texts,
    pub(crate) codename_keys: Texts,
    pub(crate) full_version_keys: Texts,
    pub(crate) rule: Vec<Rule>,
}

impl Default for OsRelease {
    fn default() -> Self {
        Self {
            version_keys: vec!["VERSION_ID".to_owned()],
            codename_keys: vec!["VERSION_CODENAME".to_owned()],
            full_version_keys: vec![],
            rule: vec![],
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ReleaseLine {
    pub(crate) names: Texts,
    pub(crate) rule: Vec<Rule>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    pub(crate) when: Table,
    pub(crate) release: Option<String>,
    pub(crate) ours: Option<bool>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum FileKind {
    ReleaseLine,
    OsRelease,
    Version,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Guess {
    pub(crate) tag: String,
    pub(crate) release: Option<String>,
    pub(crate) releases: Option<Texts>,
    pub(crate) confidence: Confidence,
    #[serde(default)]
    pub(crate) vendors: Texts,
    #[serde(default)]
    pub(crate) other_vendors: OtherVendors,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Confidence {
    Weak,
    Likely,
    Certain,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum OtherVendors {
    #[default]
    Keep,
    Weak,
    None,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Key {
    pub(crate) path: String,
    pub(crate) fingerprint: Option<String>,
}

/// A URL, or a table with one.
#[derive(Debug)]
pub(crate) struct Mirror {
    pub(crate) url: String,
    pub(crate) releases: Option<Texts>,
    pub(crate) architectures: Option<Texts>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MirrorTable {
    url: String,
    releases: Option<Texts>,
    architectures: Option<Texts>,
}

impl<'de> Deserialize<'de> for Mirror {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct UrlOrTable;
        impl<'de> Visitor<'de> for UrlOrTable {
            type Value = Mirror;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a URL or a table { url, releases, architectures }")
            }

            fn visit_str<E>(self, url: &str) -> Result<Mirror, E> {
                Ok(Mirror { url: url.to_owned(), releases: None, architectures: None })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Mirror, A::Error> {
                let MirrorTable { url, releases, architectures } =
                    MirrorTable::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Mirror { url, releases, architectures })
            }
        }
        deserializer.deserialize_any(UrlOrTable)
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Repository {
    pub(crate) id: String,
    pub(crate) title: Option<String>,
    pub(crate) content: Content,
    pub(crate) from: Option<String>,
    pub(crate) path: Option<String>,
    pub(crate) mirrors: Option<Vec<Mirror>>,
    pub(crate) releases: Option<Texts>,
    pub(crate) architectures: Option<Texts>,
    pub(crate) layout: Option<Layout>,
    pub(crate) suite: Option<String>,
    pub(crate) components: Option<Texts>,
    pub(crate) signatures: Option<Vec<Signature>>,
    pub(crate) keys: Option<Texts>,
    #[serde(default)]
    pub(crate) config: Table,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Content {
    Packages,
    DebugInfo,
    Sources,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Layout {
    RpmMd,
    Deb,
    Directory,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Signature {
    Metadata,
    Packages,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Debugger {
    pub(crate) releases: Option<Texts>,
    pub(crate) architectures: Option<Texts>,
    pub(crate) packages: Texts,
    pub(crate) path: String,
    pub(crate) environment: Environment,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Environment {
    Sysroot,
    Chroot,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DebugPackage {
    pub(crate) names: Texts,
    pub(crate) packages: Texts,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kernel {
    pub(crate) uname: String,
    pub(crate) architectures: Option<Texts>,
    pub(crate) packages: Texts,
    pub(crate) vmlinux: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Advice {
    pub(crate) releases: Option<Texts>,
    pub(crate) architectures: Option<Texts>,
    pub(crate) wanted: Option<Texts>,
    pub(crate) packages: Texts,
}

/// Reads the form; the error names line and key.
pub(crate) fn parse(text: &str) -> Result<Schema, String> {
    let line_of = |error: &toml::de::Error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        before.matches('\n').count().saturating_add(1)
    };
    let deserializer = toml::Deserializer::parse(text)
        .map_err(|error| format!("line {}: {}", line_of(&error), error.message().replace('\n', ", ")))?;
    serde_path_to_error::deserialize(deserializer).map_err(|error| {
        let (path, inner) = (error.path().to_string(), error.inner());
        let place = if path == "." { String::new() } else { format!("{path}: ") };
        format!("line {}: {place}{}", line_of(inner), inner.message().replace('\n', ", "))
    })
}

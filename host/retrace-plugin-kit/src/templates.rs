//! The files of a new plugin: a small distribution that works at once, to be changed into a real one.
//!
//! All templates make the same distribution, with the same answers to every question; a test of the whole compares them.

mod files;

use std::{
    fs,
    path::{Path, PathBuf},
    str::FromStr,
};

use retrace_types::DistroId;

use crate::KitError;

/// What a new plugin starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Template {
    /// Rust without `std`, for `wasm32-wasip2`: needs nothing but cargo.
    Rust,
    /// Rust with `std`, for `wasm32-unknown-unknown`.
    RustStd,
    /// A TOML file, checked when it is compiled; no code.
    Declarative,
    /// C, by clang.
    C,
    /// JavaScript, by jco; QuickJS inside.
    JavaScript,
    /// Python, by componentize-py; CPython inside.
    Python,
}

impl Template {
    /// All of them, the usual one first.
    pub const ALL: [Self; 6] = [Self::Rust, Self::RustStd, Self::Declarative, Self::C, Self::JavaScript, Self::Python];

    /// As on the command line: `rust-std`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::RustStd => "rust-std",
            Self::Declarative => "declarative",
            Self::C => "c",
            Self::JavaScript => "javascript",
            Self::Python => "python",
        }
    }

    /// Whether the plugin is a crate that uses the SDK.
    #[must_use]
    pub fn uses_sdk(self) -> bool {
        matches!(self, Self::Rust | Self::RustStd | Self::Declarative)
    }

    /// What has to be installed to build it, for people.
    #[must_use]
    pub fn needs(self) -> &'static str {
        match self {
            Self::Rust | Self::Declarative => "Rust with the target wasm32-wasip2 (`rustup target add wasm32-wasip2`)",
            Self::RustStd => "Rust with the target wasm32-unknown-unknown (`rustup target add wasm32-unknown-unknown`)",
            Self::C => "clang, lld, wasi-libc and libclang-rt-dev-wasm32 (Debian's names)",
            Self::JavaScript => "Node.js 20 and, in this folder, jco (`npm install`)",
            Self::Python => {
                "Python 3.11 and, in this folder, componentize-py (`python3 -m venv .venv && .venv/bin/pip install -r \
                 requirements.txt`)"
            }
        }
    }
}

impl FromStr for Template {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = || Self::ALL.map(Self::name).join(", ");
        Self::ALL.into_iter().find(|template| template.name() == text).ok_or_else(|| format!("want one of {}", names()))
    }
}

/// Version of the SDK that new plugins ask the registry for: that of this checkout, or a later one that fits.
pub const SDK_VERSION: &str = "1.0.0";

/// Where a crate takes the SDK from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sdk {
    /// A folder `plugin-sdk` of a checkout.
    Path(PathBuf),
    /// The registry, in [`SDK_VERSION`].
    Registry,
}

impl Sdk {
    /// The SDK in this folder.
    ///
    /// # Errors
    /// [`KitError::NotTheSdk`] if it is not there.
    pub fn at(dir: &Path) -> Result<Self, KitError> {
        let refused = || KitError::NotTheSdk { path: dir.to_owned() };
        let manifest = fs::read_to_string(dir.join("Cargo.toml")).map_err(|_| refused())?;
        if !manifest.contains("name = \"retrace-plugin-sdk\"") {
            return Err(refused());
        }
        fs::canonicalize(dir).map(Self::Path).map_err(KitError::file("read", dir))
    }

    /// The SDK of the checkout that `dir` lies in, else the registry's.
    #[must_use]
    pub fn near(dir: &Path) -> Self {
        dir.ancestors().find_map(|dir| Self::at(&dir.join("plugin-sdk")).ok()).unwrap_or(Self::Registry)
    }

    /// The right side of the dependency in `Cargo.toml`, for a plugin with or without std.
    fn dependency(&self, std: bool) -> String {
        let source = match self {
            // A JSON string is a TOML basic string.
            Self::Path(path) => format!("path = {}", serde_json::Value::from(path.to_string_lossy())),
            Self::Registry => format!("version = \"{SDK_VERSION}\""),
        };
        format!("{{ {source}{} }}", if std { ", features = [\"std\"]" } else { "" })
    }

    /// The versions that the SDK was tested with, where they are known: cargo takes from it what the plugin needs.
    fn lock_file(&self) -> Option<String> {
        let Self::Path(path) = self else { return None };
        fs::read_to_string(path.parent()?.join("Cargo.lock")).ok()
    }
}

/// A plugin to be.
#[derive(Clone, Debug)]
pub struct NewPlugin {
    id: DistroId,
    name: String,
    template: Template,
    sdk: Sdk,
}

impl NewPlugin {
    /// `name` is shown to people; without one it is made of the id: "Acme Linux".
    ///
    /// # Errors
    /// [`KitError::InvalidName`] if the name would not be understood in a source file.
    pub fn new(id: DistroId, name: Option<&str>, template: Template, sdk: Sdk) -> Result<Self, KitError> {
        let name = name.map_or_else(|| default_name(id.as_str()), str::to_owned);
        let is_plain = |c: char| c.is_ascii_alphanumeric() || " ._/()+-".contains(c);
        if name.is_empty() || name.len() > 128 || name.trim() != name || !name.chars().all(is_plain) {
            return Err(KitError::InvalidName { name: name.chars().take(64).collect() });
        }
        Ok(Self { id, name, template, sdk })
    }

    /// The files: path below the plugin's folder, and text.
    #[must_use]
    pub fn files(&self) -> Vec<(String, String)> {
        let mut files: Vec<_> =
            files::of(self.template).into_iter().map(|(path, text)| (self.fill_in(path), self.fill_in(text))).collect();
        if self.template.uses_sdk() {
            files.extend(self.sdk.lock_file().map(|text| ("Cargo.lock".to_owned(), text)));
        }
        files
    }

    /// Writes the files into a new folder. It appears with all of them or not at all.
    ///
    /// # Errors
    /// [`KitError::Exists`] if anything is there; [`KitError::File`].
    pub fn write(&self, dir: &Path) -> Result<(), KitError> {
        if dir.symlink_metadata().is_ok() {
            return Err(KitError::Exists { path: dir.to_owned() });
        }
        let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let scratch = tempfile::Builder::new().prefix(".new-plugin-").tempdir_in(parent);
        let scratch = scratch.map_err(KitError::file("write into", parent))?;
        for (name, text) in self.files() {
            let path = scratch.path().join(name);
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder).map_err(KitError::file("make", folder))?;
            }
            fs::write(&path, text).map_err(KitError::file("write", &path))?;
        }
        // mkdir(2) decides if two run at once; renaming onto an empty folder replaces just that.
        fs::create_dir(dir).map_err(|source| match source.kind() {
            std::io::ErrorKind::AlreadyExists => KitError::Exists { path: dir.to_owned() },
            _ => KitError::file("make", dir)(source),
        })?;
        fs::rename(scratch.keep(), dir).map_err(KitError::file("write", dir))
    }

    fn fill_in(&self, text: &str) -> String {
        let id = self.id.as_str();
        let tag: String = id.chars().filter(char::is_ascii_alphanumeric).collect();
        let (no_std, target) = match self.template {
            Template::RustStd => ("", "\n[package.metadata.retrace]\ntarget = \"wasm32-unknown-unknown\"\n"),
            _ => ("#![cfg_attr(target_family = \"wasm\", no_std)]\n", ""),
        };
        text.replace("@CRATE@", &format!("retrace-plugin-{}", id.replace('.', "-")))
            .replace("@LIBRARY@", &format!("retrace_plugin_{}", id.replace(['.', '-'], "_")))
            .replace("@NAME@", &self.name)
            .replace("@TAG@", &tag)
            .replace("@ID@", id)
            .replace("@SDK@", &self.sdk.dependency(self.template == Template::RustStd))
            .replace("@NO_STD@\n", no_std)
            .replace("@TARGET@\n", target)
            .replace("@TEMPLATE@", self.template.name())
            .replace("@NEEDS@", self.template.needs())
            .replace("@GITHUB_SETUP@\n", &ci_lines("      - run: ", self.template))
            .replace("@GITLAB_SETUP@\n", &ci_lines("    - ", self.template))
    }
}

/// The commands that bring a template's tools onto a Debian or Ubuntu machine with Rust, one line each.
fn ci_lines(start: &str, template: Template) -> String {
    let commands: &[&str] = match template {
        Template::Rust | Template::Declarative => &["rustup target add wasm32-wasip2"],
        Template::RustStd => &["rustup target add wasm32-unknown-unknown"],
        Template::C => &[
            "$(command -v sudo) apt-get update",
            "$(command -v sudo) apt-get install -y clang lld wasi-libc libclang-rt-dev-wasm32",
        ],
        Template::JavaScript => &["command -v npm || (apt-get update && apt-get install -y nodejs npm)", "npm install"],
        Template::Python => &["python3 -m venv .venv", ".venv/bin/pip install -r requirements.txt"],
    };
    commands.iter().map(|command| format!("{start}{command}\n")).collect()
}

/// "Acme Linux" for `acme`.
fn default_name(id: &str) -> String {
    let mut chars = id.chars();
    let first = chars.next().map(|c| c.to_ascii_uppercase());
    format!("{}{} Linux", first.map(String::from).unwrap_or_default(), chars.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Language;

    fn plugin(id: &str, template: Template) -> NewPlugin {
        NewPlugin::new(id.parse().unwrap(), None, template, Sdk::Registry).unwrap()
    }

    #[test]
    fn every_template_is_complete_and_nothing_is_left_to_fill_in() {
        for template in Template::ALL {
            let files = plugin("acme-os.2", template).files();
            let names: Vec<_> = files.iter().map(|(name, _)| name.as_str()).collect();
            for wanted in ["Makefile", "README.md", ".gitignore", ".github/workflows/plugin.yml", ".gitlab-ci.yml"] {
                assert!(names.contains(&wanted), "{template:?} has no {wanted}: {names:?}");
            }
            assert!(names.iter().any(|name| name.starts_with("fixtures/")), "{template:?}: {names:?}");
            assert!(Language::ALL.iter().any(|language| names.contains(&language.main_file())), "{template:?}");
            for (name, text) in &files {
                for marker in [
                    "@ID@",
                    "@NAME@",
                    "@TAG@",
                    "@CRATE@",
                    "@LIBRARY@",
                    "@SDK@",
                    "@NO_STD@",
                    "@TARGET@",
                    "@TEMPLATE@",
                    "@NEEDS@",
                    "@GITHUB_SETUP@",
                    "@GITLAB_SETUP@",
                ] {
                    assert!(!text.contains(marker) && !name.contains(marker), "{template:?}: {marker} in {name}");
                }
            }
        }
    }

    #[test]
    fn new_plugins_ask_for_the_sdk_of_this_checkout() {
        let manifest: toml::Table = include_str!("../../../plugin-sdk/Cargo.toml").parse().unwrap();
        assert_eq!(manifest["package"]["version"].as_str(), Some(SDK_VERSION));
    }

    #[test]
    fn manifests_are_toml_and_name_crate_sdk_and_target() {
        for (template, target) in [(Template::Rust, None), (Template::RustStd, Some("wasm32-unknown-unknown"))] {
            let files = plugin("acme.os", template).files();
            let (_, manifest) = files.iter().find(|(name, _)| name == "Cargo.toml").unwrap();
            let manifest: toml::Table = manifest.parse().unwrap();
            assert_eq!(manifest["package"]["name"].as_str(), Some("retrace-plugin-acme-os"));
            let sdk = &manifest["dependencies"]["retrace-plugin-sdk"];
            assert_eq!(sdk["version"].as_str(), Some(SDK_VERSION));
            assert_eq!(sdk.get("features").is_some(), template == Template::RustStd);
            let metadata = manifest["package"].get("metadata");
            let found = metadata.and_then(|metadata| metadata.get("retrace")?.get("target")?.as_str());
            assert_eq!(found, target, "{template:?}");
        }
    }

    #[test]
    fn a_plugin_without_the_sdk_says_what_it_is() {
        for template in Template::ALL {
            let files = plugin("acme.os", template).files();
            let manifest = files.iter().find(|(name, _)| name == crate::MANIFEST);
            assert_eq!(manifest.is_some(), !template.uses_sdk(), "{template:?}");
            if let Some((_, text)) = manifest {
                let manifest: toml::Table = text.parse().unwrap();
                assert_eq!((manifest["id"].as_str(), manifest["version"].as_str()), (Some("acme.os"), Some("0.1.0")));
            }
        }
    }

    #[test]
    fn a_path_with_quotes_stays_a_path() {
        let sdk = Sdk::Path(PathBuf::from("/a \"b\"\\c"));
        let text = format!("sdk = {}", sdk.dependency(true));
        let table: toml::Table = text.parse().unwrap();
        assert_eq!(table["sdk"]["path"].as_str(), Some("/a \"b\"\\c"));
    }

    #[test]
    fn names_that_break_a_source_file_are_refused() {
        let with = |name: &str| NewPlugin::new("acme".parse().unwrap(), Some(name), Template::C, Sdk::Registry);
        for name in ["Acme", "Acme Linux 2.0 (beta)", "A/B+C_d-e"] {
            assert!(with(name).is_ok(), "{name}");
        }
        for name in ["", " Acme", "A\"; drop", "A\\", "A\nB", "Äcme", "@ID@", "{}", &"a".repeat(129)] {
            assert!(matches!(with(name), Err(KitError::InvalidName { .. })), "{name}");
        }
    }

    #[test]
    fn nothing_is_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let plugin = plugin("acme", Template::Python);
        let (file, folder, new) = (dir.path().join("file"), dir.path().join("folder"), dir.path().join("new"));
        fs::write(&file, "mine").unwrap();
        fs::create_dir(&folder).unwrap();
        for taken in [&file, &folder] {
            assert!(matches!(plugin.write(taken), Err(KitError::Exists { .. })));
        }
        plugin.write(&new).unwrap();
        assert!(matches!(plugin.write(&new), Err(KitError::Exists { .. })));
        assert!(new.join("distribution.py").is_file());
        assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3, "it left something");
    }

    #[test]
    fn the_sdk_is_found_in_a_checkout() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let Sdk::Path(found) = Sdk::near(here) else { panic!("it was not found") };
        assert!(found.ends_with("plugin-sdk"));
        assert_eq!(Sdk::near(Path::new("/")), Sdk::Registry);
        assert!(matches!(Sdk::at(here), Err(KitError::NotTheSdk { .. })));
    }
}

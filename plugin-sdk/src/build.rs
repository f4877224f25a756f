//! Values of the contract that keep its grammar: what a constructor here returns, the host accepts.
//!
//! The fields stay public, for reading and for tests; a value put together by hand is checked by the host alone.

use alloc::{
    string::{String, ToString},
    vec,
    vec::Vec,
};
use core::fmt;

use crate::{
    DebSuite, Debugger, Description, Environment, KeyFile, PackageFormat, PackageId, PackageKind, Release,
    ReleaseEntry, Repository, RepositoryContent, RepositoryLayout, Signatures,
    grammar::{self, Problem},
};

/// A value that breaks the contract: which field, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid(Problem);

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl core::error::Error for Invalid {}

impl From<Problem> for Invalid {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

/// An invalid value of the plugin is the plugin's defect.
impl From<Invalid> for crate::CallError {
    fn from(invalid: Invalid) -> Self {
        Self::Internal(invalid.to_string())
    }
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().copied().map(String::from).collect()
}

impl Description {
    /// A description without aliases and annotations.
    ///
    /// # Errors
    /// `id` or `name` breaks the contract's grammar.
    pub fn new(id: &str, name: &str, format: PackageFormat, plugin_version: &str) -> Result<Self, Invalid> {
        grammar::id("description.id", id)?;
        grammar::title("description.name", name)?;
        Ok(Self {
            id: id.into(),
            aliases: vec![],
            name: name.into(),
            format,
            plugin_version: plugin_version.into(),
            annotations: vec![],
        })
    }

    /// With further ids of os-release.
    ///
    /// # Errors
    /// One of them breaks the grammar.
    pub fn with_aliases(mut self, aliases: &[&str]) -> Result<Self, Invalid> {
        for alias in aliases {
            grammar::id("description.aliases", alias)?;
        }
        self.aliases = owned(aliases);
        Ok(self)
    }
}

impl Release {
    /// A release without minor and code name that is not rolling.
    ///
    /// # Errors
    /// `distro` or `version` breaks the contract's grammar.
    pub fn new(distro: &str, version: &str) -> Result<Self, Invalid> {
        grammar::id("release.distro", distro)?;
        grammar::version("release.version", version)?;
        Ok(Self { distro: distro.into(), version: version.into(), minor: None, codename: None, rolling: false })
    }

    /// With a point release.
    ///
    /// # Errors
    /// It breaks the grammar of versions.
    pub fn with_minor(mut self, minor: &str) -> Result<Self, Invalid> {
        grammar::version("release.minor", minor)?;
        self.minor = Some(minor.into());
        Ok(self)
    }

    /// With a code name.
    ///
    /// # Errors
    /// It breaks the grammar of versions.
    pub fn with_codename(mut self, codename: &str) -> Result<Self, Invalid> {
        grammar::version("release.codename", codename)?;
        self.codename = Some(codename.into());
        Ok(self)
    }

    /// Never frozen.
    #[must_use]
    pub fn into_rolling(mut self) -> Self {
        self.rolling = true;
        self
    }
}

impl ReleaseEntry {
    /// An entry without end of life and annotations.
    ///
    /// # Errors
    /// The title is empty or too long, there is no architecture, or one breaks the grammar.
    pub fn new(release: Release, title: &str, architectures: &[&str]) -> Result<Self, Invalid> {
        grammar::title("release-entry.title", title)?;
        if architectures.is_empty() {
            grammar::problem("release-entry.architectures", "is empty")?;
        }
        for name in architectures {
            grammar::architecture("release-entry.architectures", name)?;
        }
        Ok(Self {
            release,
            title: title.into(),
            architectures: owned(architectures),
            end_of_life: None,
            annotations: vec![],
        })
    }

    /// With an end of life, `YYYY-MM-DD`.
    ///
    /// # Errors
    /// There is no such day.
    pub fn with_end_of_life(mut self, date: &str) -> Result<Self, Invalid> {
        grammar::date("release-entry.end-of-life", date)?;
        self.end_of_life = Some(date.into());
        Ok(self)
    }
}

impl KeyFile {
    /// A key file; the first part of the path is one of `owners`, the plugin's `id` and aliases.
    ///
    /// # Errors
    /// The path leaves the folders of the owners, or the fingerprint is none.
    pub fn new(path: &str, fingerprint: Option<&str>, owners: &[&str]) -> Result<Self, Invalid> {
        grammar::key_path("key-file.path", path, owners)?;
        if let Some(fingerprint) = fingerprint {
            grammar::fingerprint("key-file.fingerprint", fingerprint)?;
        }
        Ok(Self { path: path.into(), fingerprint: fingerprint.map(String::from) })
    }
}

impl DebSuite {
    /// A part of a Debian archive.
    ///
    /// # Errors
    /// Suite or component breaks the grammar, or there is no component.
    pub fn new(suite: &str, components: &[&str]) -> Result<Self, Invalid> {
        grammar::archive_path("deb-suite.suite", suite)?;
        if components.is_empty() {
            grammar::problem("deb-suite.components", "is empty")?;
        }
        for component in components {
            grammar::archive_path("deb-suite.components", component)?;
        }
        Ok(Self { suite: suite.into(), components: owned(components) })
    }
}

impl Repository {
    /// A repository where nothing is signed. Mirrors are checked once their variables have values:
    /// [`expand_preview`](crate::expand_preview).
    ///
    /// # Errors
    /// Id or title breaks the grammar, or there is no mirror.
    pub fn new(
        id: &str,
        title: &str,
        layout: RepositoryLayout,
        content: RepositoryContent,
        mirrors: &[&str],
    ) -> Result<Self, Invalid> {
        grammar::id("repository.id", id)?;
        grammar::title("repository.title", title)?;
        if mirrors.is_empty() {
            grammar::problem("repository.mirrors", "is empty")?;
        }
        Ok(Self {
            id: id.into(),
            title: title.into(),
            layout,
            content,
            mirrors: owned(mirrors),
            signatures: Signatures::empty(),
            keys: vec![],
            config: vec![],
        })
    }

    /// With what has to be signed, and by whom.
    ///
    /// # Errors
    /// Something is to be signed, and there is no key.
    pub fn signed(mut self, signatures: Signatures, keys: Vec<KeyFile>) -> Result<Self, Invalid> {
        if keys.is_empty() && !signatures.is_empty() {
            grammar::problem("repository.keys", "is empty, but something must be signed")?;
        }
        (self.signatures, self.keys) = (signatures, keys);
        Ok(self)
    }

    /// With settings of this repository alone.
    ///
    /// # Errors
    /// A key or value breaks the grammar of annotations.
    pub fn with_config(mut self, config: &[(&str, &str)]) -> Result<Self, Invalid> {
        self.config = config.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        grammar::annotations("repository.config", self.config.iter().map(|(key, value)| (key, value)))?;
        Ok(self)
    }
}

impl Debugger {
    /// The debugger of a distribution; the first package holds it.
    ///
    /// # Errors
    /// There is no package, a name is none, or the path is not absolute.
    pub fn new(packages: &[&str], path: &str, environment: Environment) -> Result<Self, Invalid> {
        if packages.is_empty() {
            grammar::problem("debugger.packages", "is empty")?;
        }
        for name in packages {
            grammar::package("debugger.packages", name)?;
        }
        grammar::absolute("debugger.path", path)?;
        Ok(Self { packages: owned(packages), path: path.into(), environment })
    }
}

impl PackageId {
    /// A package without epoch and release.
    ///
    /// # Errors
    /// Name, version or architecture breaks the grammar.
    pub fn new(name: &str, version: &str, arch: &str, kind: PackageKind) -> Result<Self, Invalid> {
        grammar::package("package-id.name", name)?;
        grammar::package("package-id.version", version)?;
        grammar::architecture("package-id.arch", arch)?;
        Ok(Self { name: name.into(), epoch: None, version: version.into(), release: None, arch: arch.into(), kind })
    }

    /// With a revision of the distribution.
    ///
    /// # Errors
    /// It breaks the grammar.
    pub fn with_release(mut self, release: &str) -> Result<Self, Invalid> {
        grammar::package("package-id.release", release)?;
        self.release = Some(release.into());
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    #[test]
    fn what_breaks_the_contract_is_named() {
        let release = Release::new("acme", "3").unwrap();
        let rpm_md = || RepositoryLayout::RpmMd;
        let errors = [
            (Release::new("Acme", "3").err(), "release.distro: \"Acme\": want [a-z0-9]"),
            (Release::new("acme", "").err(), "release.version: \"\": want"),
            (release.clone().with_minor("a b").err(), "release.minor: \"a b\": want"),
            (release.clone().with_codename("~x").err(), "release.codename: \"~x\" has to begin"),
            (Description::new("a", "", PackageFormat::Rpm, "1.0.0").err(), "description.name: is empty"),
            (ReleaseEntry::new(release.clone(), "A", &[]).err(), "release-entry.architectures: is empty"),
            (
                ReleaseEntry::new(release, "A", &["x86_64"]).unwrap().with_end_of_life("2024-13-01").err(),
                "release-entry.end-of-life: \"2024-13-01\" is no date",
            ),
            (KeyFile::new("debian/a.asc", None, &["acme"]).err(), "key-file.path: \"debian/a.asc\" has to lie in"),
            (
                KeyFile::new("acme/a.asc", Some("abc"), &["acme"]).err(),
                "key-file.fingerprint: \"abc\" is no fingerprint",
            ),
            (DebSuite::new("a//b", &["main"]).err(), "deb-suite.suite: \"a//b\": want a relative path"),
            (DebSuite::new("a", &[]).err(), "deb-suite.components: is empty"),
            (
                Repository::new("a", "A", rpm_md(), RepositoryContent::Packages, &[]).err(),
                "repository.mirrors: is empty",
            ),
            (
                Repository::new("a", "A", rpm_md(), RepositoryContent::Packages, &["https://a.example/"])
                    .unwrap()
                    .signed(Signatures::PACKAGES, vec![])
                    .err(),
                "repository.keys: is empty, but something must be signed",
            ),
            (
                Debugger::new(&["gdb"], "gdb", Environment::Chroot).err(),
                "debugger.path: \"gdb\": want an absolute path",
            ),
            (PackageId::new("a/b", "1", "noarch", PackageKind::Binary).err(), "package-id.name: \"a/b\": want"),
        ];
        for (error, want) in errors {
            let error = error.map(|error| error.to_string()).unwrap_or_default();
            assert!(error.starts_with(want), "{error:?}, wanted {want:?}");
        }
    }

    #[test]
    fn an_invalid_value_is_the_plugin_s_defect() {
        let error: crate::CallError = Release::new("Acme", "3").unwrap_err().into();
        assert!(
            matches!(error, crate::CallError::Internal(text) if text.contains("release.distro")),
            "{}",
            format!("x")
        );
    }
}

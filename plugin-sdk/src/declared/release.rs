//! The release that a text names.

use alloc::{format, string::String};

use super::{
    data::{Data, FileKind, ReleaseData, Rule, Then},
    pattern::{expand, matches},
};
use crate::{CallError, OsRelease, Release, ReleaseSource};

/// Most bytes of a version in a text: longer ones are looked up nowhere.
const MAX_VERSION_BYTES: usize = 128;

/// What a text says about the release, for the rules to look at.
struct Told<'a> {
    /// The distribution whose releases are looked at first.
    distro: &'a str,
    /// Whether others are looked at too.
    others: bool,
    version: Option<&'a str>,
}

impl Data {
    /// The release of the machine that crashed; `None`: not this distribution.
    ///
    /// # Errors
    /// This distribution, but the text names no release, or one that is not served.
    pub fn parse_release(&self, source: &ReleaseSource) -> Result<Option<Release>, CallError> {
        match source {
            ReleaseSource::OsRelease(text) => self.read_os_release(text),
            ReleaseSource::ReleaseLine(line) => self.read_line(line),
            ReleaseSource::Named((name, text)) => {
                let name = name.rsplit('/').next().unwrap_or(name);
                match self.files.iter().find(|(file, _)| *file == name) {
                    Some((_, FileKind::ReleaseLine)) => self.read_line(text),
                    Some((_, FileKind::OsRelease)) => self.read_os_release(text),
                    Some((_, FileKind::Version)) => Ok(self.read_version(text.trim())),
                    None => Ok(None),
                }
            }
        }
    }

    fn read_os_release(&self, text: &str) -> Result<Option<Release>, CallError> {
        let os = OsRelease::parse(text);
        let Some(id) = os.get("ID").filter(|id| *id == self.id || self.aliases.contains(id)) else { return Ok(None) };
        let is_own = self.releases.iter().any(|release| release.distro == id);
        let told = Told {
            distro: if is_own { id } else { self.id },
            others: !is_own,
            version: self.version_keys.iter().find_map(|key| os.get(key)),
        };
        if let Some(answer) = self.by_rules(self.os_release_rules, &told, |key| os.get(key)) {
            return answer;
        }
        if let Some(version) = told.version {
            let (release, minor) = self.by_version(&told, version).ok_or_else(|| self.unsupported(version))?;
            let minor = minor.or_else(|| {
                let mut words = self.full_version_keys.iter().filter_map(|key| os.words(key).next());
                words.find_map(|word| minor_of(release, word.strip_prefix(version)?.strip_prefix('.')?))
            });
            return Ok(Some(release.record(minor)));
        }
        match self.codename_keys.iter().find_map(|key| os.get(key)) {
            Some(codename) => {
                let release = self.by_codename(&told, codename).ok_or_else(|| self.unsupported(codename))?;
                Ok(Some(release.record(None)))
            }
            None => {
                let keys = self.version_keys.join(" or ");
                let text = format!("os-release of {} without {keys}: name the release", self.name);
                Err(CallError::MalformedInput(text))
            }
        }
    }

    fn read_line(&self, text: &str) -> Result<Option<Release>, CallError> {
        let line = text.trim_start().split(['\n', '\r']).next().unwrap_or_default().trim();
        let by_line = self.line_rules.iter().filter(|rule| rule.when.iter().all(|(key, _)| *key == "line"));
        let told = Told { distro: self.id, others: true, version: None };
        for rule in by_line {
            // A template wants the version, which is known further down.
            if !matches!(rule.then, Then::Template { .. })
                && let Some(answer) = self.by_rules(core::slice::from_ref(rule), &told, |_| Some(line))
            {
                return answer;
            }
        }
        for name in self.line_names {
            let Some(rest) = line.strip_prefix(name) else { continue };
            if !(rest.is_empty() || rest.starts_with(char::is_whitespace)) {
                continue;
            }
            if let Some(parts) = self.line_parts(name, rest.trim_start()) {
                return self.read_parts(line, &parts);
            }
        }
        Ok(None)
    }

    /// What stands behind the name of a line; none if the line belongs to something else.
    fn line_parts<'a>(&self, name: &'a str, rest: &'a str) -> Option<LineParts<'a>> {
        let (first, behind) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        let keyword = first == "release";
        let rest = if keyword { behind.trim_start() } else { rest };
        let end = rest.find(|c: char| c.is_whitespace() || c == '(').unwrap_or(rest.len());
        let (version, behind) = rest.split_at_checked(end)?;
        let is_known = |release: &ReleaseData| {
            let same = |known: &str| known.eq_ignore_ascii_case(version);
            same(release.version) || release.codename.is_some_and(same)
        };
        let ours = keyword
            || version.is_empty()
            || version.starts_with(|c: char| c.is_ascii_digit())
            || self.releases.iter().any(is_known);
        let codename = behind.trim_start().strip_prefix('(').and_then(|inner| inner.split(')').next());
        ours.then(|| LineParts { name, version, codename: codename.map(str::trim) })
    }

    fn read_parts(&self, line: &str, parts: &LineParts<'_>) -> Result<Option<Release>, CallError> {
        let told =
            Told { distro: self.id, others: true, version: Some(parts.version).filter(|version| !version.is_empty()) };
        let value = |key: &str| match key {
            "line" => Some(line),
            "name" => Some(parts.name),
            "version" => Some(parts.version),
            _ => parts.codename,
        };
        if let Some(answer) = self.by_rules(self.line_rules, &told, value) {
            return answer;
        }
        let Some(version) = told.version else {
            let text = format!("a line of {} without a version: name the release", self.name);
            return Err(CallError::MalformedInput(text));
        };
        if let Some((release, minor)) = self.by_version(&told, version) {
            return Ok(Some(release.record(minor)));
        }
        let release = self.by_codename(&told, version).ok_or_else(|| self.unsupported(version))?;
        Ok(Some(release.record(None)))
    }

    /// A text that is nothing but a version or a code name.
    fn read_version(&self, text: &str) -> Option<Release> {
        let told = Told { distro: self.id, others: true, version: Some(text) };
        if let Some((release, minor)) = self.by_version(&told, text) {
            return Some(release.record(minor));
        }
        self.by_codename(&told, text).map(|release| release.record(None))
    }

    /// The answer of the first rule that applies; none if there is none. `value`: what the keys of `when` stand for.
    fn by_rules<'a>(
        &self,
        rules: &[Rule],
        told: &Told<'_>,
        value: impl Fn(&str) -> Option<&'a str>,
    ) -> Option<Result<Option<Release>, CallError>> {
        let applies =
            |rule: &&Rule| rule.when.iter().all(|(key, pattern)| matches(pattern, value(key).unwrap_or_default()));
        match &rules.iter().find(applies)?.then {
            Then::NotOurs => Some(Ok(None)),
            Then::Release(index) => self.release(*index).map(|release| Ok(Some(release.record(None)))),
            Then::Template { distro, version: template } => {
                let version = told.version?;
                let found = self.by_template(told, *distro, Some(template), version);
                let found = found.ok_or_else(|| self.unsupported(version));
                Some(found.map(|(release, minor)| Some(release.record(minor))))
            }
        }
    }

    fn by_version<'a>(&self, told: &Told<'_>, version: &'a str) -> Option<(&'static ReleaseData, Option<&'a str>)> {
        self.by_template(told, None, None, version)
    }

    /// Looks the version up whole, then with fewer and fewer of its parts; the rest is the minor.
    fn by_template<'a>(
        &self,
        told: &Told<'_>,
        distro: Option<&str>,
        template: Option<&str>,
        version: &'a str,
    ) -> Option<(&'static ReleaseData, Option<&'a str>)> {
        if version.len() > MAX_VERSION_BYTES {
            return None;
        }
        let whole = core::iter::once((version, None));
        let parts = version.rmatch_indices('.').filter_map(|(dot, _)| {
            let (head, tail) = version.split_at_checked(dot)?;
            Some((head, tail.strip_prefix('.')))
        });
        for (head, tail) in whole.chain(parts) {
            let name = match template {
                Some(template) => expand(template, |_| Some(head)),
                None => String::from(head),
            };
            let fits = |release: &&ReleaseData| {
                release.version.eq_ignore_ascii_case(&name) && tail.is_none_or(|tail| minor_of(release, tail).is_some())
            };
            let first = distro.unwrap_or(told.distro);
            let own = self.releases.iter().filter(|release| release.distro == first).find(fits);
            let others = || if told.others && distro.is_none() { self.releases.iter().find(fits) } else { None };
            if let Some(release) = own.or_else(others) {
                return Some((release, tail));
            }
        }
        None
    }

    fn by_codename(&self, told: &Told<'_>, codename: &str) -> Option<&'static ReleaseData> {
        let fits = |release: &&ReleaseData| release.codename.is_some_and(|known| known.eq_ignore_ascii_case(codename));
        let own = self.releases.iter().filter(|release| release.distro == told.distro).find(fits);
        own.or_else(|| if told.others { self.releases.iter().find(fits) } else { None })
    }
}

/// A line such as `CentOS Linux release 7.9.2009 (Core)`.
struct LineParts<'a> {
    name: &'a str,
    version: &'a str,
    codename: Option<&'a str>,
}

/// The text, if the release has minors and the contract's grammar allows it.
fn minor_of<'a>(release: &ReleaseData, text: &'a str) -> Option<&'a str> {
    let valid = release.minors
        && text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._+~-".contains(&b));
    valid.then_some(text)
}

//! The rules of the contract for texts and lists.

use std::{collections::HashSet, fmt::Display, hash::Hash};

use retrace_types::DistroId;

use crate::{FailureKind, state::is_plain};

/// Most bytes of any text.
pub(crate) const MAX_TEXT_BYTES: usize = 4 << 10;
/// Most elements of any list.
pub(crate) const MAX_LIST: usize = 4096;
/// Most bytes of a text that is shown to people.
const MAX_TITLE_BYTES: usize = 256;

/// The distributions that a plugin may speak for.
#[derive(Clone, Copy)]
pub(crate) struct Owner<'a> {
    pub(crate) id: &'a DistroId,
    pub(crate) aliases: &'a [DistroId],
}

impl Owner<'_> {
    pub(crate) fn owns(&self, id: &str) -> bool {
        self.id.as_str() == id || self.aliases.iter().any(|alias| alias.as_str() == id)
    }
}

pub(crate) fn invalid(path: impl Into<String>, rule: impl Display) -> FailureKind {
    FailureKind::InvalidValue { path: path.into(), rule: rule.to_string() }
}

pub(crate) fn at(path: &str, index: usize) -> String {
    format!("{path}[{index}]")
}

pub(crate) fn list<T>(path: &str, values: Vec<T>, max: usize) -> Result<Vec<T>, FailureKind> {
    if values.len() > max {
        return Err(invalid(path, format!("{} elements, more than {max}", values.len())));
    }
    Ok(values)
}

pub(crate) fn unique<T: Hash + Eq + Display>(path: &str, values: impl Iterator<Item = T>) -> Result<(), FailureKind> {
    let mut seen = HashSet::new();
    for value in values {
        if let Some(twice) = seen.replace(value) {
            return Err(invalid(path, format!("{twice} occurs twice")));
        }
    }
    Ok(())
}

fn text(path: &str, value: String, max_bytes: usize) -> Result<String, FailureKind> {
    if value.len() > max_bytes {
        return Err(invalid(path, format!("{} bytes, more than {max_bytes}", value.len())));
    }
    if !value.chars().all(is_plain) {
        return Err(invalid(path, "holds a control character"));
    }
    Ok(value)
}

/// A text that is shown to people: never empty.
pub(crate) fn title(path: &str, value: String) -> Result<String, FailureKind> {
    if value.is_empty() {
        return Err(invalid(path, "is empty"));
    }
    text(path, value, MAX_TITLE_BYTES)
}

/// A part of a package's name: never empty, no white space, no `/`, not `.` or `..`.
pub(crate) fn one_word(path: &str, value: String, max_bytes: usize) -> Result<String, FailureKind> {
    let value = text(path, value, max_bytes)?;
    if value.is_empty() || value == "." || value == ".." || value.contains(|c: char| c.is_whitespace() || c == '/') {
        return Err(invalid(path, "is empty, a dot name, or holds white space or `/`"));
    }
    Ok(value)
}

pub(crate) fn architecture(path: &str, value: String) -> Result<String, FailureKind> {
    matching(path, value, 32, "[A-Za-z0-9_-]+", |b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

/// A value of 1 to `max_bytes` bytes that all pass `allowed`; `grammar` says which those are.
pub(crate) fn matching(
    path: &str,
    value: String,
    max_bytes: usize,
    grammar: &str,
    allowed: impl Fn(u8) -> bool,
) -> Result<String, FailureKind> {
    if value.is_empty() || value.len() > max_bytes || !value.bytes().all(allowed) {
        return Err(invalid(path, format!("want {grammar}, at most {max_bytes} bytes")));
    }
    Ok(value)
}

/// `MAJOR.MINOR.PATCH` with what semver 2.0 allows behind it.
pub(crate) fn semver(path: &str, value: String) -> Result<String, FailureKind> {
    let core = value.split(['-', '+']).next().unwrap_or_default();
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let valid = core.split('.').count() == 3 && core.split('.').all(is_number);
    if !valid {
        return Err(invalid(path, "want a semantic version such as 1.2.0"));
    }
    matching(path, value, 64, "[0-9A-Za-z.+-]+", |b| b.is_ascii_alphanumeric() || b".+-".contains(&b))
}

/// `YYYY-MM-DD`.
pub(crate) fn date(path: &str, value: String) -> Result<String, FailureKind> {
    let number = |range: std::ops::Range<usize>| {
        let digits = value.get(range)?;
        digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse::<u32>().ok()).flatten()
    };
    let valid = value.len() == 10
        && value.get(4..5) == Some("-")
        && value.get(7..8) == Some("-")
        && number(0..4).is_some()
        && number(5..7).is_some_and(|month| (1..=12).contains(&month))
        && number(8..10).is_some_and(|day| (1..=31).contains(&day));
    if valid { Ok(value) } else { Err(invalid(path, "want a date YYYY-MM-DD")) }
}

pub(crate) fn annotations(path: &str, pairs: Vec<(String, String)>) -> Result<Vec<(String, String)>, FailureKind> {
    let mut checked = Vec::new();
    for (i, (key, value)) in list(path, pairs, MAX_LIST)?.into_iter().enumerate() {
        let path = at(path, i);
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'.' || b == b'-';
        checked.push((matching(&path, key, 64, "a key of [a-z0-9.-]+", allowed)?, text(&path, value, MAX_TEXT_BYTES)?));
    }
    unique(path, checked.iter().map(|(key, _)| key))?;
    Ok(checked)
}

//! The contract's grammar, as `wit/distro.wit` states it and the host checks it. The SDK's constructors and the macro
//! `declarative!` share this file.

use alloc::{format, string::String};
use core::fmt;

/// What is wrong, and at which key: `repository[2].mirrors[0]: …`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    path: String,
    rule: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.rule)
    }
}

pub(crate) type Checked<T = ()> = Result<T, Problem>;

pub(crate) fn problem<T>(path: impl Into<String>, rule: impl Into<String>) -> Checked<T> {
    Err(Problem { path: path.into(), rule: rule.into() })
}

fn matching(path: &str, text: &str, max: usize, what: &str, allowed: impl Fn(u8) -> bool) -> Checked {
    if text.is_empty() || text.len() > max || !text.bytes().all(allowed) {
        return problem(path, format!("{text:?}: want {what}, 1 to {max} bytes"));
    }
    Ok(())
}

pub(crate) fn id(path: &str, text: &str) -> Checked {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
    matching(path, text, 64, "[a-z0-9][a-z0-9._-]*", allowed)?;
    first_alphanumeric(path, text)
}

pub(crate) fn version(path: &str, text: &str) -> Checked {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._+~-".contains(&b);
    matching(path, text, 64, "[A-Za-z0-9][A-Za-z0-9._+~-]*", allowed)?;
    first_alphanumeric(path, text)
}

fn first_alphanumeric(path: &str, text: &str) -> Checked {
    if text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return Ok(());
    }
    problem(path, format!("{text:?} has to begin with a letter or digit"))
}

pub(crate) fn architecture(path: &str, text: &str) -> Checked {
    matching(path, text, 32, "[A-Za-z0-9_-]+", |b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
}

/// Shown to people.
pub(crate) fn title(path: &str, text: &str) -> Checked {
    plain(path, text, 256)?;
    if text.is_empty() { problem(path, "is empty") } else { Ok(()) }
}

pub(crate) fn plain(path: &str, text: &str, max: usize) -> Checked {
    if text.len() > max {
        return problem(path, format!("{} bytes, more than {max}", text.len()));
    }
    if text.chars().any(char::is_control) {
        return problem(path, "holds a control character");
    }
    Ok(())
}

/// Keys and values.
pub(crate) fn annotations<'a>(path: &str, pairs: impl IntoIterator<Item = (&'a String, &'a String)>) -> Checked {
    for (key, value) in pairs {
        let path = format!("{path}.{key}");
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-".contains(&b);
        matching(&path, key, 64, "a key of [a-z0-9.-]+", allowed)?;
        plain(&path, value, 4 << 10)?;
    }
    Ok(())
}

/// A part of a package's name.
pub(crate) fn package(path: &str, text: &str) -> Checked {
    let allowed = |b: u8| b.is_ascii_graphic() && b != b'/';
    matching(path, text, 256, "the name of a package: visible ASCII without `/`", allowed)?;
    if text == "." || text == ".." { problem(path, format!("{text:?} is no name of a package")) } else { Ok(()) }
}

pub(crate) fn date(path: &str, text: &str) -> Checked {
    let number = |range| text.get(range).filter(|part: &&str| part.bytes().all(|b| b.is_ascii_digit()))?.parse().ok();
    let parts: Option<(u32, u32, u32)> = (|| Some((number(0..4)?, number(5..7)?, number(8..10)?)))();
    let form = text.len() == 10 && text.get(4..5) == Some("-") && text.get(7..8) == Some("-");
    let exists = parts.is_some_and(|(year, month, day)| {
        let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let days = match month {
            2 => 28 + u32::from(leap),
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => 0,
        };
        (1..=days).contains(&day)
    });
    if form && exists { Ok(()) } else { problem(path, format!("{text:?} is no date YYYY-MM-DD")) }
}

pub(crate) fn fingerprint(path: &str, text: &str) -> Checked {
    let digits = text.bytes().all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(&b));
    if digits && (text.len() == 40 || text.len() == 64) {
        return Ok(());
    }
    problem(path, format!("{text:?} is no fingerprint: want 40 or 64 capital hex digits, without spaces"))
}

/// A key file: below a folder of the plugin.
pub(crate) fn key_path(path: &str, text: &str, owners: &[&str]) -> Checked {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._+-/".contains(&b);
    matching(path, text, 256, "[A-Za-z0-9._+-] and `/`", allowed)?;
    relative(path, text)?;
    match text.split_once('/') {
        Some((folder, _)) if owners.contains(&folder) => Ok(()),
        _ => problem(path, format!("{text:?} has to lie in a folder of this plugin: {}/", owners.join("/, "))),
    }
}

/// A suite or component of a Debian archive.
pub(crate) fn archive_path(path: &str, text: &str) -> Checked {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._+~/-".contains(&b);
    matching(path, text, 128, "[A-Za-z0-9._+~/-]+", allowed)?;
    relative(path, text)
}

fn relative(path: &str, text: &str) -> Checked {
    if text.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return problem(path, format!("{text:?}: want a relative path without empty parts, `.` and `..`"));
    }
    Ok(())
}

pub(crate) fn absolute(path: &str, text: &str) -> Checked {
    plain(path, text, 4 << 10)?;
    let rest = text.strip_prefix('/');
    if rest.is_none_or(|rest| rest.split('/').any(|part| matches!(part, "" | "." | ".."))) {
        return problem(path, format!("{text:?}: want an absolute path without empty parts, `.` and `..`"));
    }
    Ok(())
}

/// A mirror, its variables already replaced.
pub(crate) fn url(path: &str, text: &str) -> Checked {
    if text.len() > 2 << 10 {
        return problem(path, format!("{} bytes, more than 2048", text.len()));
    }
    let bad = ['\\', '"', '<', '>', '^', '`', '{', '|', '}'];
    if !text.bytes().all(|b| b.is_ascii_graphic()) || text.contains(bad) {
        return problem(path, format!("{text:?}: want visible ASCII characters that are allowed in a URL"));
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return problem(path, format!("{text:?} is no URL: want SCHEME://…"));
    };
    if !["https", "http", "rsync", "ftp", "file"].contains(&scheme) {
        return problem(path, format!("scheme `{scheme}`: want https, http, rsync, ftp or file"));
    }
    let (host, folders) = rest.split_once('/').unwrap_or((rest, ""));
    let lower = rest.to_ascii_lowercase();
    let rule = if host.contains('@') {
        "holds a user name"
    } else if rest.contains(['?', '#']) {
        "holds a query or fragment"
    } else if (scheme == "file") != host.is_empty() {
        "wants a host (file: none)"
    } else if !host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_:[]".contains(&b)) {
        "wants a host of letters, digits, `.`, `-`"
    } else if folders.split('/').any(|part| part == "." || part == "..") {
        "holds `.` or `..` as a part of its path"
    } else if ["%2e", "%2f", "%0", "%1", "%7f"].iter().any(|escape| lower.contains(escape)) {
        "holds an escaped dot, slash or control character"
    } else {
        return Ok(());
    };
    problem(path, format!("{text:?} {rule}"))
}

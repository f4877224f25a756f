//! Templates with variables, and patterns.

use crate::grammar::{Checked, plain, problem};

/// A pattern: something to look for.
pub(crate) fn pattern(path: &str, text: &str) -> Checked {
    plain(path, text, 256)?;
    if text.matches('*').count() > 8 { problem(path, "more than 8 `*`") } else { Ok(()) }
}

/// The variables of a template: `$` and capital letters.
pub(crate) fn variables<'a>(path: &str, text: &'a str) -> Checked<Vec<&'a str>> {
    let mut found = Vec::new();
    for behind in text.split('$').skip(1) {
        let end = behind.find(|c: char| !c.is_ascii_uppercase()).unwrap_or(behind.len());
        match behind.get(..end) {
            Some(name) if !name.is_empty() => found.push(name),
            _ => return problem(path, format!("{text:?}: `$` without a variable in capital letters behind it")),
        }
    }
    Ok(found)
}

/// Refuses variables that mean nothing here.
pub(crate) fn known_variables(path: &str, text: &str, known: &[&str]) -> Checked {
    match variables(path, text)?.iter().find(|name| !known.contains(name)) {
        None => Ok(()),
        Some(name) if known.is_empty() => problem(path, format!("variable ${name}: no variable has a value here")),
        Some(name) => problem(path, format!("variable ${name} means nothing here: known are ${}", known.join(", $"))),
    }
}

/// Replaces variables by their values.
pub(crate) fn expand<'a>(text: &str, value: impl Fn(&str) -> Option<&'a str>) -> Result<String, String> {
    let mut parts = text.split('$');
    let mut expanded = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| !c.is_ascii_uppercase()).unwrap_or(part.len());
        let (name, rest) = part.split_at(end);
        expanded.push_str(value(name).ok_or_else(|| name.to_owned())?);
        expanded.push_str(rest);
    }
    Ok(expanded)
}

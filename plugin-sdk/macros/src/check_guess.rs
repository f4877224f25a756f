//! Guesses: what in a package's name points at a release.

use std::collections::BTreeMap;

use crate::{
    grammar::{self, Checked, problem},
    model,
    schema::{self, Schema},
    select::Names,
    template::{self, known_variables},
};

pub(crate) fn guesses(schema: &Schema, names: &Names, releases: &[model::Release]) -> Checked<Vec<model::Guess>> {
    let mut seen = BTreeMap::new();
    let convert = |(i, guess): (usize, &schema::Guess)| {
        let path = format!("guess[{i}]");
        let tag_path = format!("{path}.tag");
        let tag = guess.tag.as_str();
        if tag.is_empty() || tag.len() > 64 || !tag.bytes().all(|b| b.is_ascii_graphic() && b != b'*' && b != b'/') {
            return problem(tag_path, format!("{tag:?}: want visible ASCII without `*` and `/`, 1 to 64 bytes"));
        }
        if let Some(first) = seen.insert(tag.to_owned(), i) {
            return problem(tag_path, format!("{tag:?} is guess[{first}] already"));
        }
        known_variables(&tag_path, tag, &["VER", "MINOR", "CODENAME"])?;
        let variables = template::variables(&tag_path, tag)?;
        if tag.starts_with('$') {
            return problem(tag_path, "begins with a variable: nothing would tell where to look");
        }
        let mut pieces = tag.split('$').skip(1).peekable();
        while let Some(piece) = pieces.next() {
            if pieces.peek().is_some() && piece.bytes().all(|b| b.is_ascii_uppercase()) {
                return problem(tag_path, "two variables without anything between them");
            }
        }
        for name in &variables {
            if variables.iter().filter(|other| *other == name).count() > 1 {
                return problem(tag_path, format!("${name} occurs twice"));
            }
        }
        let named = variables.iter().filter(|name| **name != "MINOR").count();
        let release = match (&guess.release, named) {
            (Some(release), 0) => Some(names.release(&format!("{path}.release"), release)?),
            (None, 1) => None,
            (Some(_), _) => {
                return problem(format!("{path}.release"), "the tag names the release already: drop one of the two");
            }
            (None, 0) => return problem(path, "want $VER or $CODENAME in the tag, or release = \"…\""),
            (None, _) => return problem(tag_path, "want either $VER or $CODENAME, not both"),
        };
        if guess.release.is_some() && guess.releases.is_some() {
            return problem(format!("{path}.releases"), "means nothing beside `release`");
        }
        let selected =
            guess.releases.as_ref().map(|list| names.releases(&format!("{path}.releases"), list)).transpose()?;
        let has_codename = |index: u16| releases.get(usize::from(index)).is_some_and(|r| r.codename.is_some());
        let mut all = 0..u16::try_from(releases.len()).unwrap_or(u16::MAX);
        let any_codename =
            selected.as_ref().map_or_else(|| all.any(has_codename), |s| s.iter().copied().any(has_codename));
        if variables.contains(&"CODENAME") && !any_codename {
            return problem(tag_path, "none of the releases has a code name");
        }
        for (j, vendor) in guess.vendors.iter().enumerate() {
            let path = format!("{path}.vendors[{j}]");
            grammar::plain(&path, vendor, 128)?;
            if vendor.is_empty() {
                return problem(path, "is empty");
            }
        }
        Ok(model::Guess {
            tag: tag.to_owned(),
            release,
            releases: selected,
            confidence: guess.confidence,
            vendors: guess.vendors.clone(),
            other_vendors: guess.other_vendors,
        })
    };
    schema.guess.iter().enumerate().map(convert).collect()
}

//! B11: whether the keys that a plugin names are there and are the ones that it means.

use std::{collections::BTreeMap, fs, io, path::Path};

use retrace_package::Keyring;

use super::{
    Fixtures,
    outcome::{Failure, Outcome},
    question::{Answer, Question},
    subject::Checked,
    survey::Survey,
};

/// Most bytes of one key file; an archive's keyring has some 100 KiB.
const MAX_KEY_BYTES: u64 = 16 << 20;

pub(super) fn b11(survey: &Survey, fixtures: &Fixtures) -> Checked {
    let Some(dir) = &fixtures.keys_dir else { return Ok(Outcome::skip("no folder of keys: name it with --gpg")) };
    // Path and pinned fingerprint, with the question that named it.
    let mut wanted: BTreeMap<(&str, Option<&str>), &Question> = BTreeMap::new();
    for said in &survey.repositories {
        let Ok(Answer::Repositories(repositories)) = &said.asked.answer else { continue };
        for key in repositories.iter().flat_map(|repository| &repository.keys) {
            wanted.entry((key.path.as_str(), key.fingerprint.as_deref())).or_insert(&said.question);
        }
    }
    let cases = u64::try_from(wanted.len()).unwrap_or(u64::MAX);
    for ((path, fingerprint), question) in wanted {
        if fixtures.keys_may_come_later && !dir.join(path).exists() {
            continue;
        }
        if let Some(message) = wrong(dir, path, fingerprint) {
            return Ok(Outcome { failure: Some(Failure::of(message, question)), ..Outcome::pass(cases) });
        }
    }
    Ok(Outcome::pass(cases))
}

fn wrong(dir: &Path, path: &str, fingerprint: Option<&str>) -> Option<String> {
    // B10 says what is wrong with such a path; here it must not lead out of the folder.
    if path.starts_with('/') || path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return None;
    }
    let bytes = match read(&dir.join(path)) {
        Ok(bytes) => bytes,
        Err(error) => return Some(format!("{path}: {error}")),
    };
    let mut keyring = Keyring::new();
    if let Err(error) = keyring.add(&bytes) {
        return Some(format!("{path}: {error}"));
    }
    let found = keyring.fingerprints();
    match fingerprint {
        Some(pinned) if !found.iter().any(|found| found == pinned) => {
            Some(format!("{path} holds {}, the plugin pins {pinned}", found.join(", ")))
        }
        _ => None,
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    if fs::metadata(path)?.len() > MAX_KEY_BYTES {
        return Err(io::Error::other(format!("larger than {MAX_KEY_BYTES} bytes")));
    }
    fs::read(path)
}

//! The keys of `gpg/`: each file parses, is the key that the README of its folder names, and can sign packages.
//!
//! Driven by the READMEs: a table with the columns `file`, `fingerprint` (or `primary key`) and `expires`. A file without
//! a row fails, and so does a row without a file.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use pgp::composed::{Deserializable as _, SignedPublicKey};
use pgp::types::KeyDetails as _;
use retrace_package::Keyring;

/// What a README says about a key file.
#[derive(Debug)]
struct Row {
    fingerprint: String,
    /// `YYYY-MM-DD` or `never`.
    expires: String,
}

#[test]
fn every_key_is_the_one_that_its_readme_names() {
    let folders = folders();
    assert!(folders.len() >= 4, "folders: {folders:?}");
    for folder in folders {
        let rows = rows(&fs::read_to_string(folder.join("README.md")).unwrap());
        let files = key_files(&folder);
        let named: Vec<_> = rows.keys().cloned().collect();
        assert_eq!(named, files, "files of {} against the table of its README", folder.display());
        for (file, row) in rows {
            let text = fs::read(folder.join(&file)).unwrap();
            let mut keyring = Keyring::new();
            let added = keyring.add(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
            assert_eq!((added, keyring.fingerprints()), (1, vec![row.fingerprint.clone()]), "file: {file}");
            assert_eq!(expiry(&text), row.expires, "expiry of {file}");
        }
    }
}

fn folders() -> Vec<PathBuf> {
    let gpg = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../gpg");
    let mut folders: Vec<_> =
        fs::read_dir(gpg).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

fn key_files(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name != "README.md").collect();
    names.sort();
    names
}

/// The rows of every table that has the three columns.
fn rows(readme: &str) -> BTreeMap<String, Row> {
    let mut rows = BTreeMap::new();
    let mut columns: Option<(usize, usize, usize)> = None;
    for line in readme.lines() {
        if !line.starts_with('|') {
            columns = None;
            continue;
        }
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        let position = |names: &[&str]| cells.iter().position(|cell| names.contains(cell));
        match columns {
            None => {
                let found = (position(&["file"]), position(&["fingerprint", "primary key"]), position(&["expires"]));
                if let (Some(file), Some(fingerprint), Some(expires)) = found {
                    columns = Some((file, fingerprint, expires));
                }
            }
            Some(_) if cells.iter().all(|cell| cell.chars().all(|c| c == '-' || c == ':')) => {}
            Some((file, fingerprint, expires)) => {
                let row = Row { fingerprint: cells[fingerprint].to_owned(), expires: cells[expires].to_owned() };
                assert!(rows.insert(cells[file].to_owned(), row).is_none(), "two rows for {}", cells[file]);
            }
        }
    }
    rows
}

/// When the primary key runs out, by the newest self-signature of its user ids.
fn expiry(armored: &[u8]) -> String {
    let (key, _) = SignedPublicKey::from_armor_single(armored).unwrap();
    let own = key.details.users.iter().flat_map(|user| &user.signatures).filter(|signature| {
        signature.issuer_key_id().into_iter().any(|id| *id == key.legacy_key_id())
            || signature.issuer_fingerprint().into_iter().any(|fingerprint| *fingerprint == key.fingerprint())
    });
    let newest = own.max_by_key(|signature| signature.created().map(|time| time.as_secs())).unwrap();
    match newest.key_expiration_time().map(|time| u64::from(time.as_secs())) {
        None | Some(0) => "never".to_owned(),
        Some(lifetime) => date(u64::from(key.created_at().as_secs()) + lifetime),
    }
}

/// The day of a time in seconds since 1970, in the calendar of Gregory.
fn date(seconds: u64) -> String {
    let mut days = seconds / 86_400;
    let is_leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let months = [31, 28 + u64::from(is_leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 1;
    for length in months {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    format!("{year:04}-{month:02}-{:02}", days + 1)
}

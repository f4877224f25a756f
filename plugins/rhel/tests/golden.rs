//! What the plugin answers: golden fixtures, the corpus of real texts, and what must hold for every release.

use std::{collections::BTreeSet, path::Path};

use retrace_plugin_rhel::Rhel;
use retrace_plugin_sdk::{
    prelude::*,
    testing::{Corpus, Native, fixtures},
};

fn native() -> Native {
    Native::of::<Rhel>().with_kernel::<Rhel>()
}

#[test]
fn fixtures_are_answered() {
    fixtures::check(&native(), concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures"));
}

#[test]
fn real_texts_are_recognised_and_foreign_ones_are_not() {
    Corpus::shipped().check(&native());
}

#[test]
fn every_release_names_keys_that_exist_and_demands_signed_packages() {
    let gpg = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../gpg");
    for entry in Rhel::releases() {
        for arch in &entry.architectures {
            for repository in Rhel::repositories(entry.release.clone(), arch.clone()).unwrap() {
                assert_eq!(repository.signatures, Signatures::PACKAGES, "{}: {}", entry.title, repository.id);
                assert!(!repository.keys.is_empty());
                for key in &repository.keys {
                    let folder = Path::new(&key.path).parent().unwrap();
                    let readme = std::fs::read_to_string(gpg.join(folder).join("README.md")).unwrap();
                    let file = Path::new(&key.path).file_name().unwrap().to_str().unwrap();
                    let row = format!("| `{file}` | `{}` |", key.fingerprint.as_deref().unwrap());
                    assert!(
                        gpg.join(&key.path).is_file() && readme.contains(&row),
                        "{} is not in the README",
                        key.path
                    );
                }
            }
        }
        let vax = Rhel::repositories(entry.release, "vax".into());
        assert!(matches!(vax, Err(CallError::UnsupportedArchitecture(_))));
    }
}

#[test]
fn every_key_of_the_folder_is_used() {
    let mut used = BTreeSet::new();
    for entry in Rhel::releases() {
        for arch in entry.architectures {
            let repositories = Rhel::repositories(entry.release.clone(), arch).unwrap();
            used.extend(repositories.into_iter().flat_map(|repository| repository.keys).map(|key| key.path));
        }
    }
    let gpg = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../gpg");
    let files =
        std::fs::read_dir(gpg.join("rhel")).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let keys: BTreeSet<_> = files.filter(|name| name != "README.md").map(|name| format!("rhel/{name}")).collect();
    assert_eq!(used, keys);
}

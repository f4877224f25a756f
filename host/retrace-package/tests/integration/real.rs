//! What Debian signs.

use std::{fs, path::Path};

use retrace_package::{Keyring, PackageError, verify_cleartext};

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
const LISTS: &str = "/var/lib/apt/lists";

#[test]
fn the_releases_of_debian_are_verified_by_its_keyring() {
    let files = fs::read_dir(LISTS).into_iter().flatten().flatten().map(|entry| entry.path());
    let releases: Vec<_> = files.filter(|path| path.to_string_lossy().ends_with("_InRelease")).collect();
    if releases.is_empty() || !Path::new(KEYRING).exists() {
        println!("skipped: no InRelease file of apt, or no keyring of Debian");
        return;
    }
    let mut keyring = Keyring::new();
    assert!(keyring.add(&fs::read(KEYRING).unwrap()).unwrap() >= 3);
    let mut verified = 0;
    for path in releases {
        let signed = fs::read(&path).unwrap();
        match verify_cleartext(&signed, &keyring) {
            Ok(text) => {
                assert!(text.text.starts_with(b"Origin:"), "{path:?}");
                assert_eq!(text.fingerprint.len(), 40);
                verified += 1;
            }
            // A repository that is not Debian's.
            Err(PackageError::KeyMissing { .. }) => continue,
            Err(error) => panic!("{path:?}: {error}"),
        }
        let mut changed = signed.clone();
        let digit = changed.windows(5).position(|window| window == b"Date:").unwrap() + 12;
        changed[digit] ^= 1;
        assert!(matches!(verify_cleartext(&changed, &keyring), Err(PackageError::BadSignature { .. })));
    }
    assert!(verified > 0);
}

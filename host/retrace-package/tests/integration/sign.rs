//! What is signed here is good for GnuPG, with its keys.

use std::fs;

use retrace_package::{SignError, Signer};
use tempfile::TempDir;

use crate::support::{Gpg, have, run, text};

const RELEASE: &str = "Origin: x\nSHA256:\n 00 1 main/Packages\n- dashes\n-----BEGIN\n";

#[test]
fn gnupg_verifies_what_its_keys_sign() {
    if !have(&["gpg", "gpgv"]) {
        return;
    }
    let gpg = Gpg::new();
    for (name, algorithm) in [("rsa", "rsa2048"), ("curve", "ed25519")] {
        let fingerprint = gpg.key(name, algorithm, None);
        let secret = gpg.run(&["--armor", "--export-secret-keys", &fingerprint]);
        let signer = Signer::new(secret.as_bytes(), None).unwrap();
        assert_eq!(signer.fingerprint(), gpg.fingerprint(name));
        let dir = TempDir::new().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::write(path("keyring.asc"), signer.public_key()).unwrap();
        gpg.run(&["--batch", "--yes", "-o", text(&path("keyring.gpg")), "--dearmor", text(&path("keyring.asc"))]);
        fs::write(path("InRelease"), signer.cleartext(RELEASE).unwrap()).unwrap();
        fs::write(path("Release"), RELEASE).unwrap();
        fs::write(path("Release.gpg"), signer.detached(RELEASE.as_bytes()).unwrap()).unwrap();
        let keyring = path("keyring.gpg");
        let plain = path("plain");
        run("gpgv", &["-q", "--keyring", text(&keyring), "-o", text(&plain), text(&path("InRelease"))], &[]);
        assert_eq!(fs::read_to_string(&plain).unwrap(), RELEASE, "{name}");
        run("gpgv", &["-q", "--keyring", text(&keyring), text(&path("Release.gpg")), text(&path("Release"))], &[]);
        assert!(!format!("{signer:?}").contains("PRIVATE"));
    }
    assert!(matches!(Signer::new(b"junk", None), Err(SignError::NoSecretKey(_))));
}

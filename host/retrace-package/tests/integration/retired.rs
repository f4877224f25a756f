//! What keys signed stays good after they have expired or were retired, and is void when they were compromised.

use std::{fs, path::Path};

use retrace_package::{Keyring, PackageError, verify_cleartext, verify_detached, verify_rpm};
use tempfile::TempDir;

use crate::support::{Gpg, build_rpm, have, run, text};

/// Numbers of reasons as GnuPG asks for them, which are those of RFC 9580, 5.2.3.31.
const NO_REASON: u8 = 0;
const COMPROMISED: u8 = 1;
const SUPERSEDED: u8 = 2;
const RETIRED: u8 = 3;

/// A revocation certificate of a key, made at this time.
fn revocation(gpg: &Gpg, dir: &Path, name: &str, reason: u8, time: &str) -> Vec<u8> {
    let (answers, out) = (dir.join("answers"), dir.join("revocation"));
    fs::write(&answers, format!("y\n{reason}\n\ny\n")).unwrap();
    let _ = fs::remove_file(&out);
    let args = ["--no-tty", "--yes", "--pinentry-mode", "loopback", "--passphrase", "", "--faked-system-time", time];
    let files = ["--command-file", text(&answers), "--output", text(&out), "--gen-revoke", name];
    run("gpg", &[&args[..], &files].concat(), &[("GNUPGHOME", gpg.home())]);
    fs::read(out).unwrap()
}

/// A certificate with its revocation, as who published it would export it.
fn revoked(certificate: &[u8], revocation: &[u8], dir: &Path, name: &str) -> Vec<u8> {
    let other = Gpg::new();
    for bytes in [certificate, revocation] {
        let file = dir.join("import");
        fs::write(&file, bytes).unwrap();
        other.run(&["--import", text(&file)]);
    }
    other.export(name, true)
}

fn keyring(copies: &[&[u8]]) -> Keyring {
    let mut keyring = Keyring::new();
    for copy in copies {
        keyring.add(copy).unwrap();
    }
    assert_eq!(keyring.fingerprints().len(), 1, "copies of one certificate are one");
    keyring
}

fn reason<T: std::fmt::Debug>(got: Result<T, PackageError>) -> String {
    match got {
        Err(PackageError::SignatureRefused { reason, .. }) => reason,
        other => format!("it should have been refused: {other:?}"),
    }
}

#[test]
fn what_was_signed_before_a_key_was_retired_stays_good() {
    if !have(&["gpg", "gpgconf"]) {
        return;
    }
    let (dir, gpg) = (TempDir::new().unwrap(), Gpg::new());
    let fingerprint = gpg.key("old", "ed25519", Some("20200101T000000"));
    let certificate = gpg.export("old", true);
    let at = |time: &str, how: &str| gpg.sign(b"data\n", &["--faked-system-time", time, how]);
    let [before, after] = ["20200601T000000", "20220601T000000"].map(|time| at(time, "--detach-sign"));
    let [text_before, text_after] = ["20200601T000000", "20220601T000000"].map(|time| at(time, "--clear-sign"));
    for (code, word) in [(SUPERSEDED, "after its key was retired"), (RETIRED, "after its key was retired")] {
        let revocation = revocation(&gpg, dir.path(), "old", code, "20210101T000000");
        let revoked = revoked(&certificate, &revocation, dir.path(), "old");
        // Whichever copy comes first: that there is one without the revocation does not void it.
        for copies in [&[&revoked[..]][..], &[&certificate, &revoked], &[&revoked, &certificate]] {
            let ring = keyring(copies);
            assert_eq!(verify_detached(b"data\n", &before, &ring).unwrap(), fingerprint);
            assert_eq!(verify_cleartext(&text_before, &ring).unwrap().fingerprint, fingerprint);
            assert!(reason(verify_detached(b"data\n", &after, &ring)).contains(word), "{code}");
            assert!(reason(verify_cleartext(&text_after, &ring)).contains(word), "{code}");
        }
    }
    for (code, word) in [(COMPROMISED, "compromised"), (NO_REASON, "not as merely retired")] {
        let revocation = revocation(&gpg, dir.path(), "old", code, "20210101T000000");
        let revoked = revoked(&certificate, &revocation, dir.path(), "old");
        for copies in [&[&revoked[..]][..], &[&certificate, &revoked], &[&revoked, &certificate]] {
            let ring = keyring(copies);
            for signature in [&before, &after] {
                let reason = reason(verify_detached(b"data\n", signature, &ring));
                assert!(reason.contains(word), "{code}: {reason}");
            }
        }
    }
}

#[test]
fn what_was_signed_outside_of_the_life_of_a_key_is_refused() {
    if !have(&["gpg", "gpgconf"]) {
        return;
    }
    let gpg = Gpg::new();
    let fingerprint = gpg.key("short", "ed25519", Some("20200101T000000"));
    let at = |time: &str| gpg.sign(b"data", &["--faked-system-time", time, "--detach-sign"]);
    let [within, late, future] = ["20200601T000000", "20220601T000000", "20990601T000000"].map(at);
    let unlimited = gpg.export("short", true);
    gpg.run(&["--faked-system-time", "20200102T000000", "--quick-set-expire", &fingerprint, "1y"]);
    let limited = gpg.export("short", true);
    for copies in [&[&limited[..]][..], &[&unlimited, &limited], &[&limited, &unlimited]] {
        let ring = keyring(copies);
        assert_eq!(verify_detached(b"data", &within, &ring).unwrap(), fingerprint);
        let late = reason(verify_detached(b"data", &late, &ring));
        assert!(late.contains("after its key had expired"), "{late}");
    }
    let future = reason(verify_detached(b"data", &future, &keyring(&[&unlimited])));
    assert!(future.contains("in the future"), "{future}");
    // The distribution made the key live longer: what was made meanwhile counts.
    gpg.run(&["--faked-system-time", "20200103T000000", "--quick-set-expire", &fingerprint, "10y"]);
    let ring = keyring(&[&limited, &gpg.export("short", true)]);
    assert_eq!(verify_detached(b"data", &late, &ring).unwrap(), fingerprint);
}

#[test]
fn packages_of_a_retired_key_are_verified_and_those_of_a_stolen_one_are_not() {
    if !have(&["rpmbuild", "rpmsign", "gpg", "gpgconf"]) {
        return;
    }
    let (dir, gpg) = (TempDir::new().unwrap(), Gpg::new());
    gpg.key("builder", "rsa2048", Some("20200101T000000"));
    let certificate = gpg.export("builder", true);
    let root = dir.path().join("root");
    fs::create_dir_all(root.join("usr/share")).unwrap();
    fs::write(root.join("usr/share/x"), "content").unwrap();
    let rpm = build_rpm(dir.path(), &root, "w.ufdio");
    gpg.sign_rpm("builder", &rpm, &[]);
    // The package is of today: the key is retired later, and was retired before.
    for (code, time, word) in [
        (RETIRED, "20990101T000000", None),
        (RETIRED, "20210101T000000", Some("after its key was retired")),
        (COMPROMISED, "20990101T000000", Some("compromised")),
    ] {
        let revocation = revocation(&gpg, dir.path(), "builder", code, time);
        let ring = keyring(&[&revoked(&certificate, &revocation, dir.path(), "builder")]);
        let got = verify_rpm(&rpm, &ring, None);
        match word {
            None => assert!(got.is_ok(), "{got:?}"),
            Some(word) => assert!(reason(got).contains(word), "{code} {time}"),
        }
    }
}

use std::{fs, path::Path};

use retrace_package::{Keyring, PackageError, verify_cleartext, verify_detached, verify_digest, verify_rpm};
use retrace_types::SignatureState;
use tempfile::TempDir;

use crate::support::{Gpg, Value, build_rpm, cpio, have, named, rpm_header, run, signed_rpm, text};

const TOOLS: [&str; 4] = ["rpmbuild", "rpmsign", "gpg", "gpgconf"];

fn keyring(bytes: &[u8]) -> Keyring {
    let mut keyring = Keyring::new();
    assert_eq!(keyring.add(bytes).unwrap(), 1);
    keyring
}

fn small_rpm(dir: &Path) -> std::path::PathBuf {
    let root = dir.join("root");
    fs::create_dir_all(root.join("usr/share")).unwrap();
    fs::write(root.join("usr/share/x"), vec![b'x'; 5000]).unwrap();
    build_rpm(dir, &root, "w.ufdio")
}

#[test]
fn rpm_signatures_of_every_algorithm_are_verified() {
    if !have(&TOOLS) {
        return;
    }
    let (dir, gpg) = (TempDir::new().unwrap(), Gpg::new());
    let unsigned = small_rpm(dir.path());
    let stranger = gpg.key("stranger", "ed25519", None);
    let stranger_ring = keyring(&gpg.export("stranger", true));
    assert!(matches!(verify_rpm(&unsigned, &stranger_ring, None), Err(PackageError::Unsigned { .. })));
    for algorithm in ["rsa3072", "ed25519", "dsa2048"] {
        let fingerprint = gpg.key(algorithm, algorithm, None);
        let ring = keyring(&gpg.export(algorithm, true));
        let path = dir.path().join(format!("{algorithm}.rpm"));
        fs::copy(&unsigned, &path).unwrap();
        gpg.sign_rpm(algorithm, &path, &[]);
        let package = verify_rpm(&path, &ring, None).unwrap();
        assert_eq!(package.signature(), &SignatureState::Package { fingerprint: fingerprint.clone() }, "{algorithm}");
        assert_eq!(package.size_bytes(), fs::metadata(&path).unwrap().len());
        let sum = run("sha256sum", &[text(&path)], &[]);
        assert!(sum.starts_with(&package.sha256().to_string()));

        // The same by its digest; and another digest.
        let signature = SignatureState::Metadata { fingerprint: fingerprint.clone() };
        verify_digest(&path, package.size_bytes(), package.sha256(), signature.clone()).unwrap();
        let other = retrace_types::Sha256::from_bytes([7; 32]);
        let digest = verify_digest(&path, package.size_bytes(), other, signature.clone());
        assert!(matches!(digest, Err(PackageError::DigestMismatch { .. })));
        let size = verify_digest(&path, package.size_bytes() - 1, package.sha256(), signature);
        assert!(matches!(size, Err(PackageError::SizeMismatch { .. })));
        assert!(matches!(verify_rpm(&path, &ring, Some(other)), Err(PackageError::DigestMismatch { .. })));

        match verify_rpm(&path, &stranger_ring, None) {
            Err(PackageError::KeyMissing { issuers, .. }) => assert!(issuers.contains(&fingerprint), "{issuers}"),
            other => panic!("{algorithm}: {other:?}"),
        }
        assert_ne!(fingerprint, stranger);
        check_flipped_bytes(&path, &ring);
    }
}

/// Signature headers that rpm 4.18 cannot write: the list of rpm 6, ECDSA, and the layout of rpm before 4.14.
#[test]
fn signatures_of_other_versions_of_rpm_are_verified() {
    if !have(&TOOLS) {
        return;
    }
    let (dir, gpg) = (TempDir::new().unwrap(), Gpg::new());
    for algorithm in ["nistp256", "nistp384", "brainpoolP256r1", "ed25519", "rsa2048"] {
        gpg.key(algorithm, algorithm, None);
    }
    let unsigned = fs::read(small_rpm(dir.path())).unwrap();
    let main = unsigned.windows(4).rposition(|window| window == [0x8e, 0xad, 0xe8, 1]).unwrap();
    let number = |at: usize| u32::from_be_bytes(unsigned[at..at + 4].try_into().unwrap()) as usize;
    let end = main + 16 + 16 * number(main + 8) + number(main + 12);
    let path = dir.path().join("x.rpm");
    let sign = |name: &str, data: &[u8]| gpg.sign(data, &["--local-user", name, "--detach-sign"]);
    let base64 = |bytes: &[u8]| {
        let file = dir.path().join("raw");
        fs::write(&file, bytes).unwrap();
        run("base64", &["-w0", text(&file)], &[])
    };

    // The list of rpm 6, with a signature of an unknown algorithm or key in front.
    for algorithm in ["nistp256", "nistp384", "ed25519", "rsa2048"] {
        let list =
            [base64(&sign("brainpoolP256r1", &unsigned[main..end])), base64(&sign(algorithm, &unsigned[main..end]))];
        let list: Vec<&str> = list.iter().map(String::as_str).collect();
        fs::write(&path, signed_rpm(&[(278, Value::Texts(&list))], &unsigned[main..])).unwrap();
        let package = verify_rpm(&path, &keyring(&gpg.export(algorithm, false)), None).unwrap();
        let fingerprint = gpg.fingerprint(algorithm);
        assert_eq!(package.signature(), &SignatureState::Package { fingerprint }, "{algorithm}");
    }
    fs::write(&path, signed_rpm(&[(278, Value::Texts(&["not base64!"]))], &unsigned[main..])).unwrap();
    let ring = keyring(&gpg.export("rsa2048", false));
    assert!(matches!(verify_rpm(&path, &ring, None), Err(PackageError::MalformedSignature { .. })));

    // Before 4.14 the header does not digest the payload: only the signature of both covers it.
    let old = [rpm_header(&named()), cpio(&[])].concat();
    let header = sign("rsa2048", &rpm_header(&named()));
    let both = sign("rsa2048", &old);
    fs::write(&path, signed_rpm(&[(268, Value::Bytes(&header)), (1002, Value::Bytes(&both))], &old)).unwrap();
    verify_rpm(&path, &ring, None).unwrap();
    let changed = [&old[..], b"x"].concat();
    fs::write(&path, signed_rpm(&[(268, Value::Bytes(&header)), (1002, Value::Bytes(&both))], &changed)).unwrap();
    assert!(matches!(verify_rpm(&path, &ring, None), Err(PackageError::BadSignature { .. })));
    fs::write(&path, signed_rpm(&[(268, Value::Bytes(&header))], &old)).unwrap();
    assert!(matches!(verify_rpm(&path, &ring, None), Err(PackageError::PayloadNotCovered { .. })));
}

/// No byte of header or payload may change: tried at many places.
fn check_flipped_bytes(path: &Path, ring: &Keyring) {
    let good = fs::read(path).unwrap();
    let magic = [0x8e, 0xad, 0xe8, 1];
    let main = good.windows(4).rposition(|window| window == magic).unwrap();
    let bad = path.with_extension("bad");
    for offset in (main..good.len()).step_by(211).chain([main + 20, good.len() - 1]) {
        let mut bytes = good.clone();
        bytes[offset] ^= 1;
        fs::write(&bad, bytes).unwrap();
        assert!(verify_rpm(&bad, ring, None).is_err(), "byte {offset} of {}", good.len());
    }
    let mut payload = good.clone();
    *payload.last_mut().unwrap() ^= 1;
    fs::write(&bad, payload).unwrap();
    let got = verify_rpm(&bad, ring, None);
    assert!(matches!(got, Err(PackageError::DigestMismatch { what: "payload", .. })), "{got:?}");
    fs::write(&bad, [&good[..], b"x"].concat()).unwrap();
    assert!(verify_rpm(&bad, ring, None).is_err(), "a byte behind the payload");
    for length in (0..good.len()).step_by(good.len() / 40) {
        fs::write(&bad, &good[..length]).unwrap();
        assert!(verify_rpm(&bad, ring, None).is_err(), "cut at {length}");
    }
}

#[test]
fn the_validity_of_a_key_is_that_of_the_signing_time() {
    if !have(&TOOLS) {
        return;
    }
    let (dir, gpg) = (TempDir::new().unwrap(), Gpg::new());
    let fingerprint = gpg.key("old", "ed25519", Some("20200101T000000"));
    let path = small_rpm(dir.path());
    gpg.sign_rpm("old", &path, &[]);
    let late = gpg.sign(b"data", &["--detach-sign"]);
    let early = gpg.sign(b"data", &["--faked-system-time", "20200601T000000", "--detach-sign"]);
    let ring = keyring(&gpg.export("old", false));
    verify_rpm(&path, &ring, None).unwrap();
    for signature in [&late, &early] {
        assert_eq!(verify_detached(b"data", signature, &ring).unwrap(), fingerprint);
    }
    // Now the key ends in 2021: what it signed before still counts.
    gpg.run(&["--faked-system-time", "20200102T000000", "--quick-set-expire", &fingerprint, "1y"]);
    let ring = keyring(&gpg.export("old", false));
    let refused = |got: Result<String, PackageError>, reason: &str| match got {
        Err(PackageError::SignatureRefused { reason: got, .. }) => assert!(got.contains(reason), "{got}"),
        other => panic!("{other:?}"),
    };
    assert_eq!(verify_detached(b"data", &early, &ring).unwrap(), fingerprint);
    refused(verify_detached(b"data", &late, &ring), "expired");
    refused(verify_rpm(&path, &ring, None).map(|package| format!("{package:?}")), "expired");
    // A revocation without a reason takes back everything.
    let certificate = Path::new(gpg.home()).join(format!("openpgp-revocs.d/{fingerprint}.rev"));
    let revocation = fs::read_to_string(&certificate).unwrap().replace(":-----", "-----");
    fs::write(&certificate, revocation).unwrap();
    gpg.run(&["--import", text(&certificate)]);
    let ring = keyring(&gpg.export("old", false));
    refused(verify_detached(b"data", &early, &ring), "revoked");
}

#[test]
fn clear_signed_and_detached_texts_need_one_good_signature() {
    if !have(&["gpg", "gpgconf"]) {
        return;
    }
    let gpg = Gpg::new();
    gpg.key("first", "rsa2048", None);
    gpg.key("second", "ed25519", None);
    gpg.run(&["--quick-gen-key", "master", "rsa2048", "cert", "never"]);
    let master = gpg.fingerprint("master");
    gpg.run(&["--quick-add-key", &master, "rsa2048", "sign", "never"]);
    let text = b"Origin: x\n- dash\n-----BEGIN\ntrailing  \t\n\nlast\n";
    let both = ["--local-user", "first", "--local-user", "second"];
    let cleartext = gpg.sign(text, &[&both[..], &["--clear-sign"]].concat());
    let armored = gpg.sign(text, &[&both[..], &["--armor", "--detach-sign"]].concat());
    for name in ["first", "second"] {
        let ring = keyring(&gpg.export(name, true));
        let signed = verify_cleartext(&cleartext, &ring).unwrap();
        assert_eq!(String::from_utf8_lossy(&signed.text), "Origin: x\n- dash\n-----BEGIN\ntrailing\n\nlast\n");
        assert_eq!(signed.fingerprint, gpg.fingerprint(name));
        verify_detached(text, &armored, &ring).unwrap();
        let changed = String::from_utf8(cleartext.clone()).unwrap().replace("Origin: x", "Origin: y");
        assert!(matches!(verify_cleartext(changed.as_bytes(), &ring), Err(PackageError::BadSignature { .. })));
        assert!(matches!(verify_detached(b"other", &armored, &ring), Err(PackageError::BadSignature { .. })));
    }
    // A subkey signs for its certificate.
    let by_subkey = gpg.sign(text, &["--local-user", "master", "--clear-sign"]);
    let ring = keyring(&gpg.export("master", false));
    assert_eq!(verify_cleartext(&by_subkey, &ring).unwrap().fingerprint, master);
    assert!(matches!(verify_cleartext(&cleartext, &ring), Err(PackageError::KeyMissing { .. })));
    assert!(matches!(verify_cleartext(text, &ring), Err(PackageError::Unsigned { .. })));
    let hidden = [b"Origin: evil\n".as_slice(), &by_subkey].concat();
    assert!(matches!(verify_cleartext(&hidden, &ring), Err(PackageError::Unsigned { .. })));
    let behind = [&by_subkey[..], b"Origin: evil\n"].concat();
    assert!(matches!(verify_cleartext(&behind, &ring), Err(PackageError::MalformedSignature { .. })));
    // Weak hashes are refused although the signature is right.
    let weak = ["--local-user", "first", "--digest-algo", "SHA1", "--allow-weak-digest-algos", "--detach-sign"];
    let weak = gpg.sign(text, &weak);
    let ring = keyring(&gpg.export("first", false));
    match verify_detached(text, &weak, &ring) {
        Err(PackageError::SignatureRefused { reason, .. }) => assert!(reason.contains("SHA1"), "{reason}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn keyrings_take_many_certificates_armoured_or_binary() {
    if !have(&["gpg", "gpgconf"]) {
        return;
    }
    let gpg = Gpg::new();
    let prints = [gpg.key("a", "ed25519", None), gpg.key("b", "nistp256", None)];
    let binary = [gpg.export("a", false), gpg.export("b", false)].concat();
    let armored = [b"# a\n".to_vec(), gpg.export("a", true), b"\n# b\n".to_vec(), gpg.export("b", true)].concat();
    for bytes in [&binary, &armored] {
        let mut ring = Keyring::new();
        assert!(ring.is_empty());
        assert_eq!(ring.add(bytes).unwrap(), 2);
        assert_eq!(ring.fingerprints(), prints);
        assert_eq!(ring.add(bytes).unwrap(), 0, "they are there already");
        let mut again = Keyring::new();
        assert_eq!(again.add(ring.to_armored().as_bytes()).unwrap(), 2);
        assert_eq!(again.fingerprints(), prints);
    }
    assert!(matches!(Keyring::new().add(b"no key"), Err(PackageError::BadKey { .. })));
}

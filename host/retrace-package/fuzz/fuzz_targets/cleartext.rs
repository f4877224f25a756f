//! Any bytes are a signature that does not count, and a file of keys or a clear error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use retrace_package::{Keyring, verify_cleartext, verify_detached};

fuzz_target!(|bytes: &[u8]| {
    let mut keyring = Keyring::new();
    if keyring.add(bytes).is_ok() {
        let mut again = Keyring::new();
        assert!(again.add(keyring.to_armored().as_bytes()).is_ok());
    }
    let empty = Keyring::new();
    assert!(verify_cleartext(bytes, &empty).is_err());
    assert!(verify_detached(b"data", bytes, &empty).is_err());
    let signed = [b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n", bytes].concat();
    assert!(verify_cleartext(&signed, &empty).is_err());
    let _ = verify_cleartext(&signed, &keyring);
});

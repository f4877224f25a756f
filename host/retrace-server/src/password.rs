//! Passwords of tasks: random, told once, stored as a digest.

use std::io;

use retrace_types::Sha256;
use sha2::{Digest as _, Sha256 as Hasher};
use subtle::ConstantTimeEq as _;

/// Length of a password; the predecessor's default (`TaskPassLength`).
const LENGTH: usize = 32;

const ALPHABET: &[u8; 62] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// A new password: about 190 bits.
pub(crate) fn generate() -> io::Result<String> {
    let mut password = String::with_capacity(LENGTH);
    while password.len() < LENGTH {
        let mut random = [0; 64];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        // Six bits choose one of 64; the two that have no letter are drawn again, so that all are equally likely.
        let letters = random.iter().filter_map(|byte| ALPHABET.get(usize::from(byte & 63)));
        password.extend(letters.map(|letter| char::from(*letter)).take(LENGTH - password.len()));
    }
    Ok(password)
}

/// What is stored. A password is random, so that one round of SHA-256 is enough.
pub(crate) fn digest(password: &[u8]) -> Sha256 {
    Sha256::from_bytes(Hasher::digest(password).into())
}

/// Compares in constant time.
pub(crate) fn matches(password: &[u8], stored: &Sha256) -> bool {
    digest(password).as_bytes().ct_eq(stored.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_long_different_and_match_only_themselves() {
        let (a, b) = (generate().unwrap(), generate().unwrap());
        assert_eq!(a.len(), LENGTH);
        assert!(a.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        assert_ne!(a, b);
        assert!(matches(a.as_bytes(), &digest(a.as_bytes())));
        assert!(!matches(b.as_bytes(), &digest(a.as_bytes())));
        assert!(!matches(b"", &digest(a.as_bytes())));
    }
}

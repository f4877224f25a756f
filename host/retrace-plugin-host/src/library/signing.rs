//! The author's side: making a key, signing a plugin.
//!
//! Keys are OpenPGP version 4 with EdDSA over Curve25519, which GnuPG 2.1 and later read; any OpenPGP key that can sign
//! works, GnuPG's exported ones too.

use std::time::Duration;

use pgp::{
    composed::{ArmorOptions, KeyType, SignedKeyDetails, SignedSecretKey},
    packet::{
        Features, KeyFlags, PubKeyInner, PublicKey, SecretKey, SignatureConfig, SignatureType, Subpacket,
        SubpacketData, UserId,
    },
    types::{KeyDetails as _, KeyVersion, Password, Tag, Timestamp},
};
use rand::rngs::OsRng;
pub use retrace_package::MAX_SECRET_KEY_BYTES;
use retrace_package::{SignError, Signer};

/// A new key pair.
pub struct NewKey {
    /// The secret key, armoured: for a file that its owner alone can read.
    pub secret: String,
    /// The public key, armoured: for whoever installs the plugins.
    pub public: String,
    /// Fingerprint, upper-case hex.
    pub fingerprint: String,
}

/// A signature that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSignature {
    /// Detached and armoured.
    pub armored: String,
    /// Fingerprint of the certificate, upper-case hex.
    pub fingerprint: String,
}

/// Why no key or no signature was made.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// The name in the key is missing or too long.
    #[error(
        "a key needs a name of 1 to 200 characters without line breaks: --name 'Acme plugins <plugins@acme.example>'"
    )]
    Name,
    /// A lifetime that OpenPGP cannot express.
    #[error("a key lives from one day to 100 years: give --expires-days between 1 and 36500")]
    Lifetime,
    /// A passphrase without content would look like protection.
    #[error("the passphrase is empty: give one, or none at all")]
    EmptyPassphrase,
    /// The key cannot sign.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The library failed.
    #[error("OpenPGP failed: {0}")]
    OpenPgp(#[from] pgp::errors::Error),
}

impl std::fmt::Debug for NewKey {
    /// Without the secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewKey").field("fingerprint", &self.fingerprint).finish_non_exhaustive()
    }
}

/// Makes a key pair with the randomness of the system. `passphrase` protects the secret key; `lifetime` is how long it may
/// sign, counted from now, without limit if it is `None`.
///
/// # Errors
/// [`SigningError`].
pub fn generate_key(name: &str, passphrase: Option<&str>, lifetime: Option<Duration>) -> Result<NewKey, SigningError> {
    if name.trim().is_empty() || name.chars().count() > 200 || name.chars().any(char::is_control) {
        return Err(SigningError::Name);
    }
    if passphrase == Some("") {
        return Err(SigningError::EmptyPassphrase);
    }
    let day = Duration::from_secs(24 * 60 * 60);
    if lifetime.is_some_and(|lifetime| lifetime < day || lifetime > day * 36_500) {
        return Err(SigningError::Lifetime);
    }
    let kind = KeyType::Ed25519Legacy;
    let (public, secret) = kind.generate(OsRng)?;
    let inner = PubKeyInner::new(KeyVersion::V4, kind.to_alg(), Timestamp::now(), None, public)?;
    let public = PublicKey::from_inner(inner)?;
    let mut primary = SecretKey::new(public.clone(), secret)?;
    let user = UserId::from_str(Default::default(), name)?;
    let config = self_signature(&primary, lifetime)?;
    let signature = config.sign_certification(&primary, &public, &Password::empty(), Tag::UserId, &user)?;
    if let Some(passphrase) = passphrase {
        primary.set_password(OsRng, &passphrase.into())?;
    }
    let details = SignedKeyDetails::new(Vec::new(), Vec::new(), vec![user.into_signed(signature)], Vec::new());
    let key = SignedSecretKey::new(primary, details, Vec::new(), Vec::new());
    Ok(NewKey {
        secret: key.to_armored_string(ArmorOptions::default())?,
        public: key.to_public_key().to_armored_string(ArmorOptions::default())?,
        fingerprint: format!("{:X}", key.primary_key.fingerprint()),
    })
}

/// What the key says of itself: it certifies and signs, and for how long.
fn self_signature(key: &SecretKey, lifetime: Option<Duration>) -> Result<SignatureConfig, SigningError> {
    let mut flags = KeyFlags::default();
    flags.set_certify(true);
    flags.set_sign(true);
    let mut hashed = vec![
        SubpacketData::SignatureCreationTime(Timestamp::now()),
        SubpacketData::IssuerFingerprint(key.fingerprint()),
        SubpacketData::KeyFlags(flags),
        SubpacketData::Features(Features::default()),
        SubpacketData::IsPrimary(true),
    ];
    if let Some(lifetime) = lifetime {
        let lifetime = lifetime.try_into().map_err(|_| SigningError::Lifetime)?;
        hashed.push(SubpacketData::KeyExpirationTime(lifetime));
    }
    let mut config = SignatureConfig::from_key(OsRng, key, SignatureType::CertPositive)?;
    config.hashed_subpackets = hashed.into_iter().map(Subpacket::regular).collect::<Result<_, _>>()?;
    config.unhashed_subpackets = vec![Subpacket::regular(SubpacketData::IssuerKeyId(key.legacy_key_id()))?];
    Ok(config)
}

/// Signs bytes with the first secret key of an armoured or binary file, as [`Signer`] does.
///
/// # Errors
/// [`SigningError::Sign`].
pub fn sign(secret_key: &[u8], passphrase: Option<&str>, bytes: &[u8]) -> Result<NewSignature, SigningError> {
    let signer = Signer::new(secret_key, passphrase)?;
    let armored = signer.detached(bytes)?;
    Ok(NewSignature { armored, fingerprint: signer.fingerprint().to_owned() })
}

#[cfg(test)]
mod tests {
    use retrace_package::{Keyring, verify_detached_now};

    use super::*;

    fn verify(key: &NewKey, bytes: &[u8], signature: &NewSignature) -> Result<String, String> {
        let mut keyring = Keyring::new();
        keyring.add(key.public.as_bytes()).unwrap();
        verify_detached_now(bytes, signature.armored.as_bytes(), &keyring).map_err(|error| error.to_string())
    }

    #[test]
    fn what_a_new_key_signs_is_verified() {
        let key = generate_key("Acme <a@example.org>", None, None).unwrap();
        let signature = sign(key.secret.as_bytes(), None, b"plugin").unwrap();
        assert_eq!(signature.fingerprint, key.fingerprint);
        assert_eq!(verify(&key, b"plugin", &signature).unwrap(), key.fingerprint);
        assert!(verify(&key, b"plugin\n", &signature).is_err());
        let other = generate_key("Acme <a@example.org>", None, None).unwrap();
        assert!(verify(&other, b"plugin", &signature).is_err());
    }

    #[test]
    fn a_protected_key_needs_its_passphrase() {
        let year = Duration::from_secs(365 * 24 * 60 * 60);
        let key = generate_key("Acme", Some("open sesame"), Some(year)).unwrap();
        assert!(!format!("{key:?}").contains("BEGIN"));
        assert!(matches!(sign(key.secret.as_bytes(), None, b"x"), Err(SigningError::Sign(SignError::Locked))));
        let wrong = sign(key.secret.as_bytes(), Some("open barley"), b"x");
        assert!(matches!(wrong, Err(SigningError::Sign(SignError::CannotSign { .. }))), "{wrong:?}");
        let signature = sign(key.secret.as_bytes(), Some("open sesame"), b"x").unwrap();
        verify(&key, b"x", &signature).unwrap();
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for name in ["", "  ", "a\nb", &"a".repeat(201)] {
            assert!(matches!(generate_key(name, None, None), Err(SigningError::Name)), "name: {name:?}");
        }
        assert!(matches!(generate_key("a", Some(""), None), Err(SigningError::EmptyPassphrase)));
        for days in [0, 36_501] {
            let lifetime = Some(Duration::from_secs(days * 24 * 60 * 60));
            assert!(matches!(generate_key("a", None, lifetime), Err(SigningError::Lifetime)));
        }
        let public = generate_key("a", None, None).unwrap().public;
        for no_key in [b"".as_slice(), b"junk", public.as_bytes()] {
            assert!(matches!(sign(no_key, None, b"x"), Err(SigningError::Sign(SignError::NoSecretKey(_)))));
        }
    }
}

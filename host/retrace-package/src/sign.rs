//! Signing, for those who give something away: authors of plugins, operators who publish a repository.

use pgp::{
    composed::{
        ArmorOptions, CleartextSignedMessage, Deserializable as _, DetachedSignature, SignedSecretKey,
        SignedSecretSubKey,
    },
    packet::SecretKey,
    types::{KeyDetails as _, Password, SigningKey as _},
};
use rand::rngs::OsRng;

use crate::{Keyring, verify_cleartext, verify_detached_now};

/// Bytes of a file with a secret key.
pub const MAX_SECRET_KEY_BYTES: u64 = 1 << 20;

/// Why nothing was signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The file holds no secret key.
    #[error(
        "the file holds no OpenPGP secret key ({0}): make one with `retrace plugin keygen`, or export one with `gpg --armor --export-secret-keys`"
    )]
    NoSecretKey(String),
    /// The key is locked.
    #[error(
        "the secret key is protected: give its passphrase in RETRACE_SIGNING_PASSPHRASE or in a file (--passphrase-file, for a tree publish.passphrase_file of the configuration)"
    )]
    Locked,
    /// None of its parts can sign today.
    #[error("the key {fingerprint} cannot sign ({reason})")]
    CannotSign {
        /// Fingerprint of the certificate.
        fingerprint: String,
        /// What the last try said: a wrong passphrase, an expired key.
        reason: String,
    },
    /// The library failed.
    #[error("OpenPGP failed: {0}")]
    OpenPgp(#[from] pgp::errors::Error),
}

/// A secret key that signs. Of a key with subkeys, the newest part that may sign is used, as GnuPG does; every signature
/// is verified before it is given away.
pub struct Signer {
    key: SignedSecretKey,
    password: Password,
    public: String,
    keyring: Keyring,
    fingerprint: String,
}

/// A part of a key.
enum Part<'a> {
    Primary(&'a SecretKey),
    Subkey(&'a SignedSecretSubKey),
}

impl std::fmt::Debug for Signer {
    /// Without the secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("fingerprint", &self.fingerprint).finish_non_exhaustive()
    }
}

impl Signer {
    /// Takes the first secret key of an armoured or binary file.
    ///
    /// # Errors
    /// [`SignError::NoSecretKey`]; [`SignError::Locked`] if it needs a passphrase and there is none;
    /// [`SignError::CannotSign`] if no part of it is for signing.
    pub fn new(secret_key: &[u8], passphrase: Option<&str>) -> Result<Self, SignError> {
        let no_key = |error: pgp::errors::Error| SignError::NoSecretKey(error.to_string());
        let (key, _) = SignedSecretKey::from_reader_single(secret_key).map_err(no_key)?;
        let fingerprint = format!("{:X}", key.primary_key.fingerprint());
        let locked = key.primary_key.secret_params().is_encrypted()
            || key.secret_subkeys.iter().any(|subkey| subkey.key.secret_params().is_encrypted());
        if locked && passphrase.is_none() {
            return Err(SignError::Locked);
        }
        let public = key.to_public_key().to_armored_string(ArmorOptions::default())?;
        let mut keyring = Keyring::new();
        keyring
            .add(public.as_bytes())
            .map_err(|error| SignError::CannotSign { fingerprint: fingerprint.clone(), reason: error.to_string() })?;
        let password = passphrase.map_or_else(Password::empty, Password::from);
        Ok(Self { key, password, public, keyring, fingerprint })
    }

    /// Fingerprint of the certificate, upper-case hex.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The public key, armoured: for those who verify.
    #[must_use]
    pub fn public_key(&self) -> &str {
        &self.public
    }

    /// A detached, armoured signature of these bytes.
    ///
    /// # Errors
    /// [`SignError::CannotSign`], also for a wrong passphrase.
    pub fn detached(&self, bytes: &[u8]) -> Result<String, SignError> {
        self.by_some_part(|part| {
            let armored = part.detached(&self.password, bytes).map_err(|error| error.to_string())?;
            verify_detached_now(bytes, armored.as_bytes(), &self.keyring).map_err(|error| error.to_string())?;
            Ok(armored)
        })
    }

    /// The text with its signature around it, as Debian's `InRelease` has it. Neither spaces at the end of a line nor the
    /// last line end are covered by such a signature: a text should have none of those, and the last line end is added.
    ///
    /// # Errors
    /// [`SignError::CannotSign`], also for a wrong passphrase.
    pub fn cleartext(&self, text: &str) -> Result<String, SignError> {
        let text = text.strip_suffix('\n').unwrap_or(text);
        self.by_some_part(|part| {
            let signed = part.cleartext(&self.password, text).map_err(|error| error.to_string())?;
            verify_cleartext(signed.as_bytes(), &self.keyring).map_err(|error| error.to_string())?;
            Ok(signed)
        })
    }

    fn by_some_part(&self, sign: impl Fn(&Part<'_>) -> Result<String, String>) -> Result<String, SignError> {
        let mut subkeys: Vec<_> =
            self.key.secret_subkeys.iter().filter(|subkey| subkey.key.algorithm().can_sign()).collect();
        subkeys.sort_by_key(|subkey| std::cmp::Reverse(subkey.key.created_at()));
        let parts = subkeys.into_iter().map(Part::Subkey).chain([Part::Primary(&self.key.primary_key)]);
        let mut reason = "it has no part that can sign".to_owned();
        for part in parts {
            match sign(&part) {
                Ok(signed) => return Ok(signed),
                Err(why) => reason = why,
            }
        }
        Err(SignError::CannotSign { fingerprint: self.fingerprint.clone(), reason })
    }
}

impl Part<'_> {
    fn detached(&self, password: &Password, bytes: &[u8]) -> pgp::errors::Result<String> {
        let signature = match self {
            Self::Primary(key) => DetachedSignature::sign_binary_data(OsRng, *key, password, key.hash_alg(), bytes),
            Self::Subkey(subkey) => {
                DetachedSignature::sign_binary_data(OsRng, &subkey.key, password, subkey.key.hash_alg(), bytes)
            }
        };
        signature?.to_armored_string(ArmorOptions::default())
    }

    fn cleartext(&self, password: &Password, text: &str) -> pgp::errors::Result<String> {
        let signed = match self {
            Self::Primary(key) => CleartextSignedMessage::sign(OsRng, text, *key, password),
            Self::Subkey(subkey) => CleartextSignedMessage::sign(OsRng, text, &subkey.key, password),
        };
        signed?.to_armored_string(ArmorOptions::default())
    }
}

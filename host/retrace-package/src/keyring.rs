use std::io::{self, Read};

use pgp::{
    armor::{self, BlockType, Dearmor},
    composed::{Deserializable as _, SignedPublicKey},
    packet::Signature,
    ser::Serialize,
    types::KeyDetails as _,
};

use crate::{
    PackageError,
    certificate::{Certificate, SigningKey},
};

const BEGIN: &[u8] = b"-----BEGIN PGP PUBLIC KEY BLOCK-----";
const END: &[u8] = b"-----END PGP PUBLIC KEY BLOCK-----";
/// Bytes of one file of keys; the keyring of all Debian developers has 25 MiB.
const MAX_BYTES: usize = 64 << 20;
/// Certificates in one file.
const MAX_CERTIFICATES: usize = 10_000;

/// Certificates that may sign packages and metadata.
#[derive(Clone, Debug, Default)]
pub struct Keyring {
    certificates: Vec<Certificate>,
}

impl Keyring {
    /// A keyring without certificates: everything verified with it fails.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds all certificates of an armoured or binary file and returns how many were added. Armoured files may hold
    /// several blocks with text between them. Left out without an error: a certificate with an algorithm that is not
    /// known, or without a key that can sign. One that is there already learns what the file says beside: a revocation in any
    /// copy counts.
    ///
    /// # Errors
    /// [`PackageError::BadKey`] if not one certificate could be used.
    pub fn add(&mut self, bytes: &[u8]) -> Result<usize, PackageError> {
        let bad = |reason: &str| PackageError::BadKey { reason: reason.to_owned() };
        if bytes.len() > MAX_BYTES {
            return Err(bad("the file has more than 64 MiB"));
        }
        let parsed = if bytes.first().is_some_and(|byte| byte & 0x80 != 0) {
            parse(bytes)
        } else {
            armored_blocks(bytes).flat_map(parse).take(MAX_CERTIFICATES).collect()
        };
        if parsed.is_empty() {
            return Err(bad("no public key was found in the file"));
        }
        let (mut added, mut is_usable) = (0, false);
        for public in parsed {
            let fingerprint = public.primary_key.fingerprint();
            let known =
                self.certificates.iter_mut().find(|known| known.public.primary_key.fingerprint() == fingerprint);
            if let Some(known) = known {
                if known.public != public {
                    known.merge(public);
                }
                is_usable |= !known.keys().is_empty();
                continue;
            }
            // Kept without a usable key as well: it may be the copy that says why.
            let certificate = Certificate::new(public);
            if !certificate.keys().is_empty() {
                (added, is_usable) = (added + 1, true);
            }
            self.certificates.push(certificate);
        }
        if is_usable {
            Ok(added)
        } else {
            Err(bad("no key of the file can sign data, or none is bound to its certificate"))
        }
    }

    /// Fingerprints of the primary keys, in upper-case hex.
    #[must_use]
    pub fn fingerprints(&self) -> Vec<String> {
        self.usable().map(|certificate| format!("{:X}", certificate.public.fingerprint())).collect()
    }

    /// Whether it has no certificate that can sign.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.usable().next().is_none()
    }

    fn usable(&self) -> impl Iterator<Item = &Certificate> {
        self.certificates.iter().filter(|certificate| !certificate.keys().is_empty())
    }

    /// All certificates in one armoured block, which [`Self::add`] reads. Empty for an empty keyring.
    #[must_use]
    pub fn to_armored(&self) -> String {
        if self.is_empty() {
            return String::new();
        }
        let mut out = Vec::new();
        // Writing to a Vec cannot fail, and what was parsed can be written.
        let _ = armor::write(self, BlockType::PublicKey, &mut out, None, true);
        String::from_utf8_lossy(&out).into_owned()
    }

    /// Keys that may have made this signature, by the issuer that it names.
    pub(crate) fn candidates<'a>(&'a self, signature: &'a Signature) -> impl Iterator<Item = &'a SigningKey> {
        let ids = signature.issuer_key_id();
        let fingerprints = signature.issuer_fingerprint();
        self.certificates.iter().flat_map(Certificate::keys).filter(move |key| {
            fingerprints.contains(&&key.fingerprint()) || (fingerprints.is_empty() && ids.contains(&&key.key_id()))
        })
    }
}

impl Serialize for Keyring {
    fn to_writer<W: io::Write>(&self, writer: &mut W) -> pgp::errors::Result<()> {
        self.certificates.iter().try_for_each(|certificate| certificate.public.to_writer(writer))
    }

    fn write_len(&self) -> usize {
        self.certificates.iter().map(|certificate| certificate.public.write_len()).sum()
    }
}

/// Certificates of a binary keyring; those that cannot be read are left out.
fn parse(bytes: impl AsRef<[u8]>) -> Vec<SignedPublicKey> {
    match SignedPublicKey::from_bytes_many(bytes.as_ref()) {
        Ok(keys) => keys.take(MAX_CERTIFICATES).filter_map(Result::ok).collect(),
        Err(_) => Vec::new(),
    }
}

/// Contents of the blocks of an armoured file.
fn armored_blocks(mut bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    std::iter::from_fn(move || {
        let start = find(bytes, BEGIN)?;
        let rest = bytes.get(start..)?;
        let end = find(rest, END)? + END.len();
        bytes = rest.get(end..).unwrap_or_default();
        let mut content = Vec::new();
        // A damaged block gives what could be read of it; its certificates are then checked like any other.
        let _ = Dearmor::new(rest.get(..end)?).read_to_end(&mut content);
        Some(content)
    })
    .take(MAX_CERTIFICATES)
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

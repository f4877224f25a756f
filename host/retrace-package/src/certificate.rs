//! When the keys of a certificate may sign data. Source: RFC 9580, sections 5.2.3 and 10.1.

use pgp::{
    composed::{SignedPublicKey, SignedPublicSubKey},
    crypto::hash::HashAlgorithm,
    packet::{PublicKey, PublicSubkey, RevocationCode, Signature, SignatureType, SubpacketData},
    types::{Fingerprint, KeyDetails as _, KeyId, KeyVersion, Tag},
};

/// A certificate and those of its keys that may sign at some time.
#[derive(Clone, Debug)]
pub(crate) struct Certificate {
    pub(crate) public: SignedPublicKey,
    keys: Vec<SigningKey>,
}

/// A key of a certificate and the time in which it may sign.
#[derive(Clone, Debug)]
pub(crate) struct SigningKey {
    key: AnyKey,
    /// Fingerprint of the certificate, that is of its primary key.
    pub(crate) certificate: Fingerprint,
    validity: Vec<Validity>,
}

#[derive(Clone, Debug)]
enum AnyKey {
    Primary(PublicKey),
    Subkey(PublicSubkey),
}

/// Seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Validity {
    created: u64,
    expires: Option<u64>,
    revoked: Option<Revoked>,
}

/// The worst comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Revoked {
    /// The key is in wrong hands: nothing it ever signed counts.
    Compromised,
    /// No reason is given, or one that does not speak for the key: it has to be taken for compromised (RFC 9580, 5.2.3.31).
    Unexplained,
    /// The key was retired or replaced: what it signed before counts.
    Since(u64),
}

impl Certificate {
    /// Reads the self-signatures. Without keys if none is bound to the certificate and may sign.
    ///
    /// Of several valid self-signatures the newest counts, as in GnuPG. Here SHA-1 is accepted: the keyring is what the
    /// operator trusts, and the keys of older releases carry nothing better.
    pub(crate) fn new(public: SignedPublicKey) -> Self {
        let keys = signing_keys(&public).unwrap_or_default();
        Self { public, keys }
    }

    /// Adds what another copy of the certificate says. An old copy knows nothing of the revocation or the new date of expiry
    /// that a later one carries, so that each copy alone may be wrong.
    pub(crate) fn merge(&mut self, other: SignedPublicKey) {
        let mut public = self.public.clone();
        let (known, new) = (&mut public.details, other.details);
        unite(&mut known.revocation_signatures, new.revocation_signatures);
        unite(&mut known.direct_signatures, new.direct_signatures);
        for user in new.users {
            match known.users.iter_mut().find(|known| known.id == user.id) {
                Some(known) => unite(&mut known.signatures, user.signatures),
                None => known.users.push(user),
            }
        }
        for subkey in other.public_subkeys {
            match public.public_subkeys.iter_mut().find(|known| known.key == subkey.key) {
                Some(known) => unite(&mut known.signatures, subkey.signatures),
                None => public.public_subkeys.push(subkey),
            }
        }
        *self = Self::new(public);
    }

    /// Keys that may sign data.
    pub(crate) fn keys(&self) -> &[SigningKey] {
        &self.keys
    }
}

fn unite<T: PartialEq>(known: &mut Vec<T>, new: Vec<T>) {
    for item in new {
        if !known.contains(&item) {
            known.push(item);
        }
    }
}

/// The keys of a certificate that are bound to it and may sign; none without a valid self-signature.
fn signing_keys(public: &SignedPublicKey) -> Option<Vec<SigningKey>> {
    let primary = &public.primary_key;
    if primary.version() < KeyVersion::V4 {
        return None;
    }
    let self_signature = newest(self_signatures(public))?;
    let revoked = revocation(public.details.revocation_signatures.iter().filter(|sig| {
        sig.typ() == Some(SignatureType::KeyRevocation) && is_strong(sig) && sig.verify_key(primary).is_ok()
    }));
    let validity = validity(seconds(primary.created_at()), self_signature, revoked);
    let certificate = primary.fingerprint();
    let mut keys = Vec::new();
    if may_sign(self_signature).unwrap_or(true) {
        let key = AnyKey::Primary(primary.clone());
        keys.push(SigningKey { key, certificate: certificate.clone(), validity: vec![validity] });
    }
    for subkey in &public.public_subkeys {
        let Some(own) = subkey_validity(subkey, primary) else { continue };
        let key = AnyKey::Subkey(subkey.key.clone());
        keys.push(SigningKey { key, certificate: certificate.clone(), validity: vec![validity, own] });
    }
    Some(keys)
}

impl SigningKey {
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        match &self.key {
            AnyKey::Primary(key) => key.fingerprint(),
            AnyKey::Subkey(key) => key.fingerprint(),
        }
    }

    pub(crate) fn key_id(&self) -> KeyId {
        match &self.key {
            AnyKey::Primary(key) => key.legacy_key_id(),
            AnyKey::Subkey(key) => key.legacy_key_id(),
        }
    }

    /// Checks the cryptography of a signature, nothing else.
    pub(crate) fn verify(&self, signature: &Signature, data: impl std::io::Read) -> pgp::errors::Result<()> {
        match &self.key {
            AnyKey::Primary(key) => signature.verify(key, data),
            AnyKey::Subkey(key) => signature.verify(key, data),
        }
    }

    /// Why the key may not sign any more at this time, which lies after the signature's; none if it may.
    pub(crate) fn retired(&self, now: u64) -> Option<&'static str> {
        self.validity.iter().find_map(|validity| match validity.revoked {
            Some(Revoked::Compromised) => {
                Some("its key was revoked as compromised; have it signed again with another key")
            }
            Some(_) => Some("its key was revoked since; have it signed again with a key that is in use"),
            None if validity.expires.is_some_and(|expires| now >= expires) => {
                Some("its key has expired since; have it signed again, or get the key with its new date of expiry")
            }
            None => None,
        })
    }

    /// Why the key could not sign at this time (seconds since 1970); none if it could.
    pub(crate) fn objection(&self, time: u64) -> Option<String> {
        self.validity.iter().find_map(|validity| validity.objection(time))
    }
}

impl Validity {
    fn objection(&self, time: u64) -> Option<String> {
        if time < self.created {
            return Some("it was made before its key was".to_owned());
        }
        match self.revoked {
            Some(Revoked::Compromised) => {
                return Some("its key was revoked as compromised: nothing that it ever signed counts".to_owned());
            }
            Some(Revoked::Unexplained) => {
                let reason = "its key was revoked, and not as merely retired: nothing that it ever signed counts";
                return Some(reason.to_owned());
            }
            Some(Revoked::Since(since)) if time >= since => {
                return Some("it was made after its key was retired".to_owned());
            }
            _ => {}
        }
        match self.expires {
            Some(expires) if time >= expires => Some("it was made after its key had expired".to_owned()),
            _ => None,
        }
    }
}

/// Valid self-signatures of the primary key: direct ones, and those over user ids that are not revoked.
fn self_signatures(public: &SignedPublicKey) -> impl Iterator<Item = &Signature> {
    let primary = &public.primary_key;
    let direct = public
        .details
        .direct_signatures
        .iter()
        .filter(|sig| sig.typ() == Some(SignatureType::Key) && is_strong(sig) && sig.verify_key(primary).is_ok());
    let users = public.details.users.iter().flat_map(move |user| {
        let of_primary = user.signatures.iter().filter(move |sig| {
            names(sig, primary) && is_strong(sig) && sig.verify_certification(primary, Tag::UserId, &user.id).is_ok()
        });
        let of_primary: Vec<&Signature> = of_primary.collect();
        let is_revocation = |sig: &&&Signature| sig.typ() == Some(SignatureType::CertRevocation);
        let revoked = of_primary.iter().filter(is_revocation).map(|sig| created(sig)).max();
        of_primary.into_iter().filter(move |sig| {
            sig.typ() != Some(SignatureType::CertRevocation) && revoked.is_none_or(|since| created(sig) > since)
        })
    });
    direct.chain(users)
}

/// When the subkey may sign; none if it may not, or is not bound to the primary key.
fn subkey_validity(subkey: &SignedPublicSubKey, primary: &PublicKey) -> Option<Validity> {
    let bound = subkey.signatures.iter().filter(|sig| is_strong(sig));
    let bound: Vec<&Signature> = bound.filter(|sig| sig.verify_subkey_binding(primary, &subkey.key).is_ok()).collect();
    let of_type = |typ| bound.iter().copied().filter(move |sig| sig.typ() == Some(typ));
    let binding = newest(of_type(SignatureType::SubkeyBinding))?;
    // The subkey must say itself that it belongs to the primary key, or anybody could adopt it.
    let back = binding.embedded_signature().filter(|back| is_strong(back))?;
    if may_sign(binding) != Some(true) || back.verify_primary_key_binding(&subkey.key, primary).is_err() {
        return None;
    }
    let revoked = revocation(of_type(SignatureType::SubkeyRevocation));
    Some(validity(seconds(subkey.key.created_at()), binding, revoked))
}

fn validity(created: u64, self_signature: &Signature, revoked: Option<Revoked>) -> Validity {
    // Zero seconds means that it never expires.
    let lifetime = self_signature.key_expiration_time().map(|time| u64::from(time.as_secs())).filter(|secs| *secs > 0);
    Validity { created, expires: lifetime.map(|secs| created.saturating_add(secs)), revoked }
}

fn revocation<'a>(revocations: impl Iterator<Item = &'a Signature>) -> Option<Revoked> {
    let each = revocations.map(|sig| match sig.revocation_reason_code() {
        Some(RevocationCode::KeySuperseded | RevocationCode::KeyRetired) => Revoked::Since(created(sig)),
        Some(RevocationCode::KeyCompromised) => Revoked::Compromised,
        _ => Revoked::Unexplained,
    });
    each.min()
}

/// Whether the key flags allow to sign data; none without key flags.
fn may_sign(signature: &Signature) -> Option<bool> {
    signature.config()?.hashed_subpackets().find_map(|subpacket| match &subpacket.data {
        SubpacketData::KeyFlags(flags) => Some(flags.sign()),
        _ => None,
    })
}

fn newest<'a>(signatures: impl Iterator<Item = &'a Signature>) -> Option<&'a Signature> {
    signatures.max_by_key(|signature| created(signature))
}

fn is_strong(signature: &Signature) -> bool {
    !matches!(signature.hash_alg(), None | Some(HashAlgorithm::None | HashAlgorithm::Md5))
}

fn names(signature: &Signature, key: &PublicKey) -> bool {
    signature.issuer_key_id().into_iter().any(|id| *id == key.legacy_key_id())
        || signature.issuer_fingerprint().into_iter().any(|fingerprint| *fingerprint == key.fingerprint())
}

/// Seconds since 1970; 0 if the signature does not say.
fn created(signature: &Signature) -> u64 {
    signature.created().map_or(0, seconds)
}

pub(crate) fn seconds(time: pgp::types::Timestamp) -> u64 {
    u64::from(time.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_signs_from_its_making_to_its_end() {
        let key = |expires, revoked| Validity { created: 100, expires, revoked };
        let cases = [
            (key(None, None), 99, false),
            (key(None, None), 100, true),
            (key(Some(200), None), 199, true),
            (key(Some(200), None), 200, false),
            (key(None, Some(Revoked::Since(150))), 149, true),
            (key(None, Some(Revoked::Since(150))), 150, false),
            (key(None, Some(Revoked::Unexplained)), 149, false),
            (key(None, Some(Revoked::Compromised)), 149, false),
        ];
        for (validity, time, good) in cases {
            assert_eq!(validity.objection(time).is_none(), good, "{validity:?} at {time}");
        }
    }
}

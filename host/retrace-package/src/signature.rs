use std::{
    io::{self, Read},
    time::{SystemTime, UNIX_EPOCH},
};

use pgp::{
    armor::Dearmor,
    crypto::hash::HashAlgorithm,
    packet::{Packet, PacketParser, Signature, SignatureType, SubpacketData},
};

use crate::{
    Keyring, PackageError,
    certificate::{SigningKey, seconds},
    error::Fault,
};

const BEGIN_MESSAGE: &[u8] = b"-----BEGIN PGP SIGNED MESSAGE-----";
const BEGIN_SIGNATURE: &[u8] = b"-----BEGIN PGP SIGNATURE-----";
const END_SIGNATURE: &[u8] = b"-----END PGP SIGNATURE-----";

/// Signatures of one text that are looked at; Debian's releases carry up to four.
const MAX_SIGNATURES: usize = 32;
/// Bytes of all signatures of one text.
const MAX_SIGNATURE_BYTES: usize = 1 << 20;
/// Seconds that a signature may be ahead of our clock.
const MAX_CLOCK_SKEW: u64 = 24 * 60 * 60;

/// A text whose signature was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedText {
    /// The signed text with `\n` as line end and without the spaces at the end of its lines, which a signature does not
    /// cover.
    pub text: Vec<u8>,
    /// Fingerprint of the certificate that signed it, in upper-case hex.
    pub fingerprint: String,
}

/// Verifies a clear-signed text such as Debian's `InRelease`: one good signature by a key of `keyring` suffices.
/// Nothing may stand in front of the text or behind its signature.
///
/// Source: RFC 9580, section 7.
///
/// # Errors
/// [`PackageError::Unsigned`], [`PackageError::KeyMissing`], [`PackageError::BadSignature`],
/// [`PackageError::SignatureRefused`], or [`PackageError::MalformedSignature`].
pub fn verify_cleartext(signed: &[u8], keyring: &Keyring) -> Result<SignedText, PackageError> {
    let what = "the clear-signed text";
    if !trim_end(first_line(signed)).eq(BEGIN_MESSAGE) {
        return Err(PackageError::Unsigned { what: what.to_owned() });
    }
    let (lines, armored) = split_cleartext(signed)
        .map_err(|reason| PackageError::MalformedSignature { what: what.to_owned(), reason: reason.to_owned() })?;
    let signatures = parse_armored(armored);
    let data = lines.join(b"\r\n".as_slice());
    let fingerprint =
        verify_one_of(what, &signatures, &[SignatureType::Text, SignatureType::Binary], keyring, || Ok(&*data))?;
    let mut text = lines.join(b"\n".as_slice());
    text.push(b'\n');
    Ok(SignedText { text, fingerprint })
}

/// Verifies `data` by a detached signature, armoured or binary, such as `Release.gpg` or `repomd.xml.asc`: one good
/// signature by a key of `keyring` suffices. Returns the fingerprint of its certificate in upper-case hex.
///
/// # Errors
/// As [`verify_cleartext`].
pub fn verify_detached(data: &[u8], signature: &[u8], keyring: &Keyring) -> Result<String, PackageError> {
    let kinds = [SignatureType::Binary, SignatureType::Text];
    verify_one_of("the file", &parse_detached(signature), &kinds, keyring, || Ok(data))
}

/// As [`verify_detached`], but the key must still be in use: neither expired nor revoked since, and the signature must
/// cover the bytes as they are. For code that is run: whoever finds an old key can date a signature back.
///
/// # Errors
/// As [`verify_cleartext`].
pub fn verify_detached_now(data: &[u8], signature: &[u8], keyring: &Keyring) -> Result<String, PackageError> {
    let signatures = parse_detached(signature);
    verify_with("the file", &signatures, &[SignatureType::Binary], keyring, || Ok(data), SigningKey::retired)
}

fn parse_detached(signature: &[u8]) -> Vec<Signature> {
    let is_binary = signature.first().is_some_and(|byte| byte & 0x80 != 0);
    if is_binary { parse_binary(signature) } else { parse_armored(signature) }
}

/// The signatures among these packets. What cannot be read (newer versions, unknown algorithms) is left out.
pub(crate) fn parse_binary(bytes: &[u8]) -> Vec<Signature> {
    let bytes = bytes.get(..MAX_SIGNATURE_BYTES).unwrap_or(bytes);
    let packets = PacketParser::new(bytes).take(MAX_SIGNATURES);
    packets
        .filter_map(|packet| if let Ok(Packet::Signature(signature)) = packet { Some(signature) } else { None })
        .collect()
}

/// Checks that one of the signatures is good: right, by a key of `keyring` that could sign then, with a strong hash,
/// and of one of these types. Returns the fingerprint of its certificate.
///
/// `what` names the signed thing for errors; `data` opens it, once for each signature with a key of `keyring`.
pub(crate) fn verify_one_of<R: Read>(
    what: &str,
    signatures: &[Signature],
    types: &[SignatureType],
    keyring: &Keyring,
    data: impl Fn() -> io::Result<R>,
) -> Result<String, PackageError> {
    verify_with(what, signatures, types, keyring, data, |_, _| None)
}

/// As [`verify_one_of`]; `retired` may object to a key at the present time.
fn verify_with<R: Read>(
    what: &str,
    signatures: &[Signature],
    types: &[SignatureType],
    keyring: &Keyring,
    data: impl Fn() -> io::Result<R>,
    retired: impl Fn(&SigningKey, u64) -> Option<&'static str>,
) -> Result<String, PackageError> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let mut unknown = Vec::new();
    let mut worst = None;
    for signature in signatures.iter().take(MAX_SIGNATURES) {
        let mut candidates = keyring.candidates(signature).peekable();
        if candidates.peek().is_none() {
            unknown.push(issuer(signature));
        }
        for key in candidates {
            let fingerprint = format!("{:X}", key.certificate);
            let refusal = made_at(signature, types, now).map_or_else(Some, |time| key.objection(time));
            let refusal = refusal.or_else(|| retired(key, now).map(str::to_owned));
            if let Some(reason) = refusal {
                worst.get_or_insert(PackageError::SignatureRefused {
                    what: what.to_owned(),
                    issuer: fingerprint,
                    reason,
                });
                continue;
            }
            let data = data().map_err(|source| Fault::Io(source).at(what.as_ref()))?;
            match key.verify(signature, data) {
                Ok(()) => return Ok(fingerprint),
                Err(source) => {
                    let source = Box::new(source);
                    worst = Some(PackageError::BadSignature { what: what.to_owned(), fingerprint, source });
                }
            }
        }
    }
    match worst {
        Some(error) => Err(error),
        None if unknown.is_empty() => Err(PackageError::MalformedSignature {
            what: what.to_owned(),
            reason: "no signature of a known version and algorithm was found".to_owned(),
        }),
        None => Err(PackageError::KeyMissing { what: what.to_owned(), issuers: unknown.join(", ") }),
    }
}

/// When the signature says it was made, in seconds since 1970, or why it cannot count.
fn made_at(signature: &Signature, types: &[SignatureType], now: u64) -> Result<u64, String> {
    let Some(config) = signature.config() else { return Err("its version is not known".to_owned()) };
    if !types.contains(&config.typ()) {
        return Err(format!("its type {:?} is not that of a signature of data", config.typ()));
    }
    let strong = [
        HashAlgorithm::Sha224,
        HashAlgorithm::Sha256,
        HashAlgorithm::Sha384,
        HashAlgorithm::Sha512,
        HashAlgorithm::Sha3_256,
        HashAlgorithm::Sha3_512,
    ];
    if !strong.contains(&config.hash_alg) {
        return Err(format!("its hash {} is too weak; sign again with SHA-256 or better", config.hash_alg));
    }
    let unknown = config.hashed_subpackets().find(|subpacket| {
        subpacket.is_critical
            && matches!(
                subpacket.data,
                SubpacketData::Other(..) | SubpacketData::Experimental(..) | SubpacketData::Notation(_)
            )
    });
    if unknown.is_some() {
        return Err("it makes a condition (critical subpacket) that is not known".to_owned());
    }
    let Some(made) = signature.created().map(seconds) else {
        return Err("it does not say when it was made".to_owned());
    };
    if made > now.saturating_add(MAX_CLOCK_SKEW) {
        return Err("it was made in the future; check the clock of this machine".to_owned());
    }
    let lifetime = signature.signature_expiration_time().map(|time| u64::from(time.as_secs()));
    match lifetime.filter(|secs| *secs > 0) {
        Some(secs) if made.saturating_add(secs) <= now => Err("it has expired".to_owned()),
        _ => Ok(made),
    }
}

fn issuer(signature: &Signature) -> String {
    if let Some(fingerprint) = signature.issuer_fingerprint().first() {
        return format!("{fingerprint:X}");
    }
    match signature.issuer_key_id().first() {
        Some(id) => format!("key id {}", id.to_string().to_uppercase()),
        None => "a key that it does not name".to_owned(),
    }
}

fn parse_armored(bytes: &[u8]) -> Vec<Signature> {
    let mut content = Vec::new();
    let bytes = bytes.get(..2 * MAX_SIGNATURE_BYTES).unwrap_or(bytes);
    // Damaged armour gives what could be read of it; the signatures in it are checked like any other.
    let _ = Dearmor::new(bytes).take(MAX_SIGNATURE_BYTES as u64).read_to_end(&mut content);
    parse_binary(&content)
}

/// The lines of the text as they were signed, and the armoured signature.
fn split_cleartext(signed: &[u8]) -> Result<(Vec<&[u8]>, &[u8]), &'static str> {
    let mut rest = signed;
    let mut next = || -> Result<(&[u8], &[u8]), &'static str> {
        if rest.is_empty() {
            return Err("it ends before its signature");
        }
        let (line, at) = (first_line(rest), rest);
        rest = rest.get(line.len() + 1..).unwrap_or_default();
        Ok((trim_end(line), at))
    };
    next()?;
    loop {
        match next()?.0 {
            b"" => break,
            header if header.starts_with(b"Hash: ") => {}
            _ => return Err("its header has a line other than \"Hash:\""),
        }
    }
    let mut lines = Vec::new();
    let armored = loop {
        let (line, at) = next()?;
        match line.strip_prefix(b"- ") {
            Some(escaped) => lines.push(escaped),
            None if line == BEGIN_SIGNATURE => break at,
            // "- " at the end of a line has lost its space.
            None if line == b"-" => lines.push(b"".as_slice()),
            None if line.starts_with(b"-") => return Err("a line of it starts with an unescaped dash"),
            None => lines.push(line),
        }
    };
    while next()?.0 != END_SIGNATURE {}
    if rest.iter().any(|byte| !byte.is_ascii_whitespace()) {
        return Err("there is text behind it");
    }
    Ok((lines, armored))
}

fn first_line(text: &[u8]) -> &[u8] {
    text.split(|byte| *byte == b'\n').next().unwrap_or_default()
}

/// Without the white space at the end, which is not signed.
fn trim_end(line: &[u8]) -> &[u8] {
    let end = line.iter().rposition(|byte| !matches!(byte, b' ' | b'\t' | b'\r')).map_or(0, |last| last + 1);
    line.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_clear_signed_text_is_split_strictly() {
        let frame = |body: &str, behind: &str| {
            format!(
                "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n{body}-----BEGIN PGP SIGNATURE-----\n\nAA==\n\
                 -----END PGP SIGNATURE-----\n{behind}"
            )
        };
        let cases: [(String, Option<&[u8]>); 7] = [
            (frame("a  \r\n- -b\n\n", ""), Some(b"a|-b|")),
            (frame("", "\n\n"), Some(b"")),
            (frame("a\n", "b\n"), None),
            (frame("-a\n", ""), None),
            (frame("a\n", "").replace("Hash:", "Note:"), None),
            (frame("a\n", "").replace("-----END", "-----XXX"), None),
            ("-----BEGIN PGP SIGNED MESSAGE-----".to_owned(), None),
        ];
        for (text, want) in cases {
            let got = split_cleartext(text.as_bytes()).ok().map(|(lines, _)| lines.join(b"|".as_slice()));
            assert_eq!(got.as_deref(), want, "text: {text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_not_fatal(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let keyring = Keyring::new();
            prop_assert!(verify_cleartext(&bytes, &keyring).is_err());
            prop_assert!(verify_detached(b"data", &bytes, &keyring).is_err());
            prop_assert!(Keyring::new().add(&bytes).is_err());
        }
    }
}

use std::{
    fs::File,
    io::{self, BufReader, Read, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

use pgp::{base64::Base64Decoder, packet::SignatureType};
use retrace_types::{Sha256, SignatureState};
use sha2::{Digest as _, Sha384, Sha512};

use crate::{
    Keyring, Limits, PackageError,
    error::Fault,
    rpm_header::{HeaderBlob, Headers, tag},
    signature::{parse_binary, verify_one_of},
};

/// Bytes read at once while digesting.
const CHUNK_BYTES: usize = 256 << 10;

/// A package file that was verified, or for which the operator switched verification off. The file must not be changed
/// while the value lives: it is opened again by its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedPackage {
    path: PathBuf,
    size_bytes: u64,
    sha256: Sha256,
    signature: SignatureState,
}

impl VerifiedPackage {
    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Digest of the file.
    #[must_use]
    pub fn sha256(&self) -> Sha256 {
        self.sha256
    }

    /// Size of the file.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// What vouches for it.
    #[must_use]
    pub fn signature(&self) -> &SignatureState {
        &self.signature
    }

    /// The same file at another path, for whoever moved or linked it.
    ///
    /// # Errors
    /// [`PackageError::Read`] or [`PackageError::SizeMismatch`] if it is not there with the same size.
    pub fn moved_to(&self, path: &Path) -> Result<Self, PackageError> {
        recorded(path, self.size_bytes, self.sha256, self.signature.clone())
    }

    /// Digests the file again: a disk may have lost bytes since it was verified.
    ///
    /// # Errors
    /// [`PackageError::DigestMismatch`] if it is another file now, [`PackageError::Read`] if it cannot be read.
    pub fn check_bytes(&self) -> Result<(), PackageError> {
        let io = |source: io::Error| Fault::Io(source).at(&self.path);
        let mut file = File::open(&self.path).map_err(io)?;
        let mut digest = sha2::Sha256::new();
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            match file.read(&mut chunk) {
                Ok(0) => break,
                Ok(n) => digest.update(chunk.get(..n).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(io(error)),
            }
        }
        check_file_digest(&self.path, Sha256::from_bytes(digest.finalize().into()), Some(self.sha256))
    }
}

/// Verifies the signature of an .rpm and every byte of the file.
///
/// In this order: the digest of the header, a signature of the header by a key of `keyring`, the digest of the payload
/// that the signed header records, and `expected`. A package whose header is not signed, or does not record a strong
/// digest of its payload (rpm before 4.14), is verified by its signature of header and payload together.
///
/// # Errors
/// [`PackageError::Unsigned`], [`PackageError::KeyMissing`], [`PackageError::BadSignature`],
/// [`PackageError::SignatureRefused`], [`PackageError::DigestMismatch`], [`PackageError::PayloadNotCovered`], or any of
/// a damaged file.
pub fn verify_rpm(path: &Path, keyring: &Keyring, expected: Option<Sha256>) -> Result<VerifiedPackage, PackageError> {
    let at = |fault: Fault| fault.at(path);
    let io = |source: io::Error| Fault::Io(source).at(path);
    let file = File::open(path).map_err(io)?;
    let mut input = Hashing { inner: BufReader::new(&file), digest: sha2::Sha256::new(), bytes: 0 };
    let headers = Headers::read(&mut input, &Limits::default()).map_err(at)?;
    check_header_digest(path, &headers)?;

    let what = path.display().to_string();
    let by_header = header_signatures(&headers.signature, &what)?;
    let by_all = [tag::signature::PGP, tag::signature::GPG];
    let by_all: Vec<&[u8]> = by_all.into_iter().filter_map(|tag| headers.signature.binary(tag)).collect();
    if by_header.is_empty() && by_all.is_empty() {
        return Err(PackageError::Unsigned { what });
    }
    let payload_digest = PayloadDigest::recorded(&headers.main);
    let fingerprint = if !by_header.is_empty() && (payload_digest.is_some() || by_all.is_empty()) {
        let signatures = by_header.iter().flat_map(|bytes| parse_binary(bytes)).collect::<Vec<_>>();
        let data = || Ok(headers.main.bytes.as_slice());
        let fingerprint = verify_one_of(&what, &signatures, &[SignatureType::Binary], keyring, data)?;
        if payload_digest.is_none() {
            return Err(PackageError::PayloadNotCovered { path: path.to_owned() });
        }
        fingerprint
    } else {
        let signatures = by_all.iter().flat_map(|bytes| parse_binary(bytes)).collect::<Vec<_>>();
        let data = || {
            let mut file = File::open(path)?;
            file.seek(SeekFrom::Start(headers.main_offset))?;
            Ok(BufReader::with_capacity(CHUNK_BYTES, file))
        };
        verify_one_of(&what, &signatures, &[SignatureType::Binary], keyring, data)?
    };

    let mut payload = payload_digest.unwrap_or_default();
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match input.read(&mut chunk) {
            Ok(0) => break,
            Ok(n) => payload.update(chunk.get(..n).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(io(error)),
        }
    }
    payload.check(path)?;
    let sha256 = Sha256::from_bytes(input.digest.finalize().into());
    check_file_digest(path, sha256, expected)?;
    let signature = SignatureState::Package { fingerprint };
    Ok(VerifiedPackage { path: path.to_owned(), size_bytes: input.bytes, sha256, signature })
}

/// Digest of an .rpm without its signatures, of header and payload: two files with the same one are the same package, however
/// often it was signed.
///
/// # Errors
/// [`PackageError::NotAPackage`], [`PackageError::Read`], or any of a damaged file.
pub fn rpm_content_sha256(path: &Path) -> Result<Sha256, PackageError> {
    let io = |source: io::Error| Fault::Io(source).at(path);
    let mut file = File::open(path).map_err(io)?;
    let headers = Headers::read(&mut BufReader::new(&file), &Limits::default()).map_err(|fault| fault.at(path))?;
    file.seek(SeekFrom::Start(headers.main_offset)).map_err(io)?;
    let mut input =
        Hashing { inner: BufReader::with_capacity(CHUNK_BYTES, file), digest: sha2::Sha256::new(), bytes: 0 };
    io::copy(&mut input, &mut io::sink()).map_err(io)?;
    Ok(Sha256::from_bytes(input.digest.finalize().into()))
}

/// Verifies a package by size and digest, which verified metadata names: `signature` says what vouches for them.
///
/// # Errors
/// [`PackageError::SizeMismatch`], [`PackageError::DigestMismatch`], or [`PackageError::Read`].
pub fn verify_digest(
    path: &Path,
    size_bytes: u64,
    expected: Sha256,
    signature: SignatureState,
) -> Result<VerifiedPackage, PackageError> {
    let package = recorded(path, size_bytes, expected, signature)?;
    package.check_bytes()?;
    Ok(package)
}

/// A package that was verified before and has been kept where nobody else writes: only its size is checked.
///
/// # Errors
/// [`PackageError::SizeMismatch`], or [`PackageError::Read`] if the file is gone.
pub fn recorded(
    path: &Path,
    size_bytes: u64,
    sha256: Sha256,
    signature: SignatureState,
) -> Result<VerifiedPackage, PackageError> {
    let metadata = std::fs::metadata(path).map_err(|source| Fault::Io(source).at(path))?;
    if metadata.len() != size_bytes {
        let (expected, actual) = (size_bytes, metadata.len());
        return Err(PackageError::SizeMismatch { path: path.to_owned(), expected, actual });
    }
    Ok(VerifiedPackage { path: path.to_owned(), size_bytes, sha256, signature })
}

/// The signatures of the header alone. A package has them as RSA and DSA, or from rpm 6 on in one list; both may be
/// there.
fn header_signatures(header: &HeaderBlob, what: &str) -> Result<Vec<Vec<u8>>, PackageError> {
    let mut signatures = Vec::new();
    for text in header.strings(tag::signature::OPENPGP) {
        let mut bytes = Vec::new();
        // The decoder takes no line breaks.
        let text: Vec<u8> = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
        Base64Decoder::new(text.as_slice()).read_to_end(&mut bytes).map_err(|_| PackageError::MalformedSignature {
            what: what.to_owned(),
            reason: "it is no base64".to_owned(),
        })?;
        signatures.push(bytes);
    }
    let single = [tag::signature::RSA_HEADER, tag::signature::DSA_HEADER];
    signatures.extend(single.into_iter().filter_map(|tag| header.binary(tag)).map(<[u8]>::to_vec));
    Ok(signatures)
}

fn check_header_digest(path: &Path, headers: &Headers) -> Result<(), PackageError> {
    let Some(expected) = headers.signature.string(tag::signature::SHA256_HEADER) else { return Ok(()) };
    let actual = hex(&sha2::Sha256::digest(&headers.main.bytes));
    compare(path, "header", expected, actual)
}

fn check_file_digest(path: &Path, actual: Sha256, expected: Option<Sha256>) -> Result<(), PackageError> {
    match expected {
        Some(expected) => compare(path, "package file", &expected.to_string(), actual.to_string()),
        None => Ok(()),
    }
}

fn compare(path: &Path, what: &'static str, expected: &str, actual: String) -> Result<(), PackageError> {
    if expected.eq_ignore_ascii_case(&actual) {
        return Ok(());
    }
    let expected = expected.chars().take(128).collect();
    Err(PackageError::DigestMismatch { path: path.to_owned(), what, expected, actual })
}

/// The digest of the payload that a header records, and the one of the bytes read so far.
#[derive(Default)]
struct PayloadDigest(Option<(String, Hasher)>);

enum Hasher {
    Sha256(sha2::Sha256),
    Sha384(Sha384),
    Sha512(Sha512),
}

impl PayloadDigest {
    /// None if the header records no digest of a strong hash. Numbers of hashes: RFC 9580, 9.5.
    fn recorded(header: &HeaderBlob) -> Option<Self> {
        let expected = header.string(tag::PAYLOAD_DIGEST)?.to_owned();
        let hasher = match header.integers(tag::PAYLOAD_DIGEST_ALGORITHM).first() {
            Some(8) | None => Hasher::Sha256(sha2::Sha256::new()),
            Some(9) => Hasher::Sha384(Sha384::new()),
            Some(10) => Hasher::Sha512(Sha512::new()),
            Some(_) => return None,
        };
        Some(Self(Some((expected, hasher))))
    }

    fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            Some((_, Hasher::Sha256(digest))) => digest.update(bytes),
            Some((_, Hasher::Sha384(digest))) => digest.update(bytes),
            Some((_, Hasher::Sha512(digest))) => digest.update(bytes),
            None => {}
        }
    }

    fn check(self, path: &Path) -> Result<(), PackageError> {
        let Some((expected, hasher)) = self.0 else { return Ok(()) };
        let actual = match hasher {
            Hasher::Sha256(digest) => hex(&digest.finalize()),
            Hasher::Sha384(digest) => hex(&digest.finalize()),
            Hasher::Sha512(digest) => hex(&digest.finalize()),
        };
        compare(path, "payload", &expected, actual)
    }
}

/// Digests and counts what is read.
struct Hashing<R> {
    inner: R,
    digest: sha2::Sha256,
    bytes: u64,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.digest.update(buf.get(..n).unwrap_or_default());
        self.bytes += n as u64;
        Ok(n)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

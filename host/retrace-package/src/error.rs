use std::{
    io,
    path::{Path, PathBuf},
};

/// Why a package, a signature or a keyring was refused.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// The file cannot be read, or its compressed data is damaged.
    #[error("cannot read {path}: fetch the file again if it is damaged")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system or the decompressor said.
        #[source]
        source: io::Error,
    },
    /// The file is neither .rpm nor .deb.
    #[error("{path} is no package: want a file that starts with the lead of an .rpm or the archive magic of a .deb")]
    NotAPackage {
        /// The file.
        path: PathBuf,
    },
    /// The file breaks its own format.
    #[error("{path} is damaged: {what}; fetch it again")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A member is compressed in a way that this program cannot read.
    #[error("{path} is compressed with {name:?}: want gzip, bzip2, xz, lzma, zstd or nothing")]
    Compression {
        /// The file.
        path: PathBuf,
        /// The compression, as the package names it.
        name: String,
    },
    /// A limit of [`Limits`](crate::Limits) was reached.
    #[error("{path} has {what} beyond the limit of {limit}: raise the limit if the package can be trusted")]
    Limit {
        /// The file.
        path: PathBuf,
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// A name or a link leads out of the package's tree.
    #[error("{path} holds the unsafe name {name:?} ({reason}): the package is refused")]
    UnsafeName {
        /// The file.
        path: PathBuf,
        /// The name, shortened.
        name: String,
        /// What is unsafe about it.
        reason: &'static str,
    },
    /// Symbolic links lead in a circle, or through too many others.
    #[error("{path}: the link {link:?} leads through more than {limit} other links: the package is refused")]
    LinkLoop {
        /// The file.
        path: PathBuf,
        /// Where it starts.
        link: String,
        /// Most links followed.
        limit: usize,
    },
    /// The receiver of a member failed.
    #[error("cannot store {member:?} of {path}")]
    Sink {
        /// The file.
        path: PathBuf,
        /// Path of the member.
        member: String,
        /// What the receiver said.
        #[source]
        source: io::Error,
    },
    /// The file has another size than it should.
    #[error("{path} has {actual} bytes, not {expected}: fetch it again")]
    SizeMismatch {
        /// The file.
        path: PathBuf,
        /// Size that the metadata or the index names.
        expected: u64,
        /// Size on disk.
        actual: u64,
    },
    /// A digest differs from the one recorded for it.
    #[error("the {what} of {path} has the digest {actual}, not {expected}: the file was damaged or replaced")]
    DigestMismatch {
        /// The file.
        path: PathBuf,
        /// What was digested: `package file`, `header`, `payload`.
        what: &'static str,
        /// Digest that was recorded, in hex.
        expected: String,
        /// Digest of the bytes, in hex.
        actual: String,
    },
    /// There is no signature.
    #[error("{what} is not signed: sign it, or switch verification off for its repository")]
    Unsigned {
        /// What should be signed.
        what: String,
    },
    /// The header is signed, but nothing signed speaks for the payload.
    #[error("the signature of {path} does not cover its payload: have the package signed again by rpm 4.14 or later")]
    PayloadNotCovered {
        /// The file.
        path: PathBuf,
    },
    /// No key of the keyring made any of the signatures.
    #[error("{what} is signed by {issuers}, which is not in the keyring: add the key if it can be trusted")]
    KeyMissing {
        /// What is signed.
        what: String,
        /// Fingerprints or key ids that the signatures name, separated by commas.
        issuers: String,
    },
    /// The signature does not belong to these bytes.
    #[error("the signature of {what} by {fingerprint} is wrong: the content was changed after it was signed")]
    BadSignature {
        /// What is signed.
        what: String,
        /// Fingerprint of the key that the signature names, in upper-case hex.
        fingerprint: String,
        /// What the cryptography said.
        #[source]
        source: Box<pgp::errors::Error>,
    },
    /// The signature is not acceptable, whatever it says.
    #[error("the signature of {what} by {issuer} is refused: {reason}")]
    SignatureRefused {
        /// What is signed.
        what: String,
        /// Fingerprint of the key, or what the signature says of it.
        issuer: String,
        /// Why.
        reason: String,
    },
    /// Something that should be a signature is none.
    #[error("the signature of {what} cannot be read: {reason}")]
    MalformedSignature {
        /// What should be signed.
        what: String,
        /// What is wrong.
        reason: String,
    },
    /// No usable certificate is in the bytes.
    #[error("no usable OpenPGP certificate: {reason}; want an armoured or binary file of public keys")]
    BadKey {
        /// What is wrong.
        reason: String,
    },
}

/// What goes wrong inside a reader that does not know the file's name.
#[derive(Debug)]
pub(crate) enum Fault {
    Io(io::Error),
    Malformed(String),
    Compression(String),
    Limit { what: &'static str, limit: u64 },
    UnsafeName { name: String, reason: &'static str },
    LinkLoop { link: String, limit: usize },
}

/// Carries a reached limit through [`io::Read`].
#[derive(Debug, thiserror::Error)]
#[error("{what} beyond the limit of {limit}")]
pub(crate) struct LimitReached {
    pub(crate) what: &'static str,
    pub(crate) limit: u64,
}

impl From<LimitReached> for io::Error {
    fn from(reached: LimitReached) -> Self {
        Self::other(reached)
    }
}

impl From<io::Error> for Fault {
    fn from(source: io::Error) -> Self {
        match source.get_ref().and_then(|inner| inner.downcast_ref::<LimitReached>()) {
            Some(reached) => Self::Limit { what: reached.what, limit: reached.limit },
            None => Self::Io(source),
        }
    }
}

impl Fault {
    pub(crate) fn malformed(what: impl Into<String>) -> Self {
        Self::Malformed(what.into())
    }

    pub(crate) fn unsafe_name(name: &[u8], reason: &'static str) -> Self {
        Self::UnsafeName { name: String::from_utf8_lossy(name).chars().take(200).collect(), reason }
    }

    /// The error for the package at `path`.
    pub(crate) fn at(self, path: &Path) -> PackageError {
        let path = path.to_owned();
        match self {
            Self::Io(source) => PackageError::Read { path, source },
            Self::Malformed(what) => PackageError::Malformed { path, what },
            Self::Compression(name) => PackageError::Compression { path, name },
            Self::Limit { what, limit } => PackageError::Limit { path, what, limit },
            Self::UnsafeName { name, reason } => PackageError::UnsafeName { path, name, reason },
            Self::LinkLoop { link, limit } => PackageError::LinkLoop { path, link, limit },
        }
    }
}

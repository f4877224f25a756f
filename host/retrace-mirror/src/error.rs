use std::{error::Error, fmt::Write as _, io, path::PathBuf};

use retrace_package::PackageError;
use retrace_process::ProcessError;
use retrace_store::StoreError;

/// Why a repository cannot be mirrored or a package cannot be had. Each names the URL or file and what mends it.
#[derive(Debug, thiserror::Error)]
pub enum MirrorError {
    /// The index failed.
    #[error("the index of packages failed")]
    Store(#[from] StoreError),
    /// A mirror's base is not usable.
    #[error("mirror {mirror:?} cannot be used: {reason}")]
    InvalidMirror {
        /// The mirror as it was given.
        mirror: String,
        /// Why.
        reason: &'static str,
    },
    /// The repository has no mirror.
    #[error("repository {repository} has no mirror: give one with --mirror")]
    NoMirror {
        /// The repository.
        repository: String,
    },
    /// Another process syncs the repository.
    #[error(
        "repository {repository} is being synced by process {} on {}: wait for it; if that machine is gone, its right ends at {}",
        holder.process, holder.host, holder.expires_at
    )]
    BeingSynced {
        /// The repository.
        repository: String,
        /// Who syncs it.
        holder: retrace_store::LockHolder,
    },
    /// A location that the repository names would leave its base.
    #[error("location {location:?} is refused: {reason}; the repository is broken or hostile, tell its operator")]
    UnsafeLocation {
        /// The location.
        location: String,
        /// Why.
        reason: &'static str,
    },
    /// The layout cannot be read.
    #[error("repository {repository} has the layout {layout:?}, which cannot be read: want rpm-md, Debian or a folder")]
    UnsupportedLayout {
        /// The repository.
        repository: String,
        /// Name of the layout.
        layout: String,
    },
    /// A folder of packages without metadata cannot be listed.
    #[error(
        "{url} gives no list of its files: switch the index pages of the server on, or make metadata with createrepo_c or apt-ftparchive"
    )]
    NoListing {
        /// The folder.
        url: String,
    },
    /// There is no repository.
    #[error("{url} does not exist: there is no such repository at this mirror, check its base or try another mirror")]
    NoRepository {
        /// The top file of the metadata.
        url: String,
    },
    /// A variable of a mirror cannot be replaced.
    #[error("mirror {mirror:?} cannot be used: ${variable} {reason}")]
    Variable {
        /// The mirror as it was given.
        mirror: String,
        /// Name of the variable.
        variable: String,
        /// Why.
        reason: &'static str,
    },
    /// The mirror failed a while ago and is not asked again yet.
    #[error("{server} is left alone for another {seconds} s because it failed: {reason}; use another mirror or wait")]
    Resting {
        /// The server.
        server: String,
        /// Seconds until it is asked again.
        seconds: u64,
        /// What it failed with.
        reason: String,
    },
    /// The servers of a repository want something that the operator did not give.
    #[error("the mirrors of repository {repository} want {what}: set a {setting} for it, or use a mirror of your own")]
    AccessRequired {
        /// The repository.
        repository: String,
        /// What they want.
        what: &'static str,
        /// The setting.
        setting: &'static str,
    },
    /// A file with secrets, keys or certificates cannot be used.
    #[error("{path} cannot be used: {reason}")]
    AccessFile {
        /// The file.
        path: PathBuf,
        /// Why; nothing of its content.
        reason: String,
    },
    /// A setting of the access makes no sense.
    #[error("the setting {setting} of the access to mirrors cannot be used: {reason}")]
    InvalidAccess {
        /// The setting.
        setting: &'static str,
        /// Why.
        reason: String,
    },
    /// The server wants credentials, or others.
    #[error("{url}: the server refuses access ({reason}): give it a user name and a password in the credentials file")]
    Denied {
        /// What was asked for.
        url: String,
        /// What it said.
        reason: String,
    },
    /// A connection by ftp or rsync failed.
    #[error("cannot get {url}: {reason}; check the network and the mirror")]
    Transport {
        /// What was asked for.
        url: String,
        /// Why.
        reason: String,
        /// Whether the same request may succeed in a moment.
        passes: bool,
    },
    /// A program that a transfer needs does not run.
    #[error("cannot get {url}")]
    Program {
        /// What was asked for.
        url: String,
        /// Why.
        source: ProcessError,
    },
    /// The policy wants something signed that cannot be signed.
    #[error("{what} cannot be signed as the policy of repository {repository} wants: {fix}")]
    PolicyImpossible {
        /// The repository.
        repository: String,
        /// What.
        what: String,
        /// What to do.
        fix: &'static str,
    },
    /// Servers may not be asked.
    #[error("{url} is not here, and no server is asked in offline mode: run without it once")]
    Offline {
        /// What is missing.
        url: String,
    },
    /// The http client cannot be set up.
    #[error("https cannot be used: check the system's certificates (package ca-certificates)")]
    HttpClient {
        /// Why.
        source: reqwest::Error,
    },
    /// The connection failed.
    #[error("cannot get {url}: check the network and the mirror")]
    Http {
        /// What was asked for.
        url: String,
        /// Why.
        source: reqwest::Error,
    },
    /// The transfer took too long.
    #[error("{url} was not complete after {seconds} s: use a faster mirror or raise the time limit")]
    TooSlow {
        /// What was asked for.
        url: String,
        /// The limit.
        seconds: u64,
    },
    /// The server refused.
    #[error("{url}: the server answered {status}; try another mirror")]
    Status {
        /// What was asked for.
        url: String,
        /// HTTP status code.
        status: u16,
        /// Seconds after which the server wants to be asked again.
        retry_after_seconds: Option<u64>,
    },
    /// There is no such file.
    #[error("{url} does not exist; the mirror is incomplete or upstream has removed it, try another mirror")]
    NotFound {
        /// What was asked for.
        url: String,
    },
    /// An archive of builds is asked by the source package.
    #[error("the metadata does not name the source package of {package}, and an archive of builds is asked by it")]
    NoSource {
        /// The package.
        package: String,
    },
    /// More came than is allowed.
    #[error("{url} has more than the allowed {limit_bytes} bytes")]
    TooLarge {
        /// What was asked for.
        url: String,
        /// The limit.
        limit_bytes: u64,
    },
    /// Another size came than the metadata announced.
    #[error(
        "{url} has {actual} bytes where {expected} were announced: the mirror is broken or being updated, try again later or another mirror"
    )]
    SizeMismatch {
        /// What was asked for.
        url: String,
        /// Announced.
        expected: u64,
        /// What came, as far as it was read.
        actual: u64,
    },
    /// Other bytes came than the metadata announced.
    #[error(
        "{url} has the checksum {actual} where {expected} was announced: the mirror is broken or being updated, try again later or another mirror"
    )]
    ChecksumMismatch {
        /// What was asked for.
        url: String,
        /// Announced.
        expected: String,
        /// What came.
        actual: String,
    },
    /// A file cannot be read or written.
    #[error("cannot {action} {path}")]
    File {
        /// `read` or `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Metadata does not make sense.
    #[error("{url} is no valid metadata: try another mirror")]
    Metadata {
        /// The file.
        url: String,
        /// Why.
        source: MetadataError,
    },
    /// The metadata carries no signature, but the policy wants one.
    #[error("{url} is not signed: sign it, or switch the check of metadata off for the repository")]
    Unsigned {
        /// The file.
        url: String,
    },
    /// The signature of the metadata is not good.
    #[error(
        "{url} carries no good signature: use another mirror; where its key is the reason, get the key's present state from the distribution and give it with --key"
    )]
    Signature {
        /// The file.
        url: String,
        /// Why.
        source: Box<PackageError>,
    },
    /// The metadata is out of date by its own word.
    #[error(
        "{url} was valid until {valid_until}: the mirror is out of date, use another one; for a frozen archive set check-valid-until = no"
    )]
    Expired {
        /// The file.
        url: String,
        /// Its field `Valid-Until`.
        valid_until: String,
    },
    /// The metadata is older than what is indexed.
    #[error(
        "{url} was made at {offered}, but {known} is indexed already: the mirror is behind, use another one or wait"
    )]
    Stale {
        /// The file.
        url: String,
        /// When it was made.
        offered: String,
        /// When the indexed one was made.
        known: String,
    },
    /// The metadata belongs to another suite.
    #[error("{url} is of suite {suite:?}, codename {codename:?}, not of {wanted}: check the mirror's base")]
    WrongSuite {
        /// The file.
        url: String,
        /// Suite that it names.
        suite: String,
        /// Codename that it names.
        codename: String,
        /// Suite that was asked for.
        wanted: String,
    },
    /// The key's path leaves the key folder.
    #[error("key path {path:?} is refused: want a path below the key folder without `..`")]
    KeyOutside {
        /// The path.
        path: String,
    },
    /// There is no key.
    #[error(
        "key {path} of repository {repository} is missing: get the key with the fingerprint {fingerprint} where README.md in that folder says and put it there, or give a key with --key"
    )]
    MissingKey {
        /// Where it should be.
        path: PathBuf,
        /// The repository.
        repository: String,
        /// Its fingerprint, where it is pinned.
        fingerprint: String,
    },
    /// The key of a signature is not among the repository's keys.
    #[error(
        "{what} is signed by {issuers}, which is no key of repository {repository}: if the distribution announces this key (README.md in {folder} names where), put it into {folder} and name it in the plugin, or give it with --key; if not, do not trust the mirror"
    )]
    UnknownSigner {
        /// What is signed.
        what: String,
        /// Fingerprints or key ids that its signatures name.
        issuers: String,
        /// The repository.
        repository: String,
        /// Where keys of its distribution lie.
        folder: PathBuf,
    },
    /// A package that was kept before has other bytes now.
    #[error(
        "package {package} from {url} has other bytes ({offered}) than the copy that was kept before ({known}): it is not taken; ask the distribution why it replaced the file"
    )]
    Changed {
        /// The package.
        package: String,
        /// Where it came from.
        url: String,
        /// What was kept.
        known: String,
        /// What came.
        offered: String,
    },
    /// A repository that must be signed has no key at all.
    #[error(
        "repository {repository} must be signed but has no key: give one with --key, or switch verification off for it"
    )]
    NoKey {
        /// The repository.
        repository: String,
    },
    /// The key file is not what it should be.
    #[error("key {path} has not the pinned fingerprint {fingerprint}: get the right key from the distribution")]
    WrongKey {
        /// The file.
        path: PathBuf,
        /// The fingerprint.
        fingerprint: String,
    },
    /// The key file cannot be used.
    #[error("key {path} cannot be read")]
    InvalidKey {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<PackageError>,
    },
    /// The package does not pass verification.
    #[error(
        "package {package} from {url} is refused: it is broken or signed by an unknown key; check the mirror and the repository's keys"
    )]
    Refused {
        /// The package.
        package: String,
        /// Where it came from.
        url: String,
        /// Why.
        source: Box<PackageError>,
    },
    /// No verified metadata vouches for the package.
    #[error("nothing vouches for package {package}: run `retrace mirror sync` for its release again")]
    NotVouched {
        /// The package.
        package: String,
    },
    /// The files of the package cannot be read.
    #[error("the files of package {package} cannot be read")]
    Unreadable {
        /// The package.
        package: String,
        /// Why.
        source: Box<PackageError>,
    },
    /// No mirror works.
    #[error("{what} of repository {repository} cannot be had from any mirror:{}", list(.attempts))]
    AllMirrors {
        /// `metadata`, or the package.
        what: String,
        /// The repository.
        repository: String,
        /// Each mirror and what went wrong.
        attempts: Vec<(String, MirrorError)>,
    },
    /// A step was lost: the program ends, or there is a fault in it.
    #[error("the step {step} did not end; report this if the program was not being ended")]
    StepLost {
        /// The step.
        step: &'static str,
        /// Why.
        source: tokio::task::JoinError,
    },
}

/// Why metadata cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum MetadataError {
    /// It cannot be read or decompressed.
    #[error("it cannot be read")]
    Io(#[from] io::Error),
    /// It is no well-formed XML.
    #[error("its XML is not well-formed")]
    Xml(#[from] quick_xml::Error),
    /// It is not in the Debian control syntax.
    #[error("line {line} is not in the syntax of deb822(5)")]
    Deb822 {
        /// Line, counted from 1.
        line: u64,
    },
    /// It is not UTF-8.
    #[error("it is not UTF-8")]
    NotUtf8,
    /// Something required is not there.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A value makes no sense.
    #[error("{what} {value:?} is invalid")]
    Invalid {
        /// What.
        what: &'static str,
        /// Its value, shortened.
        value: String,
    },
    /// The checksum can be forged.
    #[error("it relies on the checksum {0:?}: want sha256 or sha512")]
    WeakChecksum(String),
    /// It uses a part of XML that metadata has no need for.
    #[error("it holds a document type or an unknown entity, which metadata has no need for")]
    Entity,
    /// It would cost too much.
    #[error("it has more {what} than the allowed {limit}")]
    Limit {
        /// What.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// The repository has no packages for the architecture.
    #[error("it lists no {wanted}; it lists {listed}")]
    NotListed {
        /// What was asked for.
        wanted: String,
        /// What there is.
        listed: String,
    },
}

impl MirrorError {
    pub(crate) fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }

    pub(crate) fn metadata(url: &dyn ToString) -> impl FnOnce(MetadataError) -> Self + use<> {
        let url = url.to_string();
        move |source| Self::Metadata { url, source }
    }

    /// True if the same request may succeed in a moment.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Http { source, .. } => !source.is_redirect() && !source.is_builder(),
            // 416: what was there could not be continued, and has been thrown away.
            Self::Status { status, .. } => matches!(status, 408 | 416 | 425 | 429 | 500..=599),
            Self::SizeMismatch { expected, actual, .. } => actual < expected,
            Self::TooSlow { .. } | Self::Transport { passes: true, .. } => true,
            _ => false,
        }
    }

    /// True if other bytes came than should have, or more.
    pub(crate) fn is_wrong(&self) -> bool {
        match self {
            Self::ChecksumMismatch { .. } => true,
            Self::SizeMismatch { expected, actual, .. } => actual > expected,
            _ => false,
        }
    }

    /// True if the mirror seems to have been updated while it was read: its top file no longer fits the others.
    pub(crate) fn is_inconsistent(&self) -> bool {
        matches!(self, Self::SizeMismatch { .. } | Self::ChecksumMismatch { .. } | Self::NotFound { .. })
    }
}

/// What a server said, fit to be shown: one line, short, without control characters.
pub(crate) fn said(text: &str) -> String {
    let line: Vec<_> = text.split(|c: char| c.is_control()).map(str::trim).filter(|part| !part.is_empty()).collect();
    line.join(" ").chars().take(300).collect()
}

/// An error and its causes, in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Writing to a String cannot fail.
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}

fn list(attempts: &[(String, MirrorError)]) -> String {
    let mut text = String::new();
    for (mirror, error) in attempts {
        let _ = write!(text, " [{mirror}] {};", chain(error));
    }
    text.pop();
    text
}

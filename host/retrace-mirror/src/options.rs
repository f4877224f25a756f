use std::{path::PathBuf, time::Duration};

use crate::{Access, AccessRule, Rule};

/// Where a [`Mirror`](crate::Mirror) finds keys and works, and what it allows a server.
#[derive(Clone, Debug)]
pub struct MirrorOptions {
    /// Folder that the key paths of repositories are relative to.
    pub keys_dir: PathBuf,
    /// Further key files; each may sign any repository.
    pub operator_keys: Vec<PathBuf>,
    /// Folder for what is on its way; may be removed when nothing runs.
    pub download_dir: PathBuf,
    /// Longest time until a connection stands.
    pub connect_timeout: Duration,
    /// Longest silence during a transfer.
    pub idle_timeout: Duration,
    /// Longest time for one attempt at one file.
    pub transfer_timeout: Duration,
    /// Further attempts at one file after a failure that may pass.
    pub retries: u32,
    /// Pause before the first further attempt; doubled for each one after it.
    pub retry_pause: Duration,
    /// Limits of size and number.
    pub limits: Limits,
    /// Use what is there, ask no server.
    pub offline: bool,
    /// Ask the archives that a repository names for packages that its mirrors no longer have.
    pub archives: bool,
    /// How mirrors are reached that no rule is for.
    pub access: Access,
    /// Rules for some of them; the first one that applies counts.
    pub access_rules: Vec<AccessRule>,
    /// What the operator wants of repositories.
    pub rules: Vec<Rule>,
    /// Pause before a mirror is read again whose files do not fit each other: it may be in the middle of its own sync.
    pub settle_pause: Duration,
}

impl Default for MirrorOptions {
    fn default() -> Self {
        Self {
            keys_dir: PathBuf::from("gpg"),
            operator_keys: Vec::new(),
            download_dir: std::env::temp_dir().join("retrace-downloads"),
            connect_timeout: Duration::from_secs(20),
            idle_timeout: Duration::from_secs(60),
            transfer_timeout: Duration::from_secs(60 * 60),
            retries: 3,
            retry_pause: Duration::from_millis(500),
            limits: Limits::default(),
            offline: false,
            archives: true,
            access: Access::default(),
            access_rules: Vec::new(),
            rules: Vec::new(),
            settle_pause: Duration::from_secs(10),
        }
    }
}

/// Most that a repository may cost.
#[derive(Clone, Debug)]
pub struct Limits {
    /// `repomd.xml`, `InRelease` and the signatures beside them, in bytes.
    pub top_bytes: u64,
    /// One metadata file as it is transferred, in bytes.
    pub metadata_bytes: u64,
    /// One metadata file after decompression, in bytes.
    pub unpacked_metadata_bytes: u64,
    /// Memory for the names and paths of one repository while it is indexed, in bytes.
    pub index_bytes: u64,
    /// Packages of one repository.
    pub packages: u64,
    /// One package, in bytes.
    pub package_bytes: u64,
    /// Packages fetched to look for the build-ids of one core.
    pub scanned_packages: usize,
    /// Bytes fetched to look for the build-ids of one core.
    pub scanned_bytes: u64,
    /// A release with no more packages than this, of which the build-ids are unknown, is searched whole as the last resort.
    pub small_repository: usize,
}

impl Default for Limits {
    fn default() -> Self {
        const MIB: u64 = 1024 * 1024;
        Self {
            top_bytes: 16 * MIB,
            metadata_bytes: 1024 * MIB,
            unpacked_metadata_bytes: 8 * 1024 * MIB,
            index_bytes: 2 * 1024 * MIB,
            packages: 1_000_000,
            package_bytes: 4 * 1024 * MIB,
            scanned_packages: 400,
            scanned_bytes: 4 * 1024 * MIB,
            small_repository: 300,
        }
    }
}

/// Told how far a mirror is.
pub trait Progress: Sync {
    /// A new step begins.
    fn step(&self, _message: &str) {}
    /// Of the file that is on its way, `done` bytes of `total` are here.
    fn bytes(&self, _done: u64, _total: Option<u64>) {}
}

impl Progress for () {}

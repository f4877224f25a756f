//! Where a file that can be served lies, and what is told of it.

use retrace_package::{Cached, FileCache, Trust};
use retrace_types::{BuildId, Role, Sha256};

use super::Outcome;

/// A file, without being open.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) found: Found,
    /// Name of the file, for `X-DEBUGINFOD-FILE`.
    pub(super) name: String,
    /// Name of its package, for `X-DEBUGINFOD-ARCHIVE`.
    pub(super) archive: Option<String>,
    pub(super) verification: Verification,
    /// How it was found.
    pub(super) how: Outcome,
}

#[derive(Clone, Debug)]
pub(super) enum Found {
    /// In the cache of what packages hold.
    Here(Entry),
    /// In the cache of what other servers gave.
    Upstream(Entry),
}

/// A file of a cache.
#[derive(Clone, Debug)]
pub(super) enum Entry {
    Elf { build_id: BuildId, role: Role, trust: Trust },
    Source { package: Sha256, path: String },
    Beside { build_id: BuildId, name: String },
}

/// What vouches for a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verification {
    /// A signature of its package, or of the metadata with its package's digest.
    Signed,
    /// Nothing: the operator switched verification off for the repository.
    Off,
    /// Another server; its build-id was checked.
    Upstream,
    /// Another server; there is nothing to check.
    UpstreamUnchecked,
}

impl Verification {
    pub(super) fn of(trust: Trust) -> Self {
        match trust {
            Trust::Verified => Self::Signed,
            Trust::Unverified => Self::Off,
        }
    }

    /// For `X-RETRACE-VERIFICATION`.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Signed => "signed",
            Self::Off => "off",
            Self::Upstream => "upstream",
            Self::UpstreamUnchecked => "upstream-unchecked",
        }
    }
}

impl Found {
    /// None if the file is gone.
    pub(super) fn open(&self, cache: &FileCache) -> Option<Cached> {
        let (Self::Here(entry) | Self::Upstream(entry)) = self;
        match entry {
            Entry::Elf { build_id, role, trust } => cache.find(build_id, *role, *trust),
            Entry::Source { package, path } => cache.source(package, path),
            Entry::Beside { build_id, name } => cache.find_beside(build_id, name),
        }
    }
}

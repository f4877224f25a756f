//! What the index of one repository may cost while it is read.

use crate::{Limits, MetadataError};

/// What names, paths and packages may still cost.
#[derive(Debug)]
pub(crate) struct Budget {
    bytes: u64,
    bytes_limit: u64,
    packages: u64,
    packages_limit: u64,
}

impl Budget {
    /// Counted for each text beside its bytes, in bytes.
    const TEXT_OVERHEAD: u64 = 48;

    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            bytes: limits.index_bytes,
            bytes_limit: limits.index_bytes,
            packages: limits.packages,
            packages_limit: limits.packages,
        }
    }

    pub(crate) fn package(&mut self) -> Result<(), MetadataError> {
        let left = self.packages.checked_sub(1);
        self.packages = left.ok_or(MetadataError::Limit { what: "packages", limit: self.packages_limit })?;
        Ok(())
    }

    /// A path is kept as its key, beside the shared name of its package.
    pub(crate) fn path(&mut self) -> Result<(), MetadataError> {
        self.text("")
    }

    pub(crate) fn text(&mut self, text: &str) -> Result<(), MetadataError> {
        let left = self.bytes.checked_sub(Self::TEXT_OVERHEAD.saturating_add(text.len() as u64));
        self.bytes = left.ok_or(MetadataError::Limit { what: "bytes of names", limit: self.bytes_limit })?;
        Ok(())
    }
}

/// What a package may cost. Every field is an upper bound; reaching one is an error that names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of an RPM header, or of the control archive of a .deb after decompression.
    pub header_bytes: u64,
    /// Members of a package.
    pub entries: u64,
    /// Bytes of one member's path or link target.
    pub path_bytes: usize,
    /// Bytes of all paths and link targets that must be remembered at once.
    pub names_bytes: u64,
    /// Bytes of the payload after decompression.
    pub unpacked_bytes: u64,
    /// How many times larger than the package file its payload may become. Holds above
    /// [`Self::unpacked_floor_bytes`] only: small packages of zeros are harmless.
    pub unpacked_ratio: u64,
    /// Bytes of payload that any package may have, however small its file.
    pub unpacked_floor_bytes: u64,
    /// Bytes of one wanted member.
    pub member_bytes: u64,
    /// Memory of the decompressor: dictionary of xz and lzma, window of zstd.
    pub decoder_memory_bytes: u64,
    /// Bytes of one member that may be held in memory to find its build-id. Only files whose program headers or notes
    /// lie far behind the start (kernel modules, BOLT-rewritten files) need more than a few KiB.
    pub elf_buffer_bytes: usize,
}

impl Default for Limits {
    /// Enough for the largest packages that distributions ship (kernel and browser debuginfo, about 6 GiB unpacked).
    fn default() -> Self {
        Self {
            header_bytes: 64 << 20,
            entries: 1_000_000,
            path_bytes: 4096,
            names_bytes: 256 << 20,
            unpacked_bytes: 64 << 30,
            unpacked_ratio: 300,
            unpacked_floor_bytes: 1 << 30,
            member_bytes: 16 << 30,
            decoder_memory_bytes: 256 << 20,
            elf_buffer_bytes: 64 << 20,
        }
    }
}

impl Limits {
    /// Bytes that the payload of a package file of this size may have.
    pub(crate) fn unpacked_for(&self, package_bytes: u64) -> u64 {
        let by_ratio = package_bytes.saturating_mul(self.unpacked_ratio).max(self.unpacked_floor_bytes);
        by_ratio.min(self.unpacked_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_package_may_not_become_a_large_payload() {
        let limits = Limits::default();
        for (package, want) in [(0, 1 << 30), (1 << 20, 1 << 30), (10 << 20, 3000 << 20), (u64::MAX, 64 << 30)] {
            assert_eq!(limits.unpacked_for(package), want, "package of {package} bytes");
        }
    }
}

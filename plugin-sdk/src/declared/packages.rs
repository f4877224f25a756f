//! Debug packages and kernels.

use alloc::{string::String, vec, vec::Vec};

use super::{
    data::{Data, Format, KernelData},
    pattern::{expand, matches},
};
use crate::{
    CallError, KernelFiles, PackageId, PackageKind, deb,
    names::{self, is_part},
};

/// Most bytes of what `uname -r` says.
const MAX_UNAME_BYTES: usize = 256;

impl Data {
    /// Debug packages of a binary package, best first: exceptions of the file, then the usual names.
    ///
    /// # Errors
    /// None so far.
    pub fn debug_packages(&self, subject: &PackageId) -> Result<Vec<PackageId>, CallError> {
        if subject.kind != PackageKind::Binary {
            return Ok(vec![]);
        }
        let mut found: Vec<PackageId> = Vec::new();
        let rules = self.debug_packages.iter();
        let of_rules = rules.filter(|rule| rule.names.iter().any(|pattern| matches(pattern, &subject.name)));
        for template in of_rules.flat_map(|rule| rule.packages) {
            let name = expand(template, |_| Some(&subject.name));
            if is_part(&name) && !found.iter().any(|package| package.name == name) {
                found.push(PackageId { name, kind: PackageKind::DebugInfo, ..subject.clone() });
            }
        }
        for package in names::debug_packages(&self.package_format(), subject)? {
            if !found.iter().any(|other| other.name == package.name) {
                found.push(package);
            }
        }
        Ok(found)
    }

    /// What the debugger of a kernel's dumps needs; `None`: not a kernel of this distribution.
    ///
    /// # Errors
    /// None so far.
    pub fn kernel_for(&self, version: &str, arch: &str) -> Result<Option<KernelFiles>, CallError> {
        let readable = version.len() <= MAX_UNAME_BYTES && version.bytes().all(|b| b.is_ascii_graphic() && b != b'/');
        if !readable {
            return Ok(None);
        }
        let fits = |data: &&KernelData| {
            data.scope.has_architecture(arch) && matches(&expand(data.uname, |_| Some(arch)), version)
        };
        let Some(data) = self.kernels.iter().find(fits) else { return Ok(None) };
        let Some((package_version, release, package_arch)) = self.kernel_version(version, arch) else {
            return Ok(None);
        };
        let value = |name: &str| match name {
            "UNAME" => Some(version),
            _ => Some(arch),
        };
        let package = |template: &&str| PackageId {
            name: expand(template, value),
            epoch: None,
            version: package_version.into(),
            release: release.map(String::from),
            arch: package_arch.into(),
            kind: PackageKind::DebugInfo,
        };
        Ok(Some(KernelFiles {
            debug_packages: data.packages.iter().map(package).collect(),
            vmlinux: expand(data.vmlinux, value),
        }))
    }

    /// Version, release and architecture of the packages that belong to a kernel.
    fn kernel_version<'a>(&self, uname: &'a str, arch: &'a str) -> Option<(&'a str, Option<&'a str>, &'a str)> {
        match self.format {
            // The version is not told by `uname -r`: the name of the package holds what is.
            Format::Deb => Some(("*", None, deb::architecture(arch)?)),
            Format::Rpm => {
                let plain = uname.split('+').next()?;
                let plain = plain.strip_suffix(arch).and_then(|rest| rest.strip_suffix('.')).unwrap_or(plain);
                let (version, release) = plain.rsplit_once('-')?;
                let valid = !version.is_empty() && !release.is_empty();
                valid.then_some((version, Some(release), arch))
            }
        }
    }
}

//! What belongs to a kernel: `6.4.0-150600.23.7-default` is version, release and flavour of `kernel-default`.
//!
//! The release of the package has one number more than `uname -r` says: how often it was built. The answer has `*` there.

use retrace_plugin_sdk::prelude::*;

/// Most bytes of what `uname -r` says.
const MAX_BYTES: usize = 128;

/// Flavours that SUSE builds, all architectures.
const FLAVOURS: [&str; 9] = ["default", "64kb", "azure", "kvmsmall", "lpae", "pae", "preempt", "rt", "vanilla"];

/// Debug package and vmlinux of a kernel; none: not a kernel of these distributions.
pub(crate) fn files(uname: &str, arch: &str) -> Option<KernelFiles> {
    let readable =
        uname.len() <= MAX_BYTES && uname.bytes().all(|b| b.is_ascii_alphanumeric() || b"._+~-".contains(&b));
    let (rest, flavour) = uname.rsplit_once('-').filter(|_| readable)?;
    let (version, release) = rest.split_once('-')?;
    let starts_as_number = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
    let of_suse = FLAVOURS.contains(&flavour)
        && starts_as_number(version)
        && (starts_as_number(release) || release.starts_with("lp"))
        && !release.contains('-');
    let package = PackageId {
        name: format!("kernel-{flavour}-debuginfo"),
        epoch: None,
        version: version.into(),
        release: Some(format!("{release}.*")),
        arch: package_architecture(arch)?.into(),
        kind: PackageKind::DebugInfo,
    };
    let vmlinux = if is_in_usr(version, release) {
        format!("/usr/lib/debug/usr/lib/modules/{uname}/vmlinux.debug")
    } else {
        format!("/usr/lib/debug/boot/vmlinux-{uname}.debug")
    };
    of_suse.then(|| KernelFiles { debug_packages: vec![package], vmlinux })
}

/// Whether the kernel is one of Tumbleweed, Leap 16 or SLE 16, where /usr is merged. Those of Leap 15 and SLE 15 tell
/// themselves by their release, `lp15N` and `150N00`; SLE 12 and the first service packs of 15 by old versions.
fn is_in_usr(version: &str, release: &str) -> bool {
    let of_15 = release.starts_with("lp15") || release.starts_with("150");
    let mut numbers = version.split('.').map(|number| number.parse::<u16>().unwrap_or(0));
    let (major, minor) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    !of_15 && (major, minor) >= (5, 12)
}

fn package_architecture(uname: &str) -> Option<&'static str> {
    Some(match uname {
        "x86_64" => "x86_64",
        "aarch64" => "aarch64",
        "i686" => "i586",
        "armv7l" => "armv7hl",
        "ppc64le" => "ppc64le",
        "s390x" => "s390x",
        "riscv64" => "riscv64",
        _ => return None,
    })
}

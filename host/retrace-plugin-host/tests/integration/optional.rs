//! The optional exports through the typed API, on the frozen components of the contract.

use std::{fs, path::Path};

use retrace_plugin_host::Limits;
use retrace_types::{Architecture, DistroId, Release};

use crate::support::{TestHost, host_with};

fn frozen(language: &str) -> TestHost {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/contract/1.0.0");
    let bytes = fs::read(folder.join(language).join("plugin.wasm")).unwrap();
    let host = host_with(&[("plugin.wasm", &bytes)], Limits::default());
    assert!(host.faults().is_empty(), "{:?}", host.faults());
    host
}

fn acme() -> (DistroId, Release) {
    let release = Release { id: "acme-2".parse().unwrap(), minor: None, codename: None, rolling: false };
    (release.id.distro.clone(), release)
}

#[test]
fn optional_exports_answer() {
    let (host, (distro, release)) = (frozen("declarative"), acme());
    let files = host.kernel_for(&distro, "6.8.5-301.acme2.x86_64", Architecture::X86_64).unwrap().unwrap();
    assert_eq!(files.vmlinux, "/usr/lib/debug/lib/modules/6.8.5-301.acme2.x86_64/vmlinux");
    let names: Vec<_> = files.debug_packages.iter().map(|package| package.id.name.as_str()).collect();
    assert_eq!(names, ["kernel-debuginfo", "kernel-debuginfo-common-x86_64"]);
    let foreign = host.kernel_for(&distro, "6.8.5-301.fc40.x86_64", Architecture::X86_64).unwrap();
    assert!(foreign.is_none(), "{foreign:?}");
    let wanted = ["python3-libs".to_owned()];
    assert_eq!(host.extra_packages(&release, Architecture::X86_64, &wanted).unwrap(), ["python3-debug"]);
}

#[test]
fn a_plugin_without_optional_exports_has_no_kernel_and_no_advice() {
    let host = frozen("c");
    let distro = host.plugins().next().unwrap().info().id.clone();
    let release = host.releases(&distro).unwrap().remove(0).release;
    assert!(host.kernel_for(&distro, "6.8.5-301.acme2.x86_64", Architecture::X86_64).unwrap().is_none());
    let wanted = ["python3-libs".to_owned()];
    assert_eq!(host.extra_packages(&release, Architecture::X86_64, &wanted).unwrap(), Vec::<String>::new());
}

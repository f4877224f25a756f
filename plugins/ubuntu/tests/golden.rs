//! What the plugin answers, in lists.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that panics has failed; the lints' own exception ends at helpers"
)]

use retrace_plugin_sdk::prelude::*;
use retrace_plugin_ubuntu::Ubuntu;

fn release(version: &str) -> Release {
    Ubuntu::releases().into_iter().map(|entry| entry.release).find(|r| r.version == version).unwrap()
}

/// Repository, suite and first mirror.
fn suites(version: &str, arch: &str) -> Vec<(String, String, String)> {
    let parts = Ubuntu::repositories(release(version), arch.into()).unwrap().into_iter().map(|repository| {
        let RepositoryLayout::DebDists(suite) = repository.layout else { panic!("layout of {}", repository.id) };
        assert_eq!(suite.components, ["main", "restricted", "universe", "multiverse"]);
        (repository.id, suite.suite, repository.mirrors.into_iter().next().unwrap())
    });
    parts.collect()
}

#[test]
fn suites_are_those_of_the_archives() {
    let (archive, ports) = ("http://archive.ubuntu.com/ubuntu", "http://ports.ubuntu.com/ubuntu-ports");
    let (security, old) = ("http://security.ubuntu.com/ubuntu", "http://old-releases.ubuntu.com/ubuntu");
    let cases = [
        ("24.04", "x86_64", "noble", archive, security, archive),
        ("24.04", "aarch64", "noble", ports, ports, archive),
        ("16.04", "i686", "xenial", archive, security, archive),
        ("26.10", "riscv64", "stonking", ports, ports, archive),
        ("25.04", "s390x", "plucky", old, old, old),
    ];
    for (version, arch, codename, main, security, source) in cases {
        let debug = "http://ddebs.ubuntu.com";
        let want = [
            ("main", "", main),
            ("updates", "-updates", main),
            ("security", "-security", security),
            ("backports", "-backports", main),
            ("debug", "", debug),
            ("updates-debug", "-updates", debug),
            ("source", "", source),
            ("updates-source", "-updates", source),
            ("security-source", "-security", source),
        ];
        let want = want.map(|(id, end, mirror)| (id.to_owned(), format!("{codename}{end}"), mirror.to_owned()));
        assert_eq!(suites(version, arch), want, "{version} {arch}");
    }
}

#[test]
fn every_release_has_repositories_and_existing_keys() {
    let gpg = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../gpg");
    for entry in Ubuntu::releases() {
        for arch in &entry.architectures {
            for repository in Ubuntu::repositories(entry.release.clone(), arch.clone()).unwrap() {
                let of_debug = repository.content == RepositoryContent::DebugInfo;
                assert!(!repository.keys.is_empty());
                for key in &repository.keys {
                    assert!(gpg.join(&key.path).is_file(), "key: {}", key.path);
                    assert_eq!(key.path.contains("dbgsym"), of_debug);
                }
            }
        }
        let vax = Ubuntu::repositories(entry.release, "vax".into());
        assert!(matches!(vax, Err(CallError::UnsupportedArchitecture(_))));
    }
}

#[test]
fn versions_of_packages_name_a_release_where_they_do() {
    let cases = [
        ("libldap-2.5-0_2.5.20+dfsg-0ubuntu0.22.04.1_amd64.deb", Some(("22.04", Confidence::Likely))),
        ("libjbig0_2.1-3.1ubuntu0.22.04.1_amd64.deb", Some(("22.04", Confidence::Likely))),
        ("libnspr4_2%3a4.35-0ubuntu0.20.04.1_amd64.deb", Some(("20.04", Confidence::Likely))),
        ("linux-modules-6.5.0-21-generic_6.5.0-21.21~22.04.1_amd64.deb", Some(("22.04", Confidence::Weak))),
        // Says Ubuntu, but not which.
        ("keyboxd_2.4.4-2ubuntu17.6_amd64.deb", None),
        ("bash_5.2.15-2+b7_amd64.deb", None),
        ("curl_7.88.1-10+deb12u15_amd64.deb", None),
    ];
    for (raw, want) in cases {
        let guess = Ubuntu::guess_release(PackageRef { raw: raw.into(), format: None, vendor: None }).unwrap();
        let got = guess.as_ref().map(|guess| (guess.release.version.as_str(), guess.confidence));
        assert_eq!(got, want, "package: {raw}");
    }
}

#[test]
fn automatic_debug_packages_are_ddebs() {
    let name = "libc6_2.39-0ubuntu8_amd64.deb";
    let package = Ubuntu::parse_file_names(vec![name.into()]).unwrap().remove(0).unwrap();
    assert_eq!(Ubuntu::format_file_name(package.clone()).as_deref(), Ok(name));
    let names: Vec<_> =
        Ubuntu::debug_packages(package).unwrap().into_iter().map(|p| Ubuntu::format_file_name(p).unwrap()).collect();
    assert_eq!(names, ["libc6-dbgsym_2.39-0ubuntu8_amd64.ddeb", "libc6-dbg_2.39-0ubuntu8_amd64.deb"]);
    let parsed = Ubuntu::parse_file_names(names).unwrap();
    assert!(parsed.iter().all(|package| package.as_ref().is_some_and(|p| p.kind == PackageKind::DebugInfo)));
}

#[test]
fn kernels_have_their_debug_packages() {
    let files = Ubuntu::kernel_for("6.8.0-45-generic".into(), "x86_64".into()).unwrap().unwrap();
    let names: Vec<_> = files.debug_packages.iter().map(|package| package.name.as_str()).collect();
    assert_eq!(names, ["linux-image-unsigned-6.8.0-45-generic-dbgsym", "linux-image-6.8.0-45-generic-dbgsym"]);
    assert_eq!(files.vmlinux, "/usr/lib/debug/boot/vmlinux-6.8.0-45-generic");
    assert_eq!(Ubuntu::kernel_for("6.1.0-18-amd64".into(), "x86_64".into()), Ok(None));
}

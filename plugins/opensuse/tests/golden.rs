//! What the plugin answers, in lists.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed; the lint's own exception ends at helpers")]

use retrace_plugin_opensuse::OpenSuse;
use retrace_plugin_sdk::prelude::*;

fn release(distro: &str, version: &str) -> Release {
    let mut releases = OpenSuse::releases().into_iter().map(|entry| entry.release);
    releases.find(|r| r.distro == distro && r.version == version).unwrap()
}

/// Repository and mirror, as the host expands it.
fn mirrors(distro: &str, version: &str, arch: &str) -> Vec<(String, String)> {
    let repositories = OpenSuse::repositories(release(distro, version), arch.into()).unwrap();
    let parts = repositories.into_iter().map(|repository| {
        let mirror = repository.mirrors.into_iter().next().unwrap();
        (repository.id, mirror.replace("$VER", version).replace("$ARCH", arch))
    });
    parts.collect()
}

/// Distribution, version, architecture, what all mirrors begin with; repositories and the rest of their mirrors.
type Wanted = (&'static str, &'static str, &'static str, &'static str, &'static [(&'static str, &'static str)]);

#[test]
fn addresses_are_those_of_the_distribution() {
    let cases: [Wanted; 6] = [
        (
            "opensuse-tumbleweed",
            "tumbleweed",
            "x86_64",
            "https://download.opensuse.org/",
            &[
                ("oss", "tumbleweed/repo/oss/"),
                ("update", "update/tumbleweed/"),
                ("oss-debug", "debug/tumbleweed/repo/oss/"),
                ("oss-source", "source/tumbleweed/repo/oss/"),
            ],
        ),
        (
            "opensuse-tumbleweed",
            "tumbleweed",
            "s390x",
            "https://download.opensuse.org/ports/zsystems/",
            &[
                ("oss", "tumbleweed/repo/oss/"),
                ("update", "update/tumbleweed/"),
                ("oss-debug", "debug/tumbleweed/repo/oss/"),
                ("oss-source", "source/tumbleweed/repo/oss/"),
            ],
        ),
        (
            "opensuse-leap",
            "16.0",
            "aarch64",
            "https://download.opensuse.org/",
            &[
                ("oss", "distribution/leap/16.0/repo/oss/aarch64/"),
                ("oss-debug", "debug/distribution/leap/16.0/repo/oss/aarch64/"),
                ("oss-source", "source/distribution/leap/16.0/repo/oss/"),
            ],
        ),
        (
            "opensuse-leap",
            "15.6",
            "ppc64le",
            "https://download.opensuse.org/",
            &[
                ("oss", "distribution/leap/15.6/repo/oss/"),
                ("update-oss", "update/leap/15.6/oss/"),
                ("update-sle", "update/leap/15.6/sle/"),
                ("update-backports", "update/leap/15.6/backports/"),
                ("oss-debug", "debug/distribution/leap/15.6/repo/oss/"),
                ("update-oss-debug", "debug/update/leap/15.6/oss/"),
                ("update-sle-debug", "debug/update/leap/15.6/sle/"),
                ("update-backports-debug", "update/leap/15.6/backports_debug/"),
                ("oss-source", "source/distribution/leap/15.6/repo/oss/"),
            ],
        ),
        (
            "opensuse-leap",
            "15.1",
            "aarch64",
            "https://download.opensuse.org/",
            &[
                ("oss", "ports/aarch64/distribution/leap/15.1/repo/oss/"),
                ("update-oss", "ports/update/leap/15.1/oss/"),
                ("oss-debug", "ports/aarch64/debug/distribution/leap/15.1/repo/oss/"),
                ("oss-source", "source/distribution/leap/15.1/repo/oss/"),
            ],
        ),
        (
            "sles",
            "12.5",
            "x86_64",
            "https://updates.suse.com/SUSE/",
            &[
                ("server", "Products/SLE-SERVER/12-SP5/x86_64/product/"),
                ("server-updates", "Updates/SLE-SERVER/12-SP5/x86_64/update/"),
                ("server-debug", "Products/SLE-SERVER/12-SP5/x86_64/product_debug/"),
                ("server-updates-debug", "Updates/SLE-SERVER/12-SP5/x86_64/update_debug/"),
                ("server-source", "Products/SLE-SERVER/12-SP5/x86_64/product_source/"),
            ],
        ),
    ];
    for (distro, version, arch, base, want) in cases {
        let want: Vec<_> = want.iter().map(|(id, path)| ((*id).to_owned(), format!("{base}{path}"))).collect();
        assert_eq!(mirrors(distro, version, arch), want, "{distro} {version} {arch}");
    }
}

#[test]
fn what_needs_a_registration_says_so() {
    for entry in OpenSuse::releases() {
        for repository in OpenSuse::repositories(entry.release.clone(), "x86_64".into()).unwrap() {
            let told = repository.config == [("registration".to_owned(), "required".to_owned())];
            assert_eq!(told, entry.release.distro == "sles", "{} {}", entry.title, repository.id);
        }
    }
}

#[test]
fn every_release_has_repositories_and_existing_keys() {
    let gpg = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../gpg");
    for entry in OpenSuse::releases() {
        for arch in &entry.architectures {
            for repository in OpenSuse::repositories(entry.release.clone(), arch.clone()).unwrap() {
                assert!(!repository.keys.is_empty());
                for key in &repository.keys {
                    assert!(gpg.join(&key.path).is_file(), "key: {}", key.path);
                }
            }
        }
        let vax = OpenSuse::repositories(entry.release, "vax".into());
        assert!(matches!(vax, Err(CallError::UnsupportedArchitecture(_))));
    }
}

#[test]
fn releases_of_packages_name_a_release_where_they_do() {
    let cases = [
        ("yq-4.44.6-lp156.42.1.x86_64", None, Some(("15.6", Confidence::Likely))),
        ("yq-4.44.6-lp156.42.1.x86_64", Some("openSUSE"), Some(("15.6", Confidence::Certain))),
        ("yq-4.44.6-lp156.42.1.x86_64", Some("obs://build.opensuse.org/utilities"), Some(("15.6", Confidence::Weak))),
        ("fzy-0.9-bp155.2.10.x86_64.rpm", None, Some(("15.5", Confidence::Weak))),
        ("python312-3.12.4-150600.3.3.1.x86_64", None, Some(("15.6", Confidence::Weak))),
        // Tumbleweed and the first service packs of SLE 15 have plain numbers.
        ("zypper-1.14.78-1.1.x86_64", None, None),
        ("bash-5.2.26-3.fc40.x86_64", None, None),
    ];
    for (raw, vendor, want) in cases {
        let subject = PackageRef { raw: raw.into(), format: None, vendor: vendor.map(Into::into) };
        let guess = OpenSuse::guess_release(subject).unwrap();
        let got = guess.as_ref().map(|guess| (guess.release.version.as_str(), guess.confidence));
        assert_eq!(got, want, "package: {raw} {vendor:?}");
    }
}

#[test]
fn kernels_have_their_debug_package() {
    let cases = [
        (
            "6.4.0-150600.23.7-default",
            "kernel-default-debuginfo-6.4.0-150600.23.7.*.x86_64.rpm",
            "/usr/lib/debug/boot/vmlinux-6.4.0-150600.23.7-default.debug",
        ),
        (
            "4.12.14-122.12-default",
            "kernel-default-debuginfo-4.12.14-122.12.*.x86_64.rpm",
            "/usr/lib/debug/boot/vmlinux-4.12.14-122.12-default.debug",
        ),
        (
            "6.11.8-1-default",
            "kernel-default-debuginfo-6.11.8-1.*.x86_64.rpm",
            "/usr/lib/debug/usr/lib/modules/6.11.8-1-default/vmlinux.debug",
        ),
    ];
    for (uname, package, vmlinux) in cases {
        let files = OpenSuse::kernel_for(uname.into(), "x86_64".into()).unwrap().unwrap();
        let names: Vec<_> = files.debug_packages.iter().filter_map(nevra::format).collect();
        assert_eq!((names, files.vmlinux.as_str()), (vec![package.to_owned()], vmlinux));
    }
    for uname in ["6.8.5-301.fc40.x86_64", "6.1.0-18-amd64", "6.8.0-45-generic", "default", "--default", ""] {
        assert_eq!(OpenSuse::kernel_for(uname.into(), "x86_64".into()), Ok(None), "kernel: {uname}");
    }
}

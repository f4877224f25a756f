//! What the plugin makes of real texts.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed; the lint's own exception ends at helpers")]

use retrace_plugin_fedora::Fedora;
use retrace_plugin_sdk::prelude::*;

fn release(source: ReleaseSource) -> Result<Option<String>, CallError> {
    let release = Fedora::parse_release(source)?;
    Ok(release.map(|release| release.version))
}

#[test]
fn real_os_release_files_are_read() {
    let cases = [
        (include_str!("../fixtures/fedora-38.os-release"), Some("38")),
        (include_str!("../fixtures/fedora-39.os-release"), Some("39")),
        (include_str!("../fixtures/fedora-40.os-release"), Some("40")),
        (include_str!("../fixtures/fedora-41.os-release"), Some("41")),
        (include_str!("../fixtures/fedora-rawhide.os-release"), Some("rawhide")),
        (include_str!("../../debian/fixtures/debian-12.os-release"), None),
        ("ID=rhel\nID_LIKE=fedora\nVERSION_ID=\"9.4\"\n", None),
        ("ID=eln\nVERSION_ID=11\nVARIANT_ID=eln\n", Some("eln")),
        ("ID=fedora\nVERSION_ID=41\nVARIANT_ID=eln\nREDHAT_BUGZILLA_PRODUCT_VERSION=rawhide\n", Some("eln")),
        ("ID=nobara\nID_LIKE=fedora\nVERSION_ID=40\n", None),
        ("", None),
    ];
    for (text, want) in cases {
        assert_eq!(release(ReleaseSource::OsRelease(text.into())), Ok(want.map(String::from)), "text: {text}");
    }
}

#[test]
fn one_line_texts_are_read() {
    let cases = [
        ("Fedora release 40 (Forty)", Some("40")),
        ("Fedora release 38 (Thirty Eight)\n", Some("38")),
        ("Fedora Linux release 41 (Forty One)", Some("41")),
        ("Fedora release 41 (Rawhide)", Some("rawhide")),
        ("Fedora ELN 11", Some("eln")),
        ("Fedora Remix release 20 (Heisenbug)", None),
        ("Fedora Linux 40 (Workstation Edition)", Some("40")),
        ("CentOS Linux release 7.9.2009 (Core)", None),
        ("Red Hat Enterprise Linux release 9.4 (Plow)", None),
        ("Debian GNU/Linux 12 (bookworm)", None),
        ("", None),
    ];
    for (line, want) in cases {
        let want = Ok(want.map(String::from));
        assert_eq!(release(ReleaseSource::ReleaseLine(line.into())), want, "line: {line}");
        assert_eq!(release(ReleaseSource::Named(("etc/redhat-release".into(), line.into()))), want, "line: {line}");
        assert_eq!(release(ReleaseSource::Named(("hostname".into(), line.into()))), Ok(None));
    }
}

#[test]
fn what_is_fedora_but_not_served_is_told() {
    let cases = [
        ReleaseSource::OsRelease("ID=fedora\nVERSION_ID=11\n".into()),
        ReleaseSource::OsRelease("ID=fedora\nVERSION_ID=99\n".into()),
        ReleaseSource::ReleaseLine("Fedora release 99 (Ninety Nine)".into()),
    ];
    for source in cases {
        let answer = release(source.clone());
        assert!(matches!(answer, Err(CallError::UnsupportedRelease(_))), "source: {source:?}");
    }
    let nothing = release(ReleaseSource::OsRelease("ID=fedora\n".into()));
    assert!(matches!(nothing, Err(CallError::MalformedInput(_))));
}

#[test]
fn the_release_tag_of_a_package_names_its_release() {
    let guess = |raw: &str, vendor: Option<&str>| {
        let subject = PackageRef { raw: raw.into(), format: None, vendor: vendor.map(Into::into) };
        Fedora::guess_release(subject)
    };
    let found = guess("bash-5.2.26-3.fc40.x86_64", None).unwrap().unwrap();
    assert_eq!((found.release.version.as_str(), found.confidence), ("40", Confidence::Likely));
    assert_eq!(found.reason, "release tag .fc40");
    let own = guess("bash-5.2.26-3.fc40.x86_64", Some("Fedora Project")).unwrap().unwrap();
    assert_eq!(own.confidence, Confidence::Certain);
    assert_eq!(guess("bash-5.1.8-9.el9.x86_64", None), Ok(None));
    assert_eq!(guess("bash_5.2.15-2+b7_amd64", None), Ok(None));
    assert!(matches!(guess("bash-9-1.fc99.x86_64", None), Err(CallError::UnsupportedRelease(_))));
    let version = |raw: &str| guess(raw, None).unwrap().unwrap().release.version;
    assert_eq!(version("bash-5.3.0-4.fc46.aarch64"), "rawhide");
    assert_eq!(version("bash-5.3.0-4.eln152.aarch64"), "eln");
}

#[test]
fn every_release_has_repositories_and_existing_keys() {
    let gpg = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../gpg");
    let (packages, debug) = (["releases", "updates"], ["releases-debuginfo", "updates-debuginfo"]);
    let sources = ["releases-source", "updates-source"];
    for entry in Fedora::releases() {
        for arch in &entry.architectures {
            let repositories = Fedora::repositories(entry.release.clone(), arch.clone()).unwrap();
            let ids: Vec<_> = repositories.iter().map(|repository| repository.id.as_str()).collect();
            let want: Vec<_> = match entry.release.version.as_str() {
                "rawhide" => vec!["releases", "releases-debuginfo", "releases-source"],
                "eln" => {
                    let groups = ["", "-debuginfo", "-source"];
                    let names = ["baseos", "appstream", "crb", "extras"];
                    let all = groups.iter().flat_map(|end| names.map(|name| format!("{name}{end}")));
                    assert_eq!(ids, all.collect::<Vec<_>>());
                    continue;
                }
                "45" | "44" | "43" => {
                    let debug = debug.into_iter().chain(["updates-testing-debuginfo"]);
                    packages.into_iter().chain(["updates-testing"]).chain(debug).chain(sources).collect()
                }
                _ => packages.into_iter().chain(debug).chain(sources).collect(),
            };
            assert_eq!(ids, want, "release: {}", entry.release.version);
            let archive = ("archive-koji".to_owned(), "https://kojipkgs.fedoraproject.org/packages".to_owned());
            assert!(repositories.iter().all(|repository| repository.config.contains(&archive)));
            for key in repositories.iter().flat_map(|repository| &repository.keys) {
                assert!(gpg.join(&key.path).is_file(), "key: {}", key.path);
            }
        }
        let vax = Fedora::repositories(entry.release, "vax".into());
        assert!(matches!(vax, Err(CallError::UnsupportedArchitecture(_))));
    }
}

/// The first mirror of each repository, as the host expands it.
fn mirrors(version: &str, arch: &str) -> Vec<String> {
    let release = Fedora::releases().into_iter().map(|entry| entry.release).find(|r| r.version == version).unwrap();
    let repositories = Fedora::repositories(release, arch.into()).unwrap();
    let first = repositories.into_iter().map(|repository| repository.mirrors.into_iter().next().unwrap());
    first.map(|mirror| mirror.replace("$VER", version).replace("$ARCH", arch)).collect()
}

#[test]
fn addresses_are_those_of_the_distribution() {
    let main = "https://dl.fedoraproject.org/pub/fedora";
    let archive = "https://archives.fedoraproject.org/pub/archive/fedora";
    assert_eq!(
        mirrors("44", "x86_64"),
        [
            format!("{main}/linux/releases/44/Everything/x86_64/os/"),
            format!("{main}/linux/updates/44/Everything/x86_64/"),
            format!("{main}/linux/updates/testing/44/Everything/x86_64/"),
            format!("{main}/linux/releases/44/Everything/x86_64/debug/tree/"),
            format!("{main}/linux/updates/44/Everything/x86_64/debug/"),
            format!("{main}/linux/updates/testing/44/Everything/x86_64/debug/"),
            format!("{main}/linux/releases/44/Everything/source/tree/"),
            format!("{main}/linux/updates/44/Everything/source/tree/"),
        ]
    );
    assert_eq!(
        mirrors("23", "x86_64"),
        [
            format!("{archive}/linux/releases/23/Everything/x86_64/os/"),
            format!("{archive}/linux/updates/23/x86_64/"),
            format!("{archive}/linux/releases/23/Everything/x86_64/debug/"),
            format!("{archive}/linux/updates/23/x86_64/debug/"),
            format!("{archive}/linux/releases/23/Everything/source/SRPMS/"),
            format!("{archive}/linux/updates/23/SRPMS/"),
        ]
    );
    assert_eq!(
        mirrors("eln", "aarch64").first().map(String::as_str),
        Some("https://dl.fedoraproject.org/pub/eln/1/BaseOS/aarch64/os/")
    );
    assert_eq!(
        mirrors("rawhide", "aarch64").first(),
        Some(&format!("{main}/linux/development/rawhide/Everything/aarch64/os/"))
    );
}

#[test]
fn each_architecture_is_where_it_was_in_its_time() {
    let cases = [
        ("44", "s390x", "fedora-secondary/releases/44/Everything/s390x"),
        ("40", "aarch64", "archive/fedora/linux/releases/40/Everything/aarch64"),
        ("28", "aarch64", "archive/fedora/linux/releases/28/Everything/aarch64"),
        ("27", "aarch64", "archive/fedora-secondary/releases/27/Everything/aarch64"),
        ("28", "ppc64", "archive/fedora-secondary/releases/28/Everything/ppc64"),
        ("36", "armv7l", "archive/fedora/linux/releases/36/Everything/armhfp"),
        // 32-bit Intel: a tree of its own, then a secondary one, then none.
        ("25", "i686", "archive/fedora/linux/releases/25/Everything/i386"),
        ("26", "i686", "archive/fedora-secondary/releases/26/Everything/i386"),
        ("30", "i686", "archive/fedora-secondary/releases/30/Everything/i386"),
        ("31", "i686", "archive/fedora/linux/releases/31/Everything/x86_64"),
        ("rawhide", "i686", "fedora/linux/development/rawhide/Everything/x86_64"),
    ];
    for (version, arch, want) in cases {
        let first = mirrors(version, arch).into_iter().next().unwrap();
        assert!(first.ends_with(&format!("/pub/{want}/os/")), "{version} {arch}: {first}");
    }
    assert_eq!(mirrors("44", "i686"), mirrors("44", "x86_64"));
}

#[test]
fn kernels_have_their_debug_packages() {
    let files = Fedora::kernel_for("6.8.5-301.fc40.x86_64".into(), "x86_64".into()).unwrap().unwrap();
    let names: Vec<_> = files.debug_packages.iter().filter_map(nevra::format).collect();
    assert_eq!(
        names,
        ["kernel-debuginfo-6.8.5-301.fc40.x86_64.rpm", "kernel-debuginfo-common-x86_64-6.8.5-301.fc40.x86_64.rpm"]
    );
    assert_eq!(files.vmlinux, "/usr/lib/debug/lib/modules/6.8.5-301.fc40.x86_64/vmlinux");
    assert_eq!(Fedora::kernel_for("5.14.0-427.el9.x86_64".into(), "x86_64".into()), Ok(None));
    assert_eq!(Fedora::kernel_for("6.1.0-18-amd64".into(), "x86_64".into()), Ok(None));
}

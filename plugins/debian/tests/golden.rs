//! What the plugin makes of real texts. The os-release files are those of the package `base-files`.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that panics has failed; the lints' own exception ends at helpers"
)]

use retrace_plugin_debian::Debian;
use retrace_plugin_sdk::prelude::*;

/// Version, point release, code name, rolling.
type Found = Option<(String, Option<String>, Option<String>, bool)>;

fn release(source: ReleaseSource) -> Result<Found, CallError> {
    let release = Debian::parse_release(source)?;
    Ok(release.map(|release| (release.version, release.minor, release.codename, release.rolling)))
}

fn found(version: &str, minor: &str, codename: &str, rolling: bool) -> Found {
    Some((version.into(), (!minor.is_empty()).then(|| minor.into()), Some(codename.into()), rolling))
}

#[test]
fn real_os_release_files_are_read() {
    let cases = [
        (include_str!("../fixtures/debian-12.os-release"), found("12", "", "bookworm", false)),
        (include_str!("../fixtures/debian-13.os-release"), found("13", "7", "trixie", false)),
        (include_str!("../fixtures/debian-sid.os-release"), found("14", "", "forky", true)),
        (include_str!("../../fedora/fixtures/fedora-40.os-release"), None),
        ("ID=ubuntu\nID_LIKE=debian\nVERSION_ID=\"24.04\"\n", None),
        ("", None),
    ];
    for (text, want) in cases {
        assert_eq!(release(ReleaseSource::OsRelease(text.into())), Ok(want), "text: {text}");
    }
}

#[test]
fn one_line_texts_are_read() {
    let cases = [
        ("Debian GNU/Linux 12 (bookworm)", found("12", "", "bookworm", false)),
        ("Debian GNU/Linux 12.5 (bookworm)\n", found("12", "5", "bookworm", false)),
        ("Debian GNU/Linux forky/sid", found("14", "", "forky", true)),
        ("Fedora release 40 (Forty)", None),
        ("", None),
    ];
    for (line, want) in cases {
        assert_eq!(release(ReleaseSource::ReleaseLine(line.into())), Ok(want), "line: {line}");
    }
}

#[test]
fn debian_version_is_read_as_far_as_it_is_debian_s() {
    let cases = [
        ("etc/debian_version", "12.5\n", found("12", "5", "bookworm", false)),
        // Ubuntu ships the file of the Debian that it was made from: the text says nothing about the machine.
        ("debian_version", "forky/sid\n", None),
        ("debian_version", "kali-rolling\n", None),
        ("hostname", "12.5\n", None),
    ];
    for (name, text, want) in cases {
        assert_eq!(release(ReleaseSource::Named((name.into(), text.into()))), Ok(want), "text: {text}");
    }
}

#[test]
fn what_is_debian_but_not_served_is_told() {
    let unsupported = |text: &str| {
        let answer = release(ReleaseSource::OsRelease(text.into()));
        matches!(answer, Err(CallError::UnsupportedRelease(_)))
    };
    assert!(unsupported("ID=debian\nVERSION_ID=\"9\"\n"));
    assert!(unsupported("ID=debian\nVERSION_ID=\"99\"\n"));
    assert!(unsupported("ID=debian\nVERSION_CODENAME=duke\n"));
    let nothing = release(ReleaseSource::OsRelease("ID=debian\n".into()));
    assert!(matches!(nothing, Err(CallError::MalformedInput(_))));
}

#[test]
fn the_version_tag_of_a_package_names_its_release() {
    let cases = [
        ("openssl_3.0.11-1~deb12u2_amd64", Some("12")),
        ("bash_5.2.37-2+deb13u1_amd64.deb", Some("13")),
        ("git_1%3a2.45.2-1~bpo12+1_arm64.deb", Some("12")),
        ("bash_5.2.15-2+b7_amd64", None),
        ("curl_7.74.0-1.3+deb11u13_amd64.deb", Some("11")),
        ("x_1.0-1+deb12u1ubuntu0.24.04.1_amd64.deb", None),
        ("bash-5.2.26-3.fc40.x86_64", None),
    ];
    for (raw, want) in cases {
        let guess = Debian::guess_release(PackageRef { raw: raw.into(), format: None, vendor: None }).unwrap();
        assert_eq!(guess.as_ref().map(|guess| guess.release.version.as_str()), want, "package: {raw}");
    }
    let rpm = PackageRef { raw: "x+deb12u1".into(), format: Some(PackageFormat::Rpm), vendor: None };
    assert_eq!(Debian::guess_release(rpm), Ok(None));
}

#[test]
fn every_release_has_repositories_and_existing_keys() {
    let gpg = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../gpg");
    for entry in Debian::releases() {
        for arch in &entry.architectures {
            let repositories = Debian::repositories(entry.release.clone(), arch.clone()).unwrap();
            assert_eq!(repositories.first().map(|first| first.id.as_str()), Some("main"));
            assert!(repositories.iter().any(|repository| repository.content == RepositoryContent::DebugInfo));
            let archive = ("archive-snapshot".to_owned(), "https://snapshot.debian.org".to_owned());
            assert!(repositories.iter().all(|repository| repository.config.contains(&archive)));
            for key in repositories.iter().flat_map(|repository| &repository.keys) {
                assert!(gpg.join(&key.path).is_file(), "key: {}", key.path);
            }
        }
        let vax = Debian::repositories(entry.release, "vax".into());
        assert!(matches!(vax, Err(CallError::UnsupportedArchitecture(_))));
    }
}

/// Repository, suite and first mirror.
fn suites(version: &str, arch: &str) -> Vec<(String, String, String)> {
    let release = Debian::releases().into_iter().map(|entry| entry.release).find(|r| r.version == version).unwrap();
    let repositories = Debian::repositories(release, arch.into()).unwrap();
    let parts = repositories.into_iter().map(|repository| {
        let RepositoryLayout::DebDists(suite) = repository.layout else { panic!("layout of {}", repository.id) };
        assert_eq!(suite.components, ["main"]);
        (repository.id, suite.suite, repository.mirrors.into_iter().next().unwrap())
    });
    parts.collect()
}

/// Repository, suite and first mirror.
type Suite<'a> = (&'a str, &'a str, &'a str);

#[test]
fn suites_are_those_of_the_archive() {
    let (main, security) = ("http://deb.debian.org/debian", "http://security.debian.org/debian-security");
    let (debug, old) = ("http://deb.debian.org/debian-debug", "http://archive.debian.org");
    let (old_main, old_security, old_debug) =
        (format!("{old}/debian"), format!("{old}/debian-security"), format!("{old}/debian-debug"));
    let cases: [(&str, &[Suite<'_>]); 3] = [
        (
            "13",
            &[
                ("main", "trixie", main),
                ("updates", "trixie-updates", main),
                ("security", "trixie-security", security),
                ("backports", "trixie-backports", main),
                ("debug", "trixie-debug", debug),
                ("updates-debug", "trixie-proposed-updates-debug", debug),
                ("backports-debug", "trixie-backports-debug", debug),
                ("source", "trixie", main),
                ("security-source", "trixie-security", security),
            ],
        ),
        ("sid", &[("main", "sid", main), ("debug", "unstable-debug", debug), ("source", "sid", main)]),
        (
            "10",
            &[
                ("main", "buster", &old_main),
                ("security", "buster/updates", &old_security),
                ("debug", "buster-debug", &old_debug),
                ("source", "buster", &old_main),
            ],
        ),
    ];
    for (version, want) in cases {
        let got = suites(version, "x86_64");
        let got: Vec<_> =
            got.iter().map(|(id, suite, mirror)| (id.as_str(), suite.as_str(), mirror.as_str())).collect();
        assert_eq!(got, want, "release: {version}");
    }
}

#[test]
fn kernels_have_their_debug_package() {
    // Names as the archive has them, 2026-11.
    let cases = [
        ("6.1.0-50-cloud-amd64", "x86_64", "amd64"),
        ("6.12.94+deb13-arm64-16k", "aarch64", "arm64"),
        ("6.1.0-47-armmp-lpae", "armv7l", "armhf"),
        ("6.1.0-50-powerpc64le", "ppc64le", "ppc64el"),
        ("6.12.107+deb13-riscv64", "riscv64", "riscv64"),
    ];
    for (uname, arch, package_arch) in cases {
        let files = Debian::kernel_for(uname.into(), arch.into()).unwrap().unwrap();
        assert_eq!(files.vmlinux, format!("/usr/lib/debug/boot/vmlinux-{uname}"));
        let packages: Vec<_> = files.debug_packages.iter().map(|p| (p.name.as_str(), p.arch.as_str())).collect();
        assert_eq!(packages, [(format!("linux-image-{uname}-dbg").as_str(), package_arch)]);
    }
    assert_eq!(Debian::kernel_for("6.8.0-45-generic".into(), "x86_64".into()), Ok(None));
}

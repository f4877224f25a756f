//! What the plugin makes of real texts. The os-release files are those of the package `base-files`.

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
        ("debian_version", "forky/sid\n", found("14", "", "forky", true)),
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
    assert!(unsupported("ID=debian\nVERSION_ID=\"10\"\n"));
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
            for key in repositories.iter().flat_map(|repository| &repository.keys) {
                assert!(gpg.join(&key.path).is_file(), "key: {}", key.path);
            }
        }
        let vax = Debian::repositories(entry.release, "vax".into());
        assert!(matches!(vax, Err(CallError::UnsupportedArchitecture(_))));
    }
}

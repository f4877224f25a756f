//! What the plugin makes of real texts.

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
        ReleaseSource::OsRelease("ID=fedora\nVERSION_ID=20\n".into()),
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
}

#[test]
fn every_release_has_repositories_and_existing_keys() {
    let gpg = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../gpg");
    for entry in Fedora::releases() {
        for arch in &entry.architectures {
            let repositories = Fedora::repositories(entry.release.clone(), arch.clone()).unwrap();
            let ids: Vec<_> = repositories.iter().map(|repository| repository.id.as_str()).collect();
            let all: &[_] = &["releases", "updates", "releases-debuginfo", "updates-debuginfo"];
            let rawhide: &[_] = &["releases", "releases-debuginfo"];
            assert_eq!(ids, if entry.release.rolling { rawhide } else { all });
            for key in repositories.iter().flat_map(|repository| &repository.keys) {
                assert!(gpg.join(&key.path).is_file(), "key: {}", key.path);
            }
        }
        let vax = Fedora::repositories(entry.release, "vax".into());
        assert!(matches!(vax, Err(CallError::UnsupportedArchitecture(_))));
    }
}

#[test]
fn addresses_are_those_of_the_distribution() {
    let mirrors = |version: &str, arch: &str| -> Vec<String> {
        let release = Fedora::releases().into_iter().map(|entry| entry.release).find(|r| r.version == version).unwrap();
        let repositories = Fedora::repositories(release, arch.into()).unwrap();
        repositories.into_iter().map(|repository| repository.mirrors.into_iter().next().unwrap()).collect()
    };
    let main = "https://dl.fedoraproject.org/pub/fedora";
    assert_eq!(
        mirrors("44", "x86_64"),
        [
            format!("{main}/linux/releases/$VER/Everything/x86_64/os/"),
            format!("{main}/linux/updates/$VER/Everything/x86_64/"),
            format!("{main}/linux/releases/$VER/Everything/x86_64/debug/tree/"),
            format!("{main}/linux/updates/$VER/Everything/x86_64/debug/"),
        ]
    );
    assert_eq!(mirrors("44", "i686"), mirrors("44", "x86_64"));
    assert_eq!(mirrors("44", "s390x").first(), Some(&format!("{main}-secondary/releases/$VER/Everything/s390x/os/")));
    assert_eq!(
        mirrors("40", "aarch64").first().map(String::as_str),
        Some("https://archives.fedoraproject.org/pub/archive/fedora/linux/releases/$VER/Everything/aarch64/os/")
    );
    assert_eq!(
        mirrors("rawhide", "aarch64").first(),
        Some(&format!("{main}/linux/development/$VER/Everything/aarch64/os/"))
    );
}

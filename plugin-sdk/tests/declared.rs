//! What plugins made by `declarative!` answer: the two distributions of `docs/declarative.md`.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a helper of a test fails the test")]

mod acme {
    retrace_plugin_sdk::declarative! {
        /// The plugin for Acme Linux.
        #[derive(Debug)]
        pub struct Acme = "tests/declared/acme.toml";

        /// Takes the place of the declared answer, and still asks it.
        fn guess_release(subject: PackageRef) -> Result<Option<ReleaseGuess>, CallError> {
            if subject.raw.starts_with("acme-release-") {
                return Ok(None);
            }
            Acme::DATA.guess_release(&subject)
        }
    }
}

mod gnat {
    retrace_plugin_sdk::declarative!("tests/declared/gnat.toml");
}

use acme::Acme;
use gnat::Plugin as Gnat;
use retrace_plugin_sdk::prelude::*;

/// `distro version minor codename`, `none`, or the error's case.
fn shown(answer: Result<Option<Release>, CallError>) -> String {
    let word = |text: Option<String>| text.unwrap_or_else(|| "-".into());
    match answer {
        Ok(None) => "none".into(),
        Ok(Some(release)) => {
            format!("{} {} {} {}", release.distro, release.version, word(release.minor), word(release.codename))
        }
        Err(CallError::UnsupportedRelease(text)) => format!("unsupported: {text}"),
        Err(CallError::UnsupportedArchitecture(_)) => "unsupported architecture".into(),
        Err(CallError::MalformedInput(text)) => format!("malformed: {text}"),
        Err(CallError::Internal(text)) => panic!("{text}"),
    }
}

fn os_release<D: Distribution>(text: &str) -> String {
    shown(D::parse_release(ReleaseSource::OsRelease(text.into())))
}

fn line<D: Distribution>(text: &str) -> String {
    shown(D::parse_release(ReleaseSource::ReleaseLine(text.into())))
}

fn release<D: Distribution>(version: &str, minor: Option<&str>) -> Release {
    let entry = D::releases().into_iter().find(|entry| entry.release.version == version).unwrap();
    Release { minor: minor.map(String::from), ..entry.release }
}

#[test]
fn a_description_is_the_file_s() {
    let description = Acme::describe();
    assert_eq!((description.id.as_str(), Acme::ID, description.name.as_str()), ("acme", "acme", "Acme Linux"));
    assert_eq!((description.aliases, description.format), (vec!["acme-server".into()], PackageFormat::Rpm));
    assert_eq!(description.plugin_version, env!("CARGO_PKG_VERSION"));
    let titles: Vec<_> = Acme::releases().into_iter().map(|entry| entry.title).collect();
    assert_eq!(titles, ["Acme Linux Rolling", "Acme Linux 3 (roadrunner)", "Acme Linux 2 (anvil)"]);
    let titles: Vec<_> = Gnat::releases().into_iter().map(|entry| entry.title).collect();
    assert_eq!(titles, ["Gnat sid (unstable)", "Gnat 2 (midge)"]);
    let last = Acme::releases().pop().unwrap();
    assert_eq!(
        (last.architectures, last.end_of_life),
        (vec!["x86_64".into(), "i686".into()], Some("2024-06-30".into()))
    );
}

#[test]
fn os_release_is_read_by_rules_version_and_code_name() {
    let cases = [
        ("ID=acme\nVERSION_ID=3\n", "acme 3 - roadrunner"),
        ("ID=\"acme\"\nVERSION_ID=\"3.1\"\n", "acme 3 1 roadrunner"),
        ("ID=acme-server\nVERSION_ID=2.9.2009\n", "acme 2 9.2009 anvil"),
        ("ID=acme\nVERSION_ID=4\nVARIANT_ID=Rolling\n", "acme rolling - -"),
        ("ID=acme\nVERSION_ID=3\nNAME=\"Acme Remix 3\"\n", "none"),
        ("ID=acme\nVERSION_CODENAME=Anvil\n", "acme 2 - anvil"),
        ("ID=acme\nVERSION_ID=3.\n", "unsupported: Acme Linux 3. (served: rolling, 3, 2)"),
        ("ID=acme\nVERSION_ID=rolling.1\n", "unsupported: Acme Linux rolling.1 (served: rolling, 3, 2)"),
        ("ID=acme\nVERSION_ID=33\n", "unsupported: Acme Linux 33 (served: rolling, 3, 2)"),
        ("ID=acme\nVERSION_CODENAME=x\n", "unsupported: Acme Linux x (served: rolling, 3, 2)"),
        ("ID=acme\n", "malformed: os-release of Acme Linux without VERSION_ID: name the release"),
        ("ID=other\nID_LIKE=acme\nVERSION_ID=3\n", "none"),
        ("", "none"),
    ];
    for (text, want) in cases {
        assert_eq!(os_release::<Acme>(text), want, "text: {text:?}");
    }
    let cases = [
        ("ID=gnat\nVERSION_ID=2\nGNAT_VERSION_FULL=2.7\n", "gnat 2 7 midge"),
        ("ID=gnat\nVERSION_ID=2\nGNAT_VERSION_FULL=3.7\n", "gnat 2 - midge"),
        ("ID=gnat\nPRETTY_NAME=\"Gnat GNU/Linux wasp/sid\"\nVERSION_CODENAME=wasp\n", "gnat sid - sid"),
    ];
    for (text, want) in cases {
        assert_eq!(os_release::<Gnat>(text), want, "text: {text:?}");
    }
}

#[test]
fn release_lines_are_read() {
    let cases = [
        ("Acme release 3 (Roadrunner)", "acme 3 - roadrunner"),
        ("Acme Linux release 2.9.2009 (Anvil)\n", "acme 2 9.2009 anvil"),
        ("Acme Linux 3.1 (Server Edition)", "acme 3 1 roadrunner"),
        ("Acme release 4 (Rolling)", "acme rolling - -"),
        ("Acme Linux Rolling", "acme rolling - -"),
        ("Acme Linux anvil", "acme 2 - anvil"),
        ("Acme release 9", "unsupported: Acme Linux 9 (served: rolling, 3, 2)"),
        ("Acme Linux", "malformed: a line of Acme Linux without a version: name the release"),
        ("Acme Remix release 3", "none"),
        ("Acmeland release 3", "none"),
        ("Fedora release 40 (Forty)", "none"),
        ("", "none"),
    ];
    for (text, want) in cases {
        assert_eq!(line::<Acme>(text), want, "text: {text:?}");
        for (file, want) in [("etc/acme-release", want), ("hostname", "none")] {
            let source = ReleaseSource::Named((file.into(), text.into()));
            assert_eq!(shown(Acme::parse_release(source)), want, "file: {file}, text: {text:?}");
        }
    }
    let cases = [
        ("Gnat GNU/Linux 2 (midge)", "gnat 2 - midge"),
        ("Gnat GNU/Linux wasp/sid", "gnat sid - sid"),
        ("Gnat GNU/Linux wasp", "none"),
    ];
    for (text, want) in cases {
        assert_eq!(line::<Gnat>(text), want, "text: {text:?}");
    }
    for (text, want) in
        [("2.4\n", "gnat 2 4 midge"), ("midge", "gnat 2 - midge"), ("kali-rolling", "none"), ("", "none")]
    {
        let source = ReleaseSource::Named(("etc/gnat_version".into(), text.into()));
        assert_eq!(shown(Gnat::parse_release(source)), want, "text: {text:?}");
    }
}

fn guess<D: Distribution>(raw: &str, vendor: Option<&str>) -> String {
    let subject = PackageRef { raw: raw.into(), format: None, vendor: vendor.map(String::from) };
    match D::guess_release(subject) {
        Ok(Some(guess)) => {
            let confidence = match guess.confidence {
                Confidence::Weak => "Weak",
                Confidence::Likely => "Likely",
                Confidence::Certain => "Certain",
            };
            format!("{}, {confidence}: {}", shown(Ok(Some(guess.release))), guess.reason)
        }
        other => shown(other.map(|_| None)),
    }
}

#[test]
fn names_of_packages_point_at_releases() {
    let acme = Some("Acme Corporation");
    let cases = [
        ("bash-5.2-3.acme3.x86_64", None, "acme 3 - roadrunner, Likely: release tag .acme3"),
        (
            "bash-5.2-3.acme3.x86_64.rpm",
            acme,
            "acme 3 - roadrunner, Certain: release tag .acme3, vendor Acme Corporation",
        ),
        ("bash-5.2-3.acme3_1.2.x86_64", None, "acme 3 1 roadrunner, Likely: release tag .acme3_1"),
        ("bash-5.2-3.acme2", None, "acme 2 - anvil, Likely: release tag .acme2"),
        ("bash-5.2-3.acme9.x86_64", None, "unsupported: Acme Linux 9 (served: rolling, 3, 2)"),
        ("bash-5.2-3.el2.x86_64", None, "acme 2 - anvil, Weak: release tag .el2"),
        ("bash-5.2-3.el2.x86_64", acme, "acme 2 - anvil, Certain: release tag .el2, vendor Acme Corporation"),
        ("bash-5.2-3.el2.x86_64", Some("Other"), "none"),
        ("bash-5.2-3.el3.x86_64", None, "none"),
        ("bash-5.2-3.el9.x86_64", None, "none"),
        ("bash-5.2-3.acme3x.x86_64", None, "none"),
        ("bash-5.2-3.acme33.x86_64", None, "unsupported: Acme Linux 33 (served: rolling, 3, 2)"),
        ("bash-5.2-3.acme33333.x86_64", None, "none"),
        ("bash.acme3-5.2-3.fc40.x86_64", None, "none"),
        ("bash-5.2-3.acme2.acme3.x86_64", None, "acme 3 - roadrunner, Likely: release tag .acme3"),
        ("acme-release-3-1.acme3.noarch", None, "none"),
        ("", None, "none"),
    ];
    for (raw, vendor, want) in cases {
        assert_eq!(guess::<Acme>(raw, vendor), want, "name: {raw:?}, vendor: {vendor:?}");
    }
    let cases = [
        ("openssl_3.0.11-1+gnat2u2_amd64.deb", "gnat 2 - midge, Likely: version tag +gnat2u"),
        ("git_1%3a2.45.2-1~bpo2+1_arm64", "gnat 2 - midge, Weak: version tag ~bpo2+"),
        ("git_1%3a2.45.2-1~bpo7+1_arm64", "none"),
        ("bash_5.2.15-2+b7_amd64", "none"),
    ];
    for (raw, want) in cases {
        assert_eq!(guess::<Gnat>(raw, None), want, "name: {raw:?}");
    }
    let deb = PackageRef { raw: "a-1-1.acme3.noarch".into(), format: Some(PackageFormat::Deb), vendor: None };
    assert_eq!(Acme::guess_release(deb), Ok(None));
}

#[test]
fn repositories_are_those_of_release_and_architecture() {
    let shown = |release: Release, arch: &str| -> Vec<String> {
        let repositories = Acme::repositories(release, arch.into()).unwrap();
        repositories.iter().map(|one| format!("{} {}", one.id, one.mirrors.join(" "))).collect()
    };
    assert_eq!(
        shown(release::<Acme>("3", None), "s390x"),
        [
            "base https://mirror.acme.example/acme-secondary/$VER/os/$ARCH/",
            "updates https://mirror.acme.example/acme-secondary/$VER/updates/$ARCH/",
            "premium https://cdn.acme.example/premium/$VER/$ARCH/",
            "debuginfo https://mirror.acme.example/acme-secondary/$VER/debug/$ARCH/",
            "sources https://mirror.acme.example/acme-secondary/$VER/source/",
        ]
    );
    assert_eq!(
        shown(release::<Acme>("2", Some("9")), "i686").first().unwrap(),
        "base https://archive.acme.example/$VER.$MINOR/$VER/os/i386/ https://archive.acme.example/$VER/$VER/os/i386/"
    );
    assert_eq!(
        shown(release::<Acme>("2", None), "i686").first().unwrap(),
        "base https://archive.acme.example/$VER/$VER/os/i386/"
    );
    assert_eq!(shown(release::<Acme>("rolling", None), "x86_64").len(), 3);

    let unknown = Acme::repositories(release::<Acme>("3", None), "vax".into());
    assert!(
        matches!(unknown, Err(CallError::UnsupportedArchitecture(text)) if text.contains("served: x86_64, aarch64, s390x"))
    );
    let other = Release { version: "9".into(), ..release::<Acme>("3", None) };
    assert!(matches!(Acme::repositories(other, "x86_64".into()), Err(CallError::UnsupportedRelease(_))));
    let foreign = Release { distro: "gnat".into(), ..release::<Acme>("3", None) };
    assert!(matches!(Acme::repositories(foreign, "x86_64".into()), Err(CallError::UnsupportedRelease(_))));
}

#[test]
fn a_repository_says_who_signs_it_and_how_it_is_laid_out() {
    let repositories = Acme::repositories(release::<Acme>("3", None), "x86_64".into()).unwrap();
    let [base, _, premium, debug, sources] = repositories.as_slice() else { panic!("{repositories:#?}") };
    assert_eq!((base.title.as_str(), &base.layout), ("Acme Linux 3 (roadrunner), base", &RepositoryLayout::RpmMd));
    assert_eq!((base.signatures, &base.config), (Signatures::PACKAGES, &vec![]));
    let key = KeyFile {
        path: "acme/RPM-GPG-KEY-acme-3".into(),
        fingerprint: Some("89ABCDEF0123456789ABCDEF0123456789ABCDEF".into()),
    };
    assert_eq!(base.keys.as_slice(), core::slice::from_ref(&key));
    assert_eq!(premium.signatures, Signatures::all());
    assert_eq!(premium.config, [("client-certificate".into(), "required".into())]);
    assert_eq!((debug.title.as_str(), debug.content), ("Acme Linux 3 debuginfo", RepositoryContent::DebugInfo));
    assert_eq!(sources.content, RepositoryContent::Sources);
    let rolling = Acme::repositories(release::<Acme>("rolling", None), "x86_64".into()).unwrap();
    assert_eq!(rolling.first().unwrap().keys, [key]);

    let repositories = Gnat::repositories(release::<Gnat>("2", None), "aarch64".into()).unwrap();
    let suite = |suite: &str, components: &[&str]| {
        let components = components.iter().map(|component| (*component).into()).collect();
        RepositoryLayout::DebDists(DebSuite { suite: suite.into(), components })
    };
    let layouts: Vec<_> = repositories.iter().map(|one| one.layout.clone()).collect();
    let want = [
        suite("midge", &["main", "contrib"]),
        suite("midge-security", &["main"]),
        suite("midge-debug", &["main"]),
        suite("midge", &["main"]),
    ];
    assert_eq!(layouts, want);
    let keys: Vec<_> = repositories.iter().flat_map(|one| &one.keys).map(|key| key.path.as_str()).collect();
    let archive = "gnat/gnat-archive.asc";
    assert_eq!(keys, [archive, "gnat/gnat-security.asc", archive, archive]);
}

#[test]
fn the_debugger_is_that_of_the_first_entry_that_applies() {
    let debugger = |version| Acme::debugger_for(release::<Acme>(version, None), "x86_64".into()).unwrap();
    let own = Debugger { packages: vec!["gdb".into()], path: "/usr/bin/gdb".into(), environment: Environment::Chroot };
    assert_eq!((debugger("2"), debugger("3")), (Some(own), None));
    let vax = Acme::debugger_for(release::<Acme>("2", None), "vax".into());
    assert!(matches!(vax, Err(CallError::UnsupportedArchitecture(_))));
}

#[test]
fn debug_packages_are_the_exceptions_and_the_usual_ones() {
    let names = |file: &str| -> Vec<String> {
        let id = Acme::parse_file_names(vec![file.into()]).unwrap().pop().unwrap().unwrap();
        Acme::debug_packages(id).unwrap().into_iter().map(|package| package.name).collect()
    };
    assert_eq!(names("bash-5-1.acme3.x86_64.rpm"), ["bash-debuginfo", "bash-debugsource"]);
    let glibc = ["glibc-debuginfo", "glibc-debuginfo-common", "glibc-common-debuginfo", "glibc-common-debugsource"];
    assert_eq!(names("glibc-common-2-1.acme3.x86_64.rpm"), glibc);
    assert_eq!(names("glibc-2-1.acme3.src.rpm"), Vec::<String>::new());
}

#[test]
fn kernels_are_found_by_what_uname_says() {
    let kernel = |uname: &str, arch: &str| Acme::kernel_for(uname.into(), arch.into()).unwrap();
    let found = kernel("6.8.5-301.acme3.x86_64+debug", "x86_64").unwrap();
    assert_eq!(found.vmlinux, "/usr/lib/debug/lib/modules/6.8.5-301.acme3.x86_64+debug/vmlinux");
    let found = kernel("6.8.5-301.acme3.s390x", "s390x").unwrap();
    let package = |name: &str| PackageId {
        name: name.into(),
        epoch: None,
        version: "6.8.5".into(),
        release: Some("301.acme3".into()),
        arch: "s390x".into(),
        kind: PackageKind::DebugInfo,
    };
    assert_eq!(found.debug_packages, [package("kernel-debuginfo"), package("kernel-debuginfo-common-s390x")]);
    assert_eq!(kernel("6.8.5-301.acme3.s390x", "x86_64"), None);
    assert_eq!(kernel("6.8.5-301.fc40.x86_64", "x86_64"), None);
    assert_eq!(kernel("a b.acme3.x86_64", "x86_64"), None);
    assert_eq!(kernel("../.acme3.x86_64", "x86_64"), None);

    let found = Gnat::kernel_for("6.1.0-28-amd64".into(), "x86_64".into()).unwrap().unwrap();
    let [package] = found.debug_packages.as_slice() else { panic!("{found:#?}") };
    assert_eq!(
        (package.name.as_str(), package.version.as_str(), package.arch.as_str()),
        ("linux-image-6.1.0-28-amd64-dbg", "*", "amd64")
    );
    assert_eq!(Gnat::kernel_for("6.1.0-28-arm64".into(), "aarch64".into()), Ok(None));
}

#[test]
fn an_environment_gets_what_it_needs_and_has_not() {
    let extra = |wanted: &[&str]| {
        let wanted = wanted.iter().map(|name| (*name).into()).collect();
        Acme::extra_packages(release::<Acme>("3", None), "x86_64".into(), wanted).unwrap()
    };
    assert_eq!(extra(&["bash", "python3-libs"]), ["python3-debug"]);
    assert_eq!(extra(&["python3", "python3-debug"]), Vec::<String>::new());
    assert_eq!(extra(&["bash"]), Vec::<String>::new());
}

proptest::proptest! {
    #[test]
    fn any_input_gets_an_answer(text in ".{0,200}", name in "[a-z_]{0,12}") {
        let forms = [
            text.clone(),
            format!("ID=acme\n{text}"),
            format!("ID=acme\nVERSION_ID={text}"),
            format!("Acme {text}"),
            format!("Acme release {text}"),
            format!("a-1-1.acme{text}"),
            format!("a-1-1.acme3_{text}"),
        ];
        for form in forms {
            let sources = [
                ReleaseSource::OsRelease(form.clone()),
                ReleaseSource::ReleaseLine(form.clone()),
                ReleaseSource::Named((name.clone(), form.clone())),
            ];
            for source in sources {
                let _ = Acme::parse_release(source);
            }
            let _ = Acme::guess_release(PackageRef { raw: form.clone(), format: None, vendor: Some(form.clone()) });
            let _ = Gnat::guess_release(PackageRef { raw: form.clone(), format: None, vendor: None });
            let _ = Acme::kernel_for(form.clone(), "x86_64".into());
            let _ = Acme::repositories(Release { version: form, ..release::<Acme>("3", None) }, text.clone());
        }
    }
}

use std::{fs, time::Duration};

use retrace_plugin_host::{
    CallError, HostOptions, Limits, NamedPackage, Outcome, PackageRef, PluginError, PluginHost, ReleaseError,
    ReleaseSource,
};
use retrace_types::{
    Architecture, Confidence, PackageFormat, PackageId, PackageKind, RepositoryContent, RepositoryLayout,
    SignaturePolicy,
};

use crate::support::{Pick as _, component, corpus, options_in, plugin_dir, shipped};

#[test]
fn the_built_folder_loads_as_it_is() {
    let cache = tempfile::tempdir().unwrap();
    let options = HostOptions { plugin_dir: plugin_dir(), ..options_in(cache.path(), Limits::default()) };
    let host = PluginHost::load(&options).unwrap_or_else(|error| panic!("{error}: run `make plugins`")).registry();
    assert!(host.faults().is_empty(), "{:?}", host.faults());
    let ids: Vec<_> = host.plugins().map(|plugin| plugin.info().id.to_string()).collect();
    for id in ["debian", "fedora"] {
        assert!(ids.iter().any(|loaded| loaded == id), "{id} is missing in {ids:?}: run `make plugins`");
    }
    assert!(!ids.iter().any(|id| id == "bad"), "bad plugins belong into a folder of their own");
}

#[test]
fn plugins_say_what_they_are() {
    let host = shipped();
    let seen: Vec<_> = host.plugins().map(|plugin| (plugin.info().id.as_str(), plugin.info().format.clone())).collect();
    assert_eq!(seen, [("debian", PackageFormat::Deb), ("fedora", PackageFormat::Rpm)]);
}

#[test]
fn compiled_code_comes_from_the_cache_the_second_time() {
    let dir = tempfile::tempdir().unwrap();
    let options = options_in(dir.path(), Limits::default());
    fs::create_dir(&options.plugin_dir).unwrap();
    fs::write(options.plugin_dir.join("fedora.wasm"), component("retrace_plugin_fedora")).unwrap();
    for from_cache in [false, true] {
        let host = PluginHost::load(&options).unwrap().registry();
        let plugin = host.plugins().next().unwrap().info();
        assert_eq!(plugin.from_cache, from_cache, "load time: {:?}", plugin.load_time);
        assert!(plugin.load_time > Duration::ZERO);
    }
}

#[test]
fn each_text_of_the_corpus_has_one_owner() {
    let host = shipped();
    for (name, text) in corpus() {
        let source = ReleaseSource::OsRelease(text);
        let claims: Vec<_> = host
            .select_by_text(&source)
            .candidates
            .into_iter()
            .filter(|candidate| !matches!(candidate.outcome, Outcome::None))
            .map(|candidate| candidate.plugin.to_string())
            .collect();
        let owner = name.split('-').next().unwrap_or_default();
        assert_eq!(claims, [owner], "file: {name}");
        let release = host.pick_release(&source).unwrap();
        assert_eq!(release.id.distro.as_str(), owner);
    }
}

#[test]
fn releases_are_found_by_text_package_and_version() {
    let host = shipped();
    let line = ReleaseSource::ReleaseLine("Fedora release 40 (Forty)".to_owned());
    assert_eq!(host.pick_release(&line).unwrap().id.to_string(), "fedora-40");

    let package = |raw: &str| PackageRef { raw: raw.to_owned(), format: None, vendor: None };
    let guess = host.pick_guess(&package("bash-5.2.26-3.fc40.x86_64")).unwrap();
    assert_eq!((guess.release.id.to_string().as_str(), guess.confidence), ("fedora-40", Confidence::Likely));
    let guess = host.pick_guess(&package("openssl_3.0.11-1~deb12u2_amd64")).unwrap();
    assert_eq!(guess.release.id.to_string(), "debian-12");
    assert_eq!(host.pick_guess(&package("bash-5.1.8-9.el9.x86_64")), Err(ReleaseError::None));

    let debian = "debian".parse().unwrap();
    for version in ["12", "bookworm", "Bookworm"] {
        assert_eq!(host.release_by_version(&debian, version).unwrap().id.to_string(), "debian-12");
    }
    let unknown = host.release_by_version(&debian, "4.0").unwrap_err();
    assert!(
        matches!(&unknown, PluginError::NoRelease { known, .. } if known == "sid, 14, 13, 12, 11, 10"),
        "{unknown}"
    );
    let nobody = host.release_by_version(&"plan9".parse().unwrap(), "4").unwrap_err();
    assert!(matches!(&nobody, PluginError::NoPlugin { installed, .. } if installed == "debian, fedora"), "{nobody}");
}

#[test]
fn an_unserved_release_is_the_plugin_s_answer_and_no_defect() {
    let host = shipped();
    let source = ReleaseSource::OsRelease("ID=fedora\nVERSION_ID=99\n".to_owned());
    let error = host.pick_release(&source).unwrap_err();
    assert!(
        matches!(&error, ReleaseError::Refused { plugin, error: CallError::UnsupportedRelease(_) } if plugin.as_str() == "fedora"),
        "{error}"
    );
    let unknown = ReleaseSource::OsRelease("ID=plan9\n".to_owned());
    assert_eq!(host.pick_release(&unknown), Err(ReleaseError::None));
}

#[test]
fn an_overlong_text_is_cut_and_still_read() {
    let host = shipped();
    let text = format!("ID=debian\nVERSION_ID=\"12\"\n#{}", "\u{20ac}".repeat(1 << 20));
    assert_eq!(host.pick_release(&ReleaseSource::OsRelease(text)).unwrap().id.to_string(), "debian-12");
}

#[test]
fn every_served_release_has_checked_repositories() {
    let host = shipped();
    for id in ["debian", "fedora"] {
        let id = id.parse().unwrap();
        let releases = host.releases(&id).unwrap();
        assert!(releases.len() >= 4);
        for entry in releases {
            assert!(entry.architectures.contains(&Architecture::X86_64));
            for architecture in entry.architectures {
                let specs = host.repositories(&entry.release, architecture).unwrap();
                assert_eq!(specs.first().map(|spec| spec.content), Some(RepositoryContent::Packages));
                assert!(specs.iter().any(|spec| spec.content == RepositoryContent::DebugInfo));
                for mirror in specs.iter().flat_map(|spec| &spec.mirrors) {
                    assert!(!mirror.contains('$'), "mirror: {mirror}");
                }
                assert_eq!(host.debugger_for(&entry.release, architecture).unwrap(), None);
            }
        }
    }
}

#[test]
fn repositories_of_debian_are_what_apt_would_ask() {
    let host = shipped();
    let bookworm = host.release_by_version(&"debian".parse().unwrap(), "12").unwrap();
    let specs = host.repositories(&bookworm, Architecture::X86_64).unwrap();
    let suites: Vec<_> = specs
        .iter()
        .map(|spec| match &spec.layout {
            RepositoryLayout::DebDists { suite, components } => {
                (spec.id.as_str(), suite.as_str(), components.join(" "), spec.mirrors.first().unwrap().as_str())
            }
            other => panic!("layout {other:?}"),
        })
        .collect();
    let want = [
        ("main", "bookworm", "http://deb.debian.org/debian"),
        ("updates", "bookworm-updates", "http://deb.debian.org/debian"),
        ("security", "bookworm-security", "http://security.debian.org/debian-security"),
        ("backports", "bookworm-backports", "http://deb.debian.org/debian"),
        ("debug", "bookworm-debug", "http://deb.debian.org/debian-debug"),
        ("updates-debug", "bookworm-proposed-updates-debug", "http://deb.debian.org/debian-debug"),
        ("backports-debug", "bookworm-backports-debug", "http://deb.debian.org/debian-debug"),
        ("source", "bookworm", "http://deb.debian.org/debian"),
        ("security-source", "bookworm-security", "http://security.debian.org/debian-security"),
    ];
    assert_eq!(suites, want.map(|(id, suite, mirror)| (id, suite, "main".to_owned(), mirror)));
    assert!(specs.iter().all(|spec| spec.signatures == SignaturePolicy { metadata: true, packages: false }));

    let riscv = host.repositories(&bookworm, Architecture::Riscv64).unwrap_err();
    assert!(matches!(riscv, PluginError::Call { error: CallError::UnsupportedArchitecture(_), .. }), "{riscv}");
}

#[test]
fn repositories_of_fedora_are_what_dnf_would_ask() {
    let host = shipped();
    let release = host.release_by_version(&"fedora".parse().unwrap(), "44").unwrap();
    let specs = host.repositories(&release, Architecture::Aarch64).unwrap();
    let seen: Vec<_> = specs.iter().map(|spec| (spec.id.as_str(), spec.mirrors.first().unwrap().as_str())).collect();
    let base = "https://dl.fedoraproject.org/pub/fedora/linux";
    let want = [
        ("releases", format!("{base}/releases/44/Everything/aarch64/os/")),
        ("updates", format!("{base}/updates/44/Everything/aarch64/")),
        ("updates-testing", format!("{base}/updates/testing/44/Everything/aarch64/")),
        ("releases-debuginfo", format!("{base}/releases/44/Everything/aarch64/debug/tree/")),
        ("updates-debuginfo", format!("{base}/updates/44/Everything/aarch64/debug/")),
        ("updates-testing-debuginfo", format!("{base}/updates/testing/44/Everything/aarch64/debug/")),
        ("releases-source", format!("{base}/releases/44/Everything/source/tree/")),
        ("updates-source", format!("{base}/updates/44/Everything/source/tree/")),
    ];
    assert_eq!(seen, want.each_ref().map(|(id, mirror)| (*id, mirror.as_str())));
    assert!(specs.iter().all(|spec| spec.signatures == SignaturePolicy { metadata: false, packages: true }));
}

#[test]
fn package_names_are_read_in_batches_and_written_back() {
    let host = shipped();
    let fedora = "fedora".parse().unwrap();
    // More than fit in one call.
    let mut names: Vec<String> = (0..2500).map(|i| format!("pkg{i}-1.{i}-2.fc40.x86_64.rpm")).collect();
    names.push("nonsense".to_owned());
    let packages = host.parse_file_names(&fedora, &names).unwrap();
    assert_eq!(packages.len(), names.len());
    for (name, package) in names.iter().zip(&packages) {
        match package {
            Some(package) => {
                assert_eq!(&host.format_file_name(&fedora, &package.id, &package.kind).unwrap(), name);
                if package.id.name == "pkg7" {
                    break;
                }
            }
            None => panic!("{name}"),
        }
    }
    assert_eq!(packages.last(), Some(&None));
}

#[test]
fn debug_packages_have_the_version_of_their_package() {
    let host = shipped();
    let package = |name: &str, arch: &str| PackageId {
        name: name.to_owned(),
        epoch: Some(1),
        version: "2.0".to_owned(),
        release: Some("3".to_owned()),
        arch: arch.to_owned(),
    };
    let cases = [
        ("debian", "amd64", vec![("p-dbgsym", PackageKind::DebugInfo), ("p-dbg", PackageKind::DebugInfo)]),
        (
            "fedora",
            "x86_64",
            vec![("p-debuginfo", PackageKind::DebugInfo), ("p-debugsource", PackageKind::DebugSource)],
        ),
    ];
    for (distro, arch, want) in cases {
        let got = host.debug_packages(&distro.parse().unwrap(), &package("p", arch)).unwrap();
        let want: Vec<_> =
            want.into_iter().map(|(name, kind)| NamedPackage { id: package(name, arch), kind }).collect();
        assert_eq!(got, want);
    }
}

#[test]
fn many_threads_ask_at_once() {
    let host = shipped();
    let release = host.release_by_version(&"debian".parse().unwrap(), "13").unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..50 {
                    assert_eq!(host.repositories(&release, Architecture::S390x).unwrap().len(), 9);
                }
            });
        }
    });
}

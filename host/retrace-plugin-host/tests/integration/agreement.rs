//! The trait, called natively, and the component built from it must say the same: whatever differs is a mistake of the
//! ABI, of the allocator or of `no_std`.

use retrace_plugin_debian::Debian;
use retrace_plugin_fedora::Fedora;
use retrace_plugin_host::{Outcome, PackageRef, ReleaseSource};
use retrace_plugin_sdk as sdk;
use retrace_plugin_sdk::Distribution;
use retrace_types::DistroId;

use crate::support::{TestHost, corpus, shipped};

const LINES: [&str; 7] = [
    "Fedora release 40 (Forty)",
    "Fedora release 41 (Rawhide)",
    "Fedora release 99 (X)",
    "Debian GNU/Linux 12 (bookworm)",
    "Debian GNU/Linux",
    "CentOS Linux release 7.9.2009 (Core)",
    "",
];

const PACKAGES: [&str; 6] = [
    "bash-5.2.26-3.fc40.x86_64",
    "bash-1-1.fc99.x86_64",
    "openssl_3.0.11-1~deb12u2_amd64.deb",
    "bash-5.1.8-9.el9.x86_64",
    "nonsense",
    "",
];

#[test]
fn debian_says_the_same_natively() {
    compare::<Debian>(&shipped(), "debian");
}

#[test]
fn fedora_says_the_same_natively() {
    compare::<Fedora>(&shipped(), "fedora");
}

fn compare<D: Distribution>(host: &TestHost, id: &str) {
    let id: DistroId = id.parse().unwrap();
    let info = host.plugins().find(|plugin| plugin.info().id == id).unwrap().info();
    let description = D::describe();
    assert_eq!(
        (info.id.as_str(), &info.name, &info.version),
        (description.id.as_str(), &description.name, &description.plugin_version)
    );

    let texts = corpus().into_iter().map(|(_, text)| text).chain(["ID=debian".to_owned(), "ID=fedora".to_owned()]);
    for text in texts {
        let native = D::parse_release(sdk::ReleaseSource::OsRelease(text.clone()));
        assert_eq!(parsed(host, &id, &ReleaseSource::OsRelease(text.clone())), shown(native), "text: {text}");
    }
    for line in LINES {
        let native = D::parse_release(sdk::ReleaseSource::ReleaseLine(line.to_owned()));
        assert_eq!(parsed(host, &id, &ReleaseSource::ReleaseLine(line.to_owned())), shown(native), "line: {line}");
    }
    for raw in PACKAGES {
        let native = D::guess_release(sdk::PackageRef { raw: raw.to_owned(), format: None, vendor: None });
        let subject = PackageRef { raw: raw.to_owned(), format: None, vendor: None };
        let candidates = host.select_by_package(&subject).candidates;
        let outcome = &candidates.iter().find(|candidate| candidate.plugin == id).unwrap().outcome;
        assert_eq!(
            outcome_shown(outcome),
            shown(native.map(|guess| guess.map(|guess| guess.release))),
            "package: {raw}"
        );
    }

    let releases = D::releases();
    let answered = host.releases(&id).unwrap();
    assert_eq!(answered.len(), releases.len());
    for (entry, native) in answered.iter().zip(releases) {
        assert_eq!((&entry.title, &entry.end_of_life), (&native.title, &native.end_of_life));
        let names: Vec<_> = entry.architectures.iter().map(ToString::to_string).collect();
        assert_eq!(names, native.architectures);
        for architecture in &entry.architectures {
            let specs = host.repositories(&entry.release, *architecture).unwrap();
            let native = D::repositories(native.release.clone(), architecture.to_string()).unwrap();
            assert_eq!(specs.len(), native.len());
            for (spec, native) in specs.iter().zip(&native) {
                assert_eq!((&spec.id, &spec.title), (&native.id, &native.title));
                assert_eq!(spec.mirrors.len(), native.mirrors.len());
                let keys: Vec<_> =
                    spec.keys.iter().map(|key| (key.path.as_str(), key.fingerprint.as_deref())).collect();
                let native: Vec<_> =
                    native.keys.iter().map(|key| (key.path.as_str(), key.fingerprint.as_deref())).collect();
                assert_eq!(keys, native);
            }
        }
    }
}

fn parsed(host: &TestHost, id: &DistroId, source: &ReleaseSource) -> String {
    let candidates = host.select_by_text(source).candidates;
    outcome_shown(&candidates.iter().find(|candidate| candidate.plugin == *id).unwrap().outcome)
}

fn outcome_shown(outcome: &Outcome) -> String {
    match outcome {
        Outcome::None => "none".to_owned(),
        Outcome::Claim(claim) => {
            let release = &claim.release;
            format!("{} {:?} {:?} {}", release.id, release.minor, release.codename, release.rolling)
        }
        Outcome::Refused(error) => error.to_string(),
        Outcome::Failed(failure) => panic!("{failure}"),
        Outcome::Degraded(why) => panic!("{why}"),
    }
}

fn shown(answer: Result<Option<sdk::Release>, sdk::CallError>) -> String {
    match answer {
        Ok(None) => "none".to_owned(),
        Ok(Some(release)) => format!(
            "{}-{} {:?} {:?} {}",
            release.distro, release.version, release.minor, release.codename, release.rolling
        ),
        Err(sdk::CallError::UnsupportedRelease(text)) => format!("unsupported release: {text}"),
        Err(sdk::CallError::UnsupportedArchitecture(text)) => format!("unsupported architecture: {text}"),
        Err(sdk::CallError::MalformedInput(text)) => format!("malformed input: {text}"),
        Err(sdk::CallError::Internal(text)) => format!("internal error of the plugin: {text}"),
    }
}

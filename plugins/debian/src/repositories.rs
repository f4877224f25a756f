//! Where the packages of a release are, and who signs them.

use retrace_plugin_sdk::prelude::*;

use crate::releases::{Known, State};

/// The main archive; the second name serves sites that let no plain HTTP out.
const ARCHIVE: &[&str] = &["http://deb.debian.org/debian", "https://deb.debian.org/debian"];
/// The archive of security updates.
const SECURITY: &[&str] = &["http://security.debian.org/debian-security", "https://deb.debian.org/debian-security"];
/// The archive of automatic debug packages.
const DEBUG: &[&str] = &["http://deb.debian.org/debian-debug", "https://deb.debian.org/debian-debug"];

/// A key of `gpg/debian/`: file name and fingerprint.
type Key = (&'static str, &'static str);

const ARCHIVE_KEYS: &[Key] = &[
    ("debian-archive-trixie-automatic.asc", "04B54C3CDCA79751B16BC6B5225629DF75B188BD"),
    ("debian-archive-bookworm-automatic.asc", "B8B80B5B623EAB6AD8775C45B7C5D7D6350947F8"),
    ("debian-archive-trixie-stable.asc", "41587F7DB8C774BCCF131416762F67A0B2C39DE4"),
    ("debian-archive-bookworm-stable.asc", "4D64FEC119C2029067D6E791F8D2585B8783D481"),
];

const SECURITY_KEYS: &[Key] = &[
    ("debian-archive-trixie-security-automatic.asc", "5E04A1E3223A19A20706E20F9904613D4CCE68C6"),
    ("debian-archive-bookworm-security-automatic.asc", "05AB90340C0C5E797F44A8C8254CF3B5AEC0A8F0"),
    ("debian-archive-bullseye-security-automatic.asc", "AC530D520F2F3269F5E98313A48449044AAD5C5D"),
];

/// The repositories of a release, packages first. The same for every architecture.
pub(crate) fn of(known: &Known) -> Vec<Repository> {
    let codename = known.codename;
    let main = repository("main", codename, ARCHIVE, ARCHIVE_KEYS, RepositoryContent::Packages);
    if known.state == State::Unstable {
        return vec![main, repository("debug", "unstable-debug", DEBUG, ARCHIVE_KEYS, RepositoryContent::DebugInfo)];
    }
    let suite = |ending: &str| format!("{codename}-{ending}");
    vec![
        main,
        repository("updates", &suite("updates"), ARCHIVE, ARCHIVE_KEYS, RepositoryContent::Packages),
        repository("security", &suite("security"), SECURITY, SECURITY_KEYS, RepositoryContent::Packages),
        repository("debug", &suite("debug"), DEBUG, ARCHIVE_KEYS, RepositoryContent::DebugInfo),
        // Security updates reach the debug archive by way of the proposed updates.
        repository(
            "updates-debug",
            &suite("proposed-updates-debug"),
            DEBUG,
            ARCHIVE_KEYS,
            RepositoryContent::DebugInfo,
        ),
    ]
}

fn repository(id: &str, suite: &str, mirrors: &[&str], keys: &[Key], content: RepositoryContent) -> Repository {
    let key = |(file, fingerprint): &Key| KeyFile {
        path: format!("debian/{file}"),
        fingerprint: Some((*fingerprint).into()),
    };
    Repository {
        id: id.into(),
        title: format!("Debian {suite}"),
        layout: RepositoryLayout::DebDists(DebSuite { suite: suite.into(), components: vec!["main".into()] }),
        content,
        mirrors: mirrors.iter().map(|mirror| (*mirror).into()).collect(),
        // The signed index holds the digest of every package; packages carry no signature of their own.
        signatures: Signatures::METADATA,
        keys: keys.iter().map(key).collect(),
        config: vec![],
    }
}

//! Where the packages of a release are, and who signs them.

use retrace_plugin_sdk::prelude::*;

use crate::releases::{Known, Machine};

const MIRROR: &str = "https://dl.fedoraproject.org/pub";
const ARCHIVE: &str = "https://archives.fedoraproject.org/pub/archive";

/// Release, and fingerprint of the key that signs its packages: `gpg/fedora/RPM-GPG-KEY-fedora-<release>-primary.asc`.
const KEYS: &[(&str, &str)] = &[
    ("38", "6A51BBABBA3D5467B6171221809A8D7CEB10B464"),
    ("39", "E8F23996F23218640CB44CBE75CF5AC418B8E74C"),
    ("40", "115DF9AEF857853EE8445D0A0727707EA15B79CC"),
    ("41", "466CF2D8B60BC3057AA9453ED0622462E99D6AD1"),
    ("42", "B0F4950458F69E1150C6C5EDC8AC4916105EF944"),
    ("43", "C6E7F081CF80E13146676E88829B606631645531"),
    ("44", "36F612DCF27F7D1A48A835E4DBFCF71C6D9F90A6"),
    ("45", "4F50A6114CD5C6976A7F1179655A4B02F577861E"),
    ("46", "D924B10D3E810DABDD8B56B596E7E91491211FCE"),
    ("47", "B2E766FA50CA6FA2D5ED06FC09D879E09488FB64"),
];

/// Rawhide changes its key when a release branches off: the last one, the present one and the next one.
const RAWHIDE_KEYS: &[&str] = &["45", "46", "47"];

/// The repositories of a release, packages first.
pub(crate) fn of(known: &Known, machine: Machine) -> Result<Vec<Repository>, CallError> {
    let (tree, arch) = match machine {
        Machine::Primary(arch) => ("fedora/linux", arch),
        Machine::Secondary(arch) => ("fedora-secondary", arch),
    };
    let mirrors = |path: &str| {
        let (mirror, archive) = (format!("{MIRROR}/{tree}/{path}"), format!("{ARCHIVE}/{tree}/{path}"));
        match known {
            known if known.is_rawhide() => vec![mirror],
            known if known.archived => vec![archive, mirror],
            _ => vec![mirror, archive],
        }
    };
    let keys = keys(known)?;
    let title = known.entry().title;
    let repository = |id: &str, what: &str, content, path: &str| Repository {
        id: id.into(),
        title: format!("{title} {what}"),
        layout: RepositoryLayout::RpmMd,
        content,
        mirrors: mirrors(path),
        // Fedora signs packages, not metadata.
        signatures: Signatures::PACKAGES,
        keys: keys.clone(),
        config: vec![],
    };
    use RepositoryContent::{DebugInfo, Packages};
    if known.is_rawhide() {
        let base = format!("development/$VER/Everything/{arch}");
        return Ok(vec![
            repository("releases", "packages", Packages, &format!("{base}/os/")),
            repository("releases-debuginfo", "debuginfo", DebugInfo, &format!("{base}/debug/tree/")),
        ]);
    }
    let (releases, updates) = (format!("releases/$VER/Everything/{arch}"), format!("updates/$VER/Everything/{arch}"));
    Ok(vec![
        repository("releases", "packages", Packages, &format!("{releases}/os/")),
        repository("updates", "updates", Packages, &format!("{updates}/")),
        repository("releases-debuginfo", "debuginfo", DebugInfo, &format!("{releases}/debug/tree/")),
        repository("updates-debuginfo", "updates debuginfo", DebugInfo, &format!("{updates}/debug/")),
    ])
}

fn keys(known: &Known) -> Result<Vec<KeyFile>, CallError> {
    let own = [known.version];
    let wanted = if known.is_rawhide() { RAWHIDE_KEYS } else { own.as_slice() };
    let keys: Vec<_> = KEYS
        .iter()
        .filter(|(release, _)| wanted.contains(release))
        .map(|(release, fingerprint)| KeyFile {
            path: format!("fedora/RPM-GPG-KEY-fedora-{release}-primary.asc"),
            fingerprint: Some((*fingerprint).into()),
        })
        .collect();
    if keys.is_empty() {
        return Err(CallError::Internal(format!("no key for {}", known.version)));
    }
    Ok(keys)
}

//! Which releases there are, and how a text or a package names one.

use retrace_plugin_sdk::prelude::*;

use crate::ID;

/// One release.
pub(crate) struct Known {
    pub(crate) version: &'static str,
    end_of_life: Option<&'static str>,
    /// Its packages have left the main mirrors for the archive.
    pub(crate) archived: bool,
}

/// The release that never is one.
pub(crate) const RAWHIDE: &str = "rawhide";

/// Newest first.
pub(crate) const RELEASES: &[Known] = &[
    Known { version: RAWHIDE, end_of_life: None, archived: false },
    Known { version: "44", end_of_life: None, archived: false },
    Known { version: "43", end_of_life: None, archived: false },
    Known { version: "42", end_of_life: None, archived: false },
    Known { version: "41", end_of_life: Some("2025-12-15"), archived: true },
    Known { version: "40", end_of_life: Some("2025-05-13"), archived: true },
    Known { version: "39", end_of_life: Some("2024-11-26"), archived: true },
    Known { version: "38", end_of_life: Some("2024-05-21"), archived: true },
];

/// Where a machine's packages are.
#[derive(Clone, Copy)]
pub(crate) enum Machine {
    /// On the main mirrors, below this name.
    Primary(&'static str),
    /// On the mirrors of secondary architectures, below this name.
    Secondary(&'static str),
}

impl Machine {
    const ALL: [(&'static str, Self); 5] = [
        ("x86_64", Self::Primary("x86_64")),
        ("aarch64", Self::Primary("aarch64")),
        ("ppc64le", Self::Secondary("ppc64le")),
        ("s390x", Self::Secondary("s390x")),
        // No repository of its own since Fedora 31: 32-bit programs are part of the one for x86_64.
        ("i686", Self::Primary("x86_64")),
    ];

    pub(crate) fn parse(name: &str) -> Result<Self, CallError> {
        let found = Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, machine)| *machine);
        found.ok_or_else(|| CallError::UnsupportedArchitecture(format!("Fedora Linux has no packages for {name}")))
    }
}

impl Known {
    pub(crate) fn is_rawhide(&self) -> bool {
        self.version == RAWHIDE
    }

    pub(crate) fn entry(&self) -> ReleaseEntry {
        let name = if self.is_rawhide() { "Rawhide" } else { self.version };
        ReleaseEntry {
            release: self.release(),
            title: format!("Fedora Linux {name}"),
            architectures: Machine::ALL.iter().map(|(name, _)| (*name).into()).collect(),
            end_of_life: self.end_of_life.map(String::from),
            annotations: vec![],
        }
    }

    fn release(&self) -> Release {
        Release {
            distro: ID.into(),
            version: self.version.into(),
            minor: None,
            codename: None,
            rolling: self.is_rawhide(),
        }
    }
}

/// The entry of a release that the host asks about.
pub(crate) fn known(release: &Release) -> Result<&'static Known, CallError> {
    let found = RELEASES.iter().find(|known| release.distro == ID && known.version == release.version);
    found.ok_or_else(|| unsupported(&release.version))
}

pub(crate) fn from_os_release(text: &str) -> Result<Option<Release>, CallError> {
    let os = OsRelease::parse(text);
    if os.get("ID") != Some(ID) {
        return Ok(None);
    }
    // Rawhide's VERSION_ID is the number of the release that it will become.
    if os.get("REDHAT_BUGZILLA_PRODUCT_VERSION").is_some_and(|version| version.eq_ignore_ascii_case(RAWHIDE)) {
        return by_version(RAWHIDE).map(Some);
    }
    match os.get("VERSION_ID") {
        Some(version) => by_version(version).map(Some),
        None => {
            Err(CallError::MalformedInput("os-release of Fedora Linux without VERSION_ID: name the release".into()))
        }
    }
}

/// `Fedora release 40 (Forty)`, `Fedora release 46 (Rawhide)`; also the pretty name `Fedora Linux 40 (Server Edition)`.
pub(crate) fn from_line(text: &str) -> Result<Option<Release>, CallError> {
    if let Some(line) = ReleaseLine::parse(text) {
        if !matches!(line.name, "Fedora" | "Fedora Linux") {
            return Ok(None);
        }
        let is_rawhide = line.codename.is_some_and(|name| name.eq_ignore_ascii_case(RAWHIDE));
        return by_version(if is_rawhide { RAWHIDE } else { line.version }).map(Some);
    }
    let Some(rest) = text.trim().strip_prefix("Fedora Linux ") else { return Ok(None) };
    match rest.split_ascii_whitespace().next() {
        Some(version) => by_version(version).map(Some),
        None => Err(CallError::MalformedInput("a line of Fedora Linux without a version: name the release".into())),
    }
}

/// `.fc40` in the release of a package names the release that it was built for.
pub(crate) fn from_package(subject: &PackageRef) -> Result<Option<ReleaseGuess>, CallError> {
    if !matches!(subject.format, None | Some(PackageFormat::Rpm)) {
        return Ok(None);
    }
    let Some(number) = nevra::dist_tag(&subject.raw, "fc") else { return Ok(None) };
    // Third-party repositories and remixes build with the same tag.
    let is_own = subject.vendor.as_deref() == Some("Fedora Project");
    Ok(Some(ReleaseGuess {
        release: by_version(number)?,
        confidence: if is_own { Confidence::Certain } else { Confidence::Likely },
        reason: format!("release tag .fc{number}"),
    }))
}

fn by_version(version: &str) -> Result<Release, CallError> {
    let known = RELEASES.iter().find(|known| known.version.eq_ignore_ascii_case(version));
    known.map(Known::release).ok_or_else(|| unsupported(version))
}

fn unsupported(version: &str) -> CallError {
    let version: String = version.chars().take(64).collect();
    let known: Vec<_> = RELEASES.iter().map(|known| known.version).collect();
    CallError::UnsupportedRelease(format!("Fedora Linux {version} (served: {})", known.join(", ")))
}

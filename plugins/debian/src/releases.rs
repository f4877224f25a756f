//! Which releases there are, and how a text or a package names one.

use retrace_plugin_sdk::prelude::*;

use crate::ID;

/// One release, as the archive has it.
pub(crate) struct Known {
    pub(crate) version: &'static str,
    pub(crate) codename: &'static str,
    pub(crate) state: State,
    end_of_life: Option<&'static str>,
    architectures: &'static [&'static str],
}

/// What a release is, which decides the suites that it has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Released: frozen but for updates.
    Released,
    /// The next release: changes daily.
    Testing,
    /// Always changing, never released.
    Unstable,
}

/// Architectures of the next release and of sid.
const CURRENT_ARCHITECTURES: &[&str] = &["x86_64", "aarch64", "armv7l", "i686", "ppc64le", "riscv64", "s390x"];

/// Newest first.
pub(crate) const RELEASES: &[Known] = &[
    Known {
        version: "sid",
        codename: "sid",
        state: State::Unstable,
        end_of_life: None,
        architectures: CURRENT_ARCHITECTURES,
    },
    Known {
        version: "14",
        codename: "forky",
        state: State::Testing,
        end_of_life: None,
        architectures: CURRENT_ARCHITECTURES,
    },
    Known {
        version: "13",
        codename: "trixie",
        state: State::Released,
        end_of_life: Some("2030-06-30"),
        architectures: CURRENT_ARCHITECTURES,
    },
    Known {
        version: "12",
        codename: "bookworm",
        state: State::Released,
        end_of_life: Some("2028-06-30"),
        architectures: &["x86_64", "aarch64", "armv7l", "i686", "ppc64le", "s390x"],
    },
];

impl Known {
    pub(crate) fn entry(&self) -> ReleaseEntry {
        let title = match self.state {
            State::Released => format!("Debian {} ({})", self.version, self.codename),
            State::Testing => format!("Debian {} ({}, testing)", self.version, self.codename),
            State::Unstable => format!("Debian {} (unstable)", self.codename),
        };
        ReleaseEntry {
            release: self.release(None),
            title,
            architectures: self.architectures.iter().map(|arch| (*arch).into()).collect(),
            end_of_life: self.end_of_life.map(String::from),
            annotations: vec![],
        }
    }

    pub(crate) fn check_architecture(&self, arch: &str) -> Result<(), CallError> {
        if self.architectures.contains(&arch) {
            return Ok(());
        }
        let text = format!("Debian {} has no packages for {arch}", self.codename);
        Err(CallError::UnsupportedArchitecture(text))
    }

    fn release(&self, minor: Option<String>) -> Release {
        Release {
            distro: ID.into(),
            version: self.version.into(),
            minor,
            codename: Some(self.codename.into()),
            rolling: self.state != State::Released,
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
    if let Some(version) = os.get("VERSION_ID") {
        // Since trixie: "13.1". Before, no point release is told.
        let minor = os.get("DEBIAN_VERSION_FULL").and_then(|full| full.strip_prefix(version)?.strip_prefix('.'));
        return by_version(version, minor).map(Some);
    }
    // Testing and unstable share one file, without a version: "forky/sid". Testing is meant, for it is what sid becomes.
    match os.get("VERSION_CODENAME") {
        Some(codename) => by_codename(codename).map(Some),
        None => Err(CallError::MalformedInput(
            "os-release of Debian with neither VERSION_ID nor VERSION_CODENAME: name the release".into(),
        )),
    }
}

/// `Debian GNU/Linux 12 (bookworm)`, the pretty name of os-release; also `Debian GNU/Linux forky/sid`.
pub(crate) fn from_line(line: &str) -> Result<Option<Release>, CallError> {
    let Some(rest) = line.trim().strip_prefix("Debian GNU/Linux") else { return Ok(None) };
    match rest.split_ascii_whitespace().next() {
        Some(version) => version_or_codename(version).map(Some),
        None => Err(CallError::MalformedInput("a line of Debian without a version: name the release".into())),
    }
}

/// `/etc/debian_version`: `12.5`, `forky/sid`. Derived distributions ship it too, so only the words of Debian count.
pub(crate) fn from_debian_version(text: &str) -> Result<Option<Release>, CallError> {
    Ok(version_or_codename(text.trim()).ok())
}

/// `+deb12u3` and `~bpo12+1` in the version of a package name the release that it was built for.
pub(crate) fn from_package(subject: &PackageRef) -> Result<Option<ReleaseGuess>, CallError> {
    if !matches!(subject.format, None | Some(PackageFormat::Deb)) {
        return Ok(None);
    }
    let number_behind = |tag: &str| {
        let (_, behind) = subject.raw.rsplit_once(tag)?;
        let end = behind.find(|c: char| !c.is_ascii_digit()).unwrap_or(behind.len());
        behind.get(..end).filter(|digits| (1..=2).contains(&digits.len()))
    };
    let found = ["+deb", "~deb", "~bpo"].iter().find_map(|tag| number_behind(tag).map(|number| (tag, number)));
    let Some((tag, number)) = found else { return Ok(None) };
    Ok(Some(ReleaseGuess {
        release: by_version(number, None)?,
        // Derived distributions keep the tags of the packages that they take over.
        confidence: Confidence::Likely,
        reason: format!("version tag {tag}{number}"),
    }))
}

fn version_or_codename(text: &str) -> Result<Release, CallError> {
    match text.split_once('.') {
        Some((major, minor)) => by_version(major, Some(minor)),
        None if text.starts_with(|c: char| c.is_ascii_digit()) => by_version(text, None),
        // "forky/sid": the first name is the next release's.
        None => by_codename(text.split('/').next().unwrap_or(text)),
    }
}

fn by_version(version: &str, minor: Option<&str>) -> Result<Release, CallError> {
    let is_number = |text: &&str| !text.is_empty() && text.len() <= 4 && text.bytes().all(|b| b.is_ascii_digit());
    let known = RELEASES.iter().find(|known| known.version == version).ok_or_else(|| unsupported(version))?;
    Ok(known.release(minor.filter(is_number).map(String::from)))
}

fn by_codename(codename: &str) -> Result<Release, CallError> {
    let known = RELEASES.iter().find(|known| known.codename == codename).ok_or_else(|| unsupported(codename))?;
    Ok(known.release(None))
}

fn unsupported(release: &str) -> CallError {
    let release: String = release.chars().take(64).collect();
    let known: Vec<_> = RELEASES.iter().map(|known| known.version).collect();
    CallError::UnsupportedRelease(format!("Debian {release} (served: {})", known.join(", ")))
}

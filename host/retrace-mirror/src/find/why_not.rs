//! What helps when nothing is found. Pure.

use std::fmt;

use retrace_types::{Architecture, PackageId, ReleaseId};

use super::{Question, Within};

/// Most releases or versions that are named.
const SHOWN: usize = 5;

/// Why nothing was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WhyNot {
    /// Nothing is mirrored where it was looked for.
    NotMirrored {
        /// Where that was.
        within: Within,
        /// What is mirrored.
        mirrored: Vec<(ReleaseId, Architecture)>,
    },
    /// What is mirrored does not have it.
    Unknown {
        /// What was asked.
        question: Question,
        /// What was searched.
        searched: Vec<(ReleaseId, Architecture)>,
        /// Other versions of the package, newest first.
        versions: Vec<PackageId>,
        /// Whether there are packages whose build-ids are not known before they are fetched.
        unscanned: bool,
    },
}

impl fmt::Display for WhyNot {
    /// What to do, in one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotMirrored { within, mirrored } => {
                let command = sync_command(within.release.as_ref(), within.architecture);
                match (&within.release, within.architecture) {
                    (Some(release), Some(architecture)) => write!(f, "{release} is not mirrored for {architecture}")?,
                    (Some(release), None) => write!(f, "{release} is not mirrored")?,
                    (None, Some(architecture)) if !mirrored.is_empty() => {
                        write!(f, "nothing is mirrored for {architecture}")?;
                    }
                    _ => write!(f, "nothing is mirrored yet")?,
                }
                write!(f, ": {command}")?;
                if !mirrored.is_empty() {
                    write!(f, " (mirrored: {})", releases(mirrored))?;
                }
                Ok(())
            }
            Self::Unknown { searched, versions, .. } if !versions.is_empty() => {
                let shown: Vec<_> = versions.iter().take(SHOWN).map(ToString::to_string).collect();
                let more = if versions.len() > SHOWN {
                    format!(" and {} more", versions.len() - SHOWN)
                } else {
                    String::new()
                };
                let update = searched.first().map_or_else(
                    || sync_command(None, None),
                    |(release, architecture)| sync_command(Some(release), Some(*architecture)),
                );
                write!(f, "the index has {}{more}; if the version is newer: {update}", shown.join(", "))
            }
            Self::Unknown { question, searched, unscanned, .. } => {
                write!(
                    f,
                    "searched: {}. If it is of another release: {}",
                    releases(searched),
                    sync_command(None, None)
                )?;
                match question {
                    Question::BuildId(_) if *unscanned => f.write_str(
                        ". Metadata names no build-ids of some packages: `retrace analyze` fetches and searches those that a core points at",
                    ),
                    Question::Path(_) => f.write_str(". Only paths of programs and libraries are in the index"),
                    _ => Ok(()),
                }
            }
        }
    }
}

fn releases(list: &[(ReleaseId, Architecture)]) -> String {
    let shown: Vec<_> = list.iter().take(SHOWN).map(|(release, arch)| format!("{release} {arch}")).collect();
    let more = if list.len() > SHOWN { format!(" and {} more", list.len() - SHOWN) } else { String::new() };
    shown.join(", ") + &more
}

fn sync_command(release: Option<&ReleaseId>, architecture: Option<Architecture>) -> String {
    let release = release.map_or_else(
        || "DISTRIBUTION VERSION".to_owned(),
        |release| format!("{} {}", release.distro.as_str(), release.version.as_str()),
    );
    format!("retrace mirror sync {release} {}", architecture.map_or("ARCH", Architecture::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_command_is_named() {
        let here = |release: &str| (release.parse::<ReleaseId>().unwrap(), Architecture::X86_64);
        let within = |release: Option<&str>, architecture| Within {
            release: release.map(|release| release.parse().unwrap()),
            architecture,
        };
        let not = |within, mirrored: &[&str]| WhyNot::NotMirrored {
            within,
            mirrored: mirrored.iter().map(|release| here(release)).collect(),
        };
        let unknown = |text: &str, versions: &[&str], unscanned| WhyNot::Unknown {
            question: text.parse().unwrap(),
            searched: vec![here("debian-12")],
            versions: versions
                .iter()
                .map(|version| PackageId {
                    name: "bash".into(),
                    epoch: None,
                    version: (*version).into(),
                    release: None,
                    arch: "amd64".into(),
                })
                .collect(),
            unscanned,
        };
        for (why, want) in [
            (not(within(None, None), &[]), "nothing is mirrored yet: retrace mirror sync DISTRIBUTION VERSION ARCH"),
            (
                not(within(Some("fedora-40"), Some(Architecture::Aarch64)), &["debian-12"]),
                "fedora-40 is not mirrored for aarch64: retrace mirror sync fedora 40 aarch64 (mirrored: debian-12 x86_64)",
            ),
            (
                not(within(None, Some(Architecture::Aarch64)), &["debian-12"]),
                "nothing is mirrored for aarch64: retrace mirror sync DISTRIBUTION VERSION aarch64 (mirrored: debian-12 x86_64)",
            ),
            (
                unknown("bash-9", &["2", "1"], true),
                "the index has bash-2.amd64, bash-1.amd64; if the version is newer: retrace mirror sync debian 12 x86_64",
            ),
            (
                unknown("zsh", &[], false),
                "searched: debian-12 x86_64. If it is of another release: retrace mirror sync DISTRIBUTION VERSION ARCH",
            ),
        ] {
            assert_eq!(why.to_string(), want);
        }
        assert!(unknown("abcdef", &[], true).to_string().contains("fetches and searches"));
        assert!(!unknown("abcdef", &[], false).to_string().contains("fetches and searches"));
        assert!(unknown("/etc/passwd", &[], false).to_string().contains("Only paths of programs"));
    }
}

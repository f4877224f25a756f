//! @NAME@ as Retrace sees it: releases, repositories, keys.
@NO_STD@
use retrace_plugin_sdk::prelude::*;

const ID: &str = "@ID@";
const NAME: &str = "@NAME@";
/// What builds put into the release of a package: `.@TAG@2`.
const DIST_TAG: &str = "@TAG@";
/// Newest first: version and end of life.
const RELEASES: &[(&str, Option<&str>)] = &[("2", None), ("1", Some("2026-06-30"))];
const ARCHITECTURES: &[&str] = &["x86_64", "aarch64"];
const MIRROR: &str = "https://mirror.example.org/@ID@/$VER/$ARCH";

/// The plugin for @NAME@.
#[derive(Debug)]
pub struct Plugin;

impl Distribution for Plugin {
    const ID: &'static str = ID;

    fn describe() -> Description {
        Description {
            id: ID.into(),
            aliases: vec![],
            name: NAME.into(),
            format: PackageFormat::Rpm,
            plugin_version: env!("CARGO_PKG_VERSION").into(),
            annotations: vec![],
        }
    }

    fn releases() -> Vec<ReleaseEntry> {
        let entry = |(version, end_of_life): &(&str, Option<&str>)| ReleaseEntry {
            release: release(version),
            title: format!("{NAME} {version}"),
            architectures: ARCHITECTURES.iter().map(|name| (*name).into()).collect(),
            end_of_life: end_of_life.map(String::from),
            annotations: vec![],
        };
        RELEASES.iter().map(entry).collect()
    }

    fn parse_release(source: ReleaseSource) -> Result<Option<Release>, CallError> {
        match source {
            ReleaseSource::OsRelease(text) => {
                let os = OsRelease::parse(&text);
                if os.get("ID") != Some(ID) {
                    return Ok(None);
                }
                let missing = || format!("os-release of {NAME} without VERSION_ID: name the release");
                let version = os.get("VERSION_ID").ok_or_else(|| CallError::MalformedInput(missing()))?;
                by_version(version).map(Some)
            }
            ReleaseSource::ReleaseLine(text) => match ReleaseLine::parse(&text) {
                Some(line) if line.name == NAME => by_version(line.version).map(Some),
                _ => Ok(None),
            },
            ReleaseSource::Named(_) => Ok(None),
        }
    }

    fn guess_release(subject: PackageRef) -> Result<Option<ReleaseGuess>, CallError> {
        if !matches!(subject.format, None | Some(PackageFormat::Rpm)) {
            return Ok(None);
        }
        let Some(version) = nevra::dist_tag(&subject.raw, DIST_TAG) else { return Ok(None) };
        let is_own = subject.vendor.as_deref() == Some(NAME);
        Ok(Some(ReleaseGuess {
            release: by_version(version)?,
            confidence: if is_own { Confidence::Certain } else { Confidence::Likely },
            reason: format!("release tag .{DIST_TAG}{version}"),
        }))
    }

    fn repositories(release: Release, arch: String) -> Result<Vec<Repository>, CallError> {
        check(&release, &arch)?;
        let repository = |id: &str, what: &str, content, folder: &str| Repository {
            id: id.into(),
            title: format!("{NAME} {} {what}", release.version),
            layout: RepositoryLayout::RpmMd,
            content,
            mirrors: vec![format!("{MIRROR}/{folder}/")],
            signatures: Signatures::PACKAGES,
            keys: vec![KeyFile { path: format!("{ID}/RPM-GPG-KEY-{ID}"), fingerprint: None }],
            config: vec![],
        };
        Ok(vec![
            repository("base", "packages", RepositoryContent::Packages, "os"),
            repository("base-debuginfo", "debuginfo", RepositoryContent::DebugInfo, "debug"),
        ])
    }

    fn debugger_for(release: Release, arch: String) -> Result<Option<Debugger>, CallError> {
        check(&release, &arch)?;
        Ok(None)
    }
}

retrace_plugin_sdk::export_plugin!(Plugin);

fn release(version: &str) -> Release {
    Release { distro: ID.into(), version: version.into(), minor: None, codename: None, rolling: false }
}

fn by_version(version: &str) -> Result<Release, CallError> {
    let known: Vec<_> = RELEASES.iter().map(|(known, _)| *known).collect();
    if known.contains(&version) {
        return Ok(release(version));
    }
    Err(CallError::UnsupportedRelease(format!("{NAME} {} (served: {})", cut(version), known.join(", "))))
}

fn check(release: &Release, arch: &str) -> Result<(), CallError> {
    if release.distro != ID {
        let (distro, version) = (cut(&release.distro), cut(&release.version));
        return Err(CallError::UnsupportedRelease(format!("{distro} {version}: this plugin serves {ID}")));
    }
    by_version(&release.version)?;
    if ARCHITECTURES.contains(&arch) {
        return Ok(());
    }
    Err(CallError::UnsupportedArchitecture(format!("{NAME} has no packages for {}", cut(arch))))
}

fn cut(text: &str) -> String {
    text.chars().take(64).collect()
}

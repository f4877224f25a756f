//! Amazon Linux as Retrace sees it. The facts stand in `amazonlinux.toml`, their sources in README.md.
#![cfg_attr(target_family = "wasm", no_std)]

use retrace_plugin_sdk::prelude::*;

retrace_plugin_sdk::declarative! {
    /// The plugin for Amazon Linux.
    #[derive(Debug)]
    pub struct AmazonLinux = "amazonlinux.toml";

    /// 2023 names its state in PRETTY_NAME only: "Amazon Linux 2023.8.20250915".
    fn parse_release(source: ReleaseSource) -> Result<Option<Release>, CallError> {
        let mut release = AmazonLinux::DATA.parse_release(&source)?;
        if let (Some(release), ReleaseSource::OsRelease(text)) = (&mut release, &source)
            && release.version == "2023"
        {
            release.minor = release.minor.take().or_else(|| state(text));
        }
        Ok(release)
    }

    /// In 2 one debug package serves all packages of a source.
    fn debug_packages(subject: PackageId) -> Result<Vec<PackageId>, CallError> {
        match nevra::dist_tag(subject.release.as_deref().unwrap_or_default(), "amzn") {
            Some("2") => Ok(nevra::debug_packages_by_source(&subject)),
            _ => AmazonLinux::DATA.debug_packages(&subject),
        }
    }
}

/// The state of the repositories that an os-release file names: "8.20250915".
fn state(os_release: &str) -> Option<String> {
    let os_release = OsRelease::parse(os_release);
    let state = os_release.get("PRETTY_NAME")?.rsplit(' ').next()?.strip_prefix("2023.")?;
    let valid =
        state.len() <= 32 && state.split('.').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
    valid.then(|| state.into())
}

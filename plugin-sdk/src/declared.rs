//! What a plugin made by [`declarative!`](crate::declarative) answers, from the data of its TOML file.
//!
//! [`data`] is the form of the data, which the macro writes and checks; the other modules answer the contract's
//! questions. Promises: no answer depends on anything but data and input, and time grows with the input at most
//! linearly.
//! Not here: the rules for the data, which are checked at compile time (`retrace-plugin-sdk-macros`).

pub mod data;
mod guess;
mod packages;
mod pattern;
mod release;
mod repositories;

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

pub use data::Data;
use data::{Format, ReleaseData};

use crate::{CallError, Description, PackageFormat, Release, ReleaseEntry};

impl Data {
    /// What the plugin is.
    #[must_use]
    pub fn describe(&self, plugin_version: &str) -> Description {
        Description {
            id: self.id.into(),
            aliases: self.aliases.iter().copied().map(String::from).collect(),
            name: self.name.into(),
            format: self.package_format(),
            plugin_version: plugin_version.into(),
            annotations: owned(self.annotations),
        }
    }

    /// Every release, in the order of the file.
    #[must_use]
    pub fn releases(&self) -> Vec<ReleaseEntry> {
        let entry = |release: &ReleaseData| ReleaseEntry {
            release: release.record(None),
            title: release.title.into(),
            architectures: release.architectures.iter().copied().map(String::from).collect(),
            end_of_life: release.end_of_life.map(String::from),
            annotations: owned(release.annotations),
        };
        self.releases.iter().map(entry).collect()
    }

    fn package_format(&self) -> PackageFormat {
        match self.format {
            Format::Rpm => PackageFormat::Rpm,
            Format::Deb => PackageFormat::Deb,
        }
    }

    fn release(&self, index: u16) -> Option<&'static ReleaseData> {
        self.releases.get(usize::from(index))
    }

    /// The release that the host asks about, and its place in the file.
    fn known(&self, release: &Release) -> Result<(u16, &'static ReleaseData), CallError> {
        let fits = |known: &ReleaseData| known.distro == release.distro && known.version == release.version;
        let found = (0_u16..).zip(self.releases).find(|(_, known)| fits(known));
        found.ok_or_else(|| self.unsupported(&release.version))
    }

    fn check_architecture(&self, release: &ReleaseData, arch: &str) -> Result<(), CallError> {
        if release.architectures.contains(&arch) {
            return Ok(());
        }
        let text = format!(
            "{} has no packages for {} (served: {})",
            release.title,
            shortened(arch),
            release.architectures.join(", ")
        );
        Err(CallError::UnsupportedArchitecture(text))
    }

    fn unsupported(&self, version: &str) -> CallError {
        // The newest ones are enough to see the form, and the text stays short.
        let shown: Vec<_> = self.releases.iter().take(24).map(|release| release.version).collect();
        let more = if self.releases.len() > shown.len() { ", …" } else { "" };
        let text = format!("{} {} (served: {}{more})", self.name, shortened(version), shown.join(", "));
        CallError::UnsupportedRelease(text)
    }
}

impl ReleaseData {
    fn record(&self, minor: Option<&str>) -> Release {
        Release {
            distro: self.distro.into(),
            version: self.version.into(),
            minor: minor.map(String::from),
            codename: self.codename.map(String::from),
            rolling: self.rolling,
        }
    }
}

/// A text of the input, short enough for a message and without control characters.
fn shortened(text: &str) -> String {
    text.chars().take(64).map(|c| if c.is_control() { '?' } else { c }).collect()
}

fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

//! Debian as Retrace sees it: releases, repositories, keys. The facts and their sources stand in README.md.
#![cfg_attr(target_family = "wasm", no_std)]

mod releases;
mod repositories;

use releases::{Known, RELEASES};
use retrace_plugin_sdk::prelude::*;

/// os-release id of Debian.
const ID: &str = "debian";

/// The plugin for Debian.
#[derive(Debug)]
pub struct Debian;

impl Distribution for Debian {
    const ID: &'static str = ID;

    fn describe() -> Description {
        Description {
            id: ID.into(),
            aliases: vec![],
            name: "Debian".into(),
            format: PackageFormat::Deb,
            plugin_version: env!("CARGO_PKG_VERSION").into(),
            annotations: vec![],
        }
    }

    fn releases() -> Vec<ReleaseEntry> {
        RELEASES.iter().map(Known::entry).collect()
    }

    fn parse_release(source: ReleaseSource) -> Result<Option<Release>, CallError> {
        match source {
            ReleaseSource::OsRelease(text) => releases::from_os_release(&text),
            ReleaseSource::ReleaseLine(line) => releases::from_line(&line),
            ReleaseSource::Named((name, text)) => match name.rsplit('/').next() {
                Some("debian_version") => releases::from_debian_version(&text),
                _ => Ok(None),
            },
        }
    }

    fn guess_release(subject: PackageRef) -> Result<Option<ReleaseGuess>, CallError> {
        releases::from_package(&subject)
    }

    fn repositories(release: Release, arch: String) -> Result<Vec<Repository>, CallError> {
        let known = releases::known(&release)?;
        known.check_architecture(&arch)?;
        Ok(repositories::of(known))
    }

    fn debugger_for(release: Release, arch: String) -> Result<Option<Debugger>, CallError> {
        releases::known(&release)?.check_architecture(&arch)?;
        Ok(None)
    }
}

retrace_plugin_sdk::export_plugin!(Debian);

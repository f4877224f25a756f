//! Fedora Linux as Retrace sees it: releases, repositories, keys. The facts and their sources stand in README.md.
#![cfg_attr(target_family = "wasm", no_std)]

mod releases;
mod repositories;

use releases::{Known, RELEASES};
use retrace_plugin_sdk::prelude::*;

/// os-release id of Fedora Linux.
const ID: &str = "fedora";

/// The plugin for Fedora Linux.
#[derive(Debug)]
pub struct Fedora;

impl Distribution for Fedora {
    const ID: &'static str = ID;

    fn describe() -> Description {
        Description {
            id: ID.into(),
            aliases: vec![],
            name: "Fedora Linux".into(),
            format: PackageFormat::Rpm,
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
                Some("fedora-release" | "redhat-release" | "system-release") => releases::from_line(&text),
                _ => Ok(None),
            },
        }
    }

    fn guess_release(subject: PackageRef) -> Result<Option<ReleaseGuess>, CallError> {
        releases::from_package(&subject)
    }

    fn repositories(release: Release, arch: String) -> Result<Vec<Repository>, CallError> {
        repositories::of(releases::known(&release)?, releases::Machine::parse(&arch)?)
    }

    fn debugger_for(release: Release, arch: String) -> Result<Option<Debugger>, CallError> {
        releases::known(&release)?;
        releases::Machine::parse(&arch)?;
        Ok(None)
    }
}

retrace_plugin_sdk::export_plugin!(Fedora);

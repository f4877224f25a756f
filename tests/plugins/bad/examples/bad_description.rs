//! A plugin that cannot even say what it is.
#![cfg_attr(target_family = "wasm", no_std)]

use retrace_plugin_sdk::prelude::*;

/// The plugin.
pub struct Bad;

impl Distribution for Bad {
    const ID: &'static str = "bad-linux";

    fn describe() -> Description {
        Description {
            id: "Bad Linux".into(),
            aliases: vec![],
            name: "Bad Linux".into(),
            format: PackageFormat::Rpm,
            plugin_version: "1.0.0".into(),
            annotations: vec![],
        }
    }

    fn releases() -> Vec<ReleaseEntry> {
        vec![]
    }

    fn parse_release(_source: ReleaseSource) -> Result<Option<Release>, CallError> {
        Ok(None)
    }

    fn repositories(release: Release, _arch: String) -> Result<Vec<Repository>, CallError> {
        Err(CallError::UnsupportedRelease(release.version))
    }
}

retrace_plugin_sdk::export_plugin!(Bad);

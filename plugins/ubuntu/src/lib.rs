//! Ubuntu as Retrace sees it: releases, repositories, keys. All of it is data, `ubuntu.toml`, but for one rule; the sources
//! of the facts stand in README.md.
#![cfg_attr(target_family = "wasm", no_std)]

use retrace_plugin_sdk::prelude::*;

retrace_plugin_sdk::declarative! {
    /// The plugin for Ubuntu.
    pub struct Ubuntu = "ubuntu.toml";

    fn format_file_name(subject: PackageId) -> Result<String, CallError> {
        let is_automatic = subject.kind == PackageKind::DebugInfo && subject.name.ends_with("-dbgsym");
        let name = deb::format(&subject).ok_or_else(|| {
            CallError::MalformedInput(format!("package {} has no file name in this format", subject.name))
        })?;
        // What ddebs.ubuntu.com calls its packages; debug packages of the main archive (`-dbg`) are ordinary ones.
        Ok(match name.strip_suffix(".deb") {
            Some(stem) if is_automatic => format!("{stem}.ddeb"),
            _ => name,
        })
    }
}

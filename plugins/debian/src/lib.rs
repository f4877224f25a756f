//! Debian as Retrace sees it: releases, repositories, keys. All of it is data, `debian.toml`, but for one rule; the sources
//! of the facts stand in README.md.
#![cfg_attr(target_family = "wasm", no_std)]

retrace_plugin_sdk::declarative! {
    /// The plugin for Debian.
    pub struct Debian = "debian.toml";

    fn guess_release(subject: PackageRef) -> Result<Option<ReleaseGuess>, CallError> {
        // Ubuntu takes over packages with the tags of Debian and adds its own: then they say nothing about Debian.
        if subject.raw.contains("ubuntu") {
            return Ok(None);
        }
        Debian::DATA.guess_release(&subject)
    }
}

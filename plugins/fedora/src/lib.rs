//! Fedora Linux as Retrace sees it: releases, repositories, keys. All of it is data, `fedora.toml`, but for one rule; the
//! sources of the facts stand in README.md.
#![cfg_attr(target_family = "wasm", no_std)]

use retrace_plugin_sdk::prelude::*;

retrace_plugin_sdk::declarative! {
    /// The plugin for Fedora Linux.
    pub struct Fedora = "fedora.toml";

    fn repositories(release: Release, arch: String) -> Result<Vec<Repository>, CallError> {
        if arch != "i686" || !has_no_32_bit_repository(&release) {
            return Fedora::DATA.repositories(&release, &arch);
        }
        let mut repositories = Fedora::DATA.repositories(&release, "x86_64")?;
        for mirror in repositories.iter_mut().flat_map(|repository| &mut repository.mirrors) {
            *mirror = mirror.replace("$ARCH", "x86_64");
        }
        Ok(repositories)
    }
}

/// Since Fedora 31 there is no repository for i686: 32-bit programs are part of the one for x86_64.
fn has_no_32_bit_repository(release: &Release) -> bool {
    release.version == "rawhide" || release.version.parse::<u16>().is_ok_and(|version| version >= 31)
}

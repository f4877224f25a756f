//! openSUSE and SUSE Linux Enterprise as Retrace sees them: releases, repositories, keys. All of it is data,
//! `opensuse.toml`, but for the names of kernels; the sources of the facts stand in README.md.
#![cfg_attr(target_family = "wasm", no_std)]

mod kernel;

retrace_plugin_sdk::declarative! {
    /// The plugin for openSUSE and SUSE Linux Enterprise.
    pub struct OpenSuse = "opensuse.toml";

    fn kernel_for(version: String, arch: String) -> Result<Option<KernelFiles>, CallError> {
        Ok(kernel::files(&version, &arch))
    }
}

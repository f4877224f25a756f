//! AlmaLinux as Retrace sees it. The facts stand in `almalinux.toml`, their sources in README.md.
#![cfg_attr(target_family = "wasm", no_std)]

retrace_plugin_sdk::declarative! {
    /// The plugin for AlmaLinux.
    #[derive(Debug)]
    pub struct AlmaLinux = "almalinux.toml";
}

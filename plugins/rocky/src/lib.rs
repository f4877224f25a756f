//! Rocky Linux as Retrace sees it. The facts stand in `rocky.toml`, their sources in README.md.
#![cfg_attr(target_family = "wasm", no_std)]

retrace_plugin_sdk::declarative! {
    /// The plugin for Rocky Linux.
    #[derive(Debug)]
    pub struct Rocky = "rocky.toml";
}

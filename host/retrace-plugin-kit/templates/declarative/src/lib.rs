//! @NAME@ as Retrace sees it: `distribution.toml` holds releases, repositories and keys, and is checked when this is
//! compiled.
#![cfg_attr(target_family = "wasm", no_std)]

retrace_plugin_sdk::declarative! {
    /// The plugin for @NAME@.
    pub struct Plugin = "distribution.toml";
}

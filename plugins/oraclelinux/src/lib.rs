//! Oracle Linux as Retrace sees it. The facts stand in `oraclelinux.toml`, their sources in README.md.
#![cfg_attr(target_family = "wasm", no_std)]

retrace_plugin_sdk::declarative! {
    /// The plugin for Oracle Linux.
    #[derive(Debug)]
    pub struct OracleLinux = "oraclelinux.toml";

    /// Up to 7 one debug package serves all packages of a source.
    fn debug_packages(subject: PackageId) -> Result<Vec<PackageId>, CallError> {
        match nevra::dist_tag(subject.release.as_deref().unwrap_or_default(), "el") {
            Some("5" | "6" | "7") => Ok(nevra::debug_packages_by_source(&subject)),
            _ => OracleLinux::DATA.debug_packages(&subject),
        }
    }
}

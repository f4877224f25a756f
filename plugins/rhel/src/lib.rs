//! Red Hat Enterprise Linux as Retrace sees it. The facts stand in `rhel.toml`, their sources in README.md.
#![cfg_attr(target_family = "wasm", no_std)]

retrace_plugin_sdk::declarative! {
    /// The plugin for Red Hat Enterprise Linux.
    #[derive(Debug)]
    pub struct Rhel = "rhel.toml";

    /// Up to 7 one debug package serves all packages of a source.
    fn debug_packages(subject: PackageId) -> Result<Vec<PackageId>, CallError> {
        match nevra::dist_tag(subject.release.as_deref().unwrap_or_default(), "el") {
            Some("5" | "6" | "7") => Ok(nevra::debug_packages_by_source(&subject)),
            _ => Rhel::DATA.debug_packages(&subject),
        }
    }
}

//! The text of the contract, and C bindings made from it.

use std::error::Error;

use wit_bindgen_core::{Files, wit_parser::Resolve};

use crate::KitError;

/// Name of the world that a plugin is built for.
pub const WORLD: &str = "plugin";

/// The files of `wit/`, by name: the contract that this build of Retrace speaks.
pub const FILES: &[(&str, &str)] = &[("distro.wit", include_str!("../../../wit/distro.wit"))];

/// The package and its version: `retrace:distro@1.0.0`.
#[must_use]
pub fn package() -> &'static str {
    let named = FILES.iter().flat_map(|(_, text)| text.lines()).find_map(|line| line.strip_prefix("package "));
    named.map_or("retrace:distro", |name| name.trim_end_matches(';'))
}

/// The version alone: `1.0.0`.
#[must_use]
pub fn version() -> &'static str {
    package().split_once('@').map_or("", |(_, version)| version)
}

/// Bindings for a plugin in C, by file name: `plugin.h`, `plugin.c` and `plugin_component_type.o`, an object file that
/// tells the component step the types.
///
/// # Errors
/// [`KitError::Contract`] if the generator refuses the contract, which is a defect of this build.
pub fn c_bindings() -> Result<Vec<(String, Vec<u8>)>, KitError> {
    let mut resolve = Resolve::default();
    let mut packages = Vec::new();
    for (name, text) in FILES {
        packages.push(resolve.push_str(name, text).map_err(damaged)?);
    }
    let world = resolve.select_world(&packages, Some(WORLD)).map_err(damaged)?;
    let mut files = Files::default();
    wit_bindgen_c::Opts::default().build().generate(&mut resolve, world, &mut files).map_err(damaged)?;
    Ok(files.iter().map(|(name, bytes)| (name.to_owned(), bytes.to_owned())).collect())
}

fn damaged(source: impl Into<Box<dyn Error + Send + Sync>>) -> KitError {
    KitError::Contract(source.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contract_names_its_version() {
        assert!(package().starts_with("retrace:distro@1."), "{}", package());
        assert!(version().starts_with("1.") && version().split('.').count() == 3, "{}", version());
    }

    #[test]
    fn c_bindings_declare_every_function() {
        let files = c_bindings().unwrap();
        let names: Vec<_> = files.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["plugin.c", "plugin.h", "plugin_component_type.o"]);
        let (_, header) = &files[1];
        let header = String::from_utf8_lossy(header);
        for function in ["describe", "releases", "parse_release", "guess_release", "repositories", "debugger_for"] {
            assert!(header.contains(&format!("exports_retrace_distro_distribution_{function}(")), "{function}");
        }
    }
}

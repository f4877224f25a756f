//! What can be known of a file before any of it is compiled or run.

use std::fmt;

use serde::Serialize;
use wasmparser::{Encoding, Parser, Payload};

use crate::Limits;

/// Which rule a file breaks that was meant to be a plugin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAPlugin {
    /// Too large.
    #[error("it has {size} bytes, more than {limit}")]
    TooLarge {
        /// Size of the file.
        size: u64,
        /// Most that is read.
        limit: u64,
    },
    /// Not WebAssembly, or damaged.
    #[error("it is no valid WebAssembly component: {0}")]
    Invalid(String),
    /// A core module.
    #[error("it is a core module, not a component: build it with `cargo build --target wasm32-wasip2`")]
    CoreModule,
    /// More of something than is compiled.
    #[error("it has {what}, more than {limit}: nothing that is written by hand needs that many")]
    TooComplex {
        /// What, and how much or many of it.
        what: String,
        /// Most that is compiled.
        limit: u64,
    },
    /// It wants something that no plugin gets.
    #[error("it imports {import}, but a plugin may import nothing but retrace:distro/logging@1: {fix}")]
    ForbiddenImport {
        /// Name of the import, cut to 128 characters.
        import: String,
        /// Likely cause and remedy.
        fix: &'static str,
    },
    /// It does not answer.
    #[error(
        "it does not export retrace:distro/distribution@1: implement the trait Distribution and call export_plugin!"
    )]
    NoExport,
    /// It needs a feature of WebAssembly that is switched off.
    #[error("it needs the WebAssembly feature {feature}, which plugins do not get: build it without")]
    Feature {
        /// Name of the feature: `memory64`.
        feature: &'static str,
    },
    /// A function of the contract is missing or of another type.
    #[error("{0}")]
    WrongType(Box<WrongType>),
}

/// Where a component's function parts from the contract's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongType {
    /// `distribution`.
    pub interface: String,
    /// `repositories`.
    pub function: String,
    /// Where in its type; empty for the function as a whole.
    pub place: String,
    /// What the contract has there.
    pub want: String,
    /// What the component has there.
    pub found: String,
    /// Version of the host's contract.
    pub host: String,
    /// Version of the contract that the component's export names.
    pub plugin: String,
}

impl fmt::Display for WrongType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { interface, function, place, want, found, host, plugin } = self;
        let comma = if place.is_empty() { "" } else { ", " };
        write!(
            f,
            "its {function} (interface {interface}) is not that of the contract{comma}{place}: want {want}, found \
             {found}; the contract has had it so since {host}, the plugin says it was built for {plugin}: build it \
             against `retrace plugin wit`"
        )
    }
}

/// What one pass over a file finds, in time in proportion to its size; nothing is validated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Survey {
    pub(crate) imports: Vec<String>,
    pub(crate) exports: Vec<String>,
    pub(crate) counts: Counts,
    /// Content of the custom section [`METADATA_SECTION`], where there is one of a sensible size.
    pub(crate) metadata: Option<Vec<u8>>,
}

/// How much of everything a component holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Functions with a body.
    pub functions: u32,
    /// Code bytes of the largest function.
    pub largest_function_bytes: u64,
    /// Local variables of the function with the most, without its parameters.
    pub most_locals: u32,
    /// Core modules and components inside the component.
    pub modules: u32,
}

/// Name of the custom section in which the SDK leaves versions.
pub(crate) const METADATA_SECTION: &str = "retrace:plugin";

/// Most bytes of it that are read.
const MAX_METADATA_BYTES: usize = 16 << 10;

/// Most imports and exports that are listed.
const MAX_NAMES: usize = 1_000;

impl Survey {
    /// # Errors
    /// [`NotAPlugin::Invalid`] or [`NotAPlugin::CoreModule`].
    pub(crate) fn of(bytes: &[u8]) -> Result<Self, NotAPlugin> {
        let invalid = |error: wasmparser::BinaryReaderError| NotAPlugin::Invalid(error.to_string());
        let mut found = Self::default();
        let mut depth = 0_u32;
        for payload in Parser::new(0).parse_all(bytes) {
            match payload.map_err(invalid)? {
                Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => {
                    return Err(NotAPlugin::CoreModule);
                }
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => {
                    depth = depth.saturating_add(1);
                    found.counts.modules = found.counts.modules.saturating_add(1);
                }
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::CodeSectionEntry(body) => {
                    let counts = &mut found.counts;
                    counts.functions = counts.functions.saturating_add(1);
                    let range = body.range();
                    let size = u64::try_from(range.end.saturating_sub(range.start)).unwrap_or(u64::MAX);
                    counts.largest_function_bytes = counts.largest_function_bytes.max(size);
                    let mut locals = 0_u32;
                    for group in body.get_locals_reader().map_err(invalid)? {
                        locals = locals.saturating_add(group.map_err(invalid)?.0);
                    }
                    counts.most_locals = counts.most_locals.max(locals);
                }
                Payload::ComponentImportSection(section) if depth == 0 => {
                    for import in section {
                        push(&mut found.imports, import.map_err(invalid)?.name.name);
                    }
                }
                Payload::ComponentExportSection(section) if depth == 0 => {
                    for export in section {
                        push(&mut found.exports, export.map_err(invalid)?.name.name);
                    }
                }
                // A compiler leaves it in the core module, a tool may lift it out of there.
                Payload::CustomSection(section)
                    if section.name() == METADATA_SECTION && section.data().len() <= MAX_METADATA_BYTES =>
                {
                    found.metadata.get_or_insert_with(|| section.data().to_vec());
                }
                _ => {}
            }
        }
        Ok(found)
    }

    /// Which rules about sizes, counts and names it breaks.
    pub(crate) fn violations(&self, limits: &Limits) -> Vec<NotAPlugin> {
        let counts = &self.counts;
        let too_many = [
            at_most(counts.modules, limits.modules, "modules and components"),
            at_most(counts.functions, limits.functions, "functions"),
            at_most(counts.largest_function_bytes, limits.function_bytes, "bytes of code in one function"),
            at_most(counts.most_locals, limits.locals, "local variables in one function"),
        ];
        let is_allowed = |name: &str| ["logging", "types"].iter().any(|interface| is_interface(name, interface));
        let foreign = self.imports.iter().find(|name| !is_allowed(name)).map(|name| forbidden(name));
        let answers = self.exports.iter().any(|name| is_interface(name, "distribution"));
        let silent = (!answers).then_some(NotAPlugin::NoExport);
        too_many.into_iter().flatten().chain(foreign).chain(silent).collect()
    }
}

/// Checks format, sizes, counts and names. Whether the code is valid and the types are right is left to
/// [`inspect`](crate::inspect): what comes from the cache was both when it was compiled.
pub(crate) fn check(bytes: &[u8], limits: &Limits) -> Result<(), NotAPlugin> {
    match Survey::of(bytes)?.violations(limits).into_iter().next() {
        Some(violation) => Err(violation),
        None => Ok(()),
    }
}

fn push(names: &mut Vec<String>, name: &str) {
    if names.len() < MAX_NAMES {
        names.push(name.to_owned());
    }
}

fn at_most(found: impl Into<u64>, limit: impl Into<u64>, what: &str) -> Option<NotAPlugin> {
    let (found, limit) = (found.into(), limit.into());
    (found > limit).then(|| NotAPlugin::TooComplex { what: format!("{found} {what}"), limit })
}

/// `retrace:distro/<interface>@1.x.y`.
fn is_interface(name: &str, interface: &str) -> bool {
    interface_version(name, interface).is_some_and(|version| version.starts_with("1."))
}

/// `1.2.3` of `retrace:distro/<interface>@1.2.3`.
pub(crate) fn interface_version<'a>(name: &'a str, interface: &str) -> Option<&'a str> {
    name.strip_prefix("retrace:distro/")?.strip_prefix(interface)?.strip_prefix('@')
}

fn forbidden(name: &str) -> NotAPlugin {
    let fix = if name.starts_with("wasi:") {
        "Rust's std brings WASI in on wasm32-wasip2, so start the crate with #![cfg_attr(target_family = \"wasm\", no_std)]; \
         in other languages stub WASI out"
    } else if name.starts_with("retrace:distro/") {
        "it was built for another version of the contract, so build it anew for version 1"
    } else {
        "remove what needs it: a plugin answers from its input alone"
    };
    NotAPlugin::ForbiddenImport { import: name.escape_debug().take(128).collect(), fix }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_contract_counts_as_interface() {
        let cases = [
            ("retrace:distro/logging@1.0.0", true),
            ("retrace:distro/logging@1.7.2", true),
            ("retrace:distro/logging@2.0.0", false),
            ("retrace:distro/logging@11.0.0", false),
            ("retrace:distro/logging", false),
            ("retrace:distro/logging-more@1.0.0", false),
            ("wasi:cli/environment@0.2.0", false),
        ];
        for (name, want) in cases {
            assert_eq!(is_interface(name, "logging"), want, "name: {name:?}");
        }
    }

    #[test]
    fn what_is_no_component_is_refused() {
        let limits = Limits::default();
        let core_module = b"\0asm\x01\0\0\0";
        let empty_component = b"\0asm\x0d\0\x01\0";
        assert_eq!(check(core_module, &limits), Err(NotAPlugin::CoreModule));
        assert_eq!(check(empty_component, &limits), Err(NotAPlugin::NoExport));
        for bytes in [&b""[..], b"\0asm", b"(component)", b"\0asm\x0d\0\x01\0\xff\xff\xff\xff"] {
            assert!(matches!(check(bytes, &limits), Err(NotAPlugin::Invalid(_))), "bytes: {bytes:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn random_bytes_are_refused(mut tail in proptest::collection::vec(proptest::num::u8::ANY, 0..512)) {
            let limits = Limits::default();
            proptest::prop_assert!(check(&tail, &limits).is_err());
            let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
            bytes.append(&mut tail);
            proptest::prop_assert!(check(&bytes, &limits).is_err());
        }
    }
}

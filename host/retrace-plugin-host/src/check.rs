//! What can be known of a file before any of it is compiled or run.

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
}

/// Checks format, sizes, counts, imports and exports in one pass, which takes time in proportion to the size. Whether the
/// code is valid is left to the compiler: what comes from the cache was valid when it was compiled.
pub(crate) fn check(bytes: &[u8], limits: &Limits) -> Result<(), NotAPlugin> {
    let invalid = |error: wasmparser::BinaryReaderError| NotAPlugin::Invalid(error.to_string());
    let (mut depth, mut functions, mut modules) = (0_u32, 0_u32, 0_u32);
    let mut answers = false;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(invalid)? {
            Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => return Err(NotAPlugin::CoreModule),
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => {
                depth = depth.saturating_add(1);
                modules = modules.saturating_add(1);
                at_most(modules, limits.modules, "modules and components")?;
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::CodeSectionEntry(body) => {
                functions = functions.saturating_add(1);
                at_most(functions, limits.functions, "functions")?;
                let range = body.range();
                let size = u64::try_from(range.end.saturating_sub(range.start)).unwrap_or(u64::MAX);
                at_most(size, limits.function_bytes, "bytes of code in one function")?;
                let mut locals = 0_u32;
                for group in body.get_locals_reader().map_err(invalid)? {
                    locals = locals.saturating_add(group.map_err(invalid)?.0);
                }
                at_most(locals, limits.locals, "local variables in one function")?;
            }
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    let name = import.map_err(invalid)?.name.name;
                    if !["logging", "types"].iter().any(|interface| is_interface(name, interface)) {
                        return Err(forbidden(name));
                    }
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    answers |= is_interface(export.map_err(invalid)?.name.name, "distribution");
                }
            }
            _ => {}
        }
    }
    if answers { Ok(()) } else { Err(NotAPlugin::NoExport) }
}

fn at_most(found: impl Into<u64>, limit: impl Into<u64>, what: &str) -> Result<(), NotAPlugin> {
    let (found, limit) = (found.into(), limit.into());
    if found > limit { Err(NotAPlugin::TooComplex { what: format!("{found} {what}"), limit }) } else { Ok(()) }
}

/// `retrace:distro/<interface>@1.x.y`.
fn is_interface(name: &str, interface: &str) -> bool {
    let version = name.strip_prefix("retrace:distro/").and_then(|name| name.strip_prefix(interface));
    version.is_some_and(|version| version.starts_with("@1."))
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

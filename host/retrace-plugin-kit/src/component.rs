//! From a core module, as compilers make it, to a component.

use wit_component_of_bindgen::ComponentEncoder;

use crate::KitError;

/// What the first eight bytes of a file say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// A core module.
    Module,
    /// A component.
    Component,
}

impl Encoding {
    /// None: no WebAssembly, or an encoding of another age.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Option<Self> {
        match bytes.get(..8)? {
            b"\0asm\x01\0\0\0" => Some(Self::Module),
            b"\0asm\x0d\0\x01\0" => Some(Self::Component),
            _ => None,
        }
    }
}

/// Makes a component of a core module that carries its types, as the bindings of wit-bindgen put them in.
///
/// # Errors
/// [`KitError::Component`]: no types, imports that nothing provides, or no valid module.
pub fn from_module(module: &[u8]) -> Result<Vec<u8>, KitError> {
    let encode = || ComponentEncoder::default().validate(true).module(module)?.encode();
    encode().map_err(|source| KitError::Component { hint: hint(&format!("{source:#}")), source: source.into() })
}

fn hint(message: &str) -> &'static str {
    if message.contains("wasi") {
        "it imports WASI, and a plugin gets none: leave out what prints, reads files, asks the clock or ends the process"
    } else if message.contains("failed to find export") || message.contains("export") {
        "it does not have all functions of the contract: link the generated bindings, and implement every function"
    } else {
        "it has to be linked with the generated bindings, which carry the types"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell_the_encoding() {
        let cases = [
            (&b"\0asm\x01\0\0\0rest"[..], Some(Encoding::Module)),
            (b"\0asm\x0d\0\x01\0", Some(Encoding::Component)),
            (b"\0asm\x02\0\0\0", None),
            (b"\0asm", None),
            (b"#!/bin/sh\n", None),
            (b"", None),
        ];
        for (bytes, want) in cases {
            assert_eq!(Encoding::of(bytes), want, "bytes: {bytes:?}");
        }
    }

    #[test]
    fn what_is_no_module_is_refused() {
        for bytes in [&b"\0asm\x01\0\0\0\xff"[..], b"\0asm\x0d\0\x01\0", b"text", b""] {
            assert!(matches!(from_module(bytes), Err(KitError::Component { .. })), "bytes: {bytes:?}");
        }
    }

    #[test]
    fn a_module_that_imports_wasi_is_told_so() {
        // (module (type (func)) (import "wasi_snapshot_preview1" "proc_exit" (func (type 0))))
        let mut module = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x02".to_vec();
        let mut import = vec![1, 22];
        import.extend(b"wasi_snapshot_preview1");
        import.push(9);
        import.extend(b"proc_exit");
        import.extend([0, 0]);
        module.push(u8::try_from(import.len()).unwrap());
        module.extend(import);
        let Err(KitError::Component { hint, source }) = from_module(&module) else { panic!("it was encoded") };
        assert!(hint.contains("WASI"), "{hint}: {source}");
    }
}

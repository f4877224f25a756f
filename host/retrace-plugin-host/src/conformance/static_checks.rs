//! Group A: what can be known of a file before any of it is compiled or run.

use wasmparser::{Parser, Payload, Validator, WasmFeatures};

use super::outcome::Outcome;
use crate::{Limits, NotAPlugin, check, engine};

/// What group A found. Where one check fails, those that it makes pointless are skipped.
pub(super) struct StaticChecks {
    pub(super) a1: Outcome,
    pub(super) a2: Outcome,
    pub(super) a3: Outcome,
    pub(super) a4: Outcome,
    pub(super) a5: Outcome,
    pub(super) a7: Outcome,
}

pub(super) fn check(bytes: &[u8], limits: &Limits) -> StaticChecks {
    let not_reached = |after: &str| Outcome::skip(format!("{after} failed"));
    let all = |after: &str| StaticChecks {
        a1: not_reached(after),
        a2: not_reached(after),
        a3: not_reached(after),
        a4: not_reached(after),
        a5: not_reached(after),
        a7: not_reached(after),
    };
    let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    if size > limits.file_bytes {
        let error = NotAPlugin::TooLarge { size, limit: limits.file_bytes };
        return StaticChecks { a4: Outcome::fail(error.to_string()), ..all("A4") };
    }
    let mut found = StaticChecks {
        a1: Outcome::pass(1),
        a2: Outcome::pass(1),
        a3: Outcome::pass(1),
        a4: Outcome::pass(1),
        a5: Outcome::pass(1),
        a7: build_paths(bytes),
    };
    if let Err(error) = check::check(bytes, limits) {
        let text = Outcome::fail(error.to_string());
        match error {
            NotAPlugin::Invalid(_) | NotAPlugin::CoreModule => return StaticChecks { a1: text, ..all("A1") },
            NotAPlugin::TooLarge { .. } | NotAPlugin::TooComplex { .. } => {
                return StaticChecks { a4: text, ..all("A4") };
            }
            NotAPlugin::ForbiddenImport { .. } => {
                found.a2 = text;
                found.a3 = not_reached("A2");
            }
            NotAPlugin::NoExport | NotAPlugin::WrongType(_) => found.a3 = text,
            NotAPlugin::Feature { .. } => found.a5 = text,
        }
    }
    let valid_with = |features| Validator::new_with_features(features).validate_all(bytes).map(drop);
    if let Err(error) = valid_with(engine::features()) {
        match valid_with(WasmFeatures::all()) {
            Ok(()) => found.a5 = Outcome::fail(error.to_string()),
            Err(error) => return StaticChecks { a1: Outcome::fail(error.to_string()), ..all("A1") },
        }
    }
    found
}

/// Starts of paths that exist on one machine only. rustc names its own sources `/rustc/<commit>/`, the same everywhere.
const BUILD_PATHS: &[&str] = &["/home/", "/root/", "/Users/", "/tmp/", "/build/", "/builds/", ":\\Users\\"];

/// Looks into names: custom sections, imports and exports. Texts of the program itself are its own business.
fn build_paths(bytes: &[u8]) -> Outcome {
    let mut cases = 0_u64;
    for payload in Parser::new(0).parse_all(bytes) {
        // A1 says what is wrong with the file.
        let Ok(Payload::CustomSection(section)) = payload else { continue };
        cases = cases.saturating_add(1);
        if let Some(path) = build_path(section.data()) {
            return Outcome::fail(format!("the section {:?} holds the path {path:?}", section.name()));
        }
    }
    Outcome::pass(cases.max(1))
}

fn build_path(data: &[u8]) -> Option<String> {
    BUILD_PATHS.iter().find_map(|start| {
        let at = data.windows(start.len()).position(|window| window == start.as_bytes())?;
        let path: Vec<u8> = data.get(at..)?.iter().copied().take_while(u8::is_ascii_graphic).take(120).collect();
        // The name of a folder alone says nothing of a machine.
        (path.len() > start.len()).then(|| String::from_utf8_lossy(&path).into_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_the_build_machine_are_found() {
        let cases = [
            (&b"\x04name/home/ann/acme/src/lib.rs\0more"[..], Some("/home/ann/acme/src/lib.rs")),
            (b"C:\\Users\\ann\\x", Some(":\\Users\\ann\\x")),
            (b"/rustc/abc/library/core/src/str/mod.rs", None),
            (b"/home/\0", None),
            (b"", None),
        ];
        for (data, want) in cases {
            assert_eq!(build_path(data).as_deref(), want, "data: {data:?}");
        }
    }
}

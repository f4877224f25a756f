//! Group A: what can be known of a file before any of it is compiled or run.

use wasmparser::{Parser, Payload};

use super::outcome::Outcome;
use crate::{Limits, NotAPlugin, inspect};

/// What group A found. Where one check fails, those that it makes pointless are skipped.
pub(super) struct StaticChecks {
    pub(super) a1: Outcome,
    pub(super) a2: Outcome,
    pub(super) a3: Outcome,
    pub(super) a4: Outcome,
    pub(super) a5: Outcome,
    pub(super) a7: Outcome,
}

impl StaticChecks {
    /// Why a host would not load the component.
    pub(super) fn first_failure(&self) -> Option<String> {
        let loading = [&self.a1, &self.a2, &self.a3, &self.a4, &self.a5];
        loading.into_iter().find_map(|outcome| Some(outcome.failure.as_ref()?.message.clone()))
    }

    pub(super) fn into_outcomes(self) -> [(&'static str, Outcome); 6] {
        [("A1", self.a1), ("A2", self.a2), ("A3", self.a3), ("A4", self.a4), ("A5", self.a5), ("A7", self.a7)]
    }
}

pub(super) fn check(bytes: &[u8], limits: &Limits) -> StaticChecks {
    let mut found = StaticChecks {
        a1: Outcome::pass(1),
        a2: Outcome::pass(1),
        a3: Outcome::pass(1),
        a4: Outcome::pass(1),
        a5: Outcome::pass(1),
        a7: build_paths(bytes),
    };
    let inspected = inspect(bytes, limits);
    let is_whole = inspected.is_ok();
    let violations = inspected.map_or_else(|error| vec![error], |inspection| inspection.violations);
    let mut first = None;
    for violation in violations {
        let (id, place) = match violation {
            NotAPlugin::Invalid(_) | NotAPlugin::CoreModule => ("A1", &mut found.a1),
            NotAPlugin::ForbiddenImport { .. } => ("A2", &mut found.a2),
            NotAPlugin::NoExport | NotAPlugin::WrongType(_) => ("A3", &mut found.a3),
            NotAPlugin::TooLarge { .. } | NotAPlugin::TooComplex { .. } => ("A4", &mut found.a4),
            NotAPlugin::Feature { .. } => ("A5", &mut found.a5),
        };
        if place.failure.is_none() {
            *place = Outcome::fail(violation.to_string());
        }
        first.get_or_insert(id);
    }
    if let (Some(id), false) = (first, is_whole) {
        // Nothing more was looked at.
        for place in [&mut found.a1, &mut found.a2, &mut found.a3, &mut found.a4, &mut found.a5] {
            if place.failure.is_none() {
                *place = Outcome::skip(format!("not reached: {id} failed"));
            }
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

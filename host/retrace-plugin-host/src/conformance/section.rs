//! The custom section `retrace:plugin`: what a component says of itself before any of it runs. The format is that of
//! `plugin-sdk/docs/custom-section.md`.

use serde::Deserialize;
use wasmparser::{Parser, Payload};

use super::{outcome::Outcome, survey::Known};

/// Name of the section.
const NAME: &str = "retrace:plugin";
/// Most bytes of its content.
const MAX_BYTES: usize = 1024;
/// The format that is known.
const FORMAT: u32 = 1;

/// What the section says.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Section {
    format: u32,
    pub(super) sdk: String,
    contract: String,
    pub(super) id: String,
    pub(super) version: String,
}

/// The section of a component; `Ok(None)` if it has none.
pub(super) fn read(bytes: &[u8]) -> Result<Option<Section>, String> {
    let mut found = None;
    for payload in Parser::new(0).parse_all(bytes) {
        let Ok(Payload::CustomSection(section)) = payload else { continue };
        if section.name() != NAME {
            continue;
        }
        if found.is_some() {
            return Err(format!("the section {NAME} is there more than once"));
        }
        found = Some(section.data());
    }
    let Some(data) = found else { return Ok(None) };
    if data.len() > MAX_BYTES {
        return Err(format!("the section {NAME} has {} bytes, more than {MAX_BYTES}", data.len()));
    }
    let section: Section = serde_json::from_slice(data).map_err(|error| format!("the section {NAME}: {error}"))?;
    let is_text =
        |text: &String| !text.is_empty() && text.len() <= 64 && text.bytes().all(|b| (b' '..=b'~').contains(&b));
    if ![&section.sdk, &section.contract, &section.id, &section.version].into_iter().all(is_text) {
        return Err(format!("the section {NAME}: want texts of 1 to 64 visible ASCII characters"));
    }
    Ok(Some(section))
}

/// A6: the section and `describe` say the same.
pub(super) fn a6(bytes: &[u8], known: &Known) -> Outcome {
    let section = match read(bytes) {
        Err(message) => return Outcome::fail(message),
        Ok(None) => return Outcome::skip(format!("there is no section {NAME}")),
        Ok(Some(section)) if section.format > FORMAT => {
            return Outcome::skip(format!("the section {NAME} has the unknown format {}", section.format));
        }
        Ok(Some(section)) => section,
    };
    let exported = exported_contract(bytes).unwrap_or_default();
    let pairs = [
        ("id", &section.id, "describe", known.id.as_str()),
        ("version", &section.version, "describe", known.version.as_str()),
        ("contract", &section.contract, "the export", exported.as_str()),
    ];
    for (key, said, by, want) in pairs {
        if said != want {
            return Outcome::fail(format!("the section says {key} {said:?}, {by} says {want:?}"));
        }
    }
    Outcome::pass(1)
}

/// Version of the contract in the name of the export.
fn exported_contract(bytes: &[u8]) -> Option<String> {
    let mut depth = 0_u32;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.ok()? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth = depth.saturating_add(1),
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentExportSection(section) if depth == 0 => {
                let mut names = section.into_iter().filter_map(|export| Some(export.ok()?.name.name));
                if let Some(version) = names.find_map(|name| name.strip_prefix("retrace:distro/distribution@")) {
                    return Some(version.to_owned());
                }
            }
            _ => {}
        }
    }
    None
}

//! The custom section `retrace:plugin`, for components that no SDK has written it into. Its form is that of
//! `plugin-sdk/docs/custom-section.md`; what it says comes from the author's `plugin.toml`.

use std::{borrow::Cow, fs, path::Path};

use retrace_types::DistroId;
use serde_json::json;
use wasm_encoder::{ComponentSection as _, CustomSection};
use wasmparser::{Parser, Payload};

use crate::{KitError, contract};

/// The file that says what a plugin in another language than Rust is, in the plugin's folder.
pub const MANIFEST: &str = "plugin.toml";

/// Name of the section.
const NAME: &str = "retrace:plugin";
/// Most bytes of a text in it.
const MAX_TEXT: usize = 64;

/// What the author says the plugin is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Manifest {
    id: DistroId,
    version: String,
}

impl Manifest {
    /// That of the plugin in a folder; none if there is no such file.
    ///
    /// # Errors
    /// [`KitError::Manifest`] if the file does not say id and version, [`KitError::File`] if it cannot be read.
    pub(crate) fn of(dir: &Path) -> Result<Option<Self>, KitError> {
        let path = dir.join(MANIFEST);
        if !path.is_file() {
            return Ok(None);
        }
        let text = fs::read_to_string(&path).map_err(KitError::file("read", &path))?;
        Self::parse(&text).map(Some).map_err(|why| KitError::Manifest { path, why })
    }

    fn parse(text: &str) -> Result<Self, String> {
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| error.message().to_owned())?;
        let value = |key: &str| {
            let value = table.get(key).and_then(toml::Value::as_str);
            value.ok_or_else(|| format!("want {key} = \"…\""))
        };
        let id = value("id")?;
        let id = id.parse().map_err(|error| format!("id: {error}"))?;
        let version = value("version")?;
        let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
        if version.is_empty() || version.len() > MAX_TEXT || !version.bytes().all(is_plain) {
            return Err(format!("version {version:?}: want something like 1.2.3"));
        }
        Ok(Self { id, version: version.to_owned() })
    }

    /// The section's content.
    fn json(&self) -> String {
        let sdk = concat!("retrace-plugin-kit ", env!("CARGO_PKG_VERSION"));
        let Self { id, version } = self;
        json!({ "format": 1, "sdk": sdk, "contract": contract::version(), "id": id.as_str(), "version": version })
            .to_string()
    }
}

/// The component with the section; as it is if it has one, which an SDK wrote.
pub(crate) fn add(mut component: Vec<u8>, manifest: &Manifest) -> Vec<u8> {
    if !is_in(&component) {
        let data = manifest.json();
        let section = CustomSection { name: Cow::Borrowed(NAME), data: Cow::Borrowed(data.as_bytes()) };
        section.append_to_component(&mut component);
    }
    component
}

/// Whether the section is there, in the component or in a module inside it.
fn is_in(component: &[u8]) -> bool {
    let is_it = |payload| matches!(payload, Ok(Payload::CustomSection(section)) if section.name() == NAME);
    Parser::new(0).parse_all(component).any(is_it)
}

#[cfg(test)]
mod tests {
    use wasm_encoder::{Component, Module, ModuleSection};

    use super::*;

    fn acme() -> Manifest {
        Manifest::parse("id = \"acme\"\nversion = \"2.0.1\"\nhomepage = \"https://acme.example\"\n").unwrap()
    }

    /// Every section of that name, wherever it is.
    fn sections(component: &[u8]) -> Vec<String> {
        let payloads = Parser::new(0).parse_all(component).map(Result::unwrap);
        let found = payloads.filter_map(|payload| match payload {
            Payload::CustomSection(section) if section.name() == NAME => Some(section.data().to_vec()),
            _ => None,
        });
        found.map(|data| String::from_utf8(data).unwrap()).collect()
    }

    #[test]
    fn a_component_gets_the_section_once() {
        let sdk = env!("CARGO_PKG_VERSION");
        let once = add(Component::new().finish(), &acme());
        let found = sections(&once);
        let want = json!({
            "format": 1, "sdk": format!("retrace-plugin-kit {sdk}"), "contract": "1.0.0", "id": "acme", "version": "2.0.1"
        });
        assert_eq!(found.len(), 1);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&found[0]).unwrap(), want);
        assert_eq!(add(once.clone(), &acme()), once);
    }

    #[test]
    fn what_an_sdk_wrote_into_a_module_stays() {
        let mut module = Module::new();
        module.section(&CustomSection { name: NAME.into(), data: b"{}".into() });
        let mut component = Component::new();
        component.section(&ModuleSection(&module));
        let component = component.finish();
        assert_eq!(add(component.clone(), &acme()), component);
        assert_eq!(sections(&component), ["{}"]);
    }

    #[test]
    fn a_manifest_says_id_and_version() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Manifest::of(dir.path()).unwrap(), None);
        let cases = [
            ("id = \"acme\"", "want version"),
            ("version = \"1.0.0\"", "want id"),
            ("id = 7\nversion = \"1.0.0\"", "want id"),
            ("id = \"Acme Linux\"\nversion = \"1.0.0\"", "id: "),
            ("id = \"acme\"\nversion = \"\"", "version \"\""),
            ("id = \"acme\"\nversion = \"1 \\\"\"", "1.2.3"),
            ("id = ", ""),
        ];
        for (text, says) in cases {
            fs::write(dir.path().join(MANIFEST), text).unwrap();
            let error = Manifest::of(dir.path()).unwrap_err();
            assert!(error.is_about_the_source() && error.to_string().contains(says), "{text}: {error}");
        }
    }
}

//! The texts, as they lie in `templates/` of this crate.

use super::Template;

/// A file of `templates/`.
macro_rules! text {
    ($path:literal) => {
        include_str!(concat!("../../templates/", $path))
    };
}

/// Of every template.
const COMMON: &[(&str, &str)] = &[
    (".github/workflows/plugin.yml", text!("common/.github/workflows/plugin.yml")),
    (".gitignore", text!("common/gitignore")),
    (".gitlab-ci.yml", text!("common/.gitlab-ci.yml")),
    ("Makefile", text!("common/Makefile")),
    ("fixtures/packages.toml", text!("common/fixtures/packages.toml")),
    ("fixtures/release-2.os-release", text!("common/fixtures/release-2.os-release")),
    ("fixtures/releases.toml", text!("common/fixtures/releases.toml")),
    ("README.md", text!("common/README.md")),
];

const RUST: &[(&str, &str)] = &[("Cargo.toml", text!("rust/Cargo.toml.in")), ("src/lib.rs", text!("rust/src/lib.rs"))];

/// Of a plugin without an SDK that says what the component is.
const MANIFEST: (&str, &str) = (crate::MANIFEST, text!("common/plugin.toml"));

/// The files of a template: path below the plugin's folder, and text with markers to fill in.
pub(super) fn of(template: Template) -> Vec<(&'static str, &'static str)> {
    let own: &[_] = match template {
        // What tells them apart is filled in.
        Template::Rust | Template::RustStd => RUST,
        Template::Declarative => &[
            ("Cargo.toml", text!("rust/Cargo.toml.in")),
            ("distribution.toml", text!("declarative/distribution.toml")),
            ("src/lib.rs", text!("declarative/src/lib.rs")),
        ],
        Template::C => &[("distribution.c", text!("c/distribution.c")), MANIFEST],
        Template::JavaScript => &[
            ("distribution.js", text!("javascript/distribution.js")),
            ("package.json", text!("javascript/package.json")),
            MANIFEST,
        ],
        Template::Python => &[
            ("distribution.py", text!("python/distribution.py")),
            ("requirements.txt", text!("python/requirements.txt")),
            MANIFEST,
        ],
    };
    COMMON.iter().chain(own).copied().collect()
}

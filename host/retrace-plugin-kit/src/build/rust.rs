//! Rust: cargo builds a crate for a WebAssembly target.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use retrace_process::find_program;
use serde_json::Value;
use toml::Table;

use super::Tools;
use crate::KitError;

/// Makes components without a further step, and `no_std` code on it imports nothing.
const DEFAULT_TARGET: &str = "wasm32-wasip2";

/// Runs cargo and gives the file that it made: a component or a core module, depending on the target.
pub(super) async fn build(tools: &mut Tools, profile: &str) -> Result<PathBuf, KitError> {
    let install = "install Rust as https://rustup.rs says, then run `rustup target add wasm32-wasip2`";
    let cargo = find_program("cargo").await.ok_or(KitError::ToolMissing { tool: "cargo", install })?;
    let manifest = tools.dir.join("Cargo.toml");
    let text = fs::read_to_string(&manifest).map_err(KitError::file("read", &manifest))?;
    let target = target_of(&text);
    let arguments = ["build", "--lib", "--target", &target, "--profile", profile];
    let mut arguments = arguments.map(String::from).to_vec();
    arguments.push("--message-format=json-render-diagnostics".to_owned());
    if let Some(home) = cargo_home() {
        arguments.extend(["--config".to_owned(), without_home(&target, &home)]);
    }
    let messages = tools.run(&cargo, arguments).await?;
    let hint = "Cargo.toml needs `crate-type = [\"cdylib\", \"rlib\"]` below [lib]";
    artifact(&messages, &manifest.to_string_lossy()).ok_or(KitError::NoResult { tool: "cargo", hint })
}

/// Where cargo keeps the sources of dependencies.
fn cargo_home() -> Option<PathBuf> {
    env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(Path::new(&env::var_os("HOME")?).join(".cargo")))
}

/// A setting that keeps that folder out of the panics of dependencies: check A7 wants no path of the author's machine in
/// a plugin. `RUSTFLAGS` of the author goes before it.
fn without_home(target: &str, home: &Path) -> String {
    let flag = format!("--remap-path-prefix={}=/cargo", home.display());
    format!("target.{target}.rustflags=[{}]", toml::Value::String(flag))
}

/// `[package.metadata.retrace] target = "..."`. What is no TOML, cargo refuses better.
fn target_of(manifest: &str) -> String {
    let target = manifest.parse::<Table>().ok().and_then(|table| {
        let metadata = table.get("package")?.get("metadata")?;
        Some(metadata.get("retrace")?.get("target")?.as_str()?.to_owned())
    });
    target.unwrap_or_else(|| DEFAULT_TARGET.to_owned())
}

/// The `.wasm` file of the crate with this manifest, from cargo's messages: one JSON document a line.
fn artifact(messages: &[u8], manifest: &str) -> Option<PathBuf> {
    let lines = messages.split(|byte| *byte == b'\n');
    let documents = lines.filter_map(|line| serde_json::from_slice::<Value>(line).ok());
    documents
        .filter(|message| message.get("reason").and_then(Value::as_str) == Some("compiler-artifact"))
        .filter(|message| message.get("manifest_path").and_then(Value::as_str) == Some(manifest))
        .filter_map(|message| {
            let files = message.get("filenames")?.as_array()?;
            files.iter().filter_map(Value::as_str).find(|file| file.ends_with(".wasm")).map(PathBuf::from)
        })
        .next_back()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_of_dependencies_is_mapped_away() {
        let setting = without_home("wasm32-wasip2", Path::new("/home/a \"b\"/.cargo"));
        let table: Table = setting.parse().unwrap();
        let flags = &table["target"]["wasm32-wasip2"]["rustflags"];
        assert_eq!(flags[0].as_str(), Some("--remap-path-prefix=/home/a \"b\"/.cargo=/cargo"));
    }

    #[test]
    fn the_manifest_may_name_the_target() {
        let std = "[package]\nname = 'a'\n[package.metadata.retrace]\ntarget = 'wasm32-unknown-unknown'\n";
        for (text, want) in
            [(std, "wasm32-unknown-unknown"), ("[package]\nname = 'a'\n", DEFAULT_TARGET), ("=", DEFAULT_TARGET)]
        {
            assert_eq!(target_of(text), want, "manifest: {text}");
        }
    }

    #[test]
    fn cargo_names_what_it_made() {
        let messages = br#"{"reason":"compiler-artifact","manifest_path":"/sdk/Cargo.toml","filenames":["/t/sdk.wasm"]}
no JSON
{"reason":"compiler-artifact","manifest_path":"/a/Cargo.toml","filenames":["/t/a.rlib","/t/a.wasm"]}
{"reason":"build-finished","success":true}
"#;
        assert_eq!(artifact(messages, "/a/Cargo.toml").as_deref(), Some(Path::new("/t/a.wasm")));
        assert_eq!(artifact(messages, "/b/Cargo.toml"), None);
    }
}

//! Any bytes, and components that are valid but strange, on their way into the host up to the child that compiles: no panic,
//! nothing over the limits gets through, and where the child says no, nothing is loaded.
#![no_main]

use std::{path::Path, sync::LazyLock};

use libfuzzer_sys::{arbitrary::Unstructured, fuzz_target};
use retrace_plugin_host::{Compiler, EngineMode, Limits, Loader, inspect, verify};
use tempfile::TempDir;
use wasm_smith::{Component, Config, Module};

/// Its child refuses everything.
static LOADER: LazyLock<(TempDir, Loader)> = LazyLock::new(|| {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let child = Compiler::Child { program: "/bin/false".into() };
    let loader = Loader::new(EngineMode::Production, &Limits::default(), &dir.path().join("cache"), child);
    (dir, loader.expect("an engine"))
});

fn install(bytes: &[u8]) {
    let limits = Limits { functions: 50, locals: 20, function_bytes: 1_000, modules: 4, ..Limits::default() };
    let found = inspect(bytes, &limits);
    if verify(bytes, &limits).is_ok() {
        let counts = found.expect("what is good can be looked at").counts;
        assert!(counts.functions <= 50 && counts.most_locals <= 20 && counts.largest_function_bytes <= 1_000);
        assert!(counts.modules <= 4);
    }
    assert!(LOADER.1.prepare(bytes, Path::new("fuzz.wasm")).is_err());
}

fuzz_target!(|bytes: &[u8]| {
    install(bytes);
    let config = || Config { max_components: 3, max_modules: 3, ..Config::default() };
    if let Ok(component) = Component::new(config(), &mut Unstructured::new(bytes)) {
        install(&component.to_bytes());
    }
    if let Ok(module) = Module::new(config(), &mut Unstructured::new(bytes)) {
        install(&module.to_bytes());
    }
});

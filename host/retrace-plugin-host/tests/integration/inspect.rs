//! What is found out without running or compiling anything.

use retrace_plugin_host::{Limits, NotAPlugin, inspect, verify};
use wasm_encoder::{
    CodeSection, Component, ExportSection, Function, FunctionSection, Instruction, MemorySection, MemoryType, Module,
    ModuleSection, TypeSection, ValType,
};

use crate::support::component;

#[test]
fn a_good_plugin_shows_what_it_is() {
    let bytes = component("retrace_plugin_debian");
    let inspection = inspect(&bytes, &Limits::default()).unwrap();
    assert_eq!(inspection.verdict(), Ok(()));
    assert_eq!(inspection.contract.as_deref(), Some("1.0.0"));
    assert_eq!(inspection.size_bytes, u64::try_from(bytes.len()).unwrap());
    assert!(inspection.imports.iter().all(|name| name.starts_with("retrace:distro/")), "{:?}", inspection.imports);
    let distribution = inspection.exports.iter().find(|export| export.name.contains("distribution")).unwrap();
    let signature = |name: &str| {
        let function = distribution.functions.iter().find(|function| function.name == name);
        function.map(|function| function.signature.clone()).unwrap_or_default()
    };
    assert_eq!(signature("describe"), "func() -> description");
    assert_eq!(
        signature("repositories"),
        "func(release: release, arch: architecture) -> result<list<repository>, call-error>"
    );
    assert!(inspection.features.contains(&"bulk-memory"), "{:?}", inspection.features);
    assert!(inspection.counts.functions > 10 && inspection.counts.modules >= 1, "{:?}", inspection.counts);
    let document = serde_json::to_value(&inspection).unwrap();
    assert_eq!(document["violations"], serde_json::json!([]));
}

/// A component around one core module.
fn around(module: &Module) -> Vec<u8> {
    let mut component = Component::new();
    component.section(&ModuleSection(module));
    component.finish()
}

fn violations(bytes: &[u8]) -> Vec<NotAPlugin> {
    inspect(bytes, &Limits::default()).unwrap().violations
}

#[test]
fn features_that_plugins_do_not_get_are_named() {
    let memory = |memory64, shared| {
        let (mut module, mut memories) = (Module::new(), MemorySection::new());
        memories.memory(MemoryType { minimum: 1, maximum: Some(1), memory64, shared, page_size_log2: None });
        module.section(&memories);
        around(&module)
    };
    assert_eq!(violations(&memory(false, false)), [NotAPlugin::NoExport]);
    assert_eq!(violations(&memory(true, false))[0], NotAPlugin::Feature { feature: "memory64" });
    assert_eq!(violations(&memory(false, true))[0], NotAPlugin::Feature { feature: "threads" });

    let mut module = Module::new();
    let (mut types, mut functions, mut code) = (TypeSection::new(), FunctionSection::new(), CodeSection::new());
    types.ty().function([], []);
    functions.function(0);
    let mut body = Function::new([]);
    body.instruction(&Instruction::ReturnCall(0)).instruction(&Instruction::End);
    code.function(&body);
    module.section(&types).section(&functions).section(&code);
    assert_eq!(violations(&around(&module))[0], NotAPlugin::Feature { feature: "tail-call" });
}

#[test]
fn invalid_code_is_found_before_compiling() {
    let mut module = Module::new();
    let (mut types, mut functions, mut code) = (TypeSection::new(), FunctionSection::new(), CodeSection::new());
    types.ty().function([], [ValType::I32]);
    functions.function(0);
    let mut body = Function::new([]);
    body.instruction(&Instruction::End); // returns nothing
    code.function(&body);
    let mut exports = ExportSection::new();
    exports.export("f", wasm_encoder::ExportKind::Func, 0);
    module.section(&types).section(&functions).section(&exports).section(&code);
    let found = violations(&around(&module));
    assert!(matches!(found[0], NotAPlugin::Invalid(_)), "{found:?}");
    assert!(verify(&around(&module), &Limits::default()).is_err());
}

/// Replaces a text in a component by another one of the same length: names of types are compared by their text.
fn renamed(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = bytes.to_vec();
    let places: Vec<_> =
        (0..bytes.len()).filter(|at| bytes.get(*at..).is_some_and(|rest| rest.starts_with(from.as_bytes()))).collect();
    assert!(!places.is_empty());
    for at in places {
        bytes.splice(at..at + to.len(), to.bytes());
    }
    bytes
}

#[test]
fn a_type_that_differs_is_named_with_its_place() {
    let good = component("retrace_plugin_debian");
    let cases = [
        ("plugin-version", "plugin-edition", "describe", "want field plugin-version, found field plugin-edition"),
        ("format-file-name", "format-file-nane", "format-file-name", "want this function, found nothing of this name"),
        (
            "malformed-input",
            "malformed-inqut",
            // The interfaces are compared by name: this one comes before `distribution`.
            "kernel-for",
            "want case malformed-input, found case malformed-inqut",
        ),
    ];
    for (from, to, function, want) in cases {
        let found = violations(&renamed(&good, from, to));
        let NotAPlugin::WrongType(wrong) = &found[0] else { panic!("{found:?}") };
        let text = found[0].to_string();
        assert_eq!(wrong.function, function, "{text}");
        assert!(text.contains(want) && text.contains("since 1.0.0"), "{text}");
    }
}

#[test]
fn a_later_contract_within_the_major_version_is_accepted() {
    let good = component("retrace_plugin_debian");
    let later = renamed(&good, "@1.0.0", "@1.7.3");
    let inspection = inspect(&later, &Limits::default()).unwrap();
    assert_eq!((inspection.verdict(), inspection.contract.as_deref()), (Ok(()), Some("1.7.3")));
    let other = renamed(&good, "@1.0.0", "@2.0.0");
    assert!(matches!(violations(&other)[0], NotAPlugin::ForbiddenImport { .. }));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
    #[test]
    fn damaged_plugins_never_break_the_inspection(at in 8_usize..40_000, byte: u8, cut in 8_usize..60_000) {
        let mut bytes = component("retrace_plugin_debian");
        if let Some(place) = bytes.get_mut(at) {
            *place = byte;
        }
        let _ = inspect(&bytes, &Limits::default());
        bytes.truncate(cut);
        proptest::prop_assert!(verify(&bytes, &Limits::default()).is_err() || cut >= component("retrace_plugin_debian").len());
    }
}

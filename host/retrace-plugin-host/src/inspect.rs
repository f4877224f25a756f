//! What a component is, found without compiling or running any of it.

use std::{collections::HashMap, fmt::Write as _};

use retrace_types::Sha256;
use serde::Serialize;
use serde_json::Value;
use wasmparser::{
    Validator, WasmFeatures,
    component_types::{
        ComponentAnyTypeId, ComponentDefinedType, ComponentDefinedTypeId, ComponentEntityType, ComponentFuncTypeId,
        ComponentInstanceTypeId, ComponentValType,
    },
    types::{Types, TypesRef},
};

use crate::{
    Counts, Limits, NotAPlugin,
    check::{Survey, interface_version},
    contract,
    engine::features,
};

/// Most bytes of a function's type as text; the rest is cut.
const MAX_SIGNATURE_BYTES: usize = 512;

/// How deep types without a name are written out.
const MAX_DEPTH: u32 = 4;

/// What a component is. Nothing of it has run, and nothing was compiled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Inspection {
    /// Size of the file.
    pub size_bytes: u64,
    /// Digest of the file.
    pub sha256: Sha256,
    /// Names of what it imports; at most 1,000.
    pub imports: Vec<String>,
    /// What it exports.
    pub exports: Vec<Export>,
    /// Version of the contract that its export `distribution` names.
    pub contract: Option<String>,
    /// Optional interfaces of the contract that it exports: `kernel`, `environment-advice`.
    pub optional: Vec<&'static str>,
    /// How much of everything it holds.
    pub counts: Counts,
    /// Features of WebAssembly that it uses, out of those that plugins may use.
    pub features: Vec<&'static str>,
    /// What the SDK left in the custom section `retrace:plugin`.
    pub metadata: Option<Value>,
    /// Every rule that it breaks; empty if it can be a plugin.
    #[serde(serialize_with = "texts")]
    pub violations: Vec<NotAPlugin>,
}

/// Something that a component exports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Export {
    /// Its name: `retrace:distro/distribution@1.0.0`.
    pub name: String,
    /// Its functions, if it is an interface.
    pub functions: Vec<FunctionType>,
}

/// A function and its type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FunctionType {
    /// Its name.
    pub name: String,
    /// Its type as WIT writes it: `func(release: release, arch: string) -> result<list<repository>, call-error>`.
    pub signature: String,
}

fn texts<S: serde::Serializer>(violations: &[NotAPlugin], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(violations.iter().map(ToString::to_string))
}

impl Inspection {
    /// Whether it may be compiled.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn verdict(&self) -> Result<(), NotAPlugin> {
        self.violations.first().cloned().map_or(Ok(()), Err)
    }
}

/// Looks at a component: size, counts, names, validity with the features that plugins have, and the types of its exports.
/// Takes time in proportion to the size, some milliseconds for a plugin in Rust; naming the used features takes a dozen
/// times as long as checking them.
///
/// # Errors
/// It is too large to be looked at, no component, or damaged. Every other broken rule is in
/// [`Inspection::violations`].
pub fn inspect(bytes: &[u8], limits: &Limits) -> Result<Inspection, NotAPlugin> {
    let mut inspection = examine(bytes, limits)?;
    inspection.features = used_features(bytes);
    Ok(inspection)
}

/// Checks everything that must be right before a component is compiled.
///
/// # Errors
/// The first rule that it breaks.
pub fn verify(bytes: &[u8], limits: &Limits) -> Result<(), NotAPlugin> {
    examine(bytes, limits)?.verdict()
}

fn examine(bytes: &[u8], limits: &Limits) -> Result<Inspection, NotAPlugin> {
    let size_bytes = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    if size_bytes > limits.file_bytes {
        return Err(NotAPlugin::TooLarge { size: size_bytes, limit: limits.file_bytes });
    }
    let survey = Survey::of(bytes)?;
    let mut violations = survey.violations(limits);
    let version = |interface: &str| survey.exports.iter().find_map(|name| interface_version(name, interface));
    let contract = version("distribution").map(ToOwned::to_owned);
    let optional = ["kernel", "environment-advice"].into_iter().filter(|name| version(name).is_some()).collect();
    let mut exports = Vec::new();
    // What breaks a limit is not looked at more closely: that is what the limit is for.
    if !violations.iter().any(|violation| matches!(violation, NotAPlugin::TooComplex { .. })) {
        match validate(bytes) {
            Ok(types) => {
                exports = exported(&survey.exports, &types);
                violations.extend(wrong_types(&survey.exports, &types));
            }
            Err(violation) => violations.insert(0, violation),
        }
    }
    Ok(Inspection {
        size_bytes,
        sha256: crate::guest::digest(bytes),
        imports: survey.imports,
        exports,
        contract,
        optional,
        counts: survey.counts,
        features: Vec::new(),
        metadata: survey.metadata.and_then(|bytes| serde_json::from_slice(&bytes).ok()),
        violations,
    })
}

fn validate(bytes: &[u8]) -> Result<Types, NotAPlugin> {
    let valid_with = |features| Validator::new_with_features(features).validate_all(bytes);
    let error = match valid_with(features()) {
        Ok(types) => return Ok(types),
        Err(error) => error,
    };
    let missing = OFF.iter().find(|(_, feature)| valid_with(features() | *feature).is_ok());
    Err(match missing {
        Some((feature, _)) => NotAPlugin::Feature { feature },
        None if valid_with(WasmFeatures::all()).is_ok() => NotAPlugin::Feature { feature: "several that are off" },
        None => NotAPlugin::Invalid(crate::state::one_line(&error.to_string(), 512)),
    })
}

/// Features that plugins do not get, by the name of their proposal.
const OFF: &[(&str, WasmFeatures)] = &[
    ("simd", WasmFeatures::SIMD),
    ("relaxed-simd", WasmFeatures::RELAXED_SIMD.union(WasmFeatures::SIMD)),
    ("memory64", WasmFeatures::MEMORY64),
    ("threads", WasmFeatures::THREADS),
    ("shared-everything-threads", WasmFeatures::SHARED_EVERYTHING_THREADS.union(WasmFeatures::THREADS)),
    ("tail-call", WasmFeatures::TAIL_CALL),
    ("function-references", WasmFeatures::FUNCTION_REFERENCES),
    ("gc", WasmFeatures::GC.union(WasmFeatures::FUNCTION_REFERENCES)),
    ("exceptions", WasmFeatures::EXCEPTIONS),
    ("custom-page-sizes", WasmFeatures::CUSTOM_PAGE_SIZES),
    ("wide-arithmetic", WasmFeatures::WIDE_ARITHMETIC),
    ("stack-switching", WasmFeatures::STACK_SWITCHING),
    ("component-model-async", WasmFeatures::CM_ASYNC),
    ("component-model-error-context", WasmFeatures::CM_ERROR_CONTEXT),
    ("component-model-threading", WasmFeatures::CM_THREADING.union(WasmFeatures::CM_ASYNC)),
];

/// Features that plugins get and need not use.
const ON: &[(&str, WasmFeatures)] = &[
    ("bulk-memory", WasmFeatures::BULK_MEMORY),
    ("extended-const", WasmFeatures::EXTENDED_CONST),
    ("floats", WasmFeatures::FLOATS),
    ("multi-memory", WasmFeatures::MULTI_MEMORY),
    ("multi-value", WasmFeatures::MULTI_VALUE),
    ("mutable-global", WasmFeatures::MUTABLE_GLOBAL),
    ("reference-types", WasmFeatures::REFERENCE_TYPES),
    ("saturating-float-to-int", WasmFeatures::SATURATING_FLOAT_TO_INT),
    ("sign-extension", WasmFeatures::SIGN_EXTENSION),
];

/// A feature is used if the component is not valid without it.
fn used_features(bytes: &[u8]) -> Vec<&'static str> {
    let needs = |feature| Validator::new_with_features(features().difference(feature)).validate_all(bytes).is_err();
    if needs(WasmFeatures::empty()) {
        return Vec::new(); // not valid anyway
    }
    ON.iter().filter(|(_, feature)| needs(*feature)).map(|(name, _)| *name).collect()
}

fn instance_of(name: &str, types: TypesRef<'_>) -> Option<ComponentInstanceTypeId> {
    match types.component_item_for_export(name)?.ty {
        ComponentEntityType::Instance(id) => Some(id),
        _ => None,
    }
}

fn wrong_types(exports: &[String], types: &Types) -> Vec<NotAPlugin> {
    let mut violations = Vec::new();
    for name in exports {
        for interface in ["distribution", "kernel", "environment-advice"] {
            let version = interface_version(name, interface).filter(|version| version.starts_with("1."));
            let (Some(version), Some(instance)) = (version, instance_of(name, types.as_ref())) else { continue };
            violations.extend(contract::compare(interface, instance, types.as_ref(), version).err());
        }
    }
    violations
}

fn exported(names: &[String], types: &Types) -> Vec<Export> {
    let types = types.as_ref();
    let export = |name: &String| {
        let functions = instance_of(name, types).map(|id| functions(id, types)).unwrap_or_default();
        Export { name: name.clone(), functions }
    };
    names.iter().map(export).collect()
}

fn functions(instance: ComponentInstanceTypeId, types: TypesRef<'_>) -> Vec<FunctionType> {
    let Some(instance) = types.get(instance) else { return Vec::new() };
    let mut names = HashMap::new();
    for (name, item) in &instance.exports {
        if let ComponentEntityType::Type { referenced, created } = item.ty {
            for id in [referenced, created] {
                if let ComponentAnyTypeId::Defined(id) = id {
                    names.insert(id, name.as_str());
                }
            }
        }
    }
    let writer = Writer { names, types };
    let functions = instance.exports.iter().filter_map(|(name, item)| match item.ty {
        ComponentEntityType::Func(id) => Some(FunctionType { name: name.clone(), signature: writer.function(id) }),
        _ => None,
    });
    functions.collect()
}

/// Writes types as WIT does.
struct Writer<'a> {
    names: HashMap<ComponentDefinedTypeId, &'a str>,
    types: TypesRef<'a>,
}

impl Writer<'_> {
    fn function(&self, id: ComponentFuncTypeId) -> String {
        let Some(ty) = self.types.get(id) else { return String::new() };
        let mut text = if ty.async_ { "async func(".to_owned() } else { "func(".to_owned() };
        for (i, (name, ty)) in ty.params.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            let _ = write!(text, "{comma}{name}: ");
            self.value(&mut text, *ty, 0);
        }
        text.push(')');
        if let Some(result) = ty.result {
            text.push_str(" -> ");
            self.value(&mut text, result, 0);
        }
        if text.len() > MAX_SIGNATURE_BYTES {
            text.truncate(text.floor_char_boundary(MAX_SIGNATURE_BYTES));
            text.push('…');
        }
        text
    }

    /// Stops when the text is long enough: a small type can stand for a long text.
    fn value(&self, text: &mut String, ty: ComponentValType, depth: u32) {
        if text.len() > MAX_SIGNATURE_BYTES {
            return;
        }
        let id = match ty {
            ComponentValType::Primitive(primitive) => {
                let _ = write!(text, "{primitive}");
                return;
            }
            ComponentValType::Type(id) => id,
        };
        if let Some(name) = self.names.get(&id) {
            text.push_str(name);
            return;
        }
        let deeper = depth.saturating_add(1);
        match self.types.get(id) {
            _ if depth > MAX_DEPTH => text.push('…'),
            Some(ComponentDefinedType::List { element, .. }) => self.generic(text, "list", &[Some(*element)], deeper),
            Some(ComponentDefinedType::Option { ty, .. }) => self.generic(text, "option", &[Some(*ty)], deeper),
            Some(ComponentDefinedType::Result { ok, err, .. }) => self.generic(text, "result", &[*ok, *err], deeper),
            Some(ComponentDefinedType::Tuple(tuple)) => {
                let types: Vec<_> = tuple.types.iter().map(|ty| Some(*ty)).collect();
                self.generic(text, "tuple", &types, deeper);
            }
            _ => text.push_str(&contract::kind_of(ty, self.types)),
        }
    }

    fn generic(&self, text: &mut String, name: &str, types: &[Option<ComponentValType>], depth: u32) {
        let _ = write!(text, "{name}<");
        for (i, ty) in types.iter().enumerate() {
            text.push_str(if i == 0 { "" } else { ", " });
            match ty {
                Some(ty) => self.value(text, *ty, depth),
                None => text.push('_'),
            }
        }
        text.push('>');
    }
}

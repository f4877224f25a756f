//! The contract's text, and whether the types of a component are those of the contract.
//!
//! The engine compares types when it links, but its words are about type indices; and it can do so only after compiling.

use std::sync::LazyLock;

use wasmparser::{
    PrimitiveValType,
    component_types::{
        ComponentDefinedType, ComponentEntityType, ComponentFuncTypeId, ComponentInstanceTypeId, ComponentValType,
    },
    types::TypesRef,
};
use wit_parser::{Function, InterfaceId, Resolve, Type, TypeDefKind, UnresolvedPackageGroup};

use crate::{NotAPlugin, check::WrongType};

/// The contract that this host speaks: the text of `wit/distro.wit`.
pub const CONTRACT_WIT: &str = include_str!("../../../wit/distro.wit");

static CONTRACT: LazyLock<Result<Contract, String>> = LazyLock::new(Contract::parse);

/// Version of the contract that this host speaks.
#[must_use]
pub fn contract_version() -> &'static str {
    CONTRACT.as_ref().map_or("unknown", |contract| &contract.version)
}

struct Contract {
    resolve: Resolve,
    interfaces: Vec<(String, InterfaceId)>,
    version: String,
}

impl Contract {
    fn parse() -> Result<Self, String> {
        let group =
            UnresolvedPackageGroup::parse("distro.wit", CONTRACT_WIT).map_err(|(_, error)| error.to_string())?;
        let mut resolve = Resolve::default();
        let package = resolve.push_group(group).map_err(|error| error.to_string())?;
        let package = resolve.packages.get(package).ok_or("no package")?;
        let version = package.name.version.as_ref().map(ToString::to_string).ok_or("no version")?;
        let interfaces = package.interfaces.iter().map(|(name, id)| (name.clone(), *id)).collect();
        Ok(Self { resolve, interfaces, version })
    }
}

/// Compares an exported interface with the contract's. What the contract does not have is left alone: a plugin for a later
/// version of the contract may export more.
///
/// # Errors
/// [`NotAPlugin::WrongType`] for the first function that is missing or of another type.
pub(crate) fn compare(
    interface: &str,
    found: ComponentInstanceTypeId,
    types: TypesRef<'_>,
    built_for: &str,
) -> Result<(), NotAPlugin> {
    let contract = CONTRACT.as_ref().map_err(|error| NotAPlugin::Invalid(format!("the contract itself: {error}")))?;
    let Some(wanted) = contract.interfaces.iter().find(|(name, _)| name == interface) else { return Ok(()) };
    let Some(wanted) = contract.resolve.interfaces.get(wanted.1) else { return Ok(()) };
    let found = types.get(found).ok_or_else(|| NotAPlugin::Invalid("an instance without a type".to_owned()))?;
    let comparison = Comparison { resolve: &contract.resolve, types };
    for function in wanted.functions.values() {
        let compared = match found.exports.get(&function.name).map(|item| item.ty) {
            Some(ComponentEntityType::Func(id)) => comparison.function(function, id),
            Some(_) => Err(mismatch("", "a function", "something else")),
            None => Err(mismatch("", "this function", "nothing of this name")),
        };
        compared.map_err(|Mismatch { path, want, found }| {
            NotAPlugin::WrongType(Box::new(WrongType {
                interface: interface.to_owned(),
                function: function.name.clone(),
                place: path,
                want,
                found,
                host: contract.version.clone(),
                plugin: built_for.to_owned(),
            }))
        })?;
    }
    Ok(())
}

/// Where two types part, in words.
struct Mismatch {
    path: String,
    want: String,
    found: String,
}

fn mismatch(path: &str, want: impl Into<String>, found: impl Into<String>) -> Mismatch {
    Mismatch { path: path.to_owned(), want: want.into(), found: found.into() }
}

struct Comparison<'a> {
    resolve: &'a Resolve,
    types: TypesRef<'a>,
}

impl Comparison<'_> {
    fn function(&self, wanted: &Function, found: ComponentFuncTypeId) -> Result<(), Mismatch> {
        let Some(found) = self.types.get(found) else { return Err(mismatch("", "a function", "no type")) };
        if found.async_ {
            return Err(mismatch("", "a function", "an async function"));
        }
        if wanted.params.len() != found.params.len() {
            let count = |count: usize| format!("{count} parameters");
            return Err(mismatch("", count(wanted.params.len()), count(found.params.len())));
        }
        for (wanted, (name, ty)) in wanted.params.iter().zip(&found.params) {
            if wanted.name != name.as_str() {
                return Err(mismatch("", format!("a parameter {}", wanted.name), name.as_str()));
            }
            self.value(&format!("parameter {name}"), &wanted.ty, *ty)?;
        }
        self.optional("result", wanted.result.as_ref(), found.result.as_ref())
    }

    fn optional(&self, path: &str, wanted: Option<&Type>, found: Option<&ComponentValType>) -> Result<(), Mismatch> {
        match (wanted, found) {
            (None, None) => Ok(()),
            (Some(wanted), Some(found)) => self.value(path, wanted, *found),
            (Some(wanted), None) => Err(mismatch(path, self.wanted(wanted), "nothing")),
            (None, Some(found)) => Err(mismatch(path, "nothing", self.found(*found))),
        }
    }

    /// Descends into both types while they are alike, so no deeper than the contract's own types are.
    fn value(&self, path: &str, wanted: &Type, found: ComponentValType) -> Result<(), Mismatch> {
        let differs = || Err(mismatch(path, self.wanted(wanted), self.found(found)));
        let kind = match wanted {
            Type::Id(id) => match self.resolve.types.get(*id).map(|ty| &ty.kind) {
                Some(TypeDefKind::Type(alias)) => return self.value(path, alias, found),
                Some(kind) => kind,
                None => return differs(),
            },
            primitive => return if self.primitive(found) == primitive_of(primitive) { Ok(()) } else { differs() },
        };
        let ComponentValType::Type(id) = found else { return differs() };
        match (kind, self.types.get(id)) {
            (TypeDefKind::Record(wanted), Some(ComponentDefinedType::Record(found))) => {
                let names = wanted.fields.iter().map(|field| field.name.as_str());
                same_names(path, "field", names, found.fields.keys().map(|name| name.as_str()))?;
                for (wanted, ty) in wanted.fields.iter().zip(found.fields.values()) {
                    self.value(&format!("{path}: field {}", wanted.name), &wanted.ty, *ty)?;
                }
                Ok(())
            }
            (TypeDefKind::Variant(wanted), Some(ComponentDefinedType::Variant(found))) => {
                let names = wanted.cases.iter().map(|case| case.name.as_str());
                same_names(path, "case", names, found.cases.keys().map(|name| name.as_str()))?;
                for (wanted, case) in wanted.cases.iter().zip(found.cases.values()) {
                    self.optional(&format!("{path}: case {}", wanted.name), wanted.ty.as_ref(), case.ty.as_ref())?;
                }
                Ok(())
            }
            (TypeDefKind::Enum(wanted), Some(ComponentDefinedType::Enum(found))) => {
                let names = wanted.cases.iter().map(|case| case.name.as_str());
                same_names(path, "case", names, found.iter().map(|name| name.as_str()))
            }
            (TypeDefKind::Flags(wanted), Some(ComponentDefinedType::Flags(found))) => {
                let names = wanted.flags.iter().map(|flag| flag.name.as_str());
                same_names(path, "flag", names, found.iter().map(|name| name.as_str()))
            }
            (TypeDefKind::List(wanted), Some(ComponentDefinedType::List { element, .. })) => {
                self.value(&format!("{path}: list"), wanted, *element)
            }
            (TypeDefKind::Option(wanted), Some(ComponentDefinedType::Option { ty, .. })) => {
                self.value(&format!("{path}: option"), wanted, *ty)
            }
            (TypeDefKind::Tuple(wanted), Some(ComponentDefinedType::Tuple(found)))
                if wanted.types.len() == found.types.len() =>
            {
                let pairs = wanted.types.iter().zip(&found.types).enumerate();
                for (i, (wanted, found)) in pairs {
                    self.value(&format!("{path}: tuple[{i}]"), wanted, *found)?;
                }
                Ok(())
            }
            (TypeDefKind::Result(wanted), Some(ComponentDefinedType::Result { ok, err, .. })) => {
                self.optional(&format!("{path}: ok"), wanted.ok.as_ref(), ok.as_ref())?;
                self.optional(&format!("{path}: error"), wanted.err.as_ref(), err.as_ref())
            }
            _ => differs(),
        }
    }

    /// The primitive type that this is, be it by way of a type of its own.
    fn primitive(&self, found: ComponentValType) -> Option<PrimitiveValType> {
        match found {
            ComponentValType::Primitive(primitive) => Some(primitive),
            ComponentValType::Type(id) => match self.types.get(id) {
                Some(ComponentDefinedType::Primitive(primitive)) => Some(*primitive),
                _ => None,
            },
        }
    }

    fn wanted(&self, ty: &Type) -> String {
        let Type::Id(id) = ty else { return format!("{ty:?}").to_lowercase() };
        let Some(def) = self.resolve.types.get(*id) else { return "a type".to_owned() };
        match &def.kind {
            TypeDefKind::Type(alias) => self.wanted(alias),
            kind => def.name.clone().unwrap_or_else(|| kind.as_str().to_owned()),
        }
    }

    fn found(&self, ty: ComponentValType) -> String {
        kind_of(ty, self.types)
    }
}

/// One word for a type of a component.
pub(crate) fn kind_of(ty: ComponentValType, types: TypesRef<'_>) -> String {
    let id = match ty {
        ComponentValType::Primitive(primitive) => return primitive.to_string(),
        ComponentValType::Type(id) => id,
    };
    match types.get(id) {
        Some(ComponentDefinedType::Primitive(primitive)) => return primitive.to_string(),
        Some(ComponentDefinedType::Record(_)) => "record",
        Some(ComponentDefinedType::Variant(_)) => "variant",
        Some(ComponentDefinedType::List { .. } | ComponentDefinedType::FixedLengthList { .. }) => "list",
        Some(ComponentDefinedType::Map { .. }) => "map",
        Some(ComponentDefinedType::Tuple(_)) => "tuple",
        Some(ComponentDefinedType::Flags(_)) => "flags",
        Some(ComponentDefinedType::Enum(_)) => "enum",
        Some(ComponentDefinedType::Option { .. }) => "option",
        Some(ComponentDefinedType::Result { .. }) => "result",
        Some(ComponentDefinedType::Own(_) | ComponentDefinedType::Borrow(_)) => "resource",
        Some(ComponentDefinedType::Future { .. } | ComponentDefinedType::Stream { .. }) => "stream",
        _ => "another type",
    }
    .to_owned()
}

fn same_names<'a>(
    path: &str,
    what: &str,
    wanted: impl ExactSizeIterator<Item = &'a str>,
    found: impl ExactSizeIterator<Item = &'a str>,
) -> Result<(), Mismatch> {
    let counts = (wanted.len(), found.len());
    let mut found = found.fuse();
    for name in wanted {
        match found.next() {
            Some(other) if other == name => {}
            Some(other) => return Err(mismatch(path, format!("{what} {name}"), format!("{what} {other}"))),
            None => return Err(mismatch(path, format!("{what} {name}"), format!("only {} {what}s", counts.1))),
        }
    }
    match found.next() {
        Some(more) => Err(mismatch(path, format!("{} {what}s", counts.0), format!("{what} {more} as well"))),
        None => Ok(()),
    }
}

fn primitive_of(ty: &Type) -> Option<PrimitiveValType> {
    Some(match ty {
        Type::Bool => PrimitiveValType::Bool,
        Type::U8 => PrimitiveValType::U8,
        Type::U16 => PrimitiveValType::U16,
        Type::U32 => PrimitiveValType::U32,
        Type::U64 => PrimitiveValType::U64,
        Type::S8 => PrimitiveValType::S8,
        Type::S16 => PrimitiveValType::S16,
        Type::S32 => PrimitiveValType::S32,
        Type::S64 => PrimitiveValType::S64,
        Type::F32 => PrimitiveValType::F32,
        Type::F64 => PrimitiveValType::F64,
        Type::Char => PrimitiveValType::Char,
        Type::String => PrimitiveValType::String,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contract_is_readable_and_has_a_version() {
        assert_eq!(CONTRACT.as_ref().err(), None);
        assert_eq!(contract_version(), "1.0.0");
    }
}

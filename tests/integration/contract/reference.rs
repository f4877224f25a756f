//! The reference of the contract, made of the comments in its text.

use std::fmt::Write as _;

use wit_parser::{Docs, Function, Interface, Resolve, Type, TypeDef, TypeDefKind, World, WorldItem};

/// Every interface, type, function and world, in the order of the text, as Markdown.
pub(crate) fn markdown(text: &str) -> String {
    let (resolve, package) = parse(text);
    let package = &resolve.packages[package];
    let mut out = format!("# Reference: `{}`\n\n", package.name);
    out.push_str("Made of the comments in `wit/distro.wit` (`retrace plugin wit` prints it). Do not edit.\n\n");
    paragraph(&mut out, &package.docs);
    for id in package.interfaces.values() {
        interface(&mut out, &resolve, &resolve.interfaces[*id]);
    }
    out.push_str("## Worlds\n\n");
    for id in package.worlds.values() {
        world(&mut out, &resolve, &resolve.worlds[*id]);
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

/// Names of items without a comment.
pub(crate) fn undocumented(text: &str) -> Vec<String> {
    let (resolve, package) = parse(text);
    let package = &resolve.packages[package];
    let mut bare = Vec::new();
    let mut look = |name: String, docs: &Docs| {
        if docs.contents.is_none() {
            bare.push(name);
        }
    };
    for (name, id) in &package.interfaces {
        let interface = &resolve.interfaces[*id];
        look(name.clone(), &interface.docs);
        for (function, item) in &interface.functions {
            look(format!("{name}.{function}"), &item.docs);
        }
        for (ty, id) in &interface.types {
            let definition = &resolve.types[*id];
            if is_use(&resolve, definition) {
                continue;
            }
            look(format!("{name}.{ty}"), &definition.docs);
            for part in parts(&resolve, definition) {
                look(format!("{name}.{ty}.{}", part.name), part.docs);
            }
        }
    }
    for (name, id) in &package.worlds {
        look(name.clone(), &resolve.worlds[*id].docs);
    }
    bare
}

fn parse(text: &str) -> (Resolve, wit_parser::PackageId) {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("distro.wit", text).expect("the contract is valid WIT");
    (resolve, package)
}

/// A field, case or flag.
struct Part<'a> {
    name: &'a str,
    ty: Option<String>,
    docs: &'a Docs,
}

fn parts<'a>(resolve: &Resolve, definition: &'a TypeDef) -> Vec<Part<'a>> {
    match &definition.kind {
        TypeDefKind::Record(record) => {
            let part = |field: &'a wit_parser::Field| Part {
                name: &field.name,
                ty: Some(type_name(resolve, &field.ty)),
                docs: &field.docs,
            };
            record.fields.iter().map(part).collect()
        }
        TypeDefKind::Variant(variant) => {
            let part = |case: &'a wit_parser::Case| Part {
                name: &case.name,
                ty: case.ty.as_ref().map(|ty| type_name(resolve, ty)),
                docs: &case.docs,
            };
            variant.cases.iter().map(part).collect()
        }
        TypeDefKind::Enum(cases) => {
            cases.cases.iter().map(|case| Part { name: &case.name, ty: None, docs: &case.docs }).collect()
        }
        TypeDefKind::Flags(flags) => {
            flags.flags.iter().map(|flag| Part { name: &flag.name, ty: None, docs: &flag.docs }).collect()
        }
        _ => Vec::new(),
    }
}

fn interface(out: &mut String, resolve: &Resolve, interface: &Interface) {
    let name = interface.name.as_deref().unwrap_or_default();
    let _ = writeln!(out, "## Interface `{name}`\n");
    paragraph(out, &interface.docs);
    for id in interface.types.values() {
        let definition = &resolve.types[*id];
        if !is_use(resolve, definition) {
            type_section(out, resolve, definition);
        }
    }
    for function in interface.functions.values() {
        let _ = writeln!(out, "### `{}`\n\n```wit\n{}\n```\n", function.name, signature(resolve, function));
        paragraph(out, &function.docs);
    }
}

fn type_section(out: &mut String, resolve: &Resolve, definition: &TypeDef) {
    let name = definition.name.as_deref().unwrap_or_default();
    let kind = match &definition.kind {
        TypeDefKind::Type(ty) => format!("= {}", type_name(resolve, ty)),
        TypeDefKind::List(_) => format!("= {}", kind_name(resolve, &definition.kind)),
        kind => kind.as_str().to_owned(),
    };
    let _ = writeln!(out, "### `{name}` ({kind})\n");
    paragraph(out, &definition.docs);
    let parts = parts(resolve, definition);
    if parts.is_empty() {
        return;
    }
    let typed = parts.iter().any(|part| part.ty.is_some());
    out.push_str(if typed { "| | type | meaning |\n|---|---|---|\n" } else { "| | meaning |\n|---|---|\n" });
    for part in parts {
        let meaning = docs(part.docs).replace('\n', " ").replace('|', "\\|");
        let ty = part.ty.map(|ty| format!("`{ty}`")).unwrap_or_default();
        let _ = match typed {
            true => writeln!(out, "| `{}` | {ty} | {meaning} |", part.name),
            false => writeln!(out, "| `{}` | {meaning} |", part.name),
        };
    }
    out.push('\n');
}

fn world(out: &mut String, resolve: &Resolve, world: &World) {
    let names = |items: &mut dyn Iterator<Item = &WorldItem>| {
        let names = items.filter_map(|item| match item {
            WorldItem::Interface { id, .. } => resolve.interfaces[*id].name.as_deref(),
            _ => None,
        });
        names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
    };
    let _ = writeln!(out, "### `{}`\n", world.name);
    paragraph(out, &world.docs);
    let imports = names(&mut world.imports.values());
    let exports = names(&mut world.exports.values());
    let _ = writeln!(out, "Imports {imports}; exports {exports}.\n");
}

fn signature(resolve: &Resolve, function: &Function) -> String {
    let parameters = function.params.iter().map(|param| format!("{}: {}", param.name, type_name(resolve, &param.ty)));
    let parameters = parameters.collect::<Vec<_>>().join(", ");
    let result = function.result.as_ref().map(|ty| format!(" -> {}", type_name(resolve, ty))).unwrap_or_default();
    format!("{}: func({parameters}){result}", function.name)
}

fn type_name(resolve: &Resolve, ty: &Type) -> String {
    match ty {
        Type::Bool => "bool".to_owned(),
        Type::U32 => "u32".to_owned(),
        Type::String => "string".to_owned(),
        Type::Id(id) => {
            let definition = &resolve.types[*id];
            definition.name.clone().unwrap_or_else(|| kind_name(resolve, &definition.kind))
        }
        other => panic!("the contract uses {other:?} now: name it here"),
    }
}

fn kind_name(resolve: &Resolve, kind: &TypeDefKind) -> String {
    let optional = |ty: &Option<Type>| ty.as_ref().map_or_else(|| "_".to_owned(), |ty| type_name(resolve, ty));
    match kind {
        TypeDefKind::Option(ty) => format!("option<{}>", type_name(resolve, ty)),
        TypeDefKind::List(ty) => format!("list<{}>", type_name(resolve, ty)),
        TypeDefKind::Result(result) => format!("result<{}, {}>", optional(&result.ok), optional(&result.err)),
        TypeDefKind::Tuple(tuple) => {
            let types: Vec<_> = tuple.types.iter().map(|ty| type_name(resolve, ty)).collect();
            format!("tuple<{}>", types.join(", "))
        }
        TypeDefKind::Type(ty) => type_name(resolve, ty),
        other => panic!("the contract uses {} without a name now: name it here", other.as_str()),
    }
}

/// True for `use other.{name}`, which is documented where it is defined.
fn is_use(resolve: &Resolve, definition: &TypeDef) -> bool {
    match &definition.kind {
        TypeDefKind::Type(Type::Id(id)) => resolve.types[*id].name == definition.name,
        _ => false,
    }
}

fn docs(docs: &Docs) -> &str {
    docs.contents.as_deref().map(str::trim).unwrap_or_default()
}

fn paragraph(out: &mut String, text: &Docs) {
    let text = docs(text);
    if !text.is_empty() {
        let _ = writeln!(out, "{text}\n");
    }
}

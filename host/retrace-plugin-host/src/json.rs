//! JSON to values of a component and back, by the component's own types: exact, and the same for every function.
//!
//! Names are the contract's: `{"distro": "debian", "end-of-life": null}`. A variant with a value is an object of one
//! key, `{"other": "flatpak"}`, one without is a text, `"rpm"`; flags are a list of names; a result is `{"ok": …}` or
//! `{"err": …}`; an option is the value or null, and `{"some": …}` where the value itself could be null.

use serde_json::{Map, Number, Value};
use wasmtime::component::{Type, Val};

/// A JSON document that does not fit a function's parameters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {rule}")]
pub struct InvalidInput {
    /// Where: `release.minor`.
    pub path: String,
    /// What is wanted there.
    pub rule: String,
}

fn wrong(path: &str, rule: impl Into<String>) -> InvalidInput {
    let path = if path.is_empty() { "input" } else { path };
    InvalidInput { path: path.to_owned(), rule: rule.into() }
}

/// The arguments of a function, from an object with the parameters' names or a list in their order. A function without
/// parameters takes `{}`, `[]` and null; one with a single parameter takes nothing but these forms, too.
pub(crate) fn arguments<'a>(
    input: &Value,
    parameters: impl Iterator<Item = (&'a str, Type)>,
) -> Result<Vec<Val>, InvalidInput> {
    let parameters: Vec<_> = parameters.collect();
    let names = || parameters.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    match input {
        Value::Null if parameters.is_empty() => Ok(Vec::new()),
        Value::Array(values) => {
            if values.len() != parameters.len() {
                let count = parameters.len();
                return Err(wrong("", format!("want a list of {count} values ({}), got {}", names(), values.len())));
            }
            parameters.iter().zip(values).map(|((name, ty), value)| to_val(name, value, ty)).collect()
        }
        Value::Object(values) => {
            if let Some(unknown) = values.keys().find(|key| parameters.iter().all(|(name, _)| name != key)) {
                return Err(wrong("", format!("there is no parameter {unknown:?}; there are {}", names())));
            }
            let one = |(name, ty): &(&str, Type)| to_val(name, values.get(*name).unwrap_or(&Value::Null), ty);
            parameters.iter().map(one).collect()
        }
        _ => Err(wrong("", format!("want an object with the parameters {}", names()))),
    }
}

fn to_val(path: &str, value: &Value, ty: &Type) -> Result<Val, InvalidInput> {
    let text = || value.as_str().ok_or_else(|| wrong(path, "want a text"));
    let unsigned = |max: u64| {
        let number = value.as_u64().filter(|number| *number <= max);
        number.ok_or_else(|| wrong(path, format!("want a whole number from 0 to {max}")))
    };
    let signed = |min: i64, max: i64| {
        let number = value.as_i64().filter(|number| (min..=max).contains(number));
        number.ok_or_else(|| wrong(path, format!("want a whole number from {min} to {max}")))
    };
    let narrow = |_| wrong(path, "is out of range");
    Ok(match ty {
        Type::Bool => Val::Bool(value.as_bool().ok_or_else(|| wrong(path, "want true or false"))?),
        Type::U8 => Val::U8(u8::try_from(unsigned(u8::MAX.into())?).map_err(narrow)?),
        Type::U16 => Val::U16(u16::try_from(unsigned(u16::MAX.into())?).map_err(narrow)?),
        Type::U32 => Val::U32(u32::try_from(unsigned(u32::MAX.into())?).map_err(narrow)?),
        Type::U64 => Val::U64(unsigned(u64::MAX)?),
        Type::S8 => Val::S8(i8::try_from(signed(i8::MIN.into(), i8::MAX.into())?).map_err(narrow)?),
        Type::S16 => Val::S16(i16::try_from(signed(i16::MIN.into(), i16::MAX.into())?).map_err(narrow)?),
        Type::S32 => Val::S32(i32::try_from(signed(i32::MIN.into(), i32::MAX.into())?).map_err(narrow)?),
        Type::S64 => Val::S64(signed(i64::MIN, i64::MAX)?),
        Type::Float64 => Val::Float64(value.as_f64().ok_or_else(|| wrong(path, "want a number"))?),
        Type::Char => {
            let mut chars = text()?.chars();
            match (chars.next(), chars.next()) {
                (Some(c), None) => Val::Char(c),
                _ => return Err(wrong(path, "want a text of one character")),
            }
        }
        Type::String => Val::String(text()?.to_owned()),
        Type::List(list) => {
            let values = value.as_array().ok_or_else(|| wrong(path, "want a list"))?;
            let item = list.ty();
            let convert = |(i, value)| to_val(&format!("{path}[{i}]"), value, &item);
            Val::List(values.iter().enumerate().map(convert).collect::<Result<_, _>>()?)
        }
        Type::Tuple(tuple) => {
            let values = value.as_array().filter(|values| values.len() == tuple.types().len());
            let values = values.ok_or_else(|| wrong(path, format!("want a list of {}", tuple.types().len())))?;
            let convert = |(i, (value, ty)): (usize, (_, Type))| to_val(&format!("{path}[{i}]"), value, &ty);
            Val::Tuple(values.iter().zip(tuple.types()).enumerate().map(convert).collect::<Result<_, _>>()?)
        }
        Type::Record(record) => {
            let values = value.as_object().ok_or_else(|| wrong(path, "want an object"))?;
            if let Some(unknown) = values.keys().find(|key| record.fields().all(|field| field.name != key.as_str())) {
                return Err(wrong(path, format!("has no field {unknown:?}")));
            }
            let mut fields = Vec::new();
            for field in record.fields() {
                let value = values.get(field.name).unwrap_or(&Value::Null);
                fields.push((field.name.to_owned(), to_val(&format!("{path}.{}", field.name), value, &field.ty)?));
            }
            Val::Record(fields)
        }
        Type::Variant(variant) => {
            let (name, value) = one_key(path, value)?;
            let Some(case) = variant.cases().find(|case| case.name == name) else {
                let names: Vec<_> = variant.cases().map(|case| case.name.to_owned()).collect();
                return Err(wrong(path, format!("want one of {}", names.join(", "))));
            };
            Val::Variant(name.to_owned(), payload(&format!("{path}.{name}"), value, case.ty.as_ref())?)
        }
        Type::Enum(names) => {
            let name = text()?;
            if !names.names().any(|known| known == name) {
                return Err(wrong(path, format!("want one of {}", names.names().collect::<Vec<_>>().join(", "))));
            }
            Val::Enum(name.to_owned())
        }
        Type::Option(option) => {
            let inner = option.ty();
            match value {
                Value::Null => Val::Option(None),
                value if is_option(&inner) => {
                    let (name, value) = one_key(path, value)?;
                    match value {
                        Some(value) if name == "some" => Val::Option(Some(Box::new(to_val(path, value, &inner)?))),
                        _ => return Err(wrong(path, "want null or {\"some\": …}")),
                    }
                }
                value => Val::Option(Some(Box::new(to_val(path, value, &inner)?))),
            }
        }
        Type::Result(result) => match one_key(path, value)? {
            ("ok", value) => Val::Result(Ok(payload(path, value, result.ok().as_ref())?)),
            ("err", value) => Val::Result(Err(payload(path, value, result.err().as_ref())?)),
            _ => return Err(wrong(path, "want {\"ok\": …} or {\"err\": …}")),
        },
        Type::Flags(flags) => {
            let values = value.as_array().ok_or_else(|| wrong(path, "want a list of names"))?;
            let one = |value: &Value| {
                let name = value.as_str().filter(|name| flags.names().any(|known| known == *name));
                let names = || flags.names().collect::<Vec<_>>().join(", ");
                name.map(ToOwned::to_owned).ok_or_else(|| wrong(path, format!("want names out of {}", names())))
            };
            Val::Flags(values.iter().map(one).collect::<Result<_, _>>()?)
        }
        _ => return Err(wrong(path, "has a type that the contract does not use")),
    })
}

fn is_option(ty: &Type) -> bool {
    matches!(ty, Type::Option(_))
}

/// `"name"`, or `{"name": value}`.
fn one_key<'a>(path: &str, value: &'a Value) -> Result<(&'a str, Option<&'a Value>), InvalidInput> {
    match value {
        Value::String(name) => Ok((name, None)),
        Value::Object(object) if object.len() == 1 => {
            let first = object.iter().next().map(|(name, value)| (name.as_str(), Some(value)));
            first.ok_or_else(|| wrong(path, "want one key"))
        }
        _ => Err(wrong(path, "want a name, or an object with one key")),
    }
}

fn payload(path: &str, value: Option<&Value>, ty: Option<&Type>) -> Result<Option<Box<Val>>, InvalidInput> {
    match (value, ty) {
        (None | Some(Value::Null), None) => Ok(None),
        (Some(value), Some(ty)) => Ok(Some(Box::new(to_val(path, value, ty)?))),
        (None, Some(_)) => Err(wrong(path, "needs a value: {\"name\": value}")),
        (Some(_), None) => Err(wrong(path, "has no value")),
    }
}

/// The value as JSON.
pub(crate) fn from_val(val: &Val) -> Value {
    let object = |name: &str, value: Value| Value::Object(Map::from_iter([(name.to_owned(), value)]));
    let optional = |value: &Option<Box<Val>>| value.as_ref().map_or(Value::Null, |value| from_val(value));
    let list = |values: &[Val]| Value::Array(values.iter().map(from_val).collect());
    let float = |number: f64| Number::from_f64(number).map_or_else(|| number.to_string().into(), Value::Number);
    match val {
        Val::Bool(value) => (*value).into(),
        Val::S8(value) => (*value).into(),
        Val::U8(value) => (*value).into(),
        Val::S16(value) => (*value).into(),
        Val::U16(value) => (*value).into(),
        Val::S32(value) => (*value).into(),
        Val::U32(value) => (*value).into(),
        Val::S64(value) => (*value).into(),
        Val::U64(value) => (*value).into(),
        Val::Float32(value) => float((*value).into()),
        Val::Float64(value) => float(*value),
        Val::Char(value) => value.to_string().into(),
        Val::String(value) | Val::Enum(value) => value.as_str().into(),
        Val::List(values) | Val::Tuple(values) | Val::FixedLengthList(values) => list(values),
        Val::Map(pairs) => {
            Value::Array(pairs.iter().map(|(a, b)| Value::Array(vec![from_val(a), from_val(b)])).collect())
        }
        Val::Record(fields) => {
            Value::Object(fields.iter().map(|(name, value)| (name.clone(), from_val(value))).collect())
        }
        Val::Variant(name, None) => name.as_str().into(),
        Val::Variant(name, Some(value)) => object(name, from_val(value)),
        Val::Option(None) => Value::Null,
        Val::Option(Some(value)) if matches!(**value, Val::Option(_)) => object("some", from_val(value)),
        Val::Option(Some(value)) => from_val(value),
        Val::Result(Ok(value)) => object("ok", optional(value)),
        Val::Result(Err(value)) => object("err", optional(value)),
        Val::Flags(names) => names.iter().map(String::as_str).collect(),
        Val::Resource(_) | Val::Future(_) | Val::Stream(_) | Val::ErrorContext(_) => Value::Null,
    }
}

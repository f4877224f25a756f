//! The contract's values as JSON: one mapping for fixtures, `retrace plugin call` and dumps of answers
//! (`docs/fixtures.md`).

use alloc::{
    borrow::ToOwned,
    format,
    string::{String, ToString},
    vec::Vec,
};

use serde_json::{Map, Value, json};

use crate::{
    CallError, Confidence, Debugger, Description, Environment, KernelFiles, KeyFile, PackageFormat, PackageId,
    PackageKind, PackageRef, Release, ReleaseEntry, ReleaseGuess, ReleaseSource, Repository, RepositoryContent,
    RepositoryLayout, Signatures,
};

/// A value that is written as JSON.
pub trait ToValue {
    /// The value as JSON.
    fn to_value(&self) -> Value;
}

/// A value that is read from JSON. The error names the place and what is wanted there.
pub trait FromValue: Sized {
    /// Reads the value; `path` says where it stands.
    ///
    /// # Errors
    /// What is wrong, and where.
    fn from_value(path: &str, value: &Value) -> Result<Self, String>;
}

/// The fields of a record.
struct Record<'a> {
    path: &'a str,
    fields: &'a Map<String, Value>,
}

impl<'a> Record<'a> {
    fn of(path: &'a str, value: &'a Value, known: &[&str]) -> Result<Self, String> {
        let Value::Object(fields) = value else { return Err(format!("{path}: want a record")) };
        if let Some(unknown) = fields.keys().find(|key| !known.contains(&key.as_str())) {
            return Err(format!("{path}.{unknown}: unknown field; known are {}", known.join(", ")));
        }
        Ok(Self { path, fields })
    }

    fn get<T: FromValue>(&self, name: &str) -> Result<T, String> {
        let path = format!("{}.{name}", self.path);
        T::from_value(&path, self.fields.get(name).unwrap_or(&Value::Null))
    }
}

/// A variant's case, and its value.
fn case<'a>(path: &str, value: &'a Value) -> Result<(&'a str, Option<&'a Value>), String> {
    match value {
        Value::String(name) => Ok((name, None)),
        Value::Object(map) if map.len() == 1 => {
            map.iter().next().map(|(name, value)| (name.as_str(), Some(value))).ok_or_else(String::new)
        }
        _ => Err(format!("{path}: want the name of a case, or a table of one")),
    }
}

fn without_none(fields: Value) -> Value {
    match fields {
        Value::Object(map) => Value::Object(map.into_iter().filter(|(_, value)| !value.is_null()).collect()),
        other => other,
    }
}

impl ToValue for String {
    fn to_value(&self) -> Value {
        Value::String(self.clone())
    }
}

impl FromValue for String {
    fn from_value(path: &str, value: &Value) -> Result<Self, String> {
        value.as_str().map(ToOwned::to_owned).ok_or_else(|| format!("{path}: want a text"))
    }
}

impl FromValue for bool {
    fn from_value(path: &str, value: &Value) -> Result<Self, String> {
        value.as_bool().ok_or_else(|| format!("{path}: want true or false"))
    }
}

impl FromValue for u32 {
    fn from_value(path: &str, value: &Value) -> Result<Self, String> {
        let number = value.as_u64().and_then(|number| Self::try_from(number).ok());
        number.ok_or_else(|| format!("{path}: want a number from 0 to {}", Self::MAX))
    }
}

impl<T: ToValue> ToValue for Vec<T> {
    fn to_value(&self) -> Value {
        self.iter().map(ToValue::to_value).collect()
    }
}

impl<T: FromValue> FromValue for Vec<T> {
    fn from_value(path: &str, value: &Value) -> Result<Self, String> {
        let Value::Array(values) = value else { return Err(format!("{path}: want a list")) };
        values.iter().enumerate().map(|(i, value)| T::from_value(&format!("{path}[{i}]"), value)).collect()
    }
}

impl<T: ToValue> ToValue for Option<T> {
    fn to_value(&self) -> Value {
        self.as_ref().map_or(Value::Null, ToValue::to_value)
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(path: &str, value: &Value) -> Result<Self, String> {
        if value.is_null() { Ok(None) } else { T::from_value(path, value).map(Some) }
    }
}

impl<T: ToValue> ToValue for Result<T, CallError> {
    fn to_value(&self) -> Value {
        match self {
            Ok(value) => json!({ "ok": value.to_value() }),
            Err(error) => json!({ "err": error.to_value() }),
        }
    }
}

impl ToValue for CallError {
    fn to_value(&self) -> Value {
        match self {
            Self::UnsupportedRelease(text) => json!({ "unsupported-release": text }),
            Self::UnsupportedArchitecture(text) => json!({ "unsupported-architecture": text }),
            Self::MalformedInput(text) => json!({ "malformed-input": text }),
            Self::Internal(text) => json!({ "internal": text }),
        }
    }
}

impl ToValue for (String, String) {
    fn to_value(&self) -> Value {
        json!([self.0, self.1])
    }
}

impl ToValue for PackageFormat {
    fn to_value(&self) -> Value {
        match self {
            Self::Rpm => "rpm".into(),
            Self::Deb => "deb".into(),
            Self::Other(name) => json!({ "other": name }),
        }
    }
}

impl FromValue for PackageFormat {
    fn from_value(path: &str, value: &Value) -> Result<Self, String> {
        Ok(match case(path, value)? {
            ("rpm", None) => Self::Rpm,
            ("deb", None) => Self::Deb,
            ("other", Some(name)) => Self::Other(String::from_value(path, name)?),
            _ => return Err(format!("{path}: want \"rpm\", \"deb\" or {{ other = \"…\" }}")),
        })
    }
}

impl ToValue for PackageKind {
    fn to_value(&self) -> Value {
        match self {
            Self::Binary => "binary".into(),
            Self::DebugInfo => "debug-info".into(),
            Self::DebugSource => "debug-source".into(),
            Self::Source => "source".into(),
            Self::Other(name) => json!({ "other": name }),
        }
    }
}

impl FromValue for PackageKind {
    fn from_value(path: &str, value: &Value) -> Result<Self, String> {
        Ok(match case(path, value)? {
            ("binary", None) => Self::Binary,
            ("debug-info", None) => Self::DebugInfo,
            ("debug-source", None) => Self::DebugSource,
            ("source", None) => Self::Source,
            ("other", Some(name)) => Self::Other(String::from_value(path, name)?),
            _ => return Err(format!("{path}: want binary, debug-info, debug-source, source or {{ other = \"…\" }}")),
        })
    }
}

impl ToValue for Release {
    fn to_value(&self) -> Value {
        without_none(json!({
            "distro": self.distro, "version": self.version, "minor": self.minor, "codename": self.codename,
            "rolling": self.rolling,
        }))
    }
}

impl FromValue for Release {
    fn from_value(path: &str, value: &Value) -> Result<Self, String> {
        let record = Record::of(path, value, &["distro", "version", "minor", "codename", "rolling"])?;
        Ok(Self {
            distro: record.get("distro")?,
            version: record.get("version")?,
            minor: record.get("minor")?,
            codename: record.get("codename")?,
            rolling: record.get("rolling")?,
        })
    }
}

impl ToValue for PackageId {
    fn to_value(&self) -> Value {
        without_none(json!({
            "name": self.name, "epoch": self.epoch, "version": self.version, "release": self.release,
            "arch": self.arch, "kind": self.kind.to_value(),
        }))
    }
}

impl FromValue for PackageId {
    fn from_value(path: &str, value: &Value) -> Result<Self, String> {
        let record = Record::of(path, value, &["name", "epoch", "version", "release", "arch", "kind"])?;
        Ok(Self {
            name: record.get("name")?,
            epoch: record.get("epoch")?,
            version: record.get("version")?,
            release: record.get("release")?,
            arch: record.get("arch")?,
            kind: record.get("kind")?,
        })
    }
}

impl ToValue for Description {
    fn to_value(&self) -> Value {
        json!({
            "id": self.id, "aliases": self.aliases, "name": self.name, "format": self.format.to_value(),
            "plugin-version": self.plugin_version, "annotations": self.annotations.to_value(),
        })
    }
}

impl ToValue for ReleaseEntry {
    fn to_value(&self) -> Value {
        without_none(json!({
            "release": self.release.to_value(), "title": self.title, "architectures": self.architectures,
            "end-of-life": self.end_of_life, "annotations": self.annotations.to_value(),
        }))
    }
}

impl FromValue for ReleaseSource {
    fn from_value(path: &str, value: &Value) -> Result<Self, String> {
        let want =
            || format!("{path}: want {{ os-release = … }}, {{ release-line = … }} or {{ named = [name, text] }}");
        match case(path, value)? {
            ("os-release", Some(text)) => String::from_value(path, text).map(Self::OsRelease),
            ("release-line", Some(text)) => String::from_value(path, text).map(Self::ReleaseLine),
            ("named", Some(pair)) => match <Vec<String>>::from_value(path, pair)?.as_slice() {
                [name, text] => Ok(Self::Named((name.clone(), text.clone()))),
                _ => Err(want()),
            },
            _ => Err(want()),
        }
    }
}

impl FromValue for PackageRef {
    fn from_value(path: &str, value: &Value) -> Result<Self, String> {
        let record = Record::of(path, value, &["raw", "format", "vendor"])?;
        Ok(Self { raw: record.get("raw")?, format: record.get("format")?, vendor: record.get("vendor")? })
    }
}

impl ToValue for ReleaseGuess {
    fn to_value(&self) -> Value {
        let confidence = match self.confidence {
            Confidence::Weak => "weak",
            Confidence::Likely => "likely",
            Confidence::Certain => "certain",
        };
        json!({ "release": self.release.to_value(), "confidence": confidence, "reason": self.reason })
    }
}

impl ToValue for RepositoryLayout {
    fn to_value(&self) -> Value {
        match self {
            Self::RpmMd => "rpm-md".into(),
            Self::Directory => "directory".into(),
            Self::DebDists(suite) => json!({ "deb-dists": { "suite": suite.suite, "components": suite.components } }),
            Self::Other(name) => json!({ "other": name }),
        }
    }
}

impl ToValue for KeyFile {
    fn to_value(&self) -> Value {
        without_none(json!({ "path": self.path, "fingerprint": self.fingerprint }))
    }
}

impl ToValue for Repository {
    fn to_value(&self) -> Value {
        let content = match self.content {
            RepositoryContent::Packages => "packages",
            RepositoryContent::DebugInfo => "debug-info",
            RepositoryContent::Sources => "sources",
        };
        let signatures = [(Signatures::METADATA, "metadata"), (Signatures::PACKAGES, "packages")];
        let signatures: Vec<_> =
            signatures.iter().filter(|(flag, _)| self.signatures.contains(*flag)).map(|(_, name)| *name).collect();
        json!({
            "id": self.id, "title": self.title, "layout": self.layout.to_value(), "content": content,
            "mirrors": self.mirrors, "signatures": signatures, "keys": self.keys.to_value(),
            "config": self.config.to_value(),
        })
    }
}

impl ToValue for Debugger {
    fn to_value(&self) -> Value {
        let environment = match self.environment {
            Environment::Sysroot => "sysroot",
            Environment::Chroot => "chroot",
        };
        json!({ "packages": self.packages, "path": self.path, "environment": environment })
    }
}

impl ToValue for KernelFiles {
    fn to_value(&self) -> Value {
        json!({ "debug-packages": self.debug_packages.to_value(), "vmlinux": self.vmlinux })
    }
}

/// A TOML value as JSON; `"none"` stays a text, for only the comparison knows where it means none.
pub(super) fn from_toml(value: &toml::Value) -> Value {
    match value {
        toml::Value::String(text) => text.as_str().into(),
        toml::Value::Integer(number) => (*number).into(),
        toml::Value::Float(number) => (*number).into(),
        toml::Value::Boolean(yes) => (*yes).into(),
        toml::Value::Datetime(date) => date.to_string().into(),
        toml::Value::Array(values) => values.iter().map(from_toml).collect(),
        toml::Value::Table(table) => {
            Value::Object(table.iter().map(|(key, value)| (key.clone(), from_toml(value))).collect())
        }
    }
}

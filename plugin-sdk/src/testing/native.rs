use alloc::{
    borrow::ToOwned,
    collections::BTreeMap,
    format,
    string::{String, ToString},
};

use serde_json::Value;

use super::value::{FromValue, ToValue};
use crate::{Distribution, EnvironmentAdvice, Kernel};

type Function = fn(&Value) -> Result<Value, String>;

/// A plugin as Rust calls it, asked by the contract's names and with JSON values: what a component is to the host.
#[derive(Clone, Debug)]
pub struct Native {
    pub(super) id: &'static str,
    functions: BTreeMap<&'static str, Function>,
}

impl Native {
    /// The functions that every plugin has.
    #[must_use]
    pub fn of<D: Distribution>() -> Self {
        let functions: [(&'static str, Function); 9] = [
            ("describe", |input| no_input(input).map(|()| D::describe().to_value())),
            ("releases", |input| no_input(input).map(|()| D::releases().to_value())),
            ("parse-release", |input| Ok(D::parse_release(get(input, "source", &["source"])?).to_value())),
            ("guess-release", |input| Ok(D::guess_release(get(input, "subject", &["subject"])?).to_value())),
            ("repositories", |input| {
                let names = ["release", "arch"];
                Ok(D::repositories(get(input, "release", &names)?, get(input, "arch", &names)?).to_value())
            }),
            ("debugger-for", |input| {
                let names = ["release", "arch"];
                Ok(D::debugger_for(get(input, "release", &names)?, get(input, "arch", &names)?).to_value())
            }),
            ("parse-file-names", |input| Ok(D::parse_file_names(get(input, "names", &["names"])?).to_value())),
            ("format-file-name", |input| Ok(D::format_file_name(get(input, "subject", &["subject"])?).to_value())),
            ("debug-packages", |input| Ok(D::debug_packages(get(input, "subject", &["subject"])?).to_value())),
        ];
        Self { id: D::ID, functions: functions.into() }
    }

    /// With the optional function `kernel-for`.
    #[must_use]
    pub fn with_kernel<K: Kernel>(mut self) -> Self {
        self.functions.insert("kernel-for", |input| {
            let names = ["version", "arch"];
            Ok(K::kernel_for(get(input, "version", &names)?, get(input, "arch", &names)?).to_value())
        });
        self
    }

    /// With the optional function `extra-packages`.
    #[must_use]
    pub fn with_environment_advice<A: EnvironmentAdvice>(mut self) -> Self {
        self.functions.insert("extra-packages", |input| {
            let names = ["release", "arch", "wanted"];
            let (release, arch) = (get(input, "release", &names)?, get(input, "arch", &names)?);
            Ok(A::extra_packages(release, arch, get(input, "wanted", &names)?).to_value())
        });
        self
    }

    /// The answer to a question. `input` holds the parameters by their names in the contract.
    ///
    /// # Errors
    /// The plugin has no such function, or the input is not what it takes. An error of the plugin is an answer.
    pub fn call(&self, function: &str, input: &Value) -> Result<Value, String> {
        let known = || self.functions.keys().copied().collect::<alloc::vec::Vec<_>>().join(", ");
        let call = self.functions.get(function);
        call.ok_or_else(|| format!("no function {function:?}: the plugin has {}", known()))?(input)
    }
}

fn no_input(input: &Value) -> Result<(), String> {
    match input {
        Value::Null => Ok(()),
        Value::Object(fields) if fields.is_empty() => Ok(()),
        _ => Err("this function has no parameters".to_owned()),
    }
}

fn get<T: FromValue>(input: &Value, name: &str, known: &[&str]) -> Result<T, String> {
    let Value::Object(fields) = input else { return Err("input: want a table of parameters".to_string()) };
    if let Some(unknown) = fields.keys().find(|key| !known.contains(&key.as_str())) {
        return Err(format!("input.{unknown}: unknown parameter; known are {}", known.join(", ")));
    }
    T::from_value(&format!("input.{name}"), fields.get(name).unwrap_or(&Value::Null))
}

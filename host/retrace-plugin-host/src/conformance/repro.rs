use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{ConformanceError, Options};
use crate::Function;

/// Most bytes of an input that stands in the command itself.
const MAX_INLINE_BYTES: usize = 512;

/// Turns a failing call into the command that shows it again, and keeps its input.
pub(super) struct Repro {
    file: PathBuf,
    dir: Option<PathBuf>,
    seed: String,
}

impl Repro {
    pub(super) fn new(options: &Options) -> Result<Self, ConformanceError> {
        if let Some(dir) = &options.counter_examples {
            fs::create_dir_all(dir).map_err(|source| ConformanceError::Io { path: dir.clone(), source })?;
        }
        Ok(Self { file: options.file.clone(), dir: options.counter_examples.clone(), seed: options.seed.to_string() })
    }

    /// One file for each check: the next run replaces it.
    pub(super) fn command(&self, check: &str, call: Option<&(Function, Value)>) -> String {
        let file = quoted(&self.file.to_string_lossy());
        let again = || format!("retrace plugin test {file} --seed {}", self.seed);
        let Some((function, input)) = call else { return again() };
        let text = input.to_string();
        if let Some(dir) = &self.dir {
            let path = dir.join(format!("{check}.json"));
            if store(&path, &text) {
                return format!("retrace plugin call {file} {function} --json @{}", quoted(&path.to_string_lossy()));
            }
        }
        match text.len() {
            0..=MAX_INLINE_BYTES => format!("retrace plugin call {file} {function} --json {}", quoted(&text)),
            _ => again(),
        }
    }
}

/// Whether it worked: a report without the file is better than no report.
fn store(path: &Path, text: &str) -> bool {
    match fs::write(path, text) {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!("cannot write the counter-example {}: {error}", path.display());
            false
        }
    }
}

/// As a word of a shell.
fn quoted(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/._-+@:,".contains(&b);
    if !text.is_empty() && text.bytes().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn words_are_quoted_for_a_shell() {
        let cases = [("a/b.wasm", "a/b.wasm"), ("a b", "'a b'"), ("it's", "'it'\\''s'"), ("", "''"), ("$x", "'$x'")];
        for (text, want) in cases {
            assert_eq!(quoted(text), want, "text: {text:?}");
        }
    }

    #[test]
    fn a_counter_example_is_kept_and_named() {
        let dir = tempfile::tempdir().unwrap();
        let options = Options { counter_examples: Some(dir.path().join("a")), ..Options::default() };
        let repro = Repro::new(&options).unwrap();
        let call = (Function::ParseRelease, json!({ "source": { "os-release": "\0" } }));
        let command = repro.command("D2", Some(&call));
        let path = dir.path().join("a/D2.json");
        assert_eq!(command, format!("retrace plugin call plugin.wasm parse-release --json @{}", path.display()));
        assert_eq!(fs::read_to_string(path).unwrap(), r#"{"source":{"os-release":"\u0000"}}"#);

        let repro = Repro::new(&Options::default()).unwrap();
        let want = r#"retrace plugin call plugin.wasm parse-release --json '{"source":{"os-release":"\u0000"}}'"#;
        assert_eq!(repro.command("D2", Some(&call)), want);
        assert_eq!(repro.command("A1", None), "retrace plugin test plugin.wasm --seed 0x5eed");
    }
}

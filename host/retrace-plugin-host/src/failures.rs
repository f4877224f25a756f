//! Inputs that made a plugin fail, kept so that its author can repeat the call.

use std::{
    fs,
    path::{Path, PathBuf},
};

use retrace_types::Sha256;
use serde_json::Value;

use crate::Function;

/// Most inputs that are kept.
const MAX_FILES: usize = 64;

/// The folder of kept inputs. Content-addressed: the same input of the same plugin is kept once.
#[derive(Clone, Debug)]
pub(crate) struct FailureInputs {
    dir: PathBuf,
}

impl FailureInputs {
    pub(crate) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// Writes the input into a file and returns its path; none if that fails or the folder is full, for a failed plugin
    /// call must not fail for lack of space.
    pub(crate) fn keep(&self, plugin: Sha256, function: Function, input: &Value) -> Option<PathBuf> {
        let mut text = serde_json::to_vec_pretty(input).ok()?;
        text.push(b'\n');
        let short = |digest: Sha256| digest.to_string().chars().take(12).collect::<String>();
        let name = format!("{}-{function}-{}.json", short(plugin), short(crate::guest::digest(&text)));
        let path = self.dir.join(name);
        if path.is_file() {
            return Some(path);
        }
        let kept = fs::create_dir_all(&self.dir).and_then(|()| {
            self.make_room()?;
            let part = path.with_extension(format!("part{}", std::process::id()));
            fs::write(&part, &text)?;
            fs::rename(&part, &path)
        });
        match kept {
            Ok(()) => Some(path),
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "cannot keep the input of a failed call");
                None
            }
        }
    }

    /// Removes the oldest files until one more fits.
    fn make_room(&self) -> std::io::Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            files.push((entry.metadata()?.modified()?, entry.path()));
        }
        files.sort();
        let surplus = files.len().saturating_add(1).saturating_sub(MAX_FILES);
        files.into_iter().take(surplus).try_for_each(|(_, path)| fs::remove_file(path))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_input_is_kept_once_and_old_ones_make_room() {
        let dir = tempfile::tempdir().unwrap();
        let inputs = FailureInputs::new(&dir.path().join("failures"));
        let plugin = Sha256::from_bytes([7; 32]);
        let keep = |i: usize| inputs.keep(plugin, Function::ParseRelease, &json!({ "source": i })).unwrap();
        let first = keep(0);
        assert_eq!(first, keep(0));
        assert_eq!(fs::read_to_string(&first).unwrap(), "{\n  \"source\": 0\n}\n");
        for i in 1..200 {
            keep(i);
        }
        assert_eq!(fs::read_dir(dir.path().join("failures")).unwrap().count(), MAX_FILES);
    }
}

//! The keys that may sign a repository.

use std::path::{Component, Path, PathBuf};

use retrace_package::Keyring;
use retrace_types::{KeyFile, RepositorySpec, SignaturePolicy};

use crate::{MirrorError, MirrorOptions, error::chain};

/// Largest key file, in bytes; Debian's whole archive keyring has 60 KB.
const MAX_KEY_FILE_BYTES: u64 = 4 << 20;

/// Reads the keys of a repository and the operator's: `own` for this repository, others for all.
///
/// A key file of the repository that is not there is told only, as long as there is another key: the operator's may be the
/// one that counts. No key at all is an error, unless nothing has to be signed.
pub(crate) fn read_keys(
    spec: &RepositorySpec,
    options: &MirrorOptions,
    own: &[PathBuf],
) -> Result<Keyring, MirrorError> {
    let mut keyring = Keyring::new();
    if spec.signatures == SignaturePolicy::OFF {
        return Ok(keyring);
    }
    for path in options.operator_keys.iter().chain(own) {
        add(&mut keyring, path, &read(path)?)?;
    }
    let mut missing = None;
    for key in &spec.keys {
        let path = key_path(&options.keys_dir, key)?;
        match read(&path) {
            Ok(data) => {
                check_pin(key, &path, &data)?;
                add(&mut keyring, &path, &data)?;
            }
            Err(MirrorError::File { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                let error = MirrorError::MissingKey {
                    path,
                    repository: spec.id.clone(),
                    fingerprint: key
                        .fingerprint
                        .clone()
                        .unwrap_or_else(|| "that the distribution announces".to_owned()),
                };
                tracing::warn!(error = %chain(&error), "a key is missing");
                missing = Some(error);
            }
            Err(error) => return Err(error),
        }
    }
    if keyring.is_empty() {
        return Err(missing.unwrap_or_else(|| MirrorError::NoKey { repository: spec.id.clone() }));
    }
    Ok(keyring)
}

/// The folder where the keys of a repository are expected.
pub(crate) fn folder(spec: &RepositorySpec, options: &MirrorOptions) -> PathBuf {
    let of_key = spec.keys.first().and_then(|key| key_path(&options.keys_dir, key).ok());
    of_key.as_deref().and_then(Path::parent).unwrap_or(&options.keys_dir).to_owned()
}

fn key_path(keys_dir: &Path, key: &KeyFile) -> Result<PathBuf, MirrorError> {
    let path = Path::new(&key.path);
    let is_inside = path.components().all(|part| matches!(part, Component::Normal(_)));
    if key.path.is_empty() || !is_inside {
        return Err(MirrorError::KeyOutside { path: key.path.chars().take(200).collect() });
    }
    Ok(keys_dir.join(path))
}

fn check_pin(key: &KeyFile, path: &Path, data: &[u8]) -> Result<(), MirrorError> {
    let Some(pinned) = &key.fingerprint else { return Ok(()) };
    let mut alone = Keyring::new();
    add(&mut alone, path, data)?;
    if alone.fingerprints().iter().any(|fingerprint| fingerprint.eq_ignore_ascii_case(pinned)) {
        return Ok(());
    }
    Err(MirrorError::WrongKey { path: path.to_owned(), fingerprint: pinned.clone() })
}

fn add(keyring: &mut Keyring, path: &Path, data: &[u8]) -> Result<(), MirrorError> {
    let added = keyring.add(data);
    added.map(|_| ()).map_err(|source| MirrorError::InvalidKey { path: path.to_owned(), source: source.into() })
}

fn read(path: &Path) -> Result<Vec<u8>, MirrorError> {
    use std::io::Read as _;
    let failed = || MirrorError::file("read", path);
    let mut data = Vec::new();
    let file = std::fs::File::open(path).map_err(failed())?;
    let length = file.take(MAX_KEY_FILE_BYTES + 1).read_to_end(&mut data).map_err(failed())?;
    if length as u64 > MAX_KEY_FILE_BYTES {
        return Err(MirrorError::TooLarge { url: path.display().to_string(), limit_bytes: MAX_KEY_FILE_BYTES });
    }
    Ok(data)
}

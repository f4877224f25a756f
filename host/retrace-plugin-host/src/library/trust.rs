//! Whose plugins the operator trusts.

use std::{
    fs,
    path::{Path, PathBuf},
};

use retrace_package::{Keyring, PackageError, verify_detached_now};

use super::{LibraryError, Signer, layout};

/// Bytes of one key file.
const MAX_KEY_BYTES: u64 = 1 << 20;
/// Endings of key files.
const ENDINGS: [&str; 3] = ["asc", "gpg", "pgp"];

/// The keys that may sign plugins: the files `*.asc`, `*.gpg` and `*.pgp` of one folder. It is not the folder of
/// the distributions' keys: a key that may sign packages must not thereby sign code.
#[derive(Clone, Debug)]
pub struct Trust {
    dir: PathBuf,
    keys: Vec<TrustedKey>,
    unusable: Vec<(PathBuf, String)>,
}

#[derive(Clone, Debug)]
struct TrustedKey {
    file: String,
    keyring: Keyring,
}

impl Trust {
    /// Reads the keys of a folder. A folder that does not exist holds none.
    ///
    /// # Errors
    /// The folder cannot be read, or others can write to it.
    pub fn read(dir: &Path) -> Result<Self, LibraryError> {
        let mut trust = Self { dir: dir.to_owned(), keys: Vec::new(), unusable: Vec::new() };
        if !dir.exists() {
            return Ok(trust);
        }
        layout::check_owner(dir, &fs::metadata(dir).map_err(LibraryError::io(dir))?)?;
        for file in layout::names(dir)? {
            let path = dir.join(&file);
            let is_key = path.extension().and_then(|ending| ending.to_str()).is_some_and(|e| ENDINGS.contains(&e));
            if !is_key || file.starts_with('.') {
                continue;
            }
            match read_key(&path) {
                Ok(keyring) => trust.keys.push(TrustedKey { file, keyring }),
                Err(why) => trust.unusable.push((path, why)),
            }
        }
        Ok(trust)
    }

    /// The keys of these files alone, whoever owns them: for a look at a signature, without installing anything.
    ///
    /// # Errors
    /// One of them cannot be read or holds no usable public key.
    pub fn of_files(files: &[PathBuf]) -> Result<Self, LibraryError> {
        let key = |path: &PathBuf| {
            let bytes = layout::read_followed(path, MAX_KEY_BYTES).map_err(LibraryError::io(path))?;
            let bad = |why: PackageError| LibraryError::BadKey { path: path.clone(), why: why.to_string() };
            Ok(TrustedKey { file: path.display().to_string(), keyring: keyring(&bytes).map_err(bad)? })
        };
        let keys = files.iter().map(key).collect::<Result<_, LibraryError>>()?;
        let dir = files.first().and_then(|path| path.parent()).map(Path::to_owned).unwrap_or_default();
        Ok(Self { dir, keys, unusable: Vec::new() })
    }

    /// Its folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Fingerprints that are trusted, and the file of each.
    pub fn signers(&self) -> impl Iterator<Item = Signer> {
        self.keys.iter().flat_map(|key| {
            let signer = |fingerprint| Signer { fingerprint, key_file: key.file.clone() };
            key.keyring.fingerprints().into_iter().map(signer)
        })
    }

    /// Key files that cannot be used, and why.
    #[must_use]
    pub fn unusable(&self) -> &[(PathBuf, String)] {
        &self.unusable
    }

    /// Checks a detached signature, armoured or binary, over exactly these bytes, by a key that is in use today. Nothing
    /// but the signature is parsed.
    ///
    /// # Errors
    /// [`LibraryError::UnknownSigner`], or [`LibraryError::Signature`] with the reason.
    pub fn verify(&self, bytes: &[u8], signature: &[u8]) -> Result<Signer, LibraryError> {
        // A key that is known and objects says more than a key that did not make the signature.
        let (mut objection, mut unknown) = (None, None);
        let nobody = Keyring::new();
        let keys = self.keys.iter().map(|key| (key.file.as_str(), &key.keyring)).chain([("", &nobody)]);
        for (file, keyring) in keys {
            match verify_detached_now(bytes, signature, keyring) {
                Ok(fingerprint) => return Ok(Signer { fingerprint, key_file: file.to_owned() }),
                Err(PackageError::KeyMissing { issuers, .. }) => unknown = Some(issuers),
                Err(error) => objection = Some(error),
            }
        }
        let dir = self.dir.clone();
        Err(match (objection, unknown) {
            (None, issuers) => LibraryError::UnknownSigner { issuers: issuers.unwrap_or_default(), dir },
            (Some(error), _) => LibraryError::Signature(Box::new(error)),
        })
    }
}

fn read_key(path: &Path) -> Result<Keyring, String> {
    let metadata = fs::metadata(path).map_err(|error| error.to_string())?;
    layout::check_owner(path, &metadata).map_err(|error| error.to_string())?;
    let bytes = layout::read_file(path, MAX_KEY_BYTES).map_err(|error| error.to_string())?;
    keyring(&bytes).map_err(|error| error.to_string())
}

fn keyring(bytes: &[u8]) -> Result<Keyring, PackageError> {
    let mut keyring = Keyring::new();
    keyring.add(bytes).map(|_| keyring)
}
